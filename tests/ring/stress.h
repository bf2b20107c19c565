/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the parts of the stress test: the guest's (writer.c and viewer.c, made with
 * kernel.h), the device's (reader.c, made with GLib), and what both know.
 */
#ifndef STRESS_H
#define STRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define STRESS_CPUS_MAX		8
#define STRESS_LEVELS		4
#define STRESS_STREAMS_MAX	(STRESS_CPUS_MAX * STRESS_LEVELS)
#define STRESS_TEXT_MAX		1100	/* what is said; some of it is too long */
#define STRESS_TEXT_KEPT	1021	/* what is left of it at most */
#define STRESS_CALLSITE(level)	(100 + (level))
#define STRESS_WIDE		65536	/* added to it in some packed records */
#define STRESS_FORMAT		"%s"	/* of what is said */

typedef struct StressOptions {
    unsigned cpus;
    unsigned bursts;
    unsigned messages;      /* of a burst, said by a CPU's task */
    unsigned rb_size_kb;
    uint64_t seed;
    bool interrupts;        /* other contexts come in between */
    bool signals;           /* and at any instruction */
} StressOptions;

/* A stream as the device gets to know it. */
typedef struct StressStream {
    const void *hdr;
    void *status;
    struct iovec *ring;
    unsigned nr_pieces;
    unsigned queue;
    unsigned id, cpu, context, subbuf_shift, ring_size;
} StressStream;

/* What the writers say of a stream in the end. */
typedef struct StressCount {
    uint64_t sent;
    uint64_t committed;
    uint64_t recursed;
    uint64_t torn;
    uint64_t clamped;
} StressCount;

/* message.c: what a message says.  buf: STRESS_TEXT_MAX bytes.  Returns its length. */
size_t stress_text(char *buf, unsigned cpu, unsigned level, uint64_t index);
/*
 * Is this the text of that stream's message?  Returns its index, or
 * UINT64_MAX.
 */
uint64_t stress_index(const char *text, size_t len, unsigned cpu, unsigned level);
uint64_t stress_random(uint64_t *state);
/* Says what is wrong, and ends the program with status 1. */
void stress_fail(const char *fmt, ...)
    __attribute__((noreturn, format(printf, 1, 2)));

/* writer.c.  notify is called by CPUs, in any context but NMI. */
void writer_init(const StressOptions *options, void (*notify)(void));
/* Fills in @streams, STRESS_STREAMS_MAX of them; returns how many there are. */
unsigned writer_streams(StressStream *streams);
/* The calling thread is this CPU. */
void writer_begin(unsigned cpu);
/* All that a CPU says in a burst. */
void writer_burst(void);
/* Once all CPUs have ended, for each of them: one more message on each stream. */
void writer_end(unsigned cpu);
StressCount writer_count(unsigned cpu, unsigned level);
/* Messages, over all CPUs: of interrupts, inside others, never ended, the transport's own. */
void writer_totals(uint64_t *nested, uint64_t *recursions, uint64_t *deaths, uint64_t *own);

/* viewer.c.  The guest's own readers; they end when the writers have. */
void viewer_init(unsigned cpus);
/* What they have counted must be what the writers did. */
void viewer_end(void);

/* reader.c.  The device's readers; count streams. */
void reader_init(const StressStream *streams, unsigned count, uint64_t seed);
/* Wakes the one that sleeps until it is notified; any context. */
void reader_notify(void);
/*
 * Nothing moves any more: once the one that sleeps has come to rest it must have
 * read everything, since nobody will wake it.
 */
void reader_check_rest(void);
/* All of them end; what they have counted must be what the writers did. */
void reader_end(void);

#endif
