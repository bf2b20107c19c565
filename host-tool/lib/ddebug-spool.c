/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A log that comes from a pipe, or is compressed: as a temporary file. */
#define _GNU_SOURCE
#include "ddebug-spool.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "ddebug-error.h"
#include "ddebug-log-error.h"
#include "ddebug-log-format.h"

/* Bytes that are read, and decompressed, at once. */
#define PIECE (64u << 10)

/* What is all zeros in a block of a file need not be stored. */
#define BLOCK 4096u

static const struct
{
  const char *program;
  const char *magic;
  gsize len;
} compressions[] = {
  { "gzip", "\x1f\x8b", 2 },
  { "zstd", "\x28\xb5\x2f\xfd", 4 },
  { "xz", "\xfd" "7zXZ\0", 6 },
  { "bzip2", "BZh", 3 },
  { "lz4", "\x04\x22\x4d\x18", 4 },
};

typedef struct
{
  int in;
  const char *path;
  const char *folder;       /* of the temporary file */
  int out;
  guint64 size;             /* bytes that went to out */
  guint64 limit;            /* of them: the log is complete */
  guint8 *buffer;           /* PIECE bytes that were read */
  gsize have;               /* bytes in it */
  char **warning;
} Spool;

const char *
ddebug_spool_compression (const guint8 *bytes, gsize len)
{
  for (guint i = 0; i < G_N_ELEMENTS (compressions); i++)
    if (len >= compressions[i].len && memcmp (bytes, compressions[i].magic, compressions[i].len) == 0)
      return compressions[i].program;
  return NULL;
}

static gboolean
fail_write (const Spool *spool, int code, GError **error)
{
  g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_SPACE,
               "%s: no temporary copy in %s: %s; set TMPDIR to a folder with enough room", spool->path,
               spool->folder, g_strerror (code));
  return FALSE;
}

/* A file that no other process can open and that goes with its last descriptor. */
static gboolean
open_file (Spool *spool, GError **error)
{
  const char *folder = g_getenv ("TMPDIR");
  g_autofree char *name = NULL;

  /* A log can be large: not /tmp, which may be in memory. */
  spool->folder = folder && *folder ? folder : "/var/tmp";
  spool->out = open (spool->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (spool->out >= 0)
    return TRUE;
  if (errno != EOPNOTSUPP && errno != EISDIR)
    return fail_write (spool, errno, error);
  name = g_build_filename (spool->folder, "ddebug-host-XXXXXX", NULL);
  spool->out = g_mkstemp_full (name, O_RDWR | O_CLOEXEC, 0600);
  if (spool->out < 0)
    return fail_write (spool, errno, error);
  g_unlink (name);
  return TRUE;
}

/* Read until the buffer is full or the input ends. */
static gboolean
fill (Spool *spool, GError **error)
{
  while (spool->have < PIECE)
    {
      gssize n = read (spool->in, spool->buffer + spool->have, PIECE - spool->have);
      int code = errno;

      if (n < 0 && code == EINTR)
        continue;
      if (n < 0)
        {
          g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_IO, "%s: cannot be read: %s", spool->path,
                       g_strerror (code));
          return FALSE;
        }
      if (n == 0)
        break;
      spool->have += n;
    }
  return TRUE;
}

static void
drop (Spool *spool, gsize len)
{
  spool->have -= len;
  memmove (spool->buffer, spool->buffer + len, spool->have);
}

/*
 * The start of the log tells how long it is.  If it is no log, whatever follows is not wanted: the reader
 * of the copy says what is wrong with it.
 */
static gboolean
find_limit (Spool *spool, GError **error)
{
  guint8 bytes[DDEBUG_LOG_SUPERS_SIZE];
  DdebugSuper super;
  int copy;

  if (pread (spool->out, bytes, sizeof bytes, 0) != sizeof bytes)
    return fail_write (spool, errno, error);
  spool->limit = ddebug_log_choose_super (bytes, sizeof bytes, &super, &copy) == DDEBUG_SUPER_GOOD
                     ? super.size : spool->size;
  return TRUE;
}

/* Append to the copy, leaving holes where there are only zeros. */
static gboolean
put (Spool *spool, const guint8 *bytes, gsize len, GError **error)
{
  guint64 before = spool->size;

  while (len > 0)
    {
      gsize piece = MIN (len, BLOCK - spool->size % BLOCK);
      gssize n = ddebug_log_is_zero (bytes, piece) ? (gssize) piece
                                                   : pwrite (spool->out, bytes, piece, spool->size);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return fail_write (spool, n < 0 ? errno : EIO, error);
      bytes += n;
      len -= n;
      spool->size += n;
    }
  if (ftruncate (spool->out, spool->size) != 0)
    return fail_write (spool, errno, error);
  return before >= DDEBUG_LOG_SUPERS_SIZE || spool->size < DDEBUG_LOG_SUPERS_SIZE
         || find_limit (spool, error);
}

static gboolean
copy_plain (Spool *spool, GError **error)
{
  while (spool->have > 0 && spool->size < spool->limit)
    {
      if (!put (spool, spool->buffer, spool->have, error))
        return FALSE;
      spool->have = 0;
      if (!fill (spool, error))
        return FALSE;
    }
  return TRUE;
}

/* Whether another gzip file follows, as in what "cat a.gz b.gz" makes. */
static gboolean
has_more (Spool *spool, GConverter *converter)
{
  if (g_strcmp0 (ddebug_spool_compression (spool->buffer, spool->have), "gzip") != 0)
    return FALSE;
  g_converter_reset (converter);
  return TRUE;
}

/* What precedes damage is as good as a log that was cut short. */
static gboolean
copy_gzip (Spool *spool, GError **error)
{
  g_autoptr (GZlibDecompressor) gzip = g_zlib_decompressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP);
  g_autofree guint8 *out = g_malloc (PIECE);

  while (spool->size < spool->limit)
    {
      g_autoptr (GError) why = NULL;
      gsize taken = 0, made = 0;
      GConverterResult result
          = g_converter_convert (G_CONVERTER (gzip), spool->buffer, spool->have, out, PIECE,
                                 spool->have < PIECE ? G_CONVERTER_INPUT_AT_END : G_CONVERTER_NO_FLAGS, &taken,
                                 &made, &why);

      if (result == G_CONVERTER_ERROR)
        {
          *spool->warning = g_strdup (why->message);
          return TRUE;
        }
      drop (spool, taken);
      if (!put (spool, out, made, error) || !fill (spool, error))
        return FALSE;
      if (result == G_CONVERTER_FINISHED && !has_more (spool, G_CONVERTER (gzip)))
        return TRUE;
    }
  return TRUE;
}

static gboolean
copy (Spool *spool, GError **error)
{
  const char *program;

  if (!open_file (spool, error) || !fill (spool, error))
    return FALSE;
  program = ddebug_spool_compression (spool->buffer, spool->have);
  if (!program)
    return copy_plain (spool, error);
  if (strcmp (program, "gzip") == 0)
    return copy_gzip (spool, error);
  g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_FORMAT,
               "%s: is compressed with %s; use: %s -dc FILE | ddebug-host -", spool->path, program, program);
  return FALSE;
}

int
ddebug_spool (int in, const char *path, char **warning, GError **error)
{
  g_autofree guint8 *buffer = g_malloc (PIECE);
  Spool spool = {
    .in = in,
    .path = path,
    .out = -1,
    .limit = G_MAXUINT64,
    .buffer = buffer,
    .warning = warning,
  };

  *warning = NULL;
  if (copy (&spool, error))
    return spool.out;
  if (spool.out >= 0)
    close (spool.out);
  return -1;
}
