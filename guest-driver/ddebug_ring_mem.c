// SPDX-License-Identifier: GPL-2.0
/*
 * Memory for streams: this kernel's, or shared memory of the host.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include <linux/vmalloc.h>
#include "ddebug_ring_mem.h"

#define DDEBUG_PIECE_ORDER	get_order(SZ_64K)

#define DDEBUG_RB_SIZE_KB	256
#define DDEBUG_RB_SIZE_KB_MIN	32
/* If all pieces are of 64 KiB, as many as an element of a virtqueue holds. */
#define DDEBUG_RB_SIZE_KB_MAX	(VIRTIO_DDEBUG_RING_PIECES_MAX * 64u)

static_assert(DDEBUG_RB_SIZE_KB_MAX * 1024 <= VIRTIO_DDEBUG_RING_SIZE_MAX);

static unsigned int rb_size_kb = DDEBUG_RB_SIZE_KB;
module_param(rb_size_kb, uint, 0444);
MODULE_PARM_DESC(rb_size_kb,
		 "KiB of each CPU's ring for task context, rounded up to a multiple of 16; 32 to 65408 (default 256)");

static const struct {
	u8 subbuf_shift;
	u8 nr_subbufs;
} ddebug_contexts[VIRTIO_DDEBUG_NR_CTX] = {
	[VIRTIO_DDEBUG_CTX_TASK] = { 14, 0 },	/* rb_size_kb */
	[VIRTIO_DDEBUG_CTX_SOFTIRQ] = { 14, 4 },
	[VIRTIO_DDEBUG_CTX_HARDIRQ] = { 14, 4 },
	[VIRTIO_DDEBUG_CTX_NMI] = { 12, 4 },
};

static size_t ddebug_shm_len(const struct ddebug_ring *r)
{
	return VIRTIO_DDEBUG_SHM_RING_OFF + r->size;
}

/**
 * ddebug_ring_free() - free a ring and its memory
 * @r: the ring; neither a producer, a reader nor the device has it
 *
 * Context: Process.  Sleeps.
 */
void ddebug_ring_free(struct ddebug_ring *r)
{
	struct ddebug_stream *s = &r->stream;
	unsigned int i;

	if (r->shm)
		r->home->ops->shm_free(r->home, r->shm, ddebug_shm_len(r));
	else
		vunmap(r->data);
	for (i = 0; i < s->nr_pieces; i++) {
		unsigned int n = DIV_ROUND_UP(s->pieces[i].len, PAGE_SIZE);

		while (n--)
			__free_page(nth_page(s->pieces[i].page, n));
	}
	kvfree(s->pieces);
	free_page((unsigned long)s->shared);
	kfree(r);
}

/*
 * Allocate pages for the ring: large pieces while there are any, then single pages.
 * Nothing must be killed for them.
 */
static int ddebug_ring_alloc_pieces(struct ddebug_ring *r, struct page **pages, int node)
{
	const gfp_t single = GFP_KERNEL | __GFP_ZERO | __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
	const gfp_t large = GFP_KERNEL | __GFP_ZERO | __GFP_NORETRY | __GFP_NOWARN;
	struct ddebug_stream *s = &r->stream;
	unsigned int order = DDEBUG_PIECE_ORDER;
	u32 left = r->size;

	while (left) {
		struct page *page;
		unsigned int i;

		while (order && PAGE_SIZE << order > PAGE_ALIGN(left))
			order--;
		if (s->nr_pieces == VIRTIO_DDEBUG_RING_PIECES_MAX)
			return -ENOMEM;
		page = alloc_pages_node(node, order ? large : single, order);
		if (!page) {
			if (!order)
				return -ENOMEM;
			order = 0;
			continue;
		}
		if (order)
			split_page(page, order);
		for (i = 0; i < 1u << order; i++)
			*pages++ = nth_page(page, i);
		s->pieces[s->nr_pieces].page = page;
		s->pieces[s->nr_pieces].len = min_t(u32, left, PAGE_SIZE << order);
		left -= s->pieces[s->nr_pieces++].len;
	}
	return 0;
}

static int ddebug_ring_alloc(struct ddebug_ring *r, int node)
{
	unsigned int nr_pages = DIV_ROUND_UP(r->size, PAGE_SIZE);
	unsigned int max_pieces = min_t(unsigned int, nr_pages, VIRTIO_DDEBUG_RING_PIECES_MAX);
	struct page **pages;
	int err = -ENOMEM;

	pages = kvmalloc_array(nr_pages, sizeof(*pages), GFP_KERNEL);
	r->stream.pieces = kvmalloc_node(array_size(max_pieces, sizeof(*r->stream.pieces)),
					 GFP_KERNEL, node);
	if (pages && r->stream.pieces)
		err = ddebug_ring_alloc_pieces(r, pages, node);
	if (!err) {
		/*
		 * Mapped contiguously for the producer.  The kernel's page tables reach all CPUs
		 * before this returns, also one in an NMI.
		 */
		r->data = vmap(pages, nr_pages, VM_MAP, PAGE_KERNEL);
		if (!r->data)
			err = -ENOMEM;
	}
	kvfree(pages);
	if (err)
		ddebug_ring_free(r);
	return err;
}

/* Return -ENOMEM if the host has no room left. */
static int ddebug_ring_alloc_shared(struct ddebug_ring *r, struct ddebug_transport *t)
{
	struct virtio_ddebug_stream_desc *desc = &r->stream.shared->desc;
	u64 offset;

	r->shm = t->ops->shm_alloc(t, ddebug_shm_len(r), &offset);
	if (!r->shm) {
		ddebug_ring_free(r);
		return -ENOMEM;
	}
	r->home = t;
	/* an empty stream, no descriptor yet; of the ring only what is written will count */
	memset(r->shm, 0, VIRTIO_DDEBUG_SHM_RING_OFF);
	r->hdr = r->shm + VIRTIO_DDEBUG_SHM_HDR_OFF;
	r->data = r->shm + VIRTIO_DDEBUG_SHM_RING_OFF;
	desc->flags = cpu_to_le32(VIRTIO_DDEBUG_STREAM_F_SHM);
	desc->epoch = cpu_to_le32(t->epoch);
	desc->shm_offset = cpu_to_le64(offset);
	return 0;
}

/**
 * ddebug_ring_show() - make a ring in shared memory discoverable should the host die
 * @r: the ring, consistent, nothing written to it yet; one that is not in shared memory
 *	is left alone
 *
 * It is found by its descriptor.  The magic comes last: the host dies between two
 * instructions of this CPU and leaves what was stored before.
 *
 * Context: Any.
 */
void ddebug_ring_show(struct ddebug_ring *r)
{
	struct virtio_ddebug_stream_desc *desc = r->shm;
	struct virtio_ddebug_stream_desc whole = r->stream.shared->desc;

	if (!desc)
		return;
	whole.magic = 0;
	*desc = whole;
	barrier();
	WRITE_ONCE(desc->magic, r->stream.shared->desc.magic);
}

/**
 * ddebug_ring_hide() - end of ddebug_ring_show()
 * @r: the ring, all of it in the log
 *
 * The memory may be reused in this epoch.  (That of a device that was reset may not be
 * yet, but its reset ends the epoch.)
 *
 * Context: Any.
 */
void ddebug_ring_hide(struct ddebug_ring *r)
{
	struct virtio_ddebug_stream_desc *desc = r->shm;

	if (desc)
		WRITE_ONCE(desc->magic, 0);
}

/**
 * ddebug_ring_bytes() - bytes of a new ring
 * @context: VIRTIO_DDEBUG_CTX_* of its stream
 *
 * Context: Any; for task context, stable with the CPU hotplug lock only.
 */
u32 ddebug_ring_bytes(u8 context)
{
	u32 subbuf = 1u << ddebug_contexts[context].subbuf_shift;

	if (context == VIRTIO_DDEBUG_CTX_TASK)
		return round_up(rb_size_kb * 1024, subbuf);
	return ddebug_contexts[context].nr_subbufs * subbuf;
}

/*
 * What the device reads of a stream besides the ring and, far enough from it that
 * neither writer takes the other's cache line, what it writes.
 */
struct ddebug_stream_page {
	struct ddebug_stream_shared shared;
	struct virtio_ddebug_status status __aligned(SZ_2K);
};

static_assert(sizeof(struct ddebug_stream_page) <= PAGE_SIZE);
/* ddebug_ring_free() frees the page through it. */
static_assert(offsetof(struct ddebug_stream_page, shared) == 0);

/**
 * ddebug_ring_new() - create an empty ring
 * @cpu: of its stream
 * @context: of its stream, VIRTIO_DDEBUG_CTX_*
 * @home: the transport in whose shared memory it is to be; NULL: in this kernel's memory
 *
 * Context: Process.  Sleeps.
 * Return: The ring, for ddebug_ring_free(); NULL if there is no memory.
 */
struct ddebug_ring *ddebug_ring_new(unsigned int cpu, u8 context,
				    struct ddebug_transport *home)
{
	int node = cpu_to_node(cpu);
	struct ddebug_ring *r = kzalloc_node(sizeof(*r), GFP_KERNEL, node);
	struct page *page = alloc_pages_node(node, GFP_KERNEL | __GFP_ZERO, 0);
	struct virtio_ddebug_stream_desc *desc;
	struct ddebug_stream_page *p;

	if (!r || !page) {
		kfree(r);
		if (page)
			__free_page(page);
		return NULL;
	}
	p = page_address(page);
	r->cpu = cpu;
	r->context = context;
	r->subbuf = 1u << ddebug_contexts[context].subbuf_shift;
	r->size = ddebug_ring_bytes(context);
	r->hdr = &p->shared.hdr;
	r->stream.shared = &p->shared;
	r->stream.status = &p->status;
	r->stream.id = cpu * VIRTIO_DDEBUG_NR_CTX + context;

	desc = &p->shared.desc;
	desc->magic = cpu_to_le32(VIRTIO_DDEBUG_STREAM_MAGIC);
	desc->stream = cpu_to_le32(r->stream.id);
	desc->cpu = cpu_to_le32(cpu);
	desc->context = context;
	desc->subbuf_shift = ddebug_contexts[context].subbuf_shift;
	desc->ring_size = cpu_to_le32(r->size);
	if (home ? ddebug_ring_alloc_shared(r, home) : ddebug_ring_alloc(r, node))
		return NULL;
	return r;
}

/**
 * ddebug_ring_size_kb() - KiB of each CPU's ring for task context
 *
 * Context: Any.
 */
unsigned int ddebug_ring_size_kb(void)
{
	return ddebug_ring_bytes(VIRTIO_DDEBUG_CTX_TASK) / 1024;
}

/**
 * ddebug_ring_is_size_kb() - is a size of rings for task context in range?
 * @kb: KiB of each
 *
 * Context: Any.
 */
bool ddebug_ring_is_size_kb(unsigned int kb)
{
	return kb >= DDEBUG_RB_SIZE_KB_MIN && kb <= DDEBUG_RB_SIZE_KB_MAX;
}

/**
 * ddebug_ring_set_size_kb() - set the size of future rings for task context
 * @kb: KiB of each, in range; rounded up to a whole number of sub-buffers
 *
 * Context: Process, with ddebug_rings_lock() and the CPU hotplug lock.
 * Return: The previous setting.
 */
unsigned int ddebug_ring_set_size_kb(unsigned int kb)
{
	unsigned int was = rb_size_kb;

	rb_size_kb = kb;
	return was;
}

/**
 * ddebug_ring_check_param() - check the module's parameter rb_size_kb
 *
 * Context: Process.
 * Return: 0, or -EINVAL if it is out of range; the kernel's log says so.
 */
int __init ddebug_ring_check_param(void)
{
	if (ddebug_ring_is_size_kb(rb_size_kb))
		return 0;
	pr_err("rb_size_kb=%u is out of range: must be %u to %u\n",
	       rb_size_kb, DDEBUG_RB_SIZE_KB_MIN, DDEBUG_RB_SIZE_KB_MAX);
	return -EINVAL;
}
