/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The XML of a libvirt domain, as libvirt writes it: where its device logs to, and the
 * same XML with the device or without.  Nothing of libvirt is called here.
 */
#ifndef DDEBUG_DOMAIN_XML_H
#define DDEBUG_DOMAIN_XML_H

#include <glib.h>

#define DDEBUG_DOMAIN_NAMESPACE "http://libvirt.org/schemas/domain/qemu/1.0"

typedef struct
{
  char *type;               /* "kvm", "qemu"; of other hypervisors others */
  char *arch;               /* NULL: not said */
  char *emulator;           /* NULL: not said */
  char *dac_label;          /* user and group that the domain itself names for QEMU; NULL: none */
  const char *root_bus;     /* QEMU's name of the PCI bus; NULL: no PCI, or not known */
  gboolean can_choose;      /* QEMU may choose the address there: libvirt plugs in nothing later */
  guint32 slots;            /* bit N: slot N of the root bus is taken */
  gboolean has_commandline; /* <qemu:commandline> is there */
  gboolean has_others;      /* and other elements of QEMU's driver */
  gboolean in_dac;          /* while it is parsed */
  GPtrArray *args;          /* of char *: its qemu:arg, in order */
  GPtrArray *envs;          /* of char *: its qemu:env, each a name and a value, which may be NULL */
  guint devices;            /* how many of args are our device */
  char *log;                /* file= of the first, an absolute path; NULL: no device, or it names none */
} DdebugDomain;

/* @xml: a <domain>; NULL with @error set if it is none. */
DdebugDomain *ddebug_domain_parse (const char *xml, GError **error);
void ddebug_domain_free (DdebugDomain *domain);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugDomain, ddebug_domain_free)

/* The highest free slot of the root bus, to which libvirt comes last; -1: there is none. */
int ddebug_domain_free_slot (const DdebugDomain *domain);

/**
 * ddebug_domain_device:
 * @log: an absolute path, UTF-8
 * @size: bytes, below 2^63; 0: as the log has it, or the default
 *
 * Returns: (transfer full): the value of QEMU's option -device, or %NULL with @error set
 * if the domain has no place for it
 */
char *ddebug_domain_device (const DdebugDomain *domain, const char *log, guint64 size, GError **error);

/**
 * ddebug_domain_add:
 * @xml: as libvirt writes it, with @domain in it
 * @plugin: (nullable): of -plugin, an absolute path
 * @device: of -device
 *
 * Returns: (transfer full): @xml with these at the end of the command line; %NULL with @error set
 */
char *ddebug_domain_add (const char *xml, const DdebugDomain *domain, const char *plugin, const char *device,
                         GError **error);

/*
 * The opposite: takes away all devices of ours, and the plugin, whoever has put them there.
 * What is left empty goes, too.
 */
char *ddebug_domain_remove (const char *xml, const DdebugDomain *domain, GError **error);

/* Appends the difference between two such XMLs, in the manner of diff -u. */
void ddebug_domain_diff (GString *out, const char *before, const char *after);

#endif
