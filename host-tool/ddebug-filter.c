/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ddebug-filter.h"

#include <string.h>

struct DdebugFilter
{
  char *boot_text;          /* NULL: any */
  DdebugBootName boot;
};

DdebugFilter *
ddebug_filter_new (void)
{
  return g_new0 (DdebugFilter, 1);
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

/* ---- items ---- */

gboolean
ddebug_filter_passes (const DdebugFilter *filter, DdebugFilterPlace *place, const DdebugItem *item)
{
  if (item->type == DDEBUG_ITEM_BAD_CHUNK || item->type == DDEBUG_ITEM_IO_LOST)
    return TRUE;
  return !filter->boot_text || passes_boot (place, item);
}
