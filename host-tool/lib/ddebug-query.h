/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queries in the language of the kernel's dynamic-debug-howto, over the callsites of a log:
 *
 *   text   := query { (';' | newline) query }
 *   query  := { keyword value }
 *   word   := text between blanks, or between two " or two '
 *
 * The guest's driver has a parser of its own, under another licence, which must match the kernel's
 * exactly and sets flags.  tests/unit/test-query.c runs the same cases on both.  A query means the same
 * here, except that
 *   - there are no flags, and any number of pairs,
 *   - only ASCII blanks are blanks,
 *   - there is no keyword class, which a log does not record; callsites that have a class are treated
 *     like others.
 */
#ifndef DDEBUG_QUERY_H
#define DDEBUG_QUERY_H

#include <glib.h>

#include "ddebug-dict.h"

typedef struct DdebugQueries DdebugQueries;

/* An empty set, which matches no callsite. */
DdebugQueries *ddebug_queries_new (void);
void ddebug_queries_free (DdebugQueries *queries);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugQueries, ddebug_queries_free)

/**
 * ddebug_queries_add:
 *
 * Add the queries of @text, as alternatives to those added before.
 *
 * Returns: %FALSE with @error set, without the name of an option, if a query is malformed or @text
 *   has none; some may have been added
 */
gboolean ddebug_queries_add (DdebugQueries *queries, const char *text, GError **error);

/* Whether one of @queries matches @callsite.  Strings that the guest truncated are assumed to match. */
gboolean ddebug_queries_match (const DdebugQueries *queries, const DdebugCallsite *callsite);

#endif
