/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * damage [short]: damage to a log costs what it hits, and is reported.
 *
 * A log in which 64 KiB are in use is read with every bit of them flipped, and
 * with every length.  What comes out must be a message that was written, once;
 * what is missing must lie in the chunk that was hit, and a notice must say so.
 * Reading may take one second of processor time.  short: every 61st of them.
 * Output is TAP.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "../unit/canned.h"
#include "ddebug-view.h"

#define USED (64u << 10)
#define N_STREAMS 4
#define N_SEGS 4

/* Bytes that belong together: a chunk, a segment's header, a superblock, the state. */
typedef struct
{
  gsize at;
  gsize len;
  gsize padding;            /* how many of them, at the end, mean nothing */
  gboolean is_data;
  guint32 stream;           /* of DATA: messages [first, first + n) of it */
  guint first;
  guint n;
} Piece;

typedef struct
{
  Canned *canned;
  Producer *producers[N_STREAMS];
  GPtrArray *texts[N_STREAMS];
  gboolean *seen[N_STREAMS];
  GArray *pieces;
  guint last_data;          /* index of the piece that was written last */
  char *path;
  int fd;
} Log;

/* What a reading has found. */
typedef struct
{
  guint messages;
  guint unknown_callsites;
  guint64 lost;             /* by LOST notices */
  guint notices;            /* of damage */
  gboolean refused;
} Found;

static const char *doing = "nothing";

static void
fail (const char *format, ...)
{
  va_list args;

  va_start (args, format);
  vprintf (format, args);
  va_end (args);
  printf ("\n");
  fflush (stdout);
  abort ();
}

/* ---- the log ---- */

static void
add_piece (Log *log, Piece piece)
{
  g_array_append_val (log->pieces, piece);
}

static gsize
used (const Log *log)
{
  gsize sum = 0;

  for (guint i = 0; i < log->pieces->len; i++)
    sum += g_array_index (log->pieces, Piece, i).len;
  return sum;
}

static void
add_segment (Log *log, guint slot, guint type)
{
  canned_segment (log->canned, slot, type, 1);
  add_piece (log, (Piece){ .at = DDEBUG_LOG_SEGS_OFF + slot * log->canned->seg_size, .len = 64 });
}

/* The chunk that was made last. */
static Piece
last_chunk (const Log *log)
{
  gsize at = canned_last (log->canned);
  struct ddebug_log_chunk chunk;
  guint32 len;

  memcpy (&chunk, log->canned->bytes + at, sizeof chunk);
  len = GUINT32_FROM_LE (chunk.len);
  return (Piece){ .at = at, .len = sizeof chunk + ((len + 7) & ~7u), .padding = -len & 7 };
}

static void
say (Log *log, guint stream, gsize len)
{
  Producer *p = log->producers[stream];
  GString *text = g_string_new (NULL);

  g_string_printf (text, "stream %u message %u ", stream, log->texts[stream]->len);
  while (text->len < len)
    g_string_append_c (text, 'a' + (text->len + log->texts[stream]->len) % 26);
  g_ptr_array_add (log->texts[stream], text);
  producer_say (p, 1000 * used (log) + log->texts[stream]->len, 1 + stream % 2, text->str, text->len);
}

static void
take (Log *log, guint stream, guint first)
{
  Producer *p = log->producers[stream];
  g_autoptr (GByteArray) payload = g_byte_array_new ();
  struct ddebug_log_chunk chunk;
  guint64 pass = log->pieces->len;

  /* Of two sub-buffers, the first ends with what is in it. */
  while (producer_take (p, &chunk, payload))
    {
      gsize end = p->taken;
      guint n = 0;

      chunk.epoch = GUINT32_TO_LE (1);
      chunk.pass = GUINT64_TO_LE (pass);
      canned_chunk (log->canned, chunk, payload->data, payload->len);
      if (end < p->bytes->len)
        {
          struct ddebug_subbuf_hdr next;

          memcpy (&next, p->bytes->data + end, sizeof next);
          n = GUINT64_FROM_LE (next.seq) - first;
        }
      else
        n = log->texts[stream]->len - first;
      add_piece (log, last_chunk (log));
      log->last_data = log->pieces->len - 1;
      g_array_index (log->pieces, Piece, log->last_data).is_data = TRUE;
      g_array_index (log->pieces, Piece, log->last_data).stream = stream;
      g_array_index (log->pieces, Piece, log->last_data).first = first;
      g_array_index (log->pieces, Piece, log->last_data).n = n;
      first += n;
    }
}

static void
fill_to (Log *log, gsize bytes)
{
  for (guint round = 0; used (log) < bytes; round++)
    {
      guint stream = round * 7 % (N_STREAMS - 1);
      guint first = log->texts[stream]->len;

      for (guint i = 0; i <= round * 5 % 6; i++)
        say (log, stream, 30 + (round * 31 + i * 17) % 90);
      take (log, stream, first);
    }
}

static Log *
log_new (const char *dir)
{
  static const guint slots[N_SEGS] = { 2, 3, 0, 1 };
  Log *log = g_new0 (Log, 1);
  gsize rest;

  log->canned = canned_new (N_SEGS);
  log->pieces = g_array_new (FALSE, FALSE, sizeof (Piece));
  for (guint i = 0; i < N_STREAMS; i++)
    {
      log->producers[i] = producer_new (i, i / 2, i % 2);
      log->texts[i] = g_ptr_array_new ();
    }
  canned_super (log->canned, 2);
  add_piece (log, (Piece){ .at = 0, .len = 4096 });
  add_piece (log, (Piece){ .at = 4096, .len = 4096 });
  add_piece (log, (Piece){ .at = DDEBUG_LOG_STATE_OFF, .len = 64 });
  add_segment (log, slots[0], DDEBUG_LOG_SEG_DICT);
  canned_attach (log->canned, 1, 4711, 1);
  add_piece (log, last_chunk (log));
  for (guint id = 1; id <= 2; id++)
    {
      canned_dict (log->canned, 1, id, 10 * id, "module", "function");
      add_piece (log, last_chunk (log));
    }
  for (guint i = 1; i < N_SEGS; i++)
    {
      add_segment (log, slots[i], DDEBUG_LOG_SEG_DATA);
      fill_to (log, i * (USED - 2048) / (N_SEGS - 1));
    }
  /* what is left is one message: header of the chunk, of the sub-buffer, of the record, text */
  rest = USED - used (log);
  say (log, N_STREAMS - 1, rest - 128 - 32 - 16);
  take (log, N_STREAMS - 1, 0);
  g_assert_cmpuint (used (log), ==, USED);
  canned_state (log->canned, 1000);
  for (guint i = 0; i < N_STREAMS; i++)
    log->seen[i] = g_new (gboolean, log->texts[i]->len);
  log->path = g_build_filename (dir, "log", NULL);
  canned_write (log->canned, log->path);
  log->fd = open (log->path, O_RDWR | O_CLOEXEC);
  g_assert_cmpint (log->fd, >=, 0);
  return log;
}

static void
log_free (Log *log)
{
  close (log->fd);
  g_unlink (log->path);
  g_free (log->path);
  for (guint i = 0; i < N_STREAMS; i++)
    {
      for (guint j = 0; j < log->texts[i]->len; j++)
        g_string_free (g_ptr_array_index (log->texts[i], j), TRUE);
      g_ptr_array_unref (log->texts[i]);
      g_free (log->seen[i]);
      producer_free (log->producers[i]);
    }
  g_array_unref (log->pieces);
  canned_free (log->canned);
  g_free (log);
}

/* ---- reading it ---- */

static void
on_time_up (int signal)
{
  static const char text[] = "not ok - hangs: more than one second of processor time\n";

  (void) signal;
  if (write (STDOUT_FILENO, text, sizeof text - 1) < 0 || write (STDOUT_FILENO, doing, strlen (doing)) < 0)
    _exit (2);
  abort ();
}

static void
limit_time (void)
{
  struct itimerval limit = { .it_value.tv_sec = 1 };

  setitimer (ITIMER_PROF, &limit, NULL);
}

static void
take_message (Log *log, const DdebugItem *item, Found *found)
{
  const DdebugMessage *m = &item->message;
  guint stream = item->stream->id;
  const GString *text;
  DdebugCallsite callsite;

  if (stream >= N_STREAMS || m->number >= log->texts[stream]->len)
    fail ("not ok - %s: message %u of stream %u was never written", doing, (guint) m->number, stream);
  text = g_ptr_array_index (log->texts[stream], m->number);
  if (m->len != text->len || memcmp (m->text, text->str, m->len) != 0)
    fail ("not ok - %s: text that was never written: %.*s", doing, m->len, m->text);
  if (log->seen[stream][m->number])
    fail ("not ok - %s: message %u of stream %u comes twice", doing, (guint) m->number, stream);
  log->seen[stream][m->number] = TRUE;
  found->messages++;
  if (!ddebug_dict_lookup (item->epoch, m->callsite, &callsite))
    found->unknown_callsites++;
  else if (callsite.line != 10 * m->callsite || callsite.module_len != 6 || memcmp (callsite.module, "module", 6) != 0)
    fail ("not ok - %s: a callsite that was never announced", doing);
}

static void
read_items (Log *log, DdebugView *view, Found *found)
{
  g_autoptr (GError) error = NULL;
  DdebugViewResult result;
  DdebugItem item;

  while ((result = ddebug_view_next (view, &item, &error)) == DDEBUG_VIEW_ITEM)
    if (item.type == DDEBUG_ITEM_MESSAGE)
      take_message (log, &item, found);
    else if (item.type == DDEBUG_ITEM_LOST)
      found->lost += item.count;
    else if (item.type == DDEBUG_ITEM_BAD_CHUNK)
      found->notices++;
    else
      fail ("not ok - %s: a notice of something else, %d", doing, item.type);
  if (result != DDEBUG_VIEW_END)
    fail ("not ok - %s: reading fails", doing);
}

static Found
read_log (Log *log, gboolean live)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DdebugView) view = NULL;
  DdebugReader *reader;
  Found found = { 0 };

  for (guint i = 0; i < N_STREAMS; i++)
    memset (log->seen[i], 0, log->texts[i]->len * sizeof (gboolean));
  limit_time ();
  reader = ddebug_reader_open (log->path, &error);
  if (!reader)
    {
      found.refused = TRUE;
      return found;
    }
  view = ddebug_view_new (reader);
  ddebug_view_start (view, live);
  read_items (log, view, &found);
  if (live)
    ddebug_view_release (view);
  else
    ddebug_view_finish (view);
  read_items (log, view, &found);
  return found;
}

/* ---- what it may cost ---- */

static guint
n_texts (const Log *log)
{
  guint n = 0;

  for (guint i = 0; i < N_STREAMS; i++)
    n += log->texts[i]->len;
  return n;
}

/* Messages of @piece that did not come out. */
static guint
missing_in (const Log *log, const Piece *piece)
{
  guint n = 0;

  for (guint i = 0; piece->is_data && i < piece->n; i++)
    n += !log->seen[piece->stream][piece->first + i];
  return n;
}

static void
check_flip (Log *log, guint index, gsize byte, const Found *found, gboolean live)
{
  const Piece *hit = &g_array_index (log->pieces, Piece, index);
  guint missing = n_texts (log) - found->messages;
  gboolean in_padding = byte >= hit->len - hit->padding;
  /* Someone may be writing it: the place is read again later. */
  gboolean awaited = live && index == log->last_data;

  if (found->refused)
    fail ("not ok - %s: refused", doing);
  if (missing != missing_in (log, hit))
    fail ("not ok - %s: %u messages are missing, %u of them in what was hit", doing, missing, missing_in (log, hit));
  if (in_padding && missing)
    fail ("not ok - %s: padding counts", doing);
  if (missing && !found->notices && !awaited)
    fail ("not ok - %s: %u messages are missing, and nothing says so", doing, missing);
  /* Behind the last message of a stream that can be read nobody knows of more, but by a header that is left. */
  if (found->lost != missing && (found->lost > missing || hit->first + hit->n < log->texts[hit->stream]->len))
    fail ("not ok - %s: %u messages are missing, %u are said to be", doing, missing, (guint) found->lost);
  /* Superblock and state have copies, or are not needed; a header of a segment is said. */
  if (hit->len == 64 && hit->at >= DDEBUG_LOG_SEGS_OFF && found->notices != 1)
    fail ("not ok - %s: %u notices of a segment's header", doing, found->notices);
}

static void
flip (Log *log, guint index, gsize byte, guint bit, gboolean live)
{
  const Piece *piece = &g_array_index (log->pieces, Piece, index);
  g_autofree char *name = g_strdup_printf ("bit %u of byte %zu%s", bit, piece->at + byte, live ? ", live" : "");
  guint8 whole = log->canned->bytes[piece->at + byte], flipped = whole ^ 1 << bit;
  Found found;

  doing = name;
  g_assert_cmpint (pwrite (log->fd, &flipped, 1, piece->at + byte), ==, 1);
  found = read_log (log, live);
  check_flip (log, index, byte, &found, live);
  g_assert_cmpint (pwrite (log->fd, &whole, 1, piece->at + byte), ==, 1);
  doing = "nothing";
}

static guint
flip_all (Log *log, guint step)
{
  guint64 n = 0;
  guint done = 0;

  for (guint index = 0; index < log->pieces->len; index++)
    for (gsize byte = 0; byte < g_array_index (log->pieces, Piece, index).len; byte++)
      for (guint bit = 0; bit < 8; bit++, n++)
        if (n % step == 0)
          {
            flip (log, index, byte, bit, FALSE);
            /* one in seven, so that any bit of a byte is among them */
            if (n / step % 7 == 0)
              flip (log, index, byte, bit, TRUE);
            done++;
          }
  return done;
}

static void
check_length (Log *log, gsize len, const Found *found)
{
  guint expected = 0, missing = n_texts (log) - found->messages;

  if (found->refused != (len < 4096))
    fail ("not ok - %s: %s", doing, found->refused ? "refused" : "not refused");
  for (guint i = 0; i < log->pieces->len; i++)
    {
      const Piece *piece = &g_array_index (log->pieces, Piece, i);

      if (piece->is_data && (len < 4096 || piece->at + piece->len - piece->padding > len))
        expected += piece->n;
    }
  if (missing != expected)
    fail ("not ok - %s: %u messages are missing, %u are cut off", doing, missing, expected);
}

/* Downwards: what was cut off need not be written again. */
static guint
cut_all (Log *log, guint step)
{
  guint done = 0;

  for (gsize len = log->canned->size + 1; len-- > 0;)
    {
      g_autofree char *name = NULL;
      gboolean in_use = FALSE;
      Found found;

      for (guint i = 0; i < log->pieces->len && !in_use; i++)
        {
          const Piece *piece = &g_array_index (log->pieces, Piece, i);

          in_use = len >= piece->at && len <= piece->at + piece->len;
        }
      /* zeros between what is in use: one length is as good as another */
      if (len % step != 0 && !(in_use && step == 1))
        continue;
      if (!in_use && len % 512 != 0)
        continue;
      name = g_strdup_printf ("length %zu", len);
      doing = name;
      g_assert_cmpint (ftruncate (log->fd, len), ==, 0);
      found = read_log (log, FALSE);
      check_length (log, len, &found);
      doing = "nothing";
      done++;
    }
  return done;
}

int
main (int argc, char **argv)
{
  guint step = argc == 2 && strcmp (argv[1], "short") == 0 ? 61 : 1;
  char *dir = scratch_new ();
  Log *log = log_new (dir);
  Found found;

  signal (SIGPROF, on_time_up);
  setvbuf (stdout, NULL, _IOLBF, 0);
  found = read_log (log, FALSE);
  if (found.messages != n_texts (log) || found.lost || found.notices || found.unknown_callsites)
    fail ("not ok - /damage/the whole log is read");
  printf ("ok - /damage/the whole log is read: %u messages in %u chunks\n", found.messages, log->pieces->len);
  printf ("ok - /damage/%u flipped bits cost the chunk that they hit, and are said\n", flip_all (log, step));
  printf ("ok - /damage/%u lengths cost what is cut off\n", cut_all (log, step));
  log_free (log);
  scratch_free (dir);
  return 0;
}
