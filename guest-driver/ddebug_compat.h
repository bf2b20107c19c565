/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Differences between the kernels that the modules build for.  The sources are written
 * for the newest; what older ones lack is here, and nowhere else.  Whether a kernel
 * has a dynamic debug flag is taken from its own header (_DPRINTK_FLAGS_*).
 */
#ifndef _DDEBUG_COMPAT_H
#define _DDEBUG_COMPAT_H

#include <linux/dynamic_debug.h>
#include <linux/kmsg_dump.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/virtio_config.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

/*
 * Kernels may be built to initialise all local variables to zero.  For what each message
 * needs and fills in itself, that is a considerable part of its cost.
 */
#if __has_attribute(__uninitialized__)
#define __ddebug_uninitialized	__attribute__((__uninitialized__))
#else
#define __ddebug_uninitialized
#endif

/*
 * Sizes, including the zero, that are private to the kernel: of the flags' part of a
 * message (PREFIX_SIZE in lib/dynamic_debug.c), which grew with the flag 's', and
 * of a line (PRINTKRB_RECORD_MAX in kernel/printk/; LOG_LINE_MAX before 6.3).
 */
#ifdef _DPRINTK_FLAGS_INCL_SOURCENAME
#define DDEBUG_PREFIX_SIZE	128
#else
#define DDEBUG_PREFIX_SIZE	64
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
#define DDEBUG_LINE_SIZE	1024
#elif defined(CONFIG_PRINTK_CALLER)
#define DDEBUG_LINE_SIZE	(1024 - 48)
#else
#define DDEBUG_LINE_SIZE	(1024 - 32)
#endif

/* What splice() does by means of read_iter(): it used to read into the pipe itself. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define copy_splice_read	generic_file_splice_read
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)

/**
 * struct virtqueue_info - a queue for virtio_find_vqs()
 * @name: its name
 * @callback: called by its interrupts; NULL: it has none
 */
struct virtqueue_info {
	const char *name;
	vq_callback_t *callback;
};

/* Names and callbacks used to be separate arrays. */
static inline int ddebug_find_vqs(struct virtio_device *vdev, unsigned int n,
				  struct virtqueue *vqs[],
				  const struct virtqueue_info infos[])
{
	vq_callback_t **callbacks = kcalloc(n, sizeof(*callbacks), GFP_KERNEL);
	const char **names = kcalloc(n, sizeof(*names), GFP_KERNEL);
	int err = -ENOMEM;
	unsigned int i;

	if (callbacks && names) {
		for (i = 0; i < n; i++) {
			callbacks[i] = infos[i].callback;
			names[i] = infos[i].name;
		}
		err = virtio_find_vqs(vdev, n, vqs, callbacks, names, NULL);
	}
	kfree(names);
	kfree(callbacks);
	return err;
}

#else

static inline int ddebug_find_vqs(struct virtio_device *vdev, unsigned int n,
				  struct virtqueue *vqs[],
				  struct virtqueue_info infos[])
{
	return virtio_find_vqs(vdev, n, vqs, infos, NULL);
}

#endif

/*
 * DDEBUG_KMSG_DUMP() - define a struct kmsg_dumper
 * @name: its name
 * @function: of (struct kmsg_dumper *, enum kmsg_dump_reason), as before 6.12
 * @reason_max: the last reason that it is called for
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#define DDEBUG_KMSG_DUMP(name, function, reason_max)				\
static void name##_dump(struct kmsg_dumper *dumper, struct kmsg_dump_detail *detail)	\
{										\
	function(dumper, detail->reason);					\
}										\
static struct kmsg_dumper name = { .dump = name##_dump, .max_reason = reason_max }
#else
#define DDEBUG_KMSG_DUMP(name, function, reason_max)				\
static struct kmsg_dumper name = { .dump = function, .max_reason = reason_max }
#endif

#endif /* _DDEBUG_COMPAT_H */
