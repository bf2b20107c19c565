/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench-ring COUNT: log the three-int message COUNT times with the producer's own
 * source (guest-driver/), built as by tests/ring.  Prints ns per message:
 *
 *   the ring alone: a record of three raw ints, which is what a tracer of binary
 *   events writes
 *   a text record, as written by the driver
 *   the formatting alone
 *   a packed record, as written by the driver
 *
 * No device is attached, as LTTng-UST wakes no reader for an event; the clock is
 * clock_gettime(CLOCK_MONOTONIC), as there.
 */
#include <time.h>
#include "../../guest-driver/ddebug_cpu.h"
#include "../../guest-driver/ddebug_emit.h"
#include "../../guest-driver/ddebug_kick.h"
#include "../../guest-driver/ddebug_pack.h"
#include "../../guest-driver/ddebug_ring.h"

static const struct _ddebug callsite = { .lineno = 1 };

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static noinline void binary(int urb, int len, int status)
{
	const int args[] = { urb, len, status };
	struct ddebug_slot slot;

	if (!ddebug_slot_begin(&slot, (unsigned long)__builtin_frame_address(0)))
		abort();
	if (slot.room < sizeof(args))
		ddebug_slot_next(&slot);
	memcpy(slot.text, args, sizeof(args));
	ddebug_slot_commit_text(&slot, DDEBUG_REC_TEXT, callsite.lineno, current->pid, sizeof(args));
}

static noinline __printf(2, 3) void text(const struct _ddebug *d, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	ddebug_emit(d, DDEBUG_KIND_PR, NULL, fmt, args);
	va_end(args);
}

static noinline __printf(2, 3) void format(char *buf, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(buf, DDEBUG_TEXT_MAX, fmt, args);
	va_end(args);
}

#define FORMAT		"urb %d len %d status %d\n"
#define MESSAGE(i)	FORMAT, (i) & 0xffff, (i) % 1500, -((i) % 133)

static const struct ddebug_program *program;

static const struct ddebug_program *find_program(const struct _ddebug *d, const char *fmt)
{
	return program;
}

static const struct ddebug_program *make_program(void)
{
	struct ddebug_program *p = ddebug_program_new(FORMAT, strlen(FORMAT));

	if (!p)
		abort();
	p->id = callsite.lineno;
	return p;
}

/* ns per run of @statement, which may use the counter i. */
#define TIMED(statement) ({						\
	double begin = now();						\
	for (int i = 0; i < count; i++)					\
		statement;						\
	(now() - begin) / count;					\
})

int main(int argc, char **argv)
{
	static struct task_struct task = { .start_time = 1, .pid = 1 };
	const int count = argc == 2 ? atoi(argv[1]) : 0;
	char buf[DDEBUG_TEXT_MAX];
	const struct virtio_ddebug_stream_hdr *hdr;

	if (count <= 0) {
		fprintf(stderr, "usage: bench-ring COUNT\n");
		return 2;
	}
	sim_init(1);
	sim_cpu_begin(0, &task);
	if (ddebug_cpu_init())
		return 1;
	printf("%.1f ", TIMED(binary(i & 0xffff, i % 1500, -(i % 133))));
	printf("%.1f ", TIMED(text(&callsite, MESSAGE(i))));
	printf("%.1f ", TIMED(format(buf, MESSAGE(i))));
	program = make_program();
	sim_find_program = find_program;
	printf("%.1f\n", TIMED(text(&callsite, MESSAGE(i))));

	hdr = per_cpu(ddebug_cpu, 0).ring[VIRTIO_DDEBUG_CTX_TASK]->hdr;
	if (hdr->seq != 3ull * count) {
		fprintf(stderr, "bench-ring: %llu messages were committed, not %llu\n",
			(unsigned long long)hdr->seq, 3ull * count);
		return 1;
	}
	return 0;
}
