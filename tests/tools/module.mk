# SPDX-License-Identifier: GPL-2.0
#
# Included by the Makefile beside the modules of a test: builds them out of the source folder.
#
#   make -C tests/bench/guest KDIR=/usr/src/linux-headers-VERSION O=FOLDER
#
# The including one sets MODULES, their names without .ko; each has a source of its name.

here := $(patsubst %/,%,$(dir $(abspath $(firstword $(MAKEFILE_LIST)))))
out := $(abspath $(O))

# O means something else to the kernel's makefiles.
MAKEOVERRIDES := $(filter-out O=% KDIR=%,$(MAKEOVERRIDES))

# BTF, which nothing of ours needs, would take pahole and the kernel's vmlinux.
modules: $(out)/Kbuild $(MODULES:%=$(out)/%.c)
	$(MAKE) -C $(KDIR) M=$(out) CONFIG_DEBUG_INFO_BTF_MODULES= modules

# Kbuild writes beside the sources it is given, so it is given links to them.
$(out)/%: $(here)/% | $(out)
	ln -sfn $< $@

$(out):
	mkdir -p $@

.PHONY: modules
