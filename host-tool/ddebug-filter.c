/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ddebug-filter.h"

#include <string.h>

#include "ddebug-time.h"

struct DdebugFilter
{
  char *boot_text;          /* NULL: any */
  DdebugBootName boot;
  guint64 since;            /* ns since 1970, the first */
  guint64 until;            /* and the last */
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
                   "--boot=%s: not a boot; give 0 for the newest, -1 for the one before, 1 for the oldest, an id "
                   "of --list-boots, or an id and +1 or -1", text);
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
ddebug_filter_begin (const DdebugFilter *filter, DdebugReader *reader, gboolean live, DdebugFilterBoot how,
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
                   "%s: boot %s is not the newest, and --pipe would consume unseen what came after it; "
                   "use --trace, or the newest, which is 0", path, filter->boot_text);
      return FALSE;
    }
  place->from = boot->from;
  place->to = how != DDEBUG_FILTER_BOOT_ALONE && is_newest ? G_MAXUINT32 : boot->to;
  return TRUE;
}

/* What is of no epoch belongs to the one before it. */
static gboolean
passes_boot (DdebugFilterPlace *place, const DdebugItem *item)
{
  if (item->epoch)
    place->inside = item->epoch->number >= place->from && item->epoch->number <= place->to;
  return place->inside;
}

/* ---- the time ---- */

/* @rest: ns of a us that belong to it, too.  What 64 bits of ns cannot tell is before or after all. */
static gboolean
parse_time (const char *option, const char *text, gint64 now, guint64 rest, guint64 *ns, GError **error)
{
  g_autoptr (GTimeZone) local = g_time_zone_new_local ();
  gint64 us;

  if (!ddebug_time_parse (text, now, local, &us))
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   "%s=%s: not a time; give \"2026-11-24 10:00\", 10:00:05.123, yesterday, today, now, -1h, "
                   "\"5min ago\", @1700000000 or the like", option, text);
      return FALSE;
    }
  if (us < 0)
    *ns = 0;
  else if ((guint64) us >= G_MAXUINT64 / 1000)
    *ns = G_MAXUINT64;
  else
    *ns = (guint64) us * 1000 + rest;
  return TRUE;
}

gboolean
ddebug_filter_set_since (DdebugFilter *filter, const char *text, gint64 now, GError **error)
{
  return parse_time ("--since", text, now, 0, &filter->since, error);
}

gboolean
ddebug_filter_set_until (DdebugFilter *filter, const char *text, gint64 now, GError **error)
{
  return parse_time ("--until", text, now, 999, &filter->until, error);
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

/* What is missing was there at some time between the message before and what came next; 0 is any time. */
static gboolean
passes_time (const DdebugFilter *filter, const DdebugItem *item)
{
  guint64 last = item->realtime ? item->realtime : G_MAXUINT64;
  guint64 first = item->type == DDEBUG_ITEM_MESSAGE || item->type == DDEBUG_ITEM_EVENT ? item->realtime : item->after;

  return ddebug_filter_overlaps (filter, first, last);
}

/* ---- items ---- */

gboolean
ddebug_filter_passes (const DdebugFilter *filter, DdebugFilterPlace *place, const DdebugItem *item)
{
  if (item->type == DDEBUG_ITEM_BAD_CHUNK || item->type == DDEBUG_ITEM_IO_LOST)
    return TRUE;
  return (!filter->boot_text || passes_boot (place, item)) && passes_time (filter, item);
}
