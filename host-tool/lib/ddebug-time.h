/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Times as users of journalctl write them: see systemd.time(7), "Parsing Timestamps". */
#ifndef DDEBUG_TIME_H
#define DDEBUG_TIME_H

#include <glib.h>

/**
 * ddebug_time_parse:
 * @now: us since 1970
 * @zone: of times that name none
 * @us: (out): us since 1970, below 0 for what is before
 *
 * Understands
 *   now, today, yesterday, tomorrow       the days begin at midnight
 *   -SPAN, +SPAN, SPAN ago                such as -1h, "1h 30min ago", -90; seconds if no unit is named
 *   @SECONDS                              since 1970
 *   [[DAY] DATE] TIME [ZONE], [DAY] DATE [ZONE]
 *                                         Tue 2026-11-24 10:00:05.123 +0100; T between date and time, too.
 *                                         Without a date today's, without a time midnight.  A zone is
 *                                         Z, UTC, an offset, a name as Europe/Berlin, or what @zone is
 *                                         called at that time, CET for example.
 * Fractions of seconds are cut to us.
 *
 * Returns: %FALSE if @text is none of these
 */
gboolean ddebug_time_parse (const char *text, gint64 now, GTimeZone *zone, gint64 *us);

#endif
