/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt, as far as the tool needs it.  Its library is loaded on demand, so the tool runs without
 * libvirt, and reading a file does not wait for it.
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
  DDEBUG_LIBVIRT_READ,      /* what any user may do */
  DDEBUG_LIBVIRT_WRITE,
} DdebugLibvirtMode;

/**
 * ddebug_libvirt_open:
 * @uri: (nullable): as for virsh --connect; %NULL: its default
 *
 * Connect to libvirt on this machine.  Other machines are refused: logs are local files.
 *
 * Returns: (transfer full): the connection, or %NULL with @error set
 */
DdebugLibvirt *ddebug_libvirt_open (const char *uri, DdebugLibvirtMode mode, GError **error);
void ddebug_libvirt_free (DdebugLibvirt *libvirt);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugLibvirt, ddebug_libvirt_free)

/* The URI of the connection. */
const char *ddebug_libvirt_uri (DdebugLibvirt *libvirt);
/* Whether QEMU runs as a user of its own, that is, whether the URI is not a session's. */
gboolean ddebug_libvirt_is_system (DdebugLibvirt *libvirt);

typedef struct
{
  char *name;
  char uuid[37];
  int id;                   /* -1: not running */
  const char *state;        /* as in virsh list */
  gboolean is_persistent;
  char *log;                /* of its device: of the running VM, otherwise as configured; NULL: none */
} DdebugVm;

void ddebug_vm_free (DdebugVm *vm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugVm, ddebug_vm_free)

/**
 * ddebug_libvirt_find:
 * @name: name, id or UUID, as for virsh
 *
 * Returns: (transfer full): the domain, or %NULL with @error set, %DDEBUG_ERROR_NOT_FOUND if it does
 * not exist
 */
DdebugVm *ddebug_libvirt_find (DdebugLibvirt *libvirt, const char *name, GError **error);

/* All domains, sorted by name: array of DdebugVm (transfer full); NULL with @error set. */
GPtrArray *ddebug_libvirt_list (DdebugLibvirt *libvirt, GError **error);

/*
 * The persistent configuration of a domain as libvirt writes it (transfer full); %NULL with @error
 * set.  @secure: include passwords, as needed to define the domain again.
 */
char *ddebug_libvirt_config (DdebugLibvirt *libvirt, const DdebugVm *vm, gboolean secure, GError **error);
/* Define a domain, or redefine the one with the same name and UUID. */
gboolean ddebug_libvirt_define (DdebugLibvirt *libvirt, const char *xml, GError **error);

/**
 * ddebug_libvirt_user:
 * @type: of the domain: "kvm", "qemu"
 *
 * Find the user and group that QEMU runs as unless the domain names them; %FALSE: libvirt does not
 * switch users.
 */
gboolean ddebug_libvirt_user (DdebugLibvirt *libvirt, const char *type, uid_t *uid, gid_t *gid);

/* Parse "+64055:+64055", "qemu:qemu"; FALSE if there is no such user or group. */
gboolean ddebug_libvirt_parse_user (const char *label, uid_t *uid, gid_t *gid);

/**
 * ddebug_libvirt_watch:
 *
 * Subscribe to libvirt's events, which are handled in a thread of their own.
 *
 * Returns: an eventfd that becomes readable when a domain was added, removed or changed its state, or
 * the connection broke; it is shared by all connections and must not be closed; -1 with @error set
 */
int ddebug_libvirt_watch (DdebugLibvirt *libvirt, GError **error);
/* Whether the daemon still answers. */
gboolean ddebug_libvirt_is_alive (DdebugLibvirt *libvirt);

#endif
