# SPDX-License-Identifier: GPL-2.0
#
# Included by the Makefile of a test's module: build it outside the source folder.
#
#   make -C tests/bench/guest KDIR=/usr/src/linux-headers-VERSION O=FOLDER
#
# The Makefile sets MODULE, the name of the module's source without .c.

here := $(patsubst %/,%,$(dir $(abspath $(firstword $(MAKEFILE_LIST)))))
out := $(abspath $(O))

# The kernel's makefiles use O for something else.
MAKEOVERRIDES := $(filter-out O=% KDIR=%,$(MAKEOVERRIDES))

# BTF is not needed here, and would take pahole and the kernel's vmlinux.
modules: $(out)/Kbuild $(out)/$(MODULE).c
	$(MAKE) -C $(KDIR) M=$(out) CONFIG_DEBUG_INFO_BTF_MODULES= modules

# Kbuild writes next to the sources, so give it links to them.
$(out)/%: $(here)/% | $(out)
	ln -sfn $< $@

$(out):
	mkdir -p $@

.PHONY: modules
