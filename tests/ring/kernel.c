/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions of kernel.h, and stubs for the module's other files. */
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include "../../guest-driver/ddebug_dict.h"
#include "../../guest-driver/ddebug_kick.h"
#include "../../guest-driver/ddebug_kmsg.h"

unsigned int sim_nr_cpus = 1;
bool sim_online[SIM_CPUS];
char *sim_percpu[SIM_CPUS];
__thread struct sim_cpu sim_cpu;

/* -- CPUs ------------------------------------------------------------------------ */

void sim_init(unsigned int nr_cpus)
{
	unsigned int cpu;

	sim_nr_cpus = nr_cpus;
	for_each_possible_cpu(cpu) {
		sim_percpu[cpu] = aligned_alloc(64, ALIGN(__stop_sim_template - __start_sim_template,
							  64));
		memcpy(sim_percpu[cpu], __start_sim_template,
		       __stop_sim_template - __start_sim_template);
		sim_online[cpu] = true;
	}
}

/* What the CPU has been told to call. */
static struct {
	pthread_mutex_t lock;
	pthread_t thread;
	bool runs, signals;
	void (*f)(void *info);
	void *info;
	bool pending;
} sim_calls[SIM_CPUS] = {
	[0 ... SIM_CPUS - 1] = { .lock = PTHREAD_MUTEX_INITIALIZER },
};

/* Runs on a CPU while that is idle. */
static struct task_struct sim_idle_task;

void sim_take_calls(void)
{
	u8 level = sim_cpu.level;

	if (!sim_cpu.runs || level >= VIRTIO_DDEBUG_CTX_HARDIRQ ||
	    !__atomic_load_n(&sim_calls[sim_cpu.cpu].pending, __ATOMIC_ACQUIRE))
		return;
	sim_cpu.level = VIRTIO_DDEBUG_CTX_HARDIRQ;
	sim_compiler_barrier();
	/* another interrupt may have come first */
	if (__atomic_load_n(&sim_calls[sim_cpu.cpu].pending, __ATOMIC_ACQUIRE)) {
		sim_idle();
		sim_calls[sim_cpu.cpu].f(sim_calls[sim_cpu.cpu].info);
		sim_idle();
		__atomic_store_n(&sim_calls[sim_cpu.cpu].pending, false, __ATOMIC_RELEASE);
	}
	sim_compiler_barrier();
	sim_cpu.level = level;
}

void sim_cpu_run(bool signals)
{
	pthread_mutex_lock(&sim_calls[sim_cpu.cpu].lock);
	sim_calls[sim_cpu.cpu].thread = pthread_self();
	sim_calls[sim_cpu.cpu].signals = signals;
	sim_calls[sim_cpu.cpu].runs = true;
	sim_cpu.runs = true;
	pthread_mutex_unlock(&sim_calls[sim_cpu.cpu].lock);
}

void sim_cpu_stop(void)
{
	/* who holds the lock waits for this CPU */
	while (pthread_mutex_trylock(&sim_calls[sim_cpu.cpu].lock))
		sim_take_calls();
	sim_calls[sim_cpu.cpu].runs = false;
	sim_cpu.runs = false;
	pthread_mutex_unlock(&sim_calls[sim_cpu.cpu].lock);
}

void sim_call(unsigned int cpu, void (*f)(void *info), void *info)
{
	const struct sim_cpu was = sim_cpu;

	if (was.runs && was.cpu == cpu) {
		sim_cpu.level = VIRTIO_DDEBUG_CTX_HARDIRQ;
		f(info);
		sim_cpu.level = was.level;
		return;
	}
	pthread_mutex_lock(&sim_calls[cpu].lock);
	if (!sim_calls[cpu].runs) {
		/* our own CPU, without a thread, runs our task */
		if (was.cpu != cpu)
			sim_cpu.task = &sim_idle_task;
		sim_cpu.cpu = cpu;
		sim_cpu.level = VIRTIO_DDEBUG_CTX_HARDIRQ;
		f(info);
		sim_cpu = was;
	} else {
		sim_calls[cpu].f = f;
		sim_calls[cpu].info = info;
		__atomic_store_n(&sim_calls[cpu].pending, true, __ATOMIC_RELEASE);
		if (sim_calls[cpu].signals)
			pthread_kill(sim_calls[cpu].thread, SIGRTMIN + VIRTIO_DDEBUG_NR_CTX);
		while (__atomic_load_n(&sim_calls[cpu].pending, __ATOMIC_ACQUIRE))
			sched_yield();
	}
	pthread_mutex_unlock(&sim_calls[cpu].lock);
}

void (*sim_sleep_hook)(void);

void sim_sleep(unsigned int usecs)
{
	if (sim_sleep_hook)
		sim_sleep_hook();
	else
		usleep(usecs);
}

void sim_cpu_begin(unsigned int cpu, struct task_struct *task)
{
	sim_cpu.cpu = cpu;
	sim_cpu.level = VIRTIO_DDEBUG_CTX_TASK;
	sim_cpu.task = task;
}

u8 sim_enter(u8 level)
{
	u8 old = sim_cpu.level;

	sim_cpu.level = level;
	sim_compiler_barrier();
	return old;
}

static void sim_run(struct irq_work *work)
{
	u8 level;

	if (!sim_plain_read(work->pending))
		return;
	level = sim_enter(VIRTIO_DDEBUG_CTX_HARDIRQ);
	/* as in the kernel: not pending any more when it runs */
	sim_plain_write(work->pending, false);
	sim_cpu.working++;
	sim_compiler_barrier();
	work->func(work);
	sim_compiler_barrier();
	sim_cpu.working--;
	sim_cpu.level = level;
}

/* Run an interrupt that was held off as soon as it is allowed. */
void sim_leave(u8 level)
{
	sim_compiler_barrier();
	sim_cpu.level = level;
	if (level < VIRTIO_DDEBUG_CTX_HARDIRQ)
		sim_run(&this_cpu_ptr(&ddebug_cpu)->now);
	sim_take_calls();
}

bool irq_work_queue(struct irq_work *work)
{
	bool was = sim_plain_read(work->pending);

	sim_plain_write(work->pending, true);
	sim_compiler_barrier();
	if (!(work->flags & IRQ_WORK_LAZY) && sim_cpu.level < VIRTIO_DDEBUG_CTX_HARDIRQ)
		sim_run(work);
	return !was;
}

/* Work queued by an NMI meanwhile runs at the next tick, or as soon as it is allowed. */
void sim_tick(void)
{
	struct ddebug_cpu *c = this_cpu_ptr(&ddebug_cpu);

	do {
		sim_run(&c->lazy);
		sim_run(&c->now);
	} while (sim_plain_read(c->lazy.pending) || sim_plain_read(c->now.pending));
}

static struct {
	int (*startup)(unsigned int cpu);
	int (*teardown)(unsigned int cpu);
} sim_states[2];

int sim_cpuhp_error;

int cpuhp_setup_state(enum cpuhp_state state, const char *name,
		      int (*startup)(unsigned int cpu), int (*teardown)(unsigned int cpu))
{
	unsigned int cpu;
	int err = 0;

	(void)name;
	for (cpu = 0; cpu < sim_nr_cpus && !err; cpu++)
		if (sim_online[cpu])
			err = startup(cpu);
	if (err)
		return err;
	sim_states[state].startup = startup;
	sim_states[state].teardown = teardown;
	return state + 1;
}

int cpuhp_setup_state_nocalls(enum cpuhp_state state, const char *name,
			      int (*startup)(unsigned int cpu), int (*teardown)(unsigned int cpu))
{
	int err = sim_cpuhp_error;

	(void)name;
	sim_cpuhp_error = 0;
	if (err)
		return err;
	sim_states[state].startup = startup;
	sim_states[state].teardown = teardown;
	return state + 1;
}

void cpuhp_remove_state_nocalls(enum cpuhp_state state)
{
	sim_states[state - 1].startup = sim_states[state - 1].teardown = NULL;
}

static void sim_on(unsigned int cpu, int (*f)(unsigned int cpu))
{
	const struct sim_cpu was = sim_cpu;

	sim_cpu.cpu = cpu;
	sim_cpu.task = &sim_idle_task;
	if (f)
		f(cpu);
	sim_cpu = was;
}

int sim_cpu_up(unsigned int cpu)
{
	int err = 0;

	if (sim_states[CPUHP_BP_PREPARE_DYN].startup)
		err = sim_states[CPUHP_BP_PREPARE_DYN].startup(cpu);
	if (err)
		return err;
	sim_online[cpu] = true;
	sim_on(cpu, sim_states[CPUHP_AP_ONLINE_DYN].startup);
	return 0;
}

void sim_cpu_down(unsigned int cpu)
{
	sim_on(cpu, sim_states[CPUHP_AP_ONLINE_DYN].teardown);
	sim_online[cpu] = false;
	if (sim_states[CPUHP_BP_PREPARE_DYN].teardown)
		sim_states[CPUHP_BP_PREPARE_DYN].teardown(cpu);
}

void on_each_cpu(void (*f)(void *info), void *info, int wait)
{
	const struct sim_cpu was = sim_cpu;

	(void)wait;
	for_each_possible_cpu(sim_cpu.cpu)
		if (sim_online[sim_cpu.cpu])
			f(info);
	sim_cpu = was;
}

u64 sim_clock_step = 1;
u64 sim_now;

/* With SIM_POINTS it steps back occasionally. */
u64 local_clock(void)
{
	struct timespec ts;
	u64 now;

	if (sim_now)
		return sim_now;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = ts.tv_sec * 1000000000ull + ts.tv_nsec;
#ifdef SIM_POINTS
	if (now % 1021 == 0)
		now -= 100000;
#endif
	return now - now % sim_clock_step;
}

/* -- RCU --------------------------------------------------------------------------- */

/* How deep each thread is in readers, and how many of its outermost ones have ended. */
static struct sim_reader {
	unsigned int depth, ended;
	char others[56];
} sim_readers[64];

static unsigned int sim_nr_readers;
static __thread struct sim_reader *sim_reader;

/* May interrupt itself. */
void sim_rcu_begin(void)
{
	if (!sim_reader)
		sim_reader = &sim_readers[__atomic_fetch_add(&sim_nr_readers, 1, __ATOMIC_RELAXED)];
	__atomic_fetch_add(&sim_reader->depth, 1, __ATOMIC_SEQ_CST);
}

void sim_rcu_end(void)
{
	if (sim_reader->depth == 1)
		__atomic_fetch_add(&sim_reader->ended, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_sub(&sim_reader->depth, 1, __ATOMIC_SEQ_CST);
}

void sim_rcu_wait(void)
{
	unsigned int i;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (i = 0; i < ARRAY_SIZE(sim_readers); i++) {
		const unsigned int ended = __atomic_load_n(&sim_readers[i].ended, __ATOMIC_SEQ_CST);

		/* one that begins meanwhile need not be waited for */
		while (__atomic_load_n(&sim_readers[i].depth, __ATOMIC_SEQ_CST) &&
		       __atomic_load_n(&sim_readers[i].ended, __ATOMIC_SEQ_CST) == ended)
			sched_yield();
	}
}

/* -- points ------------------------------------------------------------------------ */

#ifdef SIM_POINTS
__thread void (*sim_format_hook)(void);
__thread void (*sim_point_hook)(void);

void sim_point(void)
{
	if (sim_point_hook)
		sim_point_hook();
	sim_take_calls();
}

void sim_format_point(void)
{
	if (sim_format_hook)
		sim_format_hook();
}

#undef vsnprintf
int sim_vsnprintf(char *buf, size_t size, const char *fmt, va_list args)
{
	int len;

	sim_format_point();
	len = vsnprintf(buf, size, fmt, args);
	sim_format_point();
	return len;
}
#endif

/* -- delayed stores ------------------------------------------------------------------- */

#ifdef SIM_WEAK
/*
 * Stores of this CPU that others do not see yet, oldest first.  These functions are not
 * interrupted: the weak build has no signals, and they contain no points.
 */
static __thread struct {
	u64 *p;
	u64 value;
} sim_late[4];

static __thread unsigned int sim_nr_late;

static void sim_show(unsigned int i)
{
	__atomic_store_n(sim_late[i].p, sim_late[i].value, __ATOMIC_RELEASE);
	sim_nr_late--;
	memmove(&sim_late[i], &sim_late[i + 1], (sim_nr_late - i) * sizeof(sim_late[0]));
}

void sim_drain(void)
{
	while (sim_nr_late)
		sim_show(0);
}

/* They may become visible in any order, but in order for each word. */
void sim_store(u64 *p, u64 value)
{
	static __thread unsigned int lot;
	unsigned int i;

	for (i = 0; i < sim_nr_late; i++)
		if (sim_late[i].p == p)
			sim_show(i--);
	if (sim_nr_late == ARRAY_SIZE(sim_late))
		sim_show(lot++ % sim_nr_late);
	sim_late[sim_nr_late].p = p;
	sim_late[sim_nr_late++].value = value;
}

void sim_store_release(u64 *p, u64 value)
{
	sim_drain();
	sim_store(p, value);
}

u64 sim_load(const u64 *p)
{
	unsigned int i;

	for (i = sim_nr_late; i-- > 0; )
		if (sim_late[i].p == p)
			return sim_late[i].value;
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}
#endif

/* What is still late stays so for as long as a reader takes to find nothing and go to sleep. */
void sim_idle(void)
{
#ifdef SIM_WEAK
	if (sim_nr_late)
		usleep(2000);
	sim_drain();
#endif
}

#ifdef SIM_BREAK_PRODUCER_B
/*
 * As if the header of the first record were stored after head: for a moment its old
 * content is visible.
 */
void sim_head_before_data(u64 *p, u64 value)
{
	struct ddebug_cpu *c = this_cpu_ptr(&ddebug_cpu);
	volatile u64 *word, was;
	unsigned int i;

	for (i = 0; &c->ring[i]->hdr->head != (__le64 *)p; i++)
		;
	word = (volatile u64 *)(c->ring[i]->data + *p % c->ring[i]->size);
	was = *word;
	*word = 0;
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
	for (i = 0; i < 1000; i++)
		sim_compiler_barrier();
	*word = was;
}
#endif

/* -- pages -------------------------------------------------------------------------------- */

#define SIM_PAGES	(1u << 20)

/* Pages that are not in use are inaccessible. */
static struct page sim_pages[SIM_PAGES];
static char *sim_arena;
static unsigned int sim_nr_pages;

void *page_address(const struct page *page)
{
	return sim_arena + (page - sim_pages) * PAGE_SIZE;
}

bool sim_quiet;
unsigned int sim_printed;
long sim_allocated;
bool sim_fragmented = true;
unsigned long sim_fail_after = ULONG_MAX;

/* Has another allocation failed? */
static bool sim_fails(void)
{
	if (sim_fail_after == ULONG_MAX || sim_fail_after--)
		return false;
	/* that one alone */
	sim_fail_after = ULONG_MAX;
	return true;
}

static void sim_count(long n)
{
	__atomic_fetch_add(&sim_allocated, n, __ATOMIC_RELAXED);
}

/* All of it is zero: what must not be read before it is written is seen by valgrind alone. */
void *sim_alloc(size_t size)
{
	void *p = sim_fails() ? NULL : calloc(1, size);

	sim_count(p != NULL);
	return p;
}

void sim_free(const void *p)
{
	sim_count(-(p != NULL));
	free((void *)p);
}

/* Fails occasionally for large orders, so that small pieces are used as well. */
struct page *alloc_pages_node(int node, gfp_t gfp, unsigned int order)
{
	static unsigned int calls;
	struct page *page;

	(void)node;
	(void)gfp;
	if (!sim_arena)
		sim_arena = mmap(NULL, SIM_PAGES * PAGE_SIZE, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sim_fails() || sim_arena == MAP_FAILED || sim_nr_pages + (1u << order) > SIM_PAGES ||
	    (order && sim_fragmented && ++calls % 4 == 0))
		return NULL;
	page = &sim_pages[sim_nr_pages];
	sim_nr_pages += 1u << order;
	if (mprotect(page_address(page), PAGE_SIZE << order, PROT_READ | PROT_WRITE))
		return NULL;
	sim_count(1u << order);
	return page;
}

/* Never reused, so that later accesses are detected. */
void __free_page(struct page *page)
{
	madvise(page_address(page), PAGE_SIZE, MADV_DONTNEED);
	mprotect(page_address(page), PAGE_SIZE, PROT_NONE);
	sim_count(-1);
}

void sim_free_address(unsigned long address)
{
	if (address)
		__free_page(&sim_pages[((char *)address - sim_arena) / PAGE_SIZE]);
}

/* The pages are contiguous; the page after them is never used. */
void *vmap(struct page **pages, unsigned int count, unsigned long flags, int prot)
{
	unsigned int i;

	(void)flags;
	(void)prot;
	if (sim_fails())
		return NULL;
	for (i = 1; i < count; i++)
		if (pages[i] != pages[0] + i)
			return NULL;
	sim_nr_pages++;
	sim_count(1);
	return page_address(pages[0]);
}

void vunmap(const void *address)
{
	sim_count(-(address != NULL));
}

/* -- stubs for the module's other files ---------------------------------------------------- */

const struct ddebug_program *(*sim_find_program)(const struct _ddebug *d, const char *fmt);

const struct ddebug_program *ddebug_dict_find(const struct _ddebug *d, const char *fmt, u32 *id)
{
	*id = d->lineno;
	return sim_find_program ? sim_find_program(d, fmt) : NULL;
}

void ddebug_dict_unannounce(void)
{
}

void ddebug_kmsg_for_host(bool wanted, u64 log_id)
{
	(void)wanted;
	(void)log_id;
}

void ddebug_dict_announce_all(struct ddebug_transport *t)
{
	(void)t;
}

void ddebug_dict_announce_soon(void)
{
}
