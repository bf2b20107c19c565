/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of the stress test: each byte is derived from the message's number. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "stress.h"

uint64_t stress_random(uint64_t *state)
{
    /* xorshift64*: the state must not be 0 */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

/* One in eight has a random length, one in 64 is too long, the others are lines. */
static size_t length_of(uint64_t random)
{
    switch (random % 64) {
    case 0:
        return STRESS_TEXT_KEPT - 2 + random / 64 % (STRESS_TEXT_MAX - STRESS_TEXT_KEPT);
    case 1 ... 8:
        return random / 64 % STRESS_TEXT_KEPT;
    default:
        return random / 64 % 80;
    }
}

size_t stress_text(char *buf, unsigned cpu, unsigned level, uint64_t index)
{
    uint64_t state = (index * STRESS_STREAMS_MAX + cpu * STRESS_LEVELS + level + 1) *
                     0x9e3779b97f4a7c15ull;
    size_t len = length_of(stress_random(&state));
    size_t at = snprintf(buf, STRESS_TEXT_MAX, "cpu %u level %u message %llu: ", cpu, level,
                         (unsigned long long)index);
    size_t i;

    for (i = at; i + 1 < len; i++) {
        if (i % 8 == 0 || i == at) {
            stress_random(&state);
        }
        buf[i] = '!' + (state >> i % 8 * 7 & 63);
    }
    buf[i] = '\0';
    return i;
}

uint64_t stress_index(const char *text, size_t len, unsigned cpu, unsigned level)
{
    char said[STRESS_TEXT_MAX], head[64];
    unsigned its_cpu, its_level;
    unsigned long long index;
    size_t said_len;

    snprintf(head, sizeof(head), "%.*s", (int)(len < sizeof(head) ? len : sizeof(head)), text);
    if (sscanf(head, "cpu %u level %u message %llu: ", &its_cpu, &its_level, &index) != 3 ||
        its_cpu != cpu || its_level != level) {
        return UINT64_MAX;
    }
    said_len = stress_text(said, cpu, level, index);
    if (said_len > STRESS_TEXT_KEPT) {
        said_len = STRESS_TEXT_KEPT;
    }
    return len == said_len && !memcmp(text, said, len) ? index : UINT64_MAX;
}

void stress_fail(const char *fmt, ...)
{
    char line[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    fflush(stdout);
    fprintf(stderr, "stress: FAILED: %s\n", line);
    _exit(1);
}
