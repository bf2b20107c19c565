/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queries in the language of the kernel's dynamic-debug-howto, over callsites of a
 * log:
 *
 *   text   := query { (';' | newline) query }
 *   query  := { keyword value }
 *   word   := what is between blanks, or between two " or two '
 *
 * The guest's driver has a parser of its own, of another licence, which must be
 * the kernel's to the letter and has flags to set.  tests/unit/test-query.c holds
 * both against the same cases.  What a query says means the same here, but that
 *   - there are no flags, and any number of pairs,
 *   - a blank is one of ASCII's,
 *   - there is no keyword class, which a log does not know, and callsites that have a
 *     class are as others.
 */
#ifndef DDEBUG_QUERY_H
#define DDEBUG_QUERY_H

#include <glib.h>

#include "ddebug-dict.h"

typedef struct DdebugQueries DdebugQueries;

/* None yet: means no callsite. */
DdebugQueries *ddebug_queries_new (void);
void ddebug_queries_free (DdebugQueries *queries);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugQueries, ddebug_queries_free)

/**
 * ddebug_queries_add:
 *
 * Adds the queries of @text, which are alternatives to those that are there.
 *
 * Returns: %FALSE with @error set, which names no option, if one is malformed or there is none;
 *   some may have been added
 */
gboolean ddebug_queries_add (DdebugQueries *queries, const char *text, GError **error);

/* Whether one of @queries means @callsite; what was cut off its strings by the guest is taken to fit. */
gboolean ddebug_queries_match (const DdebugQueries *queries, const DdebugCallsite *callsite);

#endif
