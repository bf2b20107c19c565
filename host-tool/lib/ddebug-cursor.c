/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FILE.cursor: reading, locking and writing it.
 *
 * The file is written in place: the lock belongs to it, and a file renamed over it would not be
 * locked.
 *
 *      0  head: which log, and where the places are; one page, always written whole
 *   4096  places | free, or free | places
 *
 * New places are written next to the old ones; then the head is written, which makes them valid.  The
 * kernel copies a write page by page, and a process that is killed leaves what was copied by then.  So
 * the head is either the old or the new one, and the places it names were complete before it.
 */
#define _GNU_SOURCE
#include "ddebug-cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ddebug-error.h"
#include "ddebug-format.h"
#include "ddebug-log-format.h"

/* Maximum size of the file, far above what the streams of 1024 CPUs and tens of boots need. */
#define CURSOR_MAX (16u << 20)

/* The kernel copies to a file in page-aligned pieces, and checks for a fatal signal between them. */
#define HEAD 4096u

typedef struct
{
  guint32 epoch;            /* last epoch read of this instance */
  GHashTable *places;       /* stream id -> DdebugPlace */
  guint64 nostream, missed; /* the largest of these */
} Group;

struct DdebugCursor
{
  char *path;
  char *uuid;
  DdebugAccess log;
  int fd;                   /* -1: not open */
  gboolean ours;            /* the file was once our log's: it must not become another log's */
  gboolean dirty;
  GHashTable *groups;       /* name of an instance -> Group */
  char head[HEAD];          /* as last read or written */
  guint64 generation;       /* of that head */
  guint64 off;              /* of the places in the file */
  guint64 len;              /* 0: there are none */
};

static void
group_free (gpointer data)
{
  Group *group = data;

  g_hash_table_unref (group->places);
  g_free (group);
}

DdebugCursor *
ddebug_cursor_new (const char *log_path, const guint8 uuid[16], const DdebugAccess *log)
{
  DdebugCursor *cursor = g_new0 (DdebugCursor, 1);
  GString *text = g_string_new (NULL);

  ddebug_format_uuid (text, uuid);
  cursor->uuid = g_string_free (text, FALSE);
  cursor->path = g_strconcat (log_path, ".cursor", NULL);
  cursor->log = *log;
  cursor->fd = -1;
  cursor->groups = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, group_free);
  return cursor;
}

void
ddebug_cursor_free (DdebugCursor *cursor)
{
  if (!cursor)
    return;
  if (cursor->fd >= 0)
    close (cursor->fd);
  g_hash_table_unref (cursor->groups);
  g_free (cursor->path);
  g_free (cursor->uuid);
  g_free (cursor);
}

const char *
ddebug_cursor_path (DdebugCursor *cursor)
{
  return cursor->path;
}

static Group *
get_group (DdebugCursor *cursor, const char *name)
{
  Group *group = g_hash_table_lookup (cursor->groups, name);

  if (group)
    return group;
  group = g_new0 (Group, 1);
  group->places = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  g_hash_table_insert (cursor->groups, g_strdup (name), group);
  return group;
}

static void
note_unrecorded (Group *group, guint64 nostream, guint64 missed)
{
  group->nostream = MAX (group->nostream, nostream);
  group->missed = MAX (group->missed, missed);
}

static DdebugPlace *
get_place (Group *group, guint32 stream)
{
  DdebugPlace *place = g_hash_table_lookup (group->places, GUINT_TO_POINTER (stream));

  if (place)
    return place;
  place = g_new0 (DdebugPlace, 1);
  g_hash_table_insert (group->places, GUINT_TO_POINTER (stream), place);
  return place;
}

/* ---- reading ---- */

static gboolean
set_damaged (DdebugCursor *cursor, const char *what, GError **error)
{
  g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_DAMAGED,
               "%s: is damaged: %s; remove it to consume the log from its oldest message", cursor->path,
               what);
  return FALSE;
}

/* "epoch", or a word and the id of a stream, such as "stream 3". */
static gboolean
parse_key (DdebugCursor *cursor, Group *group, const char *key, guint64 value, GError **error)
{
  g_auto (GStrv) words = g_strsplit (key, " ", 2);
  guint64 id;

  if (strcmp (key, "epoch") == 0)
    {
      group->epoch = MIN (value, G_MAXUINT32);
      return TRUE;
    }
  if (g_strv_length (words) != 2 || !g_ascii_string_to_unsigned (words[1], 10, 0, G_MAXUINT32, &id, NULL))
    return set_damaged (cursor, key, error);
  if (strcmp (words[0], "stream") == 0)
    get_place (group, id)->next = value;
  else if (strcmp (words[0], "recursed") == 0)
    get_place (group, id)->recursed = value;
  else if (strcmp (words[0], "torn") == 0)
    get_place (group, id)->torn = value;
  else if (strcmp (words[0], "nostream") == 0)
    get_place (group, id)->nostream = value;
  else if (strcmp (words[0], "missed") == 0)
    get_place (group, id)->missed = value;
  else
    return set_damaged (cursor, key, error);
  note_unrecorded (group, get_place (group, id)->nostream, get_place (group, id)->missed);
  return TRUE;
}

static gboolean
parse_group (DdebugCursor *cursor, GKeyFile *file, const char *name, GError **error)
{
  g_auto (GStrv) keys = g_key_file_get_keys (file, name, NULL, NULL);
  Group *group = get_group (cursor, name);

  for (char **key = keys; key && *key; key++)
    {
      g_autofree char *text = g_key_file_get_value (file, name, *key, NULL);
      guint64 value;

      if (!text || !g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, &value, NULL))
        return set_damaged (cursor, *key, error);
      if (!parse_key (cursor, group, *key, value, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
parse_places (DdebugCursor *cursor, const char *text, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (GError) why = NULL;
  g_auto (GStrv) groups = NULL;

  if (!g_key_file_load_from_data (file, text, cursor->len, G_KEY_FILE_NONE, &why))
    return set_damaged (cursor, why->message, error);
  groups = g_key_file_get_groups (file, NULL);
  for (char **name = groups; *name; name++)
    if (!parse_group (cursor, file, *name, error))
      return FALSE;
  return TRUE;
}

static gboolean
set_errno (DdebugCursor *cursor, int code, GError **error)
{
  g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_IO, "%s: %s", cursor->path, g_strerror (code));
  return FALSE;
}

static gboolean
get_number (DdebugCursor *cursor, GKeyFile *file, const char *key, guint64 *value, GError **error)
{
  g_autofree char *text = g_key_file_get_value (file, "places", key, NULL);

  if (text && g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, value, NULL))
    return TRUE;
  return set_damaged (cursor, key, error);
}

/* Parse the head: where the places are, and their checksum; @ours: (out): whether they are our log's. */
static gboolean
parse_head (DdebugCursor *cursor, guint64 file_size, gboolean *ours, guint64 *crc, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (GError) why = NULL;
  g_autofree char *uuid = NULL;

  if (!g_key_file_load_from_data (file, cursor->head, HEAD, G_KEY_FILE_NONE, &why))
    return set_damaged (cursor, why->message, error);
  uuid = g_key_file_get_string (file, "log", "uuid", &why);
  if (!uuid)
    return set_damaged (cursor, why->message, error);
  *ours = strcmp (uuid, cursor->uuid) == 0;
  if (!get_number (cursor, file, "generation", &cursor->generation, error)
      || !get_number (cursor, file, "offset", &cursor->off, error)
      || !get_number (cursor, file, "length", &cursor->len, error)
      || !get_number (cursor, file, "crc", crc, error))
    return FALSE;
  if (cursor->off >= HEAD && cursor->off <= file_size && cursor->len <= file_size - cursor->off)
    return TRUE;
  return set_damaged (cursor, "offset and length", error);
}

static gboolean
load_places (DdebugCursor *cursor, guint64 crc, GError **error)
{
  g_autofree char *text = g_malloc (cursor->len + 1);
  gssize n = pread (cursor->fd, text, cursor->len, cursor->off);

  if (n < 0)
    return set_errno (cursor, errno, error);
  if ((guint64) n != cursor->len || ddebug_crc32c (text, n) != crc)
    return set_damaged (cursor, "crc", error);
  return parse_places (cursor, text, error);
}

static gboolean
load_head (DdebugCursor *cursor, guint64 file_size, GError **error)
{
  gboolean ours = FALSE;
  guint64 crc = 0;

  if (!parse_head (cursor, file_size, &ours, &crc, error))
    return FALSE;
  if (ours)
    return load_places (cursor, crc, error);
  if (!cursor->ours)
    return TRUE;
  g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_REFUSED,
               "%s: now belongs to another log, since the file was replaced; restart to consume that log",
               cursor->path);
  return FALSE;
}

/*
 * Check the cursor's type and owner.  Another user who can write to the directory could have put it
 * there, to hide messages from us or to learn what we consume.
 */
static gboolean
check_file (DdebugCursor *cursor, const struct stat *st, GError **error)
{
  if (!S_ISREG (st->st_mode) || st->st_nlink > 1 || st->st_size > CURSOR_MAX)
    {
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_NOT_A_FILE,
                   "%s: is not a cursor (a regular file with one name, at most %u MiB); move it away",
                   cursor->path, CURSOR_MAX >> 20);
      return FALSE;
    }
  if (st->st_uid == geteuid () || st->st_uid == cursor->log.owner || st->st_uid == 0)
    return TRUE;
  g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_NOT_A_FILE,
               "%s: belongs to user %u, not to you, the log's owner or root; move it away",
               cursor->path, (guint) st->st_uid);
  return FALSE;
}

/* All zeros: just created, or its creator was killed before writing the first head. */
static gboolean
is_blank (const char *head)
{
  return head[0] == '\0' && memcmp (head, head + 1, HEAD - 1) == 0;
}

static gboolean
load (DdebugCursor *cursor, GError **error)
{
  char head[HEAD] = { 0 };
  struct stat st;

  if (fstat (cursor->fd, &st) != 0)
    return set_errno (cursor, errno, error);
  if (!check_file (cursor, &st, error))
    return FALSE;
  if (pread (cursor->fd, head, HEAD, 0) < 0)
    return set_errno (cursor, errno, error);
  if (cursor->ours && memcmp (head, cursor->head, HEAD) == 0)
    return TRUE;
  memcpy (cursor->head, head, HEAD);
  g_hash_table_remove_all (cursor->groups);
  cursor->generation = cursor->off = cursor->len = 0;
  return is_blank (head) || load_head (cursor, st.st_size, error);
}

/* ---- locking ---- */

/*
 * Let those who may use the log use the new cursor: a --pipe of root must not lock the log's owner out.  If
 * we may not give it away it stays ours alone.  The file is empty, new and open, so nobody can divert this.
 */
static void
give_away (DdebugCursor *cursor)
{
  if (fchown (cursor->fd, cursor->log.owner, cursor->log.group) == 0)
    fchmod (cursor->fd, (cursor->log.mode & 0666) | 0600);
}

/* Open the cursor, creating it if it does not exist; FALSE with errno set. */
static gboolean
open_or_create (DdebugCursor *cursor)
{
  const int how = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

  do
    {
      cursor->fd = open (cursor->path, how);
      if (cursor->fd >= 0 || errno != ENOENT)
        return cursor->fd >= 0;
      cursor->fd = open (cursor->path, how | O_CREAT | O_EXCL, 0600);
    }
  while (cursor->fd < 0 && errno == EEXIST);
  if (cursor->fd < 0)
    return FALSE;
  give_away (cursor);
  return TRUE;
}

static gboolean
open_cursor (DdebugCursor *cursor, GError **error)
{
  int code;

  if (open_or_create (cursor))
    return TRUE;
  code = errno;
  if (code == ELOOP || code == EISDIR || code == ENXIO)
    g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_NOT_A_FILE,
                 "%s: is not a cursor (a regular file with one name); move it away", cursor->path);
  else if (code == EROFS)
    g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_ACCESS,
                 "%s: its file system is read-only; --pipe stores its position in this file; "
                 "use --follow, which stores none", cursor->path);
  else if (code == EACCES || code == EPERM)
    g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_ACCESS,
                 "%s: %s; --pipe stores its position in this file; make it or its directory writable, "
                 "or use --follow, which stores none",
                 cursor->path, g_strerror (code));
  else
    return set_errno (cursor, code, error);
  return FALSE;
}

static void
close_cursor (DdebugCursor *cursor)
{
  /* Unlock before closing, so that a process that waits for the close finds it free. */
  struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

  fcntl (cursor->fd, F_OFD_SETLK, &lock);
  close (cursor->fd);
  cursor->fd = -1;
}

/* Whether the path still names the open file, which another consumer had locked. */
static gboolean
is_at_path (DdebugCursor *cursor)
{
  struct stat mine, there;

  return fstat (cursor->fd, &mine) == 0 && lstat (cursor->path, &there) == 0 && mine.st_dev == there.st_dev
         && mine.st_ino == there.st_ino;
}

DdebugCursorResult
ddebug_cursor_lock (DdebugCursor *cursor, GError **error)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

  if (cursor->fd >= 0 && !is_at_path (cursor))
    close_cursor (cursor);
  if (cursor->fd < 0 && !open_cursor (cursor, error))
    return DDEBUG_CURSOR_ERROR;
  if (fcntl (cursor->fd, F_OFD_SETLK, &lock) != 0)
    {
      if (errno == EAGAIN || errno == EACCES)
        return DDEBUG_CURSOR_BUSY;
      set_errno (cursor, errno, error);
      return DDEBUG_CURSOR_ERROR;
    }
  if (!load (cursor, error))
    {
      close_cursor (cursor);
      return DDEBUG_CURSOR_ERROR;
    }
  cursor->ours = TRUE;
  return DDEBUG_CURSOR_LOCKED;
}

/* ---- writing ---- */

static void
print_group (GString *text, const char *name, Group *group)
{
  GHashTableIter iter;
  gpointer id;
  DdebugPlace *place;

  g_string_append_printf (text, "\n[%s]\nepoch=%u\n", name, group->epoch);
  g_hash_table_iter_init (&iter, group->places);
  while (g_hash_table_iter_next (&iter, &id, (gpointer *) &place))
    {
      guint stream = GPOINTER_TO_UINT (id);

      g_string_append_printf (text, "stream %u=%" G_GUINT64_FORMAT "\n", stream, place->next);
      if (place->recursed)
        g_string_append_printf (text, "recursed %u=%" G_GUINT64_FORMAT "\n", stream, place->recursed);
      if (place->torn)
        g_string_append_printf (text, "torn %u=%" G_GUINT64_FORMAT "\n", stream, place->torn);
      if (place->nostream)
        g_string_append_printf (text, "nostream %u=%" G_GUINT64_FORMAT "\n", stream, place->nostream);
      if (place->missed)
        g_string_append_printf (text, "missed %u=%" G_GUINT64_FORMAT "\n", stream, place->missed);
    }
}

static GString *
print_places (DdebugCursor *cursor, guint32 oldest_epoch)
{
  GString *text = g_string_new (NULL);
  GHashTableIter iter;
  gpointer name;
  Group *group;

  g_hash_table_iter_init (&iter, cursor->groups);
  while (g_hash_table_iter_next (&iter, &name, (gpointer *) &group))
    if (group->epoch >= oldest_epoch)
      print_group (text, name, group);
    else
      g_hash_table_iter_remove (&iter);
  return text;
}

static void
print_head (DdebugCursor *cursor, guint32 crc)
{
  memset (cursor->head, '\n', HEAD);
  /* Far shorter than a page; the terminating NUL is not part of the file. */
  cursor->head[g_snprintf (cursor->head, HEAD,
                           "# position of ddebug-host --pipe\n[log]\nuuid=%s\n\n[places]\n"
                           "generation=%" G_GUINT64_FORMAT "\noffset=%" G_GUINT64_FORMAT
                           "\nlength=%" G_GUINT64_FORMAT "\ncrc=%u\n",
                           cursor->uuid, cursor->generation, cursor->off, cursor->len, crc)] = '\n';
}

static gboolean
write_all (DdebugCursor *cursor, const char *text, gsize len, guint64 off, GError **error)
{
  gssize n = pwrite (cursor->fd, text, len, off);
  int code = errno;

  return n == (gssize) len || set_errno (cursor, n < 0 ? code : ENOSPC, error);
}

/* An offset where @len bytes of places do not overlap the valid ones. */
static guint64
free_offset (DdebugCursor *cursor, guint64 len)
{
  if (cursor->len == 0 || cursor->off >= HEAD + len)
    return HEAD;
  return cursor->off + cursor->len;
}

static gboolean
save (DdebugCursor *cursor, guint32 oldest_epoch, GError **error)
{
  g_autoptr (GString) text = print_places (cursor, oldest_epoch);
  guint64 off = free_offset (cursor, text->len);

  /* An error ends the consumer; do not report it again at unlock. */
  cursor->dirty = FALSE;
  if (off + text->len > CURSOR_MAX)
    return set_errno (cursor, EFBIG, error);
  if (!write_all (cursor, text->str, text->len, off, error))
    return FALSE;
  cursor->off = off;
  cursor->len = text->len;
  cursor->generation++;
  print_head (cursor, ddebug_crc32c (text->str, text->len));
  return write_all (cursor, cursor->head, HEAD, 0, error);
}

gboolean
ddebug_cursor_save (DdebugCursor *cursor, GError **error)
{
  return !cursor->dirty || save (cursor, 0, error);
}

gboolean
ddebug_cursor_unlock (DdebugCursor *cursor, guint32 oldest_epoch, GError **error)
{
  gboolean done = TRUE;

  if (cursor->fd < 0)
    return TRUE;
  if (cursor->dirty)
    done = save (cursor, oldest_epoch, error);
  close_cursor (cursor);
  return done;
}

/* ---- places ---- */

void
ddebug_cursor_touch (DdebugCursor *cursor, const DdebugInstance *instance)
{
  Group *group = g_hash_table_lookup (cursor->groups, instance->name);

  if (group && group->epoch < instance->epoch)
    {
      group->epoch = instance->epoch;
      cursor->dirty = TRUE;
    }
}

gboolean
ddebug_cursor_get (DdebugCursor *cursor, const DdebugMergerStream *stream, DdebugPlace *place)
{
  Group *group = g_hash_table_lookup (cursor->groups, stream->instance->name);
  DdebugPlace *found = group ? g_hash_table_lookup (group->places, GUINT_TO_POINTER (stream->id)) : NULL;

  if (!group)
    return FALSE;
  *place = found ? *found : (DdebugPlace){ 0 };
  place->nostream = group->nostream;
  place->missed = group->missed;
  return TRUE;
}

void
ddebug_cursor_set (DdebugCursor *cursor, const DdebugMergerStream *stream, const DdebugPlace *place)
{
  Group *group = get_group (cursor, stream->instance->name);

  group->epoch = MAX (group->epoch, stream->instance->epoch);
  *get_place (group, stream->id) = *place;
  note_unrecorded (group, place->nostream, place->missed);
  cursor->dirty = TRUE;
}
