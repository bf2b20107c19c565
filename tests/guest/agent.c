// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guest's end of the tests' command channel, a serial line.
 *
 *   host to guest   "run LENGTH\n" and LENGTH bytes of shell script
 *   guest to host   "done STATUS LENGTH\n" and LENGTH bytes of output
 *
 * STATUS is the shell's exit status, or 128 + signal.  Output is collected in
 * a file first, so that a process left in the background neither holds up the
 * answer nor breaks into a later one.  "agent ready\n" is sent once.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define MAX_SCRIPT (1 << 20)

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			die("agent: write");
		p += k;
		n -= k;
	}
}

static void read_all(int fd, char *p, size_t n)
{
	while (n) {
		ssize_t k = read(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			die("agent: read");
		p += k;
		n -= k;
	}
}

static void say(int fd, const char *fmt, ...)
{
	char line[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	write_all(fd, line, strlen(line));
}

/* The length announced by the next request; anything else is skipped. */
static size_t next_request(int fd)
{
	char line[64];
	size_t n = 0, len;

	for (;;) {
		read_all(fd, line + n, 1);
		if (line[n] != '\n') {
			if (++n == sizeof(line))
				n = 0;
			continue;
		}
		line[n] = 0;
		if (sscanf(line, "run %zu", &len) == 1 && len <= MAX_SCRIPT)
			return len;
		n = 0;
	}
}

static int run(const char *script, int out)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return 126;
	if (!pid) {
		int null = open("/dev/null", O_RDONLY);

		if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 ||
		    dup2(out, 2) < 0)
			_exit(126);
		execl("/bin/sh", "sh", "-c", script, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 126;
	return WIFEXITED(status) ? WEXITSTATUS(status) :
				   128 + WTERMSIG(status);
}

static void send_file(int tty, int fd, int status)
{
	off_t len = lseek(fd, 0, SEEK_END), at = 0;
	char buf[16384];

	say(tty, "done %d %lld\n", status, (long long)len);
	while (at < len) {
		size_t want = len - at < (off_t)sizeof(buf) ?
			      (size_t)(len - at) : sizeof(buf);
		ssize_t k = pread(fd, buf, want, at);

		if (k <= 0)
			die("agent: output");
		write_all(tty, buf, k);
		at += k;
	}
}

int main(int argc, char **argv)
{
	static char script[MAX_SCRIPT + 1];
	struct termios tio;
	int tty;

	if (argc != 2) {
		fprintf(stderr, "usage: agent TTY\n");
		return 2;
	}
	tty = open(argv[1], O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tty < 0)
		die(argv[1]);
	if (tcgetattr(tty, &tio))
		die("tcgetattr");
	cfmakeraw(&tio);
	cfsetspeed(&tio, B115200);
	tio.c_cflag |= CLOCAL | CREAD;
	if (tcsetattr(tty, TCSAFLUSH, &tio))
		die("tcsetattr");
	say(tty, "agent ready\n");

	for (;;) {
		size_t len = next_request(tty);
		int fd, status;

		read_all(tty, script, len);
		script[len] = 0;
		fd = open("/run", O_TMPFILE | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
		if (fd < 0)
			die("/run");
		status = run(script, fd);
		send_file(tty, fd, status);
		close(fd);
	}
}
