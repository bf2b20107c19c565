/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * --trace, --follow and --pipe.
 *
 * A round reads all logs that have something new to their end and prints it.  --trace is one round;
 * the others start one each time a log changes.
 *
 * Within a round, several logs are merged by the host's time of their messages; each log stays in its
 * own order.  If one log is flooded, its round stops before its end, so that the others need not wait.
 *
 * --pipe holds the cursor's lock for each round.  The position in a stream is recorded only for lines
 * that standard output has accepted completely, not for a line in which a write ended.  Positions are
 * saved after each write, so a tool that is killed has written at most one batch that is not recorded.
 */
#include "ddebug-show.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ddebug-domain-set.h"
#include "ddebug-format.h"
#include "ddebug-output.h"
#include "ddebug-source.h"

/*
 * Bytes that are formatted before they are written: amortizes write(), and bounds memory and what is
 * printed again after a SIGKILL.
 */
#define BATCH (64u << 10)

/* A formatted line: its end in the batch, and the position in its stream after it. */
typedef struct
{
  gsize end;
  DdebugSource *source;
  DdebugMergerStream *stream;
  DdebugPlace place;
} Line;

typedef struct
{
  DdebugWait *wait;
  GPtrArray *sources;       /* of DdebugSource */
  DdebugDomainSet *domains; /* adds and removes sources; NULL unless --all */
  GPtrArray *round;         /* of DdebugSource, not owned: those in this round */
  GPtrArray *heads;         /* those in the round that have an item */
  gboolean names;           /* prefix each line with the log's name */
  GString *text;
  GString *item;
  GArray *lines;
  int status;
  gboolean done;
} Show;

static void
stop (Show *show, int status)
{
  show->done = TRUE;
  show->status = status;
}

/* ---- a batch ---- */

static void
record_lines (Show *show, gsize written)
{
  for (guint i = 0; i < show->lines->len; i++)
    {
      const Line *line = &g_array_index (show->lines, Line, i);

      if (line->end > written)
        break;
      ddebug_cursor_set (line->source->cursor, line->stream, &line->place);
    }
  g_array_set_size (show->lines, 0);
}

static void
save_places (Show *show)
{
  for (guint i = 0; i < show->round->len; i++)
    {
      DdebugSource *source = g_ptr_array_index (show->round, i);
      g_autoptr (GError) error = NULL;

      if (source->cursor && !ddebug_cursor_save (source->cursor, &error))
        stop (show, ddebug_host_fail (error));
    }
}

static void
write_batch (Show *show)
{
  g_autoptr (GError) error = NULL;
  gsize written;
  DdebugOutputResult result
      = ddebug_output_write (show->wait, STDOUT_FILENO, show->text->str, show->text->len, &written, &error);

  record_lines (show, written);
  g_string_truncate (show->text, 0);
  if (result == DDEBUG_OUTPUT_ERROR)
    stop (show, ddebug_host_fail (error));
  else if (result != DDEBUG_OUTPUT_OK)
    stop (show, DDEBUG_EXIT_OK);
  save_places (show);
}

/* Append the item, each line prefixed with the name of its log. */
static void
add_names (Show *show, const DdebugSource *source)
{
  const char *line = show->item->str, *end = line + show->item->len;

  while (line < end)
    {
      const char *newline = memchr (line, '\n', end - line);
      const char *next = newline ? newline + 1 : end;

      ddebug_escape (show->text, source->name, strlen (source->name),
                     source->format.utf8 ? DDEBUG_ESCAPE_UTF8 : 0, 0);
      g_string_append (show->text, ": ");
      g_string_append_len (show->text, line, next - line);
      line = next;
    }
}

static void
format_item (Show *show, DdebugSource *source)
{
  if (source->options->json)
    {
      ddebug_json_item (&source->json, ddebug_reader_super (source->reader), &source->item, show->text);
      return;
    }
  if (!show->names)
    {
      ddebug_format_item (&source->format, &source->item, show->text);
      return;
    }
  g_string_truncate (show->item, 0);
  ddebug_format_item (&source->format, &source->item, show->item);
  add_names (show, source);
}

/* Format the item if it passes the filter.  Record it in any case: --pipe consumes what it does not show. */
static void
add_item (Show *show, DdebugSource *source)
{
  if (!source->filter || ddebug_source_is_shown (source))
    format_item (show, source);
  if (source->cursor && source->item.stream)
    {
      const DdebugMergerStream *stream = source->item.stream;
      Line line = {
        .end = show->text->len,
        .source = source,
        .stream = source->item.stream,
        .place = { stream->next, stream->recursed, stream->torn, stream->instance->nostream,
                   stream->instance->missed },
      };

      g_array_append_val (show->lines, line);
    }
}

/* ---- a round ---- */

/* The index of the earliest head; *@limit: the time of the next one. */
static guint
choose_head (Show *show, guint64 *limit)
{
  guint64 first = G_MAXUINT64;
  guint chosen = 0;

  *limit = G_MAXUINT64;
  for (guint i = 0; i < show->heads->len; i++)
    {
      guint64 key = ((DdebugSource *) g_ptr_array_index (show->heads, i))->key;

      if (key < first || i == 0)
        {
          *limit = first;
          first = key;
          chosen = i;
        }
      else
        *limit = MIN (*limit, key);
    }
  return chosen;
}

/* Print the earliest item, and those that follow in the same log before any of the others. */
static void
print_head (Show *show)
{
  guint64 limit;
  guint chosen = choose_head (show, &limit);
  DdebugSource *source = g_ptr_array_index (show->heads, chosen);
  gboolean more;

  do
    {
      add_item (show, source);
      if (ddebug_wait_signal ())
        stop (show, DDEBUG_EXIT_OK);
      else if (show->text->len >= BATCH)
        write_batch (show);
      if (show->done)
        return;
      more = ddebug_source_next (source);
    }
  while (more && source->key <= limit);
  if (!more)
    g_ptr_array_remove_index (show->heads, chosen);
}

static void
print_round (Show *show)
{
  g_ptr_array_set_size (show->round, 0);
  g_ptr_array_set_size (show->heads, 0);
  for (guint i = 0; i < show->sources->len; i++)
    if (ddebug_source_start (g_ptr_array_index (show->sources, i)))
      g_ptr_array_add (show->round, g_ptr_array_index (show->sources, i));
  for (guint i = 0; i < show->round->len; i++)
    if (ddebug_source_next (g_ptr_array_index (show->round, i)))
      g_ptr_array_add (show->heads, g_ptr_array_index (show->round, i));
  while (!show->done && show->heads->len > 0)
    print_head (show);
  if (!show->done)
    write_batch (show);
  for (guint i = 0; i < show->round->len; i++)
    ddebug_source_end (g_ptr_array_index (show->round, i));
}

/* ---- rounds ---- */

static void
wait_for_more (Show *show)
{
  int timeout = show->domains ? ddebug_domain_set_timeout (show->domains) : -1;
  guint wake;

  for (guint i = 0; i < show->sources->len; i++)
    {
      int one = ddebug_source_timeout (g_ptr_array_index (show->sources, i));

      if (one >= 0)
        timeout = timeout < 0 ? one : MIN (timeout, one);
    }
  wake = ddebug_host_wait (show->wait, timeout);
  if (wake & (DDEBUG_WAKE_SIGNAL | DDEBUG_WAKE_OUTPUT))
    {
      stop (show, DDEBUG_EXIT_OK);
      return;
    }
  if (show->domains)
    ddebug_domain_set_wake (show->domains, wake);
  for (guint i = 0; i < show->sources->len; i++)
    ddebug_source_wake (g_ptr_array_index (show->sources, i));
}

/* Whether all have ended; *@status: the first that is not OK. */
static gboolean
have_ended (Show *show, int *status)
{
  *status = DDEBUG_EXIT_OK;
  /* Domains can still come, unless --until has passed. */
  if (show->domains && !ddebug_domain_set_has_ended (show->domains))
    return FALSE;
  for (guint i = 0; i < show->sources->len; i++)
    {
      const DdebugSource *source = g_ptr_array_index (show->sources, i);

      if (!source->ended)
        return FALSE;
      if (*status == DDEBUG_EXIT_OK)
        *status = source->status;
    }
  return TRUE;
}

/*
 * Each log takes a descriptor, and its cursor another.  The soft limit protects users of select(),
 * which we are not.
 */
static void
allow_descriptors (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max)
    {
      limit.rlim_cur = limit.rlim_max;
      setrlimit (RLIMIT_NOFILE, &limit);
    }
}

int
ddebug_host_show (const DdebugOptions *options, DdebugShow kind, DdebugWait *wait)
{
  g_autoptr (GError) error = NULL;
  Show show = {
    .wait = wait,
    .sources = g_ptr_array_new_with_free_func ((GDestroyNotify) ddebug_source_free),
    .round = g_ptr_array_new (),
    .heads = g_ptr_array_new (),
    .names = options->n_paths > 1 || options->all,
    .text = g_string_sized_new (BATCH),
    .item = g_string_new (NULL),
    .lines = g_array_new (FALSE, FALSE, sizeof (Line)),
  };

  if (show.names)
    allow_descriptors ();
  for (guint i = 0; i < options->n_paths; i++)
    g_ptr_array_add (show.sources, ddebug_source_new (options, kind, wait, options->paths[i],
                                                      options->names[i]));
  if (options->all && !(show.domains = ddebug_domain_set_new (options, kind, wait, show.sources, &error)))
    stop (&show, ddebug_host_fail (error));
  while (!show.done)
    {
      print_round (&show);
      if (show.done || have_ended (&show, &show.status))
        break;
      wait_for_more (&show);
    }
  g_ptr_array_unref (show.heads);
  g_ptr_array_unref (show.round);
  g_ptr_array_unref (show.sources);
  ddebug_domain_set_free (show.domains);
  g_string_free (show.text, TRUE);
  g_string_free (show.item, TRUE);
  g_array_unref (show.lines);
  if (ddebug_wait_signal ())
    ddebug_wait_die_by_signal ();
  return show.status;
}
