# SPDX-License-Identifier: GPL-2.0-or-later
#
# Included by the top Makefile: make check-mutants breaks the sources at random, and counts what
# the tests notice.  MUTANTS=40 of each area, drawn with SEED=1; AREAS="codec ring" chooses areas.
# It takes hours, and resumes.

.PHONY: check-mutants
check-mutants: export MUTANTS := $(MUTANTS)
check-mutants: export SEED := $(SEED)
check-mutants: export AREAS := $(AREAS)
check-mutants:
	@scripts/deps.sh
	@$(MAKE) run-$@

CHECKS += run-check-mutants
