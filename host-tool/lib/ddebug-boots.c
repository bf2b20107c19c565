/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The boots of a guest in a log, and how a user names one. */
#include "ddebug-boots.h"

#include <string.h>

#include "ddebug-wait.h"

gboolean
ddebug_boots_are_one (const DdebugEpoch *a, const DdebugEpoch *b)
{
  return a->attached && b->attached && memcmp (a->boot_id, b->boot_id, sizeof a->boot_id) == 0;
}

GArray *
ddebug_boots_find (DdebugDict *dict)
{
  g_autoptr (GPtrArray) epochs = ddebug_dict_epochs (dict);
  GArray *boots = g_array_new (FALSE, TRUE, sizeof (DdebugBoot));

  for (guint i = 0; i < epochs->len; i++)
    {
      const DdebugEpoch *epoch = g_ptr_array_index (epochs, i);
      DdebugBoot *boot = boots->len ? &g_array_index (boots, DdebugBoot, boots->len - 1) : NULL;

      if (!boot || !ddebug_boots_are_one (boot->epoch, epoch))
        {
          g_array_set_size (boots, boots->len + 1);
          boot = &g_array_index (boots, DdebugBoot, boots->len - 1);
          boot->from = epoch->number;
        }
      boot->epoch = epoch;
      boot->to = epoch->number;
      boot->first = boot->first ? boot->first : epoch->first;
      boot->last = epoch->last ? epoch->last : boot->last;
      boot->unchecked |= epoch->unchecked;
      boot->messages += epoch->messages;
      if (epoch->notice > boot->notice)
        {
          boot->notice = epoch->notice;
          boot->noticed = epoch->noticed;
        }
    }
  return boots;
}

const DdebugBoot *
ddebug_boots_of (const GArray *boots, guint32 epoch)
{
  for (guint i = 0; i < boots->len; i++)
    {
      const DdebugBoot *boot = &g_array_index (boots, DdebugBoot, i);

      if (epoch >= boot->from && epoch <= boot->to)
        return boot;
    }
  return NULL;
}

/* Must create epochs for the same chunks as ddebug-view. */
static void
scan_chunk (DdebugDict *dict, const DdebugChunk *chunk)
{
  if (chunk->type == DDEBUG_LOG_CHUNK_DATA)
    {
      DdebugEpoch *epoch = ddebug_dict_epoch (dict, chunk->epoch);

      ddebug_dict_instance (dict, epoch);
      ddebug_epoch_note_data (epoch, chunk);
    }
  else if (!chunk->payload)
    return;
  else if (chunk->type == DDEBUG_LOG_CHUNK_ATTACH)
    ddebug_dict_attach (dict, chunk);
  else if ((chunk->type == DDEBUG_LOG_CHUNK_DICT && chunk->len)
           || (chunk->type == DDEBUG_LOG_CHUNK_EVENT && chunk->len >= sizeof (struct ddebug_log_event)
               && chunk->epoch))
    ddebug_dict_epoch (dict, chunk->epoch);
}

gboolean
ddebug_boots_scan (DdebugReader *reader, gboolean live, DdebugDict *dict, GError **error)
{
  DdebugChunk chunk;

  ddebug_reader_set_live (reader, live);
  ddebug_reader_set_snapshot (reader);
  while (!ddebug_wait_signal ())
    switch (ddebug_reader_next (reader, &chunk, error))
      {
      case DDEBUG_READ_CHUNK:
        scan_chunk (dict, &chunk);
        break;
      case DDEBUG_READ_DAMAGE:
      case DDEBUG_READ_LAPPED:
        break;
      case DDEBUG_READ_END:
      case DDEBUG_READ_OTHER: /* reading the messages will return it again */
        return TRUE;
      case DDEBUG_READ_ERROR:
      default:
        return FALSE;
      }
  return TRUE;
}

/* ---- names ---- */

/*
 * Parse 32 digits, with all or none of the dashes of a UUID; return the number of characters, 0 if
 * invalid.
 */
static gsize
parse_id (const char *text, guint8 id[16])
{
  const char *p = text;

  for (guint i = 0; i < 32; i++, p++)
    {
      if ((i == 8 || i == 12 || i == 16 || i == 20) && *p == '-')
        p++;
      if (!g_ascii_isxdigit (*p))
        return 0;
      id[i / 2] = i % 2 ? id[i / 2] << 4 | g_ascii_xdigit_value (*p) : g_ascii_xdigit_value (*p);
    }
  return p - text == 32 || p - text == 36 ? p - text : 0;
}

gboolean
ddebug_boot_name_parse (const char *text, DdebugBootName *name)
{
  gsize n = parse_id (text, name->id);

  name->by_id = n > 0;
  name->offset = 0;
  text += n;
  if (name->by_id && *text == '\0')
    return TRUE;
  if (name->by_id && *text != '+' && *text != '-')
    return FALSE;
  return g_ascii_string_to_signed (text, 10, G_MININT32, G_MAXINT32, &name->offset, NULL);
}

/* The index of the newest boot with that ID; -1: none. */
static gint64
find_id (const GArray *boots, const guint8 id[16])
{
  gint64 at = boots->len;

  while (--at >= 0)
    {
      const DdebugEpoch *epoch = g_array_index (boots, DdebugBoot, at).epoch;

      if (epoch->attached && memcmp (epoch->boot_id, id, sizeof epoch->boot_id) == 0)
        break;
    }
  return at;
}

const DdebugBoot *
ddebug_boots_choose (const GArray *boots, const DdebugBootName *name, const char *text, const char *path,
                     GError **error)
{
  gint64 base = name->by_id ? find_id (boots, name->id) : name->offset > 0 ? -1 : (gint64) boots->len - 1;
  gint64 at = base + name->offset;

  if (boots->len == 0)
    g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_BOOT, "%s: the log has no boots yet", path);
  else if (name->by_id && base < 0)
    g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_BOOT,
                 "%s: boot %s is not in the log; --list-boots lists those that are", path, text);
  else if (at < 0 || at >= boots->len)
    g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_BOOT,
                 "%s: boot %s is not in the log, which has %u: %d to 0 (the newest), or 1 (the oldest) to %u; "
                 "see --list-boots", path, text, boots->len, 1 - (int) boots->len, boots->len);
  else
    return &g_array_index (boots, DdebugBoot, at);
  return NULL;
}
