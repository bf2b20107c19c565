# SPDX-License-Identifier: GPL-2.0-or-later
#
# Included by the top Makefile: make check-debug-kernel runs the guest's modules in
# kernels that detect faults themselves.

DEBUG_KERNELS := kasan kcsan

# These kernels are not in KERNELS, so nothing else builds for them.
.PHONY: check-debug-kernel
check-debug-kernel:
	@scripts/deps.sh backports
	@scripts/more-deps.sh $@ flex bison bc libelf-dev
	@tests/debug-kernel/kernel.sh $(DEBUG_KERNELS)
	@$(MAKE) -j$(JOBS) KERNELS='$(DEBUG_KERNELS)' parts
	@$(MAKE) run-$@

# $(call debug_kernel_rules,KERNEL): the module with deliberate faults goes into the image as well
define debug_kernel_rules
$(BUILD)/guest-bug/$(1)/ddebug_bug.ko: tests/debug-kernel/guest/ddebug_bug.c
	@$$(MAKE) -s -C tests/debug-kernel/guest KDIR='$(KDIR_$(1))' O='$$(@D)' $(MODULE_OPTIONS_$(1))

$(BUILD)/guest/$(1)/initrd.img: $(BUILD)/guest-bug/$(1)/ddebug_bug.ko
endef
$(foreach kernel,$(DEBUG_KERNELS),$(if $(KDIR_$(kernel)),$(eval $(call debug_kernel_rules,$(kernel)))))

CHECKS += run-check-debug-kernel
