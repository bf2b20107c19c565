# SPDX-License-Identifier: GPL-2.0-or-later
#
# make help says what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:

BUILD := $(CURDIR)/build
JOBS ?= $(shell nproc)

# What scripts/deps.sh has chosen: kernels, QEMUs, cache; what
# tests/debug-kernel/kernel.sh has built.
-include build/config.mk build/debug-kernel.mk
# What modules are built with for one kernel alone.
MODULE_OPTIONS_kasan := UBSAN_SANITIZE=y

MODULES := ddebug_rb virtio_ddebug ddebug_test ddebug_odd ddebug_die
VENV_PYTHON = $(CACHE)/venv/bin/python3
# What configures QEMU 10.0.
QEMU_PYTHON = $(CACHE)/venv-qemu/bin/python3

.PHONY: help
help:
	@echo 'make demo          build and see a stock guest'\''s messages arrive on the host'
	@echo 'make shell         build and boot a guest with the device and a root shell on this terminal'
	@echo 'make check         build everything and run all tests: with guests on one variant, their smoke part on the others'
	@echo 'make check-unit    only the unit tests (no guest)'
	@echo 'make check-stress  models of the rings'\'' barriers; the rings for some minutes, outside of a guest and in one'
	@echo 'make check-readers readers of a log that never rests, consumers that are killed, for some minutes'
	@echo 'make check-log-crash  kills the log writer more than 10,000 times'
	@echo 'make check-faults  guests whose log cannot be written, or hangs for a minute'
	@echo 'make check-crash-guests  deaths of guests, QEMU and tool, 200 of each kind (an hour or two); DDEBUG_DEATHS=5; goes on where it was broken off'
	@echo 'make check-guest-files  trace, trace_pipe and the sizes in the guest, on both kernels'
	@echo 'make check-guest   only the tests with guests; TESTS="test_flag test_load" picks some'
	@echo 'make check-smoke   only their smoke part, on all variants'
	@echo 'make check-matrix  all tests with guests on all variants (some hours without KVM)'
	@echo 'make check-install only the tests of make install (no guest)'
	@echo 'make check-libvirt domains of a real libvirt, which is started for it: system and session'
	@echo 'make check-overlay only the tests of what puts the device into the source of QEMU (no guest)'
	@echo 'make check-debug-kernel  the modules in kernels with KASAN, lockdep, KCSAN (an hour or two)'
	@echo 'make check-damage  reads a log with every bit flipped, and of every length'
	@echo 'make fuzz          fuzzes the tool; FUZZ_SECONDS=10 for each target and fuzzer'
	@echo 'make fuzz-long     until there were FUZZ_TOTAL=100000000 executions in all (an hour or more)'
	@echo 'make coverage      the branches of the codec that the unit tests take'
	@echo 'make check-style   only the checks of the source text'
	@echo 'make build         modules, device, tool, guest images; nothing is run'
	@echo 'make qemu          build QEMU 7.2 with the device as a part of it, in build/qemu'
	@echo 'make deps          install what is missing (apt-get), get kernels and the sources of QEMU'
	@echo 'make bench         measure: instructions, kicks, traps, against the goals (docs/performance.md)'
	@echo 'make callsites     which callsites print through what, in both kernels (docs/callsites.md)'
	@echo 'make install       tool, device, manuals, source for DKMS: DESTDIR=, PREFIX=/usr/local; make uninstall'
	@echo 'make install-guest modules for the guest'\''s kernel: DESTDIR=, KERNEL=; make uninstall-guest'
	@echo 'make clean         remove what was built'
	@echo 'make distclean     as well as what was downloaded'
	@echo
	@echo 'The variant, for demo, check and check-guest (KERNEL also for install-guest):'
	@echo '  QEMU=loadable-7.2   the QEMU of Debian 12, which loads the device (default)'
	@echo '       overlay-7.2    what make qemu builds'
	@echo '       loadable-10.0  the QEMU of its backports, which loads the device'
	@echo '  KERNEL=6.1          the guest'\''s kernel: of Debian 12 (default)'
	@echo '         6.12         of its backports'
	@echo '  ACCEL=tcg           no KVM needed (default)'
	@echo '        kvm           guests run under KVM'
	@echo 'PARALLEL=2 runs so many tests with guests at a time (1); each wants a CPU or two of its own.'
	@echo
	@echo 'Built files go to build/, downloads to $${XDG_CACHE_HOME:-~/.cache}/virtio-ddebug.'

.DEFAULT_GOAL := help

# The variant; tests/tools/check.py goes through all of them.
QEMU ?= loadable-7.2
KERNEL ?= 6.1
ACCEL ?= tcg
# $(call choose,VARIABLE,VALUES)
choose = $(if $(filter-out $(2),$($(1))),$(error $(1)=$($(1)) is not known, there are: $(2)))
$(call choose,QEMU,loadable-7.2 overlay-7.2 loadable-10.0)
$(call choose,KERNEL,6.1 6.12)
$(call choose,ACCEL,tcg kvm)
export DDEBUG_QEMU := $(QEMU)
export DDEBUG_KERNEL := $(KERNEL)
export DDEBUG_ACCEL := $(ACCEL)
PARALLEL ?= 1
export DDEBUG_PARALLEL := $(PARALLEL)

# deps.sh writes build/config.mk, so what uses it runs in a make of its own.
.PHONY: deps
deps:
	@scripts/deps.sh backports overlay

.PHONY: build qemu check check-smoke check-matrix check-unit check-style check-overlay
build:
	@scripts/deps.sh backports
	@$(MAKE) -j$(JOBS) parts
qemu:
	@scripts/deps.sh overlay
	@$(MAKE) overlay
check check-smoke check-matrix: build qemu
	@$(MAKE) run-$@
check-unit check-style check-overlay:
	@scripts/deps.sh
	@$(MAKE) run-$@

# These use one variant, and get and build no more than it needs.
.PHONY: demo shell check-guest check-crash-guests
demo shell check-guest check-crash-guests:
	@scripts/deps.sh $(if $(filter 6.12 loadable-10.0,$(KERNEL) $(QEMU)),backports) \
		$(if $(filter overlay-%,$(QEMU)),overlay)
	@$(MAKE) -j$(JOBS) ONE_VARIANT=yes parts $(if $(filter overlay-%,$(QEMU)),overlay)
	@$(MAKE) run-$@

# One QEMU and both kernels.
.PHONY: check-guest-files
check-guest-files:
	@scripts/deps.sh backports $(if $(filter overlay-%,$(QEMU)),overlay)
	@$(MAKE) -j$(JOBS) parts $(if $(filter overlay-%,$(QEMU)),overlay)
	@$(MAKE) run-$@

# -- in the second make ------------------------------------------------------

# config.mk has KERNELS and LOADABLES: those of the variants that could be got.
ifdef ONE_VARIANT
KERNELS := $(filter $(KERNEL),$(KERNELS))
# A QEMU with the device inside is tested with the object for Debian's, too, which it refuses.
LOADABLES := $(filter $(QEMU:overlay-%=loadable-%),$(LOADABLES))
endif

.PHONY: parts modules device overlay tool images
parts: modules device tool images

# One after the other: they share the small object that opens the others.
device:
	@$(if $(filter loadable-10.0,$(LOADABLES)),scripts/venv.sh venv-qemu qemu-device/requirements.txt)
	@$(foreach qemu,$(LOADABLES),echo '== Device, for QEMU $(QEMU_PACKAGE_$(qemu))'; \
		$(MAKE) -C qemu-device QEMU_SRC='$(QEMU_SRC_$(qemu))' QEMU_PYTHON='$(QEMU_PYTHON)' \
			QEMU_BINARY='$(QEMU_BINARY_$(qemu))' O='$(BUILD)/qemu-device';)

overlay:
	@echo '== QEMU with the device as a part of it'
	@$(MAKE) -C qemu-device/overlay QEMU_SRC='$(QEMU_SRC_loadable-7.2)' O='$(BUILD)/qemu'

tool:
	@echo '== Tool'
	@$(MAKE) -s -C host-tool O='$(BUILD)/host-tool'

# $(call kernel_rules,KERNEL)
define kernel_rules
.PHONY: modules-$(1)
modules: modules-$(1)
modules-$(1):
	@echo '== Modules of the guest, for $(KERNEL_RELEASE_$(1))'
	@$$(MAKE) -s -C guest-driver KDIR='$(KDIR_$(1))' O='$(BUILD)/guest-driver/$(1)' $(MODULE_OPTIONS_$(1))

$(MODULES:%=$(BUILD)/guest-driver/$(1)/%.ko): modules-$(1) ;

images: $(BUILD)/guest/$(1)/initrd.img
$(BUILD)/guest/$(1)/initrd.img: $(MODULES:%=$(BUILD)/guest-driver/$(1)/%.ko) $(wildcard tests/guest/*) \
		scripts/guest-image.sh scripts/lib.sh build/config.mk
	@echo '== Image of the guest, for $(KERNEL_RELEASE_$(1))'
	@mkdir -p $$(@D)
	@GUEST_MODULES='$(GUEST_MODULES_$(1))' scripts/guest-image.sh '$(KERNEL_ROOT_$(1))' '$(KERNEL_RELEASE_$(1))' '$$@' $$(filter %.ko,$$^)
endef
$(foreach kernel,$(KERNELS),$(eval $(call kernel_rules,$(kernel))))

CHECKS := run-check run-check-guest run-check-guest-files run-check-crash-guests run-check-smoke run-check-matrix run-check-unit \
	run-check-style run-check-overlay
# These add to CHECKS.
include tests/fuzz/fuzz.mk
include tests/ring/ring.mk
include tests/readers/readers.mk
include tests/log/log.mk
include tests/debug-kernel/debug-kernel.mk
include tests/libvirt/libvirt.mk
.PHONY: venv run-demo run-shell $(CHECKS)
venv:
	@scripts/venv.sh

run-demo: venv
	@$(VENV_PYTHON) scripts/demo.py

run-shell: venv
	@$(VENV_PYTHON) scripts/shell.py

$(CHECKS): venv
	@$(VENV_PYTHON) tests/tools/check.py $(@:run-%=%) $(TESTS:%='%')

include tests/bench/bench.mk
include tests/tools/callsites.mk
include scripts/install.mk

.PHONY: clean distclean
clean:
	rm -rf '$(BUILD)'

distclean:
	@scripts/distclean.sh
