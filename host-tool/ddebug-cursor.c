/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file is written in place, since the lock belongs to it and a file renamed
 * over it would not be locked.  One pwrite() writes it, and it never gets
 * shorter: newlines pad what is saved to what was there.  So a process that is
 * killed leaves the old or the new contents, not a mixture.
 */
#define _GNU_SOURCE
#include "ddebug-cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ddebug-format.h"

/* Far above what the streams of 1024 CPUs and hundreds of boots take. */
#define CURSOR_MAX (16u << 20)

typedef struct
{
  guint32 epoch;            /* last one read of this life */
  GHashTable *places;       /* stream id -> DdebugPlace */
} Group;

struct DdebugCursor
{
  char *path;
  char *uuid;
  int fd;                   /* -1: not open */
  gboolean ours;            /* the file was ours once: it may not become another log's */
  gboolean dirty;
  GHashTable *groups;       /* name of a life -> Group */
  char *contents;           /* as the file was read or written last */
  gsize len;
};

static void
group_free (gpointer data)
{
  Group *group = data;

  g_hash_table_unref (group->places);
  g_free (group);
}

DdebugCursor *
ddebug_cursor_new (const char *log_path, const guint8 uuid[16])
{
  DdebugCursor *cursor = g_new0 (DdebugCursor, 1);
  GString *text = g_string_new (NULL);

  ddebug_format_uuid (text, uuid);
  cursor->uuid = g_string_free (text, FALSE);
  cursor->path = g_strconcat (log_path, ".cursor", NULL);
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
  g_free (cursor->contents);
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
               "%s: is damaged: %s; remove it to consume the log from its oldest message", cursor->path, what);
  return FALSE;
}

/* "next 3" and the like: a word and the id of a stream. */
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
  else
    return set_damaged (cursor, key, error);
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
parse_file (DdebugCursor *cursor, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (GError) why = NULL;
  g_autofree char *uuid = NULL;
  g_auto (GStrv) groups = NULL;

  g_hash_table_remove_all (cursor->groups);
  if (cursor->len == 0)
    return TRUE;
  if (!g_key_file_load_from_data (file, cursor->contents, cursor->len, G_KEY_FILE_NONE, &why))
    return set_damaged (cursor, why->message, error);
  uuid = g_key_file_get_string (file, "log", "uuid", &why);
  if (!uuid)
    return set_damaged (cursor, why->message, error);
  if (strcmp (uuid, cursor->uuid) != 0)
    {
      if (!cursor->ours)
        return TRUE;
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_REFUSED,
                   "%s: belongs to another log now, the file was replaced; start again to consume that one",
                   cursor->path);
      return FALSE;
    }
  groups = g_key_file_get_groups (file, NULL);
  for (char **name = groups; *name; name++)
    if (strcmp (*name, "log") != 0 && !parse_group (cursor, file, *name, error))
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
load (DdebugCursor *cursor, GError **error)
{
  g_autofree char *contents = NULL;
  struct stat st;
  gssize n;

  if (fstat (cursor->fd, &st) != 0)
    return set_errno (cursor, errno, error);
  if (!S_ISREG (st.st_mode) || st.st_nlink > 1 || st.st_size > CURSOR_MAX)
    {
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_NOT_A_FILE,
                   "%s: is not a cursor (a plain file of its own); move it out of the way", cursor->path);
      return FALSE;
    }
  contents = g_malloc (st.st_size + 1);
  n = pread (cursor->fd, contents, st.st_size, 0);
  if (n < 0)
    return set_errno (cursor, errno, error);
  if (cursor->ours && (gsize) n == cursor->len && memcmp (contents, cursor->contents, n) == 0)
    return TRUE;
  g_free (cursor->contents);
  cursor->contents = g_steal_pointer (&contents);
  cursor->len = n;
  return parse_file (cursor, error);
}

/* ---- locking ---- */

static gboolean
open_cursor (DdebugCursor *cursor, GError **error)
{
  int code;

  cursor->fd = open (cursor->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
  if (cursor->fd >= 0)
    return TRUE;
  code = errno;
  if (code == ELOOP || code == EISDIR || code == ENXIO)
    g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_NOT_A_FILE,
                 "%s: is not a cursor (a plain file of its own); move it out of the way", cursor->path);
  else if (code == EACCES || code == EPERM || code == EROFS)
    g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_ACCESS,
                 "%s: %s; --pipe keeps its place in this file: make it, or its directory, writable for you, "
                 "or use --follow, which keeps none",
                 cursor->path, g_strerror (code));
  else
    return set_errno (cursor, code, error);
  return FALSE;
}

static void
close_cursor (DdebugCursor *cursor)
{
  /* Unlocked before it is closed: who waits for the close then finds it free. */
  struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

  fcntl (cursor->fd, F_OFD_SETLK, &lock);
  close (cursor->fd);
  cursor->fd = -1;
}

DdebugCursorResult
ddebug_cursor_lock (DdebugCursor *cursor, GError **error)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

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
    }
}

static GString *
print_file (DdebugCursor *cursor, guint32 oldest_epoch)
{
  GString *text = g_string_new (NULL);
  GHashTableIter iter;
  gpointer name;
  Group *group;

  g_string_append_printf (text, "# where ddebug-host --pipe has come to\n[log]\nuuid=%s\n", cursor->uuid);
  g_hash_table_iter_init (&iter, cursor->groups);
  while (g_hash_table_iter_next (&iter, &name, (gpointer *) &group))
    if (group->epoch >= oldest_epoch)
      print_group (text, name, group);
    else
      g_hash_table_iter_remove (&iter);
  while (text->len < cursor->len)
    g_string_append_c (text, '\n');
  return text;
}

static gboolean
save (DdebugCursor *cursor, guint32 oldest_epoch, GError **error)
{
  GString *text = print_file (cursor, oldest_epoch);
  gssize n = pwrite (cursor->fd, text->str, text->len, 0);
  int code = errno;
  gboolean done = n == (gssize) text->len;

  g_free (cursor->contents);
  cursor->len = text->len;
  cursor->contents = g_string_free (text, FALSE);
  cursor->dirty = FALSE;
  return done || set_errno (cursor, n < 0 ? code : ENOSPC, error);
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
ddebug_cursor_touch (DdebugCursor *cursor, const DdebugLife *life)
{
  Group *group = g_hash_table_lookup (cursor->groups, life->name);

  if (group && group->epoch < life->epoch)
    {
      group->epoch = life->epoch;
      cursor->dirty = TRUE;
    }
}

gboolean
ddebug_cursor_get (DdebugCursor *cursor, const DdebugStream *stream, DdebugPlace *place)
{
  Group *group = g_hash_table_lookup (cursor->groups, stream->life->name);
  DdebugPlace *found = group ? g_hash_table_lookup (group->places, GUINT_TO_POINTER (stream->id)) : NULL;

  if (found)
    *place = *found;
  return found != NULL;
}

void
ddebug_cursor_set (DdebugCursor *cursor, const DdebugStream *stream, const DdebugPlace *place)
{
  Group *group = get_group (cursor, stream->life->name);

  group->epoch = MAX (group->epoch, stream->life->epoch);
  *get_place (group, stream->id) = *place;
  cursor->dirty = TRUE;
}
