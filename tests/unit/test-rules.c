/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writer and reader judge damaged and newer logs alike, and as docs/log-format.md
 * says: whether they open one, which messages are in it, what is overwritten.
 *
 * A verdict is why a log is refused ("damaged"), or its messages, in order, and
 * state.settled_pass if that is not 0: "0 1 2 settled=7".  Each case has two, of the
 * file as it is, by the reader, and of what the writer made of it: opened it,
 * recovered what is in its shared rings, and appended the message "new"; "new@4" is
 * one in segment 4.
 *
 * If RULES names a folder, the files and the verdicts that are expected are left
 * there: rules.py has the tests' independent reader judge the same.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "canned.h"
#include "ddebug-codec.h"
#include "ddebug-log-writer.h"
#include "ddebug-reader.h"

#define PAGE 4096
#define N_MESSAGES 6
#define MIB (G_GUINT64_CONSTANT (1) << 20)
#define GIB (G_GUINT64_CONSTANT (1) << 30)

/* What is in every log, and what it is like once the writer had it. */
#define ALL "0 1 2 3 4 5"
#define ALL_NEW "0 1 2 3 4 5 new@4"

/*
 * Slot 0: dictionary, segment 1.  Slot 1: messages 0, 1, 2, segment 2.  Slot 2:
 * messages 3, 4, 5, segment 3.  The other slots are unused.
 */
typedef struct
{
  Canned *c;
  gsize size;               /* bytes to be written */
  gsize at[N_MESSAGES];     /* where each message's chunk is in the file */
  Producer *producer;
} Log;

static void
say (Log *log, guint number)
{
  producer_printf (log->producer, 1000 + number, "%u", number);
  canned_take (log->c, log->producer, 1, 1 + number);
  log->at[number] = canned_last (log->c);
}

static Log *
log_new (guint64 shm_size)
{
  Log *log = g_new0 (Log, 1);

  log->c = canned_new_shm (6, shm_size);
  log->producer = producer_new (0, 0, 0);
  canned_segment (log->c, 0, DDEBUG_LOG_SEG_DICT, 1);
  canned_attach (log->c, 1, 1, 1);
  canned_dict (log->c, 1, 1, 10, "module", "function");
  canned_segment (log->c, 1, DDEBUG_LOG_SEG_DATA, 1);
  for (guint i = 0; i < N_MESSAGES; i++)
    {
      if (i == 3)
        canned_segment (log->c, 2, DDEBUG_LOG_SEG_DATA, 1);
      say (log, i);
    }
  canned_super (log->c, 1);
  canned_super (log->c, 2);
  log->size = log->c->size;
  return log;
}

static void
log_free (Log *log)
{
  canned_free (log->c);
  producer_free (log->producer);
  g_free (log);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Log, log_free)

/* ---- changes ---- */

static void
poke (Log *log, gsize at, guint width, guint64 value)
{
  value = GUINT64_TO_LE (value);
  memcpy (log->c->bytes + at, &value, width);
}

static void
reseal (Log *log, gsize at, gsize size)
{
  poke (log, at + size - 4, 4, canned_crc (log->c->bytes + at, size - 4));
}

static gsize
slot_at (Log *log, guint slot)
{
  return DDEBUG_LOG_SEGS_OFF + log->c->shm_size + slot * log->c->seg_size;
}

#define POKE(log, at, type, field, value) \
  poke (log, (at) + offsetof (struct type, field), sizeof (((struct type *) 0)->field), value)
#define RESEAL(log, at, type) reseal (log, at, sizeof (struct type))

/* ---- the two verdicts ---- */

static const char *
refusal (const GError *error)
{
  g_assert_true (error->domain == DDEBUG_LOG_ERROR);
  switch ((DdebugLogError) error->code)
    {
    case DDEBUG_LOG_ERROR_EMPTY:
      return "empty";
    case DDEBUG_LOG_ERROR_FORMAT:
      return "format";
    case DDEBUG_LOG_ERROR_VERSION:
      return "version";
    case DDEBUG_LOG_ERROR_DAMAGED:
      return "damaged";
    case DDEBUG_LOG_ERROR_SPACE:
    case DDEBUG_LOG_ERROR_LIMIT:
      return "space";
    default:
      return error->message;
    }
}

/* What was the highest in a log. */
typedef struct
{
  guint64 chunk_seq;
  guint64 pass;
  guint32 epoch;
} Highest;

static void
add_messages (GString *verdict, const DdebugChunk *chunk)
{
  DdebugSpan span;
  DdebugMessage message;

  ddebug_span_init (&span, chunk);
  while (ddebug_span_next (&span, &message))
    {
      g_string_append_printf (verdict, "%s%.*s", verdict->len ? " " : "", (int) message.len, message.text);
      if (message.len == 3 && memcmp (message.text, "new", 3) == 0)
        g_string_append_printf (verdict, "@%" G_GUINT64_FORMAT, chunk->seg_seq);
    }
}

/* By the reader of a log that nobody writes; @highest: of the chunks before the new message's. */
static char *
judge (const char *path, Highest *highest)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DdebugReader) reader = ddebug_reader_open (path, &error);
  GString *verdict;
  DdebugState state;
  DdebugChunk chunk;
  DdebugRead read;

  if (!reader)
    return g_strdup (refusal (error));
  verdict = g_string_new (NULL);
  ddebug_reader_set_live (reader, FALSE);
  while ((read = ddebug_reader_next (reader, &chunk, &error)) != DDEBUG_READ_END)
    {
      g_assert_cmpint (read, !=, DDEBUG_READ_ERROR);
      g_assert_cmpint (read, !=, DDEBUG_READ_OTHER);
      if (read != DDEBUG_READ_CHUNK)
        continue;
      highest->chunk_seq = MAX (highest->chunk_seq, chunk.chunk_seq);
      highest->epoch = MAX (highest->epoch, chunk.epoch);
      if (chunk.type == DDEBUG_LOG_CHUNK_DATA && !chunk.from_ring)
        highest->pass = MAX (highest->pass, chunk.pass);
      if (chunk.type == DDEBUG_LOG_CHUNK_DATA && chunk.payload)
        add_messages (verdict, &chunk);
    }
  if (ddebug_reader_state (reader, &state))
    {
      highest->pass = MAX (highest->pass, state.settled_pass);
      g_string_append_printf (verdict, " settled=%" G_GUINT64_FORMAT, state.settled_pass);
    }
  return g_string_free (verdict, FALSE);
}

/* Only pages that are not zero: most of a log is. */
static void
write_log (const Log *log, const char *path)
{
  static const guint8 zeros[PAGE];
  int fd = open (path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (ftruncate (fd, log->size), ==, 0);
  for (gsize at = 0; at < log->size; at += PAGE)
    {
      gsize n = MIN (PAGE, log->size - at);

      if (memcmp (log->c->bytes + at, zeros, n) != 0)
        g_assert_cmpint (pwrite (fd, log->c->bytes + at, n, at), ==, n);
    }
  close (fd);
}

static void
append_new (Log *log, DdebugLog *writer)
{
  g_autoptr (GByteArray) payload = g_byte_array_new ();
  struct ddebug_log_chunk chunk;
  DdebugLogData data = {
    .epoch = ddebug_log_epoch (writer),
    .subbuf_shift = log->producer->shift,
    .pass = ddebug_log_last_pass (writer) + 1,
  };

  producer_printf (log->producer, 2000, "new");
  g_assert_true (producer_take (log->producer, &chunk, payload));
  data.pos = GUINT64_FROM_LE (chunk.pos);
  data.produced = GUINT64_FROM_LE (chunk.produced);
  g_assert_cmpint (ddebug_log_append_data (writer, &data, payload->data, payload->len), ==, 0);
}

/* By the writer; what it refuses must be as it was. */
static char *
judge_writing (Log *log, const char *path, const Highest *before)
{
  g_autoptr (GError) error = NULL;
  DdebugLog *writer = ddebug_log_open (path, 0, NULL, 0, &error);
  Highest after = { 0 };
  char *verdict;

  if (!writer)
    {
      g_autofree char *there = NULL;
      gsize len;

      g_assert_true (g_file_get_contents (path, &there, &len, NULL));
      g_assert_cmpmem (there, len, log->c->bytes, log->size);
      g_assert_cmpint (g_unlink (path), ==, 0);
      return g_strdup (refusal (error));
    }
  /* rule 3 for writers */
  g_assert_cmpuint (ddebug_log_epoch (writer), >=, before->epoch);
  g_assert_cmpuint (ddebug_log_last_pass (writer), >=, before->pass);
  ddebug_log_recover (writer);
  append_new (log, writer);
  ddebug_log_close (writer);
  verdict = judge (path, &after);
  g_assert_cmpuint (after.chunk_seq, >, before->chunk_seq);
  return verdict;
}

static const char *folder;    /* for the files */
static guint n_cases;

static void
compare (const char *name, const char *who, const char *verdict, const char *expected)
{
  if (strcmp (verdict, expected) == 0)
    return;
  g_test_message ("%s: %s says \"%s\", not \"%s\"", name, who, verdict, expected);
  g_test_fail ();
}

/* @after: what the writer makes of it, or why it refuses it */
static void
check (Log *log, const char *name, const char *before, const char *after)
{
  g_autofree char *path = g_strdup_printf ("%s/%u.before", folder, n_cases);
  g_autofree char *writing = g_strdup_printf ("%s/%u.after", folder, n_cases);
  g_autofree char *verdicts = g_strdup_printf ("%s/verdicts", folder);
  g_autofree char *read = NULL, *written = NULL;
  Highest highest = { 0 };
  FILE *file = fopen (verdicts, "ae");

  g_assert_nonnull (file);
  fprintf (file, "%u\t%s\t%s\t%s\n", n_cases++, name, before, after);
  fclose (file);
  write_log (log, path);
  write_log (log, writing);
  read = judge (path, &highest);
  written = judge_writing (log, writing, &highest);
  compare (name, "the reader", read, before);
  compare (name, "the writer", written, after);
}

/* ---- superblocks ---- */

typedef struct
{
  gsize at;
  guint width;
  guint64 value;
} Edit;

#define FIELD(field, value) \
  { offsetof (struct ddebug_log_super, field), sizeof (((struct ddebug_log_super *) 0)->field), value }
#define SEGS(seg_size_, nr_segs_, shm_size_) \
  FIELD (seg_size, seg_size_), FIELD (nr_segs, nr_segs_), FIELD (shm_size, shm_size_), \
    FIELD (size, 65536 + (guint64) (shm_size_) + (guint64) (seg_size_) * (nr_segs_))

/* Where it is. */
enum { OLDER, YOUNGER, BOTH };

typedef struct
{
  const char *name;
  Edit edits[6];           /* up to one of width 0 */
  gboolean sealed;
  const char *verdicts[3];  /* by which copies are changed; NULL: the log is as it was */
  const char *writer[3];    /* likewise, where the writer's differ; NULL: they do not */
} SuperCase;

#define IS_DAMAGED { NULL, NULL, "damaged" }
#define IS_VERSION { "version", "version", "version" }

static const SuperCase supers[] = {
  { "nothing", { { 0 } }, TRUE, { NULL, NULL, NULL }, { NULL } },
  { "magic", { FIELD (magic, 0x3132333435363738) }, TRUE, { NULL, NULL, "format" }, { NULL } },
  { "checksum", { FIELD (crc, 0x12345678) }, FALSE, IS_DAMAGED, { NULL } },
  { "a byte that no field has", { { 4000, 1, 1 } }, FALSE, IS_DAMAGED, { NULL } },
  { "a byte that a newer writer uses", { { 4000, 1, 1 } }, TRUE, { NULL, NULL, NULL }, { NULL } },
  { "version 0", { FIELD (version, 0) }, TRUE, IS_VERSION, { NULL } },
  { "version 2", { FIELD (version, 2) }, TRUE, IS_VERSION, { NULL } },
  { "version 2 and nothing else known", { FIELD (version, 2), SEGS (1, 1, 1) }, TRUE, IS_VERSION, { NULL } },
  { "a version that is damage", { FIELD (version, 3) }, FALSE, { NULL, NULL, "version" }, { NULL } },
  { "unknown incompat bit", { FIELD (incompat, 2) }, TRUE, { NULL, "version", "version" }, { NULL } },
  { "unknown incompat bit, other bounds", { FIELD (incompat, 0x80000000), SEGS (4096, 1, 5) }, TRUE,
    { NULL, "version", "version" }, { NULL } },
  { "unknown incompat bit, damaged", { FIELD (incompat, 2) }, FALSE, IS_DAMAGED, { NULL } },
  { "unknown compat bit", { FIELD (compat, 0x80) }, TRUE, { NULL, NULL, NULL }, { NULL, "version", "version" } },
  { "unknown compat bit, out of bounds", { FIELD (compat, 1), FIELD (nr_segs, 3) }, TRUE, IS_DAMAGED, { NULL } },
  { "segments of 0", { SEGS (0, 6, 0) }, TRUE, IS_DAMAGED, { NULL } },
  { "segments of 64 KiB", { SEGS (64 << 10, 6, 0) }, TRUE, IS_DAMAGED, { NULL } },
  { "segments of 192 KiB", { SEGS (192 << 10, 6, 0) }, TRUE, IS_DAMAGED, { NULL } },
  { "segments of 2 MiB", { SEGS (2 << 20, 6, 0) }, TRUE, IS_DAMAGED, { NULL } },
  { "no segments", { SEGS (128 << 10, 0, 0) }, TRUE, IS_DAMAGED, { NULL } },
  { "3 segments", { SEGS (128 << 10, 3, 0) }, TRUE, IS_DAMAGED, { NULL } },
  { "2^47 segments, which overflow", { FIELD (nr_segs, G_GUINT64_CONSTANT (1) << 47), FIELD (size, 65536) }, TRUE,
    IS_DAMAGED, { NULL } },
  { "1 TiB of segments", { SEGS (1 << 20, MIB, 0) }, TRUE, IS_DAMAGED, { NULL } },
  { "a file of more than 1 TiB", { SEGS (128 << 10, 8388608, 0) }, TRUE, IS_DAMAGED, { NULL } },
  { "a file of 1 TiB, cut short", { SEGS (128 << 10, 8388607, 0) }, TRUE, { NULL, NULL, NULL },
    { NULL, "space", "space" } },
  { "shared rings beyond 1 TiB", { FIELD (incompat, 1), SEGS (1 << 20, MIB - 1, MIB) }, TRUE, IS_DAMAGED, { NULL } },
  { "size too small", { FIELD (size, 65536 + 5 * 131072) }, TRUE, IS_DAMAGED, { NULL } },
  { "size too large", { FIELD (size, 65536 + 6 * 131072 + 1) }, TRUE, IS_DAMAGED, { NULL } },
  { "shared rings without a flag", { SEGS (128 << 10, 6, MIB) }, TRUE, IS_DAMAGED, { NULL } },
  { "a flag without shared rings", { FIELD (incompat, 1) }, TRUE, IS_DAMAGED, { NULL } },
  { "shared rings of 512 KiB", { FIELD (incompat, 1), SEGS (128 << 10, 6, MIB / 2) }, TRUE, IS_DAMAGED, { NULL } },
  { "shared rings of 3 MiB", { FIELD (incompat, 1), SEGS (128 << 10, 6, 3 * MIB) }, TRUE, IS_DAMAGED, { NULL } },
  { "shared rings of 2 GiB", { FIELD (incompat, 1), SEGS (128 << 10, 6, 2 * GIB) }, TRUE, IS_DAMAGED, { NULL } },
};

static void
edit_super (Log *log, guint copy, const SuperCase *edits)
{
  for (const Edit *edit = edits->edits; edit->width; edit++)
    poke (log, DDEBUG_LOG_SUPER_OFF (copy) + edit->at, edit->width, edit->value);
  if (edits->sealed)
    RESEAL (log, DDEBUG_LOG_SUPER_OFF (copy), ddebug_log_super);
}

/* The younger one is in either place. */
static void
test_supers (void)
{
  static const char *const which[] = { "older", "younger", "both" };

  for (guint i = 0; i < G_N_ELEMENTS (supers); i++)
    for (guint copies = OLDER; copies <= BOTH; copies++)
      for (guint generation = 2; generation < 4; generation++)
        {
          const SuperCase *super = &supers[i];
          g_autoptr (Log) log = log_new (0);
          g_autofree char *name = g_strdup_printf ("superblock: %s: %s, younger in copy %u", super->name, which[copies],
                                                   generation % 2);
          const char *verdict = super->verdicts[copies];
          const char *writer = super->writer[copies] ? super->writer[copies] : verdict;

          canned_super (log->c, generation - 1);
          canned_super (log->c, generation);
          if (copies != YOUNGER)
            edit_super (log, (generation - 1) % 2, super);
          if (copies != OLDER)
            edit_super (log, generation % 2, super);
          check (log, name, verdict ? verdict : ALL, writer ? writer : ALL_NEW);
        }
}

/* What the two copies are when neither is valid, or one was never written. */
static void
test_super_pairs (void)
{
  enum { ZERO, FOREIGN, DAMAGED, OTHER, FEATURES, GOOD, VERSION };
  static const char *const names[] = { "zeros", "foreign", "damaged", "version in doubt", "features", "good", "version" };
  static const char *const verdicts[] = { "empty", "format", "damaged", "version", "version", ALL, "version" };

  for (guint first = ZERO; first <= VERSION; first++)
    for (guint second = ZERO; second <= VERSION; second++)
      {
        g_autoptr (Log) log = log_new (0);
        g_autofree char *name = g_strdup_printf ("superblocks: %s, %s", names[first], names[second]);
        const guint is[] = { first, second };
        /* copy 0 is the younger */
        guint worse = MAX (first, second);
        const char *verdict = first == FEATURES && second == GOOD ? "version" : verdicts[worse];

        for (guint copy = 0; copy < 2; copy++)
          {
            gsize at = DDEBUG_LOG_SUPER_OFF (copy);

            if (is[copy] == ZERO)
              memset (log->c->bytes + at, 0, PAGE);
            else if (is[copy] == FOREIGN)
              memset (log->c->bytes + at, 'x', PAGE);
            else if (is[copy] == DAMAGED)
              log->c->bytes[at + 300] ^= 1;
            else if (is[copy] == OTHER || is[copy] == VERSION)
              POKE (log, at, ddebug_log_super, version, 2);
            else if (is[copy] == FEATURES)
              POKE (log, at, ddebug_log_super, incompat, 4);
            if (is[copy] == FEATURES || is[copy] == VERSION)
              RESEAL (log, at, ddebug_log_super);
          }
        check (log, name, verdict,
               strcmp (verdict, ALL) == 0 ? ALL_NEW : strcmp (verdict, "empty") == 0 ? "format" : verdict);
      }
}

/* The next one was written up to a sector's end, over the one that was there. */
static void
test_torn_supers (void)
{
  for (guint copy = 0; copy < 2; copy++)
    for (gsize at = 512; at < PAGE; at += 512)
      {
        g_autoptr (Log) log = log_new (0);
        g_autofree char *name = g_strdup_printf ("copy %u of the superblock torn at %zu", copy, at);
        struct ddebug_log_super next = log->c->super;

        next.generation = GUINT64_TO_LE (3);
        memset (next.writer, 'w', sizeof next.writer);
        memcpy (log->c->bytes + DDEBUG_LOG_SUPER_OFF (copy), &next, at);
        check (log, name, ALL, ALL_NEW);
      }
}

/* ---- files that were cut ---- */

static void
test_cut (void)
{
  static const struct
  {
    gsize size;
    const char *before;
    const char *after;
  } cuts[] = {
    { 0, "empty", "new@1" },
    { 7, "format", "format" },
    { 8, "damaged", "damaged" },
    { 15, "damaged", "damaged" },
    { PAGE - 1, "damaged", "damaged" },
    { PAGE, "", "new@1" },
    { PAGE + 7, "", "new@1" },
    { 2 * PAGE - 1, "", "new@1" },
    { 2 * PAGE, "", "new@1" },
    { 65536 + 63, "", "new@1" },
    { 65536 + 131072 + 63, "", "new@2" },
    { 65536 + 131072 + 64, "", "new@3" },
    { 65536 + 131072 + 64 + 127, "", "new@3" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cuts); i++)
    {
      g_autoptr (Log) log = log_new (0);
      g_autofree char *name = g_strdup_printf ("a file cut to %zu bytes", cuts[i].size);

      log->size = cuts[i].size;
      check (log, name, cuts[i].before, cuts[i].after);
    }
  for (guint i = 1; i < N_MESSAGES; i++)
    {
      g_autoptr (Log) log = log_new (0);
      g_autofree char *name = g_strdup_printf ("a file cut in the payload of message %u", i);
      const guint len[] = { 0, 1, 3, 5, 7, 9 };
      g_autofree char *before = g_strndup (ALL, len[i]);
      g_autofree char *after = g_strdup_printf ("%s new@%u", before, i < 3 ? 3 : 4);

      log->size = log->at[i] + sizeof (struct ddebug_log_chunk) + 8;
      check (log, name, before, after);
    }
}

/* ---- segments ---- */

static void
no_header (Log *log)
{
  memset (log->c->bytes + slot_at (log, 2), 0, sizeof (struct ddebug_log_seg));
}

static void
seg_crc (Log *log)
{
  log->c->bytes[slot_at (log, 2) + 30] ^= 1;
}

static void
seg_magic (Log *log)
{
  POKE (log, slot_at (log, 2), ddebug_log_seg, magic, 0x11111111);
}

static void
seg_number (Log *log)
{
  POKE (log, slot_at (log, 2), ddebug_log_seg, seq, 77);
}

static void
seg_magic_and_number (Log *log)
{
  seg_magic (log);
  seg_number (log);
}

static void
seg_half_written (Log *log)
{
  seg_number (log);
  POKE (log, slot_at (log, 2), ddebug_log_seg, crc, 0);
}

static void
seg_half_wiped (Log *log)
{
  POKE (log, slot_at (log, 2), ddebug_log_seg, magic, 0);
  POKE (log, slot_at (log, 2), ddebug_log_seg, crc, 0);
}

static void
seg_zero (Log *log)
{
  POKE (log, slot_at (log, 2), ddebug_log_seg, seq, 0);
  RESEAL (log, slot_at (log, 2), ddebug_log_seg);
}

static void
seg_of_type_3 (Log *log)
{
  POKE (log, slot_at (log, 2), ddebug_log_seg, type, 3);
  RESEAL (log, slot_at (log, 2), ddebug_log_seg);
}

static void
seg_of_type_0 (Log *log)
{
  POKE (log, slot_at (log, 2), ddebug_log_seg, type, 0);
  RESEAL (log, slot_at (log, 2), ddebug_log_seg);
}

static void
seg_of_large_type (Log *log)
{
  POKE (log, slot_at (log, 2), ddebug_log_seg, type, 0xffffffff);
  RESEAL (log, slot_at (log, 2), ddebug_log_seg);
}

static void
seg_and_first_chunk (Log *log)
{
  seg_magic (log);
  log->c->bytes[log->at[3] + 50] ^= 1;
}

/* Known by the next one. */
static void
seg_and_place_of_first_chunk (Log *log)
{
  seg_crc (log);
  POKE (log, log->at[3], ddebug_log_chunk, off, 4096);
  RESEAL (log, log->at[3], ddebug_log_chunk);
}

static void
dict_crc (Log *log)
{
  log->c->bytes[slot_at (log, 0) + 30] ^= 1;
}

/* Known by the callsite. */
static void
dict_and_attach (Log *log)
{
  dict_crc (log);
  log->c->bytes[slot_at (log, 0) + sizeof (struct ddebug_log_seg) + 50] ^= 1;
}

static void
all_dictionary_lost (Log *log)
{
  memset (log->c->bytes + slot_at (log, 0), 0, log->c->seg_size);
}

static void
seg_twice (Log *log)
{
  memcpy (log->c->bytes + slot_at (log, 4), log->c->bytes + slot_at (log, 2), log->c->seg_size);
}

/* Rule 7: a copy that was left, of when the segment had one message less; the upper one has grown. */
static void
seg_twice_headless (Log *log)
{
  seg_twice (log);
  memset (log->c->bytes + log->at[5], 0, 1000);
  seg_crc (log);
}

/* The same number, and another type: two segments. */
static void
seg_number_of_both_types (Log *log)
{
  POKE (log, slot_at (log, 0), ddebug_log_seg, seq, 3);
  RESEAL (log, slot_at (log, 0), ddebug_log_seg);
}

static void
cleared (Log *log)
{
  log->c->super.first_seg = GUINT64_TO_LE (3);
  canned_super (log->c, 2);
}

static void
all_cleared (Log *log)
{
  log->c->super.first_seg = GUINT64_TO_LE (4);
  canned_super (log->c, 2);
}

/* All slots are used: the oldest data go, with the dictionary's epoch, which younger ones need, left. */
static void
full (Log *log)
{
  for (guint slot = 3; slot < 6; slot++)
    {
      canned_segment (log->c, slot, DDEBUG_LOG_SEG_DATA, 1);
      canned_event (log->c, 1, DDEBUG_LOG_EVENT_CONT, 0, 0);
    }
}

static void
full_frozen (Log *log)
{
  full (log);
  log->c->super.frozen_first = GUINT64_TO_LE (2);
  log->c->super.frozen_last = GUINT64_TO_LE (2);
  log->c->super.frozen_epoch = GUINT32_TO_LE (1);
  log->c->super.frozen_epoch_last = GUINT32_TO_LE (1);
  canned_super (log->c, 2);
}

/* Rule 13: a range that was never frozen is not kept. */
static void
full_frozen_badly (Log *log)
{
  full_frozen (log);
  log->c->super.frozen_last = GUINT64_TO_LE (1000);
  canned_super (log->c, 2);
}

/* The segment of an unknown type is the oldest but the dictionary: its turn has come. */
static void
full_of_unknown (Log *log)
{
  full (log);
  POKE (log, slot_at (log, 1), ddebug_log_seg, type, 9);
  RESEAL (log, slot_at (log, 1), ddebug_log_seg);
}

/* Not the oldest: it is left alone, and so is the number behind it. */
static void
full_with_unknown (Log *log)
{
  full (log);
  POKE (log, slot_at (log, 5), ddebug_log_seg, type, 9);
  RESEAL (log, slot_at (log, 5), ddebug_log_seg);
}

static void
full_headless (Log *log)
{
  full (log);
  seg_crc (log);
}

/* ---- chunks ---- */

static void
chunk_crc (Log *log)
{
  log->c->bytes[log->at[1] + 40] ^= 1;
}

static void
last_chunk_crc (Log *log)
{
  log->c->bytes[log->at[5] + 40] ^= 1;
}

/* The numbers of the chunks behind it go on. */
static void
newest_chunk_crc (Log *log)
{
  log->c->bytes[log->at[3] + 40] ^= 1;
  log->c->bytes[log->at[4] + 40] ^= 1;
}

static void
newest_chunk_gone (Log *log)
{
  memset (log->c->bytes + log->at[3], 0xff, sizeof (struct ddebug_log_chunk));
}

static void
newest_chunk_length (Log *log)
{
  POKE (log, log->at[3], ddebug_log_chunk, len, 0xffffff00);
}

static void
chunk_magic (Log *log)
{
  POKE (log, log->at[1], ddebug_log_chunk, magic, 0x4b434445);
  RESEAL (log, log->at[1], ddebug_log_chunk);
}

static void
chunk_segment (Log *log)
{
  POKE (log, log->at[1], ddebug_log_chunk, seg_seq, 3);
  RESEAL (log, log->at[1], ddebug_log_chunk);
}

static void
chunk_place (Log *log)
{
  POKE (log, log->at[1], ddebug_log_chunk, off, log->at[1] - slot_at (log, 1) + 8);
  RESEAL (log, log->at[1], ddebug_log_chunk);
}

static void
chunk_too_long (Log *log)
{
  POKE (log, log->at[1], ddebug_log_chunk, len, log->c->seg_size - (log->at[1] - slot_at (log, 1)) - 128 + 1);
  RESEAL (log, log->at[1], ddebug_log_chunk);
}

/* To the very end of the segment, so that nothing is behind it. */
static void
chunk_to_the_end (Log *log)
{
  POKE (log, log->at[1], ddebug_log_chunk, len, log->c->seg_size - (log->at[1] - slot_at (log, 1)) - 128);
  RESEAL (log, log->at[1], ddebug_log_chunk);
}

static void
chunk_longest (Log *log)
{
  POKE (log, log->at[1], ddebug_log_chunk, len, 0xffffffff);
  RESEAL (log, log->at[1], ddebug_log_chunk);
}

/* Not sealed: its length is what is damaged. */
static void
chunk_damaged_length (Log *log)
{
  POKE (log, log->at[1], ddebug_log_chunk, len, 0xffffff00);
}

static void
chunk_unknown (Log *log)
{
  POKE (log, log->at[1], ddebug_log_chunk, type, 0x1234);
  POKE (log, log->at[1], ddebug_log_chunk, flags, 0xffff);
  RESEAL (log, log->at[1], ddebug_log_chunk);
}

static void
unknown_event (Log *log)
{
  canned_event (log->c, 1, 4711, 1, 2);
}

static void
payload (Log *log)
{
  log->c->bytes[log->at[4] + sizeof (struct ddebug_log_chunk) + 40] ^= 1;
}

static void
payload_of_last (Log *log)
{
  log->c->bytes[log->at[5] + sizeof (struct ddebug_log_chunk) + 40] ^= 1;
}

static guint32
payload_len (Log *log, guint number)
{
  guint32 len;

  memcpy (&len, log->c->bytes + log->at[number] + offsetof (struct ddebug_log_chunk, len), sizeof len);
  return GUINT32_FROM_LE (len);
}

/* The record of message 4, which the chunk's checksums cover, gets another first word. */
static void
poke_record (Log *log, guint16 type_len)
{
  gsize at = log->at[4] + sizeof (struct ddebug_log_chunk);

  poke (log, at + sizeof (struct ddebug_subbuf_hdr), 2, type_len);
  POKE (log, log->at[4], ddebug_log_chunk, payload_crc, canned_crc (log->c->bytes + at, payload_len (log, 4)));
  RESEAL (log, log->at[4], ddebug_log_chunk);
}

static void
nonsense (Log *log)
{
  poke_record (log, 0);
}

static void
unknown_record (Log *log)
{
  poke_record (log, 9u << DDEBUG_REC_TYPE_SHIFT | sizeof (struct ddebug_rec_text));
}

/*
 * A chunk whose payload has the likeness of message 3's chunk in it, of another
 * stream and of the very place.  Its header is damaged, its length is not; another
 * chunk is behind it.  Returns where its header is.
 */
static gsize
put_likeness (Log *log)
{
  struct ddebug_log_chunk chunk = { .type = GUINT16_TO_LE (77), .epoch = GUINT32_TO_LE (1) };
  guint32 len = (sizeof chunk + payload_len (log, 3) + 7) & ~7u;
  g_autofree guint8 *text = g_memdup2 (log->c->bytes + log->at[3], len);
  gsize at, inner;

  canned_chunk (log->c, chunk, text, len);
  at = canned_last (log->c);
  inner = at + sizeof chunk;
  POKE (log, inner, ddebug_log_chunk, off, inner - slot_at (log, 2));
  POKE (log, inner, ddebug_log_chunk, stream, 9);
  RESEAL (log, inner, ddebug_log_chunk);
  POKE (log, at, ddebug_log_chunk, payload_crc, canned_crc (log->c->bytes + inner, len));
  POKE (log, at, ddebug_log_chunk, cpu, 99);
  canned_event (log->c, 1, DDEBUG_LOG_EVENT_CONT, 0, 0);
  return at;
}

static void
likeness (Log *log)
{
  put_likeness (log);
}

/* Without a checksum that vouches for the length, the likeness is taken: the price of not following lengths. */
static void
likeness_in_doubt (Log *log)
{
  gsize at = put_likeness (log);

  POKE (log, at, ddebug_log_chunk, payload_crc, 1);
}

/* ---- tags ---- */

#define TAG 0x5eed7a6u

/* As if all of it had been written by a writer that tags its segments. */
static void
tagged (Log *log)
{
  for (guint slot = 0; slot <= 2; slot++)
    {
      gsize seg = slot_at (log, slot);
      struct ddebug_log_chunk chunk;

      POKE (log, seg, ddebug_log_seg, tag, TAG);
      RESEAL (log, seg, ddebug_log_seg);
      for (gsize at = seg + sizeof (struct ddebug_log_seg);;
           at += sizeof chunk + ((GUINT32_FROM_LE (chunk.len) + 7) & ~7u))
        {
          memcpy (&chunk, log->c->bytes + at, sizeof chunk);
          if (GUINT32_FROM_LE (chunk.magic) != DDEBUG_LOG_CHUNK_MAGIC)
            break;
          POKE (log, at, ddebug_log_chunk, tag, TAG);
          RESEAL (log, at, ddebug_log_chunk);
        }
    }
  log->c->tag = TAG;
}

static void
set_tag (Log *log, gsize at, guint32 tag)
{
  POKE (log, at, ddebug_log_chunk, tag, tag);
  RESEAL (log, at, ddebug_log_chunk);
}

/* What test "the likeness of a chunk in a damaged payload" takes, but the guest does not know the tag. */
static void
tagged_likeness (Log *log)
{
  gsize at;

  tagged (log);
  at = put_likeness (log);
  set_tag (log, at + sizeof (struct ddebug_log_chunk), 0);
  POKE (log, at, ddebug_log_chunk, cpu, 98);
  POKE (log, at, ddebug_log_chunk, payload_crc, 1);
}

/* A guest's bytes where the next chunk would be. */
static void
put_remains (Log *log, guint32 tag)
{
  struct ddebug_log_chunk chunk;
  gsize from = log->at[3], at;

  memcpy (&chunk, log->c->bytes + from, sizeof chunk);
  canned_chunk (log->c, chunk, log->c->bytes + from + sizeof chunk, payload_len (log, 3));
  at = canned_last (log->c);
  POKE (log, at, ddebug_log_chunk, stream, 9);
  set_tag (log, at, tag);
}

static void
remains (Log *log)
{
  put_remains (log, 0);
}

static void
tagged_remains (Log *log)
{
  tagged (log);
  put_remains (log, 0);
}

static void
tagged_remains_of_another (Log *log)
{
  tagged (log);
  put_remains (log, TAG + 1);
}

static void
tagged_headless (Log *log)
{
  tagged (log);
  seg_crc (log);
}

/* Neither header nor first chunk: a later one tells, if it has the header's tag. */
static void
tagged_headless_later (Log *log)
{
  tagged_headless (log);
  log->c->bytes[log->at[3] + 100] ^= 1;
}

static void
tagged_headless_forged (Log *log)
{
  tagged_headless_later (log);
  set_tag (log, log->at[4], 0);
  set_tag (log, log->at[5], 0);
}

/* ---- state ---- */

static void
state (Log *log)
{
  canned_state (log->c, 17);
}

static void
state_crc (Log *log)
{
  state (log);
  log->c->bytes[DDEBUG_LOG_STATE_OFF + 8] ^= 1;
}

static void
state_magic (Log *log)
{
  state (log);
  POKE (log, DDEBUG_LOG_STATE_OFF, ddebug_log_state, magic, 1);
  RESEAL (log, DDEBUG_LOG_STATE_OFF, ddebug_log_state);
}

/* The header's page, a hole, and the only chunk that is left, at 16 KiB. */
static void
seg_and_hole (Log *log)
{
  gsize to = slot_at (log, 2) + (16 << 10);

  memmove (log->c->bytes + to, log->c->bytes + log->at[5], 4096);
  memset (log->c->bytes + slot_at (log, 2) + 64, 0, 4096);
  POKE (log, to, ddebug_log_chunk, off, 16 << 10);
  RESEAL (log, to, ddebug_log_chunk);
  seg_crc (log);
}

typedef struct
{
  const char *name;
  void (*change) (Log *log);
  const char *before;
  const char *after;
} Case;

static const Case segments[] = {
  { "no header", no_header, "0 1 2", "0 1 2 new@3" },
  { "a header with a wrong checksum", seg_crc, ALL, ALL_NEW },
  { "a header without its magic", seg_magic, ALL, ALL_NEW },
  { "a header with another number", seg_number, ALL, ALL_NEW },
  { "a header without magic and number", seg_magic_and_number, "0 1 2", "0 1 2 new@3" },
  { "a header that was being written over another", seg_half_written, "0 1 2", "0 1 2 new@3" },
  { "a header that was being wiped", seg_half_wiped, ALL, ALL_NEW },
  { "number 0", seg_zero, "0 1 2", "0 1 2 new@3" },
  { "type 3", seg_of_type_3, "0 1 2", "0 1 2 new@4" },
  { "type 0", seg_of_type_0, "0 1 2", "0 1 2 new@4" },
  { "type 0xffffffff", seg_of_large_type, "0 1 2", "0 1 2 new@4" },
  { "header and first chunk damaged", seg_and_first_chunk, "0 1 2 4 5", "0 1 2 4 5 new@4" },
  { "header damaged, first chunk of another place", seg_and_place_of_first_chunk, "0 1 2 4 5", "0 1 2 4 5 new@4" },
  { "header damaged, a hole behind it", seg_and_hole, "0 1 2 5", "0 1 2 5 new@4" },
  { "a dictionary without its header", dict_crc, ALL, ALL_NEW },
  { "a dictionary without header and first chunk", dict_and_attach, ALL, ALL_NEW },
  { "no dictionary", all_dictionary_lost, ALL, ALL_NEW },
  { "a segment twice", seg_twice, ALL, ALL_NEW },
  { "a segment twice, once without a header", seg_twice_headless, ALL, ALL_NEW },
  { "a number of both types", seg_number_of_both_types, ALL, ALL_NEW },
  { "some segments cleared", cleared, "3 4 5", "3 4 5 new@4" },
  { "all segments cleared", all_cleared, "", "new@4" },
  { "all slots used", full, ALL, "3 4 5 new@7" },
  { "all slots used, the oldest frozen", full_frozen, ALL, "0 1 2 new@7" },
  { "all slots used, a range that was never frozen", full_frozen_badly, ALL, "3 4 5 new@7" },
  { "all slots used, the oldest of an unknown type", full_of_unknown, "3 4 5", "3 4 5 new@7" },
  { "all slots used, the newest of an unknown type", full_with_unknown, ALL, "3 4 5 new@7" },
  { "all slots used, one without a header", full_headless, ALL, "3 4 5 new@7" },
};

static const Case chunks[] = {
  { "a header with a wrong checksum", chunk_crc, "0 2 3 4 5", "0 2 3 4 5 new@4" },
  { "the last header damaged", last_chunk_crc, "0 1 2 3 4", "0 1 2 3 4 new@4" },
  { "two damaged before the newest", newest_chunk_crc, "0 1 2 5", "0 1 2 5 new@4" },
  { "nothing left of a header", newest_chunk_gone, "0 1 2 4 5", "0 1 2 4 5 new@4" },
  { "a damaged length in the newest segment", newest_chunk_length, "0 1 2 4 5", "0 1 2 4 5 new@4" },
  { "a header with another magic", chunk_magic, "0 2 3 4 5", "0 2 3 4 5 new@4" },
  { "a header of another segment", chunk_segment, "0 2 3 4 5", "0 2 3 4 5 new@4" },
  { "a header of another place", chunk_place, "0 2 3 4 5", "0 2 3 4 5 new@4" },
  { "a byte longer than the segment", chunk_too_long, "0 2 3 4 5", "0 2 3 4 5 new@4" },
  { "to the end of the segment", chunk_to_the_end, "0 3 4 5", "0 3 4 5 new@4" },
  { "as long as can be", chunk_longest, "0 2 3 4 5", "0 2 3 4 5 new@4" },
  { "a damaged length", chunk_damaged_length, "0 2 3 4 5", "0 2 3 4 5 new@4" },
  { "of an unknown type", chunk_unknown, "0 2 3 4 5", "0 2 3 4 5 new@4" },
  { "an unknown event", unknown_event, ALL, ALL_NEW },
  { "a damaged payload", payload, "0 1 2 3 5", "0 1 2 3 5 new@4" },
  { "the last payload damaged", payload_of_last, "0 1 2 3 4", "0 1 2 3 4 new@4" },
  { "a payload of no records", nonsense, "0 1 2 3 5", "0 1 2 3 5 new@4" },
  { "a record of an unknown type", unknown_record, "0 1 2 3 5", "0 1 2 3 5 new@4" },
  { "the likeness of a chunk in a payload", likeness, ALL, ALL_NEW },
  { "the likeness of a chunk in a damaged payload", likeness_in_doubt, ALL " 3", ALL " 3 new@4" },
  { "with a tag", tagged, ALL, ALL_NEW },
  { "with a tag, the likeness of a chunk in a damaged payload", tagged_likeness, ALL, ALL_NEW },
  { "a guest's bytes behind the last chunk", remains, ALL " 3", ALL " 3 new@4" },
  { "with a tag, a guest's bytes behind the last chunk", tagged_remains, ALL, ALL_NEW },
  { "with a tag, behind the last chunk one of another tag", tagged_remains_of_another, ALL, ALL_NEW },
  { "with a tag, without its header", tagged_headless, ALL, ALL_NEW },
  { "with a tag, without header and first chunk", tagged_headless_later, "0 1 2 4 5", "0 1 2 4 5 new@4" },
  { "without header and first chunk, what is behind is a guest's", tagged_headless_forged, "0 1 2", "0 1 2 new@3" },
};

static const Case states[] = {
  { "valid", state, ALL " settled=17", ALL_NEW " settled=17" },
  { "a wrong checksum", state_crc, ALL, ALL_NEW },
  { "another magic", state_magic, ALL, ALL_NEW },
};

static void
check_all (const char *what, const Case *cases, guint n, guint64 shm_size)
{
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (Log) log = log_new (shm_size);
      g_autofree char *name = g_strdup_printf ("%s: %s", what, cases[i].name);

      cases[i].change (log);
      check (log, name, cases[i].before, cases[i].after);
    }
}

static void
test_segments (void)
{
  check_all ("segment", segments, G_N_ELEMENTS (segments), 0);
}

static void
test_chunks (void)
{
  check_all ("chunk", chunks, G_N_ELEMENTS (chunks), 0);
}

static void
test_states (void)
{
  check_all ("state", states, G_N_ELEMENTS (states), 0);
}

/* ---- shared rings ---- */

#define RING_AT (DDEBUG_LOG_SHM_OFF + 3 * PAGE)
#define RING_SIZE 8192

/* One with the messages 6 and 7 of a stream of its own, at the third page of the area. */
static void
ring (Log *log)
{
  g_autoptr (Producer) producer = producer_new (5, 1, 0);
  struct virtio_ddebug_stream_desc desc = {
    .magic = GUINT32_TO_LE (VIRTIO_DDEBUG_STREAM_MAGIC),
    .stream = GUINT32_TO_LE (5),
    .cpu = GUINT32_TO_LE (1),
    .subbuf_shift = 12,
    .ring_size = GUINT32_TO_LE (RING_SIZE),
    .flags = GUINT32_TO_LE (VIRTIO_DDEBUG_STREAM_F_SHM),
    .epoch = GUINT32_TO_LE (1),
    .shm_offset = GUINT64_TO_LE (RING_AT - DDEBUG_LOG_SHM_OFF),
  };
  struct virtio_ddebug_stream_hdr hdr = { .seq = GUINT64_TO_LE (2) };

  producer_printf (producer, 1500, "6");
  producer_turn (producer, 1600);
  producer_printf (producer, 1600, "7");
  hdr.head = hdr.reserve = GUINT64_TO_LE (producer->bytes->len);
  memcpy (log->c->bytes + RING_AT, &desc, sizeof desc);
  memcpy (log->c->bytes + RING_AT + VIRTIO_DDEBUG_SHM_HDR_OFF, &hdr, sizeof hdr);
  memcpy (log->c->bytes + RING_AT + VIRTIO_DDEBUG_SHM_RING_OFF, producer->bytes->data, producer->bytes->len);
}

static guint64
ring_head (Log *log)
{
  guint64 head;

  memcpy (&head, log->c->bytes + RING_AT + VIRTIO_DDEBUG_SHM_HDR_OFF + 8, sizeof head);
  return GUINT64_FROM_LE (head);
}

#define POKE_DESC(log, field, value) POKE (log, RING_AT, virtio_ddebug_stream_desc, field, value)
#define POKE_HDR(log, field, value) \
  POKE (log, RING_AT + VIRTIO_DDEBUG_SHM_HDR_OFF, virtio_ddebug_stream_hdr, field, value)
#define POKE_DRAINED(log, value) \
  POKE (log, RING_AT + VIRTIO_DDEBUG_SHM_STATUS_OFF, virtio_ddebug_shm_status, drained, value)

typedef enum
{
  RING_GOOD, RING_NONE, RING_MAGIC, RING_FLAGS, RING_OFFSET, RING_OLD_EPOCH, RING_NEW_EPOCH, RING_CONTEXT, RING_SMALL_SHIFT,
  RING_LARGE_SHIFT, RING_NOT_WHOLE, RING_ONE_SUBBUF, RING_TOO_LARGE, RING_HEAD_ODD, RING_HEAD_NEGATIVE, RING_RESERVE_BEHIND,
  RING_RESERVE_AHEAD, RING_RESERVE_FAR, RING_DRAINED, RING_DRAINED_ALL, RING_DRAINED_ODD, RING_DRAINED_HEADER,
  RING_DRAINED_BEYOND, RING_START, RING_OVERWRITTEN, RING_IN_CHUNK, RING_IN_CHUNK_UNKNOWN,
  RING_HEADER_EPOCH, N_RINGS
} RingCase;

static const struct
{
  const char *name;
  const char *messages;
} rings[N_RINGS] = {
  [RING_GOOD] = { "good", ALL " 6 7" },
  [RING_NONE] = { "none", ALL },
  [RING_MAGIC] = { "no magic", ALL },
  [RING_FLAGS] = { "not shared", ALL },
  [RING_OFFSET] = { "of another offset", ALL },
  [RING_OLD_EPOCH] = { "of an older epoch", ALL },
  [RING_NEW_EPOCH] = { "of a newer epoch", ALL },
  [RING_CONTEXT] = { "of no context", ALL },
  [RING_SMALL_SHIFT] = { "sub-buffers too small", ALL },
  [RING_LARGE_SHIFT] = { "sub-buffers too large", ALL },
  [RING_NOT_WHOLE] = { "not of whole sub-buffers", ALL },
  [RING_ONE_SUBBUF] = { "one sub-buffer", ALL },
  [RING_TOO_LARGE] = { "beyond the area", ALL },
  [RING_HEAD_ODD] = { "head not a multiple of eight", ALL },
  [RING_HEAD_NEGATIVE] = { "head too large", ALL },
  [RING_RESERVE_BEHIND] = { "reserve below head", ALL },
  [RING_RESERVE_AHEAD] = { "reserve ahead", ALL " 6 7" },
  [RING_RESERVE_FAR] = { "reserve too far ahead", ALL },
  [RING_DRAINED] = { "drained in part", ALL " 7" },
  [RING_DRAINED_ALL] = { "drained", ALL },
  [RING_DRAINED_ODD] = { "drained not a multiple of eight", ALL },
  [RING_DRAINED_HEADER] = { "drained within a sub-buffer's header", ALL },
  [RING_DRAINED_BEYOND] = { "drained beyond head", ALL },
  [RING_START] = { "start behind the first", ALL " 7" },
  [RING_OVERWRITTEN] = { "overwritten in part", ALL " 7" },
  [RING_IN_CHUNK] = { "in a chunk, and not drained", ALL " 6 7" },
  [RING_IN_CHUNK_UNKNOWN] = { "in a chunk, and an older segment is of an unknown type", "3 4 5 6 7" },
  [RING_HEADER_EPOCH] = { "of the epoch before that of a segment without chunks", ALL },
};

static void
change_ring (Log *log, RingCase what)
{
  struct ddebug_log_chunk chunk = {
    .type = GUINT16_TO_LE (DDEBUG_LOG_CHUNK_DATA), .epoch = GUINT32_TO_LE (1), .stream = GUINT32_TO_LE (5),
    .subbuf_shift = 12, .pass = GUINT64_TO_LE (9),
  };

  switch (what)
    {
    case RING_NONE:
      memset (log->c->bytes + RING_AT, 0, PAGE);
      break;
    case RING_MAGIC:
      POKE_DESC (log, magic, 1);
      break;
    case RING_FLAGS:
      POKE_DESC (log, flags, 2);
      break;
    case RING_OFFSET:
      POKE_DESC (log, shm_offset, PAGE);
      break;
    case RING_OLD_EPOCH:
      POKE_DESC (log, epoch, 0);
      break;
    case RING_NEW_EPOCH:
      POKE_DESC (log, epoch, 2);
      break;
    case RING_CONTEXT:
      POKE_DESC (log, context, VIRTIO_DDEBUG_NR_CTX);
      break;
    case RING_SMALL_SHIFT:
      POKE_DESC (log, subbuf_shift, 11);
      break;
    case RING_LARGE_SHIFT:
      POKE_DESC (log, subbuf_shift, 17);
      POKE_DESC (log, ring_size, 4 << 16);
      break;
    case RING_NOT_WHOLE:
      POKE_DESC (log, ring_size, RING_SIZE + 8);
      break;
    case RING_ONE_SUBBUF:
      POKE_DESC (log, ring_size, 4096);
      break;
    case RING_TOO_LARGE:
      POKE_DESC (log, ring_size, MIB - 3 * PAGE);
      break;
    case RING_HEAD_ODD:
      POKE_HDR (log, head, ring_head (log) - 4);
      break;
    case RING_HEAD_NEGATIVE:
      POKE_HDR (log, head, G_GUINT64_CONSTANT (1) << 63);
      POKE_HDR (log, reserve, G_GUINT64_CONSTANT (1) << 63);
      break;
    case RING_RESERVE_BEHIND:
      POKE_HDR (log, reserve, ring_head (log) - 8);
      break;
    case RING_RESERVE_AHEAD:
      POKE_HDR (log, reserve, ring_head (log) + 64);
      break;
    case RING_RESERVE_FAR:
      POKE_HDR (log, reserve, ring_head (log) + RING_SIZE - 4096 + 8);
      break;
    case RING_DRAINED:
      POKE_DRAINED (log, 4096);
      break;
    case RING_DRAINED_ALL:
      POKE_DRAINED (log, ring_head (log));
      break;
    case RING_DRAINED_ODD:
      POKE_DRAINED (log, 4);
      break;
    case RING_DRAINED_HEADER:
      POKE_DRAINED (log, 8);
      break;
    case RING_DRAINED_BEYOND:
      POKE_DRAINED (log, ring_head (log) + 8);
      break;
    case RING_START:
      POKE_DESC (log, start, 4096);
      break;
    case RING_OVERWRITTEN:
      POKE_HDR (log, reserve, RING_SIZE + 16);
      break;
    case RING_IN_CHUNK_UNKNOWN:
      POKE (log, slot_at (log, 1), ddebug_log_seg, type, 9);
      RESEAL (log, slot_at (log, 1), ddebug_log_seg);
      /* fall through */
    case RING_IN_CHUNK:
      /* the first sub-buffer, as the newest chunk; the writer died before it said that it was drained */
      canned_chunk (log->c, chunk, log->c->bytes + RING_AT + VIRTIO_DDEBUG_SHM_RING_OFF, 4096);
      break;
    case RING_HEADER_EPOCH:
      canned_segment (log->c, 3, DDEBUG_LOG_SEG_DICT, 2);
      break;
    case RING_GOOD:
    case N_RINGS:
    default:
      break;
    }
}

static void
test_rings (void)
{
  for (guint i = 0; i < N_RINGS; i++)
    {
      g_autoptr (Log) log = log_new (MIB);
      g_autofree char *name = g_strdup_printf ("shared ring: %s", rings[i].name);
      g_autofree char *after = g_strdup_printf ("%s new@%u", rings[i].messages, i == RING_HEADER_EPOCH ? 5 : 4);

      ring (log);
      change_ring (log, i);
      check (log, name, rings[i].messages, after);
    }
}

/* ---- what no file shows ---- */

static void
test_sizes (void)
{
  g_assert_cmpuint (ddebug_log_seg_size_for (MIB), ==, 128 << 10);
  g_assert_cmpuint (ddebug_log_seg_size_for (8 * MIB - 1), ==, 128 << 10);
  g_assert_cmpuint (ddebug_log_seg_size_for (8 * MIB), ==, 256 << 10);
  g_assert_cmpuint (ddebug_log_seg_size_for (64 * MIB - 1), ==, 256 << 10);
  g_assert_cmpuint (ddebug_log_seg_size_for (64 * MIB), ==, 1 << 20);
  g_assert_cmpuint (ddebug_log_nr_segs_for (0, 128 << 10, 0), ==, 0);
  g_assert_cmpuint (ddebug_log_nr_segs_for (MIB, 128 << 10, MIB), ==, 0);
  g_assert_cmpuint (ddebug_log_nr_segs_for (65536 + 131072 - 1, 128 << 10, 0), ==, 0);
  g_assert_cmpuint (ddebug_log_nr_segs_for (65536 + 131072, 128 << 10, 0), ==, 1);
  g_assert_cmpuint (ddebug_log_file_size (3, 128 << 10, MIB), ==, 65536 + MIB + 3 * 131072);
}

static void
test_requests (void)
{
  struct ddebug_log_request request = { .magic = GUINT32_TO_LE (DDEBUG_LOG_REQUEST_MAGIC), .id = GUINT64_TO_LE (7) };
  struct ddebug_log_reply reply = { .magic = GUINT32_TO_LE (DDEBUG_LOG_REPLY_MAGIC), .id = GUINT64_TO_LE (7) };
  DdebugLogRequest asked;
  DdebugLogReply answered;

  g_assert_false (ddebug_log_parse_request (&request, &asked));
  g_assert_false (ddebug_log_parse_reply (&reply, &answered));
  request.crc = GUINT32_TO_LE (canned_crc (&request, sizeof request - 4));
  reply.crc = GUINT32_TO_LE (canned_crc (&reply, sizeof reply - 4));
  g_assert_true (ddebug_log_parse_request (&request, &asked));
  g_assert_true (ddebug_log_parse_reply (&reply, &answered));
  g_assert_cmpuint (asked.id, ==, 7);
  g_assert_cmpuint (answered.id, ==, 7);
  request.magic = reply.magic = 0;
  request.crc = GUINT32_TO_LE (canned_crc (&request, sizeof request - 4));
  reply.crc = GUINT32_TO_LE (canned_crc (&reply, sizeof reply - 4));
  g_assert_false (ddebug_log_parse_request (&request, &asked));
  g_assert_false (ddebug_log_parse_reply (&reply, &answered));
}

/* Forged lengths cost no more than a segment: then they are not believed any more. */
static void
test_doubts (void)
{
  g_autoptr (Log) log = log_new (0);
  gsize at = put_likeness (log), seg = slot_at (log, 2);
  guint32 off = at - seg, len = GUINT32_FROM_LE (*(guint32 *) (log->c->bytes + at + 20));
  guint32 doubts = len;

  g_assert_cmpuint (ddebug_log_skip_damage (log->c->bytes + seg, log->c->seg_size, 3, 0, off, &doubts), ==, off + 128 + len);
  g_assert_cmpuint (doubts, ==, 0);
  g_assert_cmpuint (ddebug_log_skip_damage (log->c->bytes + seg, log->c->seg_size, 3, 0, off, &doubts), ==, off + 128);
}

static void
test_headless (void)
{
  g_autoptr (Log) log = log_new (0);
  gsize seg = slot_at (log, 2);
  DdebugLogSeg found;

  seg_crc (log);
  g_assert_true (ddebug_log_find_headless (log->c->bytes + seg, 4096, &found));
  g_assert_cmpuint (found.seq, ==, 3);
  g_assert_false (ddebug_log_find_headless (log->c->bytes + seg, 63, &found));
  g_assert_false (ddebug_log_find_headless (log->c->bytes + seg, 64, &found));
  /* a chunk of no segment tells of none */
  POKE (log, log->at[3], ddebug_log_chunk, seg_seq, 0);
  RESEAL (log, log->at[3], ddebug_log_chunk);
  g_assert_false (ddebug_log_find_headless (log->c->bytes + seg, 64 + 128, &found));
}

int
main (int argc, char **argv)
{
  /* a log that claims 1 TiB is not made whole, whatever the disk has */
  const struct rlimit limit = { 64 << 20, 64 << 20 };
  g_autofree char *scratch = NULL;
  int status;

  g_test_init (&argc, &argv, NULL);
  signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  folder = g_getenv ("RULES");
  if (!folder)
    folder = scratch = scratch_new ();
  g_test_add_func ("/rules/each field of a superblock, in either copy and of either age", test_supers);
  g_test_add_func ("/rules/whatever the two superblocks are", test_super_pairs);
  g_test_add_func ("/rules/a superblock that was torn", test_torn_supers);
  g_test_add_func ("/rules/a file that was cut", test_cut);
  g_test_add_func ("/rules/segments", test_segments);
  g_test_add_func ("/rules/chunks", test_chunks);
  g_test_add_func ("/rules/the state", test_states);
  g_test_add_func ("/rules/shared rings", test_rings);
  g_test_add_func ("/rules/sizes", test_sizes);
  g_test_add_func ("/rules/requests and replies", test_requests);
  g_test_add_func ("/rules/forged lengths are not believed for ever", test_doubts);
  g_test_add_func ("/rules/what tells a segment without a header", test_headless);
  status = g_test_run ();
  if (scratch)
    scratch_free (g_steal_pointer (&scratch));
  return status;
}
