# SPDX-License-Identifier: GPL-2.0-or-later
#
# make help lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:

BUILD := $(CURDIR)/build
JOBS ?= $(shell nproc)

# Written by scripts/deps.sh (kernels, QEMUs, cache) and by tests/debug-kernel/kernel.sh.
-include build/config.mk build/debug-kernel.mk
# Options of one kernel's modules.
MODULE_OPTIONS_kasan := UBSAN_SANITIZE=y

MODULES := ddebug_rb virtio_ddebug
TEST_MODULES := ddebug_test ddebug_odd ddebug_die ddebug_busy
VENV_PYTHON = $(CACHE)/venv/bin/python3
# Configures QEMU 10.0.
QEMU_PYTHON = $(CACHE)/venv-qemu/bin/python3

.PHONY: help
help:
	@echo 'make demo            build, boot a stock guest, and watch its messages arrive on the host'
	@echo 'make shell           build, boot a guest, and get a root shell in it on this terminal'
	@echo 'make build           build modules, device, tool and guest images; run nothing'
	@echo 'make qemu            build QEMU 7.2 with the device built in, in build/qemu'
	@echo 'make deps            install missing packages with apt-get, download kernels and QEMU sources'
	@echo 'make install         install tool, device, manuals and DKMS source: DESTDIR=, PREFIX=/usr/local; make uninstall'
	@echo 'make install-guest   install the modules for the guest'\''s kernel: DESTDIR=, KERNEL=; make uninstall-guest'
	@echo 'make clean           remove everything built'
	@echo 'make distclean       remove everything built and downloaded'
	@echo
	@echo 'Tests:'
	@echo 'make check           build everything and run all suites: guests on one variant, smoke tests on the others'
	@echo 'make check-style     check the source text and the layers'
	@echo 'make check-unit      run the unit tests (no guest)'
	@echo 'make check-install   test make install (no guest)'
	@echo 'make check-overlay   test adding the device to the QEMU source (no guest)'
	@echo 'make check-guest     run the guest tests; TESTS="test_flag test_h*" selects files'
	@echo 'make check-guest-files  test trace, trace_pipe and the ring sizes in the guest, on both kernels'
	@echo 'make check-smoke     run the smoke tests of guests on all variants'
	@echo 'make check-matrix    run all guest tests on all variants (hours without KVM)'
	@echo 'make check-libvirt   test with domains of a private libvirt, system and session'
	@echo 'make check-readers   read a log under constant load and kill consumers, for minutes'
	@echo 'make check-log-crash kill the log writer more than 10,000 times'
	@echo 'make check-faults    run guests whose log cannot be written, or whose disk hangs for a minute'
	@echo 'make check-stress    check models of the memory barriers; stress the rings for minutes, outside and inside a guest'
	@echo 'make check-crash-guests  kill guests, QEMU and the tool, 200 times for each cause (1-2 hours); DDEBUG_DEATHS=5; resumes'
	@echo 'make check-debug-kernel  run the modules in kernels with KASAN, lockdep, KCSAN (1-2 hours)'
	@echo 'make check-mutants   break the sources at random and count what the tests notice (hours); MUTANTS=40 SEED=1 AREAS="codec ring"; resumes'
	@echo 'make check-damage    read a log with every single bit flipped, and truncated to every length'
	@echo 'make fuzz            fuzz the tool; FUZZ_SECONDS=10 per target and fuzzer'
	@echo 'make fuzz-long       fuzz until FUZZ_TOTAL=100000000 executions are reached (an hour or more)'
	@echo 'make coverage        measure the branch coverage of the unit tests'
	@echo 'make bench           measure instructions, kicks and VM exits against the goals (docs/performance.md)'
	@echo 'make callsites       list which callsites print through which function, in both kernels (docs/callsites.md)'
	@echo
	@echo 'The variant, for demo, shell, check and check-guest (KERNEL also for install-guest):'
	@echo '  QEMU=loadable-7.2   Debian 12'\''s QEMU, which loads the device (default)'
	@echo '       overlay-7.2    the QEMU that make qemu builds'
	@echo '       loadable-10.0  QEMU from Debian 12'\''s backports, which loads the device'
	@echo '  KERNEL=6.1          the guest'\''s kernel: Debian 12'\''s (default)'
	@echo '         6.12         the one from its backports'
	@echo '  ACCEL=tcg           no KVM needed (default)'
	@echo '        kvm           run guests under KVM'
	@echo 'PARALLEL=2 runs two guest tests at a time (default 1); each needs a CPU or two.'
	@echo
	@echo 'Built files go to build/, downloads to $${XDG_CACHE_HOME:-~/.cache}/virtio-ddebug.'

.DEFAULT_GOAL := help

# The variant; tests/tools/check.py runs all of them.
QEMU ?= loadable-7.2
KERNEL ?= 6.1
ACCEL ?= tcg
# $(call choose,VARIABLE,VALUES)
choose = $(if $(filter-out $(2),$($(1))),$(error $(1)=$($(1)) is unknown, choose one of: $(2)))
$(call choose,QEMU,loadable-7.2 overlay-7.2 loadable-10.0)
$(call choose,KERNEL,6.1 6.12)
$(call choose,ACCEL,tcg kvm)
export DDEBUG_QEMU := $(QEMU)
export DDEBUG_KERNEL := $(KERNEL)
export DDEBUG_ACCEL := $(ACCEL)
PARALLEL ?= 1
export DDEBUG_PARALLEL := $(PARALLEL)

# deps.sh writes build/config.mk, so its users run in a second make.
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

# These use one variant, and download and build only what it needs.
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

# config.mk has KERNELS and LOADABLES: those of the variants that are available.
ifdef ONE_VARIANT
KERNELS := $(filter $(KERNEL),$(KERNELS))
# A QEMU with the device built in is also tested with the object for Debian's QEMU, which it refuses.
LOADABLES := $(filter $(QEMU:overlay-%=loadable-%),$(LOADABLES))
endif

.PHONY: parts modules device overlay tool images
parts: modules device tool images

# One after the other: they share the loader object.
device:
	@$(if $(filter loadable-10.0,$(LOADABLES)),scripts/venv.sh venv-qemu qemu-device/requirements.txt)
	@$(foreach qemu,$(LOADABLES),echo '== Device for QEMU $(QEMU_PACKAGE_$(qemu))'; \
		$(MAKE) -C qemu-device QEMU_SRC='$(QEMU_SRC_$(qemu))' QEMU_PYTHON='$(QEMU_PYTHON)' \
			QEMU_BINARY='$(QEMU_BINARY_$(qemu))' O='$(BUILD)/qemu-device';)

overlay:
	@echo '== QEMU with the device built in'
	@$(MAKE) -C qemu-device/overlay QEMU_SRC='$(QEMU_SRC_loadable-7.2)' O='$(BUILD)/qemu'

tool:
	@echo '== Tool'
	@$(MAKE) -s -C host-tool O='$(BUILD)/host-tool'

# $(call guest_modules,KERNEL): all of ours that go into the guest's image
guest_modules = $(MODULES:%=$(BUILD)/guest-driver/$(1)/%.ko) $(TEST_MODULES:%=$(BUILD)/guest-modules/$(1)/%.ko)

# $(call kernel_rules,KERNEL)
define kernel_rules
.PHONY: modules-$(1)
modules: modules-$(1)
modules-$(1):
	@echo '== Guest modules for $(KERNEL_RELEASE_$(1))'
	@$$(MAKE) -s -C guest-driver KDIR='$(KDIR_$(1))' O='$(BUILD)/guest-driver/$(1)' $(MODULE_OPTIONS_$(1))
	@$$(MAKE) -s -C tests/guest/modules KDIR='$(KDIR_$(1))' O='$(BUILD)/guest-modules/$(1)' $(MODULE_OPTIONS_$(1))

$(call guest_modules,$(1)): modules-$(1) ;

images: $(BUILD)/guest/$(1)/initrd.img
$(BUILD)/guest/$(1)/initrd.img: $(call guest_modules,$(1)) $(wildcard tests/guest/*.* tests/guest/init) \
		scripts/guest-image.sh scripts/lib.sh build/config.mk
	@echo '== Guest image for $(KERNEL_RELEASE_$(1))'
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
include tests/mutants/mutants.mk
include tests/debug-kernel/debug-kernel.mk
include tests/libvirt/libvirt.mk
.PHONY: venv run-demo run-shell $(CHECKS)
venv:
	@scripts/venv.sh

run-demo: venv
	@$(VENV_PYTHON) scripts/demo.py

run-shell: venv
	@$(VENV_PYTHON) scripts/shell.py

# Its object files are checked.
run-check-style: tool

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
