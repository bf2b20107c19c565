/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's side of the stress test: CPUs whose tasks, softirqs, hard interrupts
 * and NMIs log through guest-driver/ddebug_{emit,pack,ring,kick}.c, as text and
 * packed in turn.
 *
 * Interrupts occur at the points of kernel.h, which are between the accesses whose
 * order matters, and, with signals, at any instruction.  A message may log another one
 * while it is formatted (recursion), or its writer may die there.  After a death the
 * thread returns to where the task started, as after an oops; the next to log is
 * another task, the same one on its way out, or the same one with less on its stack.
 * Interrupts die only if they have not interrupted a message: otherwise it would be a
 * panic, after which nothing is logged.
 */
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>
#include "../../guest-driver/ddebug_attach.h"
#include "../../guest-driver/ddebug_cpu.h"
#include "../../guest-driver/ddebug_emit.h"
#include "../../guest-driver/ddebug_kick.h"
#include "../../guest-driver/ddebug_pack.h"
#include "../../guest-driver/ddebug_ring_mem.h"
#include "../../guest-driver/ddebug_ring_swap.h"
#include "../../guest-driver/ddebug_transport.h"
#include "stress.h"

unsigned int *sim_param_rb_size_kb(void);

#define SIGNAL(level)	(SIGRTMIN + (level))

/* State of a CPU's thread. */
struct writer {
	unsigned int cpu;
	uint64_t random;
	u64 said;
	u64 sent[STRESS_LEVELS];
	u64 own[STRESS_LEVELS];
	u64 nested, recursions, deaths;
	unsigned int inside;		/* messages being written */
	unsigned int depth;		/* of the task's stack */
	bool asynchronous;		/* in a signal handler */
	bool may_die;
	bool rewound;			/* died, but still the same task */
	sigjmp_buf alive;
	struct task_struct tasks[2];
};

static StressOptions options;
static void (*notify_device)(void);
static struct writer writers[STRESS_CPUS_MAX];
static __thread struct writer *w;

/* When each CPU has said its last messages of each level. */
#define SAID_KEPT	4096

static struct said {
	u64 index;
	u64 begin, end;
} said[STRESS_CPUS_MAX][STRESS_LEVELS][SAID_KEPT];

static u64 moments[STRESS_CPUS_MAX];

static struct ddebug_stream *posted[STRESS_STREAMS_MAX];
static unsigned int nr_posted;
/* One that is to take the place of another stream's ring. */
static struct ddebug_stream *fresh;

static const struct _ddebug callsites[STRESS_LEVELS] = {
	{ .lineno = STRESS_CALLSITE(0) }, { .lineno = STRESS_CALLSITE(1) },
	{ .lineno = STRESS_CALLSITE(2) }, { .lineno = STRESS_CALLSITE(3) },
};

/* Some ids need the longer layout of packed records. */
static struct ddebug_program *programs[STRESS_LEVELS][2];

static void make_programs(void)
{
	unsigned int i;

	for (i = 0; i < 2 * STRESS_LEVELS; i++) {
		struct ddebug_program *p = ddebug_program_new(STRESS_FORMAT, strlen(STRESS_FORMAT));

		if (!p)
			stress_fail("a program cannot be made");
		p->id = STRESS_CALLSITE(i / 2) + (i % 2) * STRESS_WIDE;
		programs[i / 2][i % 2] = p;
	}
}

/* Alternates between text, packed, and packed in the longer layout. */
static const struct ddebug_program *find_program(const struct _ddebug *d, const char *fmt)
{
	static __thread unsigned int turn;

	turn++;
	return turn % 3 && !strcmp(fmt, STRESS_FORMAT) ?
	       programs[d->lineno - STRESS_CALLSITE(0)][turn % 3 - 1] : NULL;
}

static bool one_in(unsigned int n)
{
	return stress_random(&w->random) % n == 0;
}

/* Also called by signal handlers, which may interrupt it. */
static void count(u64 *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static __printf(2, 3) void emit(const struct _ddebug *d, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	ddebug_emit(d, DDEBUG_KIND_PR, NULL, fmt, args);
	va_end(args);
}

static void note(u64 *to, u64 value)
{
	__atomic_store_n(to, value, __ATOMIC_SEQ_CST);
}

static u64 moment(void)
{
	return __atomic_add_fetch(&moments[w->cpu], 1, __ATOMIC_SEQ_CST);
}

static noinline void say(void)
{
	u8 level = interrupt_context_level();
	u64 index = w->sent[level]++;
	struct said *s = &said[w->cpu][level][index % SAID_KEPT];
	char text[STRESS_TEXT_MAX];

	stress_text(text, w->cpu, level, index);
	note(&s->index, UINT64_MAX);
	note(&s->end, UINT64_MAX);
	note(&s->begin, moment());
	note(&s->index, index);
	w->inside++;
	emit(&callsites[level], STRESS_FORMAT, text);
	w->inside--;
	note(&s->end, moment());
}

bool writer_when(unsigned cpu, unsigned level, uint64_t index, uint64_t *begin, uint64_t *end)
{
	const struct said *s = &said[cpu][level][index % SAID_KEPT];
	const u64 was = __atomic_load_n(&s->index, __ATOMIC_SEQ_CST);

	*begin = __atomic_load_n(&s->begin, __ATOMIC_SEQ_CST);
	*end = __atomic_load_n(&s->end, __ATOMIC_SEQ_CST);
	return was == index && __atomic_load_n(&s->index, __ATOMIC_SEQ_CST) == index;
}

/* Like say(), with more on the stack. */
static noinline void say_deep(unsigned int depth)
{
	volatile char frame[64];

	frame[0] = depth;
	if (depth)
		say_deep(depth - 1);
	else
		say();
	frame[1] = frame[0];
}

static void interrupt(u8 level)
{
	u8 old = sim_enter(level);

	count(&w->nested);
	say();
	if (one_in(4))
		say();
	sim_leave(old);
}

static u8 level_above(u8 level)
{
	return level + 1 + stress_random(&w->random) % (VIRTIO_DDEBUG_CTX_NMI - level);
}

/* A signal may interrupt this: it must not see an earlier task. */
static void next_task(void)
{
	struct task_struct *next = &w->tasks[current == &w->tasks[0]];

	next->start_time++;
	next->flags = 0;
	sim_compiler_barrier();
	current = next;
	sim_compiler_barrier();
}

#ifdef SIM_POINTS

static __attribute__((noreturn)) void die(void)
{
	count(&w->deaths);
	w->inside = 0;
	if (sim_cpu.level || current->flags & PF_EXITING) {
		next_task();
		sim_cpu.level = VIRTIO_DDEBUG_CTX_TASK;
		siglongjmp(w->alive, 1);
	}
	switch (stress_random(&w->random) % 4) {
	case 0:		/* the structure now belongs to another task */
		current->start_time++;
		break;
	case 1:
		current->flags |= PF_EXITING;
		break;
	case 2:		/* see ddebug_owner_died(): undetectable where the task began */
		if (w->depth) {
			w->rewound = true;
			break;
		}
		/* fall through */
	default:
		next_task();
		break;
	}
	siglongjmp(w->alive, 1);
}

/* While a message is formatted; occasionally slow, so that readers get to run. */
static void in_format(void)
{
	if (one_in(100))
		usleep(10);
	if (w->may_die && w->inside == 1 && !w->asynchronous && !sim_cpu.working && one_in(300))
		die();
	if (one_in(200)) {
		count(&w->recursions);
		say();
	}
}

/* Between two accesses. */
static void at_point(void)
{
	if (sim_cpu.level < VIRTIO_DDEBUG_CTX_NMI && one_in(100))
		interrupt(level_above(sim_cpu.level));
}

#endif

/* At any instruction. */
static void on_signal(int number)
{
	u8 level = number - SIGNAL(0);
	int error = errno;
	bool was;

	if (!w || sim_cpu.level >= level)
		return;
	was = w->asynchronous;
	w->asynchronous = true;
	interrupt(level);
	w->asynchronous = was;
	errno = error;
}

/* What another CPU has called on this one. */
static void on_call(int number)
{
	int error = errno;

	sim_take_calls();
	errno = error;
}

/* -- the transport ------------------------------------------------------------- */

static int post(struct ddebug_transport *t, struct ddebug_stream *s)
{
	s->queue = s->id / VIRTIO_DDEBUG_NR_CTX;
	if (nr_posted == options.cpus * STRESS_LEVELS)
		fresh = s;
	else
		posted[nr_posted++] = s;
	return 0;
}

static StressStream describe(const struct ddebug_stream *s)
{
	const struct virtio_ddebug_stream_desc *desc = &s->shared->desc;
	StressStream stream = {
		.hdr = &s->shared->hdr,
		.status = s->status,
		.ring = calloc(s->nr_pieces, sizeof(struct iovec)),
		.nr_pieces = s->nr_pieces,
		.id = desc->stream,
		.cpu = desc->cpu,
		.context = desc->context,
		.subbuf_shift = desc->subbuf_shift,
		.ring_size = desc->ring_size,
	};
	unsigned int k;

	for (k = 0; k < s->nr_pieces; k++) {
		stream.ring[k].iov_base = page_address(s->pieces[k].page);
		stream.ring[k].iov_len = s->pieces[k].len;
	}
	return stream;
}

static int retire(struct ddebug_transport *t, struct ddebug_stream *s)
{
	StressStream stream;

	if (!fresh || fresh->id != s->id)
		stress_fail("stream %u is retired, and there is no other", s->id);
	stream = describe(fresh);
	reader_swap(&stream, le64_to_cpu(fresh->shared->desc.start));
	fresh = NULL;
	return 0;
}

/* The transport itself logs while it works: such messages are dropped, and counted. */
static void notify(struct ddebug_transport *t, struct ddebug_stream *s)
{
	if (w && one_in(8)) {
		count(&w->own[interrupt_context_level()]);
		emit(&callsites[0], "a message about a message");
	}
	notify_device();
}

static const struct ddebug_transport_ops transport_ops = {
	.post = post,
	.retire = retire,
	.notify = notify,
};

static struct ddebug_transport transport = { .ops = &transport_ops };

/* -- for the device's side -------------------------------------------------------- */

void writer_init(const StressOptions *o, void (*notify_fn)(void))
{
	static struct task_struct boot = { .start_time = 1 };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	u8 level;

	options = *o;
	sim_clock_step = options.clock_step;
	notify_device = notify_fn;
	for (level = 1; level < STRESS_LEVELS && options.signals; level++)
		sigaction(SIGNAL(level), &action, NULL);
	action.sa_handler = on_call;
	sigaction(SIGNAL(VIRTIO_DDEBUG_NR_CTX), &action, NULL);
	make_programs();
	sim_find_program = find_program;
	sim_init(options.cpus);
	sim_cpu_begin(0, &boot);
	*sim_param_rb_size_kb() = options.rb_size_kb;
	if (ddebug_cpu_init() || ddebug_transport_attach(&transport))
		stress_fail("the rings cannot be made");
	ddebug_cpu_set_active(DDEBUG_ACTIVE_CALLSITES, true);
}

unsigned writer_streams(StressStream *streams)
{
	unsigned int i;

	for (i = 0; i < nr_posted; i++)
		streams[i] = describe(posted[i]);
	return nr_posted;
}

void writer_resize(unsigned kb)
{
	static struct task_struct task = { .start_time = 1, .pid = 3 };
	int err;

	sim_cpu_begin(0, &task);
	err = ddebug_ring_resize(kb);
	if (err || ddebug_ring_size_kb() != kb)
		stress_fail("rings of %u KiB: error %d", kb, err);
}

void writer_begin(unsigned cpu)
{
	w = &writers[cpu];
	w->cpu = cpu;
	w->random = options.seed * STRESS_CPUS_MAX + cpu + 1;
	w->tasks[0].start_time = w->tasks[1].start_time = 1;
	w->tasks[0].pid = 1000 + cpu;
	w->tasks[1].pid = 2000 + cpu;
	sim_cpu_begin(cpu, &w->tasks[0]);
#ifdef SIM_POINTS
	if (options.interrupts) {
		sim_point_hook = at_point;
		sim_format_hook = in_format;
	}
#endif
}

void writer_burst(void)
{
	const u64 target = w->said + options.messages;

	sim_cpu_run(options.signals);
	if (sigsetjmp(w->alive, 0)) {
		/* last messages, from a frame above the one that died */
		w->may_die = false;
		if (w->rewound || current->flags & PF_EXITING)
			say();
		if (current->flags & PF_EXITING)
			next_task();
		w->rewound = false;
	}
	w->may_die = true;
	while (w->said < target) {
		w->said++;
		w->depth = stress_random(&w->random) % 4;
		say_deep(w->depth);
		if (options.interrupts && one_in(20))
			interrupt(level_above(VIRTIO_DDEBUG_CTX_TASK));
		if (one_in(64))
			sim_tick();
	}
	w->may_die = false;
	sim_tick();
	sim_idle();
	sim_cpu_stop();
}

void writer_end(unsigned cpu)
{
	static struct task_struct last = { .start_time = 1, .pid = 1 };
	u8 level;

	w = &writers[cpu];
	sim_cpu_begin(cpu, &last);
	for (level = 0; level < STRESS_LEVELS; level++) {
		u8 old = sim_enter(level);

		say();
		sim_leave(old);
	}
	sim_tick();
	sim_idle();
	w = NULL;
}

StressCount writer_count(unsigned cpu, unsigned level)
{
	const struct virtio_ddebug_stream_hdr *hdr = per_cpu(ddebug_cpu, cpu).ring[level]->hdr;

	return (StressCount) {
		.sent = writers[cpu].sent[level] + writers[cpu].own[level],
		.committed = hdr->seq,
		.recursed = hdr->recursed,
		.torn = hdr->torn,
		.clamped = hdr->clamped,
	};
}

void writer_totals(uint64_t *nested, uint64_t *recursions, uint64_t *deaths, uint64_t *own)
{
	unsigned int cpu, level;
	u64 dropped;

	*nested = *recursions = *deaths = *own = 0;
	for_each_possible_cpu(cpu) {
		const struct ddebug_cpu *c = per_cpu_ptr(&ddebug_cpu, cpu);

		*nested += writers[cpu].nested;
		*recursions += writers[cpu].recursions;
		*deaths += writers[cpu].deaths;
		if (c->own_dropped || c->nostream)
			stress_fail("CPU %u: %lu messages of the transport are not counted, and %lu were "
				    "dropped for want of a stream", cpu, c->own_dropped, c->nostream);
		for (level = 0, dropped = 0; level < STRESS_LEVELS; level++)
			dropped += writers[cpu].own[level];
		if (c->own != dropped)
			stress_fail("CPU %u: the transport has dropped %lu messages, not %llu", cpu,
				    c->own, dropped);
		*own += dropped;
	}
}
