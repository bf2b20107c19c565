/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The readers in the guest of the stress test, by guest-driver/ddebug_{view,unpack}.c.  Each
 * message must match its stream byte for byte, in order, once; a view must be sorted by
 * time, and the messages of a CPU in the order in which they were said, whatever its clock
 * does; and what is missing must be exactly what is reported as lost.
 *
 *   consumer  keeps reading, like trace_pipe
 *   onlooker  starts again each time with what is there, like trace
 */
#include <sched.h>
#include "../../guest-driver/ddebug_dict.h"
#include "../../guest-driver/ddebug_unpack.h"
#include "../../guest-driver/ddebug_view.h"
#include "stress.h"

enum { CONSUMER, ONLOOKER, VIEWERS };

static const char *const names[VIEWERS] = { "consumer", "onlooker" };

struct track {
	u64 index;		/* the guest's index of the last one, plus one */
	u64 time;
	u64 received, lost, dropped;
};

struct viewer {
	unsigned int kind;
	pthread_t thread;
	struct ddebug_view *view;
	struct ddebug_view *begin;	/* an empty view */
	u64 time;			/* of the last message of this view */
	u64 began[STRESS_CPUS_MAX];	/* when it was said that last, of each CPU */
	u64 views;
	u64 received, lost;		/* of all views */
	u64 packed;			/* of those received */
	struct track tracks[STRESS_CPUS_MAX][STRESS_LEVELS];
};

static struct viewer viewers[VIEWERS];
static unsigned int nr_cpus;
static bool stop;

static __attribute__((noreturn))
void fail(const struct viewer *v, const struct ddebug_message *m, const char *what)
{
	stress_fail("%s, cpu %u, context %u: %s", names[v->kind], m->cpu, m->context, what);
}

/* The dictionary: all callsites have one format. */
const char *ddebug_dict_packed_format(u32 id, size_t *len)
{
	*len = sizeof(STRESS_FORMAT) - 1;
	return STRESS_FORMAT;
}

static u32 packed_callsite(const struct ddebug_message *m)
{
	if (m->rec.packed.callsite)
		return le16_to_cpu(m->rec.packed.callsite);
	return le32_to_cpu(m->rec.packed_wide.callsite) % STRESS_WIDE;
}

/* The text of a message, of *@len bytes, and its callsite. */
static const char *read_message(struct viewer *v, const struct ddebug_message *m, char *buf,
				size_t *len, u32 *callsite)
{
	const char *text;

	switch (m->type) {
	case DDEBUG_REC_TEXT:
		*callsite = le32_to_cpu(m->rec.text.callsite);
		*len = m->len - sizeof(m->rec.text);
		return (const char *)m->rec.text.text;
	case DDEBUG_REC_PACKED:
		v->packed++;
		*callsite = packed_callsite(m);
		text = ddebug_unpack(m, buf, DDEBUG_TEXT_MAX + 1, len);
		if (!text)
			fail(v, m, "a packed record that cannot be read");
		return text;
	default:
		fail(v, m, "a record that nobody makes");
	}
}

static void check_message(struct viewer *v, const struct ddebug_message *m)
{
	struct track *t = &v->tracks[m->cpu][m->context];
	char buf[DDEBUG_TEXT_MAX + 1];
	const char *text;
	u32 callsite;
	size_t len;
	u64 index;
	uint64_t begin, end;

	t->lost += m->lost;
	t->dropped += m->dropped;
	if (m->type == DDEBUG_REC_NONE)
		return;
	text = read_message(v, m, buf, &len, &callsite);
	index = stress_index(text, len, m->cpu, m->context);
	if (index == UINT64_MAX)
		fail(v, m, "a text that was not said there");
	if (callsite != STRESS_CALLSITE(m->context))
		fail(v, m, "another callsite's");
	if (index < t->index)
		fail(v, m, "a message comes again");
	if (index < t->received + t->lost)
		fail(v, m, "more are missing than were said");
	if (m->time < t->time)
		fail(v, m, "time goes back within a stream");
	if (m->time < v->time)
		fail(v, m, "time goes back within a view");
	if (writer_when(m->cpu, m->context, index, &begin, &end)) {
		if (end < v->began[m->cpu])
			fail(v, m, "it was over when the one before it began");
		v->began[m->cpu] = begin;
	}
	t->index = index + 1;
	t->time = m->time;
	t->received++;
	v->time = m->time;
}

static void look(struct viewer *v)
{
	struct ddebug_message m;

	ddebug_view_to_now(v->view);
	v->time = 0;
	memset(v->began, 0, sizeof(v->began));
	while (ddebug_view_next(v->view, &m))
		check_message(v, &m);
	v->views++;
}

/* Nothing is known about what follows. */
static void begin_anew(struct viewer *v)
{
	unsigned int cpu, level;

	ddebug_view_copy(v->view, v->begin);
	for (cpu = 0; cpu < nr_cpus; cpu++) {
		for (level = 0; level < STRESS_LEVELS; level++) {
			v->received += v->tracks[cpu][level].received;
			v->lost += v->tracks[cpu][level].lost;
		}
	}
	memset(v->tracks, 0, sizeof(v->tracks));
}

static void *view_thread(void *opaque)
{
	struct viewer *v = opaque;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		if (v->kind == ONLOOKER)
			begin_anew(v);
		look(v);
		sched_yield();
	}
	if (v->kind == ONLOOKER)
		begin_anew(v);
	look(v);
	return NULL;
}

void viewer_init(unsigned cpus)
{
	unsigned int k;

	nr_cpus = cpus;
	for (k = 0; k < VIEWERS; k++) {
		viewers[k].kind = k;
		viewers[k].view = ddebug_view_new();
		viewers[k].begin = ddebug_view_new();
		pthread_create(&viewers[k].thread, NULL, view_thread, &viewers[k]);
	}
}

static void check_count(const struct viewer *v, unsigned int cpu, unsigned int level)
{
	const struct track *t = &v->tracks[cpu][level];
	const StressCount c = writer_count(cpu, level);

	if (t->received + t->lost != c.committed)
		stress_fail("%s, cpu %u, context %u: %llu messages and %llu lost are not the %llu committed",
			    names[v->kind], cpu, level, t->received, t->lost,
			    (unsigned long long)c.committed);
	if (t->dropped != c.recursed + c.torn)
		stress_fail("%s, cpu %u, context %u: %llu are said to be dropped, %llu are",
			    names[v->kind], cpu, level, t->dropped,
			    (unsigned long long)(c.recursed + c.torn));
}

void viewer_end(void)
{
	unsigned int k, cpu, level;

	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (k = 0; k < VIEWERS; k++) {
		struct viewer *v = &viewers[k];

		pthread_join(v->thread, NULL);
		if (ddebug_view_is_behind(v->view))
			stress_fail("%s: there is more, though nobody writes", names[k]);
		for (cpu = 0; cpu < nr_cpus; cpu++)
			for (level = 0; level < STRESS_LEVELS; level++)
				check_count(v, cpu, level);
		begin_anew(v);
		printf("# %s: %llu messages in %llu views, %llu of them packed, %llu lost\n", names[k],
		       v->received, v->views, v->packed, v->lost);
		if (!v->packed)
			stress_fail("%s has met no packed record", names[k]);
	}
}
