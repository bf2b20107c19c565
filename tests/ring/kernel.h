/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What guest-driver/ddebug_{ring*,cpu,kick,transport,attach,emit,pack,view}.c take from the kernel, for
 * building them as a part of an ordinary program: each thing does what the
 * kernel's of the same name does, as far as those files can tell.
 *
 * A CPU is a thread that has called sim_cpu_begin().  Its interrupts are calls of
 * sim_enter() and sim_leave(), in signal handlers or at points (sim_point()): the
 * barriers and marked accesses of the code under test are points.
 * A call on all CPUs is made while no CPU runs; one on a single CPU interrupts it.
 *
 * SIM_POINTS  enable points; without it nothing is added to the code under test
 * SIM_WEAK    stores to the header shared with the device may become visible late, as
 *             on arm64: in any order that barriers and releases allow
 *
 * To show that the tests detect errors, one thing can be broken:
 *
 * SIM_BREAK_PRODUCER_A  virt_wmb() orders nothing (with SIM_WEAK)
 * SIM_BREAK_KICK_A      virt_mb() orders nothing (with SIM_WEAK)
 * SIM_BREAK_PRODUCER_B  head is visible before data that was stored before it
 * SIM_BREAK_RELEASE     head is stored without release, detected by ThreadSanitizer
 * SIM_BREAK_CLAIM       the claim of a stream is never visible
 * SIM_BREAK_CMPXCHG     this_cpu_cmpxchg() can be interrupted between its load and its store
 */
#ifndef SIM_KERNEL_H
#define SIM_KERNEL_H

#include <errno.h>
#include <linux/stddef.h>
#include <linux/types.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef int32_t s32;
typedef long long s64;
typedef unsigned int gfp_t;

#define CONFIG_64BIT	1
#define IS_ENABLED(option)	0	/* CONFIG_NET, CONFIG_INFINIBAND */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "so the conversions are none");
#define cpu_to_le16(x)	((__le16)(x))
#define cpu_to_le32(x)	((__le32)(x))
#define cpu_to_le64(x)	((__le64)(x))
#define le16_to_cpu(x)	((u16)(x))
#define le32_to_cpu(x)	((u32)(x))
#define le64_to_cpu(x)	((u64)(x))

#define U16_MAX		UINT16_MAX
#define U32_MAX		UINT32_MAX
#define U64_MAX		UINT64_MAX
#define SZ_64K		0x10000
#define NSEC_PER_MSEC	1000000ull
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define BIT(n)		(1ul << (n))
#define ALIGN(x, a)	(((x) + (a) - 1) & ~((typeof(x))(a) - 1))
#define IS_ALIGNED(x, a)	(((x) & ((a) - 1)) == 0)
#define round_up(x, a)	ALIGN(x, (typeof(x))(a))
#define round_down(x, a)	((x) & ~((typeof(x))(a) - 1))
#define DIV_ROUND_UP(n, d)	(((n) + (d) - 1) / (d))
#define min_t(type, a, b)	((type)(a) < (type)(b) ? (type)(a) : (type)(b))
#define max_t(type, a, b)	((type)(a) > (type)(b) ? (type)(a) : (type)(b))
#define min(a, b)		({ typeof(a) _a = (a); typeof(b) _b = (b); _a < _b ? _a : _b; })
#define max(a, b)		({ typeof(a) _a = (a); typeof(b) _b = (b); _a > _b ? _a : _b; })
#define array_size(n, size)	((size_t)(n) * (size))
#define struct_size(p, member, n)	(sizeof(*(p)) + (n) * sizeof((p)->member[0]))
#define container_of(p, type, member)	((type *)((char *)(p) - offsetof(type, member)))
#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define static_assert	_Static_assert
#define noinline	__attribute__((noinline))
#define fallthrough	__attribute__((fallthrough))
#define SZ_2K		2048
#define __aligned(n)	__attribute__((aligned(n)))
#define __printf(fmt, args)	__attribute__((format(printf, fmt, args)))
#define __init
#define __rcu
#define EXPORT_SYMBOL_GPL(symbol)	extern int sim_nothing
#define KBUILD_MODNAME	"ddebug_rb"

/* Tests can set a parameter: *sim_param_NAME() = ...; */
#define module_param(name, type, perm)	typeof(name) *sim_param_##name(void) { return &name; }	\
					extern int sim_nothing
#define MODULE_PARM_DESC(name, text)	extern int sim_nothing

/* The kernel's log. */
extern bool sim_quiet;
extern unsigned int sim_printed;	/* messages */
#define sim_print(...)	\
	do { sim_printed++; if (!sim_quiet) fprintf(stderr, __VA_ARGS__); } while (0)
#define pr_err(...)		sim_print(__VA_ARGS__)
#define pr_warn(...)		sim_print(__VA_ARGS__)
#define pr_warn_once(...)	\
	do { static bool _said; if (!_said) sim_print(__VA_ARGS__); _said = true; } while (0)

/* -- interrupts between accesses ----------------------------------------------- */

#ifdef SIM_POINTS
extern __thread void (*sim_point_hook)(void);
void sim_point(void);
#else
static inline void sim_point(void)
{
}
#endif

#define sim_compiler_barrier()	__asm__ __volatile__("" : : : "memory")
#define barrier()		do { sim_compiler_barrier(); sim_point(); } while (0)

/* -- memory -------------------------------------------------------------------- */

#define sim_plain_read(x)	__atomic_load_n((volatile typeof(x) *)&(x), __ATOMIC_RELAXED)
#define sim_plain_write(x, v)	\
	__atomic_store_n((volatile typeof(x) *)&(x), (typeof(x))(v), __ATOMIC_RELAXED)

#ifdef SIM_WEAK
/* Stores to a stream's header, recognized by the expression in the code. */
#define sim_is_shared(text)	(!__builtin_strncmp(text, "r->hdr->", 8) && \
				 __builtin_strcmp(text, "r->hdr->active"))
void sim_store(u64 *p, u64 value);
void sim_store_release(u64 *p, u64 value);
u64 sim_load(const u64 *p);
void sim_drain(void);

#define READ_ONCE(x)	(sizeof(x) == 8 && sim_is_shared(#x) ?			\
			 (typeof(x))sim_load((const u64 *)&(x)) : sim_plain_read(x))
#define WRITE_ONCE(x, v)							\
do {										\
	if (sizeof(x) == 8 && sim_is_shared(#x))				\
		sim_store((u64 *)&(x), (u64)(v));				\
	else									\
		sim_plain_write(x, v);						\
	sim_point();								\
} while (0)
#define virt_store_release(p, v)	\
	do { sim_point(); sim_store_release((u64 *)(p), v); sim_point(); } while (0)
#ifdef SIM_BREAK_PRODUCER_A
#define virt_wmb()	barrier()
#else
#define virt_wmb()	do { sim_drain(); barrier(); } while (0)
#endif
#ifdef SIM_BREAK_KICK_A
#define virt_mb()	barrier()
#else
#define virt_mb()	do { sim_drain(); __atomic_thread_fence(__ATOMIC_SEQ_CST); barrier(); } while (0)
#endif

#else

#ifdef SIM_BREAK_CLAIM
/* Streams never appear to be claimed. */
#define READ_ONCE(x)	(__builtin_strcmp(#x, "r->owner.task") ? sim_plain_read(x) : (typeof(x))0)
#else
#define READ_ONCE(x)	sim_plain_read(x)
#endif
#define WRITE_ONCE(x, v)	do { sim_plain_write(x, v); sim_point(); } while (0)
#define virt_wmb()	do { __atomic_thread_fence(__ATOMIC_RELEASE); barrier(); } while (0)
#define virt_mb()	do { __atomic_thread_fence(__ATOMIC_SEQ_CST); barrier(); } while (0)
#if defined(SIM_BREAK_PRODUCER_B)
void sim_head_before_data(u64 *p, u64 value);
#define virt_store_release(p, v)	sim_head_before_data((u64 *)(p), v)
#elif defined(SIM_BREAK_RELEASE)
#define virt_store_release(p, v)	sim_plain_write(*(p), v)
#else
#define virt_store_release(p, v)	\
	do { sim_point(); __atomic_store_n(p, v, __ATOMIC_RELEASE); sim_point(); } while (0)
#endif

#endif

#define smp_store_release(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)
#define smp_load_acquire(p)	__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_rmb()		__atomic_thread_fence(__ATOMIC_ACQUIRE)

/* Ignored by ThreadSanitizer, as by KCSAN. */
#ifdef __SANITIZE_THREAD__
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
#define data_race(x)	({ AnnotateIgnoreReadsBegin(__FILE__, __LINE__);	\
			   typeof(x) _racy = (x);				\
			   AnnotateIgnoreReadsEnd(__FILE__, __LINE__);		\
			   _racy; })
#else
#define data_race(x)		(x)
#endif

/* -- CPUs ------------------------------------------------------------------------ */

#define SIM_CPUS	8	/* possible ones */

extern unsigned int sim_nr_cpus;	/* present ones; below SIM_CPUS */
extern bool sim_online[SIM_CPUS];

/*
 * As in the kernel: the variable is a template in a section of its own, of which each
 * CPU has a copy.
 */
extern char __start_sim_template[], __stop_sim_template[];
extern char *sim_percpu[SIM_CPUS];

#define DECLARE_PER_CPU(type, name)	extern type name
#define DEFINE_PER_CPU(type, name)	type name __attribute__((section("sim_template")))
#define per_cpu_ptr(p, cpu)	\
	((typeof(p))(sim_percpu[cpu] + ((char *)(p) - __start_sim_template)))
#define per_cpu(name, cpu)	(*per_cpu_ptr(&(name), cpu))
#define this_cpu_ptr(p)		per_cpu_ptr(p, raw_smp_processor_id())
#define this_cpu_inc(name)	((*this_cpu_ptr(&(name)))++)
#define this_cpu_read(name)	sim_plain_read(*this_cpu_ptr(&(name)))
#define this_cpu_add(name, n)	\
	((void)__atomic_fetch_add(this_cpu_ptr(&(name)), n, __ATOMIC_RELAXED))
#define this_cpu_xchg(name, v)	__atomic_exchange_n(this_cpu_ptr(&(name)), v, __ATOMIC_RELAXED)
/* One instruction: an interrupt comes before or after it. */
#ifdef SIM_BREAK_CMPXCHG
#define this_cpu_cmpxchg(name, old, new)						\
	({ typeof(&(name)) _p = this_cpu_ptr(&(name)); typeof(name) _was = *_p;		\
	   if (_was == (old)) { barrier(); *_p = (new); } _was; })
#else
#define this_cpu_cmpxchg(name, old, new)						\
	({ typeof(name) _old = (old);							\
	   __atomic_compare_exchange_n(this_cpu_ptr(&(name)), &_old, (new), false,	\
				       __ATOMIC_RELAXED, __ATOMIC_RELAXED);		\
	   _old; })
#endif
#define raw_cpu_ptr(p)		this_cpu_ptr(p)
#define get_cpu_ptr(p)		this_cpu_ptr(p)
#define put_cpu_ptr(p)		((void)(p))
#define get_cpu()		raw_smp_processor_id()
#define put_cpu()
#define nr_cpu_ids		sim_nr_cpus
#define cpu_possible(cpu)	((cpu) < sim_nr_cpus)
#define for_each_possible_cpu(cpu)	for ((cpu) = 0; (cpu) < sim_nr_cpus; (cpu)++)
#define for_each_online_cpu(cpu)		for_each_possible_cpu(cpu) if (!cpu_online(cpu)) {} else
#define cpu_online(cpu)		(sim_online[cpu])
#define cpus_read_lock()
#define cpus_read_unlock()
#define usleep_range(min, max)	sim_sleep(min)
#define cpu_to_node(cpu)	((int)(cpu))

#define PF_EXITING	0x00000004

struct task_struct {
	u64 start_time;
	unsigned int flags;
	int pid;
};

struct sim_cpu {
	unsigned int cpu;
	u8 level;			/* VIRTIO_DDEBUG_CTX_* */
	u8 working;			/* inside an irq_work */
	bool runs;			/* between sim_cpu_run() and sim_cpu_stop() */
	struct task_struct *task;
};

extern __thread struct sim_cpu sim_cpu;

#define raw_smp_processor_id()	(sim_cpu.cpu)
#define current			(sim_cpu.task)
#define interrupt_context_level()	(sim_cpu.level)
#define in_interrupt()		(sim_cpu.level != 0)
#define is_idle_task(task)	false
#define object_is_on_stack(p)	((void)(p), true)
#define task_pid_nr(task)	((task)->pid)
#define task_pid_vnr(task)	((task)->pid)
#define preempt_disable()	sim_compiler_barrier()
#define preempt_enable()	sim_compiler_barrier()
#define preempt_disable_notrace()	sim_compiler_barrier()
#define preempt_enable_notrace()	sim_compiler_barrier()

/* Called once, before anything else. */
void sim_init(unsigned int nr_cpus);
/* The calling thread becomes @cpu. */
void sim_cpu_begin(unsigned int cpu, struct task_struct *task);
/* Enter and leave an interrupt of a higher level. */
u8 sim_enter(u8 level);
void sim_leave(u8 level);
/* Run the work that waits for the tick. */
void sim_tick(void);
/* Make all stores of this CPU visible. */
void sim_idle(void);

/* What the clock advances by, in ns; 1 unless set. */
extern u64 sim_clock_step;
/*
 * From sim_cpu_run() to sim_cpu_stop() the calling thread is its CPU, and what others call
 * on that CPU interrupts it: at points, and with @signals at any instruction.  At other
 * times it is done by who calls it, as if that CPU were idle.
 */
void sim_cpu_run(bool signals);
void sim_cpu_stop(void);
void sim_call(unsigned int cpu, void (*f)(void *info), void *info);
/* Do what others have called on this CPU. */
void sim_take_calls(void);
/* A CPU comes and goes; it has no thread. */
int sim_cpu_up(unsigned int cpu);
void sim_cpu_down(unsigned int cpu);

/* Called instead of sleeping, if set. */
extern void (*sim_sleep_hook)(void);
void sim_sleep(unsigned int usecs);

/* If not 0, it is that late. */
extern u64 sim_now;
u64 local_clock(void);
#define get_random_u64()	1ull

enum cpuhp_state {
	CPUHP_BP_PREPARE_DYN,
	CPUHP_AP_ONLINE_DYN,
};

int cpuhp_setup_state(enum cpuhp_state state, const char *name,
		      int (*startup)(unsigned int cpu), int (*teardown)(unsigned int cpu));
int cpuhp_setup_state_nocalls(enum cpuhp_state state, const char *name,
			      int (*startup)(unsigned int cpu), int (*teardown)(unsigned int cpu));
void cpuhp_remove_state_nocalls(enum cpuhp_state state);
/* The next call of cpuhp_setup_state_nocalls() returns this. */
extern int sim_cpuhp_error;
#define smp_call_function_single(cpu, f, info, wait)	sim_call(cpu, f, info)
void on_each_cpu(void (*f)(void *info), void *info, int wait);

/* Work is done at once, by who asks for it. */
struct work_struct {
	void (*f)(struct work_struct *work);
};

#define DECLARE_WORK(name, function)	struct work_struct name = { .f = (function) }
#define queue_work(queue, work)		((work)->f(work))
#define cancel_work_sync(work)		((void)(work))

#define IRQ_WORK_LAZY		1
#define IRQ_WORK_HARD_IRQ	2

struct irq_work {
	void (*func)(struct irq_work *work);
	int flags;
	bool pending;
};

#define __IRQ_WORK_INIT(f, how)	((struct irq_work){ .func = (f), .flags = (how) })
#define IRQ_WORK_INIT_HARD(f)	__IRQ_WORK_INIT(f, IRQ_WORK_HARD_IRQ)

bool irq_work_queue(struct irq_work *work);
#define irq_work_sync(work)	((void)(work))

/* -- locks ----------------------------------------------------------------------- */

struct mutex {
	pthread_mutex_t lock;
};

#define DEFINE_MUTEX(name)	struct mutex name = { PTHREAD_MUTEX_INITIALIZER }
#define mutex_lock(m)		pthread_mutex_lock(&(m)->lock)
#define mutex_unlock(m)		pthread_mutex_unlock(&(m)->lock)
#define lockdep_is_held(m)	true
void sim_rcu_begin(void);
void sim_rcu_end(void);
void sim_rcu_wait(void);
#define rcu_read_lock()		sim_rcu_begin()
#define rcu_read_unlock()	sim_rcu_end()
#define synchronize_rcu()	sim_rcu_wait()
#define stop_machine(f, data, cpus)	((void)(f), sim_rcu_wait())
#define rcu_dereference(p)	__atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define rcu_dereference_protected(p, held)	sim_plain_read(p)
#define rcu_access_pointer(p)	sim_plain_read(p)
#define rcu_assign_pointer(p, v)	__atomic_store_n(&(p), v, __ATOMIC_RELEASE)
#define RCU_INIT_POINTER(p, v)	sim_plain_write(p, v)

/* -- lists --------------------------------------------------------------------- */

struct list_head {
	struct list_head *prev, *next;
};

#define LIST_HEAD(name)	struct list_head name = { &(name), &(name) }

static inline void list_add(struct list_head *entry, struct list_head *after)
{
	entry->prev = after;
	entry->next = after->next;
	entry->next->prev = entry;
	after->next = entry;
}

#define list_add_tail(entry, list)	list_add(entry, (list)->prev)

static inline bool list_empty(const struct list_head *list)
{
	return list->next == list;
}

#define list_for_each_entry_safe(e, next_e, list, member)				\
	for ((e) = container_of((list)->next, typeof(*(e)), member);			\
	     &(e)->member != (list) &&							\
	     ((next_e) = container_of((e)->member.next, typeof(*(e)), member), true);	\
	     (e) = (next_e))

/* -- pages: from one arena, so that the pieces of a ring are contiguous ------------ */

#define PAGE_SIZE	4096ul
#define PAGE_ALIGN(x)	ALIGN(x, PAGE_SIZE)
#define VM_MAP		0
#define PAGE_KERNEL	0
#define GFP_KERNEL	0
#define __GFP_ZERO	0
#define __GFP_RETRY_MAYFAIL	0
#define __GFP_NOWARN	0
#define __GFP_NORETRY	0

struct page {
	char nothing;
};

static inline unsigned int get_order(size_t size)
{
	unsigned int order = 0;

	while (PAGE_SIZE << order < size)
		order++;
	return order;
}

struct page *alloc_pages_node(int node, gfp_t gfp, unsigned int order);
void __free_page(struct page *page);
void *page_address(const struct page *page);
void *vmap(struct page **pages, unsigned int count, unsigned long flags, int prot);
void vunmap(const void *address);
#define nth_page(page, n)	((page) + (n))
#define split_page(page, order)	((void)(page))
#define free_page(address)	sim_free_address(address)
void sim_free_address(unsigned long address);

/*
 * Allocations of any kind: how many are in use, and how many will succeed before one
 * fails; the default is all, but, while memory is fragmented, a quarter of large orders.
 */
extern long sim_allocated;
extern bool sim_fragmented;
extern unsigned long sim_fail_after;
void *sim_alloc(size_t size);
void sim_free(const void *p);

#define kzalloc(size, gfp)			sim_alloc(size)
#define kcalloc_node(n, size, gfp, node)	((void)(node), sim_alloc(array_size(n, size)))
#define kvzalloc(size, gfp)			sim_alloc(size)
#define kzalloc_node(size, gfp, node)		((void)(node), sim_alloc(size))
#define kvmalloc_array(n, size, gfp)		sim_alloc(array_size(n, size))
#define kvmalloc_node(size, gfp, node)		((void)(node), sim_alloc(size))
#define kfree(p)	sim_free(p)
#define kvfree(p)	sim_free(p)

/* -- needed by ddebug_compat.h --------------------------------------------------------- */

#define KERNEL_VERSION(a, b, c)	((a) << 16 | (b) << 8 | (c))
#define LINUX_VERSION_CODE	KERNEL_VERSION(6, 12, 0)

struct kmsg_dumper;
struct virtio_device;
struct virtqueue;
struct virtqueue_info {
	const char *name;
};

#define virtio_find_vqs(vdev, n, vqs, infos, desc)	\
	((void)(vdev), (void)(n), (void)(vqs), (void)(infos), -ENOENT)

/* -- text --------------------------------------------------------------------------- */

#define KERN_SOH_ASCII	'\001'

#define _DPRINTK_FLAGS_INCL_MODNAME	(1 << 1)
#define _DPRINTK_FLAGS_INCL_FUNCNAME	(1 << 2)
#define _DPRINTK_FLAGS_INCL_LINENO	(1 << 3)
#define _DPRINTK_FLAGS_INCL_TID		(1 << 4)
#define _DPRINTK_FLAGS_INCL_ANY		0x1e

struct _ddebug {
	const char *modname;
	const char *function;
	const char *filename;
	const char *format;
	unsigned int lineno;
	unsigned int flags;
};

struct device {
	const char *name;
	const char *driver;
};

#define dev_name(dev)		((dev)->name)
#define dev_driver_string(dev)	((dev)->driver)

struct seq_file {
	FILE *file;
};

#define scnprintf(buf, size, ...)	\
	({ size_t _size = size; size_t _n = snprintf(buf, _size, __VA_ARGS__); \
	   _n < _size ? _n : _size ? _size - 1 : 0; })
#define seq_printf(m, ...)	fprintf((m)->file, __VA_ARGS__)

static inline ssize_t strscpy(char *to, const char *from, size_t size)
{
	size_t len = strnlen(from, size);

	if (len == size)
		return -E2BIG;
	memcpy(to, from, len + 1);
	return len;
}

#define get_unaligned_le16(p)	({ __le16 _v; memcpy(&_v, p, sizeof(_v)); le16_to_cpu(_v); })
#define get_unaligned_le32(p)	({ __le32 _v; memcpy(&_v, p, sizeof(_v)); le32_to_cpu(_v); })
#define get_unaligned_le64(p)	({ __le64 _v; memcpy(&_v, p, sizeof(_v)); le64_to_cpu(_v); })
#define put_unaligned_le16(v, p)	\
	do { const __le16 _v = cpu_to_le16(v); memcpy(p, &_v, sizeof(_v)); } while (0)
#define put_unaligned_le32(v, p)	\
	do { const __le32 _v = cpu_to_le32(v); memcpy(p, &_v, sizeof(_v)); } while (0)
#define put_unaligned_le64(v, p)	\
	do { const __le64 _v = cpu_to_le64(v); memcpy(p, &_v, sizeof(_v)); } while (0)

#define IS_ERR_VALUE(p)	(sim_format_point(), (unsigned long)(p) >= (unsigned long)-4095)

/*
 * A message can fault, or log another one, while it is formatted: the hook, if set, runs
 * before and after that.  Likewise for packing at a string.
 */
#ifdef SIM_POINTS
extern __thread void (*sim_format_hook)(void);
int sim_vsnprintf(char *buf, size_t size, const char *fmt, va_list args);
#define vsnprintf	sim_vsnprintf
void sim_format_point(void);
#else
static inline void sim_format_point(void)
{
}
#endif

/* The program to pack messages by; if NULL, or if it returns NULL: as text. */
struct ddebug_program;
extern const struct ddebug_program *(*sim_find_program)(const struct _ddebug *d, const char *fmt);

#endif /* SIM_KERNEL_H */
