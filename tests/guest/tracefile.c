// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tracefile: reads a file in ways that a shell cannot.
 *
 *   tracefile pieces FILE N          to its end, N bytes per read()
 *   tracefile seek FILE STEP         its text, after each STEP bytes of it were read again
 *                                    where lseek() and pread() say, and were the same
 *   tracefile drain FILE [N]         until EAGAIN, which must come, N bytes per read(); the
 *                                    file must not be seekable
 *   tracefile wait FILE HOW MS       "readable" or "timeout": HOW is poll, select or epoll
 *   tracefile splice FILE [N]        to its end, or EAGAIN, N bytes per splice()
 *   tracefile fault FILE             EFAULT for memory that is not mapped, then as drain
 *   tracefile signal FILE            a blocking read() ends with EINTR
 *   tracefile threads FILE N         N threads read one descriptor, one of them byte by
 *                                    byte, until nothing has come for 1 s
 *
 * Texts go to stdout.  Exit status 1, with the reason on stderr, if anything differs.
 */
#define _GNU_SOURCE	/* splice() */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <unistd.h>

static char piece[1 << 20];

static void fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, " (%s)\n", strerror(errno));
	exit(1);
}

static int open_file(const char *path, int flags)
{
	int fd = open(path, O_RDONLY | flags);

	if (fd < 0)
		fail("%s", path);
	return fd;
}

static void put(const char *text, size_t n)
{
	if (fwrite(text, 1, n, stdout) != n)
		fail("stdout");
}

static void pieces(int fd, size_t size)
{
	ssize_t n;

	while ((n = read(fd, piece, size)) > 0)
		put(piece, n);
	if (n)
		fail("read");
}

static void drain(int fd, size_t size)
{
	ssize_t n;

	if (lseek(fd, 0, SEEK_SET) != -1 || errno != ESPIPE)
		fail("lseek() did not return ESPIPE");
	while ((n = read(fd, piece, size)) > 0)
		put(piece, n);
	if (n != -1 || errno != EAGAIN)
		fail("read() returned %zd instead of EAGAIN", n);
}

static void splice_all(int fd, size_t size)
{
	ssize_t n, got;
	int ends[2];

	if (pipe(ends))
		fail("pipe");
	while ((n = splice(fd, NULL, ends[1], NULL, size, SPLICE_F_NONBLOCK)) > 0) {
		for (; n; n -= got) {
			got = read(ends[0], piece, n);
			if (got <= 0)
				fail("read() from the pipe");
			put(piece, got);
		}
	}
	if (n && errno != EAGAIN)
		fail("splice() returned %zd", n);
}

static void seek(int fd, size_t step)
{
	static char whole[64 << 20];
	size_t len = 0, at;
	ssize_t n;

	while ((n = read(fd, whole + len, sizeof(whole) - len)) > 0)
		len += n;
	if (n || !len)
		fail("read %zd, %zu bytes in all", n, len);
	for (at = 0; at < len; at += step) {
		/* forwards and backwards */
		size_t from = at / step % 2 ? len - at : at;

		if (lseek(fd, from, SEEK_SET) != (off_t)from)
			fail("lseek to %zu", from);
		n = read(fd, piece, 100);
		if (n <= 0 || memcmp(piece, whole + from, n))
			fail("read() at %zu of %zu brings %zd other bytes", from, len, n);
		n = pread(fd, piece, 1, from);
		if (n != 1 || piece[0] != whole[from])
			fail("pread() at %zu of %zu brings %zd other bytes", from, len, n);
	}
	put(whole, len);
}

static void wait_for(int fd, const char *how, int ms)
{
	int n = -1;

	if (!strcmp(how, "poll")) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		n = poll(&p, 1, ms);
		if (n == 1 && p.revents != POLLIN)
			fail("revents %#x", p.revents);
	} else if (!strcmp(how, "select")) {
		struct timeval t = { ms / 1000, ms % 1000 * 1000 };
		fd_set set;

		FD_ZERO(&set);
		FD_SET(fd, &set);
		n = select(fd + 1, &set, NULL, NULL, &t);
	} else if (!strcmp(how, "epoll")) {
		struct epoll_event e = { .events = EPOLLIN | EPOLLET };
		int ep = epoll_create1(0);

		if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e))
			fail("epoll");
		n = epoll_wait(ep, &e, 1, ms);
	}
	if (n < 0)
		fail("%s", how);
	puts(n ? "readable" : "timeout");
}

static void fault(int fd)
{
	void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ssize_t n = read(fd, nowhere, 4096);

	if (n != -1 || errno != EFAULT)
		fail("read() into nowhere returned %zd", n);
	drain(fd, sizeof(piece));
}

static void on_alarm(int number)
{
	(void)number;
}

static void interrupted(int fd)
{
	struct sigaction act = { .sa_handler = on_alarm };
	ssize_t n;

	sigaction(SIGALRM, &act, NULL);
	alarm(1);
	n = read(fd, piece, sizeof(piece));
	if (n != -1 || errno != EINTR)
		fail("read() returned %zd instead of EINTR", n);
}

static int shared_fd;
static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;
static volatile unsigned long got;

/* The first one byte by byte.  Each byte is read by one of them, in unknown order. */
static void *one_thread(void *which)
{
	size_t size = (uintptr_t)which ? 4096 : 1;
	char buf[4096];
	ssize_t n;

	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, NULL);
	while ((n = read(shared_fd, buf, size)) > 0) {
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
		pthread_mutex_lock(&out_lock);
		put(buf, n);
		got += n;
		pthread_mutex_unlock(&out_lock);
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	}
	fail("read");
	return NULL;
}

static void threads(int fd, unsigned int n)
{
	pthread_t ids[64];
	unsigned long before;
	unsigned int i;

	shared_fd = fd;
	if (n > 64)
		fail("%u threads are too many", n);
	for (i = 0; i < n; i++)
		if (pthread_create(&ids[i], NULL, one_thread, (void *)(uintptr_t)i))
			fail("pthread_create");
	do {
		before = got;
		sleep(1);
	} while (got != before || !before);
	for (i = 0; i < n; i++)
		pthread_cancel(ids[i]);
	for (i = 0; i < n; i++)
		pthread_join(ids[i], NULL);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	size_t n = argc > 3 ? strtoul(argv[3], NULL, 0) : sizeof(piece);

	if (!n || n > sizeof(piece))
		n = sizeof(piece);
	if (!strcmp(what, "pieces"))
		pieces(open_file(argv[2], 0), n);
	else if (!strcmp(what, "seek"))
		seek(open_file(argv[2], 0), n);
	else if (!strcmp(what, "drain"))
		drain(open_file(argv[2], O_NONBLOCK), n);
	else if (!strcmp(what, "splice"))
		splice_all(open_file(argv[2], 0), n);
	else if (!strcmp(what, "wait") && argc == 5)
		wait_for(open_file(argv[2], 0), argv[3], atoi(argv[4]));
	else if (!strcmp(what, "fault"))
		fault(open_file(argv[2], O_NONBLOCK));
	else if (!strcmp(what, "signal"))
		interrupted(open_file(argv[2], 0));
	else if (!strcmp(what, "threads"))
		threads(open_file(argv[2], 0), n);
	else
		return 2;
	return fflush(stdout) ? 1 : 0;
}
