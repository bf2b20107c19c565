/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt, as far as the tool needs it.  Its library is loaded when it is asked for, so
 * that those who have no libvirt need it not, and those who read a file do not wait for it.
 */
#ifndef DDEBUG_LIBVIRT_H
#define DDEBUG_LIBVIRT_H

#include <glib.h>
#include <sys/types.h>

#include "ddebug-domain-xml.h"
#include "ddebug-error.h"

typedef struct DdebugLibvirt DdebugLibvirt;

typedef enum
{
  DDEBUG_LIBVIRT_READ,      /* what everybody may ask */
  DDEBUG_LIBVIRT_WRITE,
} DdebugLibvirtMode;

/**
 * ddebug_libvirt_open:
 * @uri: (nullable): as for virsh --connect; %NULL: its default
 *
 * Connects to libvirt on this machine: a log is a file of it.
 *
 * Returns: (transfer full): the connection, or %NULL with @error set
 */
DdebugLibvirt *ddebug_libvirt_open (const char *uri, DdebugLibvirtMode mode, GError **error);
void ddebug_libvirt_free (DdebugLibvirt *libvirt);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugLibvirt, ddebug_libvirt_free)

/* The URI that was connected to. */
const char *ddebug_libvirt_uri (DdebugLibvirt *libvirt);
/* Whether its QEMUs run as a user of their own: not with a session's URI. */
gboolean ddebug_libvirt_is_system (DdebugLibvirt *libvirt);

typedef struct
{
  char *name;
  char uuid[37];
  int id;                   /* -1: does not run */
  const char *state;        /* as virsh list has it */
  gboolean is_persistent;
  char *log;                /* of its device: of the VM that runs, else as it is configured; NULL: none */
} DdebugVm;

void ddebug_vm_free (DdebugVm *vm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugVm, ddebug_vm_free)

/**
 * ddebug_libvirt_find:
 * @name: name, id or UUID, as for virsh
 *
 * Returns: (transfer full): the domain, or %NULL with @error set: %DDEBUG_ERROR_NOT_FOUND if
 * there is none
 */
DdebugVm *ddebug_libvirt_find (DdebugLibvirt *libvirt, const char *name, GError **error);

/* All domains, by name: array of DdebugVm (transfer full); NULL with @error set. */
GPtrArray *ddebug_libvirt_list (DdebugLibvirt *libvirt, GError **error);

/*
 * The persistent configuration of a domain as libvirt writes it; @secure: with passwords,
 * as it is needed to define it anew; %NULL with @error set.
 */
char *ddebug_libvirt_config (DdebugLibvirt *libvirt, const DdebugVm *vm, gboolean secure, GError **error);
/* Defines a domain, or the one anew that has its name and UUID. */
gboolean ddebug_libvirt_define (DdebugLibvirt *libvirt, const char *xml, GError **error);

/**
 * ddebug_libvirt_user:
 * @type: of the domain: "kvm", "qemu"
 *
 * Whom QEMU runs as, if the domain does not say; %FALSE: libvirt changes no user.
 */
gboolean ddebug_libvirt_user (DdebugLibvirt *libvirt, const char *type, uid_t *uid, gid_t *gid);

/* "+64055:+64055", "qemu:qemu"; FALSE if there are no such users. */
gboolean ddebug_libvirt_parse_user (const char *label, uid_t *uid, gid_t *gid);

/**
 * ddebug_libvirt_watch:
 *
 * From now on libvirt is listened to, in a thread that does nothing else.
 *
 * Returns: a descriptor that is readable (8 bytes, an eventfd) when a domain has come,
 * gone or changed its state, or the connection broke; the same for all connections, not to be
 * closed; -1 with @error set
 */
int ddebug_libvirt_watch (DdebugLibvirt *libvirt, GError **error);
/* Whether the daemon still answers. */
gboolean ddebug_libvirt_is_alive (DdebugLibvirt *libvirt);

#endif
