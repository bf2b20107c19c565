/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parse times as in journalctl. */
#include "ddebug-time.h"

#include <string.h>

/* Units of a span in us; months and years are averages, as in systemd. */
static const struct
{
  const char *names;        /* each surrounded by blanks */
  gint64 us;
} units[] = {
  { " us usec µs μs ", 1 },
  { " ms msec ", 1000 },
  { " s sec second seconds ", G_USEC_PER_SEC },
  { " m min minute minutes ", 60 * (gint64) G_USEC_PER_SEC },
  { " h hr hour hours ", 3600 * (gint64) G_USEC_PER_SEC },
  { " d day days ", 86400 * (gint64) G_USEC_PER_SEC },
  { " w week weeks ", 7 * 86400 * (gint64) G_USEC_PER_SEC },
  { " M month months ", 2629800 * (gint64) G_USEC_PER_SEC },
  { " y year years ", 31557600 * (gint64) G_USEC_PER_SEC },
};

/* Limit of spans and times, in us from now or 1970, so that the sum of two does not overflow. */
#define US_MAX (G_MAXINT64 / 4)

static gint64
find_unit (const char *name, gsize len)
{
  g_autofree char *word = g_strdup_printf (" %.*s ", (int) len, name);

  for (gsize i = 0; i < G_N_ELEMENTS (units); i++)
    if (strstr (units[i].names, word))
      return units[i].us;
  return 0;
}

/*
 * Parse a number such as "12.5" at *@text, in units of @unit us; FALSE if there is none or it is
 * too large.
 */
static gboolean
take_number (const char **text, gint64 unit, gint64 *us)
{
  const char *p = *text;

  if (!g_ascii_isdigit (*p))
    return FALSE;
  for (*us = 0; g_ascii_isdigit (*p); p++)
    {
      if (*us > US_MAX / 10 / unit)
        return FALSE;
      *us = *us * 10 + (*p - '0');
    }
  *us *= unit;
  if (*p == '.')
    {
      if (!g_ascii_isdigit (*++p))
        return FALSE;
      for (; g_ascii_isdigit (*p); p++, unit /= 10)
        *us += (*p - '0') * unit / 10;
    }
  *text = p;
  return TRUE;
}

static const char *
skip_blanks (const char *text)
{
  return text + strspn (text, " \t");
}

/* Parse a span such as "1h 30min" up to @end. */
static gboolean
parse_span (const char *text, const char *end, gint64 *us)
{
  const char *p = skip_blanks (text);

  *us = 0;
  if (p >= end)
    return FALSE;
  for (; p < end; p = skip_blanks (p))
    {
      const char *number = p, *behind = p + strspn (p, "0123456789.");
      /* the last number may have no unit before the end */
      const char *unit = MIN (skip_blanks (behind), end);
      gsize len = MIN (strcspn (unit, " \t.0123456789"), (gsize) (end - unit));
      gint64 size, one;

      size = len ? find_unit (unit, len) : G_USEC_PER_SEC;
      if (!size || !take_number (&number, size, &one) || number != behind || one > US_MAX - *us)
        return FALSE;
      *us += one;
      p = unit + len;
    }
  return TRUE;
}

static gboolean
parse_relative (const char *text, gint64 now, gint64 *us)
{
  const char *end = text + strlen (text);
  gint64 span;

  if (*text == '@')
    {
      text++;
      return take_number (&text, G_USEC_PER_SEC, us) && *text == '\0';
    }
  if (*text == '-' || *text == '+')
    {
      if (!parse_span (text + 1, end, &span))
        return FALSE;
      *us = *text == '-' ? now - span : now + span;
      return TRUE;
    }
  if (!g_str_has_suffix (text, " ago") || !parse_span (text, end - strlen (" ago"), &span))
    return FALSE;
  *us = now - span;
  return TRUE;
}

/* ---- what clocks show ---- */

#define DAY 86400

static gint
interval_at (GTimeZone *zone, gint64 s)
{
  return g_time_zone_find_interval (zone, G_TIME_TYPE_UNIVERSAL, s);
}

static gint64
offset_at (GTimeZone *zone, gint64 s)
{
  return g_time_zone_get_offset (zone, interval_at (zone, s));
}

static gboolean
has_abbreviation (GTimeZone *zone, gint64 s, const char *abbreviation)
{
  return !abbreviation
         || strcmp (abbreviation, g_time_zone_get_abbreviation (zone, interval_at (zone, s))) == 0;
}

/* The moment within a day of @wall from which on the offset is no longer @before. */
static gint64
find_change (GTimeZone *zone, gint64 wall, gint64 before)
{
  gint64 low = wall - DAY, high = wall + DAY;

  while (high - low > 1)
    {
      gint64 middle = low + (high - low) / 2;

      if (offset_at (zone, middle) == before)
        low = middle;
      else
        high = middle;
    }
  return high;
}

/*
 * When the clocks of @zone show @wall, which is in seconds as if they showed UTC; see ddebug_time_parse().
 * Offsets are less than a day, and change once in two.
 */
static gboolean
find_moment (GTimeZone *zone, gint64 wall, const char *abbreviation, gboolean last, gint64 *us)
{
  gint64 before = offset_at (zone, wall - DAY), after = offset_at (zone, wall + DAY);
  const gint64 moments[] = { wall - MAX (before, after), wall - MIN (before, after) };
  gboolean found = FALSE;

  for (guint i = 0; i < G_N_ELEMENTS (moments) && (!found || last); i++)
    if (moments[i] + offset_at (zone, moments[i]) == wall && has_abbreviation (zone, moments[i], abbreviation))
      {
        *us = moments[i] * G_USEC_PER_SEC;
        found = TRUE;
      }
  if (!found && !abbreviation)
    *us = find_change (zone, wall, before) * G_USEC_PER_SEC;
  return found || !abbreviation;
}

/* Midnight @days days after the day of @now. */
static gboolean
midnight (gint64 now, GTimeZone *zone, int days, gboolean last, gint64 *us)
{
  g_autoptr (GDateTime) utc = g_date_time_new_from_unix_utc (now / G_USEC_PER_SEC);
  g_autoptr (GDateTime) local = utc ? g_date_time_to_timezone (utc, zone) : NULL;
  g_autoptr (GDateTime) day = local ? g_date_time_add_days (local, days) : NULL;
  g_autoptr (GDateTime) begin = NULL;

  if (day)
    begin = g_date_time_new_utc (g_date_time_get_year (day), g_date_time_get_month (day),
                                 g_date_time_get_day_of_month (day), 0, 0, 0);
  return begin && find_moment (zone, g_date_time_to_unix (begin), NULL, last, us);
}

static gboolean
parse_word (const char *text, gint64 now, GTimeZone *zone, gboolean last, gint64 *us)
{
  static const char *const days[] = { "yesterday", "today", "tomorrow" };

  if (strcmp (text, "now") == 0)
    {
      *us = now;
      return TRUE;
    }
  for (int i = 0; i < (int) G_N_ELEMENTS (days); i++)
    if (strcmp (text, days[i]) == 0)
      return midnight (now, zone, i - 1, last, us);
  return FALSE;
}

static char *
today (gint64 now, GTimeZone *zone)
{
  g_autoptr (GDateTime) utc = g_date_time_new_from_unix_utc (now / G_USEC_PER_SEC);
  g_autoptr (GDateTime) local = utc ? g_date_time_to_timezone (utc, zone) : NULL;

  return local ? g_date_time_format (local, "%Y-%m-%d") : NULL;
}

/* A named group of parse_date()'s match; NULL if it is empty. */
static char *
fetch (GMatchInfo *match, const char *name)
{
  g_autofree char *text = g_match_info_fetch_named (match, name);

  return text && *text ? g_steal_pointer (&text) : NULL;
}

/* Whether @when has the day of the week that was given, if any. */
static gboolean
is_on (GDateTime *when, const char *weekday)
{
  static const char days[] = "MonTueWedThuFriSatSun";

  return !weekday || (strstr (days, weekday) - days) / 3 + 1 == g_date_time_get_day_of_week (when);
}

/*
 * GDateTime parses complete ISO 8601 times, so what the user omitted is filled in.  It stores fractions
 * of seconds as floating point, so these are parsed here.
 */
static gboolean
parse_date (const char *text, gint64 now, GTimeZone *zone, gboolean last, gint64 *us)
{
  g_autoptr (GRegex) form
      = g_regex_new ("^(?:(?:(?<weekday>Mon|Tue|Wed|Thu|Fri|Sat|Sun)[ \\t]+)?(?<date>\\d{4}-\\d\\d-\\d\\d)(?:T(?=\\d)|[ \\t]+|$))?"
                     "(?:(?<time>\\d\\d:\\d\\d)(?:(?<second>:\\d\\d)(?<fraction>\\.\\d+)?)?)?"
                     "[ \\t]*(?:(?<zone>Z|UTC|[+-]\\d\\d(?::?\\d\\d)?|[A-Z]\\w*(?:/[\\w+-]+)+)|(?<abbreviation>[A-Z]{3,5}))?$",
                     G_REGEX_RAW | G_REGEX_DOLLAR_ENDONLY, 0, NULL);
  g_autoptr (GMatchInfo) match = NULL;
  g_autoptr (GTimeZone) own = NULL, utc = g_time_zone_new_utc ();
  g_autoptr (GDateTime) whole = NULL;
  g_autofree char *weekday = NULL, *date = NULL, *time = NULL, *second = NULL, *fraction = NULL, *name = NULL;
  g_autofree char *abbreviation = NULL, *iso = NULL;
  gint64 us_of_second = 0;

  if (!g_regex_match (form, text, 0, &match))
    return FALSE;
  weekday = fetch (match, "weekday");
  date = fetch (match, "date");
  time = fetch (match, "time");
  second = fetch (match, "second");
  fraction = fetch (match, "fraction");
  name = fetch (match, "zone");
  abbreviation = fetch (match, "abbreviation");
  own = name ? g_time_zone_new_identifier (name) : g_time_zone_ref (zone);
  if (!own || (!date && !time))
    return FALSE;
  if (!date)
    date = today (now, own);
  iso = g_strconcat (date ? date : "", "T", time ? time : "00:00", second ? second : ":00", NULL);
  whole = g_date_time_new_from_iso8601 (iso, utc);
  if (!whole || !is_on (whole, weekday)
      || !find_moment (own, g_date_time_to_unix (whole), abbreviation, last, us))
    return FALSE;
  for (gint64 i = 1, tenth = G_USEC_PER_SEC / 10; fraction && fraction[i]; i++, tenth /= 10)
    us_of_second += (fraction[i] - '0') * tenth;
  *us += us_of_second;
  return TRUE;
}

gboolean
ddebug_time_parse (const char *text, gint64 now, GTimeZone *zone, gboolean last, gint64 *us)
{
  g_autofree char *stripped = g_strstrip (g_strdup (text));

  return parse_word (stripped, now, zone, last, us) || parse_relative (stripped, now, us)
         || parse_date (stripped, now, zone, last, us);
}
