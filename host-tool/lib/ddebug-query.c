/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Queries over the callsites of a log: parsing and matching them. */
#define _GNU_SOURCE
#include "ddebug-query.h"

#include <string.h>

#define BLANKS " \t\n\v\f\r"

/* A NULL pattern matches anything. */
typedef struct
{
  char *module;
  char *function;
  char *file;
  char *format;             /* text to find; after '^': at the start */
  guint first_line;         /* 0: any */
  guint last_line;          /* 0: any */
} Query;

struct DdebugQueries
{
  GPtrArray *all;           /* of Query */
};

static void
query_free (gpointer data)
{
  Query *query = data;

  g_free (query->module);
  g_free (query->function);
  g_free (query->file);
  g_free (query->format);
  g_free (query);
}

DdebugQueries *
ddebug_queries_new (void)
{
  DdebugQueries *queries = g_new0 (DdebugQueries, 1);

  queries->all = g_ptr_array_new_with_free_func (query_free);
  return queries;
}

void
ddebug_queries_free (DdebugQueries *queries)
{
  if (!queries)
    return;
  g_ptr_array_unref (queries->all);
  g_free (queries);
}

/* ---- parsing ---- */

static gboolean G_GNUC_PRINTF (2, 3)
refuse (GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_propagate_error (error, g_error_new_valist (G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, format, args));
  va_end (args);
  return FALSE;
}

/* The words of @text up to one that starts with '#'; NULL with @error set. */
static GPtrArray *
split (const char *text, GError **error)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new_with_free_func (g_free);

  for (text += strspn (text, BLANKS); *text && *text != '#'; text += strspn (text, BLANKS))
    {
      gboolean is_quoted = *text == '"' || *text == '\'';
      const char *begin = is_quoted ? text + 1 : text;
      const char *end = is_quoted ? strchr (begin, *text) : begin + strcspn (begin, BLANKS);

      if (!end)
        {
          refuse (error, "unclosed quote: %s", text);
          return NULL;
        }
      g_ptr_array_add (words, g_strndup (begin, end - begin));
      text = is_quoted ? end + 1 : end;
    }
  return g_steal_pointer (&words);
}

static gboolean
set_once (char **field, const char *keyword, const char *value, GError **error)
{
  if (*field)
    return refuse (error, "%s is given twice; separate alternatives by semicolons", keyword);
  *field = g_strdup (value);
  return TRUE;
}

/* Decimal with an optional '+'; nothing is 0, which means any. */
static gboolean
parse_line (const char *word, guint *line)
{
  guint64 value = 0;

  if (*word == '+' && word[1] != '+' && word[1] != '-')
    word++;
  else if (!*word)
    word = "0";
  if (!g_ascii_string_to_unsigned (word, 10, 0, G_MAXUINT, &value, NULL))
    return FALSE;
  *line = value;
  return TRUE;
}

/* "10", "10-", "-20" or "10-20" */
static gboolean
parse_lines (Query *query, const char *word, GError **error)
{
  const char *dash = strchr (word, '-');
  g_autofree char *first = dash ? g_strndup (word, dash - word) : g_strdup (word);

  if (query->first_line || query->last_line)
    return refuse (error, "line is given twice; separate alternatives by semicolons");
  if (!parse_line (first, &query->first_line) || (dash && !parse_line (dash + 1, &query->last_line)))
    return refuse (error, "%s: invalid line range; use 10, 10-20, 10- or -20", word);
  if (!dash)
    query->last_line = query->first_line;
  else if (!query->last_line)
    query->last_line = G_MAXUINT;
  if (query->last_line < query->first_line)
    return refuse (error, "%s: the last line is before the first", word);
  return TRUE;
}

/* "file", "file:function" or "file:lines" */
static gboolean
parse_file (Query *query, const char *word, GError **error)
{
  const char *colon = strchr (word, ':');
  g_autofree char *file = colon ? g_strndup (word, colon - word) : g_strdup (word);

  if (!set_once (&query->file, "file", file, error))
    return FALSE;
  if (!colon)
    return TRUE;
  if (g_ascii_isalpha (colon[1]) || colon[1] == '*' || colon[1] == '?')
    return set_once (&query->function, "func", colon + 1, error);
  return parse_lines (query, colon + 1, error);
}

/* The character that @text, which follows a backslash, escapes with *@len characters; -1: none. */
static int
unescape_one (const char *text, gsize *len)
{
  static const char from[] = "nrtvf\"\\ae", to[] = "\n\r\t\v\f\"\\\a\033";
  const char *known = *text ? strchr (from, *text) : NULL;
  int value = 0;

  *len = 1;
  if (known)
    return to[known - from];
  for (*len = 0; *len < 3 && text[*len] >= '0' && text[*len] <= '7' && value < 32; ++*len)
    value = value * 8 + text[*len] - '0';
  return *len ? value : -1;
}

/* Like the kernel: stop at a NUL, however it is written. */
static char *
unescape (const char *text)
{
  g_autoptr (GString) out = g_string_new (NULL);

  while (*text)
    {
      gsize len;
      int c = *text == '\\' ? unescape_one (text + 1, &len) : -1;

      if (c == 0)
        break;
      g_string_append_c (out, c > 0 ? c : *text);
      text += c > 0 ? 1 + len : 1;
    }
  return g_string_free (g_steal_pointer (&out), FALSE);
}

static gboolean
parse_pair (Query *query, const char *keyword, const char *value, GError **error)
{
  g_autofree char *format = NULL;

  if (strcmp (keyword, "module") == 0)
    return set_once (&query->module, keyword, value, error);
  if (strcmp (keyword, "func") == 0)
    return set_once (&query->function, keyword, value, error);
  if (strcmp (keyword, "file") == 0)
    return parse_file (query, value, error);
  if (strcmp (keyword, "line") == 0)
    return parse_lines (query, value, error);
  if (strcmp (keyword, "format") == 0)
    {
      format = unescape (value);
      return set_once (&query->format, keyword, format, error);
    }
  if (strcmp (keyword, "class") == 0)
    return refuse (error, "class: a log does not record callsite classes; use module, func, file, line or format");
  return refuse (error, "%s: unknown keyword; use module, func, file, line or format", keyword);
}

static gboolean
parse_query (Query *query, const GPtrArray *words, GError **error)
{
  for (guint i = 0; i < words->len; i += 2)
    {
      const char *keyword = g_ptr_array_index (words, i);

      if (*keyword && strchr ("+-=", *keyword))
        return refuse (error, "%s: flags apply to the guest; omit them", keyword);
      if (i + 1 == words->len)
        return refuse (error, "%s: value missing; use pairs of keyword and value", keyword);
      if (!parse_pair (query, keyword, g_ptr_array_index (words, i + 1), error))
        return FALSE;
    }
  return TRUE;
}

gboolean
ddebug_queries_add (DdebugQueries *queries, const char *text, GError **error)
{
  /* also within quotes, like the kernel */
  g_auto (GStrv) texts = g_strsplit_set (text, ";\n", -1);
  guint n = 0;

  for (char **one = texts; *one; one++)
    {
      g_autoptr (GPtrArray) words = split (*one, error);
      Query *query;

      if (!words)
        return FALSE;
      if (words->len == 0)
        continue;
      query = g_new0 (Query, 1);
      g_ptr_array_add (queries->all, query);
      n++;
      if (!parse_query (query, words, error))
        return FALSE;
    }
  if (n == 0)
    return refuse (error, "empty query; use pairs of keyword and value; "
                          "keywords are module, func, file, line and format");
  return TRUE;
}

/* ---- matching ---- */

/*
 * '*' matches any text, '?' any one byte.  It backtracks only to the last '*', so it takes at most
 * strlen (pattern) * len steps.
 */
static gboolean
match_wildcard (const char *pattern, const guint8 *text, gsize len)
{
  const char *retry_pattern = NULL;
  gsize at = 0, retry_at = 0;

  while (at < len)
    if (*pattern == '*')
      {
        retry_pattern = ++pattern;
        retry_at = at;
      }
    else if (*pattern && (*pattern == '?' || (guint8) *pattern == text[at]))
      {
        pattern++;
        at++;
      }
    else if (retry_pattern)
      {
        pattern = retry_pattern;
        at = ++retry_at;
      }
    else
      return FALSE;
  return pattern[strspn (pattern, "*")] == '\0';
}

static gboolean
match_file (const char *pattern, const DdebugCallsite *callsite)
{
  const guint8 *slash = memrchr (callsite->file, '/', callsite->file_len);
  gsize folder = slash ? (gsize) (slash + 1 - callsite->file) : 0;

  return match_wildcard (pattern, callsite->file, callsite->file_len)
         || match_wildcard (pattern, callsite->file + folder, callsite->file_len - folder);
}

static gboolean
match_format (const char *text, const DdebugCallsite *callsite)
{
  gsize len = strlen (text);

  if (*text == '^')
    return callsite->format_len >= len - 1 && memcmp (callsite->format, text + 1, len - 1) == 0;
  return memmem (callsite->format, callsite->format_len, text, len) != NULL;
}

static gboolean
match_query (const Query *query, const DdebugCallsite *callsite)
{
  /* only the longest strings are truncated, but the flag does not say which */
  gboolean is_cut = callsite->flags & DDEBUG_CALLSITE_F_CUT;

  if ((query->first_line && callsite->line < query->first_line)
      || (query->last_line && callsite->line > query->last_line))
    return FALSE;
  if (is_cut)
    return TRUE;
  return (!query->module || match_wildcard (query->module, callsite->module, callsite->module_len))
         && (!query->function || match_wildcard (query->function, callsite->function, callsite->function_len))
         && (!query->file || match_file (query->file, callsite))
         && (!query->format || match_format (query->format, callsite));
}

gboolean
ddebug_queries_match (const DdebugQueries *queries, const DdebugCallsite *callsite)
{
  for (guint i = 0; i < queries->all->len; i++)
    if (match_query (g_ptr_array_index (queries->all, i), callsite))
      return TRUE;
  return FALSE;
}
