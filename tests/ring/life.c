/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lives of rings, step by step and without chance: guest-driver/ddebug_{ring*,cpu,kick,
 * transport,attach,emit,pack}.c in one thread, read by the device's own source.  Rings are made,
 * written, left, swapped, retired, returned and freed; memory fails at each allocation in turn; the
 * host fails at each request.  Each message must come back: text, callsite, task, time, number,
 * and packed if it can be.  Nothing may leak or be used after it was freed.
 *
 *   life [NAME]      one case, or all; output is TAP
 *
 * Each case is a process of its own, so each begins with a module that has just been loaded.
 */
#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../../guest-driver/ddebug_attach.h"
#include "../../guest-driver/ddebug_compat.h"
#include "../../guest-driver/ddebug_cpu.h"
#include "../../guest-driver/ddebug_emit.h"
#include "../../guest-driver/ddebug_kick.h"
#include "../../guest-driver/ddebug_pack.h"
#include "ddebug_packed.h"
#include "../../guest-driver/ddebug_ring.h"
#include "../../guest-driver/ddebug_ring_mem.h"
#include "../../guest-driver/ddebug_ring_swap.h"
#include "../../guest-driver/ddebug_transport.h"
#include "../../guest-driver/ddebug_unpack.h"
#include "../../guest-driver/ddebug_view.h"
#include "life.h"

unsigned int *sim_param_rb_size_kb(void);

#define CPUS		3
#define STREAMS		(CPUS * VIRTIO_DDEBUG_NR_CTX)
#define KB		32		/* of each ring for tasks, if nothing else is said */
#define MESSAGES	20000		/* of a stream, per case */

#define CHECK(what)	\
	do { if (!(what)) stress_fail("line %d: %s", __LINE__, #what); } while (0)
#define CHECK_IS(a, b)								\
	do {									\
		unsigned long long _a = (a), _b = (b);				\
		if (_a != _b)							\
			stress_fail("line %d: %s is %llu, not %llu", __LINE__, #a, _a, _b);	\
	} while (0)

/* -- the host ------------------------------------------------------------------------ */

struct element {
	struct ddebug_stream *s;
	LifeElement *device;
};

static struct element elements[1024];
static unsigned int nr_elements;

static int post_error, retire_error;
static unsigned int failing_cpu;	/* whose streams fail so */
static unsigned int notified[STREAMS], nr_posts, nr_retires;
static void (*on_notify)(void);

static char shm[8 << 20] __aligned(VIRTIO_DDEBUG_SHM_ALIGN);
static size_t shm_used, shm_left = sizeof(shm);
static unsigned int shm_in_use;

static int host_post(struct ddebug_transport *t, struct ddebug_stream *s)
{
	const struct virtio_ddebug_stream_desc *d = &s->shared->desc;
	struct element *e = &elements[nr_elements];
	const u32 size = le32_to_cpu(d->ring_size);
	StressStream stream = {
		.hdr = &s->shared->hdr, .status = s->status, .id = s->id, .cpu = le32_to_cpu(d->cpu),
		.context = d->context, .subbuf_shift = d->subbuf_shift, .ring_size = size,
	};
	u32 bytes = 0;
	unsigned int i;

	nr_posts++;
	if (post_error && le32_to_cpu(d->cpu) == failing_cpu)
		return post_error;
	CHECK_IS(le32_to_cpu(d->magic), VIRTIO_DDEBUG_STREAM_MAGIC);
	CHECK_IS(le32_to_cpu(d->stream), s->id);
	CHECK_IS(s->id, stream.cpu * VIRTIO_DDEBUG_NR_CTX + stream.context);
	CHECK_IS(stream.subbuf_shift, stream.context == VIRTIO_DDEBUG_CTX_NMI ? 12 : 14);
	CHECK_IS((unsigned long)s->shared % 64 + (unsigned long)s->status % 64, 0);
	CHECK((char *)s->status - (char *)s->shared >= 2048);
	CHECK_IS(le64_to_cpu(s->status->consumed), le64_to_cpu(d->start));
	CHECK(le32_to_cpu(d->flags) == VIRTIO_DDEBUG_STREAM_F_SHM || s->nr_pieces);
	stream.nr_pieces = s->nr_pieces ? s->nr_pieces : 1;
	stream.ring = calloc(stream.nr_pieces, sizeof(struct iovec));
	if (s->nr_pieces) {
		CHECK_IS(le32_to_cpu(d->flags) | le32_to_cpu(d->epoch) | le64_to_cpu(d->shm_offset), 0);
		CHECK(s->nr_pieces <= VIRTIO_DDEBUG_RING_PIECES_MAX);
		for (i = 0; i < s->nr_pieces; i++) {
			stream.ring[i].iov_base = page_address(s->pieces[i].page);
			stream.ring[i].iov_len = s->pieces[i].len;
			bytes += s->pieces[i].len;
		}
		CHECK_IS(bytes, size);
	} else {
		char *at = shm + le64_to_cpu(d->shm_offset);

		CHECK_IS(le32_to_cpu(d->epoch), t->epoch);
		CHECK(!memcmp(at, d, sizeof(*d)));
		stream.hdr = at + VIRTIO_DDEBUG_SHM_HDR_OFF;
		stream.ring[0].iov_base = at + VIRTIO_DDEBUG_SHM_RING_OFF;
		stream.ring[0].iov_len = size;
	}
	*e = (struct element){ s, device_post(&stream, le64_to_cpu(d->start)) };
	s->queue = s->id / VIRTIO_DDEBUG_NR_CTX;
	nr_elements++;
	return 0;
}

static void drain(void);

static int host_retire(struct ddebug_transport *t, struct ddebug_stream *s)
{
	const u32 id = s->id;
	unsigned int i;

	(void)t;
	nr_retires++;
	if (retire_error && id / VIRTIO_DDEBUG_NR_CTX == failing_cpu)
		return retire_error;
	drain();
	for (i = 0; i < nr_elements; i++) {
		if (elements[i].s == s) {
			device_free(elements[i].device);
			memmove(&elements[i], &elements[i + 1],
				(--nr_elements - i) * sizeof(elements[0]));
			return 0;
		}
	}
	stress_fail("stream %u, which the device does not have, is retired", id);
}

static void host_notify(struct ddebug_transport *t, struct ddebug_stream *s)
{
	(void)t;
	notified[s->id]++;
	if (on_notify)
		on_notify();
}

static void *host_shm_alloc(struct ddebug_transport *t, size_t len, u64 *offset)
{
	const size_t at = shm_used;

	(void)t;
	len = ALIGN(len, VIRTIO_DDEBUG_SHM_ALIGN);
	if (len > shm_left)
		return NULL;
	shm_used += len;
	shm_left -= len;
	shm_in_use++;
	*offset = at;
	memset(shm + at, 0xa5, len);
	return shm + at;
}

static void host_shm_free(struct ddebug_transport *t, void *mem, size_t len)
{
	(void)t;
	/* nobody finds a stream there, but in memory of a device that is to be reset */
	CHECK((char *)mem >= shm && (char *)mem + len <= shm + sizeof(shm));
	memset(mem, 0x5a, len);
	shm_in_use--;
}

static const struct ddebug_transport_ops host_ops = {
	.post = host_post,
	.retire = host_retire,
	.notify = host_notify,
	.shm_alloc = host_shm_alloc,
	.shm_free = host_shm_free,
};

static struct ddebug_transport host = { .ops = &host_ops, .epoch = 7 };

/* The driver's part of a reset: all that the device had comes back. */
static void reset_host(void)
{
	unsigned int i;

	for (i = 0; i < nr_elements; i++) {
		device_free(elements[i].device);
		ddebug_stream_returned(elements[i].s);
	}
	nr_elements = 0;
}

static void want_kicks(bool want)
{
	unsigned int i;

	for (i = 0; i < nr_elements; i++)
		device_want_kick(elements[i].device, want);
	memset(notified, 0, sizeof(notified));
}

static unsigned int kicks(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < STREAMS; i++)
		n += notified[i];
	return n;
}

/* -- messages ------------------------------------------------------------------------ */

struct said {
	char *text;
	u64 time;
	u32 callsite, pid;
	bool packed;
};

static struct said *said[STREAMS];
static u64 nr_said[STREAMS], nr_read[STREAMS], nr_lost;
static bool may_lose;
static struct task_struct tasks[4] = {
	{ .start_time = 1, .pid = 101 }, { .start_time = 2, .pid = 102 },
	{ .start_time = 3, .pid = 70003 }, { .start_time = 4, .pid = 104 },
};

/* Callsites by their ids: their formats, and the programs of those that are packed. */
#define SITES	300
static struct { const char *format; struct ddebug_program *program; } sites[SITES];

static const char *format_of(u32 callsite)
{
	callsite %= STRESS_WIDE;
	return callsite < SITES ? sites[callsite].format : NULL;
}

static const struct ddebug_program *find_program(const struct _ddebug *d, const char *fmt)
{
	if (!fmt || !sites[d->lineno].program || strcmp(sites[d->lineno].format, fmt))
		return NULL;
	return sites[d->lineno].program;
}

static void make_site(unsigned int id, const char *format, u32 wide)
{
	sites[id].format = format;
	sites[id].program = ddebug_program_new(format, strlen(format));
	CHECK(sites[id].program);
	sites[id].program->id = id + wide;
}

static void free_sites(void)
{
	unsigned int i;

	for (i = 0; i < SITES; i++)
		kfree(sites[i].program);
}

static unsigned int this_stream(void)
{
	return sim_cpu.cpu * VIRTIO_DDEBUG_NR_CTX + sim_cpu.level;
}

/* The next message of this context is to read so. */
static void expect(const char *text, u32 callsite, bool packed)
{
	const unsigned int id = this_stream();

	if (!said[id])
		said[id] = calloc(MESSAGES, sizeof(*said[id]));
	CHECK(nr_said[id] < MESSAGES);
	said[id][nr_said[id]++] = (struct said){
		.text = strdup(text), .time = sim_now, .callsite = callsite, .pid = current->pid,
		.packed = packed,
	};
}

static __printf(4, 5) noinline
void emit(const struct _ddebug *d, enum ddebug_kind kind, const void *obj, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	ddebug_emit(d, kind, obj, fmt, args);
	va_end(args);
}

/* Say something of any length, as text or packed; it must come back. */
static noinline void say_as(unsigned int site, size_t len)
{
	const struct _ddebug d = { .lineno = site };
	static unsigned int nr;
	char text[LIFE_TEXT_MAX];
	size_t n = snprintf(text, sizeof(text), "message %u ", nr++);

	for (; n < len; n++)
		text[n] = 'a' + n % 26;
	text[n] = '\0';
	sim_now += 10;
	if (n > DDEBUG_LINE_SIZE - 3)
		text[DDEBUG_LINE_SIZE - 3] = '\0';
	expect(text, site + (sites[site].program ? sites[site].program->id - site : 0),
	       sites[site].program && n < DDEBUG_PACKED_TEXT_MAX);
	if (said[this_stream()][nr_said[this_stream()] - 1].packed == false)
		said[this_stream()][nr_said[this_stream()] - 1].callsite = site;
	emit(&d, DDEBUG_KIND_PR, NULL, "%s", text);
}

static void say(void)
{
	say_as(1, 0);
}

/* One that is dropped. */
static noinline void say_nothing(void)
{
	const struct _ddebug d = { .lineno = 1 };

	sim_now += 10;
	emit(&d, DDEBUG_KIND_PR, NULL, "%s", "nothing");
}

static void say_on(unsigned int cpu, u8 level)
{
	const struct sim_cpu was = sim_cpu;

	sim_cpu.cpu = cpu;
	sim_cpu.level = level;
	say();
	sim_cpu = was;
}

static void say_everywhere(void)
{
	unsigned int cpu;
	u8 level;

	for (cpu = 0; cpu < CPUS; cpu++)
		for (level = 0; level < VIRTIO_DDEBUG_NR_CTX; level++)
			say_on(cpu, level);
}

static void check_message(const struct element *e, const LifeMessage *m)
{
	const u32 id = e->s->id;
	const struct said *s;

	CHECK(m->number < nr_said[id]);
	s = &said[id][m->number];
	CHECK(m->number >= nr_read[id]);
	if (m->number > nr_read[id] && !may_lose)
		stress_fail("stream %u: message %llu comes after %llu", id,
			    (unsigned long long)m->number, nr_read[id]);
	nr_lost += m->number - nr_read[id];
	nr_read[id] = m->number + 1;
	if (m->len != strlen(s->text) || memcmp(m->text, s->text, m->len))
		stress_fail("stream %u: message %llu reads '%.*s', not '%s'", id,
			    (unsigned long long)m->number, (int)m->len, m->text, s->text);
	CHECK_IS(m->callsite, s->callsite);
	CHECK_IS(m->pid, s->pid);
	CHECK_IS(m->time, s->time);
	if (m->packed != s->packed)
		stress_fail("stream %u: '%s' is %spacked", id, s->text, m->packed ? "" : "not ");
}

/* The device reads all that there is. */
static void drain(void)
{
	LifeMessage m;
	unsigned int i;

	for (i = 0; i < nr_elements; i++)
		while (device_next(elements[i].device, &m, format_of))
			check_message(&elements[i], &m);
}

/* All that was said has been read. */
static void check_all_read(void)
{
	unsigned int i;

	drain();
	for (i = 0; i < STREAMS; i++)
		if (nr_read[i] != nr_said[i])
			stress_fail("stream %u: %llu messages of %llu are read", i, nr_read[i], nr_said[i]);
}

static struct ddebug_ring *ring(unsigned int cpu, u8 level)
{
	return per_cpu(ddebug_cpu, cpu).ring[level];
}

/* The guest's own reader sees the same numbers of messages. */
static void check_view(u64 messages, u64 lost)
{
	struct ddebug_view *v = ddebug_view_new();
	struct ddebug_message m;
	u64 n = 0, gone = 0, time = 0;

	CHECK(v);
	ddebug_view_to_now(v);
	while (ddebug_view_next(v, &m)) {
		gone += m.lost;
		if (m.type == DDEBUG_REC_NONE)
			continue;
		CHECK(m.time >= time);
		time = m.time;
		n++;
	}
	CHECK_IS(n, messages);
	CHECK_IS(gone, lost);
	CHECK(!ddebug_view_is_behind(v));
	ddebug_view_free(v);
}

/* The dictionary of the guest's reader. */
const char *ddebug_dict_packed_format(u32 id, size_t *len)
{
	const char *format = format_of(id);

	*len = format ? strlen(format) : 0;
	return format;
}

/* -- begin and end ------------------------------------------------------------------- */

static void load(void)
{
	sim_init(CPUS);
	sim_now = 1000;
	sim_quiet = true;
	sim_find_program = find_program;
	sim_cpu_begin(0, &tasks[0]);
	*sim_param_rb_size_kb() = KB;
}

static void begin(void)
{
	load();
	CHECK_IS(ddebug_cpu_init(), 0);
	ddebug_cpu_set_active(DDEBUG_ACTIVE_CALLSITES, true);
}

static void begin_attached(void)
{
	begin();
	CHECK_IS(ddebug_transport_attach(&host), 0);
}

static void end(void)
{
	ddebug_transport_detach(&host);
	reset_host();
	ddebug_cpu_exit();
	free_sites();
	CHECK_IS(sim_allocated, 0);
	CHECK_IS(shm_in_use, 0);
}

/* -- cases --------------------------------------------------------------------------- */

static void parameter(void)
{
	static const struct { unsigned int kb; bool good; } sizes[] = {
		{ 0, false }, { 31, false }, { 32, true }, { 33, true }, { 65408, true },
		{ 65409, false }, { 65536, false }, { 4194304, false }, { UINT32_MAX, false },
	};
	unsigned int i;

	load();
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		*sim_param_rb_size_kb() = sizes[i].kb;
		CHECK_IS(ddebug_ring_is_size_kb(sizes[i].kb), sizes[i].good);
		CHECK_IS(ddebug_ring_check_param(), sizes[i].good ? 0 : -EINVAL);
		if (!sizes[i].good)
			CHECK_IS(ddebug_cpu_init(), -EINVAL);
	}
	CHECK_IS(sim_allocated, 0);
	*sim_param_rb_size_kb() = 33;
	CHECK_IS(ddebug_cpu_init(), 0);
	CHECK_IS(ddebug_ring_size_kb(), 48);
	CHECK_IS(ring(2, VIRTIO_DDEBUG_CTX_TASK)->size, 48 * 1024);
	CHECK_IS(ring(2, VIRTIO_DDEBUG_CTX_SOFTIRQ)->size, 64 * 1024);
	CHECK_IS(ring(2, VIRTIO_DDEBUG_CTX_HARDIRQ)->size, 64 * 1024);
	CHECK_IS(ring(2, VIRTIO_DDEBUG_CTX_NMI)->size, 16 * 1024);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		if (!sizes[i].good)
			CHECK_IS(ddebug_ring_resize(sizes[i].kb), -EINVAL);
	CHECK_IS(ddebug_ring_size_kb(), 48);
	end();
}

static void largest(void)
{
	load();
	sim_nr_cpus = 1;
	sim_fragmented = false;
	*sim_param_rb_size_kb() = 65408;
	CHECK_IS(ddebug_cpu_init(), 0);
	CHECK_IS(ring(0, 0)->size, 65408 * 1024);
	CHECK_IS(ring(0, 0)->stream.nr_pieces, VIRTIO_DDEBUG_RING_PIECES_MAX);
	/* of single pages an element holds less */
	sim_fragmented = true;
	CHECK_IS(ddebug_ring_resize(65392), -ENOMEM);
	CHECK_IS(ddebug_ring_resize(4080), 0);
	end();
}

static void contexts(void)
{
	unsigned int i;

	begin_attached();
	CHECK_IS(nr_elements, STREAMS);
	CHECK_IS(ddebug_transport_attach(&host), -EBUSY);
	CHECK_IS(nr_elements, STREAMS);
	make_site(2, "%s", 0);
	make_site(3, "%s", STRESS_WIDE);
	for (i = 0; i < 200; i++) {
		say_everywhere();
		current = &tasks[i % 4];
		say_as(2, i);
		say_as(3, i * 5);
		sim_cpu.cpu = i % CPUS;
		sim_cpu.level = i % VIRTIO_DDEBUG_NR_CTX;
		say_as(2, i * 7 % 1050);
		sim_cpu.level = VIRTIO_DDEBUG_CTX_TASK;
		sim_tick();
		drain();
	}
	sim_cpu.cpu = 0;
	check_all_read();
	end();
}

/* Each record at each distance from the end of a sub-buffer. */
static void ends_of_sub_buffers(void)
{
	unsigned int i, room, n = 0;
	u8 level;

	begin_attached();
	make_site(2, "%s", 0);
	make_site(3, "%s", STRESS_WIDE);
	for (level = 0; level < VIRTIO_DDEBUG_NR_CTX; level += 3) {
		const unsigned int cpu = level ? 1 : 0;

		sim_cpu.cpu = cpu;
		sim_cpu.level = level;
		for (room = 0; room < 1200; room += 8) {
			const struct ddebug_ring *r = ring(cpu, level);
			u64 left = r->subbuf - r->head % r->subbuf;

			while (left > room + 1100 && ++n) {
				say_as(2 - n % 2, min(left - room - 1100, 900ull));
				left = r->subbuf - r->head % r->subbuf;
			}
			for (i = 0; left > room + 48 && left <= room + 1200 && i < 100; i++) {
				say_as(1, left - room - 24 > 900 ? 500 : left - room - 24);
				left = r->subbuf - r->head % r->subbuf;
			}
			say_as(1 + room / 8 % 3, room % 1060);
			drain();
		}
	}
	sim_cpu.cpu = sim_cpu.level = 0;
	check_all_read();
	end();
}

static void lapped(void)
{
	unsigned int i, k;

	begin_attached();
	make_site(2, "%s", 0);
	may_lose = true;
	for (k = 0; k < 20; k++) {
		const u64 before = nr_said[0], lost = nr_lost;

		for (i = 0; i < 300 + 40 * k; i++)
			say_as(1 + i % 2, 100);
		drain();
		/* what a ring holds is there: all but the sub-buffer that is being overwritten */
		CHECK(nr_lost - lost < nr_said[0] - before);
		CHECK_IS(nr_read[0], nr_said[0]);
	}
	CHECK(nr_lost > 1000);
	/* 32 KiB of records of 116 or 120 bytes, less a sub-buffer and the longest record */
	nr_lost = 0;
	for (i = 0; i < 280; i++)
		say_as(1, 100);
	drain();
	CHECK(nr_lost <= 280 - (16384 - 1200) / 120);
	end();
}

static void own_reader(void)
{
	unsigned int i;

	begin();
	make_site(2, "%s", 0);
	for (i = 0; i < 100; i++) {
		say_everywhere();
		say_as(2, i);
	}
	check_view(100 * (STREAMS + 1), 0);
	end();
}

static void texts(void)
{
	static const struct device dev = { .name = "0-1", .driver = "drv" };
	struct _ddebug d = { "mod", "func", "file.c", "", 5, 0 };
	char longest[2000], cut[2000];
	unsigned int i;

	begin_attached();
	sites[5].format = "";
#define SAY(kind, obj, text, ...)	\
	do { sim_now++; expect(text, 5, false); emit(&d, kind, obj, __VA_ARGS__); } while (0)
	SAY(DDEBUG_KIND_PR, NULL, "a 1", "a %d\n", 1);
	SAY(DDEBUG_KIND_PR, NULL, "a\n", "a\n\n");
	SAY(DDEBUG_KIND_PR, NULL, "", "%s", "");
	SAY(DDEBUG_KIND_PR, NULL, "", "%s", "\n");
	SAY(DDEBUG_KIND_PR, NULL, "x", "\0017\001cx");
	SAY(DDEBUG_KIND_PR, NULL, "\0018x", "\0018x");
	SAY(DDEBUG_KIND_PR, NULL, "\001", "\001");
	SAY(DDEBUG_KIND_PR, NULL, "\001/x", "\001/x");
	SAY(DDEBUG_KIND_PR, NULL, "x", "\0010x\n");
	SAY(DDEBUG_KIND_PR, NULL, "x\0017", "x\0017");
	SAY(DDEBUG_KIND_HEX_DUMP, NULL, "00 01", "00 01");
	SAY(DDEBUG_KIND_DEV, &dev, "drv 0-1: up", "up");
	SAY(DDEBUG_KIND_DEV, NULL, "(NULL device *): up", "up");
	d.flags = _DPRINTK_FLAGS_INCL_MODNAME;
	SAY(DDEBUG_KIND_PR, NULL, "mod: x", "x");
	SAY(DDEBUG_KIND_DEV, &dev, "mod: drv 0-1: x", "x");
	/* without a device the kernel prints no prefix */
	SAY(DDEBUG_KIND_DEV, NULL, "(NULL device *): x", "x");
	d.flags = _DPRINTK_FLAGS_INCL_FUNCNAME | _DPRINTK_FLAGS_INCL_LINENO;
	SAY(DDEBUG_KIND_PR, NULL, "func:5: x", "x");
	d.flags = _DPRINTK_FLAGS_INCL_TID;
	SAY(DDEBUG_KIND_PR, NULL, "[101] x", "x");
	sim_cpu.level = VIRTIO_DDEBUG_CTX_SOFTIRQ;
	SAY(DDEBUG_KIND_PR, NULL, "<intr> x", "x");
	sim_cpu.level = VIRTIO_DDEBUG_CTX_TASK;
	d.flags = _DPRINTK_FLAGS_INCL_ANY;
	SAY(DDEBUG_KIND_PR, NULL, "[101] mod:func:5: x", "x");
	/* the prefix is cut at 63 bytes, as the kernel's */
	d.modname = "a_module_with_a_name_of_forty_characters";
	d.function = "and_a_function";
	SAY(DDEBUG_KIND_PR, NULL, "[101] a_module_with_a_name_of_forty_characters:and_a_function:5x", "x");
	d.flags = 0;
	/* a line of printk() has 1024 bytes with level and zero; dev_printk()'s has no level */
	memset(longest, 'y', sizeof(longest));
	for (i = 1015; i < 1030; i++) {
		longest[i] = '\0';
		snprintf(cut, sizeof(cut), "%.1021s", longest);
		SAY(DDEBUG_KIND_PR, NULL, cut, "%s", longest);
		snprintf(cut, sizeof(cut), "drv 0-1: %.1014s", longest);
		SAY(DDEBUG_KIND_DEV, &dev, cut, "%s", longest);
		longest[i] = 'y';
		drain();
	}
	/* a newline that is cut is not the last byte */
	snprintf(cut, sizeof(cut), "%.1020s\n", longest);
	SAY(DDEBUG_KIND_PR, NULL, strndup(cut, 1020), "%s", cut);
	snprintf(cut, sizeof(cut), "%.1021s\n", longest);
	SAY(DDEBUG_KIND_PR, NULL, strndup(cut, 1021), "%s", cut);
	snprintf(cut, sizeof(cut), "%.1022s\n", longest);
	SAY(DDEBUG_KIND_PR, NULL, strndup(cut, 1021), "%s", cut);
	/* it measures a line in 16 bits; what follows the cut is no part of it, nor of its level */
	{
		char *huge = malloc(70000);

		for (i = 65530; i < 65560; i++) {
			const unsigned int line = min((i + 3) & 0xffffu, 1024u), size = line > 2 ? line - 2 : 0;
			unsigned int len = size ? size - 1 : 0;

			memset(huge, 'h', i);
			memcpy(huge, "\0017", 2);
			huge[i] = '\0';
			snprintf(cut, sizeof(cut), "%.*s", len >= 2 ? len - 2 : len, huge + (len >= 2 ? 2 : 0));
			SAY(DDEBUG_KIND_PR, NULL, cut, "%s", huge);
			drain();
		}
		free(huge);
	}
#undef SAY
	check_all_read();
	end();
}

static unsigned int nr_packed_sites = 10;

/* @text: as the C library has it.  Of callsites with small and with large ids. */
static __printf(5, 6) void packs(const struct _ddebug *like, const void *obj, const char *head, bool packed,
				 const char *fmt, ...)
{
	char text[4000];
	va_list args;
	size_t n;
	u32 wide;

	for (wide = 0; wide <= STRESS_WIDE; wide += STRESS_WIDE) {
		const unsigned int id = nr_packed_sites++;
		struct _ddebug d = *like;

		d.lineno = id;
		make_site(id, fmt, wide);
		n = snprintf(text, sizeof(text), "%s", head);
		va_start(args, fmt);
		vsnprintf(text + n, sizeof(text) - n, fmt, args);
		va_end(args);
		n = strlen(text);
		if (n && text[n - 1] == '\n')
			text[n - 1] = '\0';
		text[1021] = '\0';
		sim_now++;
		expect(text, packed ? id + wide : id, packed);
		va_start(args, fmt);
		ddebug_emit(&d, obj ? DDEBUG_KIND_DEV : DDEBUG_KIND_PR, obj, fmt, args);
		va_end(args);
	}
}

static void packing(void)
{
	static const struct device dev = { .name = "0-1", .driver = "drv" };
	struct _ddebug d = { "mod", "func", "file.c", "", 5, 0 };
	char many[1100];
	unsigned int i;

	begin_attached();
	memset(many, 'z', sizeof(many));
	many[sizeof(many) - 1] = '\0';
#define PACKS(...)	packs(&d, NULL, "", true, __VA_ARGS__)
#define TEXT(...)	packs(&d, NULL, "", false, __VA_ARGS__)
	for (i = 0; i < 2; i++) {
		PACKS("nothing");
		PACKS("%d %u %x\n", -5, 7u, 0xabcdu);
		PACKS("%c%%%c", 'a', 'b');
		PACKS("%ld %lu %lx", -1l, ~0ul, 1ul << 63);
		PACKS("%lld %llu", -1ll, ~0ull);
		PACKS("%hhd %hu %zu", 3, 4, (size_t)5);
		PACKS("%5d|%-5d|%05d|%+d|% d|%#x|%#o", 1, 2, 3, 4, 5, 6u, 7u);
		PACKS("%.3d|%8.3d|%*d|%.*d|%*.*d|%-*d", 1, 2, 6, 3, 4, 4, 9, 5, 5, -6, 6);
		PACKS("%*d|%-*d", -7, 1, 7, 2);
		PACKS("%s|%s|%s", "", "a", "bc");
		PACKS("%10s|%-10s|%.2s|%.0s|%10.1s", "a", "b", "cde", "f", "gh");
		PACKS("%*s|%.*s|%*.*s|%.*s", 5, "a", 2, "bcd", 6, 1, "ef", 0, "g");
		PACKS("%.*s", 3, "abc");
		PACKS("%.*s", 4, "abc");
		PACKS("%d%s%ld%s%d", 1, "two", 3l, "four", 5);
		PACKS("%960d", 1);
		PACKS("%.*s", DDEBUG_PACKED_TEXT_MAX, many);
		PACKS("%.959s", many);
		PACKS("a%.959s", many);
		PACKS("%*d", 934, 7);
		TEXT("%*d", 935, 7);
		drain();
		/* as long as a kernel would cut */
		TEXT("%.*s", DDEBUG_PACKED_TEXT_MAX + 1, many);
		TEXT("aa%.959s", many);
		TEXT("%s", many);
		PACKS("%s%.500s", "x", many);
		TEXT("%*d", DDEBUG_PACKED_TEXT_MAX, 1);
		TEXT("%*d", DDEBUG_PACKED_TEXT_MAX + 1, 1);
		TEXT("%*d", -DDEBUG_PACKED_TEXT_MAX - 1, 1);
		TEXT("%*d%*d", 500, 1, 500, 2);
		TEXT("%.500s%.500s", many, many);
		d.flags = 0;
		/* with a head */
		packs(&d, &dev, "drv 0-1: ", true, "%d %s", 3, "x");
		d.flags = _DPRINTK_FLAGS_INCL_MODNAME | _DPRINTK_FLAGS_INCL_FUNCNAME;
		packs(&d, NULL, "mod:func: ", true, "%d %s", 3, "x");
		packs(&d, NULL, "mod:func: ", true, "%.*s", DDEBUG_PACKED_TEXT_MAX - 10, many);
		packs(&d, NULL, "mod:func: ", false, "%.*s", DDEBUG_PACKED_TEXT_MAX - 9, many);
		packs(&d, &dev, "mod:func: drv 0-1: ", true, "%d", 3);
		d.flags = 0;
		drain();
		/* the pid does not fit 16 bits */
		current = &tasks[2];
	}
#undef PACKS
#undef TEXT
	current = &tasks[0];
	check_all_read();
	end();
}

/* The program of a format: what it holds, and which formats have none. */
static void programs(void)
{
	char fmt[3000] = "";
	unsigned int i;
	struct ddebug_program *p;

	load();
	/* 63 conversions and an end; texts of up to 960 bytes */
	for (i = 0; i < 63; i++)
		strcat(fmt, "%c");
	CHECK(ddebug_can_pack(fmt, strlen(fmt)));
	p = ddebug_program_new(fmt, strlen(fmt));
	CHECK_IS(p->fixed, 63 * 4);
	CHECK_IS(p->text, 63);
	for (i = 0; i < 63; i++)
		CHECK_IS(p->ops[i].kind, DDEBUG_OP_INT);
	CHECK_IS(p->ops[63].kind, DDEBUG_OP_END);
	kfree(p);
	strcat(fmt, "%c");
	CHECK(!ddebug_can_pack(fmt, strlen(fmt)));
	CHECK(!ddebug_program_new(fmt, strlen(fmt)));
	memset(fmt, 'x', sizeof(fmt));
	CHECK(ddebug_can_pack(fmt, 960));
	CHECK(!ddebug_can_pack(fmt, 961));
	CHECK(ddebug_can_pack("%936d%d", 7));
	CHECK(!ddebug_can_pack("%937d%d", 7));
	CHECK(!ddebug_can_pack("%961d", 5));
	CHECK(ddebug_can_pack("%.958d", 6));
	CHECK(!ddebug_can_pack("%.959d", 6));
	CHECK(!ddebug_can_pack("%n", 2));
	CHECK(!ddebug_can_pack("100%", 4));
	p = ddebug_program_new("%*.*s %p %*p %d%%", 17);
	CHECK_IS(p->fixed, 4 + 4 + 2 + 2 + 2 + 4);
	CHECK_IS(p->ops[0].kind, DDEBUG_OP_WIDTH);
	CHECK_IS(p->ops[1].kind, DDEBUG_OP_LIMIT);
	CHECK_IS(p->ops[2].kind, DDEBUG_OP_STRING_LIMIT);
	CHECK_IS(p->ops[3].kind, DDEBUG_OP_POINTER);
	CHECK_IS(p->ops[3].nr_fields, 0);
	CHECK(!strcmp((char *)p + p->ops[3].arg, "%p"));
	CHECK_IS(p->ops[4].nr_fields, 1);
	CHECK(!strcmp((char *)p + p->ops[4].arg, "%*p"));
	CHECK_IS(p->ops[5].kind, DDEBUG_OP_INT);
	CHECK_IS(p->ops[6].kind, DDEBUG_OP_END);
	for (i = 0; i < 7; i++)
		if (p->ops[i].kind != DDEBUG_OP_POINTER)
			CHECK_IS(p->ops[i].nr_fields + p->ops[i].arg, 0);
	/* blanks, a number's most, the percent sign */
	CHECK_IS(p->text, 3 + 24 + 1);
	kfree(p);
	p = ddebug_program_new("%30ld %.7s %s %.40d", 19);
	CHECK_IS(p->fixed, 8 + 2 + 2 + 4);
	CHECK_IS(p->text, 30 + 3 + 42);
	CHECK_IS(p->ops[0].kind, DDEBUG_OP_LONG);
	CHECK_IS(p->ops[1].kind, DDEBUG_OP_STRING);
	CHECK_IS(p->ops[1].arg, 7);
	CHECK_IS(p->ops[2].arg, DDEBUG_PACK_WHOLE);
	kfree(p);
	sim_fail_after = 0;
	CHECK(!ddebug_program_new("%d", 2));
	CHECK_IS(sim_allocated, 0);
}

/* A message whose stamp is not the clock's. */
static void say_stamped(u64 stamp)
{
	const u64 now = sim_now;

	say_nothing();
	sim_now = stamp;
	expect("nothing", 1, false);
	sim_now = now;
}

/*
 * Times: far ones in records of their own; a stamp is above the CPU's last one, while the clock
 * stands still and when it steps back, which is counted.
 */
static void times(void)
{
	u64 last;

	begin_attached();
	say();
	sim_now += U32_MAX - 10;
	say();
	sim_now += 1;
	say();
	sim_now += 3ull * U32_MAX;
	say_as(1, 1000);
	say();
	CHECK_IS(ring(0, 0)->hdr->clamped, 0);
	last = sim_now;
	sim_now = last - 10;		/* say_nothing() adds 10 */
	say_stamped(last + 1);
	CHECK_IS(ring(0, 0)->hdr->clamped, 0);
	sim_now = last - 1010;
	say_stamped(last + 2);
	CHECK_IS(ring(0, 0)->hdr->clamped, 1);
	sim_now = last + 10;
	say();
	CHECK_IS(ring(0, 0)->hdr->clamped, 1);
	check_all_read();
	end();
}

static noinline void claim(struct ddebug_slot *slot, unsigned long sp)
{
	CHECK(ddebug_slot_begin(slot, sp));
	memset(slot->text, 'T', min_t(size_t, slot->room, DDEBUG_TEXT_MAX));
}

/* A writer inside: who is alive, who is dead. */
static void writers_that_die(void)
{
	const unsigned long above = (unsigned long)__builtin_frame_address(0), below = 4096;
	struct ddebug_ring *r;
	struct ddebug_slot slot;
	u64 torn = 0, recursed = 0;
	u8 level;

	begin_attached();
	r = ring(0, 0);
#define DEAD()	do { say(); CHECK_IS(r->hdr->torn, ++torn); CHECK(!r->owner.task); } while (0)
#define ALIVE()	do { say_nothing(); CHECK_IS(r->hdr->recursed, ++recursed);	\
		     CHECK(r->owner.task); } while (0)
	say();
	claim(&slot, above);
	ALIVE();
	ALIVE();
	/* it goes on */
	sim_now += 10;
	expect("", 1, false);
	said[0][nr_said[0] - 1].time = slot.time;
	ddebug_slot_commit_text(&slot, DDEBUG_REC_TEXT, 1, current->pid, 0);
	CHECK_IS(r->hdr->torn, 0);
	say();
	/* another task */
	claim(&slot, above);
	current = &tasks[1];
	DEAD();
	/* the same structure, another task */
	claim(&slot, above);
	current->start_time++;
	DEAD();
	/* exiting since */
	claim(&slot, above);
	current->flags |= PF_EXITING;
	DEAD();
	/* exiting before */
	claim(&slot, above);
	ALIVE();
	current->flags = 0;
	ALIVE();
	r->owner.sp = below;
	DEAD();
	/* deeper than we are: its frame is gone */
	claim(&slot, below);
	DEAD();
	/* not known yet */
	claim(&slot, below);
	r->owner.known = false;
	ALIVE();
	r->owner.known = true;
	DEAD();
	/* declared dead by a dying kernel */
	claim(&slot, above);
	CHECK(ddebug_ring_disown() == r);
	DEAD();
	CHECK(ddebug_ring_disown() == r);
	CHECK(!r->owner.task);
	/* interrupts have stacks of their own: only another task is a sign of death */
	current = &tasks[0];
	for (level = 1; level < VIRTIO_DDEBUG_NR_CTX; level++) {
		sim_cpu.level = level;
		torn = recursed = 0;
		r = ring(0, level);
		say();
		claim(&slot, below);
		ALIVE();
		current->flags = PF_EXITING;
		ALIVE();
		current->flags = 0;
		current = &tasks[level];
		DEAD();
		claim(&slot, above);
		current->start_time++;
		DEAD();
		CHECK(ddebug_ring_disown() == r);
	}
	sim_cpu.level = VIRTIO_DDEBUG_CTX_TASK;
	check_all_read();
	end();
}

/* What a dead writer leaves is padded, wherever it lies. */
static void torn_records(void)
{
	struct ddebug_ring *r;
	struct ddebug_slot slot;
	unsigned int i;
	u64 torn = 0;

	begin_attached();
	r = ring(0, 0);
	for (i = 0; i < 600; i++) {
		say_as(1, i * 13 % 400);
		claim(&slot, 4096);
		if (i % 3 == 0 || slot.room < DDEBUG_TEXT_MAX + 1) {
			if ((slot.start & (r->subbuf - 1)) > sizeof(struct ddebug_subbuf_hdr)) {
				ddebug_slot_next(&slot);
				memset(slot.text, 'N', min_t(size_t, slot.room, DDEBUG_TEXT_MAX));
			}
		}
		/* the last bytes before a sub-buffer's end, and the first ones behind it */
		sim_now += i % 7 ? 5 : 2ull * U32_MAX;
		say_as(1, i % 40);
		CHECK_IS(r->hdr->torn, ++torn);
		CHECK_IS(r->head % 8, 0);
		CHECK(r->reserve >= r->head && r->reserve - r->head < 1200);
		drain();
	}
	/* the next sub-buffer says how many are missing */
	for (i = 0; i < 20; i++)
		say_as(1, 900);
	drain();
	CHECK_IS(device_dropped(elements[0].device), torn);
	check_all_read();
	end();
}

static void without_streams(void)
{
	load();
	say_nothing();
	CHECK_IS(per_cpu(ddebug_cpu, 0).nostream, 1);
	CHECK(!ddebug_ring_disown());
	CHECK(!ddebug_ring_host_lagging());
	CHECK_IS(ddebug_cpu_init(), 0);
	say();
	CHECK_IS(per_cpu(ddebug_cpu, 0).nostream, 1);
	CHECK_IS(ring(0, 0)->hdr->active, 0);
	end();
}

#define LOSS	VIRTIO_DDEBUG_CTX_HARDIRQ

/* The last LOSS record of CPU @cpu ends at the head of the stream of the interrupt that wrote it. */
static void check_loss(unsigned int cpu, u64 nostream, u64 missed)
{
	const struct ddebug_ring *r = ring(cpu, LOSS);
	const struct ddebug_rec_loss *rec;

	CHECK_IS(r->loss, r->head);
	CHECK(r->reserve >= r->head);
	rec = (const void *)(r->data + (r->loss - sizeof(*rec)) % r->size);
	CHECK_IS(rec->hdr.type_len, DDEBUG_REC_LOSS << DDEBUG_REC_TYPE_SHIFT | sizeof(*rec));
	CHECK_IS(rec->nostream, nostream);
	CHECK_IS(rec->missed, missed);
}

/* What no stream has recorded is told when it has grown, and again for who may have missed it. */
static void losses_are_told(void)
{
	u64 head;

	load();
	ddebug_cpu_report(0);
	say_nothing();
	CHECK_IS(ddebug_cpu_init(), 0);
	CHECK_IS(ddebug_transport_attach(&host), 0);
	CHECK_IS(ddebug_cpu_nostream(), 1);
	ddebug_cpu_report(0);
	check_loss(0, 1, 0);
	say_on(0, LOSS);
	head = ring(0, LOSS)->head;
	ddebug_cpu_report(0);
	CHECK_IS(ring(0, LOSS)->head, head);
	/* in what is left of each sub-buffer, or in the next one */
	for (head = 0; head < ring(0, LOSS)->subbuf / 16; head++) {
		say_on(0, LOSS);
		ddebug_cpu_report(head + 1);
		check_loss(0, 1, head + 1);
	}
	/* not where a message is being written: on another CPU */
	ring(0, LOSS)->owner.task = current;
	ddebug_cpu_report(++head);
	ring(0, LOSS)->owner.task = NULL;
	check_loss(1, 1, head);
	/* never less, and again once the last one is two sub-buffers back */
	for (;;) {
		u64 was;

		say_on(0, LOSS);
		drain();
		was = ring(0, LOSS)->head;
		ddebug_cpu_report(1);
		if (ring(0, LOSS)->head != was)
			break;
		CHECK(was - ring(0, LOSS)->loss < 2 * ring(0, LOSS)->subbuf);
	}
	check_loss(0, 1, head);
	end();
}

static unsigned int nr_own;

static void say_own(void)
{
	nr_own++;
	say_nothing();
}

/* When the device is notified, and when it is not. */
static void notifications(void)
{
	struct ddebug_cpu *c;
	unsigned int i;

	begin_attached();
	c = per_cpu_ptr(&ddebug_cpu, 0);
	drain();
	want_kicks(true);
	/* the first one at once, the others at the next tick */
	sim_now += 20 * NSEC_PER_MSEC;
	say();
	CHECK_IS(notified[0], 1);
	CHECK_IS(c->works_now, 1);
	say();
	say();
	CHECK_IS(notified[0], 1);
	CHECK_IS(c->works_lazy, 1);
	CHECK_IS(c->armed, DDEBUG_ARMED_LAZY);
	sim_tick();
	CHECK_IS(notified[0], 2);
	CHECK_IS(c->armed, DDEBUG_ARMED_NOT);
	CHECK_IS(c->kicks, 2);
	sim_tick();
	CHECK_IS(notified[0], 2);
	/* quiet for ten milliseconds, and a little less */
	sim_now += 10 * NSEC_PER_MSEC - 20 - 1;
	say();
	CHECK_IS(notified[0], 2);
	sim_tick();
	sim_now += 10 * NSEC_PER_MSEC - 10;
	say();
	CHECK_IS(notified[0], 4);
	/* half of the ring unread: at once, when a sub-buffer begins */
	want_kicks(true);
	for (i = 0; notified[0] == 0; i++) {
		CHECK(i < 400);
		say_as(1, 84);
	}
	CHECK(ring(0, 0)->head - le64_to_cpu(ring(0, 0)->stream.status->consumed) >= 16384);
	CHECK(ring(0, 0)->head - le64_to_cpu(ring(0, 0)->stream.status->consumed) < 32768);
	CHECK(ddebug_ring_host_lagging());
	drain();
	CHECK(!ddebug_ring_host_lagging());
	/* streams of one queue by one notification */
	sim_tick();
	want_kicks(true);
	say();
	say_on(0, VIRTIO_DDEBUG_CTX_SOFTIRQ);
	say_on(0, VIRTIO_DDEBUG_CTX_HARDIRQ);
	sim_tick();
	CHECK_IS(kicks(), 1);
	/* whichever it is */
	want_kicks(true);
	say_on(0, VIRTIO_DDEBUG_CTX_SOFTIRQ);
	sim_tick();
	CHECK_IS(notified[VIRTIO_DDEBUG_CTX_SOFTIRQ], 1);
	want_kicks(true);
	say_on(0, VIRTIO_DDEBUG_CTX_NMI);
	sim_tick();
	CHECK_IS(notified[VIRTIO_DDEBUG_CTX_NMI], 1);
	want_kicks(true);
	/* and of two by two */
	ring(0, VIRTIO_DDEBUG_CTX_SOFTIRQ)->stream.queue = 99;
	say();
	say_on(0, VIRTIO_DDEBUG_CTX_SOFTIRQ);
	say_on(0, VIRTIO_DDEBUG_CTX_HARDIRQ);
	sim_tick();
	CHECK_IS(kicks(), 2);
	CHECK_IS(notified[VIRTIO_DDEBUG_CTX_HARDIRQ], 0);
	/* a device that is awake is left alone */
	want_kicks(false);
	sim_now += 20 * NSEC_PER_MSEC;
	say();
	say();
	sim_tick();
	CHECK_IS(kicks(), 0);
	/* the transport's own messages are dropped, but not those of what interrupts it */
	want_kicks(true);
	on_notify = say_own;
	sim_now += 20 * NSEC_PER_MSEC;
	say();
	on_notify = NULL;
	CHECK_IS(nr_own, 1);
	CHECK_IS(c->own, 1);
	CHECK_IS(c->own_level, 0);
	say();
	ddebug_own_begin();
	say_nothing();
	CHECK_IS(c->own, 2);
	say_on(0, VIRTIO_DDEBUG_CTX_SOFTIRQ);
	current = &tasks[1];
	say();
	current = &tasks[0];
	current->start_time += 100;
	say();
	current->start_time -= 100;
	ddebug_own_end();
	say();
	ddebug_own_begin();
	sim_cpu.level = VIRTIO_DDEBUG_CTX_SOFTIRQ;
	ddebug_ring_disown();
	sim_cpu.level = VIRTIO_DDEBUG_CTX_TASK;
	say_nothing();
	CHECK_IS(c->own, 3);
	current = &tasks[1];
	ddebug_ring_disown();
	current = &tasks[0];
	say_nothing();
	CHECK_IS(c->own, 4);
	ddebug_ring_disown();
	say();
	c->own_level = 1;
	say_nothing();
	CHECK_IS(c->own, 5);
	c->own_level = 2;
	say();
	ddebug_ring_disown();
	CHECK_IS(c->own_level, 2);
	c->own_level = 1;
	c->muted = 3;
	ddebug_ring_disown();
	CHECK_IS(c->own_level, 0);
	CHECK_IS(c->muted, 2);
	say();
	CHECK_IS(c->nostream, 0);
	sim_tick();
	check_all_read();
	/* messages may come: a device that sleeps is told, once */
	want_kicks(true);
	ddebug_cpu_set_active(DDEBUG_ACTIVE_KMSG, true);
	CHECK_IS(kicks(), 0);
	ddebug_cpu_set_active(DDEBUG_ACTIVE_CALLSITES, false);
	CHECK_IS(le32_to_cpu(ring(1, 2)->hdr->active), 1);
	ddebug_cpu_set_active(DDEBUG_ACTIVE_KMSG, false);
	CHECK_IS(kicks(), 0);
	CHECK_IS(le32_to_cpu(ring(2, 3)->hdr->active), 0);
	ddebug_cpu_set_active(DDEBUG_ACTIVE_KMSG, true);
	CHECK_IS(kicks(), 1);
	/* the last words need no wish, but a device that has the stream */
	want_kicks(false);
	ddebug_kick_dying(ring(0, 3));
	CHECK_IS(notified[3], 1);
	ring(0, 3)->stream.posted = false;
	ddebug_kick_dying(ring(0, 3));
	CHECK_IS(notified[3], 1);
	ring(0, 3)->stream.posted = true;
	end();
}

static unsigned int nr_heard;

static void hear(void)
{
	nr_heard++;
}

static void listeners(void)
{
	struct ddebug_cpu *c;

	begin();
	c = per_cpu_ptr(&ddebug_cpu, 0);
	sim_now += 20 * NSEC_PER_MSEC;
	say();
	CHECK_IS(c->works_now + c->works_lazy + c->armed, 0);
	ddebug_kick_listen(hear);
	CHECK_IS(nr_heard, CPUS);
	say();
	CHECK_IS(nr_heard, CPUS + 1);
	CHECK_IS(c->works_now, 1);
	say();
	sim_tick();
	CHECK_IS(nr_heard, CPUS + 2);
	CHECK_IS(c->kicks, 0);
	sim_cpu_down(2);
	CHECK_IS(nr_heard, CPUS + 3);
	CHECK_IS(sim_cpu_up(2), 0);
	CHECK(per_cpu(ddebug_cpu, 2).now.pending || nr_heard == CPUS + 4);
	ddebug_kick_listen(NULL);
	nr_heard = 0;
	say();
	sim_tick();
	CHECK_IS(nr_heard, 0);
	end();
}

static void notices(void)
{
	struct ddebug_ring *r;

	begin();
	r = ring(0, 0);
	ddebug_ring_notice(r, VIRTIO_DDEBUG_NOTICE_OOPS);
	CHECK_IS(le32_to_cpu(r->hdr->notice), 0x101);
	ddebug_ring_notice(r, VIRTIO_DDEBUG_NOTICE_PANIC);
	CHECK_IS(le32_to_cpu(r->hdr->notice), 0x202);
	ddebug_ring_notice(r, VIRTIO_DDEBUG_NOTICE_OOPS);
	CHECK_IS(le32_to_cpu(r->hdr->notice), 0x302);
	end();
}

static void statistics(void)
{
	char *text;
	size_t len;
	struct seq_file m = { .file = open_memstream(&text, &len) };
	struct ddebug_slot slot;
	char want[400];

	begin_attached();
	say();
	say();
	say_on(1, VIRTIO_DDEBUG_CTX_NMI);
	claim(&slot, (unsigned long)__builtin_frame_address(0));
	say_nothing();
	say_nothing();
	current = &tasks[1];
	say();
	sim_now -= 5;
	say_nothing();
	ddebug_cpu_stats(&m);
	fclose(m.file);
	snprintf(want, sizeof(want), "task_committed: 4\ntask_bytes: %llu\ntask_recursed: 2\ntask_torn: 1\n"
		 "task_clamped: 0\nsoftirq_committed: 0\nsoftirq_bytes: 0\n", ring(0, 0)->head);
	CHECK(!strncmp(text, want, strlen(want)));
	CHECK(strstr(text, "\nnmi_committed: 1\nnmi_bytes: "));
	CHECK(strstr(text, "\nstreams: 12\nshared: 0\nrb_size_kb: 32\n"));
	free(text);
	end();
}

/* -- other rings --------------------------------------------------------------------- */

/* Whatever size: the stream goes on, nothing is lost, the old ring is freed. */
static void resized(bool with_shm)
{
	static const unsigned int sizes[] = { 32, 48, 33, 64, 256, 32, 128, 128, 40, 1024, 32 };
	unsigned int i, cpu, k;
	long in_use;

	host.shm = with_shm;
	begin_attached();
	make_site(2, "%s", 0);
	in_use = sim_allocated;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		const unsigned int kb = round_up(sizes[i], 16u);
		const bool same = kb == ddebug_ring_size_kb();
		u64 heads[CPUS], generations[CPUS], seqs[CPUS];
		struct ddebug_ring *old = ring(1, 0);
		unsigned int posts = nr_posts, retires = nr_retires;

		say_everywhere();
		for (k = 0; k < 17 * i; k++)
			say_as(1 + k % 2, k);
		ring(0, 0)->hdr->clamped = cpu_to_le64(i);
		for (cpu = 0; cpu < CPUS; cpu++) {
			heads[cpu] = ring(cpu, 0)->head;
			seqs[cpu] = ring(cpu, 0)->seq;
			generations[cpu] = le32_to_cpu(ring(cpu, 0)->stream.shared->desc.generation);
		}
		CHECK_IS(ddebug_ring_resize(sizes[i]), 0);
		CHECK_IS(ddebug_ring_size_kb(), kb);
		CHECK_IS(nr_elements, STREAMS);
		CHECK_IS(nr_posts - posts, same ? 0 : CPUS);
		CHECK_IS(nr_retires - retires, same ? 0 : CPUS);
		CHECK(same == (ring(1, 0) == old));
		for (cpu = 0; cpu < CPUS; cpu++) {
			struct ddebug_ring *r = ring(cpu, 0);

			CHECK_IS(r->size, kb * 1024);
			CHECK_IS(!!r->home, with_shm);
			CHECK(!r->retired && !r->retained);
			if (same)
				continue;
			CHECK_IS(r->head, round_up(heads[cpu], 16384ull));
			CHECK_IS(le64_to_cpu(r->hdr->head), r->head);
			CHECK_IS(le64_to_cpu(r->hdr->reserve), r->head);
			CHECK_IS(le64_to_cpu(r->stream.shared->desc.start), r->head);
			CHECK_IS(r->begin, r->head);
			CHECK_IS(r->reserve, r->head);
			CHECK_IS(r->sub, r->head % r->size);
			CHECK_IS(r->seq, seqs[cpu]);
			CHECK_IS(le32_to_cpu(r->stream.shared->desc.generation), generations[cpu] + 1);
			CHECK_IS(le32_to_cpu(r->hdr->active), 1);
			CHECK_IS(le64_to_cpu(r->hdr->clamped), cpu ? 0 : i);
		}
		say_everywhere();
	}
	check_all_read();
	CHECK_IS(ddebug_ring_resize(32), 0);
	CHECK_IS(sim_allocated, in_use);
	end();
}

static void sizes(void)
{
	resized(false);
}

static void sizes_in_shared_memory(void)
{
	resized(true);
}

static struct ddebug_slot held;
static unsigned int nr_sleeps;

static void let_go(void)
{
	CHECK(!ring(0, 0)->retired);
	if (++nr_sleeps == 3)
		ddebug_slot_commit_text(&held, DDEBUG_REC_TEXT, 1, current->pid, 0);
}

/* A writer inside keeps its ring until it is done; a dead one does not. */
static void sizes_with_writers(void)
{
	begin_attached();
	say();
	claim(&held, (unsigned long)__builtin_frame_address(0));
	expect("", 1, false);
	said[0][nr_said[0] - 1].time = held.time;
	sim_sleep_hook = let_go;
	CHECK_IS(ddebug_ring_resize(64), 0);
	CHECK_IS(nr_sleeps, 3);
	say();
	/* of another task */
	claim(&held, (unsigned long)__builtin_frame_address(0));
	current = &tasks[1];
	CHECK_IS(ddebug_ring_resize(32), 0);
	CHECK_IS(nr_sleeps, 3);
	CHECK_IS(le64_to_cpu(ring(0, 0)->hdr->torn), 1);
	say();
	/* of the same structure, reused */
	claim(&held, (unsigned long)__builtin_frame_address(0));
	current->start_time++;
	CHECK_IS(ddebug_ring_resize(64), 0);
	CHECK_IS(nr_sleeps, 3);
	CHECK_IS(le64_to_cpu(ring(0, 0)->hdr->torn), 2);
	say();
	/* half claimed by our own task: alive */
	claim(&held, (unsigned long)__builtin_frame_address(0));
	ring(0, 0)->owner.known = false;
	ring(0, 0)->owner.start = 0;
	nr_sleeps = 0;
	expect("", 1, false);
	said[0][nr_said[0] - 1].time = held.time;
	CHECK_IS(ddebug_ring_resize(32), 0);
	CHECK_IS(nr_sleeps, 3);
	say();
	check_all_read();
	end();
}

#ifdef SIM_POINTS
static void nmi_says(void)
{
	const u8 level = sim_cpu.level;

	sim_point_hook = NULL;
	sim_cpu.level = VIRTIO_DDEBUG_CTX_NMI;
	if (ring(sim_cpu.cpu, VIRTIO_DDEBUG_CTX_NMI)->retired)
		say_nothing();
	else
		say();
	sim_cpu.level = level;
	sim_point_hook = nmi_says;
}

/* An NMI within the swap of its own ring: dropped and counted, or written. */
static void swaps_interrupted_by_nmis(void)
{
	begin();
	host.shm = true;
	sim_point_hook = nmi_says;
	CHECK_IS(ddebug_transport_attach(&host), 0);
	sim_point_hook = NULL;
	CHECK(per_cpu(ddebug_cpu, 0).nostream > 0);
	CHECK(nr_said[VIRTIO_DDEBUG_CTX_NMI] > 10);
	CHECK(ring(0, VIRTIO_DDEBUG_CTX_NMI)->home);
	say_everywhere();
	check_all_read();
	sim_point_hook = nmi_says;
	ddebug_transport_detach(&host);
	sim_point_hook = NULL;
	end();
}
#endif

/*
 * The device does not return the ring of the second of three CPUs: the first has its new ring,
 * so has the second, the third keeps its old one, and its new one is freed.
 */
static void one_cpu_fails(void)
{
	struct ddebug_ring *old[CPUS];
	unsigned int cpu;

	begin_attached();
	say_everywhere();
	for (cpu = 0; cpu < CPUS; cpu++)
		old[cpu] = ring(cpu, 0);
	failing_cpu = 1;
	retire_error = -EIO;
	CHECK_IS(ddebug_ring_resize(64), -EIO);
	CHECK_IS(ring(0, 0)->size, 64 * 1024);
	CHECK_IS(ring(1, 0)->size, 64 * 1024);
	CHECK_IS(ring(2, 0)->size, 32 * 1024);
	CHECK(ring(2, 0) == old[2]);
	CHECK(old[1]->retired && old[1]->retained && old[1]->stream.posted);
	CHECK_IS(nr_elements, STREAMS + 1);
	say_everywhere();
	check_all_read();
	retire_error = 0;
	/* a third ring for a stream there is not */
	CHECK_IS(ddebug_ring_resize(48), -EBUSY);
	CHECK_IS(ddebug_ring_size_kb(), 64);
	CHECK_IS(ring(0, 0)->size, 64 * 1024);
	say_everywhere();
	check_all_read();
	/* the reset returns it */
	ddebug_transport_detach(&host);
	reset_host();
	CHECK_IS(ddebug_transport_attach(&host), 0);
	CHECK_IS(ddebug_ring_resize(48), 0);
	for (cpu = 0; cpu < CPUS; cpu++)
		CHECK_IS(ring(cpu, 0)->size, 48 * 1024);
	say_everywhere();
	check_all_read();
	end();
}

/* The device is being reset: what it has comes back with the reset, which frees it. */
static void resized_while_reset(void)
{
	begin_attached();
	say_everywhere();
	check_all_read();
	ddebug_transport_detach(&host);
	CHECK_IS(ddebug_ring_resize(64), 0);
	CHECK_IS(ring(2, 0)->size, 64 * 1024);
	CHECK(!ring(2, 0)->stream.posted);
	reset_host();
	CHECK_IS(ddebug_ring_resize(32), 0);
	CHECK_IS(ddebug_transport_attach(&host), 0);
	say_everywhere();
	check_all_read();
	end();
}

/* There is no room for the new one until the old one is gone. */
static void posted_late(void)
{
	begin_attached();
	failing_cpu = 1;
	post_error = -ENOSPC;
	CHECK_IS(ddebug_ring_resize(64), 0);
	CHECK(!ring(1, 0)->stream.posted);
	CHECK(ring(0, 0)->stream.posted && ring(2, 0)->stream.posted);
	post_error = 0;
	CHECK_IS(ddebug_ring_resize(32), 0);
	CHECK(ring(1, 0)->stream.posted);
	say_everywhere();
	check_all_read();
	end();
}

static void attaching_fails(void)
{
	unsigned int i;

	begin();
	say_everywhere();
	failing_cpu = 1;
	post_error = -EIO;
	CHECK_IS(ddebug_transport_attach(&host), -EIO);
	CHECK_IS(nr_elements, VIRTIO_DDEBUG_NR_CTX);
	CHECK(!rcu_access_pointer(ddebug_attached));
	CHECK(ring(0, 0)->stream.posted && !ring(1, 0)->stream.posted && !ring(2, 0)->stream.posted);
	ddebug_transport_detach(&host);
	reset_host();
	CHECK(!ring(0, 0)->stream.posted);
	/* a device that does not take so many CPUs */
	post_error = -ERANGE;
	CHECK_IS(ddebug_transport_attach(&host), 0);
	CHECK_IS(nr_elements, STREAMS - VIRTIO_DDEBUG_NR_CTX);
	CHECK(!ring(1, 0)->stream.posted && ring(2, 0)->stream.posted);
	post_error = 0;
	drain();
	/* the next one gets what no one had */
	for (i = 0; i < STREAMS; i++)
		CHECK_IS(nr_read[i], i / VIRTIO_DDEBUG_NR_CTX == 1 ? 0 : 1);
	ddebug_transport_detach(&host);
	reset_host();
	CHECK_IS(ddebug_transport_attach(&host), 0);
	check_all_read();
	end();
}

/* The next device begins where the last one stopped, if that is a place at all. */
static void returned(void)
{
	struct ddebug_stream *s;
	u64 head, start;

	begin_attached();
	say_everywhere();
	check_all_read();
	s = &ring(0, 0)->stream;
	head = ring(0, 0)->head;
	ddebug_transport_detach(&host);
	reset_host();
	CHECK_IS(le64_to_cpu(s->shared->desc.start), head);
	CHECK_IS(le64_to_cpu(s->status->consumed), head);
	say_everywhere();
	/* positions that cannot be */
	start = le64_to_cpu(s->shared->desc.start);
#define RETURNS(pos, is)								\
	do {										\
		s->posted = true;							\
		s->status->consumed = cpu_to_le64(pos);					\
		s->status->want_kick = cpu_to_le32(1);					\
		ddebug_stream_returned(s);						\
		CHECK_IS(le64_to_cpu(s->shared->desc.start), is);			\
		CHECK_IS(le64_to_cpu(s->status->consumed), is);				\
		CHECK(!s->status->want_kick && !s->posted);				\
	} while (0)
	RETURNS(start - 8, start);
	RETURNS(ring(0, 0)->head + 8, start);
	RETURNS(start + 4, start);
	RETURNS(start, start);
	CHECK_IS(ddebug_transport_attach(&host), 0);
	check_all_read();
	ddebug_transport_detach(&host);
	reset_host();
	RETURNS(ring(0, 0)->head, ring(0, 0)->head);
#undef RETURNS
	end();
}

static void shared_memory(void)
{
	unsigned int i, cpu;
	u8 level;

	begin();
	say_everywhere();
	host.shm = true;
	CHECK_IS(ddebug_transport_attach(&host), 0);
	CHECK_IS(shm_in_use, STREAMS);
	CHECK_IS(nr_elements, STREAMS);
	for (cpu = 0; cpu < CPUS; cpu++) {
		for (level = 0; level < VIRTIO_DDEBUG_NR_CTX; level++) {
			struct ddebug_ring *r = ring(cpu, level);

			CHECK(r->home == &host && r->shm && !r->stream.nr_pieces);
			CHECK((u8 *)r->hdr == (u8 *)r->shm + VIRTIO_DDEBUG_SHM_HDR_OFF);
			CHECK(r->data == (u8 *)r->shm + VIRTIO_DDEBUG_SHM_RING_OFF);
			CHECK_IS(((struct virtio_ddebug_stream_desc *)r->shm)->magic,
				 VIRTIO_DDEBUG_STREAM_MAGIC);
		}
	}
	say_everywhere();
	check_all_read();
	/* what was swapped cannot be found any more */
	for (i = 0; i + sizeof(u32) <= sizeof(shm); i += VIRTIO_DDEBUG_SHM_ALIGN) {
		const struct virtio_ddebug_stream_desc *d = (void *)(shm + i);

		if (le32_to_cpu(d->magic) == VIRTIO_DDEBUG_STREAM_MAGIC)
			CHECK(ring(d->cpu, d->context)->shm == (void *)d);
	}
	/* home again */
	say_everywhere();
	drain();
	ddebug_transport_detach(&host);
	for (cpu = 0; cpu < CPUS; cpu++)
		for (level = 0; level < VIRTIO_DDEBUG_NR_CTX; level++)
			CHECK(ring(cpu, level) && !ring(cpu, level)->home &&
			      !ring(cpu, level)->stream.posted);
	CHECK_IS(shm_in_use, STREAMS);
	reset_host();
	CHECK_IS(shm_in_use, 0);
	say_everywhere();
	host.shm = false;
	CHECK_IS(ddebug_transport_attach(&host), 0);
	check_all_read();
	end();
}

/* As many as there is room for. */
static void little_shared_memory(void)
{
	unsigned int room, i;
	u8 level;

	host.shm = true;
	begin();
	for (room = 0; room < 3; room++) {
		unsigned int shared = 0;

		shm_used = 0;
		shm_left = room * 3 * (64 * 1024 + 4096);
		CHECK_IS(ddebug_transport_attach(&host), 0);
		CHECK_IS(nr_elements, STREAMS);
		for (i = 0; i < CPUS; i++)
			for (level = 0; level < VIRTIO_DDEBUG_NR_CTX; level++)
				shared += !!ring(i, level)->home;
		CHECK_IS(shared, shm_in_use);
		CHECK(room ? shared && shared < STREAMS : !shared);
		say_everywhere();
		check_all_read();
		ddebug_transport_detach(&host);
		reset_host();
		CHECK_IS(shm_in_use, 0);
	}
	end();
}

/* A device that has an old ring: the streams stay where they are. */
static void sharing_fails(void)
{
	begin();
	host.shm = true;
	failing_cpu = 0;
	retire_error = -EIO;
	CHECK_IS(ddebug_transport_attach(&host), 0);
	CHECK_IS(nr_elements, STREAMS + 1);
	CHECK(ring(0, 0)->home && !ring(0, 1)->home && !ring(1, 0)->home);
	retire_error = 0;
	say_everywhere();
	check_all_read();
	ddebug_transport_detach(&host);
	CHECK(!ring(0, 0)->home);
	reset_host();
	end();
}

/* A CPU that was never there, one that comes, goes and comes again. */
static void cpus(void)
{
	load();
	sim_online[2] = false;
	CHECK_IS(ddebug_cpu_init(), 0);
	CHECK(!ring(2, 0) && ring(1, 3));
	CHECK_IS(ddebug_transport_attach(&host), 0);
	CHECK_IS(nr_elements, 2 * VIRTIO_DDEBUG_NR_CTX);
	ddebug_cpu_set_active(DDEBUG_ACTIVE_CALLSITES, true);
	CHECK_IS(ddebug_ring_resize(48), 0);
	CHECK_IS(sim_cpu_up(2), 0);
	CHECK_IS(nr_elements, STREAMS);
	CHECK_IS(ring(2, 0)->size, 48 * 1024);
	CHECK_IS(le32_to_cpu(ring(2, 3)->hdr->active), 1);
	say_everywhere();
	/* with a message that no handler has seen; a CPU that goes queues no more */
	drain();
	want_kicks(true);
	sim_now += 1000 * NSEC_PER_MSEC;
	sim_cpu.cpu = 2;
	sim_tick();
	memset(notified, 0, sizeof(notified));
	sim_online[2] = false;
	say();
	CHECK_IS(kicks(), 0);
	sim_cpu.cpu = 0;
	sim_online[2] = true;
	sim_cpu_down(2);
	CHECK_IS(notified[2 * VIRTIO_DDEBUG_NR_CTX], 1);
	check_all_read();
	/* its rings are changed without it */
	CHECK_IS(ddebug_ring_resize(64), 0);
	CHECK_IS(ring(2, 0)->size, 64 * 1024);
	CHECK_IS(sim_cpu_up(2), 0);
	CHECK_IS(nr_elements, STREAMS);
	say_everywhere();
	check_all_read();
	ddebug_transport_detach(&host);
	reset_host();
	/* it comes up in shared memory */
	host.shm = true;
	end();
}

static void cpu_comes_in_shared_memory(void)
{
	load();
	sim_online[1] = false;
	host.shm = true;
	CHECK_IS(ddebug_cpu_init(), 0);
	CHECK_IS(ddebug_transport_attach(&host), 0);
	CHECK_IS(sim_cpu_up(1), 0);
	CHECK(ring(1, 0)->home && ring(1, 3)->home);
	CHECK_IS(shm_in_use, STREAMS);
	say_everywhere();
	check_all_read();
	end();
}

static void loading_fails(void)
{
	load();
	sim_cpuhp_error = -ENOMEM;
	CHECK_IS(ddebug_cpu_init(), -ENOMEM);
	CHECK_IS(sim_allocated, 0);
}

/* -- memory fails at each allocation in turn ------------------------------------------ */

/* Does the allocation that fails come at all? */
static bool fails_at(unsigned long n)
{
	sim_fail_after = n;
	return n < 2000;
}

static bool has_failed(void)
{
	bool failed = sim_fail_after == ULONG_MAX;

	sim_fail_after = ULONG_MAX;
	return failed;
}

static unsigned int streams_made(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < STREAMS; i++)
		n += !!ring(i / VIRTIO_DDEBUG_NR_CTX, i % VIRTIO_DDEBUG_NR_CTX);
	return n;
}

/* A CPU without memory for its streams loses its messages, and counts them. */
static void no_memory_to_load(void)
{
	unsigned long n;
	bool failed = true;

	for (n = 0; failed; n++) {
		unsigned int i, silent = 0;
		unsigned long lost = 0;

		load();
		memset(nr_said, 0, sizeof(nr_said));
		memset(nr_read, 0, sizeof(nr_read));
		fails_at(n);
		CHECK_IS(ddebug_cpu_init(), 0);
		failed = has_failed();
		CHECK(failed || streams_made() == STREAMS);
		CHECK_IS(ddebug_transport_attach(&host), 0);
		CHECK_IS(nr_elements, streams_made());
		for (i = 0; i < STREAMS; i++) {
			sim_cpu.cpu = i / VIRTIO_DDEBUG_NR_CTX;
			sim_cpu.level = i % VIRTIO_DDEBUG_NR_CTX;
			if (ring(sim_cpu.cpu, sim_cpu.level)) {
				say();
			} else {
				silent++;
				say_nothing();
			}
		}
		sim_cpu.cpu = sim_cpu.level = 0;
		for (i = 0; i < CPUS; i++)
			lost += per_cpu(ddebug_cpu, i).nostream;
		CHECK_IS(lost, silent);
		check_all_read();
		CHECK_IS(ddebug_ring_resize(64), 0);
		ddebug_cpu_set_active(DDEBUG_ACTIVE_CALLSITES, n % 2);
		check_all_read();
		end();
	}
	CHECK(n > 50);
}

/* All or none. */
static void no_memory_to_resize(void)
{
	unsigned long n;
	bool failed = true;
	long in_use;

	begin_attached();
	for (n = 0; failed; n++) {
		int err;

		say_everywhere();
		in_use = sim_allocated;
		fails_at(n);
		err = ddebug_ring_resize(64);
		failed = has_failed();
		if (err) {
			CHECK_IS(err, -ENOMEM);
			CHECK(failed);
			CHECK_IS(sim_allocated, in_use);
			CHECK_IS(ddebug_ring_size_kb(), 32);
			CHECK_IS(ring(0, 0)->size, 32 * 1024);
		} else {
			CHECK_IS(ddebug_ring_size_kb(), 64);
			CHECK_IS(ring(2, 0)->size, 64 * 1024);
			CHECK_IS(ddebug_ring_resize(32), 0);
		}
		say_everywhere();
		check_all_read();
	}
	CHECK(n > 10);
	end();
}

/* Into shared memory, and home from there. */
static void no_memory_to_share(void)
{
	unsigned long n;
	bool failed = true;

	host.shm = true;
	for (n = 0; failed; n++) {
		unsigned int i, made;

		load();
		memset(nr_said, 0, sizeof(nr_said));
		memset(nr_read, 0, sizeof(nr_read));
		CHECK_IS(ddebug_cpu_init(), 0);
		shm_used = 0;
		shm_left = sizeof(shm);
		fails_at(n);
		CHECK_IS(ddebug_transport_attach(&host), 0);
		for (i = 0; i < CPUS; i++)
			say_on(i, i);
		check_all_read();
		ddebug_transport_detach(&host);
		failed = has_failed();
		made = streams_made();
		CHECK(made >= STREAMS - failed);
		reset_host();
		CHECK_IS(shm_in_use, 0);
		for (i = 0; i < STREAMS; i++) {
			sim_cpu.cpu = i / VIRTIO_DDEBUG_NR_CTX;
			sim_cpu.level = i % VIRTIO_DDEBUG_NR_CTX;
			if (ring(sim_cpu.cpu, sim_cpu.level))
				say();
			else
				say_nothing();
		}
		sim_cpu.cpu = sim_cpu.level = 0;
		shm_used = 0;
		shm_left = sizeof(shm);
		CHECK_IS(ddebug_transport_attach(&host), 0);
		CHECK_IS(nr_elements, made);
		check_all_read();
		end();
	}
	CHECK(n > 100);
}

static void no_memory_for_a_view(void)
{
	begin();
	sim_fail_after = 0;
	CHECK(!ddebug_view_new());
	CHECK(has_failed());
	say();
	check_view(1, 0);
	end();
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "the range of rb_size_kb", parameter },
	{ "the largest ring", largest },
	{ "each context of each CPU has a stream", contexts },
	{ "records at the ends of sub-buffers", ends_of_sub_buffers },
	{ "a ring that wraps", lapped },
	{ "a reader in the guest", own_reader },
	{ "texts are as printk() has them", texts },
	{ "what can be packed is packed", packing },
	{ "programs of formats", programs },
	{ "times", times },
	{ "writers that live and writers that have died", writers_that_die },
	{ "records of dead writers", torn_records },
	{ "messages without a stream are counted", without_streams },
	{ "what no stream has recorded is told", losses_are_told },
	{ "notifications", notifications },
	{ "listeners", listeners },
	{ "notices", notices },
	{ "statistics", statistics },
	{ "rings of other sizes", sizes },
	{ "rings of other sizes in shared memory", sizes_in_shared_memory },
	{ "rings of other sizes with a writer inside", sizes_with_writers },
#ifdef SIM_POINTS
	{ "swaps interrupted by NMIs", swaps_interrupted_by_nmis },
#endif
	{ "a resize that fails for one CPU", one_cpu_fails },
	{ "a resize while the device is reset", resized_while_reset },
	{ "a ring for which there is no room yet", posted_late },
	{ "attaching fails", attaching_fails },
	{ "returned streams", returned },
	{ "shared memory", shared_memory },
	{ "shared memory for some", little_shared_memory },
	{ "a device that keeps a ring that moves to shared memory", sharing_fails },
	{ "CPUs that come and go", cpus },
	{ "a CPU that comes up in shared memory", cpu_comes_in_shared_memory },
	{ "loading fails", loading_fails },
	{ "no memory to load", no_memory_to_load },
	{ "no memory to resize", no_memory_to_resize },
	{ "no memory to share", no_memory_to_share },
	{ "no memory for a view", no_memory_for_a_view },
};

int main(int argc, char **argv)
{
	bool bad = false;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		int status;
		pid_t child;

		if (argc > 1 && strcmp(argv[1], cases[i].name))
			continue;
		fflush(NULL);
		child = fork();
		if (!child) {
			/* one that hangs ends here */
			alarm(120);
			cases[i].run();
			fflush(NULL);
			_exit(0);
		}
		if (child < 0 || waitpid(child, &status, 0) < 0)
			stress_fail("no process for a case");
		printf("%s - rings: %s\n", status ? "not ok" : "ok", cases[i].name);
		bad = bad || status;
	}
	return bad;
}
