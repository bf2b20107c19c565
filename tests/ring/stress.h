/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interface between the parts of the stress test: the guest's (writer.c and viewer.c,
 * built with kernel.h), the device's (reader.c, built with GLib), and common code.
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
#define STRESS_TEXT_MAX		1100	/* of a text; some are too long */
#define STRESS_TEXT_KEPT	1021	/* what is recorded of it at most */
#define STRESS_CALLSITE(level)	(100 + (level))
#define STRESS_WIDE		65536	/* added to it in some packed records */
#define STRESS_FORMAT		"%s"	/* of every message */

typedef struct StressOptions {
    unsigned cpus;
    unsigned bursts;
    unsigned messages;      /* per burst and CPU, by its task */
    unsigned rb_size_kb;
    uint64_t seed;
    uint64_t clock_step;    /* ns: what the guest's clock advances by */
    bool interrupts;        /* other contexts interrupt */
    bool signals;           /* even at any instruction */
    unsigned resizes;       /* while all of this goes on */
} StressOptions;

/* A stream as the device sees it. */
typedef struct StressStream {
    const void *hdr;
    void *status;
    struct iovec *ring;
    unsigned nr_pieces;
    unsigned queue;
    unsigned id, cpu, context, subbuf_shift, ring_size;
} StressStream;

/* The writers' counts of a stream, at the end. */
typedef struct StressCount {
    uint64_t sent;
    uint64_t committed;
    uint64_t recursed;
    uint64_t torn;
    uint64_t clamped;
} StressCount;

/* message.c: the text of a message.  buf: STRESS_TEXT_MAX bytes.  Returns its length. */
size_t stress_text(char *buf, unsigned cpu, unsigned level, uint64_t index);
/*
 * Is this the text of that stream's message?  Returns its index, or
 * UINT64_MAX.
 */
uint64_t stress_index(const char *text, size_t len, unsigned cpu, unsigned level);
uint64_t stress_random(uint64_t *state);
/* Print the error and exit with status 1. */
void stress_fail(const char *fmt, ...)
    __attribute__((noreturn, format(printf, 1, 2)));

/* writer.c.  notify is called by CPUs, in any context but NMI. */
void writer_init(const StressOptions *options, void (*notify)(void));
/* Give all tasks' rings another size, by a thread that is no CPU. */
void writer_resize(unsigned kb);
/* Fill in @streams, with room for STRESS_STREAMS_MAX; return their number. */
unsigned writer_streams(StressStream *streams);
/* The calling thread becomes this CPU. */
void writer_begin(unsigned cpu);
/* Log all messages of a CPU's burst. */
void writer_burst(void);
/* After all CPUs have ended, for each of them: one more message on each stream. */
void writer_end(unsigned cpu);
StressCount writer_count(unsigned cpu, unsigned level);
/*
 * When this message was said, on a scale of its CPU's own: set *begin and *end, to
 * UINT64_MAX if it has not ended.  Returns false if that is not known any more.
 */
bool writer_when(unsigned cpu, unsigned level, uint64_t index, uint64_t *begin, uint64_t *end);
/* Messages of all CPUs: by interrupts, nested, never finished, by the transport itself. */
void writer_totals(uint64_t *nested, uint64_t *recursions, uint64_t *deaths, uint64_t *own);

/* viewer.c.  The guest's readers; they end after the writers. */
void viewer_init(unsigned cpus);
/* Their counts must match the writers'. */
void viewer_end(void);

/* reader.c.  The device's readers; count streams. */
void reader_init(const StressStream *streams, unsigned count, uint64_t seed);
/*
 * The readers read the ring of a stream to its end and go on in another one, from
 * position @start.  Afterwards they know the old one no more.
 */
void reader_swap(const StressStream *stream, uint64_t start);
/* Wake the sleeper; called in any context. */
void reader_notify(void);
/*
 * Nothing is written any more: when the sleeper is asleep it must have read
 * everything, since nobody will wake it.
 */
void reader_check_rest(void);
/* End all readers; their counts must match the writers'. */
void reader_end(void);

#endif
