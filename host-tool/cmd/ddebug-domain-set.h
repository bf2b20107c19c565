/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The libvirt domains that --all shows, while they come and go.
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
 * Asks libvirt, and, unless @show is %DDEBUG_SHOW_TRACE, goes on listening to it: ddebug_host_wait()
 * then returns %DDEBUG_WAKE_COUNTER.  @options, @wait and @sources must outlive it.
 *
 * Returns: (transfer full): %NULL with @error set if libvirt cannot be asked
 */
DdebugDomainSet *ddebug_domain_set_new (const DdebugOptions *options, DdebugShow show, DdebugWait *wait, GPtrArray *sources,
                               GError **error);
/* After the sources, whose options it has. */
void ddebug_domain_set_free (DdebugDomainSet *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugDomainSet, ddebug_domain_set_free)

/* Looks what has become of the domains; to be called after each ddebug_host_wait(), with what it returned. */
void ddebug_domain_set_wake (DdebugDomainSet *set, guint wake);

/* Whether no domain that comes from now on can have what is asked for. */
gboolean ddebug_domain_set_has_ended (DdebugDomainSet *set);

/* In how many ms it is to be called, whatever happens; -1: when something happens. */
int ddebug_domain_set_timeout (DdebugDomainSet *set);

#endif
