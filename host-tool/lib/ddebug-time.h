/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parse times as in journalctl: see systemd.time(7), "Parsing Timestamps". */
#ifndef DDEBUG_TIME_H
#define DDEBUG_TIME_H

#include <glib.h>

/**
 * ddebug_time_parse:
 * @now: us since 1970
 * @zone: time zone of times without one
 * @last: what a time that clocks show twice stands for: the second time, otherwise the first
 * @us: (out): us since 1970, negative before
 *
 * Accepts
 *   now, today, yesterday, tomorrow       days start at midnight
 *   -SPAN, +SPAN, SPAN ago                such as -1h, "1h 30min ago", -90; seconds without a unit
 *   @SECONDS                              since 1970
 *   [[DAY] DATE] TIME [ZONE], [DAY] DATE [ZONE]
 *                                         Tue 2026-11-24 10:00:05.123 +0100; also with T between date
 *                                         and time.  The default date is today, the default time
 *                                         midnight.  A zone is Z, UTC, an offset, a name such as
 *                                         Europe/Berlin, or the abbreviation of @zone at that time,
 *                                         such as CET.
 * Fractions of seconds are truncated to us.  Where the clocks of a zone are put back, the abbreviation tells
 * which of the two times is meant, otherwise @last does.  A time that they skip is the moment at which they
 * are put forward, unless an abbreviation is given, which then cannot be right.
 *
 * Returns: %FALSE if @text is none of these
 */
gboolean ddebug_time_parse (const char *text, gint64 now, GTimeZone *zone, gboolean last, gint64 *us);

#endif
