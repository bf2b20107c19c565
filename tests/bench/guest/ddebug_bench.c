// SPDX-License-Identifier: GPL-2.0
/*
 * What a message costs, by every way it can go: counted in the guest, all ways
 * by one module in one boot.
 *
 * Files in <debugfs>/ddebug_bench/
 * --------------------------------
 * run      write: "WHAT SHAPE COUNT THREADS IRQS": makes COUNT messages, and
 *          returns when they are made
 *
 *            WHAT     empty    nothing: what the loop itself costs
 *                     loop     LOOP_INSNS instructions: proves the instrument
 *                     port     a write to a port that traps: proves the
 *                              instrument that counts traps
 *                     rdtsc, clock (local_clock()), memcpy (200 bytes)
 *                     vsnprintf  the text alone
 *                     null     a call that takes the arguments and does nothing
 *                     trace    trace_printk()
 *                     pr       pr_debug(): what it does is up to its flags
 *                     emit     ddebug_emit() of ddebug_rb, called directly, as
 *                              a kernel could that has a hook for it
 *            SHAPE    static, int3, str16, str200, mac; ignored before
 *                     vsnprintf
 *            COUNT    1 to COUNT_MAX, of each thread
 *            THREADS  0: the task that writes makes the messages; else so
 *                     many threads, one each on CPUs 0, 1, ...
 *            IRQS     off or on, while the messages are made
 *
 *          read: the last run's "name: value" lines.  ticks is the advance of
 *          the time stamp counter from the first begin to the last end, ns that
 *          of the clock.
 *
 * console  write: the begin of a console's name (ttyS, hvc), or "none": these
 *          consoles are started, all others are stopped
 *
 * code     read: the first CODE_BYTES of the function that has the int3 callsite
 *          of pr, as they are in memory now
 *
 * One message is made before the counting begins, so that what happens once (a
 * page's first touch) is not counted.
 */
#define pr_fmt(fmt) fmt

#include <linux/completion.h>
#include <linux/console.h>
#include <linux/debugfs.h>
#include <linux/dynamic_debug.h>
#include <linux/etherdevice.h>
#include <linux/io.h>
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/clock.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <asm/tsc.h>

#define COUNT_MAX	100000000u
#define REQUEST_MAX	128
#define REPORT_MAX	256
#define CODE_BYTES	192

/* mov, then 100 times dec and jnz */
#define LOOP_INSNS	201

/* The scratch register of the first serial port: keeps a byte, does nothing. */
#define SCRATCH_PORT	0x3ff

/**
 * struct bench_span - when the messages were made
 * @begin: time stamp counter
 * @end: time stamp counter
 * @ns: from begin to end, by the clock
 * @count: messages
 * @irqs_on: interrupts stay on meanwhile
 */
struct bench_span {
	u64 begin;
	u64 end;
	u64 ns;
	unsigned int count;
	bool irqs_on;
};

typedef void (*bench_loop)(struct bench_span *span);

static DEFINE_MUTEX(bench_lock);
static char bench_report[REPORT_MAX];
static struct dentry *bench_dir;

static char bench_text[1024];
static char bench_from[200], bench_to[200];
static const char text16[] = "0123456789abcdef";
static char text200[201];
static u8 mac[ETH_ALEN] = { 0x02, 0x00, 0x5e, 0x10, 0x20, 0x30 };

/* Not exported: found by its name. */
static void (*bench_emit)(const struct _ddebug *d, int kind, const void *obj,
			  const char *fmt, va_list args);

#define BENCH_LOOP(name, statement)					\
static noinline void name(struct bench_span *span)			\
{									\
	unsigned int i = 0, n = span->count;				\
	unsigned long flags = 0;					\
	u64 ns;								\
									\
	if (!span->irqs_on)						\
		local_irq_save(flags);					\
	statement;							\
	ns = ktime_get_mono_fast_ns();					\
	span->begin = rdtsc_ordered();					\
	for (i = 0; i < n; i++) {					\
		statement;						\
		barrier();						\
	}								\
	span->end = rdtsc_ordered();					\
	span->ns = ktime_get_mono_fast_ns() - ns;			\
	if (!span->irqs_on)						\
		local_irq_restore(flags);				\
}

#define BENCH_SHAPES(name, say)						\
	BENCH_LOOP(name##_static, say("hello world static message\n"))	\
	BENCH_LOOP(name##_int3,						\
		   say("urb %d len %d status %d\n", i, i * 3, -(int)i))	\
	BENCH_LOOP(name##_str16, say("name %s\n", text16))		\
	BENCH_LOOP(name##_str200, say("name %s\n", text200))		\
	BENCH_LOOP(name##_mac, say("mac %pM\n", mac))

static noinline __printf(1, 2) void say_vsnprintf(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(bench_text, sizeof(bench_text), fmt, args);
	va_end(args);
}

static noinline __printf(2, 3) void say_null(const struct _ddebug *d, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	barrier();
	va_end(args);
}

static noinline __printf(2, 3) void say_emit(const struct _ddebug *d, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	bench_emit(d, 0, NULL, fmt, args);
	va_end(args);
}

/* A callsite as pr_debug()'s, its branch included, that calls another function. */
#define SAY_AT_CALLSITE(function, fmt, ...) ({				\
	DEFINE_DYNAMIC_DEBUG_METADATA(descriptor, fmt);			\
									\
	if (DYNAMIC_DEBUG_BRANCH(descriptor))				\
		function(&descriptor, fmt, ##__VA_ARGS__);		\
})

#define SAY_NULL(fmt, ...) SAY_AT_CALLSITE(say_null, fmt, ##__VA_ARGS__)
#define SAY_EMIT(fmt, ...) SAY_AT_CALLSITE(say_emit, fmt, ##__VA_ARGS__)

static __always_inline void say_loop(void)
{
	unsigned int k;

	asm volatile("movl $100, %0\n"
		     "1: decl %0\n"
		     "jnz 1b\n"
		     : "=&r" (k) : : "cc", "memory");
}

/* The compiler does not know the length, so that this is a call, as with a message's. */
static __always_inline void say_memcpy(size_t len)
{
	OPTIMIZER_HIDE_VAR(len);
	memcpy(bench_to, bench_from, len);
	barrier_data(bench_to);
}

BENCH_LOOP(loop_empty, (void)0)
BENCH_LOOP(loop_loop, say_loop())
BENCH_LOOP(loop_port, outb(i, SCRATCH_PORT))
BENCH_LOOP(loop_rdtsc, (void)rdtsc())
BENCH_LOOP(loop_clock, (void)local_clock())
BENCH_LOOP(loop_memcpy, say_memcpy(sizeof(bench_to)))
BENCH_SHAPES(loop_vsnprintf, say_vsnprintf)
BENCH_SHAPES(loop_null, SAY_NULL)
BENCH_SHAPES(loop_trace, trace_printk)
BENCH_SHAPES(loop_pr, pr_debug)
BENCH_SHAPES(loop_emit, SAY_EMIT)

enum { SHAPE_STATIC, SHAPE_INT3, SHAPE_STR16, SHAPE_STR200, SHAPE_MAC, NR_SHAPES };

static const char * const shape_names[NR_SHAPES] = {
	"static", "int3", "str16", "str200", "mac",
};

#define ONE(name) { #name, { loop_##name, loop_##name, loop_##name, loop_##name, loop_##name } }
#define ALL(name) { #name, { loop_##name##_static, loop_##name##_int3, loop_##name##_str16, \
			     loop_##name##_str200, loop_##name##_mac } }

static const struct {
	const char *name;
	bench_loop loops[NR_SHAPES];
} bench_whats[] = {
	ONE(empty), ONE(loop), ONE(port), ONE(rdtsc), ONE(clock), ONE(memcpy),
	ALL(vsnprintf), ALL(null), ALL(trace), ALL(pr), ALL(emit),
};

static bench_loop bench_find(const char *what, const char *shape)
{
	unsigned int w, s;

	for (w = 0; w < ARRAY_SIZE(bench_whats); w++)
		for (s = 0; s < NR_SHAPES; s++)
			if (!strcmp(bench_whats[w].name, what) && !strcmp(shape_names[s], shape))
				return bench_whats[w].loops[s];
	return NULL;
}

/* A probe may stand behind the function's ENDBR, which is part of what is counted. */
static void *bench_lookup(const char *symbol)
{
	struct kprobe kp = { .symbol_name = symbol };
	unsigned long offset = 0;
	char name[KSYM_SYMBOL_LEN];
	const char *plus;

	if (register_kprobe(&kp))
		return NULL;
	sprint_symbol(name, (unsigned long)kp.addr);
	plus = strrchr(name, '+');
	if (plus)
		sscanf(plus, "+0x%lx/", &offset);
	unregister_kprobe(&kp);
	return (void *)kp.addr - offset;
}

/**
 * struct bench_thread - a thread that makes messages
 * @task: the thread; we hold a reference
 * @go: it may begin
 * @done: it has ended
 * @loop: what it does
 * @span: how long it took
 */
struct bench_thread {
	struct task_struct *task;
	struct completion *go;
	struct completion done;
	bench_loop loop;
	struct bench_span span;
};

static int bench_thread(void *data)
{
	struct bench_thread *t = data;

	wait_for_completion(t->go);
	t->loop(&t->span);
	complete(&t->done);
	return 0;
}

static int bench_run_threads(bench_loop loop, struct bench_span *span, unsigned int nr)
{
	DECLARE_COMPLETION_ONSTACK(go);
	struct bench_thread *threads;
	unsigned int i, made;
	int err = 0;

	threads = kcalloc(nr, sizeof(*threads), GFP_KERNEL);
	if (!threads)
		return -ENOMEM;
	for (made = 0; made < nr; made++) {
		struct bench_thread *t = &threads[made];

		t->go = &go;
		t->loop = loop;
		t->span = *span;
		init_completion(&t->done);
		t->task = kthread_create_on_cpu(bench_thread, t, made, "ddebug_bench/%u");
		if (IS_ERR(t->task)) {
			err = PTR_ERR(t->task);
			break;
		}
		wake_up_process(t->task);
	}
	complete_all(&go);
	for (i = 0; i < made; i++) {
		const struct bench_span *s = &threads[i].span;

		wait_for_completion(&threads[i].done);
		span->begin = i ? min(span->begin, s->begin) : s->begin;
		span->end = i ? max(span->end, s->end) : s->end;
		span->ns = max(span->ns, s->ns);
	}
	kfree(threads);
	return err;
}

static int bench_request(char *request)
{
	char what[16], shape[16], irqs[8];
	struct bench_span span = { 0 };
	unsigned int threads;
	bench_loop loop;
	int err = 0;

	if (sscanf(request, "%15s %15s %u %u %7s", what, shape, &span.count, &threads, irqs) != 5)
		return -EINVAL;
	loop = bench_find(what, shape);
	if (!loop || !span.count || span.count > COUNT_MAX || threads > num_online_cpus())
		return -EINVAL;
	if (!strcmp(what, "emit") && !bench_emit) {
		bench_emit = bench_lookup("ddebug_emit");
		if (!bench_emit)
			return -ENOENT;
	}
	span.irqs_on = !strcmp(irqs, "on");
	if (threads)
		err = bench_run_threads(loop, &span, threads);
	else
		loop(&span);
	if (err)
		return err;
	scnprintf(bench_report, sizeof(bench_report),
		  "count: %u\nticks: %llu\nns: %llu\nloop_insns: %u\n",
		  span.count * max(threads, 1u), span.end - span.begin, span.ns, LOOP_INSNS);
	return 0;
}

static ssize_t bench_write(struct file *file, const char __user *ubuf, size_t len, loff_t *pos)
{
	char request[REQUEST_MAX];
	int err;

	if (len >= sizeof(request))
		return -EINVAL;
	if (copy_from_user(request, ubuf, len))
		return -EFAULT;
	request[len] = '\0';
	mutex_lock(&bench_lock);
	err = bench_request(request);
	mutex_unlock(&bench_lock);
	return err ?: len;
}

static ssize_t bench_read(struct file *file, char __user *ubuf, size_t len, loff_t *pos)
{
	ssize_t done;

	mutex_lock(&bench_lock);
	done = simple_read_from_buffer(ubuf, len, pos, bench_report, strlen(bench_report));
	mutex_unlock(&bench_lock);
	return done;
}

static const struct file_operations bench_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = bench_read,
	.write = bench_write,
};

/* What guards the list of consoles and their flags. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define consoles_lock()		console_list_lock()
#define consoles_unlock()	console_list_unlock()
#else
#define consoles_lock()		console_lock()
#define consoles_unlock()	console_unlock()
#endif

/* Starts or stops the first console that is not as it should be; false: all are. */
static bool console_change_one(const char *name)
{
	struct console *con;
	bool on = false;

	consoles_lock();
	for_each_console(con) {
		on = !strncmp(con->name, name, strlen(name));
		if (on != !!(con->flags & CON_ENABLED))
			break;
	}
	consoles_unlock();
	if (!con)
		return false;
	if (on)
		console_start(con);
	else
		console_stop(con);
	return true;
}

static ssize_t console_write(struct file *file, const char __user *ubuf, size_t len, loff_t *pos)
{
	char request[REQUEST_MAX];

	if (len >= sizeof(request))
		return -EINVAL;
	if (copy_from_user(request, ubuf, len))
		return -EFAULT;
	request[len] = '\0';
	while (console_change_one(strim(request)))
		cond_resched();
	return len;
}

static const struct file_operations console_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = console_write,
};

static struct debugfs_blob_wrapper bench_code = {
	.data = loop_pr_int3,
	.size = CODE_BYTES,
};

static int __init bench_init(void)
{
	memset(text200, 'x', sizeof(text200) - 1);
	bench_dir = debugfs_create_dir("ddebug_bench", NULL);
	debugfs_create_file("run", 0600, bench_dir, NULL, &bench_fops);
	debugfs_create_blob("code", 0400, bench_dir, &bench_code);
	debugfs_create_file("console", 0200, bench_dir, NULL, &console_fops);
	return 0;
}

static void __exit bench_exit(void)
{
	debugfs_remove(bench_dir);
}

module_init(bench_init);
module_exit(bench_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("What a debug message costs, by every way it can go");
