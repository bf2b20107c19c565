/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rate limit: a token bucket, one token a byte.
 *
 * It fills at the rate, up to one burst; each byte of a chunk takes a token, and
 * so does each byte of upkeep: zeros in a segment before it is used, or where a
 * file grows on a file system without fallocate(), and segments that move when
 * it shrinks.
 *
 * Data ask first (ddebug_log_rate_wait()), one chunk at a time, which keeps the
 * level above minus one chunk and the upkeep that is not yet paid for; chunks
 * that need not ask keep it above DDEBUG_LOG_DEBT_MAX and one chunk less.  So in
 * t seconds at most rate * t + burst + DDEBUG_LOG_DEBT_MAX bytes, one chunk, and
 * the upkeep that a chunk or a request needs are written.
 */
#include "ddebug-log-internal.h"

#define NS_PER_S 1000000000ull

static int64_t burst(const DdebugLog *log)
{
    return MAX(log->rate, DDEBUG_LOG_BURST_MIN);
}

static void refill(DdebugLog *log)
{
    const uint64_t now = ddlog_clock_ns(CLOCK_MONOTONIC);
    const uint64_t room = burst(log) - log->credit;
    /* up to 2^64 ns and a rate of 2^40 */
    const unsigned __int128 due =
        (unsigned __int128)(now - log->credit_ns) * log->rate;
    const unsigned __int128 more = due / NS_PER_S;

    log->credit += more < room ? (uint64_t)more : room;
    log->upkeep -= more < log->upkeep ? (uint64_t)more : log->upkeep;
    /* what has passed of the next byte's time counts again */
    log->credit_ns = now - (uint64_t)(due % NS_PER_S / log->rate);
}

void ddebug_log_set_rate(DdebugLog *log, uint64_t rate)
{
    if (rate == log->rate) {
        return;
    }
    log->rate = MIN(rate, DDEBUG_LOG_RATE_MAX);
    log->credit = burst(log);
    log->upkeep = 0;
    log->credit_ns = ddlog_clock_ns(CLOCK_MONOTONIC);
    log->dry = false;
}

int ddebug_log_rate_wait(DdebugLog *log)
{
    int64_t want;

    if (!log->rate) {
        return 0;
    }
    refill(log);
    log->dry = log->dry ? log->credit < burst(log) / 2 : log->credit <= 0;
    if (!log->dry) {
        return 0;
    }
    want = burst(log) / 2 - log->credit;
    return MIN((uint64_t)want * 1000 / log->rate + 1, G_MAXINT);
}

void ddlog_charge(DdebugLog *log, size_t bytes)
{
    if (log->rate) {
        log->credit -= bytes;
    }
}

void ddlog_charge_upkeep(DdebugLog *log, size_t bytes)
{
    if (log->rate) {
        log->credit -= bytes;
        log->upkeep += bytes;
    }
}

bool ddlog_is_overdrawn(DdebugLog *log)
{
    if (!log->rate) {
        return false;
    }
    refill(log);
    return log->credit < -(int64_t)(DDEBUG_LOG_DEBT_MAX + log->upkeep);
}
