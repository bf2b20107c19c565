/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two parsers of the language.  The guest's query parser takes what the kernel's takes, means the same by it, and refuses what that refuses: the
 * expectations are those of admin-guide/dynamic-debug-howto and of stock kernels.  It is built for 6.1, and once more
 * for 6.12, whose query language has the letter 's' besides.
 *
 * The tool's, which has no flags, takes and refuses the same pairs, and means the
 * same by them, but for what ddebug-query.h names.
 */
#include <glib.h>
#include <limits.h>
#include <string.h>

#include "ddebug-query.h"
#include "ddebug_query.h"

#define P 0x01u
#define M 0x02u
#define F 0x04u
#define L 0x08u
#define T 0x10u
#define S 0x20u
#define R 0x80u
#define ALL UINT_MAX

/* -- both ------------------------------------------------------------------- */

/* As the log has it: the file as it was compiled. */
static DdebugCallsite
callsite_of (const struct ddebug_site *s)
{
  return (DdebugCallsite){
    .line = s->line,
    .module = (const guint8 *) s->module,
    .module_len = strlen (s->module),
    .function = (const guint8 *) s->function,
    .function_len = strlen (s->function),
    .file = (const guint8 *) s->file,
    .file_len = strlen (s->file),
    .format = (const guint8 *) s->format,
    .format_len = strlen (s->format),
  };
}

/*
 * Whether the tool takes the pairs @text (NULL @is_meant), or takes them and means @s.  Nothing is a query of the
 * guest, which names all callsites, and none of the tool.
 */
static gboolean
tool_takes (const char *text, const struct ddebug_site *s, gboolean *is_meant)
{
  g_autoptr (DdebugQueries) queries = ddebug_queries_new ();
  g_autoptr (GError) error = NULL;
  DdebugCallsite callsite = callsite_of (s);
  gboolean taken = ddebug_queries_add (queries, text, &error);

  g_assert_cmpint (taken, ==, error == NULL);
  if (is_meant)
    *is_meant = taken && ddebug_queries_match (queries, &callsite);
  return taken;
}

/* The guest, of callsites whose file is shown as it was compiled. */
static gboolean
guest_takes (const char *text, const struct ddebug_site *s, gboolean *is_meant)
{
  g_autofree char *copy = g_strdup_printf ("%s +r", text);
  struct ddebug_site same = *s;
  struct ddebug_query q;

  same.shown_file = same.file;
  if (ddebug_query_parse (&q, copy, NULL) != 0)
    return FALSE;
  *is_meant = ddebug_query_match (&q, &same);
  return TRUE;
}

/* -- accepted: what it says ------------------------------------------------- */

typedef struct
{
  const char *text;
  struct ddebug_query is;       /* has_r is set if "set" or "keep" speaks of R */
} Accepted;

static const Accepted accepted[] = {
  { "+p", { .set = P, .keep = ALL } },
  { "+r", { .set = R, .keep = ALL } },
  { "  \t+pr  ", { .set = P | R, .keep = ALL } },
  { "-r", { .keep = ~R } },
  { "=r", { .set = R } },
  { "=_", { .set = 0 } },
  { "+", { .keep = ALL } },
  { "=", { .set = 0 } },
  { "+rmflt", { .set = R | M | F | L | T, .keep = ALL } },
  { "=tlfmrp_", { .set = P | R | M | F | L | T } },
  { "-prmflt", { .keep = ~(P | R | M | F | L | T) } },
  { "+rrp", { .set = P | R, .keep = ALL } },
#ifdef _DPRINTK_FLAGS_INCL_SOURCENAME
  { "+rs", { .set = R | S, .keep = ALL } },
  { "=tslfmrp", { .set = P | R | M | F | S | L | T } },
  { "-s", { .keep = ~S } },
  { "class DRM_UT_CORE =rs", { .class_name = "DRM_UT_CORE", .set = R | S } },
#endif
  { "module foo +r", { .module = "foo", .set = R, .keep = ALL } },
  { "module \"foo\" '+r'", { .module = "foo", .set = R, .keep = ALL } },
  { "'module''foo'+r", { .module = "foo", .set = R, .keep = ALL } },
  { "func svc_* =r", { .function = "svc_*", .set = R } },
  { "file svcsock.c +r", { .file = "svcsock.c", .set = R, .keep = ALL } },
  { "file a.c:svc_recv +r", { .file = "a.c", .function = "svc_recv", .set = R, .keep = ALL } },
  { "file a.c:*recv +r", { .file = "a.c", .function = "*recv", .set = R, .keep = ALL } },
  { "file a.c:?ecv +r", { .file = "a.c", .function = "?ecv", .set = R, .keep = ALL } },
  { "file a.c:10 +r", { .file = "a.c", .first_line = 10, .last_line = 10, .set = R, .keep = ALL } },
  { "file a.c:10-20 +r", { .file = "a.c", .first_line = 10, .last_line = 20, .set = R, .keep = ALL } },
  { "file a.c: +r", { .file = "a.c", .set = R, .keep = ALL } },
  { "line 1603 +r", { .first_line = 1603, .last_line = 1603, .set = R, .keep = ALL } },
  { "line 1600-1605 +r", { .first_line = 1600, .last_line = 1605, .set = R, .keep = ALL } },
  { "line -1605 +r", { .last_line = 1605, .set = R, .keep = ALL } },
  { "line 1600- +r", { .first_line = 1600, .last_line = UINT_MAX, .set = R, .keep = ALL } },
  { "line 1600-0 +r", { .first_line = 1600, .last_line = UINT_MAX, .set = R, .keep = ALL } },
  { "line - +r", { .last_line = UINT_MAX, .set = R, .keep = ALL } },
  { "line 0 +r", { .set = R, .keep = ALL } },
  { "line 0 line 7 +r", { .first_line = 7, .last_line = 7, .set = R, .keep = ALL } },
  { "line +5 +r", { .first_line = 5, .last_line = 5, .set = R, .keep = ALL } },
  { "line 4294967295 +r", { .first_line = UINT_MAX, .last_line = UINT_MAX, .set = R, .keep = ALL } },
  { "format nfsd: +r", { .format = "nfsd:", .set = R, .keep = ALL } },
  { "format nfsd:\\040SETATTR +r", { .format = "nfsd: SETATTR", .set = R, .keep = ALL } },
  { "format \"nfsd: SETATTR\" +r", { .format = "nfsd: SETATTR", .set = R, .keep = ALL } },
  { "format 'say \"x\"\\n' +r", { .format = "say \"x\"\n", .set = R, .keep = ALL } },
  { "format a\\q\\\\\\t +r", { .format = "a\\q\\\t", .set = R, .keep = ALL } },
  { "format \"\" +r", { .format = "", .set = R, .keep = ALL } },
  { "class DRM_UT_CORE +r", { .class_name = "DRM_UT_CORE", .set = R, .keep = ALL } },
  { "module foo func f file g line 3 +r",
    { .module = "foo", .function = "f", .file = "g", .first_line = 3, .last_line = 3, .set = R, .keep = ALL } },
  { "module foo +r # line x =q", { .module = "foo", .set = R, .keep = ALL } },
  { "module r =p", { .module = "r", .set = P } },
};

static void
test_accepted (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (accepted); i++)
    {
      const Accepted *a = &accepted[i];
      g_autofree char *text = g_strdup (a->text);
      gboolean has_r = (a->is.set & R) || (a->is.keep && !(a->is.keep & R));
      struct ddebug_query q;

      g_test_message ("%s", a->text);
      g_assert_cmpint (ddebug_query_parse (&q, text, NULL), ==, 0);
      g_assert_cmpstr (q.module, ==, a->is.module);
      g_assert_cmpstr (q.function, ==, a->is.function);
      g_assert_cmpstr (q.file, ==, a->is.file);
      g_assert_cmpstr (q.format, ==, a->is.format);
      g_assert_cmpstr (q.class_name, ==, a->is.class_name);
      g_assert_cmpuint (q.first_line, ==, a->is.first_line);
      g_assert_cmpuint (q.last_line, ==, a->is.last_line);
      g_assert_cmphex (q.set, ==, a->is.set);
      g_assert_cmphex (q.keep, ==, a->is.keep);
      g_assert_cmpint (q.has_r, ==, has_r);
    }
}

static void
test_module_of_a_parameter (void)
{
  struct ddebug_query q;
  char own[] = "module other +r", none[] = "func f +r";

  g_assert_cmpint (ddebug_query_parse (&q, none, "foo"), ==, 0);
  g_assert_cmpstr (q.module, ==, "foo");
  g_assert_cmpint (ddebug_query_parse (&q, own, "foo"), ==, 0);
  g_assert_cmpstr (q.module, ==, "other");
}

/* -- refused, and what the kernel is asked instead --------------------------- */

static const struct
{
  const char *text;
  const char *asked;            /* NULL: the text as it is */
} refused[] = {
  { "", NULL },
  { "# +r", NULL },
  { "r", NULL },
  { "module foo r", NULL },
  { "module foo rp+", NULL },
  { "module foo", NULL },
  { "module foo \"\"", NULL },
  { "module foo +x", NULL },
  { "module foo +rx", "module foo +x" },
  { "module foo +xr", "module foo +x" },
  { "module foo =rrprq", "module foo =pq" },
#ifndef _DPRINTK_FLAGS_INCL_SOURCENAME
  { "module foo +s", NULL },
  { "module foo =rs", "module foo =s" },
#endif
  { "module foo '-rx' # r", "module foo '-x' # r" },
  { "module +r", "module +" },
  { "modul rrr +r", "modul rrr +" },
  { "module foo module bar +pr", "module foo module bar +p" },
  { "func f file a.c:g =r", "func f file a.c:g =" },
  { "file a.c file b.c =r", "file a.c file b.c =" },
  { "file a.c:1 line 2 =r", "file a.c:1 line 2 =" },
  { "file a.c:%x =r", "file a.c:%x =" },
  { "line 5 line 6 +r", "line 5 line 6 +" },
  { "line x +r", "line x +" },
  { "line 5x +r", "line 5x +" },
  { "line 1-2-3 +r", "line 1-2-3 +" },
  { "line 20-10 +r", "line 20-10 +" },
  { "line 4294967296 +r", "line 4294967296 +" },
  { "format a format b +r", "format a format b +" },
  { "class a class b +r", "class a class b +" },
  { "module \"foo +r", NULL },
  { "module foo +r '", NULL },
  { "module 'foo\" +r", NULL },
  { "module a func b file c line 1 +r class d", NULL },
  { "module a func b file c line 1 format e +r f", NULL },
};

static void
test_refused (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      g_autofree char *text = g_strdup (refused[i].text);
      g_autofree char *asked = g_strdup (refused[i].text);
      struct ddebug_query q;

      g_test_message ("%s", refused[i].text);
      g_assert_cmpint (ddebug_query_parse (&q, text, NULL), ==, -EINVAL);
      ddebug_query_drop_r (&q, asked);
      g_assert_cmpstr (asked, ==, refused[i].asked ? refused[i].asked : refused[i].text);
    }
}

/* -- several in one text ------------------------------------------------------ */

static void
test_separators (void)
{
  char text[] = "\n # no; +p;;  module a +r\n#x\n \"module;b\" ;\n";
  const char *const expected[] = { "+p", "module a +r", "\"module", "b\" " };
  char *rest = text;

  for (gsize i = 0; i < G_N_ELEMENTS (expected); i++)
    g_assert_cmpstr (ddebug_query_next (&rest), ==, expected[i]);
  g_assert_null (ddebug_query_next (&rest));
  g_assert_null (rest);
}

/* -- which callsites are meant --------------------------------------------------- */

static const struct ddebug_site site = {
  .module = "usbcore",
  .function = "hub_port_init",
  .file = "/build/linux/drivers/usb/core/hub.c",
  .shown_file = "drivers/usb/core/hub.c",
  .format = "port %d, \"%s\"\n",
  .line = 4711,
};

static gboolean
means (const char *query, const struct ddebug_site *s)
{
  g_autofree char *text = g_strdup_printf ("%s +r", query);
  struct ddebug_query q;

  g_test_message ("%s", query);
  g_assert_cmpint (ddebug_query_parse (&q, text, NULL), ==, 0);
  return ddebug_query_match (&q, s);
}

/* The same as the guest, of a callsite with the one file or the other. */
static void
assert_tool_means (const char *query)
{
  struct ddebug_site shown = site;
  gboolean tool, guest;

  if (!*query || g_str_has_prefix (query, "class"))
    return;
  shown.file = site.shown_file;
  g_assert_true (tool_takes (query, &site, &tool));
  g_assert_true (guest_takes (query, &site, &guest));
  g_assert_cmpint (tool, ==, guest);
  g_assert_true (tool_takes (query, &shown, &tool));
  g_assert_true (guest_takes (query, &shown, &guest));
  g_assert_cmpint (tool, ==, guest);
}

static void
test_match (void)
{
  static const char *const yes[] = {
    "", "module usbcore", "module usb*", "module *", "module ?sbcore", "module *b*r*e", "func hub_port_init",
    "func *_init", "file hub.c", "file drivers/usb/core/hub.c", "file /build/linux/drivers/usb/core/hub.c",
    "file *core/*", "file h?b.c", "file hub.c:hub_*", "file hub.c:4711", "file hub.c:4000-5000", "line 4711",
    "line 4711-", "line -4711", "line 0", "line -", "format port", "format \"%d, \"", "format ^port", "format ^",
    "format \"\"", "format \\\"%s\\\"\\n", "module usbcore func hub* file hub.c line 1-9999",
  };
  static const char *const no[] = {
    "module usb", "module usbcore?", "module USBCORE", "module \"\"", "func hub_port_ini", "func init", "file core/hub.c",
    "file hub", "file hub.c:4710", "file hub.c:usb_*", "line 4710", "line 4712-", "line -4710", "format Port",
    "format ^ort", "format ^%d", "class X", "module usbcore func nothing",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (yes); i++)
    {
      g_assert_true (means (yes[i], &site));
      assert_tool_means (yes[i]);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (no); i++)
    {
      g_assert_false (means (no[i], &site));
      assert_tool_means (no[i]);
    }
}

/* Callsites with a class are meant only by queries that name it. */
static void
test_match_class (void)
{
  struct ddebug_site classed = site, nameless = site;

  classed.classed = true;
  classed.class_name = "CORE";
  nameless.classed = true;

  g_assert_true (means ("class CORE", &classed));
  g_assert_true (means ("module usbcore class CORE", &classed));
  g_assert_false (means ("class COR*", &classed));
  g_assert_false (means ("class CORE", &nameless));
  g_assert_false (means ("class CORE", &site));
  g_assert_false (means ("module usbcore", &classed));
  g_assert_false (means ("", &nameless));
}

/* -- the tool's ---------------------------------------------------------------- */

static const char *const pairs[] = {
  "module foo", "module \"foo\"", "'module''foo'", "func svc_*", "file svcsock.c", "file a.c:svc_recv", "file a.c:*recv",
  "file a.c:?ecv", "file a.c:10", "file a.c:10-20", "file a.c:", "line 1603", "line 1600-1605", "line -1605", "line 1600-",
  "line 1600-0", "line -", "line 0", "line 0 line 7", "line +5", "line 4294967295", "format nfsd:", "format nfsd:\\040SETATTR",
  "format \"nfsd: SETATTR\"", "format 'say \"x\"\\n'", "format a\\q\\\\\\t", "format \"\"", "format a\\0b", "format \\",
  "module foo func f file g line 3", "module r",
  /* refused */
  "module", "module foo func", "modul rrr", "module foo module bar", "func f file a.c:g", "file a.c file b.c", "file a.c:1 line 2",
  "file a.c:%x", "file a.c:_f", "line 5 line 6", "line x", "line 5x", "line 1-2-3", "line 20-10", "line 4294967296", "line ++5",
  "line \" 5\"", "line +", "line -+5", "line '5 '", "format a format b", "module \"foo", "module foo '", "module 'foo\"",
};

static void
test_both_take (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++)
    {
      gboolean tool = FALSE, guest = FALSE;
      gboolean taken = tool_takes (pairs[i], &site, &tool);

      g_test_message ("%s", pairs[i]);
      g_assert_cmpint (taken, ==, guest_takes (pairs[i], &site, &guest));
      g_assert_cmpint (tool, ==, guest);
    }
}

static void
assert_refused (const char *text, const char *why)
{
  g_autoptr (DdebugQueries) queries = ddebug_queries_new ();
  g_autoptr (GError) error = NULL;

  g_test_message ("%s", text);
  g_assert_false (ddebug_queries_add (queries, text, &error));
  if (!strstr (error->message, why))
    g_error ("\"%s\" is not in: %s", why, error->message);
}

/* What only the tool says. */
static void
test_tool (void)
{
  struct ddebug_site classed = site;
  static const struct ddebug_site nameless = { "", "", "", "", "", NULL, 4711, false };
  DdebugCallsite cut = callsite_of (&site), none = callsite_of (&nameless);
  g_autoptr (DdebugQueries) queries = ddebug_queries_new ();
  gboolean is_meant;

  assert_refused ("", "empty query");
  assert_refused (" ;\n# module x", "empty query");
  assert_refused ("module", "module: value missing");
  assert_refused ("modul x", "modul: unknown keyword; use module, func, file, line or format");
  assert_refused ("module x +p", "+p: flags apply to the guest; omit them");
  assert_refused ("=_", "=_: flags apply to the guest");
  assert_refused ("class DRM_UT_CORE", "a log does not record callsite classes");
  assert_refused ("module a module b", "module is given twice; separate alternatives by semicolons");
  assert_refused ("file a:b func c", "func is given twice");
  assert_refused ("line 3 line 4", "line is given twice");
  assert_refused ("line 3x", "3x: invalid line range; use 10, 10-20, 10- or -20");
  assert_refused ("line 9-3", "9-3: the last line is before the first");
  assert_refused ("format 'a;b'", "unclosed quote: 'a");
  assert_refused ("module a; func", "func: value missing");

  /* alternatives, of one text and of several */
  g_assert_false (tool_takes ("module no;", &site, &is_meant) && is_meant);
  g_assert_true (tool_takes ("module no; module usbcore", &site, &is_meant) && is_meant);
  g_assert_true (tool_takes ("module usbcore\nmodule no # x", &site, &is_meant) && is_meant);
  g_assert_false (ddebug_queries_match (queries, &cut));
  g_assert_true (ddebug_queries_add (queries, "func no", NULL));
  g_assert_false (ddebug_queries_match (queries, &cut));
  g_assert_true (ddebug_queries_add (queries, "func hub*", NULL));
  g_assert_true (ddebug_queries_match (queries, &cut));

  /* all keywords at once; those with a class are as others */
  classed.classed = true;
  g_assert_true (tool_takes ("module * func * file * line 1- format \"\"", &classed, &is_meant) && is_meant);

  /* what is cut may have gone on, and nothing is looked at that is not there */
  cut.flags = DDEBUG_CALLSITE_F_CUT;
  g_assert_true (ddebug_queries_add (queries, "format none", NULL));
  g_assert_true (ddebug_queries_match (queries, &cut));
  g_assert_false (ddebug_queries_match (queries, &none));
  g_assert_true (tool_takes ("module ** func **_init** line 4711", &site, &is_meant) && is_meant);
}

/* -- anything at all ----------------------------------------------------------- */

/*
 * Whatever bytes come: nothing is touched beyond the text (the sanitizers see
 * to it), and taking r away neither makes a bad query good nor a good one bad.
 */
static void
test_random (void)
{
  static const char *const words[] = {
    "module", "func", "file", "line", "format", "class", "+r", "-pr", "=rx", "r", "10-20", "a.c:f", "a.c:1-", "\"",
    "'", "#", "\\", "\\101", "^x", "-", "\xa0", "\xff",
  };
  g_autoptr (GRand) rand = g_rand_new_with_seed (4711);

  for (int i = 0; i < 200000; i++)
    {
      g_autoptr (GString) s = g_string_new (NULL);
      g_autofree char *text = NULL;
      g_autofree char *again = NULL;
      struct ddebug_query q, q2;
      int rc;

      for (int n = g_rand_int_range (rand, 0, 12); n; n--)
        {
          g_string_append (s, words[g_rand_int_range (rand, 0, G_N_ELEMENTS (words))]);
          if (g_rand_int_range (rand, 0, 5))
            g_string_append_c (s, ' ');
        }
      text = g_strdup (s->str);
      rc = ddebug_query_parse (&q, text, NULL);
      ddebug_query_drop_r (&q, s->str);
      again = g_strdup (s->str);
      g_assert_cmpint (ddebug_query_parse (&q2, again, NULL), ==, rc);
      g_assert_false (q2.has_r);
      if (rc)
        continue;
      g_assert_cmphex (q2.set, ==, q.set & ~R);
      g_assert_cmpstr (q2.module, ==, q.module);
      ddebug_query_match (&q, &site);
    }
}

/* Both take and mean the same, whatever it is. */
static void
test_random_both (void)
{
  static const char *const words[] = {
    "module", "func", "file", "line", "format", "4711", "4000-5000", "-4711", "hub.c:4711", "hub.c:hub*", "hub*", "*", "?sbcore", "usbcore",
    "\"", "'", "#", "\\", "\\101", "^port", "%d", "10-", "x",
  };
  g_autoptr (GRand) rand = g_rand_new_with_seed (4711);
  guint n_taken = 0, n_meant = 0;

  for (int i = 0; i < 200000; i++)
    {
      g_autoptr (GString) s = g_string_new (NULL);
      gboolean tool = FALSE, guest = FALSE, taken;

      /* nine words are the most that the guest takes, flags included; the first is never nothing */
      g_string_append (s, words[g_rand_int_range (rand, 0, 5)]);
      g_string_append_c (s, ' ');
      for (int n = g_rand_int_range (rand, 1, 8); n; n--)
        {
          g_string_append (s, words[g_rand_int_range (rand, 0, G_N_ELEMENTS (words))]);
          if (g_rand_int_range (rand, 0, 5))
            g_string_append_c (s, ' ');
        }
      /* flags behind it would be a comment, or of the last word */
      if (strchr (s->str, '#') || !g_str_has_suffix (s->str, " "))
        continue;
      taken = tool_takes (s->str, &site, &tool);
      if (taken != guest_takes (s->str, &site, &guest) || tool != guest)
        g_error ("%s: tool %d %d, guest %d", s->str, taken, tool, guest);
      n_taken += taken;
      n_meant += tool;
    }
  g_assert_cmpuint (n_taken, >, 1000);
  g_assert_cmpuint (n_meant, >, 100);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/query/accepted", test_accepted);
  g_test_add_func ("/query/module-of-a-parameter", test_module_of_a_parameter);
  g_test_add_func ("/query/refused", test_refused);
  g_test_add_func ("/query/separators", test_separators);
  g_test_add_func ("/query/match", test_match);
  g_test_add_func ("/query/match-class", test_match_class);
  g_test_add_func ("/query/random", test_random);
  g_test_add_func ("/query/both take", test_both_take);
  g_test_add_func ("/query/tool", test_tool);
  g_test_add_func ("/query/random-both", test_random_both);
  return g_test_run ();
}
