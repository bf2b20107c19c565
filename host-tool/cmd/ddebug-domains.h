/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SOURCEs that are libvirt domains, and --list. */
#ifndef DDEBUG_DOMAINS_H
#define DDEBUG_DOMAINS_H

#include <glib.h>

#include "ddebug-common.h"

/* Prefix of a SOURCE that is always a domain, never a file. */
#define DDEBUG_DOMAIN_PREFIX "domain:"

/* The logs that SOURCEs name, in the same order. */
typedef struct
{
  GPtrArray *paths;         /* of char * */
  GPtrArray *names;         /* of char *: the domain's name, or NULL for a file; as many as paths */
} DdebugLogPaths;

void ddebug_log_paths_clear (DdebugLogPaths *logs);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (DdebugLogPaths, ddebug_log_paths_clear)

/**
 * ddebug_host_resolve:
 * @uri: (nullable): libvirt URI; %NULL: libvirt's default
 * @wait: the caller waits for logs that do not exist yet
 * @names: (nullable): the SOURCEs, %NULL-terminated
 * @logs: (out): in the same order
 *
 * Find the logs that SOURCEs name.  Connect to libvirt only if one of them is not a file.  A signal
 * ends the process immediately in here.
 *
 * Returns: the exit status; errors were reported
 */
int ddebug_host_resolve (const char *uri, gboolean wait, char **names, DdebugLogPaths *logs);

/* --list: returns the exit status. */
int ddebug_host_list_domains (const DdebugOptions *options, DdebugWait *wait);

#endif
