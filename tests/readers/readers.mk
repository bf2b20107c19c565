# SPDX-License-Identifier: GPL-2.0-or-later
#
# Included by the top Makefile: make check-readers reads a log under constant load for some
# minutes; make check does so for some seconds.

.PHONY: check-readers
check-readers:
	@scripts/deps.sh
	@$(MAKE) run-$@

CHECKS += run-check-readers
