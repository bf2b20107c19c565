# SPDX-License-Identifier: GPL-2.0
#
# Included by the Makefile of a test's modules: build them outside the source folder.
#
#   make -C tests/bench/guest KDIR=/usr/src/linux-headers-VERSION O=FOLDER
#
# The Makefile sets MODULES, the names of the modules' sources without .c.

here := $(patsubst %/,%,$(dir $(abspath $(firstword $(MAKEFILE_LIST)))))
out := $(abspath $(O))

# The kernel's makefiles use O for something else.
MAKEOVERRIDES := $(filter-out O=% KDIR=%,$(MAKEOVERRIDES))

# BTF is not needed here, and would take pahole and the kernel's vmlinux.
modules: $(out)/Kbuild $(MODULES:%=$(out)/%.c)
	$(MAKE) -C $(KDIR) M=$(out) CONFIG_DEBUG_INFO_BTF_MODULES= modules

# Kbuild writes next to the sources, so give it links to them.
$(out)/%: $(here)/% | $(out)
	ln -sfn $< $@

$(out):
	mkdir -p $@

.PHONY: modules
