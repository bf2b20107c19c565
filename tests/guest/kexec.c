// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Make the guest's kernel load another one, by kexec_file_load(2).
 *
 *   kexec crash KERNEL INITRD COMMAND-LINE   to run when it panics (crashkernel=)
 *   kexec now KERNEL INITRD COMMAND-LINE     and switch to it at once
 */
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int must_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		error(1, errno, "%s", path);
	return fd;
}

int main(int argc, char **argv)
{
	int crash;

	if (argc != 5 || (strcmp(argv[1], "crash") && strcmp(argv[1], "now"))) {
		fprintf(stderr, "usage: kexec crash|now KERNEL INITRD COMMAND-LINE\n");
		return 2;
	}
	crash = !strcmp(argv[1], "crash");
	if (syscall(SYS_kexec_file_load, must_open(argv[2]), must_open(argv[3]),
		    strlen(argv[4]) + 1, argv[4], crash ? KEXEC_FILE_ON_CRASH : 0))
		error(1, errno, "kexec_file_load");
	if (crash)
		return 0;
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
	error(1, errno, "reboot");
}
