/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which items are shown: by boot, time, CPU, text and callsite. */
#include "ddebug-filter.h"

#include <string.h>

#include "ddebug-format.h"
#include "ddebug-render.h"
#include "ddebug-query.h"
#include "ddebug-time.h"
#include "ddebug-wait.h"

/*
 * Maximum steps and KiB that PCRE2 may use for one message: some milliseconds.  Otherwise a guest could
 * write a message on which its reader's pattern takes forever.  A pattern without nested repetitions
 * takes a few steps per byte, of which a message has at most 1023.
 */
#define GREP_LIMITS "(*LIMIT_MATCH=100000)(*LIMIT_DEPTH=100000)(*LIMIT_HEAP=65536)"

typedef struct
{
  guint32 first;
  guint32 last;
} CpuRange;

struct DdebugFilter
{
  char *boot_text;          /* NULL: any */
  DdebugBootName boot;
  guint64 since;            /* the first time that passes, ns since 1970 */
  guint64 until;            /* the last one */
  GArray *cpus;             /* of CpuRange; NULL: any */
  GRegex *grep;             /* NULL: any */
  DdebugQueries *queries;   /* NULL: any */
};

DdebugFilter *
ddebug_filter_new (void)
{
  DdebugFilter *filter = g_new0 (DdebugFilter, 1);

  filter->until = G_MAXUINT64;
  return filter;
}

void
ddebug_filter_free (DdebugFilter *filter)
{
  if (!filter)
    return;
  g_free (filter->boot_text);
  g_clear_pointer (&filter->cpus, g_array_unref);
  g_clear_pointer (&filter->grep, g_regex_unref);
  ddebug_queries_free (filter->queries);
  g_free (filter);
}

/* ---- the boot ---- */

gboolean
ddebug_filter_set_boot (DdebugFilter *filter, const char *text, GError **error)
{
  g_clear_pointer (&filter->boot_text, g_free);
  if (strcmp (text, "all") == 0)
    return TRUE;
  if (!ddebug_boot_name_parse (text, &filter->boot))
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   "--boot=%s: invalid boot; use 0 for the newest, -1 for the one before it, 1 for the oldest, "
                   "an ID from --list-boots, or ID+1 or ID-1", text);
      return FALSE;
    }
  filter->boot_text = g_strdup (text);
  return TRUE;
}

gboolean
ddebug_filter_has_boot (const DdebugFilter *filter)
{
  return filter->boot_text != NULL;
}

gboolean
ddebug_filter_start (const DdebugFilter *filter, DdebugReader *reader, gboolean live, DdebugFilterBoot how,
                     const char *path, DdebugFilterPlace *place, GError **error)
{
  g_autoptr (DdebugDict) dict = NULL;
  g_autoptr (DdebugReader) again = NULL;
  g_autoptr (GArray) boots = NULL;
  const DdebugBoot *boot;
  gboolean is_newest;

  *place = (DdebugFilterPlace){ .from = 0, .to = G_MAXUINT32 };
  if (!filter->boot_text)
    return TRUE;
  again = ddebug_reader_again (reader, error);
  dict = ddebug_dict_new (NULL);
  if (!again || !ddebug_boots_scan (again, live, dict, error))
    return FALSE;
  /* not all boots are known, but nothing will be shown any more */
  if (ddebug_wait_signal ())
    return TRUE;
  boots = ddebug_boots_find (dict);
  if (boots->len == 0 && how != DDEBUG_FILTER_BOOT_ALONE && !filter->boot.by_id && filter->boot.offset == 0)
    return TRUE;
  boot = ddebug_boots_choose (boots, &filter->boot, filter->boot_text, path, error);
  if (!boot)
    return FALSE;
  is_newest = boot == &g_array_index (boots, DdebugBoot, boots->len - 1);
  if (how == DDEBUG_FILTER_BOOT_NEWEST && !is_newest)
    {
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_BOOT,
                   "%s: boot %s is not the newest, and --pipe would consume later boots unseen; "
                   "use --trace or --boot=0", path, filter->boot_text);
      return FALSE;
    }
  place->from = boot->from;
  place->to = how != DDEBUG_FILTER_BOOT_ALONE && is_newest ? G_MAXUINT32 : boot->to;
  return TRUE;
}

/* An item without an epoch belongs to the one before it. */
static gboolean
passes_boot (DdebugFilterPlace *place, const DdebugItem *item)
{
  if (item->epoch)
    place->inside = item->epoch->number >= place->from && item->epoch->number <= place->to;
  return place->inside;
}

/* ---- the time ---- */

/* @last: for --until; it includes all of its last us, and of a time that comes twice the second.  Times beyond 64 bits of ns become the minimum or maximum. */
static gboolean
parse_time (const char *option, const char *text, gint64 now, gboolean last, guint64 *ns, GError **error)
{
  g_autoptr (GTimeZone) local = g_time_zone_new_local ();
  gint64 us;

  if (!ddebug_time_parse (text, now, local, last, &us))
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   "%s=%s: invalid time; use \"2026-11-24 10:00\", 10:00:05.123, yesterday, today, now, -1h, "
                   "\"5min ago\", @1700000000 or similar", option, text);
      return FALSE;
    }
  if (us < 0)
    *ns = 0;
  else if ((guint64) us >= G_MAXUINT64 / 1000)
    *ns = G_MAXUINT64;
  else
    *ns = (guint64) us * 1000 + (last ? 999 : 0);
  return TRUE;
}

gboolean
ddebug_filter_set_since (DdebugFilter *filter, const char *text, gint64 now, GError **error)
{
  return parse_time ("--since", text, now, FALSE, &filter->since, error);
}

gboolean
ddebug_filter_set_until (DdebugFilter *filter, const char *text, gint64 now, GError **error)
{
  return parse_time ("--until", text, now, TRUE, &filter->until, error);
}

gboolean
ddebug_filter_is_possible (const DdebugFilter *filter)
{
  return filter->since <= filter->until;
}

guint64
ddebug_filter_until (const DdebugFilter *filter)
{
  return filter->until;
}

gboolean
ddebug_filter_overlaps (const DdebugFilter *filter, guint64 first, guint64 last)
{
  return first <= filter->until && last >= filter->since;
}

/*
 * Missing messages are of any time between the message before them and the item after; 0 is any time.
 * What a QEMU that died left in the rings has no upper limit.
 */
static gboolean
passes_time (const DdebugFilter *filter, const DdebugItem *item)
{
  guint64 last = item->realtime && !item->unchecked ? item->realtime : G_MAXUINT64;
  gboolean is_moment = item->type == DDEBUG_ITEM_MESSAGE || item->type == DDEBUG_ITEM_EVENT;
  guint64 first = is_moment ? item->realtime : item->stream->realtime;

  /* nor does the stream that reports what no stream has recorded say since when */
  return ddebug_filter_overlaps (filter, item->type == DDEBUG_ITEM_UNRECORDED ? 0 : first, last);
}

/* ---- CPUs ---- */

static gboolean
parse_range (const char *text, CpuRange *range)
{
  g_auto (GStrv) ends = g_strsplit (text, "-", 2);
  guint64 first, last;

  if (!ends[0] || !g_ascii_string_to_unsigned (ends[0], 10, 0, G_MAXUINT32, &first, NULL))
    return FALSE;
  last = first;
  if (ends[1] && !g_ascii_string_to_unsigned (ends[1], 10, first, G_MAXUINT32, &last, NULL))
    return FALSE;
  *range = (CpuRange){ first, last };
  return TRUE;
}

gboolean
ddebug_filter_set_cpus (DdebugFilter *filter, const char *text, GError **error)
{
  g_auto (GStrv) parts = g_strsplit (text, ",", -1);
  CpuRange range;

  g_clear_pointer (&filter->cpus, g_array_unref);
  filter->cpus = g_array_new (FALSE, FALSE, sizeof (CpuRange));
  for (char **part = parts; *part; part++)
    {
      if (!parse_range (*part, &range))
        break;
      g_array_append_val (filter->cpus, range);
      if (!part[1])
        return TRUE;
    }
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
               "--cpu=%s: invalid CPU list; use numbers and ranges, for example 0-3,7", text);
  return FALSE;
}

static gboolean
passes_cpu (const DdebugFilter *filter, const DdebugItem *item)
{
  /* what no stream has recorded may have been on any CPU */
  if (!filter->cpus || !item->stream || item->type == DDEBUG_ITEM_UNRECORDED)
    return TRUE;
  for (guint i = 0; i < filter->cpus->len; i++)
    {
      const CpuRange *range = &g_array_index (filter->cpus, CpuRange, i);

      if (item->stream->cpu >= range->first && item->stream->cpu <= range->last)
        return TRUE;
    }
  return FALSE;
}

/* ---- texts ---- */

static gboolean
has_capital (const char *pattern)
{
  for (; *pattern; pattern++)
    if (g_ascii_isupper (*pattern))
      return TRUE;
  return FALSE;
}

/*
 * A guest's bytes need not be UTF-8 and are not checked for it, so the pattern is matched against
 * bytes.  The empty group prevents the pattern from enabling UTF-8 with "(*UTF)", which is recognized
 * only at the start.
 */
gboolean
ddebug_filter_set_grep (DdebugFilter *filter, const char *pattern, DdebugCase sensitive, GError **error)
{
  g_autofree char *limited = g_strconcat (GREP_LIMITS "(?:)", pattern, NULL);
  GRegexCompileFlags flags = G_REGEX_RAW;
  g_autoptr (GRegex) plain = NULL;
  g_autoptr (GError) why = NULL;

  if (sensitive == DDEBUG_CASE_INSENSITIVE || (sensitive == DDEBUG_CASE_AUTO && !has_capital (pattern)))
    flags |= G_REGEX_CASELESS;
  g_clear_pointer (&filter->grep, g_regex_unref);
  /* Compile what the user wrote first, so that errors refer to it. */
  plain = g_regex_new (pattern, flags, 0, &why);
  if (plain)
    filter->grep = g_regex_new (limited, flags | G_REGEX_OPTIMIZE, 0, NULL);
  if (!plain)
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--grep: %s", why->message);
  else if (!filter->grep)
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 "--grep=%s: a pattern must not start with an option such as (*UTF); remove it", pattern);
  return filter->grep != NULL;
}

static gboolean
passes_grep (const DdebugFilter *filter, DdebugFilterPlace *place, const DdebugItem *item)
{
  const DdebugMessage *message = &item->message;
  const char *text = (const char *) message->text;
  guint8 packed[DDEBUG_TEXT_MAX];
  g_autoptr (GError) error = NULL;
  gssize len = message->len;
  DdebugCallsite callsite;
  guint own;

  if (!filter->grep)
    return TRUE;
  own = ddebug_format_own_stamp (message);
  if (own)
    {
      text += own;
      len -= own;
    }
  else if (message->args)
    {
      len = ddebug_dict_lookup (item->epoch, message->callsite, &callsite)
                ? ddebug_render_packed (message, &callsite, packed) : -1;
      text = (const char *) packed;
    }
  /* an unreadable message could match */
  if (len < 0 || g_regex_match_full (filter->grep, text, len, 0, 0, NULL, &error))
    return TRUE;
  place->gave_up |= error != NULL;
  return error != NULL;
}

/* ---- callsites ---- */

gboolean
ddebug_filter_add_query (DdebugFilter *filter, const char *text, GError **error)
{
  g_autoptr (GError) why = NULL;

  if (!filter->queries)
    filter->queries = ddebug_queries_new ();
  if (ddebug_queries_add (filter->queries, text, &why))
    return TRUE;
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--query=%s: %s", text, why->message);
  return FALSE;
}

/* A message whose callsite is not in the log could match; a line of the kernel log has no callsite. */
static gboolean
passes_query (const DdebugFilter *filter, const DdebugItem *item)
{
  DdebugCallsite callsite;

  if (!filter->queries)
    return TRUE;
  if (item->message.is_kmsg)
    return FALSE;
  return !ddebug_dict_lookup (item->epoch, item->message.callsite, &callsite)
         || ddebug_queries_match (filter->queries, &callsite);
}

/* ---- items ---- */

gboolean
ddebug_filter_passes (const DdebugFilter *filter, DdebugFilterPlace *place, const DdebugItem *item)
{
  if (item->type == DDEBUG_ITEM_BAD_CHUNK || item->type == DDEBUG_ITEM_IO_LOST
      || item->type == DDEBUG_ITEM_UNSYNCED)
    return TRUE;
  if ((filter->boot_text && !passes_boot (place, item)) || !passes_time (filter, item)
      || !passes_cpu (filter, item))
    return FALSE;
  return item->type != DDEBUG_ITEM_MESSAGE
         || (passes_query (filter, item) && passes_grep (filter, place, item));
}
