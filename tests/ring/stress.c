/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rings under stress: one writer per stream, readers that lag, are lapped, and race.
 *
 *   stress [--cpus=N] [--bursts=N] [--messages=N] [--rb-size-kb=N] [--seed=N]
 *          [--clock-step=NS] [--no-interrupts] [--no-signals] [--resizes=N]
 *
 * Every reader checks every message that it gets (reader.c); at the end what was sent
 * must equal what was committed plus what was dropped.  An error is printed as one line,
 * with exit status 1.
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "stress.h"

static StressOptions options = {
    .cpus = 2,
    .bursts = 20,
    .messages = 1000,
    .rb_size_kb = 32,
    .seed = 1,
    .clock_step = 1,
    .interrupts = true,
    .signals = true,
    .resizes = 0,
};

static pthread_barrier_t burst_begins, burst_ends;
static pthread_t cpus[STRESS_CPUS_MAX];
static bool ended;

static void *cpu_thread(void *opaque)
{
    unsigned i;

    writer_begin((unsigned)(size_t)opaque);
    for (i = 0; i < options.bursts; i++) {
        pthread_barrier_wait(&burst_begins);
        writer_burst();
        pthread_barrier_wait(&burst_ends);
    }
    return NULL;
}

/* Interrupts at any instruction of a CPU: signals for the three levels above the task's. */
static void *signal_thread(void *opaque)
{
    uint64_t random = options.seed;
    const struct timespec pause = { .tv_nsec = 50000 };

    (void)opaque;
    while (!__atomic_load_n(&ended, __ATOMIC_ACQUIRE)) {
        pthread_kill(cpus[stress_random(&random) % options.cpus],
                     SIGRTMIN + 1 + stress_random(&random) % (STRESS_LEVELS - 1));
        nanosleep(&pause, NULL);
    }
    return NULL;
}

/* Rings of other sizes, while they are written and read; between bursts as well. */
static void *resize_thread(void *opaque)
{
    uint64_t random = options.seed + 77;
    unsigned i;

    (void)opaque;
    for (i = 0; i < options.resizes; i++) {
        writer_resize(32 + stress_random(&random) % 5 * 16);
        usleep(stress_random(&random) % 1000);
    }
    return NULL;
}

static unsigned long number(const char *text, unsigned long min, unsigned long max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 0);

    if (*end || end == text || value < min || value > max) {
        fprintf(stderr, "stress: '%s' is not a number from %lu to %lu\n", text, min, max);
        exit(2);
    }
    return value;
}

static void parse(int argc, char **argv)
{
    static const struct option known[] = {
        { "cpus", required_argument, NULL, 'c' },
        { "bursts", required_argument, NULL, 'b' },
        { "messages", required_argument, NULL, 'm' },
        { "rb-size-kb", required_argument, NULL, 'r' },
        { "seed", required_argument, NULL, 's' },
        { "clock-step", required_argument, NULL, 'k' },
        { "resizes", required_argument, NULL, 'R' },
        { "no-interrupts", no_argument, NULL, 'I' },
        { "no-signals", no_argument, NULL, 'S' },
        { 0 },
    };
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) >= 0) {
        switch (c) {
        case 'c':
            options.cpus = number(optarg, 1, STRESS_CPUS_MAX);
            break;
        case 'b':
            options.bursts = number(optarg, 1, 1000000000);
            break;
        case 'm':
            options.messages = number(optarg, 1, 1000000000);
            break;
        case 'r':
            options.rb_size_kb = number(optarg, 32, 16384);
            break;
        case 's':
            options.seed = number(optarg, 1, UINT32_MAX);
            break;
        case 'k':
            options.clock_step = number(optarg, 1, 1000000000);
            break;
        case 'R':
            options.resizes = number(optarg, 0, 10000);
            break;
        case 'I':
            options.interrupts = false;
            break;
        case 'S':
            options.signals = false;
            break;
        default:
            exit(2);
        }
    }
    if (!options.interrupts) {
        options.signals = false;
    }
}

static void check_sent(void)
{
    StressCount all = { 0 };
    uint64_t nested, recursions, deaths, own;
    unsigned cpu, level;

    for (cpu = 0; cpu < options.cpus; cpu++) {
        for (level = 0; level < STRESS_LEVELS; level++) {
            const StressCount count = writer_count(cpu, level);

            if (count.sent != count.committed + count.recursed + count.torn) {
                stress_fail("CPU %u, level %u: %llu were sent; %llu committed, %llu recursed, "
                            "%llu torn", cpu, level, (unsigned long long)count.sent,
                            (unsigned long long)count.committed,
                            (unsigned long long)count.recursed, (unsigned long long)count.torn);
            }
            all.sent += count.sent;
            all.committed += count.committed;
            all.recursed += count.recursed;
            all.torn += count.torn;
            all.clamped += count.clamped;
        }
    }
    writer_totals(&nested, &recursions, &deaths, &own);
    printf("# sent: %llu messages; committed %llu, recursed %llu, torn %llu, clamped %llu; "
           "%llu interrupts, %llu recursions, %llu deaths, %llu of the transport\n",
           (unsigned long long)all.sent, (unsigned long long)all.committed,
           (unsigned long long)all.recursed, (unsigned long long)all.torn,
           (unsigned long long)all.clamped, (unsigned long long)nested,
           (unsigned long long)recursions, (unsigned long long)deaths,
           (unsigned long long)own);
    if (all.recursed != recursions + own || all.torn != deaths) {
        stress_fail("the writers counted %llu recursions, %llu messages of the transport and %llu "
                    "deaths, the rings did not", (unsigned long long)recursions,
                    (unsigned long long)own, (unsigned long long)deaths);
    }
}

int main(int argc, char **argv)
{
    StressStream streams[STRESS_STREAMS_MAX];
    pthread_t signals, resizes;
    unsigned count, i;

    parse(argc, argv);
    pthread_barrier_init(&burst_begins, NULL, options.cpus + 1);
    pthread_barrier_init(&burst_ends, NULL, options.cpus + 1);
    writer_init(&options, reader_notify);
    count = writer_streams(streams);
    if (count != options.cpus * STRESS_LEVELS) {
        stress_fail("there are %u streams", count);
    }
    reader_init(streams, count, options.seed);
    viewer_init(options.cpus);
    for (i = 0; i < options.cpus; i++) {
        pthread_create(&cpus[i], NULL, cpu_thread, (void *)(size_t)i);
    }
    if (options.signals) {
        pthread_create(&signals, NULL, signal_thread, NULL);
    }
    if (options.resizes) {
        pthread_create(&resizes, NULL, resize_thread, NULL);
    }
    for (i = 0; i < options.bursts; i++) {
        pthread_barrier_wait(&burst_begins);
        pthread_barrier_wait(&burst_ends);
        if (!options.signals) {
            reader_check_rest();
        }
    }
    __atomic_store_n(&ended, true, __ATOMIC_RELEASE);
    if (options.signals) {
        pthread_join(signals, NULL);
    }
    for (i = 0; i < options.cpus; i++) {
        pthread_join(cpus[i], NULL);
    }
    if (options.resizes) {
        pthread_join(resizes, NULL);
    }
    for (i = 0; i < options.cpus; i++) {
        writer_end(i);
    }
    reader_check_rest();
    reader_end();
    viewer_end();
    check_sent();
    return 0;
}
