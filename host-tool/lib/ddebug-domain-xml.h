/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The XML of a libvirt domain, as libvirt writes it: find the log of its device, add the device or
 * remove it.  Does not call libvirt.
 */
#ifndef DDEBUG_DOMAIN_XML_H
#define DDEBUG_DOMAIN_XML_H

#include <glib.h>

#define DDEBUG_DOMAIN_NAMESPACE "http://libvirt.org/schemas/domain/qemu/1.0"

typedef struct
{
  char *type;               /* "kvm", "qemu"; other hypervisors have others */
  char *arch;               /* NULL: not given */
  char *emulator;           /* NULL: not given */
  char *dac_label;          /* QEMU's user and group, if the domain names them; otherwise NULL */
  const char *root_bus;     /* QEMU's name of the PCI bus; NULL: no PCI bus, or unknown */
  gboolean can_choose;      /* QEMU may choose the slot: libvirt hot-plugs nothing into that bus */
  guint32 slots;            /* bit N: slot N of the root bus is in use */
  gboolean has_commandline; /* has <qemu:commandline> */
  gboolean has_others;      /* has other elements of the qemu namespace */
  gboolean in_dac;          /* used while parsing */
  GPtrArray *args;          /* of char *: its qemu:arg, in order */
  GPtrArray *envs;          /* of char *: its qemu:env, alternating name and value; a value may be NULL */
  guint devices;            /* number of our devices in args */
  char *log;                /* file= of the first, an absolute path; NULL: no device, or no file= */
} DdebugDomain;

/* @xml: a <domain>; NULL with @error set if it is not one. */
DdebugDomain *ddebug_domain_parse (const char *xml, GError **error);
void ddebug_domain_free (DdebugDomain *domain);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugDomain, ddebug_domain_free)

/* The highest free slot of the root bus, which libvirt would use last; -1: none. */
int ddebug_domain_free_slot (const DdebugDomain *domain);

/**
 * ddebug_domain_device:
 * @log: an absolute path, UTF-8
 * @size: bytes, below 2^63; 0: keep the log's size, or use the default
 *
 * Returns: (transfer full): the value of QEMU's option -device, or %NULL with @error set if the domain
 * has no slot for the device
 */
char *ddebug_domain_device (const DdebugDomain *domain, const char *log, guint64 size, GError **error);

/**
 * ddebug_domain_add:
 * @xml: as libvirt writes it; @domain was parsed from it
 * @plugin: (nullable): value of -plugin, an absolute path
 * @device: value of -device
 *
 * Returns: (transfer full): @xml with these options appended to the command line; %NULL with @error set
 */
char *ddebug_domain_add (const char *xml, const DdebugDomain *domain, const char *plugin, const char *device,
                         GError **error);

/*
 * Remove all our devices and the plugin, whoever added them, and elements that become empty.
 * (transfer full); %NULL with @error set.
 */
char *ddebug_domain_remove (const char *xml, const DdebugDomain *domain, GError **error);

/* Append the difference between two such XMLs, in the format of diff -u. */
void ddebug_domain_diff (GString *out, const char *before, const char *after);

#endif
