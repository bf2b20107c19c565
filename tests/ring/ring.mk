# SPDX-License-Identifier: GPL-2.0-or-later
#
# Included by the top Makefile: make check-stress, the rings outside of a guest and in
# one, for some minutes.  make check has some seconds of it.

.PHONY: check-stress
check-stress:
	@scripts/deps.sh backports
	@$(MAKE) -j$(JOBS) parts
	@$(MAKE) run-$@

CHECKS += run-check-stress
