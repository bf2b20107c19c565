# SPDX-License-Identifier: GPL-2.0-or-later
#
# Included by the top Makefile: make check-libvirt tests domains of a real libvirt.
# make check runs a short form.

.PHONY: check-libvirt libvirt-packages
libvirt-packages:
	@scripts/more-deps.sh check-libvirt libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients apparmor
check-libvirt: libvirt-packages
	@scripts/deps.sh
	@$(MAKE) -j$(JOBS) ONE_VARIANT=yes KERNEL=6.1 QEMU=loadable-7.2 parts
	@$(MAKE) run-$@
check: libvirt-packages

CHECKS += run-check-libvirt
