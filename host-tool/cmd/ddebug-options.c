/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of ddebug-host: parsing it and checking which options can be combined. */
#include "ddebug-options.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ddebug-common.h"

static int G_GNUC_PRINTF (1, 2)
fail_usage (const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  ddebug_host_say ("%s", text);
  ddebug_host_say ("try 'ddebug-host --help'");
  return DDEBUG_EXIT_USAGE;
}

enum { NOT_VALUED = -1, BOOT };

/*
 * The options that take a value; alone: what the option without a value stands for, NULL: the value
 * is required.
 */
static const struct
{
  const char *name;
  char letter;
  const char *alone;
} valued[] = {
  [BOOT] = { "boot", 'b', "--boot=0" },
  { "size", 0, "--show-size" },
  { "since", 'S', NULL },
  { "until", 'U', NULL },
  { "cpu", 0, NULL },
  { "grep", 'g', NULL },
  { "case-sensitive", 0, "--case-sensitive=yes" },
  { "query", 0, NULL },
  { "output", 'o', NULL },
  { "connect", 'c', NULL },
  { "log", 0, NULL },
  { "log-size", 0, NULL },
  { "plugin", 0, NULL },
};

static int
find_valued (const char *name, gsize len, char letter)
{
  for (guint i = 0; i < G_N_ELEMENTS (valued); i++)
    if (letter ? valued[i].letter == letter
               : strlen (valued[i].name) == len && memcmp (valued[i].name, name, len) == 0)
      return i;
  return NOT_VALUED;
}

/*
 * Append option @which, whose word @whole has no value in it, to @out; TRUE if @next, which may be
 * NULL, is its value.  As in journalctl, the word after --boot is its value if it can be one: -b -1.
 */
static gboolean
add_valued (GPtrArray *out, int which, const char *whole, const char *next)
{
  DdebugBootName name;

  if (which == BOOT && next && (strcmp (next, "all") == 0 || ddebug_boot_name_parse (next, &name)))
    {
      g_ptr_array_add (out, g_strconcat ("--boot=", next, NULL));
      return TRUE;
    }
  g_ptr_array_add (out, g_strdup (valued[which].alone ? valued[which].alone : whole));
  if (valued[which].alone || !next)
    return FALSE;
  g_ptr_array_add (out, g_strdup (next));
  return TRUE;
}

static gboolean
add_long (GPtrArray *out, const char *word, const char *next, gboolean *took_next, GError **error)
{
  gsize len = strcspn (word + 2, "=");
  int which = find_valued (word + 2, len, 0);

  if (which != NOT_VALUED && !word[2 + len])
    *took_next = add_valued (out, which, word, next);
  else if (which == NOT_VALUED && word[2 + len])
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s: --%.*s is unknown or takes no value",
                   word, (int) len, word + 2);
      return FALSE;
    }
  else
    g_ptr_array_add (out, g_strdup (word));
  return TRUE;
}

/* "-qb", "-qb-1": letters up to the first that takes a value, which can follow in the same word. */
static gboolean
add_short (GPtrArray *out, const char *word, const char *next)
{
  for (const char *letter = word + 1; *letter; letter++)
    {
      int which = find_valued (NULL, 0, *letter);
      g_autofree char *name = g_strdup_printf ("--%s", which == NOT_VALUED ? "" : valued[which].name);

      if (which == NOT_VALUED)
        continue;
      if (letter > word + 1)
        g_ptr_array_add (out, g_strndup (word, letter - word));
      if (!letter[1])
        return add_valued (out, which, name, next);
      g_ptr_array_add (out, g_strconcat (name, "=", letter + 1, NULL));
      return FALSE;
    }
  g_ptr_array_add (out, g_strdup (word));
  return FALSE;
}

/*
 * Rewrite the words for GOption, which would take the word after a bare --size as its value, that
 * after --boot only if it has no dash, and would silently ignore a value of an option without one.
 */
static char **
normalize_values (char **argv, GError **error)
{
  g_autoptr (GPtrArray) out = g_ptr_array_new_with_free_func (g_free);
  gboolean options = TRUE;

  for (char **word = argv; *word; word++)
    {
      gboolean took_next = FALSE;

      options = options && strcmp (*word, "--") != 0;
      if (word == argv || !options || (*word)[0] != '-')
        g_ptr_array_add (out, g_strdup (*word));
      else if ((*word)[1] != '-')
        took_next = add_short (out, *word, word[1]);
      else if (!add_long (out, *word, word[1], &took_next, error))
        return NULL;
      word += took_next;
    }
  g_ptr_array_add (out, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&out), FALSE);
}

static gboolean
parse (char **argv, DdebugArguments *a, GError **error)
{
  /*
   * Take values as bytes, not in the locale's character set: the parser of each reports what is
   * wrong with it.
   */
  const GOptionEntry entries[] = {
    { "trace", 't', 0, G_OPTION_ARG_NONE, &a->trace, NULL, NULL },
    { "follow", 'f', 0, G_OPTION_ARG_NONE, &a->follow, NULL, NULL },
    { "pipe", 'p', 0, G_OPTION_ARG_NONE, &a->pipe, NULL, NULL },
    { "info", 'i', 0, G_OPTION_ARG_NONE, &a->info, NULL, NULL },
    { "list-boots", 0, 0, G_OPTION_ARG_NONE, &a->list_boots, NULL, NULL },
    { "last-words", 0, 0, G_OPTION_ARG_NONE, &a->last_words, NULL, NULL },
    { "show-size", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &a->show_size, NULL, NULL },
    { "size", 0, 0, G_OPTION_ARG_FILENAME, &a->size, NULL, NULL },
    { "clear", 0, 0, G_OPTION_ARG_NONE, &a->clear, NULL, NULL },
    { "boot", 0, 0, G_OPTION_ARG_FILENAME, &a->boot, NULL, NULL },
    { "since", 0, 0, G_OPTION_ARG_FILENAME, &a->since, NULL, NULL },
    { "until", 0, 0, G_OPTION_ARG_FILENAME, &a->until, NULL, NULL },
    { "cpu", 0, 0, G_OPTION_ARG_FILENAME, &a->cpu, NULL, NULL },
    { "grep", 0, 0, G_OPTION_ARG_FILENAME, &a->grep, NULL, NULL },
    { "case-sensitive", 0, 0, G_OPTION_ARG_FILENAME, &a->case_sensitive, NULL, NULL },
    { "query", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &a->query, NULL, NULL },
    { "wait", 'w', 0, G_OPTION_ARG_NONE, &a->wait, NULL, NULL },
    { "callsite", 'C', 0, G_OPTION_ARG_NONE, &a->callsite, NULL, NULL },
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &a->output, NULL, NULL },
    { "connect", 'c', 0, G_OPTION_ARG_FILENAME, &a->connect, NULL, NULL },
    { "list", 0, 0, G_OPTION_ARG_NONE, &a->list, NULL, NULL },
    { "all", 'a', 0, G_OPTION_ARG_NONE, &a->all, NULL, NULL },
    { "attach", 0, 0, G_OPTION_ARG_NONE, &a->attach, NULL, NULL },
    { "detach", 0, 0, G_OPTION_ARG_NONE, &a->detach, NULL, NULL },
    { "log", 0, 0, G_OPTION_ARG_FILENAME, &a->log, NULL, NULL },
    { "log-size", 0, 0, G_OPTION_ARG_FILENAME, &a->log_size, NULL, NULL },
    { "plugin", 0, 0, G_OPTION_ARG_FILENAME, &a->plugin, NULL, NULL },
    { "yes", 'y', 0, G_OPTION_ARG_NONE, &a->yes, NULL, NULL },
    { "raw", 0, 0, G_OPTION_ARG_NONE, &a->raw, NULL, NULL },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &a->quiet, NULL, NULL },
    { "help", 'h', 0, G_OPTION_ARG_NONE, &a->help, NULL, NULL },
    { "version", 'V', 0, G_OPTION_ARG_NONE, &a->version, NULL, NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &a->files, NULL, NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_auto (GStrv) normalized = normalize_values (argv, error);

  if (!normalized)
    return FALSE;
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_add_main_entries (context, entries, NULL);
  return g_option_context_parse_strv (context, &normalized, error);
}

int
ddebug_arguments_parse (char **argv, DdebugArguments *a)
{
  g_auto (GStrv) words = g_strdupv (argv);
  g_autoptr (GError) error = NULL;

  return parse (words, a, &error) ? DDEBUG_EXIT_OK : fail_usage ("%s", error->message);
}

void
ddebug_arguments_clear (DdebugArguments *a)
{
  g_strfreev (a->files);
  g_free (a->boot);
  g_free (a->since);
  g_free (a->until);
  g_free (a->cpu);
  g_free (a->grep);
  g_free (a->case_sensitive);
  g_strfreev (a->query);
  g_free (a->output);
  g_free (a->connect);
  g_free (a->log);
  g_free (a->log_size);
  g_free (a->plugin);
  g_free (a->size);
}

/* N, optionally with suffix K, M, G or T for powers of 1024. */
static gboolean
parse_size (const char *text, guint64 *bytes)
{
  static const char units[] = "KMGT";
  const char *unit;
  char *end;

  if (!g_ascii_isdigit (*text))
    return FALSE;
  errno = 0;
  *bytes = g_ascii_strtoull (text, &end, 10);
  if (errno)
    return FALSE;
  if (*end == '\0')
    return TRUE;
  unit = strchr (units, g_ascii_toupper (*end));
  if (!unit || end[1] != '\0' || *bytes > G_MAXUINT64 >> 10 * (unit - units + 1))
    return FALSE;
  *bytes <<= 10 * (unit - units + 1);
  return TRUE;
}

gboolean
ddebug_arguments_is_json (const DdebugArguments *a)
{
  return a->output && strcmp (a->output, "json") == 0;
}

static int
check_size (const char *option, const char *text, guint64 *size)
{
  if (!text)
    return DDEBUG_EXIT_OK;
  if (!parse_size (text, size))
    return fail_usage ("--%s=%s: invalid size; use a number of bytes, or a number with suffix K, M, G or T",
                       option, text);
  if (*size < DDEBUG_LOG_SIZE_MIN || *size > DDEBUG_LOG_SIZE_MAX)
    return fail_usage ("--%s=%s: too %s; the size must be 1M to 1024G", option, text,
                       *size < DDEBUG_LOG_SIZE_MIN ? "small" : "large");
  return DDEBUG_EXIT_OK;
}

/* Rules for --attach, --detach, --list and --all. */
static int
check_domains (const DdebugArguments *a, gboolean shows)
{
  gboolean changes = a->attach || a->detach;

  if (a->all && !shows)
    return fail_usage ("--all works only with --trace, --follow and --pipe; --list lists the domains");
  if ((a->all || a->list) && a->files)
    return fail_usage ("%s: --%s takes no SOURCE; it covers all domains", a->files[0],
                       a->all ? "all" : "list");
  if (changes && (!a->files || a->files[1]))
    return fail_usage ("--%s takes one DOMAIN: its name, id or UUID", a->attach ? "attach" : "detach");
  if ((a->log || a->log_size || a->plugin) && !a->attach)
    return fail_usage ("--%s works only with --attach", a->log ? "log" : a->log_size ? "log-size" : "plugin");
  if (a->yes && !changes)
    return fail_usage ("--yes works only with --attach and --detach");
  if (changes && !a->yes && !isatty (STDIN_FILENO))
    return fail_usage ("--%s asks for confirmation, but standard input is not a terminal; use --yes",
                       a->attach ? "attach" : "detach");
  return DDEBUG_EXIT_OK;
}

int
ddebug_arguments_check (const DdebugArguments *a, guint64 *size)
{
  int commands = a->trace + a->follow + a->pipe + a->info + a->list_boots + a->last_words + a->show_size
                 + a->clear + (a->size != NULL) + a->list + a->attach + a->detach;
  gboolean shows = a->trace || a->follow || a->pipe || commands == 0;
  int status;

  if (commands > 1)
    return fail_usage ("--trace, --follow, --pipe, --info, --list-boots, --last-words, --size, --clear, "
                       "--list, --attach and --detach are mutually exclusive; use only one");
  status = check_domains (a, shows);
  if (status != DDEBUG_EXIT_OK)
    return status;
  if (!a->files && !a->all && !a->list)
    return fail_usage ("no SOURCE; give the log file (the device's file= property) or a libvirt domain");
  if ((a->pipe || a->size || a->clear) && a->files && g_strv_contains ((const char *const *) a->files, "-"))
    return fail_usage ("-: --pipe, --size= and --clear need the log itself, not standard input");
  if (a->files && a->files[1] && !shows && !a->info)
    return fail_usage ("%s: --list-boots, --last-words, --size and --clear take one SOURCE%s", a->files[1],
                       a->show_size ? "; to set the size, write --size=32M" : "");
  if ((a->quiet || a->raw || (a->callsite && !a->last_words)) && !shows)
    return fail_usage ("%s works only with --trace, --follow and --pipe",
                       a->quiet ? "--quiet" : a->raw ? "--raw" : "--callsite");
  /* A terminal would execute control sequences that the guest wrote. */
  if (a->raw && isatty (STDOUT_FILENO))
    return fail_usage ("--raw: standard output is a terminal, which a guest's bytes could control; "
                       "redirect it to a file or a pipe, or omit --raw");
  if (a->output && strcmp (a->output, "text") != 0 && !ddebug_arguments_is_json (a))
    return fail_usage ("--output=%s: unknown format; use text or json", a->output);
  if (ddebug_arguments_is_json (a) && !shows && !a->list_boots && !a->list)
    return fail_usage ("--output=json works only with --trace, --follow, --pipe, --list-boots and --list");
  if (ddebug_arguments_is_json (a) && a->raw)
    return fail_usage ("--raw cannot be used with --output=json, which keeps all bytes anyway; omit it");
  if (a->boot && !shows && !a->last_words)
    return fail_usage ("--boot works only with --trace, --follow, --pipe and --last-words");
  if ((a->since || a->until) && !shows && !a->list_boots)
    return fail_usage ("--%s works only with --trace, --follow, --pipe and --list-boots",
                       a->since ? "since" : "until");
  if ((a->cpu || a->grep || a->query) && !shows)
    return fail_usage ("--%s works only with --trace, --follow and --pipe",
                       a->cpu ? "cpu" : a->grep ? "grep" : "query");
  if (a->case_sensitive && !a->grep)
    return fail_usage ("--case-sensitive works only with --grep");
  if (a->until && a->pipe)
    return fail_usage ("--until cannot be used with --pipe, which would consume later messages unseen; "
                       "use --trace or --follow");
  if (a->wait && !shows && !a->info)
    return fail_usage ("--wait works only with --trace, --follow, --pipe and --info");
  status = check_size ("size", a->size, size);
  return status != DDEBUG_EXIT_OK ? status : check_size ("log-size", a->log_size, size);
}

static gboolean
set_grep (const DdebugArguments *a, DdebugFilter *filter, GError **error)
{
  DdebugCase sensitive = DDEBUG_CASE_AUTO;

  if (a->case_sensitive && strcmp (a->case_sensitive, "yes") == 0)
    sensitive = DDEBUG_CASE_SENSITIVE;
  else if (a->case_sensitive && strcmp (a->case_sensitive, "no") == 0)
    sensitive = DDEBUG_CASE_INSENSITIVE;
  else if (a->case_sensitive)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--case-sensitive=%s: use yes or no",
                   a->case_sensitive);
      return FALSE;
    }
  return ddebug_filter_set_grep (filter, a->grep, sensitive, error);
}

static gboolean
set_filter (const DdebugArguments *a, DdebugFilter *filter, GError **error)
{
  gint64 now = g_get_real_time ();

  if ((a->boot && !ddebug_filter_set_boot (filter, a->boot, error))
      || (a->since && !ddebug_filter_set_since (filter, a->since, now, error))
      || (a->until && !ddebug_filter_set_until (filter, a->until, now, error))
      || (a->cpu && !ddebug_filter_set_cpus (filter, a->cpu, error))
      || (a->grep && !set_grep (a, filter, error)))
    return FALSE;
  for (char **query = a->query; query && *query; query++)
    if (!ddebug_filter_add_query (filter, *query, error))
      return FALSE;
  if (ddebug_filter_is_possible (filter))
    return TRUE;
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--since=%s is after --until=%s; swap them",
               a->since, a->until);
  return FALSE;
}

int
ddebug_arguments_make_filter (const DdebugArguments *a, DdebugFilter **filter)
{
  g_autoptr (DdebugFilter) made = ddebug_filter_new ();
  g_autoptr (GError) error = NULL;

  if (!a->boot && !a->since && !a->until && !a->cpu && !a->grep && !a->query)
    return DDEBUG_EXIT_OK;
  if (!set_filter (a, made, &error))
    return fail_usage ("%s", error->message);
  *filter = g_steal_pointer (&made);
  return DDEBUG_EXIT_OK;
}
