# SPDX-License-Identifier: GPL-2.0-or-later
#
# Included by the top Makefile: make check-stress stresses the rings for some minutes,
# outside and inside a guest; make check does so for some seconds.

.PHONY: check-stress
check-stress:
	@scripts/deps.sh backports
	@$(MAKE) -j$(JOBS) parts
	@$(MAKE) run-$@

CHECKS += run-check-stress
