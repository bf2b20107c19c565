/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The dictionary finds what a guest announced, refuses what is malformed, and is not slowed by what a guest chooses. */
#include <string.h>
#include <time.h>

#include "canned.h"
#include "ddebug-dict.h"

typedef struct
{
  guint32 len, id, line;
  guint16 flags, module, function, file, format, packed;
} Entry;

/* An entry of @len bytes whose fields are what @e says, true or not. */
static void
add_entry (GByteArray *out, Entry e, gsize len)
{
  struct ddebug_callsite disk = {
    .len = GUINT32_TO_LE (e.len),
    .id = GUINT32_TO_LE (e.id),
    .line = GUINT32_TO_LE (e.line),
    .flags = GUINT16_TO_LE (e.flags),
    .module_len = GUINT16_TO_LE (e.module),
    .function_len = GUINT16_TO_LE (e.function),
    .file_len = GUINT16_TO_LE (e.file),
    .format_len = GUINT16_TO_LE (e.format),
    .packed_len = GUINT16_TO_LE (e.packed),
  };
  gsize at = out->len;

  g_byte_array_set_size (out, at + len);
  for (gsize i = 0; i < len; i++)
    out->data[at + i] = 'a' + i % 26;
  memcpy (out->data + at, &disk, MIN (len, sizeof disk));
}

/* In an allocation of its own size, so that the sanitizer sees a byte too far. */
static gboolean
add_chunk (DdebugDict *dict, guint32 epoch, const GByteArray *bytes)
{
  g_autofree guint8 *payload = g_memdup2 (bytes->data, bytes->len);
  DdebugChunk chunk = { .epoch = epoch, .len = bytes->len, .payload = payload };

  return ddebug_dict_add (dict, &chunk);
}

static gboolean
attach (DdebugDict *dict, guint32 epoch, guint64 instance, gsize len)
{
  struct virtio_ddebug_attach a = { .instance = GUINT64_TO_LE (instance), .nr_cpus = GUINT32_TO_LE (3) };
  g_autofree guint8 *payload = NULL;
  DdebugChunk chunk = { .epoch = epoch, .len = len, .realtime = 5 };

  memset (a.release, 'r', sizeof a.release);
  memset (a.driver, 'd', sizeof a.driver);
  payload = g_memdup2 (&a, len);
  chunk.payload = payload;
  return ddebug_dict_attach (dict, &chunk);
}

static void
test_found (void)
{
  DdebugDict *dict = ddebug_dict_new (NULL);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  DdebugCallsite c;

  g_assert_false (ddebug_dict_lookup (ddebug_dict_epoch (dict, 4), 7, &c));
  add_entry (bytes, (Entry){ .len = 40, .id = 7, .line = 99, .flags = 1, .module = 3, .function = 5, .file = 4,
                             .format = 2, .packed = 2 }, 40);
  add_entry (bytes, (Entry){ .len = 24, .id = G_MAXUINT32 }, 24);
  g_assert_true (add_chunk (dict, 4, bytes));
  g_assert_cmpuint (ddebug_dict_epoch (dict, 4)->callsites, ==, 2);
  g_assert_true (ddebug_dict_lookup (ddebug_dict_epoch (dict, 4), 7, &c));
  g_assert_cmpuint (c.id, ==, 7);
  g_assert_cmpuint (c.line, ==, 99);
  g_assert_cmpuint (c.flags, ==, 1);
  g_assert_cmpmem (c.module, c.module_len, "yza", 3);
  g_assert_cmpmem (c.function, c.function_len, "bcdef", 5);
  g_assert_cmpmem (c.file, c.file_len, "ghij", 4);
  g_assert_cmpmem (c.format, c.format_len, "kl", 2);
  g_assert_true (ddebug_dict_lookup (ddebug_dict_epoch (dict, 4), G_MAXUINT32, &c));
  g_assert_false (ddebug_dict_lookup (ddebug_dict_epoch (dict, 4), 8, &c));
  /* another epoch knows nothing of it; announced again, the later counts */
  g_assert_false (ddebug_dict_lookup (ddebug_dict_epoch (dict, 5), 7, &c));
  g_byte_array_set_size (bytes, 0);
  add_entry (bytes, (Entry){ .len = 24, .id = 7, .line = 100 }, 24);
  g_assert_true (add_chunk (dict, 4, bytes));
  g_assert_true (ddebug_dict_lookup (ddebug_dict_epoch (dict, 4), 7, &c));
  g_assert_cmpuint (c.line, ==, 100);
  ddebug_dict_free (dict);
}

/* A chunk without entries is no damage, and no chunk has to have a payload to point to. */
static void
test_empty (void)
{
  DdebugDict *dict = ddebug_dict_new (NULL);
  DdebugChunk chunk = { .epoch = 4 };
  DdebugCallsite c;

  g_assert_true (ddebug_dict_add (dict, &chunk));
  chunk.payload = (const guint8 *) "";
  g_assert_true (ddebug_dict_add (dict, &chunk));
  g_assert_false (ddebug_dict_attach (dict, &chunk));
  g_assert_cmpuint (ddebug_dict_epoch (dict, 4)->callsites, ==, 0);
  g_assert_false (ddebug_dict_lookup (ddebug_dict_epoch (dict, 4), 0, &c));
  /* the callsites of an epoch that has none can be forgotten */
  ddebug_dict_forget_before (dict, 5);
  ddebug_dict_free (dict);
}

/* What came before it counts, what comes behind it does not. */
static void
test_malformed (void)
{
  static const struct
  {
    Entry entry;
    gsize there;
  } bad[] = {
    { { .len = 24, .id = 2 }, 8 },              /* ends within the entry's head */
    { { .len = 24, .id = 2 }, 23 },
    { { .len = 32, .id = 2 }, 24 },             /* longer than what is there */
    { { .len = 0, .id = 2 }, 24 },              /* would go nowhere */
    { { .len = 8, .id = 2 }, 24 },
    { { .len = 26, .id = 2 }, 32 },             /* askew */
    { { .len = 4104, .id = 2 }, 4104 },         /* longer than any may be */
    { { .len = G_MAXUINT32, .id = 2 }, 64 },
    { { .len = 24, .id = 0 }, 24 },             /* number 0 */
    { { .len = 24, .id = 2, .module = 1 }, 24 },
    { { .len = 32, .id = 2, .module = 8, .packed = 1 }, 32 },
    { { .len = 32, .id = 2, .module = 65535, .function = 65535, .file = 65535, .format = 65535, .packed = 65535 }, 32 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      DdebugDict *dict = ddebug_dict_new (NULL);
      g_autoptr (GByteArray) bytes = g_byte_array_new ();
      DdebugCallsite c;

      add_entry (bytes, (Entry){ .len = 24, .id = 1 }, 24);
      add_entry (bytes, bad[i].entry, bad[i].there);
      g_assert_false (add_chunk (dict, 1, bytes));
      g_assert_true (ddebug_dict_lookup (ddebug_dict_epoch (dict, 1), 1, &c));
      g_assert_false (ddebug_dict_lookup (ddebug_dict_epoch (dict, 1), 2, &c));
      g_assert_cmpuint (ddebug_dict_epoch (dict, 1)->callsites, ==, 1);
      ddebug_dict_free (dict);
    }
}

static void
test_longest (void)
{
  DdebugDict *dict = ddebug_dict_new (NULL);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  DdebugCallsite c;

  add_entry (bytes, (Entry){ .len = 4096, .id = 1, .format = 4072 }, 4096);
  g_assert_true (add_chunk (dict, 1, bytes));
  g_assert_true (ddebug_dict_lookup (ddebug_dict_epoch (dict, 1), 1, &c));
  g_assert_cmpuint (c.format_len, ==, 4072);
  ddebug_dict_free (dict);
}

static void
test_forgotten (void)
{
  DdebugDict *dict = ddebug_dict_new (NULL);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (GPtrArray) epochs = NULL;
  DdebugCallsite c;

  add_entry (bytes, (Entry){ .len = 24, .id = 1 }, 24);
  for (guint epoch = 9; epoch > 0; epoch--)
    g_assert_true (add_chunk (dict, epoch, bytes));
  ddebug_dict_forget_before (dict, 6);
  for (guint epoch = 1; epoch < 10; epoch++)
    g_assert_true (ddebug_dict_lookup (ddebug_dict_epoch (dict, epoch), 1, &c) == (epoch >= 6));
  epochs = ddebug_dict_epochs (dict);
  g_assert_cmpuint (epochs->len, ==, 9);
  for (guint i = 0; i < 9; i++)
    {
      g_assert_cmpuint (((DdebugEpoch *) g_ptr_array_index (epochs, i))->number, ==, i + 1);
      g_assert_cmpuint (((DdebugEpoch *) g_ptr_array_index (epochs, i))->callsites, ==, 1);
    }
  ddebug_dict_forget_before (dict, G_MAXUINT32);
  g_assert_false (ddebug_dict_lookup (ddebug_dict_epoch (dict, 9), 1, &c));
  ddebug_dict_free (dict);
}

static void
test_attach (void)
{
  DdebugDict *dict = ddebug_dict_new (NULL);
  DdebugEpoch *epoch;

  for (gsize len = 0; len < sizeof (struct virtio_ddebug_attach); len += 53)
    g_assert_false (attach (dict, 1, 77, len));
  g_assert_false (ddebug_dict_epoch (dict, 1)->attached);
  g_assert_true (attach (dict, 1, 77, sizeof (struct virtio_ddebug_attach)));
  epoch = ddebug_dict_epoch (dict, 1);
  g_assert_true (epoch->attached);
  g_assert_cmpuint (epoch->instance_id, ==, 77);
  g_assert_cmpuint (epoch->nr_cpus, ==, 3);
  /* names that fill their field end with it */
  g_assert_cmpuint (strlen (epoch->release), ==, 64);
  g_assert_cmpuint (strlen (epoch->driver), ==, 32);
  /* a second one moves nothing */
  g_assert_true (attach (dict, 1, 78, sizeof (struct virtio_ddebug_attach)));
  g_assert_cmpuint (epoch->instance_id, ==, 77);
  ddebug_dict_free (dict);
}

static void
test_instances (void)
{
  DdebugDict *dict = ddebug_dict_new (NULL);
  DdebugInstance *instance;

  g_assert_true (attach (dict, 2, 77, sizeof (struct virtio_ddebug_attach)));
  instance = ddebug_dict_instance (dict, ddebug_dict_epoch (dict, 2));
  g_assert_cmpstr (instance->name, ==, "instance 000000000000004d");
  g_assert_cmpuint (instance->epoch, ==, 2);
  g_assert_true (attach (dict, 3, 77, sizeof (struct virtio_ddebug_attach)));
  g_assert_true (ddebug_dict_instance (dict, ddebug_dict_epoch (dict, 3)) == instance);
  g_assert_cmpuint (instance->epoch, ==, 3);
  g_assert_cmpuint (instance->epoch, ==, 3);
  /* an earlier epoch of the same rings does not take the instance back */
  g_assert_true (attach (dict, 1, 77, sizeof (struct virtio_ddebug_attach)));
  g_assert_cmpuint (instance->epoch, ==, 3);
  /* nothing is known of this one: an instance of its own, which an introduction does not change */
  instance = ddebug_dict_instance (dict, ddebug_dict_epoch (dict, 4));
  g_assert_cmpstr (instance->name, ==, "epoch 4");
  g_assert_true (attach (dict, 4, 77, sizeof (struct virtio_ddebug_attach)));
  g_assert_false (ddebug_dict_epoch (dict, 4)->attached);
  g_assert_true (ddebug_dict_instance (dict, ddebug_dict_epoch (dict, 4)) == instance);
  g_assert_cmpuint (ddebug_dict_instances (dict)->len, ==, 2);
  ddebug_dict_free (dict);
  ddebug_dict_free (NULL);
}

/*
 * Numbers that fall together in tables of a size that is known are no slower
 * than others: GHashTable multiplies by 11 and divides by a prime.
 */
static clock_t
time_of (guint32 step, guint n)
{
  DdebugDict *dict = ddebug_dict_new (NULL);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  clock_t begin = clock ();
  DdebugCallsite c;

  for (guint i = 0; i < n; i++)
    {
      g_byte_array_set_size (bytes, 0);
      add_entry (bytes, (Entry){ .len = 24, .id = (guint32) (i + 1) * step }, 24);
      add_chunk (dict, 1, bytes);
    }
  for (guint i = 0; i < n; i++)
    g_assert_true (ddebug_dict_lookup (ddebug_dict_epoch (dict, 1), (guint32) (i + 1) * step, &c));
  ddebug_dict_free (dict);
  return clock () - begin;
}

static void
test_collisions (void)
{
  /* primes of GHashTable's list: each is the size's own for a while as the table grows */
  static const guint primes[] = { 16381, 32749, 65521, 131071 };

  for (guint i = 0; i < G_N_ELEMENTS (primes); i++)
    g_assert_cmpint (time_of (primes[i], 30000), <, 10 * CLOCKS_PER_SEC);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/dict/callsites are found by epoch and number", test_found);
  g_test_add_func ("/dict/a chunk may have no entries", test_empty);
  g_test_add_func ("/dict/a malformed entry ends its chunk", test_malformed);
  g_test_add_func ("/dict/the longest entry is read", test_longest);
  g_test_add_func ("/dict/callsites of old epochs are forgotten", test_forgotten);
  g_test_add_func ("/dict/introductions are read", test_attach);
  g_test_add_func ("/dict/epochs of the same rings are one instance", test_instances);
  g_test_add_func ("/dict/no choice of numbers makes it slow", test_collisions);
  return g_test_run ();
}
