# SPDX-License-Identifier: GPL-2.0-or-later
#
# make callsites: write to docs/callsites.md which callsites print through which function

.PHONY: callsites run-callsites
callsites: build
	@$(MAKE) run-callsites
run-callsites: venv
	@$(VENV_PYTHON) tests/tools/callsites.py
