/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of all streams come out in the order of time, none twice, none unaccounted for. */
#include <string.h>

#include "canned.h"
#include "ddebug-merge.h"

typedef struct
{
  DdebugDict *dict;
  DdebugMerger *merger;
  DdebugEpoch *epoch;
  DdebugInstance *instance;
  DdebugMarks marks;
  guint64 now;              /* the device's clock, ns */
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  (void) data;
  f->dict = ddebug_dict_new (ddebug_merger_stream_free);
  f->merger = ddebug_merger_new ();
  f->epoch = ddebug_dict_epoch (f->dict, 1);
  f->instance = ddebug_dict_instance (f->dict, f->epoch);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  (void) data;
  ddebug_merger_free (f->merger);
  ddebug_dict_free (f->dict);
}

/* All that the device finds of @p in @pass; at most @spans sub-buffers. */
static void
push_spans (Fixture *f, Producer *p, guint64 pass, guint spans)
{
  g_autoptr (GByteArray) payload = g_byte_array_new ();
  struct ddebug_log_chunk disk;

  while (spans-- && producer_take (p, &disk, payload))
    {
      DdebugChunk chunk = {
        .type = DDEBUG_LOG_CHUNK_DATA,
        .len = payload->len,
        .stream = p->id,
        .cpu = p->cpu,
        .context = p->context,
        .subbuf_shift = p->shift,
        .pass = pass,
        .monotonic = f->now,
        .pos = GUINT64_FROM_LE (disk.pos),
        .produced = p->number,
        .recursed = p->recursed,
        .torn = p->torn,
        .payload = payload->data,
      };

      ddebug_merger_push (f->merger, &chunk, f->epoch, f->instance, &f->marks);
    }
}

static void
push (Fixture *f, Producer *p, guint64 pass)
{
  push_spans (f, p, pass, G_MAXUINT);
}

/* What is due, in short: texts of messages, "<N" if late by N, "-N" for N lost, "~N" for N dropped, "!" for the rest. */
static char *
take (Fixture *f)
{
  GString *out = g_string_new (NULL);
  DdebugItem item;

  while (ddebug_merger_next (f->merger, &item))
    switch (item.type)
      {
      case DDEBUG_ITEM_MESSAGE:
        g_string_append_len (out, (const char *) item.message.text, item.message.len);
        if (item.late)
          g_string_append_printf (out, "<%" G_GUINT64_FORMAT, item.late);
        g_string_append_c (out, ' ');
        break;
      case DDEBUG_ITEM_LOST:
        g_string_append_printf (out, "-%" G_GUINT64_FORMAT "/%d ", item.count, item.reason);
        break;
      case DDEBUG_ITEM_DROPPED:
        g_string_append_printf (out, "~%u+%u ", (guint) item.recursed, (guint) item.torn);
        break;
      default:
        g_string_append (out, "! ");
        break;
      }
  return g_string_free (out, FALSE);
}

static void
assert_due (Fixture *f, const char *expected)
{
  g_autofree char *got = take (f);

  g_assert_cmpstr (got, ==, expected);
}

static void
assert_all (Fixture *f, const char *expected)
{
  ddebug_merger_release (f->merger, G_MAXUINT64);
  assert_due (f, expected);
  g_assert_false (ddebug_merger_is_holding (f->merger));
}

/* The next item that is due, which is of @type and @stream. */
static void
assert_next (Fixture *f, guint type, guint stream, DdebugItem *item)
{
  g_assert_true (ddebug_merger_next (f->merger, item));
  g_assert_cmpint (item->type, ==, type);
  g_assert_cmpuint (item->stream->id, ==, stream);
  g_assert_true (item->epoch == f->epoch);
}

/* Records that make no sense are reported where they were, and what they were is counted behind them. */
static void
test_bad_span (Fixture *f, gconstpointer data)
{
  const struct ddebug_rec_hdr unknown = { .type_len = GUINT16_TO_LE (9 << DDEBUG_REC_TYPE_SHIFT | 8) };
  const struct ddebug_rec_hdr bad = { .type_len = GUINT16_TO_LE (DDEBUG_REC_NONE << DDEBUG_REC_TYPE_SHIFT | 8) };
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  g_autoptr (Producer) b = producer_new (4, 1, 0);
  DdebugItem item;

  (void) data;
  producer_printf (a, 10, "a10");
  producer_record (a, &unknown, sizeof unknown);
  producer_record (a, &bad, sizeof bad);
  producer_printf (a, 15, "a15");
  push (f, a, 1);
  producer_printf (b, 5, "b5");
  producer_printf (b, 20, "b20");
  push (f, b, 1);
  producer_printf (a, 30, "a30");
  a->recursed = 2;
  push (f, a, 2);
  ddebug_merger_release (f->merger, G_MAXUINT64);
  assert_next (f, DDEBUG_ITEM_MESSAGE, 4, &item);
  assert_next (f, DDEBUG_ITEM_MESSAGE, 0, &item);
  g_assert_cmpuint (item.message.time, ==, 10);
  assert_next (f, DDEBUG_ITEM_BAD_SPAN, 0, &item);
  g_assert_nonnull (item.text);
  g_assert_cmpstr (item.text, !=, "");
  assert_next (f, DDEBUG_ITEM_UNKNOWN, 0, &item);
  g_assert_cmpuint (item.count, ==, 1);
  assert_next (f, DDEBUG_ITEM_MESSAGE, 4, &item);
  g_assert_cmpuint (item.message.time, ==, 20);
  assert_next (f, DDEBUG_ITEM_LOST, 0, &item);
  g_assert_cmpuint (item.count, ==, 1);
  g_assert_cmpint (item.reason, ==, DDEBUG_LOST_RECORDS);
  assert_next (f, DDEBUG_ITEM_MESSAGE, 0, &item);
  g_assert_cmpuint (item.message.time, ==, 30);
  assert_next (f, DDEBUG_ITEM_DROPPED, 0, &item);
  g_assert_false (ddebug_merger_next (f->merger, &item));
  g_assert_false (ddebug_merger_is_holding (f->merger));
}

static void
say_loss (Producer *p, guint64 nostream, guint64 missed)
{
  const struct ddebug_rec_loss loss = {
    .hdr.type_len = GUINT16_TO_LE (DDEBUG_REC_LOSS << DDEBUG_REC_TYPE_SHIFT | sizeof loss),
    .nostream = GUINT64_TO_LE (nostream),
    .missed = GUINT64_TO_LE (missed),
  };

  producer_record (p, &loss, sizeof loss);
}

static void
assert_unrecorded (Fixture *f, guint32 stream, guint64 nostream, guint64 missed)
{
  DdebugItem item;

  assert_next (f, DDEBUG_ITEM_UNRECORDED, stream, &item);
  g_assert_cmpuint (item.nostream, ==, nostream);
  g_assert_cmpuint (item.missed, ==, missed);
  g_assert_cmpuint (item.count, ==, nostream + missed);
}

/* What no stream has recorded is the instance's: reported once, by the first stream that says so. */
static void
test_unrecorded (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  g_autoptr (Producer) b = producer_new (4, 1, 0);
  DdebugItem item;

  (void) data;
  f->instance->missed = 1;
  producer_printf (a, 10, "a10");
  say_loss (a, 2, 0);
  say_loss (a, 3, 1);
  push (f, a, 1);
  producer_printf (b, 20, "b20");
  say_loss (b, 3, 1);
  push (f, b, 1);
  say_loss (b, 2, 5);
  push (f, b, 2);
  producer_printf (a, 30, "a30");
  say_loss (a, 4, 6);
  push (f, a, 2);
  ddebug_merger_release (f->merger, G_MAXUINT64);
  assert_next (f, DDEBUG_ITEM_MESSAGE, 0, &item);
  assert_unrecorded (f, 0, 3, 0);
  assert_next (f, DDEBUG_ITEM_MESSAGE, 4, &item);
  assert_unrecorded (f, 4, 0, 4);
  assert_next (f, DDEBUG_ITEM_MESSAGE, 0, &item);
  assert_unrecorded (f, 0, 1, 1);
  g_assert_false (ddebug_merger_next (f->merger, &item));
  g_assert_cmpuint (f->instance->nostream, ==, 4);
  g_assert_cmpuint (f->instance->missed, ==, 6);
}

/* Older messages may be found one pass later, not two. */
static void
test_passes (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  g_autoptr (Producer) b = producer_new (4, 1, 0);

  (void) data;
  producer_printf (a, 20, "a20");
  push (f, a, 5);
  assert_due (f, "");
  g_assert_true (ddebug_merger_is_holding (f->merger));
  producer_printf (b, 10, "b10");
  producer_printf (b, 30, "b30");
  push (f, b, 6);
  assert_due (f, "");
  producer_printf (a, 40, "a40");
  push (f, a, 7);
  assert_due (f, "b10 a20 ");
  producer_printf (b, 35, "b35");
  push (f, b, 8);
  /* pass 6 is due: up to its last message */
  assert_due (f, "b30 ");
  assert_all (f, "b35 a40 ");
}

/* A CPU that does not run commits late: within the window that does not matter. */
static void
test_window (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  g_autoptr (Producer) b = producer_new (4, 1, 0);

  (void) data;
  ddebug_merger_set_window (f->merger, 100);
  f->now = 1000;
  producer_printf (a, 20, "a20");
  push (f, a, 5);
  f->now = 1050;
  producer_printf (a, 30, "a30");
  push (f, a, 9);
  f->now = 1099;
  producer_printf (b, 10, "b10");
  push (f, b, 12);
  assert_due (f, "");
  f->now = 1100;
  producer_printf (b, 40, "b40");
  push (f, b, 13);
  assert_due (f, "b10 a20 ");
  /* of a host that was started anew */
  f->now = 7;
  producer_printf (b, 50, "b50");
  push (f, b, 20);
  assert_due (f, "a30 b40 ");
  assert_all (f, "b50 ");
}

static void
test_settled (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  g_autoptr (Producer) b = producer_new (1, 1, 0);

  (void) data;
  producer_printf (a, 2, "a2");
  push (f, a, 9);
  ddebug_merger_release (f->merger, 8);
  assert_due (f, "");
  ddebug_merger_release (f->merger, 9);
  assert_due (f, "a2 ");
  g_assert_false (ddebug_merger_is_holding (f->merger));
  /* what is late is shown where it comes */
  producer_printf (b, 1, "b1");
  push (f, b, 9);
  ddebug_merger_release (f->merger, 9);
  assert_due (f, "b1<1 ");
}

/* ---- what comes late ---- */

/* Which of @stream's messages were late, of all that were given out. */
static void
assert_counted (Fixture *f, guint32 stream, guint64 late)
{
  DdebugMergerStream *s = g_hash_table_lookup (f->instance->streams, GUINT_TO_POINTER (stream));

  g_assert_nonnull (s);
  g_assert_cmpuint (s->late, ==, late);
}

/* Older than what was given out, by a nanosecond or more; the same time is not older. */
static void
test_late_border (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  g_autoptr (Producer) b = producer_new (4, 1, 0);

  (void) data;
  producer_printf (a, 1000, "a1000");
  push (f, a, 1);
  assert_all (f, "a1000 ");
  producer_printf (b, 999, "b999");
  producer_printf (b, 1000, "b1000");
  producer_printf (b, 1001, "b1001");
  push (f, b, 1);
  assert_all (f, "b999<1 b1000 b1001 ");
  /* what was late itself makes nothing else late */
  producer_printf (a, 1001, "a1001");
  push (f, a, 1);
  assert_all (f, "a1001 ");
  assert_counted (f, 0, 0);
  assert_counted (f, 4, 1);
}

/* A pass that is two behind, to the nanosecond of the window: in order; after it: late. */
static void
test_late_by_window (Fixture *f, gconstpointer data)
{
  (void) data;
  for (guint64 after = 98; after <= 102; after++)
    {
      g_autoptr (Producer) a = producer_new (after * 8, 0, 0);
      g_autoptr (Producer) b = producer_new (after * 8 + 4, 1, 0);

      ddebug_merger_free (f->merger);
      f->merger = ddebug_merger_new ();
      ddebug_merger_set_window (f->merger, 100);
      f->now = 1000;
      producer_printf (a, 20, "a20");
      push (f, a, 1);
      /* the CPU of b has taken its time 10 already, and does not run; that of a does */
      f->now = 1000 + after;
      producer_printf (a, 30, "a30");
      push (f, a, 3);
      assert_due (f, after < 100 ? "" : "a20 ");
      producer_printf (b, 10, "b10");
      push (f, b, 4);
      assert_all (f, after < 100 ? "b10 a20 a30 " : "b10<10 a30 ");
      assert_counted (f, b->id, after < 100 ? 0 : 1);
    }
}

/* The same by passes: found one pass after a younger one is in order, two passes after is late. */
static void
test_late_by_pass (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  g_autoptr (Producer) b = producer_new (4, 1, 0);
  g_autoptr (Producer) c = producer_new (8, 2, 0);

  (void) data;
  producer_printf (a, 20, "a20");
  push (f, a, 1);
  producer_printf (b, 10, "b10");
  push (f, b, 2);
  assert_due (f, "");
  producer_printf (a, 21, "a21");
  push (f, a, 3);
  assert_due (f, "b10 a20 ");
  producer_printf (c, 11, "c11");
  push (f, c, 3);
  assert_all (f, "c11<9 a21 ");
}

/* CPUs that are held back between time and commit, for less and for more than the window: which are late is exact. */
static void
test_late_random (Fixture *f, gconstpointer data)
{
  enum { STREAMS = 5, PASSES = 2000, WINDOW = 50 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (11);
  Producer *p[STREAMS];
  guint64 held[STREAMS] = { 0 };   /* the time that a CPU has taken before it was stopped; 0: it runs */
  guint64 until[STREAMS] = { 0 };
  guint64 newest = 0, late = 0, heard = 0, counted = 0;
  DdebugItem item;

  (void) data;
  ddebug_merger_set_window (f->merger, WINDOW);
  for (guint s = 0; s < STREAMS; s++)
    p[s] = producer_new (s, s, 0);
  for (guint pass = 1; pass <= PASSES; pass++)
    {
      for (guint s = 0; s < STREAMS; s++)
        {
          f->now++;
          if (held[s] && f->now >= until[s])
            {
              producer_printf (p[s], held[s], "x");
              held[s] = 0;
            }
          else if (!held[s] && g_rand_int_range (rand, 0, 40) == 0)
            {
              held[s] = f->now;
              until[s] = f->now + g_rand_int_range (rand, 1, 3 * WINDOW);
            }
          else if (!held[s])
            producer_printf (p[s], f->now, "x");
          push (f, p[s], pass);
        }
      if (pass == PASSES)
        ddebug_merger_release (f->merger, G_MAXUINT64);
      while (ddebug_merger_next (f->merger, &item))
        {
          g_assert_cmpint (item.type, ==, DDEBUG_ITEM_MESSAGE);
          g_assert_cmpuint (item.late, ==, item.message.time < newest ? newest - item.message.time : 0);
          /* nothing that came within the window is */
          g_assert_true (item.late == 0 || f->now - item.message.time >= WINDOW);
          newest = MAX (newest, item.message.time);
          late += item.late != 0;
          heard++;
        }
    }
  for (guint s = 0; s < STREAMS; s++)
    {
      DdebugMergerStream *stream = g_hash_table_lookup (f->instance->streams, GUINT_TO_POINTER (s));

      counted += stream->late;
      g_assert_cmpuint (stream->received, ==, p[s]->number);
      producer_free (p[s]);
    }
  g_assert_cmpuint (counted, ==, late);
  g_assert_cmpuint (late, >, 50);
  g_assert_cmpuint (heard, >, 50 * late / 2);
}

/* Clocks of other instances do not count. */
static void
test_late_in_life (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  g_autoptr (Producer) b = producer_new (0, 0, 0);

  (void) data;
  producer_printf (a, 1000, "a");
  push (f, a, 1);
  assert_all (f, "a ");
  ddebug_merger_end_instance (f->merger);
  f->epoch = ddebug_dict_epoch (f->dict, 2);
  f->instance = ddebug_dict_instance (f->dict, f->epoch);
  producer_printf (b, 5, "b");
  push (f, b, 2);
  assert_all (f, "b ");
}

/* ---- how long and how much is held ---- */

/* The caller's clock decides where the log's says nothing. */
static void
test_release_old (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);

  (void) data;
  g_assert_cmpint (ddebug_merger_release_old (f->merger, 5, 100), ==, -1);
  producer_printf (a, 1, "a1");
  push (f, a, 1);
  g_assert_cmpint (ddebug_merger_release_old (f->merger, 10, 100), ==, 100);
  producer_printf (a, 2, "a2");
  push (f, a, 1);
  g_assert_cmpint (ddebug_merger_release_old (f->merger, 50, 100), ==, 60);
  g_assert_cmpint (ddebug_merger_release_old (f->merger, 109, 100), ==, 1);
  assert_due (f, "");
  /* what goes on does not put it off */
  producer_printf (a, 3, "a3");
  push (f, a, 2);
  g_assert_cmpint (ddebug_merger_release_old (f->merger, 110, 100), ==, 40);
  assert_due (f, "a1 ");
  g_assert_cmpint (ddebug_merger_release_old (f->merger, 150, 100), ==, 60);
  assert_due (f, "a2 ");
  g_assert_cmpint (ddebug_merger_release_old (f->merger, 1000, 100), ==, -1);
  assert_due (f, "a3 ");
}

/* A pass without end is not waited for: all comes, what is out of order is marked. */
static void
test_held_max (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  g_autoptr (Producer) b = producer_new (4, 1, 0);

  (void) data;
  ddebug_merger_set_held_max (f->merger, 4096);
  producer_printf (a, 20, "a20");
  push (f, a, 1);
  assert_due (f, "");
  for (guint i = 0; i < 200; i++)
    producer_printf (a, 30, "%s", "a message of some length");
  push (f, a, 1);
  g_free (take (f));
  g_assert_false (ddebug_merger_is_holding (f->merger));
  producer_printf (b, 10, "b10");
  push (f, b, 1);
  assert_all (f, "b10<20 ");
}

/* Streams that a device looks at in turn, for many passes, with random times: always in order. */
static void
test_random_order (Fixture *f, gconstpointer data)
{
  enum { STREAMS = 7, PASSES = 300 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);
  Producer *p[STREAMS];
  guint64 now = 0, said = 0, heard = 0, last = 0;
  DdebugItem item;

  (void) data;
  for (guint s = 0; s < STREAMS; s++)
    p[s] = producer_new (s, s, 0);
  for (guint pass = 1; pass <= PASSES; pass++)
    {
      for (guint s = 0; s < STREAMS; s++)
        {
          /* while the device goes on to the next stream, all of them say something */
          for (int n = g_rand_int_range (rand, 0, 12); n > 0; n--, said++)
            producer_printf (p[g_rand_int_range (rand, 0, STREAMS)], ++now, "x");
          push (f, p[s], pass);
        }
      if (pass == PASSES)
        for (guint s = 0; s < STREAMS; s++)
          push (f, p[s], pass + 1);
      if (pass == PASSES)
        ddebug_merger_release (f->merger, G_MAXUINT64);
      while (ddebug_merger_next (f->merger, &item))
        {
          g_assert_cmpint (item.type, ==, DDEBUG_ITEM_MESSAGE);
          g_assert_cmpuint (item.message.time, ==, last + 1);
          last++;
          heard++;
        }
      /* no more is held than was found in two passes */
      g_assert_cmpuint (said - heard, <=, 2 * STREAMS * 12);
    }
  g_assert_cmpuint (heard, ==, said);
  for (guint s = 0; s < STREAMS; s++)
    producer_free (p[s]);
}

/* A guest whose clock jumps as it likes cannot reorder a stream, or keep others from coming out. */
static void
test_wild_times (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  g_autoptr (Producer) b = producer_new (1, 1, 0);

  (void) data;
  producer_printf (a, 0, "a0");
  producer_printf (a, G_MAXUINT64, "a1");
  producer_printf (a, 5, "a2");
  push (f, a, 1);
  producer_printf (b, 7, "b0");
  push (f, b, 1);
  assert_all (f, "a0 b0 a1 a2<18446744073709551610 ");
}

/* ---- losses ---- */

static void
test_oldest (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);

  (void) data;
  a->number = 1000000;
  producer_printf (a, 1, "x");
  push (f, a, 1);
  assert_all (f, "-1000000/0 x ");
}

static void
test_ring (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);

  (void) data;
  producer_printf (a, 1, "x0");
  push (f, a, 1);
  for (guint i = 0; i < 70000; i++)
    producer_printf (a, 2, "lost");
  producer_turn (a, 2);
  producer_lap (a, a->bytes->len - sizeof (struct ddebug_subbuf_hdr));
  producer_printf (a, 3, "x70001");
  push (f, a, 2);
  assert_all (f, "x0 -70000/4 x70001 ");
}

static void
assert_reason (Fixture *f, Producer *a, void (*change) (Fixture *f), DdebugLostReason reason)
{
  g_autofree char *expected = g_strdup_printf ("first -1/%d last ", reason);
  g_autoptr (GByteArray) payload = g_byte_array_new ();
  struct ddebug_log_chunk chunk;

  producer_printf (a, 1, "first");
  push (f, a, 1);
  producer_printf (a, 1, "lost");
  producer_take (a, &chunk, payload);
  change (f);
  producer_printf (a, 1, "last");
  push (f, a, 1);
  assert_all (f, expected);
}

static void
add_lap (Fixture *f)
{
  f->marks.laps++;
}

static void
add_damage (Fixture *f)
{
  f->marks.damages++;
}

static void
add_io_error (Fixture *f)
{
  f->marks.io_errors++;
}

static void
test_reasons (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  g_autoptr (Producer) b = producer_new (1, 0, 0);
  g_autoptr (Producer) c = producer_new (2, 0, 0);

  (void) data;
  assert_reason (f, a, add_lap, DDEBUG_LOST_OVERTAKEN);
  assert_reason (f, b, add_damage, DDEBUG_LOST_DAMAGED);
  assert_reason (f, c, add_io_error, DDEBUG_LOST_IO);
}

/* A message that cannot be read leaves a gap of its number, and nothing else. */
static void
test_unreadable (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  struct ddebug_rec_hdr unknown = {
    .type_len = GUINT16_TO_LE (15 << DDEBUG_REC_TYPE_SHIFT | 8),
    .seq = GUINT16_TO_LE (1),
  };

  (void) data;
  producer_printf (a, 1, "x0");
  producer_record (a, &unknown, sizeof unknown);
  a->number = 2;
  producer_printf (a, 1, "x2");
  push (f, a, 1);
  assert_all (f, "x0 -1/5 x2 ! ");
}

/* What the guest dropped is said once, at the sub-buffer or behind the span where it is first known. */
static void
test_drops (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);

  (void) data;
  a->recursed = 2;
  producer_printf (a, 1, "x0");
  producer_printf (a, 2, "x1");
  push (f, a, 1);
  producer_printf (a, 3, "x2");
  a->torn = 1;
  push (f, a, 2);
  producer_turn (a, 4);
  push (f, a, 3);
  a->recursed = 5;
  producer_printf (a, 5, "x3");
  push (f, a, 4);
  producer_printf (a, 6, "x4");
  push (f, a, 5);
  assert_all (f, "~2+0 x0 x1 x2 ~0+1 x3 ~3+0 x4 ");
}

/* Chunks that the writer died before writing are missed at the end, once. */
static void
test_tail (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  DdebugItem item;

  (void) data;
  for (guint i = 0; i < 300; i++)
    producer_printf (a, i, "x");
  push_spans (f, a, 1, 1);
  ddebug_merger_release (f->merger, G_MAXUINT64);
  for (guint i = 0; ddebug_merger_next (f->merger, &item); i++)
    g_assert_cmpuint (item.message.number, ==, i);
  ddebug_merger_end_instance (f->merger);
  g_assert_true (ddebug_merger_next (f->merger, &item));
  g_assert_cmpint (item.type, ==, DDEBUG_ITEM_LOST);
  g_assert_cmpint (item.reason, ==, DDEBUG_LOST_TAIL);
  g_assert_cmpuint (item.count + item.stream->received, ==, 300);
  ddebug_merger_end_instance (f->merger);
  g_assert_false (ddebug_merger_next (f->merger, &item));
}

static void
test_damaged_payload (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  DdebugChunk chunk = { .type = DDEBUG_LOG_CHUNK_DATA, .stream = 0, .subbuf_shift = 12, .produced = 3, .pass = 1 };

  (void) data;
  producer_printf (a, 1, "x0");
  push (f, a, 1);
  ddebug_merger_push (f->merger, &chunk, f->epoch, f->instance, &f->marks);
  ddebug_merger_release (f->merger, G_MAXUINT64);
  ddebug_merger_end_instance (f->merger);
  assert_due (f, "x0 -2/6 ");
}

static void
test_repeats (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  DdebugItem item;
  guint n = 0;

  (void) data;
  producer_printf (a, 1, "x0");
  producer_printf (a, 2, "x1");
  push (f, a, 1);
  a->taken = 0;
  producer_printf (a, 3, "x2");
  push (f, a, 2);
  ddebug_merger_release (f->merger, G_MAXUINT64);
  for (; ddebug_merger_next (f->merger, &item); n++)
    {
      g_assert_cmpuint (item.message.number, ==, n);
      if (n == 2)
        g_assert_cmpuint (item.stream->repeated, ==, 2);
    }
  g_assert_cmpuint (n, ==, 3);
}

/* received + lost + dropped is what was produced, whatever part of it is found. */
static void
test_account (Fixture *f, gconstpointer data)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (99);
  guint64 heard = 0, produced = 0;
  DdebugItem item;
  GHashTableIter iter;
  gpointer value;

  (void) data;
  for (guint s = 0; s < 20; s++)
    {
      g_autoptr (Producer) p = producer_new (s, s / 4, s % 4);

      for (guint i = 0; i < 5000; i++)
        {
          producer_printf (p, i, "%*u", g_rand_int_range (rand, 1, 30), i);
          p->recursed += g_rand_int_range (rand, 0, 50) == 0;
          p->torn += g_rand_int_range (rand, 0, 90) == 0;
          if (g_rand_int_range (rand, 0, 40) == 0)
            push (f, p, i);
          if (g_rand_int_range (rand, 0, 200) == 0)
            producer_lap (p, p->bytes->len & ~4095ul);
        }
      producer_printf (p, 5000, "last");
      push (f, p, 6000);
      produced += p->number + p->recursed + p->torn;
    }
  ddebug_merger_release (f->merger, G_MAXUINT64);
  ddebug_merger_end_instance (f->merger);
  while (ddebug_merger_next (f->merger, &item))
    heard += item.type == DDEBUG_ITEM_MESSAGE ? 1 : item.count;
  g_assert_cmpuint (heard, ==, produced);
  heard = 0;
  g_hash_table_iter_init (&iter, f->instance->streams);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      DdebugMergerStream *stream = value;

      heard += stream->received + stream->lost + stream->dropped;
      g_assert_cmpuint (stream->lost, >, 0);
      g_assert_cmpuint (stream->repeated, ==, 0);
    }
  g_assert_cmpuint (heard, ==, produced);
}

/* A pass without end does not fill the memory. */
static void
test_memory (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  guint due = 0;

  (void) data;
  a->shift = 16;
  for (guint i = 0; i < 1200; i++)
    {
      DdebugItem item;

      producer_turn (a, i);
      producer_printf (a, i, "x");
      producer_turn (a, i);
      push (f, a, 1);
      while (ddebug_merger_next (f->merger, &item))
        due++;
      g_byte_array_set_size (a->bytes, 0);
      a->taken = 0;
      producer_turn (a, i);
    }
  g_assert_cmpuint (due, >, 0);
}

/* What has been given out is held no more: after any number of spans the next one waits as the first did. */
static void
test_held_is_what_waits (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) a = producer_new (0, 0, 0);

  (void) data;
  ddebug_merger_set_held_max (f->merger, 8192);
  for (guint i = 0; i < 200; i++)
    {
      g_autofree char *text = g_strdup_printf ("a%u", i);
      g_autofree char *due = g_strdup_printf ("a%u ", i);

      producer_printf (a, i, "%s", text);
      push (f, a, i);
      assert_due (f, "");
      g_assert_true (ddebug_merger_is_holding (f->merger));
      assert_all (f, due);
    }
}

#define ADD(name, func) g_test_add ("/merge/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("what is found a pass later is put in order", test_passes);
  ADD ("records that make no sense are reported in their place", test_bad_span);
  ADD ("what no stream has recorded is reported once", test_unrecorded);
  ADD ("within the window, later passes are put in order", test_window);
  ADD ("settled passes wait no longer", test_settled);
  ADD ("older than what was given out is late, by a nanosecond", test_late_border);
  ADD ("held back up to the window is in order, from there on late", test_late_by_window);
  ADD ("found one pass after a younger one is in order, two passes after late", test_late_by_pass);
  ADD ("which messages of CPUs held back are late is exact", test_late_random);
  ADD ("another instance's clock makes nothing late", test_late_in_life);
  ADD ("nothing is held for longer than its caller wants", test_release_old);
  ADD ("no more is held than its caller wants", test_held_max);
  ADD ("random streams come out in order", test_random_order);
  ADD ("wild times reorder no stream", test_wild_times);
  ADD ("what is no longer in the log is counted", test_oldest);
  ADD ("a lapped ring is counted, over 16 bits", test_ring);
  ADD ("the reason of a loss is told", test_reasons);
  ADD ("an unreadable record leaves a gap", test_unreadable);
  ADD ("drops are said once, in place", test_drops);
  ADD ("what was never written is missed at the end", test_tail);
  ADD ("a damaged payload is missed", test_damaged_payload);
  ADD ("what is there twice is shown once", test_repeats);
  ADD ("received, lost and dropped are what was produced", test_account);
  ADD ("a pass without end does not fill the memory", test_memory);
  ADD ("what was given out is not held", test_held_is_what_waits);
  return g_test_run ();
}
