# SPDX-License-Identifier: GPL-2.0-or-later
#
# Included by the top Makefile: make check-readers, readers of a log that never rests,
# for some minutes.  make check has some seconds of it.

.PHONY: check-readers
check-readers:
	@scripts/deps.sh
	@$(MAKE) run-$@

CHECKS += run-check-readers
