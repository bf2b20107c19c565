/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a writer that died has left in the shared rings is read once, whole and in
 * its place, by the reader and by the next writer; whatever the guest has put there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "canned.h"
#include "ddebug-format.h"
#include "ddebug-log-shm.h"
#include "ddebug-log-writer.h"
#include "ddebug-view.h"
#include "run-tool.h"

#define MIB ((guint64) 1 << 20)

enum
{
  SHM_SIZE = 1 << 20,
  RING_SIZE = 4 * 4096,
};

/* ---- a writer that dies ---- */

/* How many writes the writer still makes; -1: as many as it likes. */
static gint64 writes_left = -1;

static void
count_write (void)
{
  if (writes_left == 0)
    raise (SIGKILL);
  if (writes_left > 0)
    writes_left--;
}

/* A word of the file that a mapping does not show at once: to whom; 0: it does. */
static off_t unseen_read, unseen_write;

/* In place of libc's. */
ssize_t
pread (int fd, void *bytes, size_t len, off_t at)
{
  if (at == unseen_read && at && len == 8)
    {
      memset (bytes, 0, len);
      return len;
    }
  return syscall (SYS_pread64, fd, bytes, len, at);
}

ssize_t
pwrite (int fd, const void *bytes, size_t len, off_t at)
{
  if (at == unseen_write && at && len == 8)
    return len;
  count_write ();
  return syscall (SYS_pwrite64, fd, bytes, len, at);
}

ssize_t
pwritev (int fd, const struct iovec *pieces, int n, off_t at)
{
  count_write ();
  return syscall (SYS_pwritev, fd, pieces, (long) n, at, 0L);
}

/* ---- a log with rings ---- */

typedef struct
{
  LogFolder folder;
  DdebugLog *log;
  int fd;
  guint32 epoch;
} Fixture;

static DdebugLog *
open_log (Fixture *f, guint64 size, guint64 shm_size, gboolean exact, GError **error)
{
  const DdebugLogInfo info = { .vm_name = "vm", .writer = "test", .shm_size = shm_size, .shm_exact = exact };

  return ddebug_log_open (f->folder.path, size, &info, DDEBUG_LOG_OPEN_CREATE, error);
}

static void
reopen (Fixture *f)
{
  g_autoptr (GError) error = NULL;

  ddebug_log_close (f->log);
  f->log = open_log (f, 0, SHM_SIZE, FALSE, &error);
  g_assert_no_error (error);
}

static void
die (Fixture *f)
{
  g_clear_pointer (&f->log, ddebug_log_close);
}

static void
attach (Fixture *f)
{
  struct virtio_ddebug_attach intro = { .instance = GUINT64_TO_LE (7), .nr_cpus = GUINT32_TO_LE (2) };

  g_assert_cmpint (ddebug_log_append_attach (f->log, &intro, sizeof intro), ==, 0);
  f->epoch = ddebug_log_epoch (f->log);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  log_folder_set_up (&f->folder, data);
  f->log = open_log (f, 0, SHM_SIZE, TRUE, &error);
  g_assert_no_error (error);
  attach (f);
  f->fd = open (f->folder.path, O_RDWR);
  g_assert_cmpint (f->fd, >=, 0);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  ddebug_log_close (f->log);
  close (f->fd);
  log_folder_tear_down (&f->folder, data);
}

static void
store (Fixture *f, const void *bytes, gsize len, guint64 at)
{
  g_assert_cmpint (pwrite (f->fd, bytes, len, DDEBUG_LOG_SHM_OFF + at), ==, len);
}

/* A ring, as guest and device leave it. */
typedef struct
{
  guint64 off;
  guint32 epoch;
  guint32 generation;
  guint64 start;
  guint64 drained;
  guint64 writing;          /* bytes behind head that are being written */
} Ring;

static void
store_ring (Fixture *f, Producer *p, const Ring *ring)
{
  struct virtio_ddebug_stream_desc desc = {
    .magic = GUINT32_TO_LE (VIRTIO_DDEBUG_STREAM_MAGIC),
    .stream = GUINT32_TO_LE (p->id),
    .generation = GUINT32_TO_LE (ring->generation),
    .cpu = GUINT32_TO_LE (p->cpu),
    .context = p->context,
    .subbuf_shift = p->shift,
    .ring_size = GUINT32_TO_LE (RING_SIZE),
    .start = GUINT64_TO_LE (ring->start),
    .flags = GUINT32_TO_LE (VIRTIO_DDEBUG_STREAM_F_SHM),
    .epoch = GUINT32_TO_LE (ring->epoch),
    .shm_offset = GUINT64_TO_LE (ring->off),
  };
  struct virtio_ddebug_stream_hdr hdr = {
    .reserve = GUINT64_TO_LE (p->bytes->len + ring->writing),
    .head = GUINT64_TO_LE (p->bytes->len),
    .seq = GUINT64_TO_LE (p->number),
    .recursed = GUINT64_TO_LE (p->recursed),
    .torn = GUINT64_TO_LE (p->torn),
  };
  struct virtio_ddebug_shm_status status = { .drained = GUINT64_TO_LE (ring->drained) };
  guint8 bytes[RING_SIZE] = { 0 };

  for (guint64 pos = ring->start; pos < p->bytes->len + ring->writing; pos++)
    bytes[pos % RING_SIZE] = pos < p->bytes->len ? p->bytes->data[pos] : 0xa5;
  store (f, &desc, sizeof desc, ring->off);
  store (f, &hdr, sizeof hdr, ring->off + VIRTIO_DDEBUG_SHM_HDR_OFF);
  store (f, &status, sizeof status, ring->off + VIRTIO_DDEBUG_SHM_STATUS_OFF);
  store (f, bytes, sizeof bytes, ring->off + VIRTIO_DDEBUG_SHM_RING_OFF);
}

/* The device takes one span. */
static void
drain (Fixture *f, Producer *p, guint64 pass)
{
  g_autoptr (GByteArray) payload = g_byte_array_new ();
  struct ddebug_log_chunk chunk;
  DdebugLogData data;

  g_assert_true (producer_take (p, &chunk, payload));
  data = (DdebugLogData){
    .epoch = f->epoch, .stream = p->id, .cpu = p->cpu, .context = p->context, .subbuf_shift = p->shift,
    .pass = pass, .pos = GUINT64_FROM_LE (chunk.pos), .produced = p->number,
  };
  g_assert_cmpint (ddebug_log_append_data (f->log, &data, payload->data, payload->len), ==, 0);
}

/* Messages "<id> <number>" at times that alternate with those of others. */
static void
say (Producer *p, guint n)
{
  while (n--)
    producer_printf (p, p->number * 1000 + p->id, "%u %u", p->id, (guint) p->number);
}

/* ---- what is read ---- */

typedef struct
{
  guint64 received;
  guint64 lost;
  guint unchecked;
  guint bad;
  guint64 newest;           /* time of the message read last */
  gboolean in_order;
  guint64 next[8];          /* by stream */
} Seen;

static gboolean
see (const DdebugItem *item, gpointer data)
{
  Seen *seen = data;
  g_autofree char *text = NULL;

  if (item->type == DDEBUG_ITEM_LOST)
    {
      seen->lost += item->count;
      if (item->reason != DDEBUG_LOST_TAIL)
        seen->next[item->stream->id] += item->count;
    }
  seen->bad += item->type == DDEBUG_ITEM_BAD_CHUNK || item->type == DDEBUG_ITEM_BAD_SPAN;
  if (item->type != DDEBUG_ITEM_MESSAGE)
    return TRUE;
  text = g_strdup_printf ("%u %u", item->stream->id, (guint) item->message.number);
  g_assert_cmpmem (item->message.text, item->message.len, text, strlen (text));
  g_assert_cmpuint (item->message.number, ==, seen->next[item->stream->id]);
  seen->next[item->stream->id]++;
  g_assert_cmpuint (item->stream->repeated, ==, 0);
  seen->received++;
  seen->unchecked += item->unchecked;
  seen->in_order &= item->message.time >= seen->newest;
  seen->newest = item->message.time;
  return TRUE;
}

static Seen
read_log (Fixture *f, gboolean live)
{
  g_autoptr (GError) error = NULL;
  DdebugReader *reader = ddebug_reader_open (f->folder.path, &error);
  g_autoptr (DdebugView) view = NULL;
  Seen seen = { .in_order = TRUE };

  g_assert_no_error (error);
  view = ddebug_view_new (reader);
  g_assert_true (ddebug_view_read_all (view, live, see, &seen, &error));
  g_assert_cmpuint (ddebug_view_totals (view)->unchecked, ==, seen.unchecked);
  return seen;
}

static void
test_left (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) one = producer_new (1, 0, 1), two = producer_new (4, 1, 0);
  Seen seen;

  (void) data;
  say (one, 100);
  say (two, 100);
  drain (f, one, 1);
  drain (f, two, 1);
  say (one, 50);
  say (two, 20);
  store_ring (f, one, &(Ring){ .off = 4096, .epoch = f->epoch, .drained = one->taken });
  store_ring (f, two, &(Ring){ .off = 65536, .epoch = f->epoch, .drained = two->taken });

  /* whoever has the log drains them */
  seen = read_log (f, FALSE);
  g_assert_cmpuint (seen.received, <, 270);
  g_assert_cmpuint (seen.unchecked, ==, 0);
  seen = read_log (f, TRUE);
  g_assert_cmpuint (seen.unchecked, ==, 0);

  die (f);
  seen = read_log (f, FALSE);
  g_assert_cmpuint (seen.received, ==, 270);
  g_assert_cmpuint (seen.lost, ==, 0);
  g_assert_cmpuint (seen.unchecked, >=, 70);
  g_assert_true (seen.in_order);
}

/* It was written, and its writer died before it said so in the ring. */
static void
test_newest_chunk_counts (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) p = producer_new (1, 0, 1);
  guint64 drained;
  Seen seen;

  (void) data;
  say (p, 30);
  drain (f, p, 1);
  drained = p->taken;
  say (p, 30);
  drain (f, p, 2);
  say (p, 3);
  store_ring (f, p, &(Ring){ .epoch = f->epoch, .drained = drained });
  die (f);
  seen = read_log (f, FALSE);
  g_assert_cmpuint (seen.received, ==, 63);
  g_assert_cmpuint (seen.unchecked, ==, 3);
  reopen (f);
  g_assert_cmpuint (ddebug_log_recover (f->log), ==, 1);
  seen = read_log (f, FALSE);
  g_assert_cmpuint (seen.received, ==, 63);
}

/* The chunk that was being written is whole in the ring, whatever its header says. */
static void
test_newest_chunk_is_cut (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) p = producer_new (1, 0, 1);
  guint32 magic = GUINT32_TO_LE (DDEBUG_LOG_CHUNK_MAGIC);
  g_autoptr (GError) error = NULL;
  g_autofree char *file = NULL;
  struct ddebug_log_chunk chunk;
  guint64 drained, at = 0;
  gsize len;
  Seen seen;

  (void) data;
  say (p, 30);
  drain (f, p, 1);
  drained = p->taken;
  say (p, 30);
  drain (f, p, 2);
  store_ring (f, p, &(Ring){ .epoch = f->epoch, .drained = drained });
  die (f);
  g_assert_true (g_file_get_contents (f->folder.path, &file, &len, &error));
  for (gsize i = 0; i + sizeof chunk <= len; i += 8)
    if (memcmp (file + i, &magic, sizeof magic) == 0)
      at = i;
  memcpy (&chunk, file + at, sizeof chunk);
  g_assert_cmpuint (GUINT16_FROM_LE (chunk.type), ==, DDEBUG_LOG_CHUNK_DATA);
  at += sizeof chunk + GUINT32_FROM_LE (chunk.len) - 8;
  g_assert_cmpint (pwrite (f->fd, "\0\0\0\0\0\0\0", 8, at), ==, 8);
  seen = read_log (f, FALSE);
  g_assert_cmpuint (seen.received, ==, 60);
  g_assert_cmpuint (seen.unchecked, ==, 30);
  reopen (f);
  g_assert_cmpuint (ddebug_log_recover (f->log), ==, 1);
  seen = read_log (f, FALSE);
  g_assert_cmpuint (seen.received, ==, 60);
  g_assert_cmpuint (seen.lost, ==, 0);
}

static void
test_overwritten (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) p = producer_new (1, 0, 1);
  Seen seen;

  (void) data;
  say (p, 10);
  drain (f, p, 1);
  while (p->bytes->len < 3 * RING_SIZE)
    say (p, 1);
  store_ring (f, p, &(Ring){ .epoch = f->epoch, .drained = p->taken, .writing = 512 });
  die (f);
  seen = read_log (f, FALSE);
  g_assert_cmpuint (seen.received + seen.lost, ==, p->number);
  /* three whole sub-buffers are left at least */
  g_assert_cmpuint (seen.unchecked, >=, 3 * 4096 / 32);
  g_assert_cmpuint (seen.bad, ==, 0);
}

/* How many events RECOVERED there are; what the last one says, and what it must: the newest pass. */
static guint
count_recovered (Fixture *f, guint64 said[2], guint64 is[2])
{
  g_autoptr (DdebugReader) reader = ddebug_reader_open (f->folder.path, NULL);
  guint64 pass = 0;
  DdebugChunk chunk;
  guint n = 0;

  g_assert_nonnull (reader);
  while (ddebug_reader_next (reader, &chunk, NULL) == DDEBUG_READ_CHUNK)
    {
      struct ddebug_log_event event;

      if (chunk.type == DDEBUG_LOG_CHUNK_DATA)
        {
          if (chunk.pass != pass)
            is[0] = is[1] = 0;
          pass = chunk.pass;
          is[0]++;
          is[1] += chunk.len;
        }
      if (chunk.type != DDEBUG_LOG_CHUNK_EVENT)
        continue;
      memcpy (&event, chunk.payload, sizeof event);
      if (GUINT32_FROM_LE (event.event) == DDEBUG_LOG_EVENT_RECOVERED)
        {
          said[0] = GUINT64_FROM_LE (event.arg[0]);
          said[1] = GUINT64_FROM_LE (event.arg[1]);
          g_assert_cmpuint (event.arg[2], ==, 0);
          n++;
        }
    }
  return n;
}

static void
test_recover (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) one = producer_new (1, 0, 1), two = producer_new (4, 1, 0);
  guint64 said[2] = { 0 }, is[2] = { 0 };
  Seen before, after;

  (void) data;
  say (one, 300);
  say (two, 20);
  drain (f, one, 1);
  store_ring (f, one, &(Ring){ .epoch = f->epoch, .drained = one->taken });
  store_ring (f, two, &(Ring){ .off = 32768, .epoch = f->epoch, .writing = 128 });
  die (f);
  before = read_log (f, FALSE);
  g_assert_cmpuint (before.received, ==, 320);
  reopen (f);
  g_assert_cmpuint (ddebug_log_epoch (f->log), ==, f->epoch);
  g_assert_cmpuint (count_recovered (f, said, is), ==, 0);
  g_assert_cmpuint (ddebug_log_recover (f->log), ==, 2);
  g_assert_cmpuint (count_recovered (f, said, is), ==, 1);
  g_assert_cmpuint (said[0], ==, 2);
  g_assert_cmpuint (is[0], ==, 2);
  g_assert_cmpuint (said[1], ==, is[1]);
  /* and nothing is left there */
  g_assert_cmpuint (ddebug_log_recover (f->log), ==, 0);
  g_assert_cmpuint (count_recovered (f, said, is), ==, 1);
  after = read_log (f, TRUE);
  g_assert_cmpuint (after.received, ==, 320);
  g_assert_cmpuint (after.unchecked, ==, 0);
  g_assert_true (after.in_order);
  die (f);
  after = read_log (f, FALSE);
  g_assert_cmpuint (after.received, ==, 320);
  g_assert_cmpuint (after.unchecked, ==, 0);
}

/* The writer that goes on is killed, too, before each of its writes: each message is still there once. */
static void
test_recover_killed (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) one = producer_new (1, 0, 1), two = producer_new (4, 1, 0);
  g_autoptr (GError) error = NULL;
  g_autofree char *file = NULL;
  int status = -1;
  guint kills = 0;
  gsize len;

  (void) data;
  g_assert_true (ddebug_log_resize (f->log, 3 * MIB, &error));
  say (one, 500);
  say (two, 20);
  drain (f, one, 1);
  store_ring (f, one, &(Ring){ .epoch = f->epoch });
  store_ring (f, two, &(Ring){ .off = 32768, .epoch = f->epoch });
  die (f);
  g_assert_true (g_file_get_contents (f->folder.path, &file, &len, &error));
  while (!WIFEXITED (status))
    {
      pid_t pid;
      Seen seen;

      g_assert_cmpint (pwrite (f->fd, file, len, 0), ==, len);
      pid = fork ();
      if (pid == 0)
        {
          writes_left = kills;
          reopen (f);
          ddebug_log_recover (f->log);
          _exit (0);
        }
      g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
      seen = read_log (f, FALSE);
      g_assert_cmpuint (seen.received, ==, 520);
      g_assert_cmpuint (seen.lost, ==, 0);
      reopen (f);
      ddebug_log_recover (f->log);
      seen = read_log (f, TRUE);
      g_assert_cmpuint (seen.received, ==, 520);
      g_assert_cmpuint (seen.unchecked, ==, 0);
      die (f);
      kills++;
    }
  /* superblock, segment, four chunks with their words, event, two descriptors */
  g_assert_cmpuint (kills, >, 12);
}

/* A ring of another size has come in the place of the first, which was not given back yet. */
static void
test_two_rings_of_a_stream (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) p = producer_new (1, 0, 1);
  guint64 start;
  Seen seen;

  (void) data;
  say (p, 40);
  store_ring (f, p, &(Ring){ .epoch = f->epoch });
  producer_turn (p, p->number * 1000);
  start = p->bytes->len / 4096 * 4096;
  say (p, 10);
  store_ring (f, p, &(Ring){ .off = 65536, .epoch = f->epoch, .generation = 1, .start = start });
  die (f);
  seen = read_log (f, FALSE);
  g_assert_cmpuint (seen.received, ==, 50);
  g_assert_cmpuint (seen.lost, ==, 0);
}

static void
test_other_epoch (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) p = producer_new (1, 0, 1);

  (void) data;
  say (p, 40);
  store_ring (f, p, &(Ring){ .epoch = f->epoch });
  attach (f);
  die (f);
  g_assert_cmpuint (read_log (f, FALSE).received, ==, 0);
  reopen (f);
  g_assert_cmpuint (ddebug_log_recover (f->log), ==, 0);
}

/* Memory that still maps the rings keeps the file open, and must not keep the next writer away. */
static void
test_mapped_when_closed (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  DdebugShm *shm = ddebug_log_map_shm (f->log, &error);

  (void) data;
  g_assert_no_error (error);
  die (f);
  reopen (f);
  ddebug_shm_unref (shm);
}

/* A writer comes while the rings are read. */
static void
test_writer_comes (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) p = producer_new (1, 0, 1);
  g_autoptr (GError) error = NULL;
  g_autoptr (DdebugReader) reader = NULL;
  guint from_rings = 0, chunks = 0;
  DdebugChunk chunk;
  DdebugRead result;

  (void) data;
  say (p, 400);
  store_ring (f, p, &(Ring){ .epoch = f->epoch });
  die (f);
  reader = ddebug_reader_open (f->folder.path, &error);
  g_assert_no_error (error);
  ddebug_reader_set_live (reader, FALSE);
  while ((result = ddebug_reader_next (reader, &chunk, &error)) == DDEBUG_READ_CHUNK && !chunk.from_ring)
    ;
  g_assert_cmpint (result, ==, DDEBUG_READ_CHUNK);
  reopen (f);
  ddebug_log_recover (f->log);
  ddebug_reader_set_live (reader, TRUE);
  while ((result = ddebug_reader_next (reader, &chunk, &error)) == DDEBUG_READ_CHUNK)
    {
      from_rings += chunk.from_ring;
      chunks += chunk.type == DDEBUG_LOG_CHUNK_DATA;
    }
  g_assert_cmpint (result, ==, DDEBUG_READ_END);
  g_assert_cmpuint (from_rings, ==, 0);
  g_assert_cmpuint (chunks, ==, (p->bytes->len + 4095) / 4096);
  /* nor is it there once more when that one has gone, too */
  die (f);
  ddebug_reader_set_live (reader, FALSE);
  g_assert_cmpint (ddebug_reader_next (reader, &chunk, &error), ==, DDEBUG_READ_END);
}

/* ---- what the tool says of it ---- */

/*
 * Messages 0 to 9 of CPU 0 are in the log, 12 to 14 in its ring, and 0 to 2 of CPU 1.
 * QEMU is killed.
 */
static void
leave_messages (Fixture *f)
{
  g_autoptr (Producer) one = producer_new (1, 0, 1), two = producer_new (4, 1, 0);

  say (one, 10);
  drain (f, one, 1);
  one->number += 2;
  producer_turn (one, one->number * 1000);
  say (one, 3);
  say (two, 3);
  store_ring (f, one, &(Ring){ .epoch = f->epoch, .drained = one->taken });
  store_ring (f, two, &(Ring){ .off = 65536, .epoch = f->epoch });
  die (f);
}

#define GAP "-- 2 messages lost on cpu 0, softirq: in unreadable records --\n"
#define LEFT "[    0.000012] 1 12\n[    0.000013] 1 13\n[    0.000014] 1 14\n"

/* Nothing that the host has written is of that time. */
static char *
since_now (void)
{
  return g_strdup_printf ("--since=@%" G_GINT64_FORMAT, g_get_real_time () / G_USEC_PER_SEC + 1);
}

/* When it was logged nobody knows: some time after the last that the host wrote. */
static void
test_time_is_not_known (Fixture *f, gconstpointer data)
{
  g_autofree char *since = NULL;
  Result r;

  (void) data;
  leave_messages (f);
  since = since_now ();
  r = tool_run ("--cpu=0", since, f->folder.path, NULL);
  g_assert_nonnull (strstr (r.out, GAP));
  g_assert_true (g_str_has_suffix (r.out, LEFT));
  g_assert_null (strstr (r.out, "] 1 9"));
  result_clear (&r);
  r = tool_run ("--until=@1700000000", f->folder.path, NULL);
  g_assert_cmpstr (r.out, ==, "");
  result_clear (&r);

  r = tool_run ("--output=json", "--grep=^1 ", f->folder.path, NULL);
  g_assert_cmpint (r.status, ==, 0);
  for (char *line = r.out, *end; *line; line = end + 1)
    {
      gboolean is_left;

      end = strchr (line, '\n');
      *end = '\0';
      is_left = g_regex_match_simple ("\"message\":\"1 1\\d\"|\"type\":\"lost\"", line, 0, 0);
      g_assert_cmpint (strstr (line, "\"host_time\"") != NULL, ==, !is_left);
    }
  result_clear (&r);
}

#define NOTICE "-- the following was still in the guest's rings, not copied by QEMU, and has no checksum --\n"

/* Once, before the first that is shown, whatever is left out. */
static void
test_no_checksum_is_said (Fixture *f, gconstpointer data)
{
  static const struct
  {
    const char *option;
    const char *shown;
  } cases[] = {
    { "--grep=^1 14", GAP NOTICE "[    0.000014] 1 14\n" },
    { "--cpu=1", NOTICE "[    0.000000] 4 0\n[    0.000001] 4 1\n[    0.000002] 4 2\n" },
    { "--grep=^1 9", "[    0.000009] 1 9\n" GAP },
  };
  guint told = 0;
  Result r;

  (void) data;
  leave_messages (f);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      r = tool_run (cases[i].option, f->folder.path, NULL);
      g_assert_cmpstr (r.out, ==, cases[i].shown);
      result_clear (&r);
    }
  r = tool_run (f->folder.path, NULL);
  for (const char *p = r.out; (p = strstr (p, NOTICE)); p++)
    told++;
  g_assert_cmpuint (told, ==, 1);
  result_clear (&r);
  r = tool_run ("--output=json", "--cpu=1", "--quiet", f->folder.path, NULL);
  g_assert_nonnull (strstr (r.out, "\"unchecked\":true"));
  result_clear (&r);
  r = tool_run ("--output=json", "--grep=^1 9", "--quiet", f->folder.path, NULL);
  g_assert_null (strstr (r.out, "\"unchecked\""));
  result_clear (&r);
  r = tool_run ("--last-words", f->folder.path, NULL);
  g_assert_nonnull (strstr (r.out, "\nrings:   6 of the messages were still in the rings and have no checksum\n"));
  result_clear (&r);
}

/* The time of the last that the host took is not that of the last. */
static void
test_boots (Fixture *f, gconstpointer data)
{
  g_autofree char *since = NULL;
  Result r;

  (void) data;
  leave_messages (f);
  since = since_now ();
  r = tool_run ("--list-boots", since, f->folder.path, NULL);
  g_assert_true (g_regex_match_simple ("\n   0 0000.* [+]0000[+] +16 ", r.out, 0, 0));
  result_clear (&r);
  r = tool_run ("--list-boots", "--output=json", f->folder.path, NULL);
  g_assert_nonnull (strstr (r.out, "\"unchecked\":true"));
  result_clear (&r);
  reopen (f);
  ddebug_log_recover (f->log);
  r = tool_run ("--list-boots", f->folder.path, NULL);
  g_assert_true (g_regex_match_simple ("\n   0 0000.* [+]0000 +16 ", r.out, 0, 0));
  result_clear (&r);
}

/* ---- the file ---- */

static void
test_resize_keeps_the_rings (Fixture *f, gconstpointer data)
{
  static const guint64 sizes[] = { 2, 40, 3 };
  g_autoptr (Producer) p = producer_new (1, 0, 1);
  g_autoptr (GError) error = NULL;
  struct stat st;

  (void) data;
  say (p, 40);
  store_ring (f, p, &(Ring){ .epoch = f->epoch });
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      /* as the tool does it, of a VM that does not run */
      reopen (f);
      g_assert_true (ddebug_log_resize (f->log, SHM_SIZE + sizes[i] * MIB, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (ddebug_log_size (f->log), <=, SHM_SIZE + sizes[i] * MIB);
      die (f);
      g_assert_cmpint (stat (f->folder.path, &st), ==, 0);
      g_assert_cmpuint (st.st_size, <=, SHM_SIZE + sizes[i] * MIB);
      g_assert_cmpuint (read_log (f, FALSE).received, ==, 40);
    }
  reopen (f);
  g_assert_false (ddebug_log_resize (f->log, SHM_SIZE, &error));
  g_assert_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_SIZE);
  g_assert_nonnull (strstr (error->message, "1024 KiB of shared rings"));
}

static void
test_clear (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) p = producer_new (1, 0, 1);
  g_autoptr (GError) error = NULL;

  (void) data;
  say (p, 40);
  store_ring (f, p, &(Ring){ .epoch = f->epoch });
  reopen (f);
  ddebug_log_recover (f->log);
  g_assert_true (ddebug_log_clear (f->log, &error));
  die (f);
  g_assert_cmpuint (read_log (f, FALSE).received, ==, 0);
}

static void
test_format (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  struct ddebug_log_super super;

  (void) data;
  g_assert_cmpuint (ddebug_log_shm_size (f->log), ==, SHM_SIZE);
  g_assert_cmpuint (ddebug_log_size (f->log), <=, 16 * MIB + SHM_SIZE);
  g_assert_cmpuint (ddebug_log_size (f->log), >, 15 * MIB + SHM_SIZE);
  g_assert_cmpint (pread (f->fd, &super, sizeof super, 4096), ==, sizeof super);
  g_assert_cmpuint (GUINT32_FROM_LE (super.incompat), ==, DDEBUG_LOG_INCOMPAT_SHM);
  g_assert_cmpuint (GUINT64_FROM_LE (super.size), ==,
                    65536 + SHM_SIZE + GUINT64_FROM_LE (super.nr_segs) * GUINT32_FROM_LE (super.seg_size));
  die (f);

  /* another size, where it was named; not where it was not; none is no matter */
  f->log = open_log (f, 0, 2 * SHM_SIZE, TRUE, &error);
  g_assert_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_SHM);
  g_clear_error (&error);
  f->log = open_log (f, 0, 2 * SHM_SIZE, FALSE, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (ddebug_log_shm_size (f->log), ==, SHM_SIZE);
  die (f);
  f->log = open_log (f, 0, 0, FALSE, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (ddebug_log_shm_size (f->log), ==, SHM_SIZE);
  die (f);

  /* a new one without; then it cannot have them */
  g_assert_cmpint (unlink (f->folder.path), ==, 0);
  f->log = open_log (f, 0, 0, FALSE, &error);
  g_assert_cmpuint (ddebug_log_shm_size (f->log), ==, 0);
  g_assert_cmpuint (ddebug_log_recover (f->log), ==, 0);
  die (f);
  f->log = open_log (f, 0, SHM_SIZE, FALSE, &error);
  g_assert_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_SHM);
  g_assert_nonnull (strstr (error->message, "remove this one"));
  g_clear_error (&error);

  /* too small for both */
  g_assert_cmpint (unlink (f->folder.path), ==, 0);
  f->log = open_log (f, MIB, SHM_SIZE, FALSE, &error);
  g_assert_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_SIZE);
  g_assert_cmpint (access (f->folder.path, F_OK), ==, -1);
}

/* Whether the kernel keeps the pages of the mapping at @base in memory. */
static gboolean
is_locked (const void *base)
{
  g_autofree char *maps = NULL, *begin = g_strdup_printf ("\n%" G_GINTPTR_MODIFIER "x-", (guintptr) base);
  const char *flags;

  g_assert_true (g_file_get_contents ("/proc/self/smaps", &maps, NULL, NULL));
  flags = strstr (maps, begin);
  g_assert_nonnull (flags);
  flags = strstr (flags, "\nVmFlags:");
  g_assert_nonnull (flags);
  return g_strstr_len (flags, strcspn (flags + 1, "\n") + 1, " lo") != NULL;
}

static void
assert_map_is_locked (Fixture *f)
{
  /* what this process may do, by its limit or by a capability */
  void *probe = mmap (NULL, SHM_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  gboolean may = mlock2 (probe, SHM_SIZE, MLOCK_ONFAULT) == 0;
  g_autoptr (GError) error = NULL;
  DdebugShm *shm;

  munmap (probe, SHM_SIZE);
  shm = ddebug_log_map_shm (f->log, &error);
  g_assert_no_error (error);
  g_assert_cmpint (is_locked (shm->base), ==, may);
  ddebug_shm_unref (shm);
}

/* As far as the limit allows; beyond it the rings are mapped all the same. */
static void
test_map_is_locked (Fixture *f, gconstpointer data)
{
  struct rlimit limit, none;

  (void) data;
  g_assert_cmpint (getrlimit (RLIMIT_MEMLOCK, &limit), ==, 0);
  assert_map_is_locked (f);
  none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
  g_assert_cmpint (setrlimit (RLIMIT_MEMLOCK, &none), ==, 0);
  assert_map_is_locked (f);
  g_assert_cmpint (setrlimit (RLIMIT_MEMLOCK, &limit), ==, 0);
}

/* Stores to the mapping and writes to the file must see each other, or there are no shared rings. */
static void
test_map_is_coherent (Fixture *f, gconstpointer data)
{
  const off_t probe = DDEBUG_LOG_SHM_OFF + VIRTIO_DDEBUG_SHM_HDR_OFF + sizeof (struct virtio_ddebug_stream_hdr);
  g_autoptr (GError) error = NULL;
  DdebugShm *shm;

  (void) data;
  for (int i = 0; i < 2; i++)
    {
      *(i ? &unseen_write : &unseen_read) = probe;
      g_assert_null (ddebug_log_map_shm (f->log, &error));
      unseen_write = unseen_read = 0;
      g_assert_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_SHM);
      g_assert_nonnull (strstr (error->message, "does not make stores to a mapped file visible at once"));
      g_clear_error (&error);
    }
  /* and what was tried leaves nothing */
  shm = ddebug_log_map_shm (f->log, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < SHM_SIZE; i++)
    g_assert_cmpint (shm->base[i], ==, 0);
  ddebug_shm_unref (shm);
}

static void
test_map (Fixture *f, gconstpointer data)
{
  static const char word[] = "a word of the guest";
  g_autoptr (GError) error = NULL;
  char there[sizeof word];
  DdebugShm *shm;

  (void) data;
  /* of another guest, which is not to be read by this one */
  store (f, word, sizeof word, 5000);
  store (f, word, sizeof word, SHM_SIZE - sizeof word);
  shm = ddebug_log_map_shm (f->log, &error);
  g_assert_no_error (error);
  g_assert_cmpstr ((char *) shm->base + 5000, ==, word);
  g_assert_true (ddebug_log_wipe_shm (f->log, &error));
  g_assert_no_error (error);
  for (guint i = 0; i < SHM_SIZE; i++)
    g_assert_cmpint (shm->base[i], ==, 0);
  g_assert_cmpuint (shm->size, ==, SHM_SIZE);
  memcpy (shm->base + 4096, word, sizeof word);
  g_assert_cmpint (pread (f->fd, there, sizeof there, DDEBUG_LOG_SHM_OFF + 4096), ==, sizeof there);
  g_assert_cmpstr (there, ==, word);
  store (f, "A", 1, 4096);
  g_assert_cmpint (shm->base[4096], ==, 'A');
  /* it outlives the log that it is of */
  die (f);
  ddebug_shm_unref (ddebug_shm_ref (shm));
  g_assert_cmpint (shm->base[4097], ==, ' ');
  ddebug_shm_unref (shm);
}

/* ---- what a guest may put there ---- */

static void
test_broken_rules (Fixture *f, gconstpointer data)
{
  static const struct
  {
    gint64 head, reserve, start;
  } changes[] = {
    { .head = 1 }, { .head = G_MININT64 }, { .reserve = -8 }, { .reserve = RING_SIZE }, { .start = 8 },
    { .start = 1 << 20 }, { .start = -1 }, { .head = 1 << 20 },
  };
  g_autoptr (Producer) p = producer_new (1, 0, 1);

  (void) data;
  say (p, 40);
  die (f);
  for (guint i = 0; i < G_N_ELEMENTS (changes); i++)
    {
      guint64 head = GUINT64_TO_LE (p->bytes->len + changes[i].head);
      guint64 reserve = GUINT64_TO_LE (p->bytes->len + changes[i].reserve);
      guint64 start = GUINT64_TO_LE (changes[i].start);
      g_autoptr (GError) error = NULL;
      g_autoptr (DdebugView) view = NULL;
      Seen seen = { .in_order = TRUE };

      store_ring (f, p, &(Ring){ .epoch = f->epoch });
      store (f, &head, 8, VIRTIO_DDEBUG_SHM_HDR_OFF + offsetof (struct virtio_ddebug_stream_hdr, head));
      store (f, &reserve, 8, VIRTIO_DDEBUG_SHM_HDR_OFF + offsetof (struct virtio_ddebug_stream_hdr, reserve));
      store (f, &start, 8, offsetof (struct virtio_ddebug_stream_desc, start));
      view = ddebug_view_new (ddebug_reader_open (f->folder.path, &error));
      g_assert_true (ddebug_view_read_all (view, FALSE, see, &seen, &error));
      g_assert_cmpuint (seen.received, ==, 0);
      g_assert_cmpuint (seen.bad, ==, 1);
      g_assert_cmpuint (ddebug_view_totals (view)->bad_chunks, ==, 1);
    }
  reopen (f);
  g_assert_cmpuint (ddebug_log_recover (f->log), ==, 0);
  ddebug_log_append_event (f->log, DDEBUG_LOG_EVENT_OPEN, 0, 0, 0);
  /* it is gone, and that is said */
  {
    g_autoptr (GError) error = NULL;
    g_autoptr (DdebugView) view = ddebug_view_new (ddebug_reader_open (f->folder.path, &error));
    Seen seen = { .in_order = TRUE };

    g_assert_true (ddebug_view_read_all (view, TRUE, see, &seen, &error));
    g_assert_cmpuint (ddebug_view_totals (view)->io_errors, ==, 1);
    g_assert_cmpuint (seen.bad, ==, 0);
  }
}

static gboolean
count_items (const DdebugItem *item, gpointer data)
{
  (void) item;
  ++*(guint64 *) data;
  return TRUE;
}

static guint64
read_anything (Fixture *f)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DdebugView) view = ddebug_view_new (ddebug_reader_open (f->folder.path, &error));
  clock_t begin = clock ();
  guint64 items = 0;

  g_assert_true (ddebug_view_read_all (view, FALSE, count_items, &items, &error));
  g_assert_no_error (error);
  g_assert_cmpuint ((clock () - begin) / CLOCKS_PER_SEC, <, 2);
  return items;
}

/* Rings over rings, in each page: what is read is no more than the area. */
static void
test_rings_everywhere (Fixture *f, gconstpointer data)
{
  g_autoptr (Producer) p = producer_new (1, 0, 1);

  (void) data;
  while (p->bytes->len < RING_SIZE - 64)
    say (p, 1);
  for (guint64 off = 0; off + 4096 + RING_SIZE <= SHM_SIZE; off += 4096)
    store_ring (f, p, &(Ring){ .off = off, .epoch = f->epoch });
  die (f);
  /* one stream: each message once, and what is destroyed is said */
  g_assert_cmpuint (read_anything (f), <, SHM_SIZE / 32);
  reopen (f);
  g_assert_cmpuint (ddebug_log_recover (f->log), <=, SHM_SIZE / 4096);
}

static void
test_random_words (Fixture *f, gconstpointer data)
{
  GRand *rand = g_rand_new_with_seed (20261125);
  g_autoptr (Producer) p = producer_new (1, 0, 1);

  (void) data;
  while (p->bytes->len < 2 * RING_SIZE)
    say (p, 1);
  die (f);
  for (guint run = 0; run < 2000; run++)
    {
      store_ring (f, p, &(Ring){ .off = 8192, .epoch = f->epoch, .writing = 64 });
      for (guint n = g_rand_int_range (rand, 1, 4); n > 0; n--)
        {
          static const guint64 words[] = { 0, 1, 7, 8, 31, 32, 4095, 4096, RING_SIZE, 1ull << 20, 1ull << 62,
                                           1ull << 63, ~0ull, ~7ull };
          guint64 word = GUINT64_TO_LE (g_rand_boolean (rand) ? words[g_rand_int_range (rand, 0, G_N_ELEMENTS (words))]
                                                              : g_rand_int (rand));

          store (f, &word, g_rand_boolean (rand) ? 8 : 1, 8192 + g_rand_int_range (rand, 0, 136));
        }
      if (run % 8 == 0)
        {
          guint8 noise[64];

          for (guint i = 0; i < sizeof noise; i++)
            noise[i] = g_rand_int (rand);
          store (f, noise, sizeof noise, 8192 + 4096 + g_rand_int_range (rand, 0, RING_SIZE - 64));
        }
      read_anything (f);
    }
  g_rand_free (rand);
  reopen (f);
  ddebug_log_recover (f->log);
}

/* The flag says that there are rings, the size that there are none; and the like. */
static void
test_super (Fixture *f, gconstpointer data)
{
  static const struct
  {
    guint32 incompat;
    guint64 shm_size;
    int code;
  } bad[] = {
    { 0, SHM_SIZE, DDEBUG_LOG_ERROR_DAMAGED },
    { 1, 0, DDEBUG_LOG_ERROR_DAMAGED },
    { 1, SHM_SIZE - 4096, DDEBUG_LOG_ERROR_DAMAGED },
    { 1, 1ull << 40, DDEBUG_LOG_ERROR_DAMAGED },
    { 3, SHM_SIZE, DDEBUG_LOG_ERROR_VERSION },
  };
  struct ddebug_log_super super, changed;

  (void) data;
  die (f);
  g_assert_cmpint (pread (f->fd, &super, sizeof super, 4096), ==, sizeof super);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      changed = super;
      changed.incompat = GUINT32_TO_LE (bad[i].incompat);
      changed.shm_size = GUINT64_TO_LE (bad[i].shm_size);
      changed.size = GUINT64_TO_LE (GUINT64_FROM_LE (super.size) + bad[i].shm_size - SHM_SIZE);
      changed.crc = GUINT32_TO_LE (canned_crc (&changed, offsetof (struct ddebug_log_super, crc)));
      for (int copy = 0; copy < 2; copy++)
        g_assert_cmpint (pwrite (f->fd, &changed, sizeof changed, copy * 4096), ==, sizeof changed);
      g_assert_null (ddebug_reader_open (f->folder.path, &error));
      g_assert_error (error, DDEBUG_LOG_ERROR, bad[i].code);
      g_clear_error (&error);
      g_assert_null (open_log (f, 0, 0, FALSE, &error));
      g_assert_nonnull (error);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define TEST(path, function) g_test_add ("/shm/" path, Fixture, NULL, set_up, function, tear_down)
  TEST ("left", test_left);
  TEST ("newest-chunk-counts", test_newest_chunk_counts);
  TEST ("newest-chunk-cut", test_newest_chunk_is_cut);
  TEST ("overwritten", test_overwritten);
  TEST ("recover", test_recover);
  TEST ("recover/killed", test_recover_killed);
  TEST ("two-rings-of-a-stream", test_two_rings_of_a_stream);
  TEST ("other-epoch", test_other_epoch);
  TEST ("mapped-when-closed", test_mapped_when_closed);
  TEST ("writer-comes", test_writer_comes);
  TEST ("time-is-not-known", test_time_is_not_known);
  TEST ("no-checksum-is-said", test_no_checksum_is_said);
  TEST ("boots", test_boots);
  TEST ("resize-keeps-the-rings", test_resize_keeps_the_rings);
  TEST ("clear", test_clear);
  TEST ("format", test_format);
  TEST ("map", test_map);
  TEST ("mapped-and-coherent", test_map_is_coherent);
  TEST ("mapped-and-locked", test_map_is_locked);
  TEST ("broken-rules", test_broken_rules);
  TEST ("rings-everywhere", test_rings_everywhere);
  TEST ("random-words", test_random_words);
  TEST ("super", test_super);
  return g_test_run ();
}
