/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The libvirt domains that --all shows, as they come and go.
 */
#ifndef DDEBUG_DOMAIN_SET_H
#define DDEBUG_DOMAIN_SET_H

#include <glib.h>

#include "ddebug-source.h"

typedef struct DdebugDomainSet DdebugDomainSet;

/**
 * ddebug_domain_set_new:
 * @sources: array of DdebugSource; one for each domain that has a log is added and kept up to date
 *
 * List the domains and, unless @show is %DDEBUG_SHOW_TRACE, subscribe to libvirt's events:
 * ddebug_host_wait() then returns %DDEBUG_WAKE_COUNTER.  @options, @wait and @sources must outlive
 * the set.
 *
 * Returns: (transfer full): %NULL with @error set if libvirt does not answer
 */
DdebugDomainSet *ddebug_domain_set_new (const DdebugOptions *options, DdebugShow show, DdebugWait *wait,
                                        GPtrArray *sources, GError **error);
/* Call after freeing the sources, which use its options. */
void ddebug_domain_set_free (DdebugDomainSet *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugDomainSet, ddebug_domain_set_free)

/* Update the set; @wake: what ddebug_host_wait() returned.  Call after each ddebug_host_wait(). */
void ddebug_domain_set_wake (DdebugDomainSet *set, guint wake);

/* Whether no domain that appears from now on can have what is asked for. */
gboolean ddebug_domain_set_has_ended (DdebugDomainSet *set);

/* The ms until ddebug_domain_set_wake() is due at the latest; -1: only when something happens. */
int ddebug_domain_set_timeout (DdebugDomainSet *set);

#endif
