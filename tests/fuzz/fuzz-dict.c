/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dictionary.  Input: operations, each of kind (1 byte), epoch (1 byte),
 * length (2 bytes) and so many bytes: the payload of an ATTACH chunk, of a DICT
 * chunk, or nothing where callsites are forgotten.
 *
 * A list of entries, found in the same bytes by docs/log-format.md, says what
 * each lookup has to give.
 */
#include "fuzz.h"

#include <string.h>

#include "ddebug-dict.h"

#define N_ENTRIES 1024

typedef struct
{
  guint32 epoch;
  guint32 id;
  const guint8 *bytes;
} Entry;

typedef struct
{
  Entry entries[N_ENTRIES];
  guint n;
  gboolean attached[256];
} Model;

static guint32
strings_of (const guint8 *p)
{
  guint32 sum = 0;

  for (guint i = 14; i < 24; i += 2)
    sum += fuzz_le (p + i, 2);
  return sum;
}

/* TRUE if all of it was well-formed. */
static gboolean
model_add (Model *model, guint32 epoch, const guint8 *p, gsize len)
{
  while (len > 0)
    {
      guint32 whole = len < 24 ? 0 : fuzz_le (p, 4);

      if (whole < 24 || whole > len || whole > 4096 || whole % 8 || fuzz_le (p + 4, 4) == 0
          || 24 + strings_of (p) > whole)
        return FALSE;
      if (model->n < N_ENTRIES)
        model->entries[model->n++] = (Entry){ .epoch = epoch, .id = fuzz_le (p + 4, 4), .bytes = p };
      p += whole;
      len -= whole;
    }
  return TRUE;
}

static void
model_forget (Model *model, guint32 before)
{
  guint n = 0;

  for (guint i = 0; i < model->n; i++)
    if (model->entries[i].epoch >= before)
      model->entries[n++] = model->entries[i];
  model->n = n;
}

static void
check_entry (DdebugDict *dict, const Model *model, guint i)
{
  const Entry *entry = &model->entries[i];
  const guint8 *p = entry->bytes, *s = p + 24;
  DdebugCallsite got;

  /* A later one of the same number counts. */
  for (guint j = i + 1; j < model->n; j++)
    if (model->entries[j].epoch == entry->epoch && model->entries[j].id == entry->id)
      return;
  FUZZ_CHECK (ddebug_dict_lookup (ddebug_dict_epoch (dict, entry->epoch), entry->id, &got));
  FUZZ_CHECK (got.id == entry->id && got.line == fuzz_le (p + 8, 4) && got.flags == fuzz_le (p + 12, 2));
  FUZZ_CHECK (got.module_len == fuzz_le (p + 14, 2) && memcmp (got.module, s, got.module_len) == 0);
  s += got.module_len;
  FUZZ_CHECK (got.function_len == fuzz_le (p + 16, 2) && memcmp (got.function, s, got.function_len) == 0);
  s += got.function_len;
  FUZZ_CHECK (got.file_len == fuzz_le (p + 18, 2) && memcmp (got.file, s, got.file_len) == 0);
  s += got.file_len;
  FUZZ_CHECK (got.format_len == fuzz_le (p + 20, 2) && memcmp (got.format, s, got.format_len) == 0);
}

static void
check_epochs (DdebugDict *dict, const Model *model)
{
  g_autoptr (GPtrArray) epochs = ddebug_dict_epochs (dict);
  DdebugCallsite callsite;

  for (guint i = 0; i < epochs->len; i++)
    {
      DdebugEpoch *epoch = g_ptr_array_index (epochs, i);

      FUZZ_CHECK (i == 0 || epoch->number > ((DdebugEpoch *) g_ptr_array_index (epochs, i - 1))->number);
      FUZZ_CHECK (!epoch->attached || model->attached[epoch->number]);
      FUZZ_CHECK (strlen (epoch->release) <= 64 && strlen (epoch->driver) <= 32);
      FUZZ_CHECK (!ddebug_dict_lookup (epoch, 0, &callsite));
      FUZZ_CHECK (ddebug_dict_instance (dict, epoch) == epoch->instance && epoch->instance->epoch >= epoch->number);
    }
  FUZZ_CHECK (ddebug_dict_instances (dict)->len <= epochs->len);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  DdebugDict *dict = ddebug_dict_new (NULL);
  Model model;

  model.n = 0;
  memset (model.attached, 0, sizeof model.attached);
  while (size >= 4)
    {
      guint kind = data[0] % 4, len = MIN (fuzz_le (data + 2, 2), size - 4);
      /* a copy of its own, so that the sanitizer sees its end */
      g_autofree guint8 *payload = g_memdup2 (data + 4, len);
      DdebugChunk chunk = { .epoch = data[1], .len = len, .payload = payload };

      if (kind == 0)
        {
          FUZZ_CHECK (ddebug_dict_attach (dict, &chunk) == (len >= 160));
          model.attached[chunk.epoch] |= len >= 160;
        }
      else if (kind == 3)
        {
          ddebug_dict_forget_before (dict, chunk.epoch);
          model_forget (&model, chunk.epoch);
        }
      else
        {
          gboolean good = ddebug_dict_add (dict, &chunk);

          FUZZ_CHECK (good == model_add (&model, chunk.epoch, data + 4, len));
        }
      data += 4 + len;
      size -= 4 + len;
    }
  for (guint i = 0; i < model.n && model.n < N_ENTRIES; i++)
    check_entry (dict, &model, i);
  check_epochs (dict, &model);
  ddebug_dict_free (dict);
  return 0;
}
