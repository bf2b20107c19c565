// SPDX-License-Identifier: GPL-2.0-or-later
/* kmsg: prints the current contents of /dev/kmsg, record by record. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	char record[8192];
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	if (fd < 0) {
		perror("/dev/kmsg");
		return 1;
	}
	for (;;) {
		ssize_t n = read(fd, record, sizeof(record));

		if (n > 0)
			fwrite(record, 1, n, stdout);
		else if (errno == EAGAIN)
			break;
		else if (errno != EPIPE && errno != EINTR) {
			/* EPIPE: overwritten meanwhile; the next read continues */
			perror("/dev/kmsg");
			return 1;
		}
	}
	return fflush(stdout) ? 1 : 0;
}
