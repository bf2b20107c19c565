// SPDX-License-Identifier: GPL-2.0
/*
 * The files beside dynamic debug's control file that make the rings useful without a
 * host:
 *
 *   trace        the contents of the rings, without consuming them; truncating clears
 *   trace_pipe   ddebug_pipe.c
 *   rb_size_kb   the size of each CPU's ring for task context
 *   log_size_kb  the size of the log on the host, if there is one
 *
 * An open trace has a view of its own, taken when it is read from its start; a message
 * is copied when its turn comes.  So a file that is read in small pieces while messages
 * arrive neither grows forever nor takes a message back, and seeking to its start takes
 * a new view.
 *
 * The directory is the kernel's.  It stays when the module goes, and the module stays
 * while one of its files is open.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dcache.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/kstrtox.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/splice.h>
#include <linux/uaccess.h>
#include "ddebug_compat.h"
#include "ddebug_files.h"
#include "ddebug_line.h"
#include "ddebug_pipe.h"
#include "ddebug_ring_mem.h"
#include "ddebug_ring_swap.h"
#include "ddebug_transport.h"
#include "ddebug_view.h"

/* A number of KiB, a newline, a zero. */
#define DDEBUG_NUMBER_MAX	24

static struct dentry *ddebug_files[4];

/*
 * trace
 */

/**
 * struct ddebug_trace - a file that is open for reading
 * @view: what was not shown yet
 * @index: of @message in the file
 * @more: there is a message
 * @message: the next one to be shown
 * @lines: room for its lines
 */
struct ddebug_trace {
	struct ddebug_view *view;
	loff_t index;
	bool more;
	struct ddebug_message message;
	char lines[DDEBUG_LINES_MAX];
};

/* Like those below, called with the file's own lock.  Index 0 starts a new view. */
static void *ddebug_trace_start(struct seq_file *m, loff_t *index)
{
	struct ddebug_trace *t = m->private;

	if (!*index) {
		ddebug_pipe_copy(t->view);
		t->more = ddebug_view_next(t->view, &t->message);
		t->index = 0;
	}
	return t->more && *index == t->index ? t : NULL;
}

static void *ddebug_trace_next(struct seq_file *m, void *v, loff_t *index)
{
	struct ddebug_trace *t = v;

	cond_resched();
	t->more = ddebug_view_next(t->view, &t->message);
	t->index = ++*index;
	return t->more ? t : NULL;
}

static void ddebug_trace_stop(struct seq_file *m, void *v)
{
}

static int ddebug_trace_show(struct seq_file *m, void *v)
{
	struct ddebug_trace *t = v;

	/* if there is no room, this is called again with more */
	seq_write(m, t->lines, ddebug_lines(t->lines, &t->message));
	return 0;
}

static const struct seq_operations ddebug_trace_ops = {
	.start = ddebug_trace_start,
	.next = ddebug_trace_next,
	.stop = ddebug_trace_stop,
	.show = ddebug_trace_show,
};

static void ddebug_trace_free(struct ddebug_trace *t)
{
	if (t)
		ddebug_view_free(t->view);
	kvfree(t);
}

static int ddebug_trace_open(struct inode *inode, struct file *file)
{
	struct ddebug_trace *t;
	int err;

	if ((file->f_mode & FMODE_WRITE) && (file->f_flags & O_TRUNC))
		ddebug_pipe_clear();
	if (!(file->f_mode & FMODE_READ))
		return 0;
	t = kvzalloc(sizeof(*t), GFP_KERNEL);
	if (t)
		t->view = ddebug_view_new();
	err = t && t->view ? seq_open(file, &ddebug_trace_ops) : -ENOMEM;
	if (err) {
		ddebug_trace_free(t);
		return err;
	}
	((struct seq_file *)file->private_data)->private = t;
	return 0;
}

static int ddebug_trace_release(struct inode *inode, struct file *file)
{
	struct seq_file *m = file->private_data;

	if (!m)
		return 0;
	ddebug_trace_free(m->private);
	return seq_release(inode, file);
}

static loff_t ddebug_trace_llseek(struct file *file, loff_t offset, int whence)
{
	/* opened only for writing, there is nothing to seek in */
	if (!(file->f_mode & FMODE_READ))
		return noop_llseek(file, offset, whence);
	return seq_lseek(file, offset, whence);
}

/* "echo > trace" clears when it opens the file; what is written is ignored. */
static ssize_t ddebug_trace_write(struct file *file, const char __user *from, size_t size,
				  loff_t *pos)
{
	return size;
}

static const struct file_operations ddebug_trace_fops = {
	.owner = THIS_MODULE,
	.open = ddebug_trace_open,
	.read_iter = seq_read_iter,
	.splice_read = copy_splice_read,
	.write = ddebug_trace_write,
	.llseek = ddebug_trace_llseek,
	.release = ddebug_trace_release,
};

/*
 * Sizes
 */

static ssize_t ddebug_put_number(char __user *to, size_t size, loff_t *pos, u64 number)
{
	char text[DDEBUG_NUMBER_MAX];
	int len = scnprintf(text, sizeof(text), "%llu\n", number);

	return simple_read_from_buffer(to, size, pos, text, len);
}

/* A decimal number and nothing else: return 0, -EINVAL or -EFAULT. */
static int ddebug_get_number(const char __user *from, size_t size, unsigned int *number)
{
	char text[DDEBUG_NUMBER_MAX];

	if (size >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, from, size))
		return -EFAULT;
	text[size] = '\0';
	return kstrtouint(text, 10, number) ? -EINVAL : 0;
}

static ssize_t ddebug_ring_size_read(struct file *file, char __user *to, size_t size, loff_t *pos)
{
	return ddebug_put_number(to, size, pos, ddebug_ring_size_kb());
}

static ssize_t ddebug_ring_size_write(struct file *file, const char __user *from, size_t size,
				      loff_t *pos)
{
	unsigned int kb;
	int err = ddebug_get_number(from, size, &kb);

	if (!err)
		err = ddebug_ring_resize(kb);
	return err ? err : size;
}

static const struct file_operations ddebug_ring_size_fops = {
	.owner = THIS_MODULE,
	.read = ddebug_ring_size_read,
	.write = ddebug_ring_size_write,
	.llseek = default_llseek,
};

static ssize_t ddebug_log_size_read(struct file *file, char __user *to, size_t size, loff_t *pos)
{
	struct ddebug_transport *t = ddebug_transport_lock();
	u64 bytes = t ? t->ops->log_size(t) : 0;

	ddebug_transport_unlock();
	return t ? ddebug_put_number(to, size, pos, bytes / 1024) : -ENODEV;
}

static ssize_t ddebug_log_size_write(struct file *file, const char __user *from, size_t size,
				     loff_t *pos)
{
	struct ddebug_transport *t;
	unsigned int kb;
	int err = ddebug_get_number(from, size, &kb);

	if (err)
		return err;
	t = ddebug_transport_lock();
	err = t ? t->ops->set_log_size(t, kb * 1024ull) : -ENODEV;
	ddebug_transport_unlock();
	return err ? err : size;
}

static const struct file_operations ddebug_log_size_fops = {
	.owner = THIS_MODULE,
	.read = ddebug_log_size_read,
	.write = ddebug_log_size_write,
	.llseek = default_llseek,
};

/*
 * All of them
 */

/**
 * ddebug_files_init() - create the files
 *
 * They may be opened from now on.  A kernel without the directory (debugfs=off) gets
 * none, which is not an error.
 *
 * Context: Process, when all else is ready and cannot fail any more.
 */
void __init ddebug_files_init(void)
{
	struct dentry *dir = debugfs_lookup("dynamic_debug", NULL);

	if (!dir)
		return;
	/*
	 * Modes as in tracefs: debugfs may be mounted for others than root, and messages are
	 * not for everybody.  Of the operations that debugfs puts its own in place of, none is
	 * splice(), so these two have ours; they need no guard against removal, since an open
	 * file holds the module.
	 */
	ddebug_files[0] = debugfs_create_file_unsafe("trace", 0640, dir, NULL, &ddebug_trace_fops);
	ddebug_files[1] = debugfs_create_file_unsafe("trace_pipe", 0440, dir, NULL,
						     &ddebug_pipe_fops);
	ddebug_files[2] = debugfs_create_file("rb_size_kb", 0640, dir, NULL, &ddebug_ring_size_fops);
	ddebug_files[3] = debugfs_create_file("log_size_kb", 0640, dir, NULL, &ddebug_log_size_fops);
	dput(dir);
}

/**
 * ddebug_files_exit() - remove the files
 *
 * Context: Process.  None of them is open: they hold the module.  Sleeps.
 */
void ddebug_files_exit(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ddebug_files); i++)
		debugfs_remove(ddebug_files[i]);
}
