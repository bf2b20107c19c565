/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A damaged log shows no message that was not there, counts what is missing, and is read in no time. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "canned.h"
#include "ddebug-format.h"
#include "ddebug-view.h"

enum { STREAMS = 3, MESSAGES = 40 };

/* No log of this size may take longer to read, in us of this process: others do not count. */
#define LIMIT (1 * G_USEC_PER_SEC)

typedef struct
{
  char *dir;
  char *path;
  int fd;
  Canned *canned;
  gsize len;                /* of the part of the file that is not zero */
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  Producer *p[STREAMS];
  guint64 number[STREAMS] = { 0 };

  (void) data;
  f->dir = scratch_new ();
  f->path = g_build_filename (f->dir, "log", NULL);
  f->canned = canned_new (4);
  canned_segment (f->canned, 1, DDEBUG_LOG_SEG_DICT, 1);
  canned_attach (f->canned, 1, 1, 1);
  canned_dict (f->canned, 1, 1, 1, "module", "function");
  canned_segment (f->canned, 0, DDEBUG_LOG_SEG_DATA, 1);
  for (guint s = 0; s < STREAMS; s++)
    p[s] = producer_new (s, s, 0);
  for (guint i = 0; i < MESSAGES; i++)
    for (guint s = 0; s < STREAMS; s++)
      {
        producer_printf (p[s], i * 1000 + s, "stream %u message %u", s, (guint) number[s]++);
        if (i % 5 == s)
          canned_take (f->canned, p[s], 1, i + 1);
      }
  for (guint s = 0; s < STREAMS; s++)
    {
      canned_take (f->canned, p[s], 1, MESSAGES + 1);
      producer_free (p[s]);
    }
  canned_state (f->canned, MESSAGES + 1);
  canned_super (f->canned, 2);
  canned_write (f->canned, f->path);
  f->fd = open (f->path, O_RDWR);
  g_assert_cmpint (f->fd, >=, 0);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  (void) data;
  close (f->fd);
  canned_free (f->canned);
  g_free (f->path);
  scratch_free (f->dir);
}

static void
put (Fixture *f, gsize at, const void *bytes, gsize len)
{
  g_assert_cmpint (pwrite (f->fd, bytes, len, at), ==, len);
}

static gint64
cpu_time (void)
{
  return (gint64) clock () * G_USEC_PER_SEC / CLOCKS_PER_SEC;
}

typedef struct
{
  guint64 received;
  guint64 lost;
  guint64 notices;
} Seen;

/* Reads it all, if it can be opened; each message is one that was said, in its turn. */
static Seen
read_log (Fixture *f)
{
  g_autoptr (DdebugView) view = NULL;
  DdebugReader *reader = ddebug_reader_open (f->path, NULL);
  gint64 begin = cpu_time ();
  guint64 next[STREAMS] = { 0 };
  Seen seen = { 0 };
  DdebugItem item;

  if (!reader)
    return seen;
  view = ddebug_view_new (reader);
  ddebug_view_start (view, FALSE);
  for (guint round = 0; round < 2; round++)
    {
      while (ddebug_view_next (view, &item, NULL) == DDEBUG_VIEW_ITEM)
        switch (item.type)
          {
          case DDEBUG_ITEM_MESSAGE:
            {
              g_autofree char *text = g_strdup_printf ("stream %u message %u", item.stream->id,
                                                       (guint) item.message.number);

              g_assert_cmpuint (item.stream->id, <, STREAMS);
              g_assert_cmpuint (item.message.number, ==, next[item.stream->id]);
              next[item.stream->id]++;
              g_assert_cmpuint (item.message.time, ==, item.message.number * 1000 + item.stream->id);
              g_assert_cmpmem (item.message.text, item.message.len, text, strlen (text));
              seen.received++;
              break;
            }
          case DDEBUG_ITEM_LOST:
            next[item.stream->id] += item.count;
            seen.lost += item.count;
            break;
          default:
            seen.notices++;
            break;
          }
      ddebug_view_finish (view);
    }
  g_assert_cmpint (cpu_time () - begin, <, LIMIT);
  g_assert_cmpuint (seen.received + seen.lost, <=, STREAMS * MESSAGES);
  return seen;
}

static void
test_whole (Fixture *f, gconstpointer data)
{
  Seen seen = read_log (f);

  (void) data;
  g_assert_cmpuint (seen.received, ==, STREAMS * MESSAGES);
  g_assert_cmpuint (seen.lost + seen.notices, ==, 0);
}

/* The parts of the file that hold something. */
static gsize
next_place (Fixture *f, gsize at)
{
  const gsize segs = DDEBUG_LOG_SEGS_OFF;
  const gsize data_end = segs + f->canned->off[DDEBUG_LOG_SEG_DATA];
  const gsize dict = segs + f->canned->seg_size;

  at++;
  if (at == 256)
    return 4096 - 8;
  if (at == 4096 + 256)
    return 8192 - 8;
  if (at == 8192)
    return DDEBUG_LOG_STATE_OFF;
  if (at == DDEBUG_LOG_STATE_OFF + 64)
    return segs;
  if (at == data_end)
    return dict;
  return at == dict + f->canned->off[DDEBUG_LOG_SEG_DICT] ? f->canned->size : at;
}

/* One bit anywhere: only the chunk that has it is missing. */
static void
test_flips (Fixture *f, gconstpointer data)
{
  (void) data;
  for (gsize at = 0; at < f->canned->size; at = next_place (f, at))
    {
      guint8 byte = f->canned->bytes[at] ^ 1 << at % 8;
      Seen seen;

      put (f, at, &byte, 1);
      seen = read_log (f);
      /* a chunk has six messages at most; the header of its segment has all */
      if (at < DDEBUG_LOG_SEGS_OFF || at >= DDEBUG_LOG_SEGS_OFF + sizeof (struct ddebug_log_seg))
        g_assert_cmpuint (seen.received, >=, STREAMS * MESSAGES - 6);
      put (f, at, f->canned->bytes + at, 1);
    }
}

static void
test_lengths (Fixture *f, gconstpointer data)
{
  const gsize end = DDEBUG_LOG_SEGS_OFF + f->canned->off[DDEBUG_LOG_SEG_DATA];
  guint64 before = 0;

  (void) data;
  for (gsize len = 0; len <= end; len += len < DDEBUG_LOG_SEGS_OFF ? 512 : 3)
    {
      Seen seen;

      g_assert_cmpint (ftruncate (f->fd, 0), ==, 0);
      put (f, 0, f->canned->bytes, len);
      seen = read_log (f);
      g_assert_cmpuint (seen.received, >=, before);
      before = seen.received;
    }
  g_assert_cmpuint (before, >=, STREAMS * MESSAGES - 6);
}

/* Pieces of the log over other pieces of it. */
static void
test_splices (Fixture *f, gconstpointer data)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (2009);
  const gsize end = DDEBUG_LOG_SEGS_OFF + f->canned->off[DDEBUG_LOG_SEG_DATA];

  (void) data;
  for (guint i = 0; i < 1000; i++)
    {
      gsize len = g_rand_int_range (rand, 1, 600);
      gsize from = g_rand_int_range (rand, DDEBUG_LOG_SEGS_OFF, end - len);
      gsize to = g_rand_int_range (rand, DDEBUG_LOG_SEGS_OFF, end - len);

      put (f, to & ~7ul, f->canned->bytes + (from & ~7ul), len);
      read_log (f);
      if (i % 5 == 4)
        put (f, DDEBUG_LOG_SEGS_OFF, f->canned->bytes + DDEBUG_LOG_SEGS_OFF, end - DDEBUG_LOG_SEGS_OFF);
    }
}

/* A log made to be slow: damage between all chunks, an epoch and a stream of its own for each. */
static void
test_tedious (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (32);
  gint64 begin;
  DdebugView *view;
  DdebugItem item;
  guint64 n = 0, chunks = 0;

  (void) data;
  canned_segment (c, 31, DDEBUG_LOG_SEG_DICT, 1);
  for (guint epoch = 20000; c->off[DDEBUG_LOG_SEG_DICT] + 400 < c->seg_size; epoch--)
    canned_dict (c, epoch, 1, 1, "module", "function");
  for (guint slot = 0; slot < 31; slot++)
    {
      canned_segment (c, slot, DDEBUG_LOG_SEG_DATA, 1);
      while (c->off[DDEBUG_LOG_SEG_DATA] + 400 < c->seg_size)
        {
          g_autoptr (Producer) p = producer_new (++chunks, 0, 0);

          producer_printf (p, G_MAXUINT64 - chunks, "x");
          canned_take (c, p, chunks, 1);
          c->off[DDEBUG_LOG_SEG_DATA] += 8;
        }
    }
  canned_write (c, f->path);
  begin = cpu_time ();
  view = ddebug_view_new (ddebug_reader_open (f->path, NULL));
  ddebug_view_start (view, FALSE);
  while (ddebug_view_next (view, &item, NULL) == DDEBUG_VIEW_ITEM)
    n += item.type == DDEBUG_ITEM_MESSAGE;
  ddebug_view_finish (view);
  while (ddebug_view_next (view, &item, NULL) == DDEBUG_VIEW_ITEM)
    n += item.type == DDEBUG_ITEM_MESSAGE;
  g_test_message ("%" G_GUINT64_FORMAT " chunks in %" G_GINT64_FORMAT " us", chunks,
                  cpu_time () - begin);
  g_assert_cmpuint (n, ==, chunks);
  g_assert_cmpint (cpu_time () - begin, <, 10 * LIMIT);
  ddebug_view_free (view);
}

/*
 * What a later writer or guest may add, all at once: types of chunks, events and records,
 * longer ATTACH chunks, flags of callsites and bytes behind their strings, compat bits.
 * It is passed over, and counted; what is known is read as ever.
 */
static void
test_additions (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (8);
  g_autoptr (Producer) p = producer_new (0, 0, 0);
  struct ddebug_log_chunk attach = { .type = GUINT16_TO_LE (DDEBUG_LOG_CHUNK_ATTACH), .epoch = GUINT32_TO_LE (1) };
  struct ddebug_log_chunk dict = { .type = GUINT16_TO_LE (DDEBUG_LOG_CHUNK_DICT), .epoch = GUINT32_TO_LE (1) };
  struct ddebug_log_chunk other = { .type = GUINT16_TO_LE (77), .epoch = GUINT32_TO_LE (1) };
  struct virtio_ddebug_attach known = { .instance = GUINT64_TO_LE (7) };
  struct ddebug_callsite site = { .len = GUINT32_TO_LE (sizeof site + 16), .id = GUINT32_TO_LE (1),
                                  .flags = GUINT16_TO_LE (0x8000), .module_len = GUINT16_TO_LE (1),
                                  .format_len = GUINT16_TO_LE (2) };
  struct ddebug_rec_hdr record = { .type_len = GUINT16_TO_LE (9 << DDEBUG_REC_TYPE_SHIFT | 24), .seq = GUINT16_TO_LE (1) };
  g_autoptr (GString) out = g_string_new (NULL);
  guint8 longer[sizeof known + 64] = { 0 }, entry[sizeof site + 16] = { 0 }, unknown[24] = { 0 };
  DdebugFormat format = { .callsite = TRUE };
  const DdebugTotals *totals;
  DdebugView *view;
  DdebugItem item;

  (void) data;
  memcpy (longer, &known, sizeof known);
  memcpy (entry, &site, sizeof site);
  memcpy (entry + sizeof site, "m%dmore", 7);
  memcpy (unknown, &record, sizeof record);
  canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
  canned_chunk (c, attach, longer, sizeof longer);
  canned_chunk (c, dict, entry, sizeof entry);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  canned_event (c, 1, 999, 1, 2);
  producer_packed (p, 1, 1, NULL, "\x2a\0\0", 4);
  producer_record (p, unknown, sizeof unknown);
  p->number = 2;
  producer_say (p, 2, 1, "text", 4);
  canned_take (c, p, 1, 1);
  canned_event (c, 1, DDEBUG_LOG_EVENT_OPEN, 1, 2);
  canned_chunk (c, other, longer, sizeof longer);
  c->super.compat = GUINT32_TO_LE (0x80);
  canned_super (c, 2);
  canned_super (c, 3);
  canned_write (c, f->path);
  view = ddebug_view_new (ddebug_reader_open (f->path, NULL));
  ddebug_view_start (view, FALSE);
  for (guint round = 0; round < 2; round++)
    {
      while (ddebug_view_next (view, &item, NULL) == DDEBUG_VIEW_ITEM)
        ddebug_format_item (&format, &item, out);
      ddebug_view_finish (view);
    }
  g_assert_cmpstr (out->str, ==,
                   "[    0.000000] m::0: 42\n"
                   "-- 1 message lost on cpu 0, task: in unreadable records --\n"
                   "[    0.000000] m::0: text\n"
                   "-- 1 record not understood on cpu 0, task: the guest's driver is newer than this tool --\n");
  totals = ddebug_view_totals (view);
  g_assert_cmpuint (totals->received, ==, 2);
  g_assert_cmpuint (totals->lost, ==, 1);
  g_assert_cmpuint (totals->unknown_records, ==, 1);
  g_assert_cmpuint (totals->unknown_chunks, ==, 1);
  g_assert_cmpuint (totals->bad_chunks + totals->bad_spans, ==, 0);
  ddebug_view_free (view);
}

#ifdef COUNTS_ALLOCATIONS
/* Allocations that reading and formatting a log of 64 chunks costs, each of @records messages. */
static guint64
allocations_for (Fixture *f, guint records)
{
  g_autoptr (Canned) c = canned_new (9);
  g_autoptr (Producer) p = producer_new (0, 0, 0);
  g_autoptr (GString) out = g_string_sized_new (1 << 20);
  DdebugFormat format = { .utf8 = TRUE, .callsite = TRUE };
  DdebugView *view;
  DdebugItem item;
  guint64 before;
  guint n = 0;

  p->shift = 13;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
  canned_attach (c, 1, 1, 1);
  canned_dict (c, 1, 1, 10, "module", "function");
  for (guint i = 0; i < 64; i++)
    {
      if (i % 8 == 0)
        canned_segment (c, 1 + i / 8, DDEBUG_LOG_SEG_DATA, 1);
      for (guint j = 0; j < records; j++)
        producer_say (p, n++, 1, "\xc3\xa4 text\n\x1b[m\n.", 13);
      producer_turn (p, n);
      canned_take (c, p, 1, i + 1);
    }
  canned_write (c, f->path);
  before = allocations ();
  view = ddebug_view_new (ddebug_reader_open (f->path, NULL));
  ddebug_view_start (view, FALSE);
  for (guint round = 0; round < 2; round++)
    {
      while (ddebug_view_next (view, &item, NULL) == DDEBUG_VIEW_ITEM)
        {
          g_assert_cmpint (item.type, ==, DDEBUG_ITEM_MESSAGE);
          ddebug_format_item (&format, &item, out);
          n--;
        }
      ddebug_view_finish (view);
    }
  ddebug_view_free (view);
  g_assert_cmpuint (n, ==, 0);
  return allocations () - before;
}

/* From the file to the text: memory is allocated for chunks, not for the messages in them. */
static void
test_allocations (Fixture *f, gconstpointer data)
{
  guint64 few = allocations_for (f, 1);

  (void) data;
  g_assert_cmpuint (few, >=, 64);
  g_assert_cmpuint (allocations_for (f, 200), ==, few);
}
#endif

#define ADD(name, func) g_test_add ("/view/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("a whole log is read", test_whole);
  ADD ("a flipped bit costs its chunk, and makes no false text", test_flips);
  ADD ("a cut makes no false text, at any length", test_lengths);
  ADD ("spliced pieces make no false text", test_splices);
  ADD ("a log made to be slow is read in time", test_tedious);
  ADD ("what may be added is passed over and counted", test_additions);
#ifdef COUNTS_ALLOCATIONS
  ADD ("nothing is allocated for a message", test_allocations);
#endif
  return g_test_run ();
}
