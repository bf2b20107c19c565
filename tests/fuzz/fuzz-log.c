/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log file, through reader, dictionary, merger and formatter.
 *
 * Nothing gets past a checksum by chance, so the input is not the file but how
 * to write it: operations, each of kind (1 byte) and what follows, see below.
 * The checksums are right unless the operation says otherwise.  The file may be
 * read between two operations, as by --follow.
 *
 * No text may come out that was not written: each must be a part of the input.
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ddebug-format.h"
#include "ddebug-view.h"

#define SEG_SIZE DDEBUG_LOG_SEG_SIZE_MIN
#define NR_SLOTS 8
#define FILE_SIZE (DDEBUG_LOG_SEGS_OFF + NR_SLOTS * SEG_SIZE)

enum
{
  OP_SEGMENT,               /* slot, type, seq, epoch, flags */
  OP_CHUNK,                 /* type, flags, epoch, stream, shift, pass, pos / 8 (2), length (2), payload */
  OP_RAW,                   /* offset (3), length (1), bytes */
  OP_SUPER,                 /* generation, first_seg, nr_segs, flags */
  OP_CUT,                   /* length of the file (3) */
  OP_STATE,                 /* settled pass */
  OP_READ,                  /* live */
  OP_STALE,                 /* slot, offset / 64 (2): chunks go on there */
  N_OPS,
};

/* Flags of segments, chunks and superblocks. */
#define BAD_CRC 1
#define BAD_PAYLOAD 2
#define BAD_PLACE 4
#define STAY 8
#define BIG 16

typedef struct
{
  const guint8 *data;       /* the input */
  gsize size;
  const guint8 *p;          /* what is left of it */
  gsize left;
  int fd;
  guint slot;
  guint64 seq;
  guint32 off;
  guint64 chunk_seq;
  DdebugView *view;
  DdebugFormat format;
  GString *text;
  guint64 items;
} Run;

/* Under TMPDIR, one for each process. */
static char *path;

static void
remove_file (void)
{
  unlink (path);
  g_free (path);
}

static int
log_file (void)
{
  static int fd = -1;

  if (fd < 0)
    {
      path = g_build_filename (g_get_tmp_dir (), "ddebug-fuzz-XXXXXX", NULL);
      fd = mkstemp (path);
      FUZZ_CHECK (fd >= 0);
      atexit (remove_file);
    }
  FUZZ_CHECK (ftruncate (fd, 0) == 0 && ftruncate (fd, FILE_SIZE) == 0);
  return fd;
}

/* The next @bytes of the input; zero where it has ended. */
static guint64
take (Run *run, guint bytes)
{
  guint n = MIN (bytes, run->left);
  guint64 value = fuzz_le (run->p, n);

  run->p += n;
  run->left -= n;
  return value;
}

static void
put (Run *run, const void *bytes, gsize len, guint64 at)
{
  if (at < FILE_SIZE)
    FUZZ_CHECK (pwrite (run->fd, bytes, MIN (len, FILE_SIZE - at), at) >= 0);
}

static void
put_super (Run *run, guint64 generation, guint64 first_seg, guint64 nr_segs, guint flags)
{
  struct ddebug_log_super super = {
    .magic = DDEBUG_LOG_MAGIC,
    .version = GUINT32_TO_LE (DDEBUG_LOG_VERSION),
    .seg_size = GUINT32_TO_LE (SEG_SIZE),
    .generation = GUINT64_TO_LE (generation),
    .size = GUINT64_TO_LE (DDEBUG_LOG_SEGS_OFF + nr_segs * SEG_SIZE),
    .nr_segs = GUINT64_TO_LE (nr_segs),
    .first_seg = GUINT64_TO_LE (first_seg),
  };

  memset (super.uuid, flags & BAD_PLACE ? 1 : 0, sizeof super.uuid);
  super.crc = GUINT32_TO_LE (ddebug_crc32c (&super, offsetof (struct ddebug_log_super, crc)) + (flags & BAD_CRC));
  put (run, &super, sizeof super, DDEBUG_LOG_SUPER_OFF (generation % 2));
}

static guint64
slot_offset (const Run *run)
{
  return DDEBUG_LOG_SEGS_OFF + run->slot * SEG_SIZE;
}

static void
put_segment (Run *run)
{
  struct ddebug_log_seg seg = { .magic = GUINT32_TO_LE (DDEBUG_LOG_SEG_MAGIC) };
  guint flags;

  run->slot = take (run, 1) % NR_SLOTS;
  seg.type = GUINT32_TO_LE (take (run, 1));
  run->seq = take (run, 1);
  seg.seq = GUINT64_TO_LE (run->seq);
  seg.epoch = GUINT32_TO_LE (take (run, 1));
  flags = take (run, 1);
  seg.crc = GUINT32_TO_LE (ddebug_crc32c (&seg, offsetof (struct ddebug_log_seg, crc)) + (flags & BAD_CRC));
  run->off = sizeof seg;
  put (run, &seg, sizeof seg, slot_offset (run));
}

static void
put_chunk (Run *run)
{
  struct ddebug_log_chunk chunk = { .magic = GUINT32_TO_LE (DDEBUG_LOG_CHUNK_MAGIC) };
  guint flags, len;

  chunk.type = GUINT16_TO_LE (take (run, 1));
  flags = take (run, 1);
  chunk.epoch = GUINT32_TO_LE (take (run, 1));
  chunk.stream = GUINT32_TO_LE (take (run, 1));
  chunk.subbuf_shift = take (run, 1);
  chunk.pass = GUINT64_TO_LE (take (run, 1));
  chunk.pos = GUINT64_TO_LE (8 * take (run, 2));
  len = take (run, 2);
  len = MIN (len, run->left);
  chunk.len = GUINT32_TO_LE (flags & BIG ? len + SEG_SIZE / 2 : len);
  chunk.seg_seq = GUINT64_TO_LE (run->seq);
  chunk.off = GUINT32_TO_LE (run->off + (flags & BAD_PLACE ? 8 : 0));
  chunk.chunk_seq = GUINT64_TO_LE (++run->chunk_seq);
  chunk.payload_crc = GUINT32_TO_LE (ddebug_crc32c (run->p, len) + (flags & BAD_PAYLOAD));
  chunk.crc = GUINT32_TO_LE (ddebug_crc32c (&chunk, offsetof (struct ddebug_log_chunk, crc)) + (flags & BAD_CRC));
  put (run, &chunk, sizeof chunk, slot_offset (run) + run->off);
  put (run, run->p, len, slot_offset (run) + run->off + sizeof chunk);
  run->p += len;
  run->left -= len;
  if (!(flags & STAY))
    run->off = MIN (run->off + sizeof chunk + ((len + 7) & ~7u), SEG_SIZE);
}

static void
put_raw (Run *run)
{
  guint64 at = take (run, 3);
  gsize len = take (run, 1);

  len = MIN (len, run->left);
  put (run, run->p, len, at);
  run->p += len;
  run->left -= len;
}

static void
put_state (Run *run)
{
  struct ddebug_log_state state = { .magic = GUINT32_TO_LE (DDEBUG_LOG_STATE_MAGIC) };

  state.settled_pass = GUINT64_TO_LE (take (run, 1));
  state.crc = GUINT32_TO_LE (ddebug_crc32c (&state, offsetof (struct ddebug_log_state, crc)));
  put (run, &state, sizeof state, DDEBUG_LOG_STATE_OFF);
}

static void
check_item (Run *run, const DdebugItem *item)
{
  const DdebugMessage *m = &item->message;

  if (item->type == DDEBUG_ITEM_MESSAGE && m->len)
    FUZZ_CHECK (memmem (run->data, run->size, m->text, m->len));
  g_string_truncate (run->text, 0);
  ddebug_format_item (&run->format, item, run->text);
  fuzz_check_safe (run->text->str, run->text->len);
  run->items++;
}

static void
read_items (Run *run)
{
  DdebugViewResult result;
  DdebugItem item;

  while ((result = ddebug_view_next (run->view, &item, NULL)) == DDEBUG_VIEW_ITEM)
    check_item (run, &item);
  FUZZ_CHECK (result == DDEBUG_VIEW_END || result == DDEBUG_VIEW_OTHER);
}

static void
read_log (Run *run, gboolean live)
{
  DdebugReader *reader;

  if (!run->view)
    {
      reader = ddebug_reader_open (path, NULL);
      if (!reader)
        return;
      run->view = ddebug_view_new (reader);
    }
  ddebug_view_start (run->view, live);
  read_items (run);
  if (!live)
    {
      ddebug_view_finish (run->view);
      read_items (run);
    }
}

static void
write_and_read (Run *run)
{
  guint64 values[3];

  while (run->left > 0)
    switch (take (run, 1) % N_OPS)
      {
      case OP_SEGMENT:
        put_segment (run);
        break;
      case OP_CHUNK:
        put_chunk (run);
        break;
      case OP_RAW:
        put_raw (run);
        break;
      case OP_SUPER:
        for (guint i = 0; i < 3; i++)
          values[i] = take (run, 1);
        put_super (run, values[0], values[1], values[2] << (values[2] & 0x80 ? 16 : 0), take (run, 1));
        break;
      case OP_CUT:
        FUZZ_CHECK (ftruncate (run->fd, MIN (take (run, 3), FILE_SIZE)) == 0);
        break;
      case OP_STATE:
        put_state (run);
        break;
      case OP_READ:
        read_log (run, take (run, 1) & 1);
        break;
      case OP_STALE:
      default:
        run->slot = take (run, 1) % NR_SLOTS;
        run->off = MIN (64 * take (run, 2), SEG_SIZE);
        break;
      }
  read_log (run, FALSE);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  Run run = { .data = data, .size = size, .p = data, .left = size, .seq = 1, .off = SEG_SIZE };
  clock_t begin = clock ();

  run.fd = log_file ();
  run.format = (DdebugFormat){ .utf8 = size & 1, .callsite = TRUE };
  run.text = g_string_new (NULL);
  put_super (&run, 1, 0, NR_SLOTS, 0);
  write_and_read (&run);
  /* Each item stands for at least eight bytes, or for a stream, of one of the rounds. */
  FUZZ_CHECK (run.items <= 64 + 16 * size * (size + 1));
  /* "No hang over 1 s", of processor time since others use the machine, too. */
  FUZZ_CHECK (clock () - begin < CLOCKS_PER_SEC);
  g_clear_pointer (&run.view, ddebug_view_free);
  g_string_free (run.text, TRUE);
  return 0;
}
