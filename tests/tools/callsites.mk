# SPDX-License-Identifier: GPL-2.0-or-later
#
# make callsites: which callsites print through what, into docs/callsites.md

.PHONY: callsites run-callsites
callsites: build
	@$(MAKE) run-callsites
run-callsites: venv
	@$(VENV_PYTHON) tests/tools/callsites.py
