# SPDX-License-Identifier: GPL-2.0-or-later
#
# Included by the top Makefile: make fuzz, fuzz-long, coverage, check-damage.

.PHONY: fuzz fuzz-long coverage check-damage
fuzz fuzz-long:
	@tests/tools/deps.sh
	@tests/tools/more-deps.sh $@ clang libclang-rt-14-dev afl++
	@$(MAKE) run-$@
coverage:
	@tests/tools/deps.sh
	@tests/tools/more-deps.sh $@ gcovr
	@$(MAKE) run-$@
check-damage:
	@tests/tools/deps.sh
	@$(MAKE) run-$@

CHECKS += run-fuzz run-fuzz-long run-coverage run-check-damage
