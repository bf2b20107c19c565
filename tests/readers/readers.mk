# SPDX-License-Identifier: GPL-2.0-or-later
#
# Included by the top Makefile: make check-readers reads a log that is written
# continuously, for some minutes.  make check includes some seconds of it.

.PHONY: check-readers
check-readers:
	@scripts/deps.sh
	@$(MAKE) run-$@

CHECKS += run-check-readers
