/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reader gives out every whole chunk once and in order, whatever else is in the file, and says what it passed over. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "canned.h"
#include "ddebug-reader.h"

typedef LogFolder Fixture;

/* Offset of a byte that cannot be read; -1: none. */
static gint64 bad_byte = -1;

/* The reader's pread() as well: an I/O error as the kernel reports it. */
ssize_t
pread (int fd, void *bytes, size_t n, off_t at)
{
  if (bad_byte >= at && bad_byte < at + (gint64) n)
    n = bad_byte - at;
  if (at == bad_byte)
    {
      errno = EIO;
      return -1;
    }
  return syscall (SYS_pread64, fd, bytes, n, at);
}

/* With which the next calls fail; 0: they do not. */
static int lock_error, seek_error, stat_error;

/* A file system without locks. */
int
fcntl (int fd, int command, ...)
{
  va_list args;
  void *arg;

  va_start (args, command);
  arg = va_arg (args, void *);
  va_end (args);
  if (lock_error && command == F_OFD_GETLK)
    {
      errno = lock_error;
      return -1;
    }
  return syscall (SYS_fcntl, fd, command, arg);
}

/* One that does not know its holes. */
off_t
lseek (int fd, off_t at, int whence)
{
  if (seek_error && whence == SEEK_DATA)
    {
      errno = seek_error;
      return -1;
    }
  return syscall (SYS_lseek, fd, at, whence);
}

/* One whose server has forgotten the file. */
int
fstat (int fd, struct stat *st)
{
  if (stat_error)
    {
      errno = stat_error;
      return -1;
    }
  return syscall (SYS_fstat, fd, st);
}

static DdebugReader *
open_good (const char *path)
{
  g_autoptr (GError) error = NULL;
  DdebugReader *reader = ddebug_reader_open (path, &error);

  g_assert_no_error (error);
  return reader;
}

static void
assert_refused (const char *path, DdebugLogError code)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (ddebug_reader_open (path, &error));
  g_assert_error (error, DDEBUG_LOG_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, path));
}

/* A DATA chunk whose payload is its number: n 64-bit words of it. */
static void
add_data (Canned *c, guint64 number, guint words)
{
  struct ddebug_log_chunk chunk = { .type = GUINT16_TO_LE (DDEBUG_LOG_CHUNK_DATA), .pos = GUINT64_TO_LE (number) };
  g_autofree guint64 *payload = g_new (guint64, words);

  for (guint i = 0; i < words; i++)
    payload[i] = GUINT64_TO_LE (number);
  canned_chunk (c, chunk, payload, words * 8);
}

/*
 * What the reader says, in short: "3" a chunk, "!3" one whose payload is
 * damaged, "D" a dictionary chunk, "x" damage, "L" lapped; up to the end.
 */
static char *
read_all (DdebugReader *reader)
{
  GString *out = g_string_new (NULL);
  DdebugChunk chunk;

  for (;;)
    {
      g_autoptr (GError) error = NULL;

      switch (ddebug_reader_next (reader, &chunk, &error))
        {
        case DDEBUG_READ_CHUNK:
          if (chunk.type != DDEBUG_LOG_CHUNK_DATA)
            {
              g_string_append (out, "D ");
              break;
            }
          if (chunk.payload)
            for (guint i = 0; i < chunk.len; i += 8)
              g_assert_cmpmem (chunk.payload + i, 8, &chunk.pos, 8);
          g_string_append_printf (out, "%s%u ", chunk.payload ? "" : "!", (guint) chunk.pos);
          break;
        case DDEBUG_READ_DAMAGE:
          g_string_append (out, "x ");
          break;
        case DDEBUG_READ_LAPPED:
          g_string_append (out, "L ");
          break;
        case DDEBUG_READ_OTHER:
          g_string_append (out, "other ");
          return g_string_free (out, FALSE);
        case DDEBUG_READ_END:
          return g_string_free (out, FALSE);
        case DDEBUG_READ_ERROR:
        default:
          g_assert_no_error (error);
          g_assert_not_reached ();
        }
    }
}

static void
assert_reads (DdebugReader *reader, const char *expected)
{
  g_autofree char *got = read_all (reader);

  g_assert_cmpstr (got, ==, expected);
}

static void
assert_file_reads (Canned *c, const char *path, gboolean live, const char *expected)
{
  g_autoptr (DdebugReader) reader = NULL;

  canned_write (c, path);
  reader = open_good (path);
  ddebug_reader_set_live (reader, live);
  assert_reads (reader, expected);
  assert_reads (reader, "");
}

static void
put (const char *path, gsize at, const void *bytes, gsize len)
{
  int fd = open (path, O_WRONLY);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (pwrite (fd, bytes, len, at), ==, len);
  close (fd);
}

/* ---- superblocks ---- */

/* Each copy is there for an I/O error in the other. */
static void
test_unreadable_super (Fixture *f, gconstpointer data)
{
  (void) data;
  for (guint64 generation = 1; generation < 3; generation++)
    for (int copy = 0; copy < 2; copy++)
      {
        g_autoptr (Canned) c = canned_new (4);
        g_autoptr (DdebugReader) reader = NULL;

        canned_super (c, generation);
        canned_super (c, generation + 1);
        canned_write (c, f->path);
        bad_byte = DDEBUG_LOG_SUPER_OFF (copy);
        reader = open_good (f->path);
        bad_byte = -1;
        g_assert_cmpuint (ddebug_reader_super (reader)->generation, ==,
                          (generation + 1) % 2 == (guint64) copy ? generation : generation + 1);
      }
}

static void
test_supers (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;
  guint8 *copy[2] = { c->bytes + DDEBUG_LOG_SUPER_OFF (0), c->bytes + DDEBUG_LOG_SUPER_OFF (1) };

  (void) data;
  for (guint64 generation = 2; generation < 6; generation++)
    {
      /* the younger one counts, whichever place it has */
      strcpy ((char *) c->super.vm_name, generation % 2 ? "odd" : "even");
      canned_super (c, generation);
      canned_write (c, f->path);
      reader = open_good (f->path);
      g_assert_cmpstr (ddebug_reader_super (reader)->vm_name, ==, generation % 2 ? "odd" : "even");
      g_assert_cmpuint (ddebug_reader_super (reader)->generation, ==, generation);
      g_clear_pointer (&reader, ddebug_reader_free);
    }
  /* if it is damaged, anywhere, the older one does */
  for (guint at = 0; at < sizeof c->super; at++)
    {
      copy[1][at] ^= 0x10;
      g_assert_true (g_file_set_contents_full (f->path, (char *) c->bytes, 16384, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
      reader = open_good (f->path);
      g_assert_cmpuint (ddebug_reader_super (reader)->generation, ==, 4);
      g_clear_pointer (&reader, ddebug_reader_free);
      copy[1][at] ^= 0x10;
    }
  copy[0][100] ^= 1;
  copy[1][100] ^= 1;
  canned_write (c, f->path);
  assert_refused (f->path, DDEBUG_LOG_ERROR_DAMAGED);
}

static void
test_geometry (Fixture *f, gconstpointer data)
{
  static const struct
  {
    guint32 seg_size;
    guint64 nr_segs;
    guint64 size;
  } bad[] = {
    { 0, 4, 65536 },
    { 65536, 4, 65536 + 4 * 65536 },
    { 3 << 16, 4, 65536 + 4 * (3 << 16) },
    { 2 << 20, 4, 65536 + 4 * (2 << 20) },
    { 1 << 17, 3, 65536 + 3 * (1 << 17) },
    { 1 << 17, 0, 65536 },
    { 1 << 17, 4, 65536 + 5 * (1 << 17) },
    { 1 << 17, G_GUINT64_CONSTANT (1) << 47, 65536 },
    { 1 << 20, (G_GUINT64_CONSTANT (1) << 20) + 1, 65536 + (((G_GUINT64_CONSTANT (1) << 20) + 1) << 20) },
  };

  (void) data;
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (Canned) c = canned_new (4);

      c->super.seg_size = GUINT32_TO_LE (bad[i].seg_size);
      c->super.nr_segs = GUINT64_TO_LE (bad[i].nr_segs);
      c->super.size = GUINT64_TO_LE (bad[i].size);
      canned_super (c, 1);
      canned_write (c, f->path);
      assert_refused (f->path, DDEBUG_LOG_ERROR_DAMAGED);
    }
}

static void
test_refusals (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autofree char *link = g_strconcat (f->path, ".link", NULL);
  g_autofree char *fifo = g_strconcat (f->path, ".fifo", NULL);

  (void) data;
  assert_refused (f->path, DDEBUG_LOG_ERROR_NOT_FOUND);
  assert_refused (f->dir, DDEBUG_LOG_ERROR_NOT_A_FILE);
  g_assert_true (g_file_set_contents (f->path, "", 0, NULL));
  assert_refused (f->path, DDEBUG_LOG_ERROR_EMPTY);
  g_assert_cmpint (truncate (f->path, 1 << 20), ==, 0);
  assert_refused (f->path, DDEBUG_LOG_ERROR_EMPTY);
  g_assert_true (g_file_set_contents (f->path, "#!/bin/sh\n", -1, NULL));
  assert_refused (f->path, DDEBUG_LOG_ERROR_FORMAT);
  canned_write (c, f->path);
  g_assert_cmpint (symlink (f->path, link), ==, 0);
  assert_refused (link, DDEBUG_LOG_ERROR_NOT_A_FILE);
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  assert_refused (fifo, DDEBUG_LOG_ERROR_NOT_A_FILE);
  /* copy 1 is cut off, copy 0 was never written */
  g_assert_cmpint (truncate (f->path, 100), ==, 0);
  assert_refused (f->path, DDEBUG_LOG_ERROR_EMPTY);
  canned_super (c, 2);
  canned_write (c, f->path);
  g_assert_cmpint (truncate (f->path, 100), ==, 0);
  assert_refused (f->path, DDEBUG_LOG_ERROR_DAMAGED);
  /* what comes, and what there was before the first that was settled */
  for (guint32 version = 0; version <= DDEBUG_LOG_VERSION + 1; version += DDEBUG_LOG_VERSION + 1)
    {
      c->super.version = GUINT32_TO_LE (version);
      canned_super (c, 2);
      canned_super (c, 3);
      canned_write (c, f->path);
      assert_refused (f->path, DDEBUG_LOG_ERROR_VERSION);
    }
  c->super.version = GUINT32_TO_LE (DDEBUG_LOG_VERSION);
  c->super.incompat = GUINT32_TO_LE (DDEBUG_LOG_INCOMPAT_KNOWN + 1);
  canned_super (c, 2);
  canned_super (c, 3);
  canned_write (c, f->path);
  assert_refused (f->path, DDEBUG_LOG_ERROR_VERSION);
  c->super.incompat = 0;
  c->super.compat = GUINT32_TO_LE (0x80);
  canned_super (c, 2);
  canned_super (c, 3);
  canned_write (c, f->path);
  ddebug_reader_free (open_good (f->path));
}

/* Whoever writes what is not known here has written one copy after the other. */
static void
test_newer_super (Fixture *f, gconstpointer data)
{
  (void) data;
  for (guint64 generation = 3; generation < 5; generation++)
    {
      g_autoptr (Canned) c = canned_new (4);
      g_autoptr (DdebugReader) reader = NULL;

      canned_super (c, generation - 1);
      c->super.incompat = GUINT32_TO_LE (DDEBUG_LOG_INCOMPAT_KNOWN + 1);
      canned_super (c, generation);
      canned_write (c, f->path);
      assert_refused (f->path, DDEBUG_LOG_ERROR_VERSION);
      /* it was so once */
      c->super.incompat = 0;
      canned_super (c, generation + 1);
      canned_write (c, f->path);
      reader = open_good (f->path);
      g_assert_cmpuint (ddebug_reader_super (reader)->generation, ==, generation + 1);
      /* where another version has its generation is not known */
      c->super.version = GUINT32_TO_LE (DDEBUG_LOG_VERSION + 1);
      canned_super (c, generation);
      canned_write (c, f->path);
      assert_refused (f->path, DDEBUG_LOG_ERROR_VERSION);
    }
}

/* ---- order ---- */

static void
test_order (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (6);
  guint64 number = 0;

  (void) data;
  /* slots in no order, a dictionary that begins between, then goes on */
  canned_segment (c, 4, DDEBUG_LOG_SEG_DATA, 0);
  add_data (c, number++, 1);
  canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
  canned_attach (c, 1, 1, 1);
  add_data (c, number++, 1);
  canned_dict (c, 1, 1, 1, "m", "f");
  canned_segment (c, 2, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, number++, 3);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, number++, 2);
  canned_dict (c, 1, 2, 1, "m", "f");
  assert_file_reads (c, f->path, FALSE, "0 D 1 D 2 3 D ");
  assert_file_reads (c, f->path, TRUE, "0 D 1 D 2 3 D ");
}

/* Segments full to the last byte, and chunks of every size that fits. */
static void
test_full_segments (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (8);
  GString *expected = g_string_new (NULL);
  guint64 number = 0;

  (void) data;
  for (guint slot = 0; slot < 8; slot++)
    {
      canned_segment (c, slot, DDEBUG_LOG_SEG_DATA, 1);
      while (c->off[DDEBUG_LOG_SEG_DATA] + sizeof (struct ddebug_log_chunk) <= c->seg_size)
        {
          guint left = (c->seg_size - c->off[DDEBUG_LOG_SEG_DATA] - sizeof (struct ddebug_log_chunk)) / 8;

          g_string_append_printf (expected, "%u ", (guint) number);
          add_data (c, number, MIN (left, 1 + (number * 977) % 8191));
          number++;
        }
    }
  assert_file_reads (c, f->path, FALSE, expected->str);
  assert_file_reads (c, f->path, TRUE, expected->str);
  g_string_free (expected, TRUE);
}

/* Chunks of an earlier use of a slot lie behind the end of the segment that has it now. */
static void
test_stale_chunks (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 0, 2);
  add_data (c, 1, 2);
  add_data (c, 2, 2);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 3, 2);
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 4, 2);
  assert_file_reads (c, f->path, FALSE, "3 4 ");
  canned_segment (c, 2, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 5, 2);
  assert_file_reads (c, f->path, TRUE, "3 4 5 ");
}

/* A shrinking that was cut off leaves segments twice. */
static void
test_duplicates (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (6);
  guint8 *segs = c->bytes + DDEBUG_LOG_SEGS_OFF;

  (void) data;
  canned_segment (c, 4, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 0, 2);
  add_data (c, 1, 2);
  canned_segment (c, 5, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 2, 2);
  memcpy (segs + 1 * c->seg_size, segs + 4 * c->seg_size, c->seg_size);
  memcpy (segs + 0 * c->seg_size, segs + 5 * c->seg_size, c->seg_size);
  assert_file_reads (c, f->path, FALSE, "0 1 2 ");
}

static void
test_cleared (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;
  g_autofree char *got = NULL;
  DdebugUsage usage;

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
  canned_dict (c, 1, 2, 1, "m", "f");
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 0, 2);
  canned_segment (c, 2, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 1, 2);
  c->super.first_seg = GUINT64_TO_LE (3);
  canned_super (c, 2);
  assert_file_reads (c, f->path, FALSE, "D 1 ");
  reader = open_good (f->path);
  got = read_all (reader);
  ddebug_reader_usage (reader, &usage);
  g_assert_cmpuint (usage.cleared, ==, 1);
  g_assert_cmpuint (usage.data, ==, 1);
  g_assert_cmpuint (usage.dict, ==, 1);
  g_assert_cmpuint (usage.unused, ==, 1);
}

/* ---- damage ---- */

static void
make_damageable (Canned *c, gsize at[6])
{
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  for (guint i = 0; i < 3; i++)
    {
      add_data (c, i, 3);
      at[i] = canned_last (c);
    }
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  for (guint i = 3; i < 6; i++)
    {
      add_data (c, i, 3);
      at[i] = canned_last (c);
    }
}

/* Every byte of a chunk in the middle and of the last one: it is missing, and nothing else. */
static void
test_flipped_bytes (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;
  gsize at[6];

  (void) data;
  make_damageable (c, at);
  canned_write (c, f->path);
  for (guint i = 0; i < sizeof (struct ddebug_log_chunk) + 24; i++)
    {
      gboolean header = i < sizeof (struct ddebug_log_chunk);

      for (guint victim = 0; victim < 6; victim++)
        {
          g_autoptr (GString) expected = g_string_new (NULL);

          for (guint n = 0; n < 6; n++)
            {
              if (n != victim)
                g_string_append_printf (expected, "%u ", n);
              else if (!header)
                g_string_append_printf (expected, "!%u ", n);
              else
                g_string_append (expected, "x ");
            }
          c->bytes[at[victim] + i] ^= 0x40;
          put (f->path, at[victim] + i, c->bytes + at[victim] + i, 1);
          reader = open_good (f->path);
          ddebug_reader_set_live (reader, FALSE);
          assert_reads (reader, expected->str);
          g_clear_pointer (&reader, ddebug_reader_free);
          c->bytes[at[victim] + i] ^= 0x40;
          put (f->path, at[victim] + i, c->bytes + at[victim] + i, 1);
        }
    }
  assert_file_reads (c, f->path, FALSE, "0 1 2 3 4 5 ");
}

/* The header of a segment costs nothing but itself: its first chunk says which segment it is. */
static void
test_damaged_segment (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  gsize at[6];

  (void) data;
  make_damageable (c, at);
  for (guint i = 0; i < sizeof (struct ddebug_log_seg); i++)
    {
      c->bytes[DDEBUG_LOG_SEGS_OFF + i] ^= 1;
      assert_file_reads (c, f->path, FALSE, "x 0 1 2 3 4 5 ");
      c->bytes[DDEBUG_LOG_SEGS_OFF + i] ^= 1;
    }
}

/* Where the first chunk is damaged as well nobody knows whose slot it was: that is said. */
static void
test_lost_slot (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;
  guint8 *header = c->bytes + DDEBUG_LOG_SEGS_OFF;
  DdebugUsage usage;
  gsize at[6];

  (void) data;
  make_damageable (c, at);
  c->bytes[at[0]] ^= 1;
  assert_file_reads (c, f->path, FALSE, "x 1 2 3 4 5 ");
  header[8] ^= 1;
  assert_file_reads (c, f->path, FALSE, "3 4 5 x ");
  /* between two others it stands for the gap */
  canned_segment (c, 2, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 6, 1);
  canned_segment (c, 3, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 7, 1);
  c->bytes[DDEBUG_LOG_SEGS_OFF + 2 * c->seg_size] ^= 1;
  c->bytes[DDEBUG_LOG_SEGS_OFF + 2 * c->seg_size + 64] ^= 1;
  header[8] ^= 1;
  c->bytes[at[0]] ^= 1;
  assert_file_reads (c, f->path, FALSE, "0 1 2 3 4 5 x L 7 ");
  /* neither magic nor number: given up, and then damaged */
  memset (header, 0, 64);
  header[40] = 1;
  assert_file_reads (c, f->path, FALSE, "3 4 5 x x L 7 ");
  memset (header, 0, 64);
  canned_write (c, f->path);
  reader = open_good (f->path);
  ddebug_reader_set_live (reader, FALSE);
  assert_reads (reader, "3 4 5 x L 7 ");
  ddebug_reader_usage (reader, &usage);
  g_assert_cmpuint (usage.data, ==, 2);
  g_assert_cmpuint (usage.unused, ==, 2);
}

/* The number in a header tells as well as the magic, and a dictionary is recognized, too. */
static void
test_headless_dictionary (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
  canned_attach (c, 1, 77, 1);
  canned_dict (c, 1, 1, 10, "m", "f");
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 0, 1);
  canned_segment (c, 2, DDEBUG_LOG_SEG_DICT, 1);
  canned_dict (c, 1, 2, 11, "m", "g");
  canned_segment (c, 3, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 1, 1);
  for (guint i = 0; i < 64; i++)
    {
      c->bytes[DDEBUG_LOG_SEGS_OFF + i] ^= 0x80;
      c->bytes[DDEBUG_LOG_SEGS_OFF + 2 * c->seg_size + i] ^= 0x80;
      assert_file_reads (c, f->path, FALSE, "x D D 0 x D 1 ");
      c->bytes[DDEBUG_LOG_SEGS_OFF + i] ^= 0x80;
      c->bytes[DDEBUG_LOG_SEGS_OFF + 2 * c->seg_size + i] ^= 0x80;
    }
}

/* What a move that was given up has left, under half of another header, does not hide the segment. */
static void
test_headless_stale_copy (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);

  (void) data;
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 0, 1);
  memcpy (c->bytes + DDEBUG_LOG_SEGS_OFF, c->bytes + DDEBUG_LOG_SEGS_OFF + c->seg_size, c->seg_size);
  add_data (c, 1, 1);
  c->bytes[DDEBUG_LOG_SEGS_OFF + 60] ^= 1;
  assert_file_reads (c, f->path, FALSE, "0 1 ");
}

/* What a slot that was given up has left stays hidden when a writer dies in the midst of the next header there. */
static void
test_headless_given_up (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  struct ddebug_log_seg next = { .magic = GUINT32_TO_LE (DDEBUG_LOG_SEG_MAGIC), .type = GUINT32_TO_LE (1),
                                 .seq = GUINT64_TO_LE (3), .epoch = GUINT32_TO_LE (1) };
  guint8 *slot = c->bytes + DDEBUG_LOG_SEGS_OFF;

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 0, 1);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 1, 1);
  next.crc = GUINT32_TO_LE (canned_crc (&next, offsetof (struct ddebug_log_seg, crc)));
  for (gsize n = 1; n <= offsetof (struct ddebug_log_seg, crc); n++)
    {
      memset (slot, 0, sizeof next);
      memcpy (slot, &next, n);
      assert_file_reads (c, f->path, FALSE, "1 x ");
    }
  memcpy (slot, &next, sizeof next);
  assert_file_reads (c, f->path, FALSE, "1 ");
}

/* Segments of types that are not known are passed over, and fill the gap. */
static void
test_unknown_segment (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  struct ddebug_log_seg seg = { .magic = GUINT32_TO_LE (DDEBUG_LOG_SEG_MAGIC), .type = GUINT32_TO_LE (77) };

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 0, 1);
  seg.seq = GUINT64_TO_LE (++c->seg_seq);
  seg.crc = GUINT32_TO_LE (canned_crc (&seg, offsetof (struct ddebug_log_seg, crc)));
  memcpy (c->bytes + DDEBUG_LOG_SEGS_OFF + c->seg_size, &seg, sizeof seg);
  canned_segment (c, 2, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 1, 1);
  assert_file_reads (c, f->path, FALSE, "0 1 ");
}

/* Also where somebody may be writing, reading goes on behind damage that has a chunk behind it. */
static void
test_damaged_live (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  gsize at[4];

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  for (guint i = 0; i < 4; i++)
    {
      /* more than a first copy */
      add_data (c, i, i == 1 ? 2000 : 3);
      at[i] = canned_last (c);
    }
  for (guint i = 0; i < 4; i++)
    for (guint byte = 0; byte < sizeof (struct ddebug_log_chunk) + 24; byte++)
      {
        gboolean header = byte < sizeof (struct ddebug_log_chunk);
        g_autoptr (GString) expected = g_string_new (NULL);

        for (guint n = 0; n < 4; n++)
          if (n != i)
            g_string_append_printf (expected, "%u ", n);
          else if (n != 3)
            g_string_append_printf (expected, header ? "x " : "!%u ", n);
        c->bytes[at[i] + byte] ^= 0x40;
        assert_file_reads (c, f->path, TRUE, expected->str);
        c->bytes[at[i] + byte] ^= 0x40;
      }
}

/* A chunk of this place of the segment, which says that it is number 99, in a payload. */
static void
forge (Canned *c, guint8 *payload, guint32 at)
{
  const guint64 number = GUINT64_TO_LE (99);
  struct ddebug_log_chunk chunk = {
    .magic = GUINT32_TO_LE (DDEBUG_LOG_CHUNK_MAGIC),
    .type = GUINT16_TO_LE (DDEBUG_LOG_CHUNK_DATA),
    .seg_seq = GUINT64_TO_LE (c->seq[DDEBUG_LOG_SEG_DATA]),
    .off = GUINT32_TO_LE (c->off[DDEBUG_LOG_SEG_DATA] + sizeof chunk + at),
    .len = GUINT32_TO_LE (sizeof number),
    .pos = number,
    .payload_crc = GUINT32_TO_LE (canned_crc (&number, sizeof number)),
  };

  chunk.crc = GUINT32_TO_LE (canned_crc (&chunk, offsetof (struct ddebug_log_chunk, crc)));
  memcpy (payload + at, &chunk, sizeof chunk);
  memcpy (payload + at + sizeof chunk, &number, sizeof number);
}

/*
 * A damaged header, and behind it a payload that is whole and has a forged chunk in it: skipped as a whole,
 * however large it is.
 */
static void
test_forged_in_payload (Fixture *f, gconstpointer data)
{
  /* a copy of 8 KiB ends with the second; the last one ends with the segment */
  enum { HEADER = sizeof (struct ddebug_log_chunk), COPY = 8192, LONG = 65536 };
  static const guint lens[] = { 1000, COPY - HEADER, COPY - HEADER + 8, 16384 - HEADER, 40000, LONG };
  static const guint forged[] = { 16, 600, 2 * COPY };

  (void) data;
  for (guint i = 0; i < G_N_ELEMENTS (lens); i++)
    for (guint j = 0; j < G_N_ELEMENTS (forged); j++)
      for (guint to_end = 0; to_end < 2; to_end++)
        {
          struct ddebug_log_chunk chunk = { .type = GUINT16_TO_LE (DDEBUG_LOG_CHUNK_DATA) };
          g_autoptr (Canned) c = canned_new (4);
          g_autofree guint8 *payload = g_malloc0 (lens[i]);
          g_autoptr (GString) expected = g_string_new ("1 ");
          guint32 room;

          if (forged[j] + HEADER + 8 > lens[i])
            continue;
          canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
          add_data (c, 1, 1);
          /* so that nothing but the segment's end follows it */
          while (to_end && (room = c->seg_size - c->off[DDEBUG_LOG_SEG_DATA] - HEADER - lens[i]) > 0)
            {
              add_data (c, 1, ((room > 60000 ? 40000 : room) - HEADER) / 8);
              g_string_append (expected, "1 ");
            }
          forge (c, payload, forged[j]);
          canned_chunk (c, chunk, payload, lens[i]);
          c->bytes[canned_last (c) + offsetof (struct ddebug_log_chunk, cpu)] ^= 1;
          if (!to_end)
            add_data (c, 2, 3);
          g_string_append (expected, to_end ? "x 3 " : "x 2 3 ");
          canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
          add_data (c, 3, 3);
          g_test_message ("%u bytes, at %u, %u", lens[i], forged[j], to_end);
          assert_file_reads (c, f->path, FALSE, expected->str);
          assert_file_reads (c, f->path, TRUE, expected->str);
        }
}

/* What the kernel says is said, with the file. */
static void
test_io_error (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = g_strconcat (f->path, ": cannot be read: Input/output error", NULL);
  DdebugChunk chunk;

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 0, 3);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 1, 3);
  canned_write (c, f->path);
  reader = open_good (f->path);
  bad_byte = canned_last (c);
  g_assert_cmpint (ddebug_reader_next (reader, &chunk, &error), ==, DDEBUG_READ_CHUNK);
  g_assert_cmpint (ddebug_reader_next (reader, &chunk, &error), ==, DDEBUG_READ_ERROR);
  bad_byte = -1;
  g_assert_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_IO);
  g_assert_cmpstr (error->message, ==, text);
}

/* A damaged length leads nowhere: not past whole chunks, nor out of the segment; live or not. */
static void
test_damaged_length (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  struct ddebug_log_chunk *chunk;
  guint32 span = sizeof *chunk + 24;
  gsize at[6];

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  for (guint i = 0; i < 6; i++)
    {
      add_data (c, i, 3);
      at[i] = canned_last (c);
    }
  chunk = (void *) (c->bytes + at[1]);
  /* as if it took so many of those behind it, too; they end where a whole one stands */
  for (guint more = 1; more <= 4; more++)
    for (guint off_by = 0; off_by <= 16; off_by += 4)
      {
        chunk->len = GUINT32_TO_LE (24 + more * span - off_by);
        assert_file_reads (c, f->path, FALSE, "0 x 2 3 4 5 ");
        assert_file_reads (c, f->path, TRUE, "0 x 2 3 4 5 ");
      }
  for (guint bit = 0; bit < 32; bit++)
    {
      chunk->len = GUINT32_TO_LE (24 ^ 1u << bit);
      assert_file_reads (c, f->path, FALSE, "0 x 2 3 4 5 ");
      assert_file_reads (c, f->path, TRUE, "0 x 2 3 4 5 ");
    }
  /* the last one: nothing behind it, so it is waited for where someone may be writing */
  chunk->len = GUINT32_TO_LE (24);
  chunk = (void *) (c->bytes + at[5]);
  for (guint bit = 0; bit < 32; bit++)
    {
      chunk->len = GUINT32_TO_LE (24 ^ 1u << bit);
      assert_file_reads (c, f->path, FALSE, "0 1 2 3 4 x ");
      assert_file_reads (c, f->path, TRUE, "0 1 2 3 4 ");
    }
}

/* Bytes that the next notice of damage says are skipped. */
static guint32
damage_of (Canned *c, const char *path)
{
  g_autoptr (DdebugReader) reader = NULL;
  DdebugRead result;
  DdebugChunk chunk;

  canned_write (c, path);
  reader = open_good (path);
  ddebug_reader_set_live (reader, FALSE);
  while ((result = ddebug_reader_next (reader, &chunk, NULL)) == DDEBUG_READ_CHUNK)
    ;
  g_assert_cmpint (result, ==, DDEBUG_READ_DAMAGE);
  return chunk.len;
}

/* A payload of @bytes, all zeros, in which at byte 64 a header stands that fits its place. */
static void
add_likeness (Canned *c, gsize bytes)
{
  struct ddebug_log_chunk chunk = { .type = GUINT16_TO_LE (DDEBUG_LOG_CHUNK_DATA) };
  struct ddebug_log_chunk likeness = {
    .magic = GUINT32_TO_LE (DDEBUG_LOG_CHUNK_MAGIC),
    .type = GUINT16_TO_LE (DDEBUG_LOG_CHUNK_DATA),
    .seg_seq = GUINT64_TO_LE (c->seq[DDEBUG_LOG_SEG_DATA]),
    .off = GUINT32_TO_LE (c->off[DDEBUG_LOG_SEG_DATA] + sizeof chunk + 64),
    .pos = GUINT64_TO_LE (666),
  };
  g_autofree guint8 *payload = g_malloc0 (bytes);

  likeness.crc = GUINT32_TO_LE (canned_crc (&likeness, offsetof (struct ddebug_log_chunk, crc)));
  memcpy (payload + 64, &likeness, sizeof likeness);
  canned_chunk (c, chunk, payload, bytes);
}

/* The likeness of a chunk in a guest's text is none, though the header before it be damaged. */
static void
test_likeness (Fixture *f, gconstpointer data)
{
  static const gsize sizes[] = { 192, 8 << 10, 60 << 10 };

  (void) data;
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (guint byte = 0; byte < sizeof (struct ddebug_log_chunk); byte++)
      {
        g_autoptr (Canned) c = canned_new (4);
        gboolean in_length = byte >= G_STRUCT_OFFSET (struct ddebug_log_chunk, len)
                             && byte < G_STRUCT_OFFSET (struct ddebug_log_chunk, chunk_seq);
        gboolean in_sum = byte >= G_STRUCT_OFFSET (struct ddebug_log_chunk, payload_crc)
                          && byte < G_STRUCT_OFFSET (struct ddebug_log_chunk, stream);

        /* Nobody can tell any more what the payload was. */
        if (in_length || in_sum)
          continue;
        canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
        add_data (c, 0, 3);
        add_likeness (c, sizes[i]);
        c->bytes[canned_last (c) + byte] ^= 0x10;
        add_data (c, 2, 3);
        assert_file_reads (c, f->path, FALSE, "0 x 2 ");
        assert_file_reads (c, f->path, TRUE, "0 x 2 ");
        g_assert_cmpuint (damage_of (c, f->path), ==, sizeof (struct ddebug_log_chunk) + sizes[i]);
      }
}

/* Headers of chunks that are lost at once, up to all that the smallest segment can hold, cost these chunks. */
static void
test_damaged_run (Fixture *f, gconstpointer data)
{
  guint32 span = sizeof (struct ddebug_log_chunk) + 24;

  (void) data;
  for (guint hit = 1; hit < 800; hit = hit * 3 + 1)
    for (guint fill = 0; fill < 3; fill++)
      {
        g_autoptr (Canned) c = canned_new (4);
        gsize at = 0;

        canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
        for (guint i = 0; i < hit + 2; i++)
          {
            add_data (c, i, 3);
            if (i == 1)
              at = canned_last (c);
          }
        if (fill < 2)
          memset (c->bytes + at, fill ? 0xff : 0, hit * span);
        for (guint i = 0; i < hit; i++)
          c->bytes[at + i * span + 90] ^= 1;
        {
          g_autofree char *expected = g_strdup_printf ("0 x %u ", hit + 1);

          assert_file_reads (c, f->path, FALSE, expected);
          g_assert_cmpuint (damage_of (c, f->path), ==, hit * span);
          /* nothing is behind it */
          memset (c->bytes + at + hit * span, 0, span);
          assert_file_reads (c, f->path, FALSE, fill < 2 ? "0 " : "0 x ");
          if (fill == 2)
            g_assert_cmpuint (damage_of (c, f->path), ==, hit * span);
        }
      }
}

/* A segment whose header and first chunk are damaged at once is known by what is behind, as far off as may be. */
static void
test_damaged_begin (Fixture *f, gconstpointer data)
{
  (void) data;
  for (guint words = 1; words <= 8192; words = words * 8)
    {
      g_autoptr (Canned) c = canned_new (4);
      guint8 *slot = c->bytes + DDEBUG_LOG_SEGS_OFF;

      canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
      add_data (c, 0, words);
      add_data (c, 1, 3);
      canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
      add_data (c, 2, 3);
      /* from the end of the tag to the end of the chunk's header */
      memset (slot + 24, 0xee, sizeof (struct ddebug_log_seg) - 24 + sizeof (struct ddebug_log_chunk));
      assert_file_reads (c, f->path, FALSE, "x x 1 2 ");
      assert_file_reads (c, f->path, TRUE, "x x 1 2 ");
      /* what an earlier use of the slot has left is none of it */
      slot[8] ^= 1;
      assert_file_reads (c, f->path, FALSE, "2 x ");
    }
}

/* Processor time that reading the whole log takes. */
static clock_t
time_of (const char *path, gboolean live, const char *expected)
{
  clock_t begin = clock ();
  g_autoptr (DdebugReader) reader = open_good (path);
  g_autofree char *got = NULL;

  ddebug_reader_set_live (reader, live);
  got = read_all (reader);
  if (expected)
    g_assert_cmpstr (got, ==, expected);
  return clock () - begin;
}

static void
claim_segments (Canned *c, guint64 nr_segs)
{
  c->super.nr_segs = GUINT64_TO_LE (nr_segs);
  c->super.size = GUINT64_TO_LE (DDEBUG_LOG_SEGS_OFF + nr_segs * c->seg_size);
  canned_super (c, 2);
}

/* A log may say that it has eight million segments; it is read as fast as what it has on disk. */
static void
test_claims (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  gsize at[6];

  (void) data;
  make_damageable (c, at);
  claim_segments (c, DDEBUG_LOG_SIZE_MAX / c->seg_size);
  canned_write (c, f->path);
  g_assert_cmpint (time_of (f->path, FALSE, "0 1 2 3 4 5 "), <, CLOCKS_PER_SEC);
  g_assert_cmpint (time_of (f->path, TRUE, "0 1 2 3 4 5 "), <, CLOCKS_PER_SEC);
  /* with holes for all of it */
  g_assert_cmpint (truncate (f->path, DDEBUG_LOG_SIZE_MAX), ==, 0);
  g_assert_cmpint (time_of (f->path, FALSE, "0 1 2 3 4 5 "), <, CLOCKS_PER_SEC);
  g_assert_cmpint (time_of (f->path, TRUE, "0 1 2 3 4 5 "), <, CLOCKS_PER_SEC);
}

/* A log of @n segments, each with a gap before it. */
static clock_t
time_of_segments (const char *path, guint n)
{
  g_autoptr (Canned) c = canned_new (4);
  int fd;

  claim_segments (c, n);
  canned_write (c, path);
  fd = open (path, O_WRONLY);
  for (guint i = 0; i < n; i++)
    {
      c->seg_seq++;
      canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
      add_data (c, i, 1);
      g_assert_cmpint (pwrite (fd, c->bytes + DDEBUG_LOG_SEGS_OFF, 64 + 128 + 8,
                               DDEBUG_LOG_SEGS_OFF + (guint64) i * c->seg_size), ==, 200);
    }
  close (fd);
  return time_of (path, FALSE, NULL);
}

/* Four times as many segments take about four times as long, not sixteen times. */
static void
test_many_segments (Fixture *f, gconstpointer data)
{
  clock_t few = time_of_segments (f->path, 1500);

  (void) data;
  g_assert_cmpint (time_of_segments (f->path, 6000), <, 8 * few);
}

enum
{
  ALL_REMAINS,              /* headers that are damaged, nothing behind them */
  LONG_CLAIMS,              /* each second header damaged, and claims all that is behind it */
  NO_HEADERS,               /* a whole chunk, then bytes of 0xff for more than a copy, and so on */
  N_DAMAGES,
};

/* @n segments full of @damage, without their own headers if @headless. */
static void
write_damaged (const char *path, guint n, guint damage, gboolean headless)
{
  g_autoptr (Canned) c = canned_new (n);
  struct ddebug_log_chunk *chunk;

  for (guint slot = 0; slot < n; slot++)
    {
      guint64 begin = DDEBUG_LOG_SEGS_OFF + (guint64) slot * c->seg_size;

      canned_segment (c, slot, DDEBUG_LOG_SEG_DATA, 1);
      for (guint i = 0; c->off[DDEBUG_LOG_SEG_DATA] + 16384 < c->seg_size; i++)
        {
          add_data (c, i, damage == NO_HEADERS ? 1100 : 1);
          chunk = (void *) (c->bytes + canned_last (c));
          if (damage == NO_HEADERS && i % 2)
            memset (chunk, 0xff, sizeof *chunk);
          else if (damage == LONG_CLAIMS && i % 2)
            chunk->len = GUINT32_TO_LE (begin + c->seg_size - canned_last (c) - sizeof *chunk);
          else if (damage == ALL_REMAINS)
            chunk->cpu ^= 1;
        }
      if (headless)
        c->bytes[begin + 40] ^= 1;
    }
  canned_write (c, path);
}

/* The worst that a log can be: four times of it take about four times as long, live or not. */
static void
test_damage_is_linear (Fixture *f, gconstpointer data)
{
  (void) data;
  for (guint damage = 0; damage < N_DAMAGES; damage++)
    for (guint how = 0; how < 4; how++)
      {
        clock_t little, much;

        write_damaged (f->path, 16, damage, how & 1);
        little = time_of (f->path, how & 2, NULL);
        write_damaged (f->path, 64, damage, how & 1);
        much = time_of (f->path, how & 2, NULL);
        g_test_message ("damage %u, %u: %.3f s, four times as much: %.3f s", damage, how,
                        (double) little / CLOCKS_PER_SEC, (double) much / CLOCKS_PER_SEC);
        /* The clock is coarse where it takes no time at all. */
        g_assert_cmpint (much, <, 8 * little + CLOCKS_PER_SEC / 20);
      }
}

/* A file cut at any place reads up to there. */
static void
test_cut_short (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  gsize at[6];

  (void) data;
  make_damageable (c, at);
  for (gsize len = at[3] - 64; len < at[5] + 160; len += 8)
    {
      g_autoptr (DdebugReader) reader = NULL;
      g_autoptr (GString) expected = g_string_new ("0 1 2 ");

      for (guint n = 3; n < 6; n++)
        if (len >= at[n] + sizeof (struct ddebug_log_chunk) + 24)
          g_string_append_printf (expected, "%u ", n);
        else if (len >= at[n] + sizeof (struct ddebug_log_chunk))
          g_string_append_printf (expected, "!%u ", n);
      canned_write (c, f->path);
      g_assert_cmpint (truncate (f->path, len), ==, 0);
      reader = open_good (f->path);
      ddebug_reader_set_live (reader, FALSE);
      assert_reads (reader, expected->str);
      g_assert_cmpuint (ddebug_reader_file_size (reader), ==, len);
    }
}

/* ---- a live file ---- */

static void
put_slot (Canned *c, const char *path, guint64 slot)
{
  gsize at = DDEBUG_LOG_SEGS_OFF + slot * c->seg_size;

  put (path, at, c->bytes + at, c->seg_size);
}

static void
test_growing (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;

  (void) data;
  canned_write (c, f->path);
  reader = open_good (f->path);
  assert_reads (reader, "");
  canned_segment (c, 2, DDEBUG_LOG_SEG_DATA, 1);
  put_slot (c, f->path, 2);
  assert_reads (reader, "");
  add_data (c, 0, 1);
  put_slot (c, f->path, 2);
  assert_reads (reader, "0 ");
  add_data (c, 1, 5000);
  add_data (c, 2, 5);
  put_slot (c, f->path, 2);
  assert_reads (reader, "1 2 ");
  canned_segment (c, 1, DDEBUG_LOG_SEG_DICT, 1);
  canned_attach (c, 1, 1, 1);
  put_slot (c, f->path, 1);
  assert_reads (reader, "D ");
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  put_slot (c, f->path, 0);
  assert_reads (reader, "");
  add_data (c, 3, 5);
  put_slot (c, f->path, 0);
  assert_reads (reader, "3 ");
}

/* A chunk that is half there is waited for, at every length. */
static void
test_half_written (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  gsize at[6];

  (void) data;
  make_damageable (c, at);
  /* its payload ends with the number 5 and seven zeros: with one byte less it is not whole */
  for (gsize len = 0; len <= sizeof (struct ddebug_log_chunk) + 16; len++)
    {
      g_autoptr (DdebugReader) reader = NULL;
      guint8 zeros[sizeof (struct ddebug_log_chunk) + 24] = { 0 };

      canned_write (c, f->path);
      put (f->path, at[5] + len, zeros, sizeof zeros - len);
      reader = open_good (f->path);
      assert_reads (reader, "0 1 2 3 4 ");
      assert_reads (reader, "");
      put (f->path, at[5], c->bytes + at[5], sizeof zeros);
      assert_reads (reader, "5 ");
    }
}

/* The slot that is read gets a new segment: the reader goes on at the oldest that is left. */
static void
test_lapped (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;
  DdebugChunk chunk;

  (void) data;
  for (guint slot = 0; slot < 4; slot++)
    {
      canned_segment (c, slot, DDEBUG_LOG_SEG_DATA, 1);
      for (guint i = 0; i < 3; i++)
        add_data (c, slot * 3 + i, 4000);
    }
  canned_write (c, f->path);
  reader = open_good (f->path);
  g_assert_cmpint (ddebug_reader_next (reader, &chunk, NULL), ==, DDEBUG_READ_CHUNK);
  g_assert_cmpuint (chunk.pos, ==, 0);
  for (guint slot = 0; slot < 2; slot++)
    {
      canned_segment (c, slot, DDEBUG_LOG_SEG_DATA, 1);
      add_data (c, 12 + slot, 16000);
      put_slot (c, f->path, slot);
    }
  /* once for the rest of the segment that was read, once for the one behind it */
  assert_reads (reader, "L L 6 7 8 9 10 11 12 13 ");
}

/* All of a segment was read, and the next one is gone. */
static void
test_lapped_between (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 0, 4);
  canned_write (c, f->path);
  reader = open_good (f->path);
  assert_reads (reader, "0 ");
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  canned_segment (c, 2, DDEBUG_LOG_SEG_DICT, 1);
  canned_segment (c, 3, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 1, 4);
  for (guint slot = 0; slot < 4; slot++)
    put_slot (c, f->path, slot);
  assert_reads (reader, "1 ");
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 2, 4);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 3, 4);
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 4, 4);
  for (guint slot = 0; slot < 4; slot++)
    put_slot (c, f->path, slot);
  assert_reads (reader, "L 3 4 ");
}

static void
test_cleared_live (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;
  DdebugChunk chunk;

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 0, 4000);
  add_data (c, 1, 4000);
  canned_write (c, f->path);
  reader = open_good (f->path);
  g_assert_cmpint (ddebug_reader_next (reader, &chunk, NULL), ==, DDEBUG_READ_CHUNK);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 2, 4);
  c->super.first_seg = GUINT64_TO_LE (2);
  canned_super (c, 2);
  put (f->path, 0, c->bytes, c->size);
  /* the second chunk is in the copy that was made before, and whole */
  assert_reads (reader, "1 L 2 ");
}

/* Resizing puts the segment that is read into another slot. */
static void
test_moved (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (8);
  g_autoptr (DdebugReader) reader = NULL;
  guint8 *segs = c->bytes + DDEBUG_LOG_SEGS_OFF;

  (void) data;
  canned_segment (c, 7, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 0, 4);
  canned_write (c, f->path);
  reader = open_good (f->path);
  assert_reads (reader, "0 ");
  memcpy (segs, segs + 7 * c->seg_size, c->seg_size);
  c->slot[DDEBUG_LOG_SEG_DATA] = 0;
  add_data (c, 1, 4);
  c->super.nr_segs = GUINT64_TO_LE (4);
  c->super.size = GUINT64_TO_LE (DDEBUG_LOG_SEGS_OFF + 4 * c->seg_size);
  canned_super (c, 2);
  put (f->path, 0, c->bytes, DDEBUG_LOG_SEGS_OFF + c->seg_size);
  g_assert_cmpint (truncate (f->path, DDEBUG_LOG_SEGS_OFF + 4 * c->seg_size), ==, 0);
  assert_reads (reader, "1 ");
  g_assert_cmpuint (ddebug_reader_super (reader)->nr_segs, ==, 4);
}

static void
test_other_log (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;

  (void) data;
  canned_write (c, f->path);
  reader = open_good (f->path);
  assert_reads (reader, "");
  c->super.uuid[3] ^= 1;
  canned_super (c, 2);
  put (f->path, 0, c->bytes, 8192);
  assert_reads (reader, "other ");
}

/* A snapshot ends though the writer never does. */
static void
test_snapshot (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;
  DdebugChunk chunk;
  guint n = 0;

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 0, 4);
  canned_write (c, f->path);
  reader = open_good (f->path);
  ddebug_reader_set_snapshot (reader);
  while (n < 100 && ddebug_reader_next (reader, &chunk, NULL) == DDEBUG_READ_CHUNK)
    {
      n++;
      canned_segment (c, n % 4, DDEBUG_LOG_SEG_DATA, 1);
      add_data (c, n, 4);
      put_slot (c, f->path, n % 4);
    }
  g_assert_cmpuint (n, ==, 5);
}

/* Until the descriptor is closed. */
static int
lock_as_writer (const char *path)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = DDEBUG_LOG_LOCK_WRITER, .l_len = 1 };
  int fd = open (path, O_RDWR);

  g_assert_cmpint (fcntl (fd, F_OFD_SETLK, &lock), ==, 0);
  return fd;
}

static void
test_writer (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;
  DdebugState state;
  DdebugSync sync;
  int fd;

  (void) data;
  canned_write (c, f->path);
  reader = open_good (f->path);
  g_assert_cmpint (ddebug_reader_writer (reader), ==, DDEBUG_WRITER_GONE);
  fd = lock_as_writer (f->path);
  g_assert_cmpint (ddebug_reader_writer (reader), ==, DDEBUG_WRITER_ALIVE);
  close (fd);
  g_assert_cmpint (ddebug_reader_writer (reader), ==, DDEBUG_WRITER_GONE);
  g_assert_false (ddebug_reader_state (reader, &state));
  canned_state (c, 77);
  put (f->path, DDEBUG_LOG_STATE_OFF, c->bytes + DDEBUG_LOG_STATE_OFF, sizeof (struct ddebug_log_state));
  g_assert_true (ddebug_reader_state (reader, &state));
  g_assert_cmpuint (state.settled_pass, ==, 77);
  g_assert_false (ddebug_reader_sync (reader, &sync));
  canned_sync (c, 77, 66, 5);
  put (f->path, DDEBUG_LOG_SYNC_OFF, c->bytes + DDEBUG_LOG_SYNC_OFF, sizeof (struct ddebug_log_sync));
  g_assert_true (ddebug_reader_sync (reader, &sync));
  g_assert_cmpuint (sync.written, ==, 77);
  g_assert_cmpuint (sync.synced, ==, 66);
  g_assert_cmpuint (sync.failed, ==, 5);
  /* a damaged one says nothing */
  put (f->path, DDEBUG_LOG_SYNC_OFF + 8, "x", 1);
  g_assert_false (ddebug_reader_sync (reader, &sync));
}

/*
 * A writer comes while what the one before has left is read.  Its segments are not over where
 * they end now, and what it is writing is no damage; be it there or gone in the next round.
 */
static void
test_writer_comes (Fixture *f, gconstpointer data)
{
  const guint8 zeros[16] = { 0 };

  (void) data;
  for (guint there = 0; there < 2; there++)
    {
      g_autoptr (Canned) c = canned_new (4);
      g_autoptr (DdebugReader) reader = NULL;
      int fd;

      canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
      canned_segment (c, 1, DDEBUG_LOG_SEG_DICT, 1);
      canned_attach (c, 1, 1, 1);
      add_data (c, 0, 4);
      canned_write (c, f->path);
      reader = open_good (f->path);
      assert_reads (reader, "D 0 ");
      add_data (c, 1, 4);
      put_slot (c, f->path, 0);
      ddebug_reader_set_live (reader, FALSE);
      fd = lock_as_writer (f->path);
      canned_segment (c, 2, DDEBUG_LOG_SEG_DATA, 2);
      canned_segment (c, 3, DDEBUG_LOG_SEG_DICT, 2);
      canned_attach (c, 2, 2, 2);
      add_data (c, 2, 4);
      add_data (c, 3, 4);
      put_slot (c, f->path, 3);
      put_slot (c, f->path, 2);
      if (there)
        put (f->path, canned_last (c) + sizeof (struct ddebug_log_chunk) + 16, zeros, sizeof zeros);
      assert_reads (reader, there ? "1 D 2 " : "1 D 2 3 ");
      canned_dict (c, 2, 1, 1, "m", "f");
      add_data (c, 4, 4);
      put_slot (c, f->path, 3);
      put_slot (c, f->path, 2);
      if (!there)
        close (fd);
      ddebug_reader_set_live (reader, there);
      assert_reads (reader, there ? "3 D 4 " : "D 4 ");
      if (there)
        close (fd);
    }
}

/* Random bytes over a good file: it ends, and what is given out is whole. */
static void
test_random_damage (Fixture *f, gconstpointer data)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (1234);

  (void) data;
  for (guint round = 0; round < 300; round++)
    {
      g_autoptr (Canned) c = canned_new (4);
      g_autoptr (DdebugReader) reader = NULL;
      g_autofree char *got = NULL;
      gsize at[6];

      make_damageable (c, at);
      for (guint i = 0; i < 1 + round / 10; i++)
        {
          gsize where = g_rand_boolean (rand) ? at[g_rand_int_range (rand, 0, 6)] + g_rand_int_range (rand, 0, 152)
                                              : DDEBUG_LOG_SEGS_OFF + g_rand_int_range (rand, 0, 2) * c->seg_size
                                                    + g_rand_int_range (rand, 0, 700);

          c->bytes[where] = g_rand_int (rand);
        }
      canned_write (c, f->path);
      reader = open_good (f->path);
      ddebug_reader_set_live (reader, round % 2);
      got = read_all (reader);
    }
}

/* Which file it is that is read, by path and by descriptor, and that nothing is known of an empty log. */
static void
test_identity (Fixture *f, gconstpointer data)
{
  g_autofree char *other = g_strconcat (f->path, ".other", NULL);
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;
  int fd;

  (void) data;
  canned_write (c, f->path);
  reader = open_good (f->path);
  g_assert_cmpuint (ddebug_reader_oldest_epoch (reader), ==, 0);
  g_assert_true (ddebug_reader_is_at (reader, f->path));
  g_assert_false (ddebug_reader_is_at (reader, other));
  fd = open (f->path, O_RDWR | O_CLOEXEC);
  g_assert_cmpint (fd, >=, 0);
  g_assert_true (ddebug_reader_is_sole_file (reader, fd));
  g_assert_false (ddebug_reader_is_sole_file (reader, -1));
  g_assert_cmpint (link (f->path, other), ==, 0);
  g_assert_true (ddebug_reader_is_at (reader, other));
  g_assert_false (ddebug_reader_is_sole_file (reader, fd));
  close (fd);
  g_assert_cmpint (g_unlink (other), ==, 0);
  canned_write (c, other);
  g_assert_false (ddebug_reader_is_at (reader, other));
  fd = open (other, O_RDWR | O_CLOEXEC);
  g_assert_cmpint (fd, >=, 0);
  g_assert_false (ddebug_reader_is_sole_file (reader, fd));
  close (fd);
  g_assert_cmpint (g_unlink (other), ==, 0);
}

/* ---- where nothing, or not all, can be known ---- */

/* Where it cannot be asked who has a lock, nobody knows whether there is a writer. */
static void
test_no_locks (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;

  (void) data;
  canned_write (c, f->path);
  reader = open_good (f->path);
  g_assert_null (ddebug_reader_hidden_by (reader));
  ddebug_reader_set_live (reader, FALSE);
  lock_error = EINVAL;
  g_assert_cmpint (ddebug_reader_writer (reader), ==, DDEBUG_WRITER_UNKNOWN);
  g_assert_cmpstr (ddebug_reader_hidden_by (reader), ==, "one without locks");
  g_assert_false (ddebug_reader_was_taken (reader));
  /* a writer stores the superblock, and that shows */
  canned_super (c, 2);
  put (f->path, DDEBUG_LOG_SUPER_OFF (0), c->bytes, sizeof c->super);
  g_assert_true (ddebug_reader_was_taken (reader));
  lock_error = 0;
  g_assert_cmpint (ddebug_reader_writer (reader), ==, DDEBUG_WRITER_GONE);
}

/* Which file the writer had, as in the superblock. */
static void
name_file (Canned *c, const struct stat *st, guint32 fs, guint64 generation)
{
  c->super.opened = c->super.named_at = GUINT64_TO_LE (c->realtime + generation);
  c->super.file_dev = GUINT64_TO_LE ((guint64) st->st_dev);
  c->super.file_ino = GUINT64_TO_LE (st->st_ino);
  c->super.file_fs = GUINT32_TO_LE (fs);
  canned_super (c, generation);
}

static void
put_super (Canned *c, const char *path, guint64 generation)
{
  put (path, DDEBUG_LOG_SUPER_OFF (generation % 2), c->bytes + DDEBUG_LOG_SUPER_OFF (generation % 2),
       sizeof c->super);
}

/* The file that the writer had, another one, and one behind a file system that hides locks. */
static void
test_origin (Fixture *f, gconstpointer data)
{
  const guint32 fuse = 0x65735546;
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;
  struct statfs fs;
  struct stat st;
  int fd;

  (void) data;
  canned_write (c, f->path);
  g_assert_cmpint (stat (f->path, &st), ==, 0);
  g_assert_cmpint (statfs (f->path, &fs), ==, 0);
  reader = open_good (f->path);
  name_file (c, &st, fs.f_type, 2);
  put_super (c, f->path, 2);
  g_assert_cmpint (ddebug_reader_writer (reader), ==, DDEBUG_WRITER_GONE);
  st.st_ino++;
  name_file (c, &st, fs.f_type, 3);
  put_super (c, f->path, 3);
  g_assert_cmpint (ddebug_reader_writer (reader), ==, DDEBUG_WRITER_COPY);
  g_assert_null (ddebug_reader_hidden_by (reader));
  name_file (c, &st, fuse, 4);
  put_super (c, f->path, 4);
  g_assert_cmpint (ddebug_reader_writer (reader), ==, DDEBUG_WRITER_UNKNOWN);
  g_assert_cmpstr (ddebug_reader_hidden_by (reader), ==, "fuse");
  /* what the reader has found before counts when neither copy can be read */
  name_file (c, &st, fs.f_type, 5);
  put_super (c, f->path, 5);
  ddebug_reader_free (reader);
  reader = open_good (f->path);
  name_file (c, &st, fuse, 6);
  put_super (c, f->path, 6);
  put (f->path, DDEBUG_LOG_SUPER_OFF (0) + 100, "x", 1);
  put (f->path, DDEBUG_LOG_SUPER_OFF (1) + 100, "x", 1);
  g_assert_cmpint (ddebug_reader_writer (reader), ==, DDEBUG_WRITER_COPY);
  /* a lock is seen: of a writer that named a file, another one's can be meant */
  put_super (c, f->path, 6);
  fd = lock_as_writer (f->path);
  ddebug_reader_free (reader);
  reader = open_good (f->path);
  g_assert_cmpstr (ddebug_reader_hidden_by (reader), ==, "fuse");
  close (fd);
}

/* What was spooled from a pipe is a copy, at no path; and one more reader of it is like the first. */
static void
test_spooled (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;
  g_autoptr (DdebugReader) again = NULL;
  g_autoptr (GError) error = NULL;
  int fd;

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 0, 3);
  canned_write (c, f->path);
  fd = open (f->path, O_RDONLY | O_CLOEXEC);
  g_assert_cmpint (fd, >=, 0);
  reader = ddebug_reader_open_copy (fd, "-", &error);
  g_assert_no_error (error);
  g_assert_cmpint (ddebug_reader_writer (reader), ==, DDEBUG_WRITER_COPY);
  g_assert_true (ddebug_reader_is_at (reader, "-"));
  again = ddebug_reader_again (reader, &error);
  g_assert_no_error (error);
  g_assert_cmpint (ddebug_reader_writer (again), ==, DDEBUG_WRITER_COPY);
  g_assert_true (ddebug_reader_is_at (again, "-"));
  close (fd);
  assert_reads (reader, "0 ");
  assert_reads (again, "0 ");
  g_assert_null (ddebug_reader_open_copy (-1, "-", &error));
  g_assert_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_IO);
  g_assert_cmpstr (error->message, ==, "-: cannot reopen: Bad file descriptor");
}

/* Without a descriptor that is left, a log is neither opened nor opened once more, and that is said. */
static void
test_no_descriptors (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;
  g_autoptr (GError) error = NULL;
  struct rlimit had, none = { 0 };

  (void) data;
  canned_write (c, f->path);
  reader = open_good (f->path);
  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &had), ==, 0);
  none.rlim_max = had.rlim_max;
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &none), ==, 0);
  g_assert_null (ddebug_reader_again (reader, &error));
  g_assert_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_IO);
  g_clear_error (&error);
  g_assert_null (ddebug_reader_open (f->path, &error));
  g_assert_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_IO);
  g_assert_nonnull (strstr (error->message, "cannot be opened: Too many open files"));
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &had), ==, 0);
}

/* Where holes are not told, each slot is looked at, and nothing is missed. */
static void
test_no_holes (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (32);

  (void) data;
  canned_segment (c, 9, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 0, 3);
  canned_segment (c, 31, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 1, 3);
  seek_error = EINVAL;
  assert_file_reads (c, f->path, FALSE, "0 1 ");
  seek_error = 0;
}

/* A slot whose header cannot be read is said; so are pages that cannot. */
static void
test_unreadable_pages (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;
  DdebugState state;
  DdebugSync sync;

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 0, 3);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 1, 3);
  canned_segment (c, 2, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 2, 3);
  canned_state (c, 7);
  canned_sync (c, 3, 3, 0);
  bad_byte = DDEBUG_LOG_SEGS_OFF + c->seg_size;
  assert_file_reads (c, f->path, FALSE, "0 x L 2 ");
  bad_byte = -1;
  reader = open_good (f->path);
  g_assert_true (ddebug_reader_state (reader, &state));
  g_assert_true (ddebug_reader_sync (reader, &sync));
  bad_byte = DDEBUG_LOG_STATE_OFF;
  g_assert_false (ddebug_reader_state (reader, &state));
  bad_byte = DDEBUG_LOG_SYNC_OFF;
  g_assert_false (ddebug_reader_sync (reader, &sync));
  bad_byte = -1;
}

/* A file that the server has forgotten is read to no end, is at no path, and is nobody's but root's. */
static void
test_forgotten_file (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (DdebugReader) reader = NULL;
  DdebugAccess access;
  int fd;

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  add_data (c, 0, 3);
  canned_write (c, f->path);
  reader = open_good (f->path);
  ddebug_reader_set_live (reader, FALSE);
  fd = open (f->path, O_RDONLY | O_CLOEXEC);
  stat_error = ESTALE;
  assert_reads (reader, "");
  g_assert_cmpuint (ddebug_reader_file_size (reader), ==, 0);
  g_assert_false (ddebug_reader_is_at (reader, f->path));
  g_assert_false (ddebug_reader_is_sole_file (reader, fd));
  ddebug_reader_access (reader, &access);
  g_assert_cmpuint (access.mode, ==, 0600);
  g_assert_cmpint (ddebug_reader_writer (reader), ==, DDEBUG_WRITER_COPY);
  stat_error = 0;
  close (fd);
  /* and is there again */
  ddebug_reader_set_live (reader, FALSE);
  assert_reads (reader, "0 ");
}

/* The path leads nowhere: through a file, to a socket, too long. */
static void
test_bad_paths (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autofree char *below = g_strconcat (f->path, "/log", NULL);
  g_autofree char *name = g_strnfill (300, 'n');
  g_autofree char *longest = g_build_filename (f->dir, name, NULL);
  g_autofree char *socket_path = g_strconcat (f->path, ".socket", NULL);

  (void) data;
  canned_write (c, f->path);
  assert_refused (below, DDEBUG_LOG_ERROR_NOT_FOUND);
  assert_refused (longest, DDEBUG_LOG_ERROR_IO);
  g_assert_cmpint (mknod (socket_path, S_IFSOCK | 0600, 0), ==, 0);
  assert_refused (socket_path, DDEBUG_LOG_ERROR_NOT_A_FILE);
  bad_byte = DDEBUG_LOG_SUPER_OFF (0);
  g_assert_cmpint (truncate (f->path, 100), ==, 0);
  assert_refused (f->path, DDEBUG_LOG_ERROR_IO);
  bad_byte = -1;
}

#define ADD(name, func) g_test_add ("/reader/" name, Fixture, NULL, log_folder_set_up, func, log_folder_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("the younger good superblock counts", test_supers);
  ADD ("a superblock that cannot be read", test_unreadable_super);
  ADD ("what the younger superblock says and is not known is refused", test_newer_super);
  ADD ("impossible geometry is refused", test_geometry);
  ADD ("what is no log is refused", test_refusals);
  ADD ("chunks come in the order of writing, over both types", test_order);
  ADD ("segments are read to their last byte", test_full_segments);
  ADD ("chunks of an earlier use of a slot are not read", test_stale_chunks);
  ADD ("segments that are there twice are read once", test_duplicates);
  ADD ("cleared segments are not read", test_cleared);
  ADD ("which file it is that is read", test_identity);
  ADD ("a flipped byte costs its chunk only", test_flipped_bytes);
  ADD ("a slot whose segment cannot be told is said", test_lost_slot);
  ADD ("a dictionary without its header is recognized", test_headless_dictionary);
  ADD ("a stale copy without its header hides nothing", test_headless_stale_copy);
  ADD ("a slot that was given up stays hidden under half of a header", test_headless_given_up);
  ADD ("segments of other types are passed over", test_unknown_segment);
  ADD ("damage in a segment that is written costs what it hits", test_damaged_live);
  ADD ("a damaged length does not lead past whole chunks", test_damaged_length);
  ADD ("a forged chunk in a payload whose header is damaged", test_forged_in_payload);
  ADD ("an I/O error is told", test_io_error);
  ADD ("the likeness of a chunk in a payload is none", test_likeness);
  ADD ("damage of many chunks at once costs these", test_damaged_run);
  ADD ("a segment without header and first chunk is known by the next", test_damaged_begin);
  ADD ("time grows with the size of a damaged log", test_damage_is_linear);
  ADD ("what the superblock claims costs nothing", test_claims);
  ADD ("time grows with the number of segments, not with its square", test_many_segments);
  ADD ("a damaged segment costs itself only", test_damaged_segment);
  ADD ("a file cut at any place is read up to there", test_cut_short);
  ADD ("what is appended is read", test_growing);
  ADD ("a half-written chunk is waited for", test_half_written);
  ADD ("a lapped reader goes on at the oldest segment", test_lapped);
  ADD ("a reader that missed whole segments says so", test_lapped_between);
  ADD ("clearing hides what was before", test_cleared_live);
  ADD ("a segment is followed into another slot", test_moved);
  ADD ("another log in the file is noticed", test_other_log);
  ADD ("a snapshot ends though the writer does not", test_snapshot);
  ADD ("writer and state", test_writer);
  ADD ("a writer that comes while the log is read is read on", test_writer_comes);
  ADD ("random damage", test_random_damage);
  ADD ("where locks cannot be asked for, a writer is unknown", test_no_locks);
  ADD ("whose file it is decides whether there can be a writer", test_origin);
  ADD ("what was spooled is a copy", test_spooled);
  ADD ("without descriptors nothing is opened", test_no_descriptors);
  ADD ("where holes are not told nothing is missed", test_no_holes);
  ADD ("pages that cannot be read are said", test_unreadable_pages);
  ADD ("a file that its server has forgotten", test_forgotten_file);
  ADD ("paths that lead to no log", test_bad_paths);
  return g_test_run ();
}
