/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which items are shown.
 *
 * A message is omitted only if it certainly does not match.  A notice of missing messages is omitted
 * only if they certainly do not match by boot, time or CPU; their text is not considered.  A notice
 * that concerns the whole log, such as damage, is never omitted.
 */
#ifndef DDEBUG_FILTER_H
#define DDEBUG_FILTER_H

#include <glib.h>

#include "ddebug-boots.h"
#include "ddebug-error.h"
#include "ddebug-merge.h"

typedef struct DdebugFilter DdebugFilter;

/* A filter that passes everything. */
DdebugFilter *ddebug_filter_new (void);
void ddebug_filter_free (DdebugFilter *filter);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugFilter, ddebug_filter_free)

/*
 * Set what the options --boot and so on ask for, replacing what was set before; FALSE with @error set,
 * which names the option, if @text is invalid.
 */
gboolean ddebug_filter_set_boot (DdebugFilter *filter, const char *text, GError **error);

/* @now: us since 1970.  Times without a zone are local. */
gboolean ddebug_filter_set_since (DdebugFilter *filter, const char *text, gint64 now, GError **error);
gboolean ddebug_filter_set_until (DdebugFilter *filter, const char *text, gint64 now, GError **error);

/* Numbers and ranges: 0-3,7 */
gboolean ddebug_filter_set_cpus (DdebugFilter *filter, const char *text, GError **error);

typedef enum
{
  DDEBUG_CASE_AUTO,         /* sensitive only if the pattern has a capital letter */
  DDEBUG_CASE_SENSITIVE,
  DDEBUG_CASE_INSENSITIVE,
} DdebugCase;

/* A regular expression (PCRE2) over the bytes of messages; @sensitive concerns ASCII letters. */
gboolean ddebug_filter_set_grep (DdebugFilter *filter, const char *pattern, DdebugCase sensitive,
                                 GError **error);
/* Add a query as an alternative to those added before; see ddebug-query.h. */
gboolean ddebug_filter_add_query (DdebugFilter *filter, const char *text, GError **error);

gboolean ddebug_filter_has_boot (const DdebugFilter *filter);

/* FALSE: nothing can match, because --until is before --since. */
gboolean ddebug_filter_is_possible (const DdebugFilter *filter);
/* The last time that passes, ns since 1970; G_MAXUINT64: no limit. */
guint64 ddebug_filter_until (const DdebugFilter *filter);
/* Whether anything between @first and @last, ns since 1970, can pass by its time. */
gboolean ddebug_filter_overlaps (const DdebugFilter *filter, guint64 first, guint64 last);

/* State of a filter for one log that is read. */
typedef struct
{
  guint32 from;             /* first number of the epochs that pass */
  guint32 to;               /* last number */
  gboolean inside;          /* the last item with an epoch was of one of them */
  gboolean gave_up;         /* the pattern took too long on a message, which passed */
} DdebugFilterPlace;

typedef enum
{
  DDEBUG_FILTER_BOOT_ALONE, /* the named boot */
  DDEBUG_FILTER_BOOT_ON,    /* if it is the newest, later ones as well */
  DDEBUG_FILTER_BOOT_NEWEST, /* the same, and an error if it is not the newest */
} DdebugFilterBoot;

/**
 * ddebug_filter_start:
 * @reader: of the log; its position does not change
 * @live: the log may have a writer
 * @path: the log, for @error
 * @place: (out): state to pass to ddebug_filter_passes()
 *
 * Find the epochs of the boot; if the filter has one, this reads the log once.  Unless @how is
 * %DDEBUG_FILTER_BOOT_ALONE, the newest boot of a log without boots is the next one to appear.
 *
 * Returns: %FALSE with @error set if the log has no such boot (%DDEBUG_ERROR_BOOT) or cannot be read
 */
gboolean ddebug_filter_start (const DdebugFilter *filter, DdebugReader *reader, gboolean live,
                              DdebugFilterBoot how,
                              const char *path, DdebugFilterPlace *place, GError **error);

/* Whether to show @item, the next one of the log that @place belongs to. */
gboolean ddebug_filter_passes (const DdebugFilter *filter, DdebugFilterPlace *place, const DdebugItem *item);

#endif
