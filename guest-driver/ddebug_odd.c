// SPDX-License-Identifier: GPL-2.0
/*
 * Callsites of unusual kinds, for tests: those that do not pass their
 * descriptor to what they call, and one that speaks where kprobes do not work.
 *
 * A hex dump that begins with "ddebug_odd: init" is made when it is loaded.
 * <debugfs>/ddebug_odd/run takes one of
 *
 *   dumps    hex dumps of all forms, from task and from hardirq context; lines
 *            of either begin with "ddebug_odd: task" and "ddebug_odd: hardirq"
 *   others   by print_hex_dump() itself, which is nobody's callsite, by two
 *            callsites that have one call in common, and by one that prints
 *            with pr_info()
 *   kprobe   a message and a dump of one line from the handler of a kprobe
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/dynamic_debug.h>
#include <linux/fs.h>
#include <linux/irq_work.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#define REQUEST_MAX	16

static DEFINE_MUTEX(odd_lock);
static struct dentry *dir;
static u8 bytes[300];

/*
 * dumps
 */

/* With prefixes that the compiler knows, and one that it does not. */
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

static int odd_request(const char *request)
{
	if (!strcmp(request, "dumps"))
		odd_dumps();
	else if (!strcmp(request, "others"))
		odd_others();
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
	print_hex_dump_debug("ddebug_odd: init ", DUMP_PREFIX_NONE, 16, 1, bytes,
			     16, false);
	dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("run", 0200, dir, NULL, &odd_fops);
	return 0;
}

static void __exit odd_exit(void)
{
	debugfs_remove(dir);
}

module_init(odd_init);
module_exit(odd_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Debug messages of unusual kinds, on request");
