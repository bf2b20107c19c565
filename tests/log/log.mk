# SPDX-License-Identifier: GPL-2.0-or-later
#
# Included by the top Makefile: make check-log-crash kills the log writer more than
# 10,000 times, and takes the power from it as often; check-faults runs guests whose
# log cannot be written.  make check includes a short form of both.

.PHONY: check-log-crash check-faults faultfs
check-log-crash:
	@scripts/deps.sh
	@$(MAKE) run-$@
check-faults:
	@scripts/deps.sh $(if $(filter 6.12 loadable-10.0,$(KERNEL) $(QEMU)),backports) \
		$(if $(filter overlay-%,$(QEMU)),overlay)
	@$(MAKE) -j$(JOBS) ONE_VARIANT=yes parts $(if $(filter overlay-%,$(QEMU)),overlay)
	@$(MAKE) run-$@

parts: faultfs
faultfs:
	@$(MAKE) -s -C tests/faults O='$(BUILD)/faults'

CHECKS += run-check-log-crash run-check-faults
