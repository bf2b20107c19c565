/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which items are shown.
 *
 * A message is left out only if it surely is not what was asked for.  A notice of
 * something missing is left out only if that surely was not: it follows boot, time
 * and CPU, and no text.  What concerns the log as a whole, damage for instance, is
 * never left out.
 */
#ifndef DDEBUG_FILTER_H
#define DDEBUG_FILTER_H

#include <glib.h>

#include "ddebug-boots.h"
#include "ddebug-error.h"
#include "ddebug-merge.h"

typedef struct DdebugFilter DdebugFilter;

/* Lets everything pass. */
DdebugFilter *ddebug_filter_new (void);
void ddebug_filter_free (DdebugFilter *filter);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugFilter, ddebug_filter_free)

/*
 * What the options --boot and so on ask for; FALSE with @error set, which names the
 * option, if @text is not of its language.  Each replaces what was set before.
 */
gboolean ddebug_filter_set_boot (DdebugFilter *filter, const char *text, GError **error);

/* @now: us since 1970; times without a zone are in the local one. */
gboolean ddebug_filter_set_since (DdebugFilter *filter, const char *text, gint64 now, GError **error);
gboolean ddebug_filter_set_until (DdebugFilter *filter, const char *text, gint64 now, GError **error);

/* Numbers and ranges: 0-3,7 */
gboolean ddebug_filter_set_cpus (DdebugFilter *filter, const char *text, GError **error);

typedef enum
{
  DDEBUG_CASE_AUTO,         /* sensitive, unless all letters of the pattern are small */
  DDEBUG_CASE_SENSITIVE,
  DDEBUG_CASE_INSENSITIVE,
} DdebugCase;

/* A regular expression (PCRE2) over the bytes of messages; letters, whose case this is of, are ASCII's. */
gboolean ddebug_filter_set_grep (DdebugFilter *filter, const char *pattern, DdebugCase sensitive, GError **error);
/* See ddebug-query.h; what is added is an alternative to what was before. */
gboolean ddebug_filter_add_query (DdebugFilter *filter, const char *text, GError **error);

gboolean ddebug_filter_has_boot (const DdebugFilter *filter);

/* FALSE: what is asked for cannot be, since it is to end before it begins. */
gboolean ddebug_filter_is_possible (const DdebugFilter *filter);
/* ns since 1970, the last that passes; G_MAXUINT64: there is none. */
guint64 ddebug_filter_until (const DdebugFilter *filter);
/* Whether anything between these, ns since 1970, may pass as far as time goes. */
gboolean ddebug_filter_overlaps (const DdebugFilter *filter, guint64 first, guint64 last);

/* What a filter keeps of one log, while it is read. */
typedef struct
{
  guint32 from;             /* numbers of the epochs that pass */
  guint32 to;
  gboolean inside;          /* the last item that was of an epoch was of one of them */
  gboolean gave_up;         /* the pattern takes too long for a message, which passed */
} DdebugFilterPlace;

typedef enum
{
  DDEBUG_FILTER_BOOT_ALONE, /* the boot that was named */
  DDEBUG_FILTER_BOOT_ON,    /* if it is the newest, those that come after it, too */
  DDEBUG_FILTER_BOOT_NEWEST, /* the same, and it is an error if it is not */
} DdebugFilterBoot;

/**
 * ddebug_filter_begin:
 * @reader: of the log; is not read
 * @live: somebody may be writing it
 * @path: its name, for @error
 * @place: (out): to be handed on to ddebug_filter_passes()
 *
 * Looks which epochs are those of the boot; reads the log once for it, if the filter has one.  With
 * another @how than %DDEBUG_FILTER_BOOT_ALONE the newest boot of a log that has none yet is the one that comes.
 *
 * Returns: %FALSE with @error set if the log has no such boot (%DDEBUG_ERROR_BOOT), or could not be read
 */
gboolean ddebug_filter_begin (const DdebugFilter *filter, DdebugReader *reader, gboolean live, DdebugFilterBoot how,
                              const char *path, DdebugFilterPlace *place, GError **error);

/* Whether @item, the next of the log that @place belongs to, is to be shown. */
gboolean ddebug_filter_passes (const DdebugFilter *filter, DdebugFilterPlace *place, const DdebugItem *item);

#endif
