// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mkubivol DEVICE NAME BYTES: makes a dynamic volume on a UBI device, as
 * ubimkvol of mtd-utils does.
 */
#include <fcntl.h>
#include <mtd/ubi-user.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

int main(int argc, char **argv)
{
	struct ubi_mkvol_req req = {
		.vol_id = UBI_VOL_NUM_AUTO,
		.alignment = 1,
		.vol_type = UBI_DYNAMIC_VOLUME,
	};
	int fd;

	if (argc != 4) {
		fprintf(stderr, "usage: mkubivol DEVICE NAME BYTES\n");
		return 2;
	}
	req.bytes = strtoll(argv[3], NULL, 0);
	req.name_len = strlen(argv[2]);
	if (req.name_len > UBI_MAX_VOLUME_NAME) {
		fprintf(stderr, "mkubivol: the name is too long\n");
		return 2;
	}
	strcpy(req.name, argv[2]);
	fd = open(argv[1], O_RDWR);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	if (ioctl(fd, UBI_IOCMKVOL, &req)) {
		perror("UBI_IOCMKVOL");
		return 1;
	}
	return 0;
}
