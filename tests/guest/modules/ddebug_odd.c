// SPDX-License-Identifier: GPL-2.0
/*
 * Test module: corner-case callsites.  Some do not pass their descriptor to what
 * they call, one logs where kprobes do not work, and some have everything that a
 * format can contain.
 *
 * Loading makes a hex dump that starts with "ddebug_odd: init".
 * <debugfs>/ddebug_odd/run takes one of
 *
 *   dumps    hex dumps of all forms, from task and from hardirq context; their
 *            lines start with "ddebug_odd: task" and "ddebug_odd: hardirq"
 *   others   by print_hex_dump() itself, which belongs to no callsite, by two
 *            callsites that share one call, and by one that prints with pr_info()
 *   kprobe   a message and a dump of one line from the handler of a kprobe
 *   gone     leaves a callsite without a format: where it was, there is nothing
 *   limited  ten messages, of which a rate limit lets one pass, and after that one
 *            more; they are "ddebug_odd: limited N"
 *   pieces   lines that pr_cont() puts together, of a callsite and of others
 *   probe    registers a kprobe at __dynamic_pr_debug(), or unregisters it; the
 *            parameter hits counts its hits
 *   wrong    makes the device return a ring that it was not asked for, instead of the one
 *            that it is asked for next
 *   formats  conversions with all flags, widths, precisions and sizes, of values of
 *            all kinds; starts with "formats begin" and ends with "formats end"
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/dynamic_debug.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/etherdevice.h>
#include <linux/irq_work.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <linux/vmalloc.h>

#define REQUEST_MAX	16

static DEFINE_MUTEX(odd_lock);
static struct dentry *dir;
static u8 bytes[300];

/*
 * dumps
 */

/* With prefixes that are compile-time constants, and one that is not. */
#define ODD_DUMP(where, length) do {						\
	const char *prefix = odd_prefixes[where];				\
										\
	print_hex_dump_debug(prefix, DUMP_PREFIX_NONE, 16, 1, bytes, length,	\
			     true);						\
	print_hex_dump_debug("ddebug_odd: " #where " offset ",			\
			     DUMP_PREFIX_OFFSET, 32, 4, bytes, length, false);	\
	print_hex_dump_debug("ddebug_odd: " #where " address ",			\
			     DUMP_PREFIX_ADDRESS, 16, 8, bytes + 3, length,	\
			     true);						\
	print_hex_dump_debug("ddebug_odd: " #where " row of 20, groups of 3 ",	\
			     DUMP_PREFIX_OFFSET, 20, 3, bytes, length, true);	\
	print_hex_dump_bytes("ddebug_odd: " #where " bytes ",			\
			     DUMP_PREFIX_OFFSET, bytes, length);		\
	pr_debug(#where " after dumps of %zu bytes\n", (size_t)(length));	\
} while (0)

enum { task, hardirq };

static const char * volatile odd_prefixes[] = {
	"ddebug_odd: task unknown ", "ddebug_odd: hardirq unknown ",
};

static void odd_hardirq(struct irq_work *work)
{
	ODD_DUMP(hardirq, 77);
}

static void odd_dumps(void)
{
	static const size_t lengths[] = { 0, 1, 15, 16, 17, 32, 33, 100, 255, 256 };
	struct irq_work work = IRQ_WORK_INIT_HARD(odd_hardirq);
	int i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++)
		ODD_DUMP(task, lengths[i]);
	irq_work_queue(&work);
	irq_work_sync(&work);
}

/*
 * others
 */

static noinline void odd_shared(void)
{
	DEFINE_DYNAMIC_DEBUG_METADATA(one, "ddebug_odd: shared ");
	DEFINE_DYNAMIC_DEBUG_METADATA(two, "ddebug_odd: shared ");

	if (DYNAMIC_DEBUG_BRANCH(one))
		goto dump;
	if (DYNAMIC_DEBUG_BRANCH(two))
		goto dump;
	return;
dump:
	print_hex_dump(KERN_DEBUG, "ddebug_odd: shared ", DUMP_PREFIX_NONE, 16,
		       1, bytes, 16, false);
}

static noinline void odd_own_way(void)
{
	DEFINE_DYNAMIC_DEBUG_METADATA(descriptor, "its own way");

	if (DYNAMIC_DEBUG_BRANCH(descriptor))
		pr_info("its own way\n");
}

static void odd_others(void)
{
	print_hex_dump(KERN_DEBUG, "ddebug_odd: nobody's ", DUMP_PREFIX_NONE, 16,
		       1, bytes, 16, false);
	odd_shared();
	odd_own_way();
}

/*
 * gone, limited, probe
 */

static unsigned long odd_hits;
module_param_named(hits, odd_hits, ulong, 0444);

static int odd_hit(struct kprobe *kp, struct pt_regs *regs)
{
	odd_hits++;
	return 0;
}

static struct kprobe odd_kp;
static bool odd_probing;

static int odd_watch(void)
{
	int err = 0;

	if (odd_probing) {
		unregister_kprobe(&odd_kp);
	} else {
		odd_kp = (struct kprobe) {
			.symbol_name = "__dynamic_pr_debug",
			.pre_handler = odd_hit,
		};
		err = register_kprobe(&odd_kp);
	}
	if (!err)
		odd_probing = !odd_probing;
	return err;
}

static void *odd_mapped;	/* what follows it in the address space is not */

/* As pr_debug() does, but for the format. */
static int odd_gone(void)
{
	DEFINE_DYNAMIC_DEBUG_METADATA(descriptor, "gone");

	if (!odd_mapped)
		odd_mapped = vmalloc(PAGE_SIZE);
	if (!odd_mapped)
		return -ENOMEM;
	descriptor.format = odd_mapped + PAGE_SIZE;
	if (DYNAMIC_DEBUG_BRANCH(descriptor))
		__dynamic_pr_debug(&descriptor, pr_fmt("gone\n"));
	return 0;
}

static void odd_limited(void)
{
	static DEFINE_RATELIMIT_STATE(limit, HZ / 10, 1);
	int i;

	for (i = 0; i < 11; i++) {
		if (i == 10)
			msleep(200);
		if (__ratelimit(&limit))
			pr_debug("limited %d\n", i);
	}
}

static noinline void odd_pieces(void)
{
	pr_debug("pieces %d:", 1);
	pr_cont(" one");
	pr_cont(" %s\n", "two");
	pr_debug("whole\n");
	pr_cont("by itself\n");
	pr_debug("begun");
	pr_info("between:");
	pr_cont(" its own\n");
	pr_debug("pieces end\n");
}

/*
 * kprobe
 */

static noinline void odd_probed(void)
{
	barrier();
}

static int odd_probe(struct kprobe *kp, struct pt_regs *regs)
{
	pr_debug("from within a kprobe\n");
	print_hex_dump_debug("ddebug_odd: dump from within a kprobe ",
			     DUMP_PREFIX_NONE, 16, 1, bytes, 16, false);
	return 0;
}

static int odd_kprobe(void)
{
	struct kprobe kp = {
		.addr = (void *)odd_probed,
		.pre_handler = odd_probe,
	};
	int rc;

	rc = register_kprobe(&kp);
	if (rc) {
		pr_err("no kprobe can be set: error %d\n", rc);
		return rc;
	}
	odd_probed();
	unregister_kprobe(&kp);
	return 0;
}

/*
 * formats: the compiler would reject most of them
 */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-extra-args"

/* The compiler must not know any of them. */
static const volatile long long odd_values[] = {
	0, 1, -1, 7, -8, 42, 255, 256, -300, 65535, 99999999, 100000000, 2147483647,
	-2147483648LL, 4294967295LL, 9223372036854775807LL, -9223372036854775807LL - 1,
};

static const volatile int odd_widths[] = { -12, -1, 0, 1, 12 };
static const volatile int odd_precisions[] = { -3, 0, 1, 3, 14 };

static char odd_long[1100];
static const char odd_open[] = { 'n', 'o', ' ', 'e', 'n', 'd' };
static const char *odd_strings[] = {
	"", "a", "abcdef", "a longer one, of some thirty bytes", NULL, (char *)8, NULL, odd_long + 900,
	odd_long + 700, odd_long + 150, odd_long + 110, odd_long,
};

#define ODD_INTEGERS(spec, size, type) do {						\
	for (i = 0; i < ARRAY_SIZE(odd_values); i++) {					\
		type v = odd_values[i];							\
											\
		pr_debug("[%" spec size "d] [%" spec size "u] [%" spec size "o] [%" spec size	\
			 "x] [%" spec size "X] [%" spec size "i]\n", v, v, v, v, v, v);	\
	}										\
} while (0)

#define ODD_FLAGS(flags) do {								\
	ODD_INTEGERS(flags, "", int);							\
	ODD_INTEGERS(flags "1", "", int);						\
	ODD_INTEGERS(flags "14", "", int);						\
	ODD_INTEGERS(flags ".0", "", int);						\
	ODD_INTEGERS(flags ".6", "", int);						\
	ODD_INTEGERS(flags "9.3", "", int);						\
	ODD_INTEGERS(flags "3.9", "", int);						\
	ODD_INTEGERS(flags "25.12", "ll", long long);					\
	ODD_INTEGERS(flags, "hh", int);							\
	ODD_INTEGERS(flags "6", "h", int);						\
	ODD_INTEGERS(flags, "l", long);							\
	ODD_STARS(flags);								\
} while (0)

#define ODD_STARS(flags) do {								\
	for (i = 0; i < ARRAY_SIZE(odd_widths) * ARRAY_SIZE(odd_precisions); i++) {	\
		int w = odd_widths[i % ARRAY_SIZE(odd_widths)];				\
		int p = odd_precisions[i / ARRAY_SIZE(odd_widths)];			\
											\
		pr_debug("[%" flags "*d] [%" flags ".*x] [%" flags "*.*lld] [%" flags	\
			 "*.*s] [%" flags "*.*c] [%*%]\n", w, i, p, i, w, p, -1000LL * i,	\
			 w, p, "string", w, p, 'A' + i, w);				\
	}										\
} while (0)

static noinline void odd_integers(void)
{
	int i;

	ODD_FLAGS("");
	ODD_FLAGS("-");
	ODD_FLAGS("+");
	ODD_FLAGS(" ");
	ODD_FLAGS("#");
	ODD_FLAGS("0");
	ODD_FLAGS("-0");
	ODD_FLAGS("+ ");
	ODD_FLAGS("+0");
	ODD_FLAGS(" 0");
	ODD_FLAGS("#0");
	ODD_FLAGS("#-0+ ");
	ODD_INTEGERS("", "L", long long);
	ODD_INTEGERS("020", "z", size_t);
	ODD_INTEGERS("-20", "t", ptrdiff_t);
}

#define ODD_STRINGS(spec) do {								\
	for (i = 0; i < ARRAY_SIZE(odd_strings); i++)					\
		pr_debug("string %d [%" spec "s]\n", i, odd_strings[i]);		\
} while (0)

#define ODD_CHARS(spec) do {								\
	for (i = 0; i < 256; i++)							\
		pr_debug("char [%" spec "c] [%hhx]\n", i, i);				\
} while (0)

static noinline void odd_texts(void)
{
	int i;

	ODD_STRINGS("");
	ODD_STRINGS("3");
	ODD_STRINGS("-20");
	ODD_STRINGS("020");
	ODD_STRINGS(".0");
	ODD_STRINGS(".2");
	ODD_STRINGS(".20");
	ODD_STRINGS("-10.3");
	ODD_STRINGS("10.300");
	ODD_STRINGS("960");
	ODD_STRINGS("961");
	ODD_STRINGS(".961");
	ODD_STRINGS("l");
	ODD_CHARS("");
	ODD_CHARS("-5");
	ODD_CHARS("05.3");
	pr_debug("a string that does not end: %.6s %.*s\n", odd_open, (int)sizeof(odd_open), odd_open);
	/* around the length where printk() cuts a line; some lines within a line */
	for (i = 0; i < 80; i++)
		pr_debug("%.*s\n", 920 + i, odd_long);
	for (i = 0; i < 80; i++)
		pr_debug("%*d%s", 920 + i, i, "\n\n");
	for (i = 990; i < 1060; i++)
		pr_debug("%*s|%-*s|\n", i, "wide", i, "wide");
	pr_debug("%%%5% %-05%%lc %hhs\n", 'x', "hs");
	pr_debug("a line\nanother\n\n");
	pr_debug("");
	pr_debug("\n");
	pr_debug("%.d %.s|\n", 5, "a point without a number");
	pr_debug("\xe2\x82\xac %s \xff\n", "\xc3\xa4");
}

static noinline void odd_pointers(void)
{
	static const u8 mac[ETH_ALEN] = { 2, 3, 0x5e, 0x10, 0x20, 0xff };
	static const char * const escaped = "tab\tnewline\nend";
	static const char inner_text[] = "text";
	int i;

	pr_debug("%p %20p %-20p| %px %pK %p\n", bytes, bytes, bytes, bytes, bytes, NULL);
	pr_debug("%pM %pMR %pmF %pI4 %pi4 %pI6c %pUb %pS %ps %pB\n", mac, mac, mac, bytes, bytes,
		 bytes, bytes, odd_pointers, odd_pointers, odd_pointers);
	pr_debug("%pe %pe %pe\n", ERR_PTR(-EINVAL), ERR_PTR(-5000), NULL);
	pr_debug("%*ph|%*phN|%*pE|%*pEs|%.3ph %d\n", 5, bytes, 8, bytes, 16, escaped, 3, bytes,
		 bytes, 42);
	pr_debug("%pM %pM %s\n", NULL, (void *)16, ERR_PTR(-ENOMEM));
	pr_debug("%pMand more %p-%p.\n", mac, bytes, inner_text);
	pr_debug("%p\xe4 is one letter to the kernel\n", bytes);
	for (i = 0; i < ARRAY_SIZE(odd_strings); i++) {
		va_list none = {};
		struct va_format vaf = { .fmt = odd_strings[i], .va = &none };

		if (odd_strings[i] && odd_strings[i] > (char *)PAGE_SIZE && !IS_ERR(odd_strings[i]))
			pr_debug("inner <%pV> %d\n", &vaf, i);
	}
}

#undef pr_fmt
#define pr_fmt(fmt) fmt

/* No prefix: formats are those of their callsites, and may start with levels. */
static noinline void odd_bare(void)
{
	int i;

	for (i = 0; i < 3; i++)
		pr_debug("bare %d of %s\n", i, "three");
	pr_debug(KERN_INFO "a level %d\n", 1);
	pr_debug(KERN_INFO KERN_CONT "two levels %d\n", 2);
	pr_debug("%c%c%s\n", 1, '4', "a level of arguments");
	pr_debug("%s", KERN_ERR);
	pr_debug("%c", 1);
	pr_debug("%s%d", KERN_SOH, 9);
	pr_debug("%s", "\n");
}

#pragma GCC diagnostic pop

/* Code that passes formats on need not pass the same ones. */
static noinline __printf(1, 2) void odd_pass_on(const char *fmt, ...)
{
	DEFINE_DYNAMIC_DEBUG_METADATA(descriptor, "passes on: %pV");
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	va_start(args, fmt);
	vaf.va = &args;
	if (DYNAMIC_DEBUG_BRANCH(descriptor))
		__dynamic_pr_debug(&descriptor, "passed on: %pV", &vaf);
	va_end(args);
}

static noinline void odd_change(const char *fmt, int v)
{
	DEFINE_DYNAMIC_DEBUG_METADATA(descriptor, "changes");

	if (DYNAMIC_DEBUG_BRANCH(descriptor))
		__dynamic_pr_debug(&descriptor, fmt, v);
}

/* A format in a buffer, where another one will be later. */
static noinline void odd_buffer(const char *from, int v)
{
	static char fmt[32];
	DEFINE_DYNAMIC_DEBUG_METADATA(descriptor, "in a buffer");

	strscpy(fmt, from, sizeof(fmt));
	if (DYNAMIC_DEBUG_BRANCH(descriptor))
		__dynamic_pr_debug(&descriptor, fmt, v);
}

static noinline void odd_own_buffer(const char *from, int v)
{
	static char fmt[32] = "at first";

	strscpy(fmt, from, sizeof(fmt));
	dynamic_pr_debug(fmt, v);
}

static const char * volatile odd_formats_of_int[] = {
	"one %d\n", "two %x\n", "three %5d\n", "three %s\n" + 9,
};

static void odd_formats(void)
{
	int i;

	pr_debug("formats begin\n");
	odd_integers();
	odd_texts();
	odd_pointers();
	odd_bare();
	for (i = 0; i < 3; i++) {
		odd_pass_on("%d %s\n", i, "passed");
		odd_pass_on("another\n");
	}
	for (i = 0; i < 16; i++) {
		odd_change(odd_formats_of_int[i % ARRAY_SIZE(odd_formats_of_int)], i);
		odd_buffer(odd_formats_of_int[i % ARRAY_SIZE(odd_formats_of_int)], i);
		odd_own_buffer(odd_formats_of_int[i % ARRAY_SIZE(odd_formats_of_int)], i);
	}
	pr_debug("formats end\n");
}

/*
 * wrong
 */

static bool odd_wrong_armed, odd_wrong_probed;

/* In the element that the device has returned last, the id of its neighbour. */
static int odd_wrong_hit(struct kprobe *kp, struct pt_regs *regs)
{
	struct virtqueue *vq = (struct virtqueue *)regs_get_kernel_argument(regs, 0);
	const struct vring *vring;
	vring_used_elem_t *last;
	u16 used;

	if (!odd_wrong_armed || strcmp(vq->name, "ring"))
		return 0;
	vring = virtqueue_get_vring(vq);
	used = virtio16_to_cpu(vq->vdev, vring->used->idx);
	if (!used)
		return 0;
	odd_wrong_armed = false;
	last = &vring->used->ring[(used - 1) % vring->num];
	last->id = cpu_to_virtio32(vq->vdev, virtio32_to_cpu(vq->vdev, last->id) ^ 1);
	return 0;
}

static struct kprobe odd_wrong_kp = {
	.symbol_name = "virtqueue_get_buf",
	.pre_handler = odd_wrong_hit,
};

static int odd_wrong(void)
{
	int err = odd_wrong_probed ? 0 : register_kprobe(&odd_wrong_kp);

	odd_wrong_probed = !err;
	odd_wrong_armed = !err;
	return err;
}

static int odd_request(const char *request)
{
	if (!strcmp(request, "dumps"))
		odd_dumps();
	else if (!strcmp(request, "others"))
		odd_others();
	else if (!strcmp(request, "gone"))
		return odd_gone();
	else if (!strcmp(request, "probe"))
		return odd_watch();
	else if (!strcmp(request, "wrong"))
		return odd_wrong();
	else if (!strcmp(request, "pieces"))
		odd_pieces();
	else if (!strcmp(request, "limited"))
		odd_limited();
	else if (!strcmp(request, "formats"))
		odd_formats();
	else if (!strcmp(request, "kprobe"))
		return odd_kprobe();
	else
		return -EINVAL;
	return 0;
}

static ssize_t odd_write(struct file *file, const char __user *ubuf, size_t len,
			 loff_t *off)
{
	char request[REQUEST_MAX] = "";
	int rc;

	if (len >= sizeof(request))
		return -EINVAL;
	if (copy_from_user(request, ubuf, len))
		return -EFAULT;
	mutex_lock(&odd_lock);
	rc = odd_request(strim(request));
	mutex_unlock(&odd_lock);
	return rc ?: len;
}

static const struct file_operations odd_fops = {
	.owner = THIS_MODULE,
	.write = odd_write,
	.llseek = noop_llseek,
};

static int __init odd_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(bytes); i++)
		bytes[i] = 7 * i;
	for (i = 0; i < ARRAY_SIZE(odd_long) - 1; i++)
		odd_long[i] = 'a' + i % 26;
	odd_strings[6] = ERR_PTR(-EFAULT);
	print_hex_dump_debug("ddebug_odd: init ", DUMP_PREFIX_NONE, 16, 1, bytes,
			     16, false);
	dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("run", 0200, dir, NULL, &odd_fops);
	return 0;
}

static void __exit odd_exit(void)
{
	debugfs_remove(dir);
	if (odd_probing)
		unregister_kprobe(&odd_kp);
	if (odd_wrong_probed)
		unregister_kprobe(&odd_wrong_kp);
	vfree(odd_mapped);
}

module_init(odd_init);
module_exit(odd_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Debug messages of unusual kinds, on request");
