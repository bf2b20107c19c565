# SPDX-License-Identifier: GPL-2.0-or-later
#
# make help says what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:

BUILD := $(CURDIR)/build
JOBS ?= $(shell nproc)

# What tests/tools/deps.sh has chosen: kernels, QEMUs, cache.
-include build/config.mk

MODULES := ddebug_rb virtio_ddebug ddebug_test
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

# What is there in several variants; the first is the default.  build/config.mk
# has KERNELS and LOADABLES, those of them that could be got.
KERNEL ?= 6.1
QEMU ?= loadable-7.2
ACCEL ?= tcg
export DDEBUG_KERNEL := $(KERNEL)
export DDEBUG_QEMU := $(QEMU)
export DDEBUG_ACCEL := $(ACCEL)

# The variants that the sources are ready for.
READY := KERNELS=6.1 LOADABLES=loadable-7.2

# deps writes build/config.mk, so what uses it runs in a make of its own.
.PHONY: deps
deps:
	@tests/tools/deps.sh backports

.PHONY: demo check check-unit check-guest check-style build
build: deps
	@$(MAKE) -j$(JOBS) $(READY) parts
# No more than it needs.
demo:
	@tests/tools/deps.sh
	@$(MAKE) -j$(JOBS) KERNELS=6.1 LOADABLES=loadable-7.2 parts
	@$(MAKE) run-demo
check check-guest: build
	@$(MAKE) run-$@
check-unit check-style: deps
	@$(MAKE) run-$@

# -- in the second make ------------------------------------------------------

.PHONY: parts device tool images modules
parts: modules device tool images

# One after the other: they share the small object that opens the others.
device:
	@$(foreach qemu,$(LOADABLES),echo '== Device, for QEMU $(QEMU_PACKAGE_$(qemu))'; \
		$(MAKE) -C qemu-device QEMU_SRC='$(QEMU_SRC_$(qemu))' \
			QEMU_BINARY='$(QEMU_BINARY_$(qemu))' O='$(BUILD)/qemu-device';)

tool:
	@echo '== Tool'
	@$(MAKE) -s -C host-tool O='$(BUILD)/host-tool'

# $(call kernel_rules,KERNEL)
define kernel_rules
.PHONY: modules-$(1)
modules: modules-$(1)
modules-$(1):
	@echo '== Modules of the guest, for $(KERNEL_RELEASE_$(1))'
	@$$(MAKE) -s -C guest-driver KDIR='$(KDIR_$(1))' O='$(BUILD)/guest-driver/$(1)'

$(MODULES:%=$(BUILD)/guest-driver/$(1)/%.ko): modules-$(1) ;

images: $(BUILD)/guest/$(1)/initrd.img
$(BUILD)/guest/$(1)/initrd.img: $(MODULES:%=$(BUILD)/guest-driver/$(1)/%.ko) $(wildcard tests/guest/*) \
		tests/tools/guest-image.sh tests/tools/lib.sh build/config.mk
	@echo '== Image of the guest, for $(KERNEL_RELEASE_$(1))'
	@mkdir -p $$(@D)
	@tests/tools/guest-image.sh '$(KERNEL_ROOT_$(1))' '$(KERNEL_RELEASE_$(1))' '$$@' $$(filter %.ko,$$^)
endef
$(foreach kernel,$(KERNELS),$(eval $(call kernel_rules,$(kernel))))

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
