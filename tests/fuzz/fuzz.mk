# SPDX-License-Identifier: GPL-2.0-or-later
#
# Included by the top Makefile: make fuzz, fuzz-long, coverage, check-damage.

FUZZ_PACKAGES := clang libclang-rt-14-dev afl++
COVERAGE_PACKAGES := gcovr

.PHONY: fuzz fuzz-long coverage check-damage check-packages
# make check runs both fuzzers for some seconds.
check: check-packages
check-packages: build qemu
	@scripts/more-deps.sh check $(FUZZ_PACKAGES) $(COVERAGE_PACKAGES)
fuzz fuzz-long:
	@scripts/deps.sh
	@scripts/more-deps.sh $@ $(FUZZ_PACKAGES)
	@$(MAKE) run-$@
coverage:
	@scripts/deps.sh
	@scripts/more-deps.sh $@ $(COVERAGE_PACKAGES)
	@$(MAKE) run-$@
check-damage:
	@scripts/deps.sh
	@$(MAKE) run-$@

CHECKS += run-fuzz run-fuzz-long run-coverage run-check-damage
