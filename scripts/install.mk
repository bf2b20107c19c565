# SPDX-License-Identifier: GPL-2.0-or-later
#
# Included by the top Makefile: make install, make install-guest, and uninstalling both.  Give make
# uninstall the same folders as make install.

VERSION := $(shell sed -n 's/^\#define DDEBUG_VERSION "\(.*\)"$$/\1/p' include/ddebug_version.h)

DESTDIR ?=
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR ?= $(PREFIX)/share
MANDIR ?= $(DATADIR)/man
DOCDIR ?= $(DATADIR)/doc/virtio-ddebug
COMPLETIONDIR ?= $(DATADIR)/bash-completion/completions
SRCDIR ?= $(PREFIX)/src
# the machine's, if the installation is the machine's
SYSCONFDIR ?= $(if $(filter /usr /usr/local,$(PREFIX)),/etc,$(PREFIX)/etc)
# strip debugging information from the guest's modules; empty: keep it
INSTALL_MOD_STRIP ?= 1

export_build = BUILD='$(BUILD)' DESTDIR='$(DESTDIR)'

.PHONY: install uninstall install-guest uninstall-guest
install uninstall:
	@$(export_build) VERSION='$(VERSION)' BINDIR='$(BINDIR)' LIBDIR='$(LIBDIR)' \
		INCLUDEDIR='$(INCLUDEDIR)' MANDIR='$(MANDIR)' DOCDIR='$(DOCDIR)' \
		COMPLETIONDIR='$(COMPLETIONDIR)' SRCDIR='$(SRCDIR)' SYSCONFDIR='$(SYSCONFDIR)' \
		scripts/install.sh $@

install-guest uninstall-guest:
	@$(export_build) KERNEL='$(KERNEL)' KERNEL_RELEASE='$(KERNEL_RELEASE_$(KERNEL))' \
		KDIR='$(KDIR_$(KERNEL))' INSTALL_MOD_STRIP='$(INSTALL_MOD_STRIP)' \
		scripts/install.sh $@

.PHONY: check-install run-check-install
check-install: build
	@$(MAKE) run-check-install

run-check-install: venv
	@$(VENV_PYTHON) tests/tools/check.py check-install
