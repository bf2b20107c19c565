# SPDX-License-Identifier: GPL-2.0-or-later
#
# make help says what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:

BUILD := $(CURDIR)/build
JOBS ?= $(shell nproc)

# What tests/tools/deps.sh has chosen: kernel, QEMU, cache.
-include build/config.mk

MODULES := ddebug_rb virtio_ddebug ddebug_test
KOS := $(MODULES:%=$(BUILD)/guest-driver/%.ko)
IMAGE := $(BUILD)/guest/initrd.img
VENV_PYTHON = $(CACHE)/venv/bin/python3

.PHONY: help
help:
	@echo 'make demo         build everything and see a stock guest'\''s messages arrive on the host'
	@echo 'make check        build everything and run all tests'
	@echo 'make check-unit   only the unit tests (no guest)'
	@echo 'make check-guest  only the tests with guests; TESTS="test_flag test_load" picks some'
	@echo 'make check-install  only the tests of make install (no guest)'
	@echo 'make check-style  only the checks of the source text'
	@echo 'make build        modules, device, tool, guest image; nothing is run'
	@echo 'make deps         install what is missing (apt-get), get kernel and QEMU source'
	@echo 'make bench        measure: instructions, kicks, traps, against the goals (docs/performance.md)'
	@echo 'make install      tool, device, manuals, source for DKMS: DESTDIR=, PREFIX=/usr/local; make uninstall'
	@echo 'make install-guest  modules for the kernel they were built for: DESTDIR=; make uninstall-guest'
	@echo 'make clean        remove what was built'
	@echo 'make distclean    as well as what was downloaded'
	@echo
	@echo 'Built files go to build/, downloads to $${XDG_CACHE_HOME:-~/.cache}/virtio-ddebug.'

.DEFAULT_GOAL := help

# deps writes build/config.mk, so what uses it runs in a make of its own.
.PHONY: deps
deps:
	@tests/tools/deps.sh

.PHONY: demo check check-unit check-guest check-style build
build: deps
	@$(MAKE) -j$(JOBS) parts
demo: build
	@$(MAKE) run-demo
check check-guest: build
	@$(MAKE) run-$@
check-unit check-style: deps
	@$(MAKE) run-$@

# -- in the second make ------------------------------------------------------

.PHONY: parts modules device tool image
parts: modules device tool image

modules:
	@echo '== Modules of the guest, for $(KERNEL_RELEASE)'
	@$(MAKE) -s -C guest-driver KDIR='$(KDIR)' O='$(BUILD)/guest-driver'

device:
	@echo '== Device, for QEMU $(QEMU_PACKAGE)'
	@$(MAKE) -C qemu-device QEMU_SRC='$(QEMU_SRC)' QEMU_BINARY='$(QEMU_BINARY)' O='$(BUILD)/qemu-device'

tool:
	@echo '== Tool'
	@$(MAKE) -s -C host-tool O='$(BUILD)/host-tool'

$(KOS): modules ;

image: $(IMAGE)

$(IMAGE): $(KOS) $(wildcard tests/guest/*) tests/tools/guest-image.sh tests/tools/lib.sh build/config.mk
	@echo '== Image of the guest'
	@mkdir -p $(@D)
	@tests/tools/guest-image.sh '$(KERNEL_ROOT)' '$(KERNEL_RELEASE)' '$@' $(KOS)

.PHONY: venv run-demo run-check run-check-unit run-check-guest run-check-style
venv:
	@tests/tools/venv.sh

run-demo: venv
	@$(VENV_PYTHON) tests/tools/demo.py

run-check run-check-unit run-check-guest run-check-style: venv
	@$(VENV_PYTHON) tests/tools/check.py $(@:run-%=%) $(TESTS)

include tests/bench/bench.mk
include tests/tools/install.mk

.PHONY: clean distclean
clean:
	rm -rf '$(BUILD)'

distclean:
	@tests/tools/distclean.sh
