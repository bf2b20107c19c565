/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ddebug-host: options and commands.
 */
#include "ddebug-host.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ddebug-format.h"
#include "ddebug-output.h"
#include "ddebug-request.h"
#include "ddebug_version.h"

typedef struct
{
  gboolean trace;
  gboolean pipe;
  gboolean follow;
  gboolean info;
  gboolean list_boots;
  gboolean last_words;
  gboolean show_size;
  char *size;
  gboolean clear;
  char *boot;
  char *since;
  char *until;
  char *cpu;
  char *grep;
  char *case_sensitive;
  char **query;
  char *output;
  char *connect;
  gboolean list;
  gboolean all;
  gboolean attach;
  gboolean detach;
  char *log;
  char *log_size;
  char *plugin;
  gboolean yes;
  gboolean wait;
  gboolean callsite;
  gboolean raw;
  gboolean quiet;
  gboolean help;
  gboolean version;
  char **files;
} Arguments;

/* ---- errors ---- */

static void
say (const char *text)
{
  fprintf (stderr, "ddebug-host: %s\n", text);
}

/* Names of files may hold anything, as guests' texts may. */
void
ddebug_host_say (const char *format, ...)
{
  g_autoptr (GString) safe = g_string_new (NULL);
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  ddebug_escape (safe, text, strlen (text), g_get_charset (NULL) ? DDEBUG_ESCAPE_UTF8 : 0, 0);
  say (safe->str);
}

static int
exit_of_log (DdebugLogError code)
{
  switch (code)
    {
    case DDEBUG_LOG_ERROR_NOT_FOUND:
    case DDEBUG_LOG_ERROR_PERMISSION:
    case DDEBUG_LOG_ERROR_NOT_A_FILE:
    case DDEBUG_LOG_ERROR_LINKED:
      return DDEBUG_EXIT_ACCESS;
    case DDEBUG_LOG_ERROR_EMPTY:
    case DDEBUG_LOG_ERROR_FORMAT:
    case DDEBUG_LOG_ERROR_VERSION:
    case DDEBUG_LOG_ERROR_DAMAGED:
      return DDEBUG_EXIT_FORMAT;
    case DDEBUG_LOG_ERROR_OWNER:
    case DDEBUG_LOG_ERROR_BUSY:
    case DDEBUG_LOG_ERROR_SIZE:
    case DDEBUG_LOG_ERROR_SHM:
    case DDEBUG_LOG_ERROR_SPACE:
    case DDEBUG_LOG_ERROR_IO:
    default:
      return DDEBUG_EXIT_IO;
    }
}

int
ddebug_host_fail (const GError *error)
{
  ddebug_host_say ("%s", error->message);
  if (error->domain == DDEBUG_LOG_ERROR)
    return exit_of_log (error->code);
  if (error->domain != DDEBUG_ERROR)
    return DDEBUG_EXIT_IO;
  switch ((DdebugError) error->code)
    {
    case DDEBUG_ERROR_NOT_FOUND:
    case DDEBUG_ERROR_ACCESS:
    case DDEBUG_ERROR_NOT_A_FILE:
      return DDEBUG_EXIT_ACCESS;
    case DDEBUG_ERROR_FORMAT:
    case DDEBUG_ERROR_DAMAGED:
      return DDEBUG_EXIT_FORMAT;
    case DDEBUG_ERROR_REFUSED:
      return DDEBUG_EXIT_REFUSED;
    case DDEBUG_ERROR_BOOT:
      return DDEBUG_EXIT_BOOT;
    case DDEBUG_ERROR_IO:
    case DDEBUG_ERROR_LIBVIRT:
    default:
      return DDEBUG_EXIT_IO;
    }
}

static int G_GNUC_PRINTF (1, 2)
fail_usage (const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  ddebug_host_say ("%s", text);
  say ("try 'ddebug-host --help'");
  return DDEBUG_EXIT_USAGE;
}

/* ---- help ---- */

typedef struct
{
  const char *name;
  const char *help;
} HelpLine;

static const HelpLine help_commands[] = {
  { "-t, --trace", "print all messages that are in the log, and end (default)" },
  { "-f, --follow", "print all messages, then new ones as they come" },
  { "-p, --pipe", "as --follow, and consume: each message is printed once," },
  { NULL, "by one of all --pipe on this log; the place is kept in FILE.cursor" },
  { "-i, --info", "say what the log is, what is in it, received, lost and damaged" },
  { "    --list-boots", "list the boots that are in the log, and how they ended" },
  { "    --last-words", "say how the VM and its guest ended: the last messages of each CPU," },
  { NULL, "and the end of the kernel's log if it oopsed or panicked" },
  { "    --size", "print the size of the log" },
  { "    --size=N[K|M|G|T]", "change it, 1M to 1024G; while the VM runs, too" },
  { "    --clear", "hide all messages that are in the log" },
  { "-h, --help", "print this and end" },
  { "-V, --version", "print the version and end" },
};

static const HelpLine help_domains[] = {
  { "    --list", "list the domains that have a log: state, size, boots, last message" },
  { "-a, --all", "show all domains, each line with its VM's name, while VMs come and go" },
  { "    --attach DOMAIN", "give a domain the device: shows what would be changed, and asks" },
  { "    --detach DOMAIN", "take it away again; the log stays" },
  { "-c, --connect=URI", "of libvirt, as for virsh: qemu:///system, qemu:///session" },
  { "    --log=FILE", "with --attach: the log; without it, in a folder of libvirt's user" },
  { "    --log-size=N[K|M|G|T]", "with --attach: its size" },
  { "    --plugin=FILE", "with --attach: the device, if QEMU has it not inside" },
  { "-y, --yes", "with --attach and --detach: do not ask" },
};

static const HelpLine help_filters[] = {
  { "-b, --boot[=BOOT]", "of one boot: 0 or nothing is the newest, -1 the one before, 1 the" },
  { NULL, "oldest, or an id of --list-boots, or ID-1, ID+1; also --last-words" },
  { "-S, --since=TIME", "taken by the host at TIME or later: \"2026-11-24 10:00\", 10:00:05.123," },
  { NULL, "yesterday, today, now, -1h, \"5min ago\", @1700000000; also --list-boots" },
  { "-U, --until=TIME", "or earlier; --follow ends then" },
  { "    --cpu=LIST", "of these CPUs: 0-3,7" },
  { "-g, --grep=PATTERN", "in whose text PATTERN is found, a regular expression; if it has no" },
  { NULL, "capital letters, A and a are the same in it" },
  { "    --case-sensitive[=no]", "they differ, or are the same, in any PATTERN" },
  { "    --query=QUERY", "of callsites, as in the guest's dynamic_debug/control:" },
  { NULL, "'module nfsd func svc_* line 10-20 format \"READ\"; file hub.c'" },
};

static const HelpLine help_options[] = {
  { "-w, --wait", "wait for the log to be there, and --follow and --pipe for a VM to use it" },
  { "-C, --callsite", "print module:function:line: before each message; also --last-words" },
  { "-o, --output=FORMAT", "text, or json: an object a line, for programs; also --list-boots" },
  { "    --raw", "print messages byte for byte, nothing escaped; not to a terminal" },
  { "-q, --quiet", "print messages only, no notices of losses, boots and damage" },
};

static const HelpLine help_status[] = {
  { "0", "all is well; also when the reader of the output has gone" },
  { "1", "reading or writing failed, or libvirt did" },
  { "2", "wrong usage" },
  { "3", "the log is none, empty, of another version, or too damaged to be read" },
  { "4", "it is missing, not a regular file, or not accessible; there is no such domain" },
  { "5", "a request was refused or not answered; FILE.cursor is another log's" },
  { "6", "the log has no such boot" },
  { "130, 143, 129", "ended by SIGINT (Ctrl-C), SIGTERM, SIGHUP; --pipe has kept its place" },
};

static const HelpLine help_examples[] = {
  { "ddebug-host --wait --follow vm.ddl", "start before the VM, see all" },
  { "ddebug-host --pipe vm.ddl | logger", "hand each message on once" },
  { "ddebug-host --boot=-1 vm.ddl", "see what the guest did before it rebooted" },
  { "ddebug-host --since=-5min vm.ddl", "see the last five minutes" },
  { "ddebug-host --callsite --grep=timeout vm.ddl", "search, with places in the source" },
  { "ddebug-host --query='module nfsd' vm.ddl", "see the messages of a module" },
  { "ddebug-host --size=256M vm.ddl", "keep more" },
  { "ddebug-host --attach debian", "log the libvirt domain debian" },
  { "ddebug-host --follow debian", "see its messages" },
  { "ddebug-host --all --pipe | logger", "hand on the messages of all domains" },
};

static void
add_help (GString *out, const char *title, const HelpLine *lines, guint n, int width)
{
  g_string_append_printf (out, "\n%s:\n", title);
  for (guint i = 0; i < n; i++)
    g_string_append_printf (out, " %-*s  %s\n", width, lines[i].name ? lines[i].name : "", lines[i].help);
}

static void
add_all_help (GString *out)
{
  g_string_append (out, "Usage: ddebug-host [OPTIONS] SOURCE...\n\n"
                        "Reads a log of the device virtio-ddebug: the pr_debug() and dev_dbg() messages of a\n"
                        "guest whose callsites have the dynamic debug flag 'r'.  SOURCE is the log's file, or\n"
                        "the libvirt domain: its name, id or UUID; domain:NAME where there is a file of that\n"
                        "name.  Several are shown as one, each line with its SOURCE.\n");
  add_help (out, "Commands", help_commands, G_N_ELEMENTS (help_commands), 21);
  add_help (out, "Domains of libvirt", help_domains, G_N_ELEMENTS (help_domains), 25);
  add_help (out, "What is shown by --trace, --follow and --pipe", help_filters, G_N_ELEMENTS (help_filters), 25);
  add_help (out, "Options", help_options, G_N_ELEMENTS (help_options), 20);
  add_help (out, "Exit status", help_status, G_N_ELEMENTS (help_status), 20);
  add_help (out, "Examples", help_examples, G_N_ELEMENTS (help_examples), 44);
  g_string_append (out, "\nMore: man ddebug-host\n");
}

/* ---- arguments ---- */

enum { NOT_VALUED = -1, BOOT };

/* The options that take a value; what stands for one without it, NULL if it cannot be left out. */
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
    if (letter ? valued[i].letter == letter : strlen (valued[i].name) == len && memcmp (valued[i].name, name, len) == 0)
      return i;
  return NOT_VALUED;
}

/*
 * Adds option @which without a value in its own word, @whole, to @out; TRUE if the next word, which may be NULL,
 * is its value.  As journalctl, a word behind --boot counts if it can be one: -b -1.
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
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s: no option --%.*s takes a value", word, (int) len,
                   word + 2);
      return FALSE;
    }
  else
    g_ptr_array_add (out, g_strdup (word));
  return TRUE;
}

/* "-qb", "-qb-1": letters up to one that takes a value, which may be behind it. */
static gboolean
add_short (GPtrArray *out, const char *word, const char *next)
{
  for (const char *letter = word + 1; *letter; letter++)
    {
      int which = find_valued (NULL, 0, *letter);
      g_autofree char *own = g_strdup_printf ("--%s", which == NOT_VALUED ? "" : valued[which].name);

      if (which == NOT_VALUED)
        continue;
      if (letter > word + 1)
        g_ptr_array_add (out, g_strndup (word, letter - word));
      if (!letter[1])
        return add_valued (out, which, own, next);
      g_ptr_array_add (out, g_strconcat (own, "=", letter + 1, NULL));
      return FALSE;
    }
  g_ptr_array_add (out, g_strdup (word));
  return FALSE;
}

/*
 * The words as GOption is to have them.  By itself it would take the word after a
 * bare --size for its value, one after --boot if it has no dash, and would take and
 * forget a value for an option that has none.
 */
static char **
settle_values (char **argv, GError **error)
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
parse_arguments (char **argv, Arguments *a, GError **error)
{
  /* Values are taken as bytes, not as the locale has it: what is wrong with one is said where it is read. */
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
  g_auto (GStrv) settled = settle_values (argv, error);

  if (!settled)
    return FALSE;
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_add_main_entries (context, entries, NULL);
  return g_option_context_parse_strv (context, &settled, error);
}

/* N, with K, M, G or T for powers of 1024. */
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

static gboolean
is_json (const Arguments *a)
{
  return a->output && strcmp (a->output, "json") == 0;
}

static int
check_size (const char *option, const char *text, guint64 *size)
{
  if (!text)
    return DDEBUG_EXIT_OK;
  if (!parse_size (text, size))
    return fail_usage ("--%s=%s: not a size; give bytes, or a number with K, M, G or T behind it", option, text);
  if (*size < DDEBUG_LOG_SIZE_MIN || *size > DDEBUG_LOG_SIZE_MAX)
    return fail_usage ("--%s=%s: too %s; 1M to 1024G is possible", option, text,
                       *size < DDEBUG_LOG_SIZE_MIN ? "small" : "large");
  return DDEBUG_EXIT_OK;
}

/* What --attach, --detach, --list and --all have of their own. */
static int
check_domains (const Arguments *a, gboolean shows)
{
  gboolean changes = a->attach || a->detach;

  if (a->all && !shows)
    return fail_usage ("--all goes with --trace, --follow and --pipe only; --list says what there is");
  if ((a->all || a->list) && a->files)
    return fail_usage ("%s: --%s takes no SOURCE, it takes all domains", a->files[0], a->all ? "all" : "list");
  if (changes && (!a->files || a->files[1]))
    return fail_usage ("--%s takes one DOMAIN: its name, id or UUID", a->attach ? "attach" : "detach");
  if ((a->log || a->log_size || a->plugin) && !a->attach)
    return fail_usage ("--%s goes with --attach only", a->log ? "log" : a->log_size ? "log-size" : "plugin");
  if (a->yes && !changes)
    return fail_usage ("--yes goes with --attach and --detach only");
  if (changes && !a->yes && !isatty (STDIN_FILENO))
    return fail_usage ("--%s asks before it changes anything, and standard input is no terminal; give --yes",
                       a->attach ? "attach" : "detach");
  return DDEBUG_EXIT_OK;
}

static int
check_arguments (const Arguments *a, guint64 *size)
{
  int commands = a->trace + a->follow + a->pipe + a->info + a->list_boots + a->last_words + a->show_size + a->clear
                 + (a->size != NULL) + a->list + a->attach + a->detach;
  gboolean shows = a->trace || a->follow || a->pipe || commands == 0;
  int status;

  if (commands > 1)
    return fail_usage ("--trace, --follow, --pipe, --info, --list-boots, --last-words, --size, --clear, --list, --attach and "
                       "--detach exclude each other; name one");
  status = check_domains (a, shows);
  if (status != DDEBUG_EXIT_OK)
    return status;
  if (!a->files && !a->all && !a->list)
    return fail_usage ("no SOURCE; name the log, which is the property file= of the device, or a domain of libvirt");
  if (a->files && a->files[1] && !shows && !a->info)
    return fail_usage ("%s: --list-boots, --last-words, --size and --clear take one SOURCE%s", a->files[1],
                       a->show_size ? "; a size to be set follows an equals sign: --size=32M" : "");
  if ((a->quiet || a->raw || (a->callsite && !a->last_words)) && !shows)
    return fail_usage ("%s goes with --trace, --follow and --pipe only",
                       a->quiet ? "--quiet" : a->raw ? "--raw" : "--callsite");
  /* What the guest wrote would be commands to it. */
  if (a->raw && isatty (STDOUT_FILENO))
    return fail_usage ("--raw: standard output is a terminal, which a guest's bytes could control; "
                       "redirect it to a file or a pipe, or leave --raw out");
  if (a->output && strcmp (a->output, "text") != 0 && !is_json (a))
    return fail_usage ("--output=%s: not known; give text or json", a->output);
  if (is_json (a) && !shows && !a->list_boots && !a->list)
    return fail_usage ("--output=json goes with --trace, --follow, --pipe, --list-boots and --list only");
  if (is_json (a) && a->raw)
    return fail_usage ("--raw does not go with --output=json, which keeps all bytes by itself; leave it out");
  if (a->boot && !shows && !a->last_words)
    return fail_usage ("--boot goes with --trace, --follow, --pipe and --last-words only");
  if ((a->since || a->until) && !shows && !a->list_boots)
    return fail_usage ("--%s goes with --trace, --follow, --pipe and --list-boots only", a->since ? "since" : "until");
  if ((a->cpu || a->grep || a->query) && !shows)
    return fail_usage ("--%s goes with --trace, --follow and --pipe only", a->cpu ? "cpu" : a->grep ? "grep" : "query");
  if (a->case_sensitive && !a->grep)
    return fail_usage ("--case-sensitive goes with --grep only");
  if (a->until && a->pipe)
    return fail_usage ("--until does not go with --pipe, which would consume unseen what came later; use --trace or --follow");
  if (a->wait && !shows && !a->info)
    return fail_usage ("--wait goes with --trace, --follow, --pipe and --info only");
  status = check_size ("size", a->size, size);
  return status != DDEBUG_EXIT_OK ? status : check_size ("log-size", a->log_size, size);
}

static gboolean
set_grep (const Arguments *a, DdebugFilter *filter, GError **error)
{
  DdebugCase sensitive = DDEBUG_CASE_AUTO;

  if (a->case_sensitive && strcmp (a->case_sensitive, "yes") == 0)
    sensitive = DDEBUG_CASE_SENSITIVE;
  else if (a->case_sensitive && strcmp (a->case_sensitive, "no") == 0)
    sensitive = DDEBUG_CASE_INSENSITIVE;
  else if (a->case_sensitive)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--case-sensitive=%s: give yes or no",
                   a->case_sensitive);
      return FALSE;
    }
  return ddebug_filter_set_grep (filter, a->grep, sensitive, error);
}

static gboolean
set_filter (const Arguments *a, DdebugFilter *filter, GError **error)
{
  gint64 now = g_get_real_time ();

  if ((a->boot && !ddebug_filter_set_boot (filter, a->boot, error))
      || (a->since && !ddebug_filter_set_since (filter, a->since, now, error))
      || (a->until && !ddebug_filter_set_until (filter, a->until, now, error))
      || (a->cpu && !ddebug_filter_set_cpus (filter, a->cpu, error)) || (a->grep && !set_grep (a, filter, error)))
    return FALSE;
  for (char **query = a->query; query && *query; query++)
    if (!ddebug_filter_add_query (filter, *query, error))
      return FALSE;
  if (ddebug_filter_is_possible (filter))
    return TRUE;
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--since=%s is after --until=%s; exchange them", a->since,
               a->until);
  return FALSE;
}

/* What is to be shown: *@filter, NULL for all. */
static int
make_filter (const Arguments *a, DdebugFilter **filter)
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

/* ---- what commands share ---- */

gboolean
ddebug_host_is_live (DdebugReader *reader, gboolean closed)
{
  DdebugWriter writer = ddebug_reader_writer (reader);

  return writer == DDEBUG_WRITER_ALIVE || (writer == DDEBUG_WRITER_UNKNOWN && !closed);
}

guint
ddebug_host_wait (DdebugWait *wait, int timeout_ms)
{
  static gboolean said;
  int why = ddebug_wait_why_polling (wait);

  if (why && !said)
    ddebug_host_say ("not all can be watched: %s; looking several times a second instead; "
                     "see /proc/sys/fs/inotify/max_user_instances and max_user_watches", g_strerror (why));
  said |= why != 0;
  return ddebug_wait (wait, timeout_ms);
}

/* Watches where the log will be; NULL if that cannot be. */
static DdebugWatch *
watch_for (const char *path, DdebugWait *wait, GError **error)
{
  g_autofree char *directory = g_path_get_dirname (path);
  DdebugWatch *watch = ddebug_wait_watch (wait, DDEBUG_WATCH_DIRECTORY, directory);

  if (!watch)
    g_set_error (error, DDEBUG_ERROR, errno == EACCES ? DDEBUG_ERROR_ACCESS : DDEBUG_ERROR_NOT_FOUND,
                 "%s: cannot be waited in for %s: %s; make the directory first", directory, path,
                 g_strerror (errno));
  return watch;
}

static gboolean
may_come (const DdebugOptions *options, const GError *why)
{
  return options->wait
         && (g_error_matches (why, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_NOT_FOUND)
             || g_error_matches (why, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_EMPTY));
}

/*
 * A writer makes the superblock first and the room after it, so a log that
 * somebody has may lack some for a moment.  The writer is asked for first: when
 * it has gone the size is what it has left.
 */
gboolean
ddebug_host_is_cut (DdebugReader *reader, guint64 *there)
{
  if (ddebug_reader_writer (reader) == DDEBUG_WRITER_ALIVE)
    return FALSE;
  *there = ddebug_reader_file_size (reader);
  return *there < ddebug_reader_super (reader)->size;
}

static void
warn_if_cut (const char *path, DdebugReader *reader)
{
  guint64 size = ddebug_reader_super (reader)->size;
  guint64 there;

  if (ddebug_host_is_cut (reader, &there))
    ddebug_host_say ("%s: was cut short: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                     " bytes are there; reading what is left",
                     path, there, size);
}

/* FALSE with @error set if it cannot be watched; a file that has just gone can, it is looked at again. */
static gboolean
watch_file (const char *path, DdebugWait *wait, DdebugWatch **file, GError **error)
{
  *file = ddebug_wait_watch (wait, DDEBUG_WATCH_FILE, path);
  if (*file || errno == ENOENT)
    return TRUE;
  g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_IO, "%s: cannot be watched: %s", path, g_strerror (errno));
  return FALSE;
}

/* A reader of the file that @path names, also after it is watched; NULL with @error set. */
static DdebugReader *
open_watched (const char *path, DdebugWait *wait, DdebugWatch **file, GError **error)
{
  for (;;)
    {
      g_autoptr (DdebugReader) reader = ddebug_reader_open (path, error);

      if (!reader || !file)
        return g_steal_pointer (&reader);
      if (!watch_file (path, wait, file, error))
        return NULL;
      if (*file && ddebug_reader_is_at (reader, path))
        return g_steal_pointer (&reader);
      /* Replaced between open and watch: take the new one. */
      g_clear_pointer (file, ddebug_watch_free);
    }
}

DdebugReader *
ddebug_host_try_open (const DdebugOptions *options, const char *path, DdebugWait *wait, DdebugWatch **directory,
                      DdebugWatch **file, int *status)
{
  for (;;)
    {
      g_autoptr (GError) error = NULL;
      DdebugReader *reader = open_watched (path, wait, file, &error);

      if (reader)
        {
          g_clear_pointer (directory, ddebug_watch_free);
          warn_if_cut (path, reader);
          return reader;
        }
      if (may_come (options, error))
        {
          *status = DDEBUG_OPEN_LATER;
          if (*directory)
            return NULL;
          /* It may have come before the watch was there: look once more. */
          g_clear_error (&error);
          *directory = watch_for (path, wait, &error);
          if (*directory)
            continue;
        }
      *status = ddebug_host_fail (error);
      return NULL;
    }
}

DdebugReader *
ddebug_host_open (const DdebugOptions *options, const char *path, DdebugWait *wait, int *status)
{
  g_autoptr (DdebugWatch) directory = NULL;
  DdebugReader *reader;

  while (!(reader = ddebug_host_try_open (options, path, wait, &directory, NULL, status))
         && *status == DDEBUG_OPEN_LATER)
    if (ddebug_host_wait (wait, -1) & (DDEBUG_WAKE_SIGNAL | DDEBUG_WAKE_OUTPUT))
      {
        *status = DDEBUG_EXIT_OK;
        return NULL;
      }
  return reader;
}

gboolean
ddebug_host_read_on (const DdebugItem *item, gpointer data)
{
  (void) item;
  (void) data;
  return ddebug_wait_signal () == 0;
}

int
ddebug_host_print (DdebugWait *wait, const GString *text)
{
  g_autoptr (GError) error = NULL;
  gsize written;

  if (!ddebug_wait_signal ()
      && ddebug_output_write (wait, STDOUT_FILENO, text->str, text->len, &written, &error) == DDEBUG_OUTPUT_ERROR)
    return ddebug_host_fail (error);
  return DDEBUG_EXIT_OK;
}

/* ---- small commands ---- */

static int
print (DdebugWait *wait, const GString *text)
{
  int status = ddebug_host_print (wait, text);

  if (ddebug_wait_signal ())
    ddebug_wait_die_by_signal ();
  return status;
}

static int
print_size (DdebugWait *wait, guint64 size)
{
  g_autoptr (GString) text = g_string_new (NULL);

  g_string_append_printf (text, "%" G_GUINT64_FORMAT " (", size);
  ddebug_format_size (text, size);
  g_string_append (text, ")\n");
  return print (wait, text);
}

static int
show_size (const DdebugOptions *options, DdebugWait *wait)
{
  int status;
  g_autoptr (DdebugReader) reader = ddebug_host_open (options, options->paths[0], wait, &status);

  if (!reader && ddebug_wait_signal ())
    ddebug_wait_die_by_signal ();
  return reader ? print_size (wait, ddebug_reader_super (reader)->size) : status;
}

static int
finish_request (gboolean was_done, const GError *error)
{
  if (!was_done && error)
    return ddebug_host_fail (error);
  if (ddebug_wait_signal ())
    ddebug_wait_die_by_signal ();
  return DDEBUG_EXIT_OK;
}

static int
set_size (const DdebugOptions *options, DdebugWait *wait, guint64 size)
{
  g_autoptr (GError) error = NULL;
  guint64 now;

  if (!ddebug_request_size (wait, options->paths[0], size, &now, &error))
    return finish_request (FALSE, error);
  return print_size (wait, now);
}

static int
clear_log (const DdebugOptions *options, DdebugWait *wait)
{
  g_autoptr (GError) error = NULL;
  gboolean was_done = ddebug_request_clear (wait, options->paths[0], &error);

  return finish_request (was_done, error);
}

static int
change_domain (const Arguments *a, DdebugWait *wait, guint64 size)
{
  const DdebugAttach attach = {
    .domain = a->files[0],
    .uri = a->connect,
    .log = a->log,
    .plugin = a->plugin,
    .size = size,
    .detach = a->detach,
    .yes = a->yes,
    .utf8 = g_get_charset (NULL),
  };

  return ddebug_host_attach (&attach, wait);
}

static int
run (const Arguments *a, DdebugWait *wait, guint64 size, const DdebugFilter *filter)
{
  g_auto (DdebugSources) sources = { NULL };
  DdebugOptions options = {
    .all = a->all,
    .uri = a->connect,
    .wait = a->wait,
    .callsite = a->callsite,
    .raw = a->raw,
    .quiet = a->quiet,
    .json = is_json (a),
    .utf8 = g_get_charset (NULL),
    .filter = filter,
  };
  int status;

  if (a->attach || a->detach)
    return change_domain (a, wait, size);
  if (a->list)
    return ddebug_host_list (&options, wait);
  status = ddebug_host_resolve (a->connect, a->wait, a->files, &sources);
  if (status != DDEBUG_EXIT_OK)
    return status;
  options.paths = (char **) sources.paths->pdata;
  options.names = (char **) sources.names->pdata;
  options.n_paths = sources.paths->len;
  if (a->info)
    return ddebug_host_info (&options, wait);
  if (a->list_boots || a->last_words)
    return ddebug_host_story (&options, wait, a->last_words);
  if (a->show_size)
    return show_size (&options, wait);
  if (a->size)
    return set_size (&options, wait, size);
  if (a->clear)
    return clear_log (&options, wait);
  return ddebug_host_show (&options,
                           a->pipe     ? DDEBUG_SHOW_PIPE
                           : a->follow ? DDEBUG_SHOW_FOLLOW
                                       : DDEBUG_SHOW_TRACE,
                           wait);
}

static int
print_about (const Arguments *a, DdebugWait *wait)
{
  g_autoptr (GString) text = g_string_new (NULL);

  if (a->help)
    add_all_help (text);
  else
    g_string_append (text, "ddebug-host (virtio-ddebug) " DDEBUG_VERSION "\n");
  return print (wait, text);
}

/*
 * A file that is opened must not get the number of a standard descriptor that
 * was closed: messages meant for standard error would go into it.
 */
static gboolean
fill_descriptors (void)
{
  gboolean has_output = fcntl (STDOUT_FILENO, F_GETFD) >= 0;
  int fd;

  do
    fd = open ("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0)
    close (fd);
  return has_output;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DdebugWait) wait = NULL;
  g_auto (GStrv) args = g_strdupv (argv);
  g_autoptr (DdebugFilter) filter = NULL;
  Arguments a = { 0 };
  guint64 size = 0;
  int status;

  (void) argc;
  setlocale (LC_ALL, "");
  if (!fill_descriptors ())
    {
      say ("standard output is closed");
      return DDEBUG_EXIT_IO;
    }
  if (!parse_arguments (args, &a, &error))
    return fail_usage ("%s", error->message);
  if (!ddebug_wait_catch_signals (&error))
    return ddebug_host_fail (error);
  wait = ddebug_wait_new (STDOUT_FILENO);
  if (a.help || a.version)
    return print_about (&a, wait);
  status = check_arguments (&a, &size);
  if (status == DDEBUG_EXIT_OK)
    status = make_filter (&a, &filter);
  if (status == DDEBUG_EXIT_OK)
    status = run (&a, wait, size, filter);
  g_strfreev (a.files);
  g_free (a.boot);
  g_free (a.since);
  g_free (a.until);
  g_free (a.cpu);
  g_free (a.grep);
  g_free (a.case_sensitive);
  g_strfreev (a.query);
  g_free (a.output);
  g_free (a.connect);
  g_free (a.log);
  g_free (a.log_size);
  g_free (a.plugin);
  g_free (a.size);
  return status;
}
