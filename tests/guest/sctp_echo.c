// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sctp_echo COUNT: sends COUNT messages over an SCTP association through the
 * loopback interface and back, to make the sctp module work in task and in
 * softirq context.
 */
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int sctp_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP);

	if (fd < 0)
		die("socket");
	return fd;
}

static void echo(int listener, int count)
{
	int fd = accept(listener, NULL, NULL);
	char buf[64];

	if (fd < 0)
		die("accept");
	while (count--) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n <= 0 || send(fd, buf, n, 0) != n)
			die("echo");
	}
	/* the peer closes first */
	if (recv(fd, buf, sizeof(buf), 0) != 0)
		die("end of association");
	exit(0);
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons(5000),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int count = argc == 2 ? atoi(argv[1]) : 0, listener, fd, status;
	pid_t pid;

	if (count <= 0) {
		fprintf(stderr, "usage: sctp_echo COUNT\n");
		return 2;
	}
	listener = sctp_socket();
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)))
		die("bind");
	if (listen(listener, 1))
		die("listen");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid)
		echo(listener, count);

	fd = sctp_socket();
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		die("connect");
	for (int i = 0; i < count; i++) {
		char buf[64], back[64];
		int n = snprintf(buf, sizeof(buf), "message %d", i);

		if (send(fd, buf, n, 0) != n)
			die("send");
		if (recv(fd, back, sizeof(back), 0) != n || memcmp(buf, back, n))
			die("what came back");
	}
	close(fd);
	if (waitpid(pid, &status, 0) < 0 || status)
		die("the echoing process failed");
	return 0;
}
