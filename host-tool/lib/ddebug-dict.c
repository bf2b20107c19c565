/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Epochs, driver instances and callsites of a log.
 *
 * Payloads are stored unchanged and parsed on lookup.  So the memory used is that of the dictionary in
 * the file, plus a few words for each entry, which has at least 24 bytes.
 *
 * Guests choose the numbers of callsites and the names of instances.  No choice may make a table slow.
 */
#include "ddebug-dict.h"

#include <string.h>

#include "virtio_ddebug.h"

struct DdebugDict
{
  GHashTable *epochs;       /* number -> DdebugEpoch */
  GTree *with_callsites;    /* number -> DdebugEpoch, those that have any, in order */
  GPtrArray *instances;
  GTree *instances_by_name;
  GDestroyNotify free_stream;
};

static void
forget_callsites (DdebugEpoch *epoch)
{
  g_clear_pointer (&epoch->by_id, g_hash_table_unref);
  g_clear_pointer (&epoch->payloads, g_ptr_array_unref);
}

static void
epoch_free (gpointer data)
{
  DdebugEpoch *epoch = data;

  forget_callsites (epoch);
  g_free (epoch);
}

static void
instance_free (gpointer data)
{
  DdebugInstance *instance = data;

  g_free (instance->name);
  g_hash_table_unref (instance->streams);
  g_free (instance);
}

/* A hash that cannot be predicted, for tables whose keys a guest or a log chooses. */
static guint
hash_number (gconstpointer number)
{
  /* Multiply-shift: a universal hash as long as nobody can guess the factor, which must be odd. */
  static guint64 factor;

  if (factor == 0)
    factor = (guint64) g_random_int () << 32 | g_random_int () | 1;
  return GPOINTER_TO_UINT (number) * factor >> 32;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (a, b);
}

static int
compare_numbers (gconstpointer a, gconstpointer b)
{
  guint x = GPOINTER_TO_UINT (a), y = GPOINTER_TO_UINT (b);

  return (x > y) - (x < y);
}

DdebugDict *
ddebug_dict_new (GDestroyNotify free_stream)
{
  DdebugDict *dict = g_new0 (DdebugDict, 1);

  dict->epochs = g_hash_table_new_full (hash_number, NULL, NULL, epoch_free);
  dict->with_callsites = g_tree_new (compare_numbers);
  dict->instances = g_ptr_array_new_with_free_func (instance_free);
  dict->instances_by_name = g_tree_new (compare_names);
  dict->free_stream = free_stream;
  return dict;
}

void
ddebug_dict_free (DdebugDict *dict)
{
  if (!dict)
    return;
  g_tree_unref (dict->instances_by_name);
  g_ptr_array_unref (dict->instances);
  g_tree_unref (dict->with_callsites);
  g_hash_table_unref (dict->epochs);
  g_free (dict);
}

DdebugEpoch *
ddebug_dict_epoch (DdebugDict *dict, guint32 number)
{
  DdebugEpoch *epoch = g_hash_table_lookup (dict->epochs, GUINT_TO_POINTER (number));

  if (epoch)
    return epoch;
  epoch = g_new0 (DdebugEpoch, 1);
  epoch->number = number;
  g_hash_table_insert (dict->epochs, GUINT_TO_POINTER (number), epoch);
  return epoch;
}

/* The name identifies the instance: its id or, if that is unknown, its only epoch. */
static char *
instance_name (const DdebugEpoch *epoch)
{
  if (epoch->attached)
    return g_strdup_printf ("instance %016" G_GINT64_MODIFIER "x", epoch->instance_id);
  return g_strdup_printf ("epoch %u", epoch->number);
}

DdebugInstance *
ddebug_dict_instance (DdebugDict *dict, DdebugEpoch *epoch)
{
  g_autofree char *name = NULL;
  DdebugInstance *instance;

  if (epoch->instance)
    return epoch->instance;
  name = instance_name (epoch);
  instance = g_tree_lookup (dict->instances_by_name, name);
  if (instance)
    {
      instance->epoch = MAX (instance->epoch, epoch->number);
      return epoch->instance = instance;
    }
  instance = g_new0 (DdebugInstance, 1);
  instance->name = g_steal_pointer (&name);
  instance->epoch = epoch->number;
  instance->streams = g_hash_table_new_full (hash_number, NULL, NULL, dict->free_stream);
  g_ptr_array_add (dict->instances, instance);
  g_tree_insert (dict->instances_by_name, instance->name, instance);
  return epoch->instance = instance;
}

void
ddebug_epoch_note_data (DdebugEpoch *epoch, const DdebugChunk *chunk)
{
  if (chunk->from_ring)
    {
      epoch->unchecked |= chunk->payload != NULL;
      return;
    }
  epoch->first = epoch->first ? epoch->first : chunk->realtime;
  epoch->last = chunk->realtime;
}

gboolean
ddebug_dict_attach (DdebugDict *dict, const DdebugChunk *chunk)
{
  DdebugEpoch *epoch = ddebug_dict_epoch (dict, chunk->epoch);
  struct virtio_ddebug_attach attach;

  if (chunk->len < sizeof attach)
    return FALSE;
  /* A second one, or one after messages were shown, would move streams to another instance. */
  if (epoch->attached || epoch->instance)
    return TRUE;
  memcpy (&attach, chunk->payload, sizeof attach);
  epoch->attached = TRUE;
  epoch->realtime = chunk->realtime;
  memcpy (epoch->boot_id, attach.boot_id, sizeof epoch->boot_id);
  epoch->instance_id = GUINT64_FROM_LE (attach.instance);
  epoch->clock = GUINT64_FROM_LE (attach.clock);
  epoch->guest_realtime = GUINT64_FROM_LE (attach.realtime);
  epoch->nr_cpus = GUINT32_FROM_LE (attach.nr_cpus);
  memcpy (epoch->release, attach.release, sizeof attach.release);
  memcpy (epoch->driver, attach.driver, sizeof attach.driver);
  ddebug_dict_instance (dict, epoch);
  return TRUE;
}

/* Parse the entry at @p, of @avail bytes at most; return its length, or 0 if it is malformed. */
static guint32
parse_callsite (const guint8 *p, gsize avail, DdebugCallsite *callsite)
{
  struct ddebug_callsite disk;
  guint32 len;

  if (avail < sizeof disk)
    return 0;
  memcpy (&disk, p, sizeof disk);
  len = GUINT32_FROM_LE (disk.len);
  callsite->id = GUINT32_FROM_LE (disk.id);
  callsite->line = GUINT32_FROM_LE (disk.line);
  callsite->flags = GUINT16_FROM_LE (disk.flags);
  callsite->module_len = GUINT16_FROM_LE (disk.module_len);
  callsite->function_len = GUINT16_FROM_LE (disk.function_len);
  callsite->file_len = GUINT16_FROM_LE (disk.file_len);
  callsite->format_len = GUINT16_FROM_LE (disk.format_len);
  callsite->packed_len = GUINT16_FROM_LE (disk.packed_len);
  if (len > avail || len > DDEBUG_CALLSITE_MAX || len % 8 != 0 || callsite->id == 0
      || sizeof disk + callsite->module_len + callsite->function_len + callsite->file_len
                 + callsite->format_len + callsite->packed_len > len)
    return 0;
  callsite->module = p + sizeof disk;
  callsite->function = callsite->module + callsite->module_len;
  callsite->file = callsite->function + callsite->function_len;
  callsite->format = callsite->file + callsite->file_len;
  callsite->packed = callsite->format + callsite->format_len;
  if (callsite->packed_len == 0)
    {
      callsite->packed = callsite->format;
      callsite->packed_len = callsite->format_len;
    }
  return len;
}

gboolean
ddebug_dict_add (DdebugDict *dict, const DdebugChunk *chunk)
{
  DdebugEpoch *epoch = ddebug_dict_epoch (dict, chunk->epoch);
  DdebugCallsite callsite;
  guint8 *payload;
  gsize at = 0;
  guint32 len;

  /* An empty chunk is not damage.  g_memdup2() would return NULL, to which no offset can be added. */
  if (chunk->len == 0)
    return TRUE;
  if (!epoch->by_id)
    {
      epoch->by_id = g_hash_table_new (hash_number, NULL);
      epoch->payloads = g_ptr_array_new_with_free_func (g_free);
      g_tree_insert (dict->with_callsites, GUINT_TO_POINTER (epoch->number), epoch);
    }
  payload = g_memdup2 (chunk->payload, chunk->len);
  g_ptr_array_add (epoch->payloads, payload);
  while ((len = parse_callsite (payload + at, chunk->len - at, &callsite)) != 0)
    {
      g_hash_table_insert (epoch->by_id, GUINT_TO_POINTER (callsite.id), payload + at);
      at += len;
    }
  epoch->callsites = g_hash_table_size (epoch->by_id);
  return at == chunk->len;
}

gboolean
ddebug_dict_lookup (const DdebugEpoch *epoch, guint32 id, DdebugCallsite *callsite)
{
  const guint8 *entry = epoch->by_id ? g_hash_table_lookup (epoch->by_id, GUINT_TO_POINTER (id)) : NULL;

  if (!entry)
    return FALSE;
  /* The table contains only entries that were parsed successfully. */
  parse_callsite (entry, DDEBUG_CALLSITE_MAX, callsite);
  return TRUE;
}

void
ddebug_dict_forget_before (DdebugDict *dict, guint32 number)
{
  GTreeNode *first;

  while ((first = g_tree_node_first (dict->with_callsites))
         && GPOINTER_TO_UINT (g_tree_node_key (first)) < number)
    {
      forget_callsites (g_tree_node_value (first));
      g_tree_remove (dict->with_callsites, g_tree_node_key (first));
    }
}

static int
compare_epochs (gconstpointer a, gconstpointer b)
{
  const DdebugEpoch *x = *(DdebugEpoch *const *) a, *y = *(DdebugEpoch *const *) b;

  return compare_numbers (GUINT_TO_POINTER (x->number), GUINT_TO_POINTER (y->number));
}

GPtrArray *
ddebug_dict_epochs (DdebugDict *dict)
{
  GPtrArray *epochs = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer epoch;

  g_hash_table_iter_init (&iter, dict->epochs);
  while (g_hash_table_iter_next (&iter, NULL, &epoch))
    g_ptr_array_add (epochs, epoch);
  g_ptr_array_sort (epochs, compare_epochs);
  return epochs;
}

GPtrArray *
ddebug_dict_instances (DdebugDict *dict)
{
  return dict->instances;
}
