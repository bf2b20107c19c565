// SPDX-License-Identifier: GPL-2.0
/*
 * Another ring for a stream
 * -------------------------
 * The swap happens on the stream's own CPU with interrupts off (or while that CPU is
 * offline), so only contexts above a hardirq can intervene: NMIs, each of which is
 * over before we continue.
 *
 *   old->retired = true; is old claimed?  no: ring = new       yes: try again later
 *
 * A writer claims, and then checks ->retired: on one CPU, either the writer finds it
 * set and starts over, or we find the claim.  So once the new ring is in place no
 * writer is in the old one or will be, its head is final, and the positions and numbers of
 * the new one continue from it.  The device gets the new ring, and returns the old one
 * when it has read it up to its head.
 *
 * Shared memory
 * -------------
 * A host may offer memory that outlives it.  While such a transport is attached, the
 * streams' rings are there, as far as there is room, otherwise in this kernel's
 * memory.  They move from one to the other as from one size to another.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/smp.h>
#include "ddebug_kick.h"
#include "ddebug_ring.h"
#include "ddebug_ring_mem.h"
#include "ddebug_ring_swap.h"

/*
 * Locks
 * -----
 * From the outermost: ddebug_rings_mutex, the transport's lock, ddebug_swap_mutex, the
 * CPU hotplug lock.  The first two are held while the host is waited for, so whoever
 * holds one of the others must not take them: a CPU comes and goes, and flags are set,
 * whatever the host does.
 */

/* Serialises attaching, detaching and changes of rings. */
static DEFINE_MUTEX(ddebug_rings_mutex);

/* Held while a ring takes another one's place. */
static DEFINE_MUTEX(ddebug_swap_mutex);

/**
 * ddebug_swap_lock() - keep the ring of each stream in its place
 *
 * Context: Process, outside of the CPU hotplug lock.  Sleeps, but for no host.
 */
void ddebug_swap_lock(void)
{
	mutex_lock(&ddebug_swap_mutex);
}

/**
 * ddebug_swap_unlock() - end of ddebug_swap_lock()
 *
 * Context: Process.
 */
void ddebug_swap_unlock(void)
{
	mutex_unlock(&ddebug_swap_mutex);
}

/**
 * struct ddebug_swap - argument of ddebug_ring_swap()
 * @cpu: whose stream it is
 * @context: of the stream
 * @new: the new ring; NULL: none, and messages are counted as lost
 * @old: the old ring; set if it was replaced
 */
struct ddebug_swap {
	unsigned int cpu;
	u8 context;
	struct ddebug_ring *new;
	struct ddebug_ring *old;
};

/* The new ring continues where the old one ends, at the start of a sub-buffer. */
static void ddebug_ring_continue(struct ddebug_ring *new, const struct ddebug_ring *old)
{
	struct virtio_ddebug_stream_desc *desc = &new->stream.shared->desc;
	u64 pos = round_up(old->head, max(old->subbuf, new->subbuf));
	u32 generation = le32_to_cpu(old->stream.shared->desc.generation) + 1;

	new->begin = pos;
	new->head = pos;
	new->reserve = pos;
	new->sub = pos % new->size;
	new->seq = old->seq;
	new->loss = old->loss;
	*new->hdr = *old->hdr;
	new->hdr->head = cpu_to_le64(pos);
	new->hdr->reserve = cpu_to_le64(pos);
	desc->start = cpu_to_le64(pos);
	desc->generation = cpu_to_le32(generation);
	new->stream.status->consumed = cpu_to_le64(pos);
	ddebug_ring_show(new);
}

static void ddebug_ring_swap(void *data)
{
	struct ddebug_swap *swap = data;
	struct ddebug_ring *new = swap->new;
	struct ddebug_cpu *c = per_cpu_ptr(&ddebug_cpu, swap->cpu);
	struct ddebug_ring *old = c->ring[swap->context];

	WRITE_ONCE(old->retired, true);
	barrier();	/* producer:C5: a writer that claims it from now on finds it retired */
	if (!ddebug_ring_is_left(old)) {
		WRITE_ONCE(old->retired, false);
		return;
	}
	if (new)
		ddebug_ring_continue(new, old);
	/*
	 * producer:C6: the new ring is complete when found.  On other CPUs, pairs with the
	 * loads in ddebug_view_ring() and ddebug_cpu_stats()
	 */
	smp_store_release(&c->ring[swap->context], new);
	swap->old = old;
}

/* Put @new in place; return the old ring, which has no writer any more. */
static struct ddebug_ring *ddebug_ring_replace(unsigned int cpu, u8 context,
					       struct ddebug_ring *new)
{
	struct ddebug_swap swap = { .cpu = cpu, .context = context, .new = new };

	ddebug_swap_lock();
	cpus_read_lock();
	for (;;) {
		if (cpu_online(cpu))
			smp_call_function_single(cpu, ddebug_ring_swap, &swap, 1);
		else
			ddebug_ring_swap(&swap);
		if (swap.old)
			break;
		/* a message takes microseconds, a task that oopses in one takes longer */
		usleep_range(50, 500);
	}
	cpus_read_unlock();
	ddebug_swap_unlock();
	return swap.old;
}

/*
 * Rings that were replaced and that a device has not returned.  A stream must not get a
 * third ring besides them, so while there are any, none is replaced.  Protected by the
 * transport's lock, which is held from the swap to the device's answer: a holder finds
 * a ring in place, retained, or gone.  Becomes more only with ddebug_rings_lock().
 */
static unsigned int ddebug_rings_retained;

/*
 * Give a stream the ring @new.  The old one goes to @gone, or is retained by the device
 * until it returns it or is reset: return 0 if that is about to happen, or -errno.  With
 * ddebug_rings_lock() and the lock of @t.
 */
static int ddebug_ring_exchange(struct ddebug_transport *t, struct ddebug_ring *new,
				struct list_head *gone)
{
	struct ddebug_ring *old;
	int err, post_err;

	old = ddebug_ring_replace(new->cpu, new->context, new);
	post_err = ddebug_post_stream(t, &new->stream);
	err = ddebug_retire_stream(t, &old->stream);
	if (err) {
		/* the device may still read it */
		old->retained = true;
		ddebug_rings_retained++;
		if (err == -ENODEV)
			err = 0;	/* it is being reset: ddebug_ring_returned() */
		else
			pr_warn("the device keeps the old ring of CPU %u for now: error %d\n",
				new->cpu, err);
	} else {
		ddebug_ring_hide(old);
		list_add(&old->gone, gone);
		if (post_err)
			post_err = ddebug_post_stream(t, &new->stream);	/* there is room now */
	}
	if (post_err)
		pr_warn("cannot pass the new ring of CPU %u to the host: error %d\n", new->cpu, post_err);
	/* a commit between posting and ->posted sent no notification */
	cpus_read_lock();
	ddebug_work_on(new->cpu);
	cpus_read_unlock();
	return err;
}

/* Make all or none: return 0 or -ENOMEM. */
static int ddebug_ring_make_all(struct list_head *made)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		struct ddebug_ring *r = per_cpu(ddebug_cpu, cpu).ring[VIRTIO_DDEBUG_CTX_TASK];

		if (!r || r->size == ddebug_ring_bytes(VIRTIO_DDEBUG_CTX_TASK))
			continue;
		/* in the same memory */
		r = ddebug_ring_new(cpu, VIRTIO_DDEBUG_CTX_TASK, r->home);
		if (!r)
			return -ENOMEM;
		list_add_tail(&r->gone, made);
	}
	return 0;
}

static void ddebug_ring_free_all(struct list_head *rings)
{
	struct ddebug_ring *r, *next;

	list_for_each_entry_safe(r, next, rings, gone)
		ddebug_ring_free(r);
}

/**
 * ddebug_rings_lock() - keep others from attaching, detaching and changing rings
 *
 * Context: Process, without ddebug_transport_lock(), which may be taken inside, and outside
 * of the CPU hotplug lock.  Sleeps, also while another holder waits for the host.
 */
void ddebug_rings_lock(void)
{
	mutex_lock(&ddebug_rings_mutex);
}

/**
 * ddebug_rings_unlock() - end of ddebug_rings_lock()
 *
 * Context: Process.
 */
void ddebug_rings_unlock(void)
{
	mutex_unlock(&ddebug_rings_mutex);
}

static int ddebug_ring_to_shm(struct ddebug_transport *t, struct ddebug_ring *r,
			      struct list_head *gone)
{
	struct ddebug_ring *new;

	/* the host would not find one that it does not accept, either */
	if (!r || r->home || !r->stream.posted)
		return 0;
	new = ddebug_ring_new(r->cpu, r->context, t);
	if (!new) {
		pr_warn("no room in the host's shared memory for the rings of CPU %u and up: they stay in guest memory; try a larger shm-size\n",
			r->cpu);
		return -ENOMEM;
	}
	return ddebug_ring_exchange(t, new, gone);
}

/**
 * ddebug_rings_share() - move the streams to the host's shared memory
 * @t: the transport that they were posted to
 * @gone: receives the old rings, for ddebug_rings_free_gone()
 *
 * Moves as many as there is room for; the others stay, and are as good as long as the
 * host lives.
 *
 * Context: Process, with ddebug_rings_lock() and ddebug_transport_lock().  Sleeps.
 */
void ddebug_rings_share(struct ddebug_transport *t, struct list_head *gone)
{
	unsigned int cpu;
	u8 i;

	if (!t->shm || ddebug_rings_retained)
		return;
	/* CPUs may come up meanwhile */
	for_each_possible_cpu(cpu)
		for (i = 0; i < VIRTIO_DDEBUG_NR_CTX; i++)
			if (ddebug_ring_to_shm(t, READ_ONCE(per_cpu(ddebug_cpu, cpu).ring[i]), gone))
				return;
}

static void ddebug_ring_from_shm(struct ddebug_ring *old, struct list_head *gone)
{
	struct ddebug_ring *new = ddebug_ring_new(old->cpu, old->context, NULL);

	if (!new)
		pr_warn("no memory for the rings of CPU %u: its messages will be lost\n", old->cpu);
	ddebug_ring_replace(old->cpu, old->context, new);
	/* otherwise it is freed when the device, which reads it up to its head, is reset */
	if (!old->stream.posted)
		list_add(&old->gone, gone);
}

/**
 * ddebug_rings_unshare() - move all streams out of the shared memory of a transport
 * @t: a transport that is being detached
 * @gone: receives the old rings, for ddebug_rings_free_gone(); others belong to the device
 *	until it is reset
 *
 * Context: Process, with ddebug_rings_lock() and ddebug_transport_lock().  Sleeps.
 */
void ddebug_rings_unshare(struct ddebug_transport *t, struct list_head *gone)
{
	unsigned int cpu;
	u8 i;

	for_each_possible_cpu(cpu) {
		for (i = 0; i < VIRTIO_DDEBUG_NR_CTX; i++) {
			struct ddebug_ring *r = READ_ONCE(per_cpu(ddebug_cpu, cpu).ring[i]);

			if (r && r->home == t)
				ddebug_ring_from_shm(r, gone);
		}
	}
}

/**
 * ddebug_rings_free_gone() - free rings that were replaced
 * @gone: the rings; no CPU has them any more, readers in the guest may
 *
 * Context: Process.  Sleeps.
 */
void ddebug_rings_free_gone(struct list_head *gone)
{
	if (list_empty(gone))
		return;
	/* wait for readers of a CPU's previous ring, and for who finds it retired */
	synchronize_rcu();
	ddebug_wait_idle();
	ddebug_ring_free_all(gone);
}

/**
 * ddebug_ring_resize() - change the size of the rings for task context
 * @kb: KiB of each, rounded up to a whole number of sub-buffers
 *
 * Works while messages are written and a device reads them, and loses none that was
 * not lost already.  Without a device, the contents of the old rings are lost.
 *
 * Context: Process.  Sleeps; for a CPU's ring as long as @retire of the transport does.
 * Return: 0; -EINVAL if @kb is out of range, -ENOMEM, or -EBUSY if a device retains a
 * ring from an earlier change, and then nothing has changed; or the error that kept a
 * device from returning a ring, and then some CPUs have their new rings.
 */
int ddebug_ring_resize(unsigned int kb)
{
	struct ddebug_ring *r, *next;
	unsigned int was;
	LIST_HEAD(made);
	LIST_HEAD(gone);
	int err;

	if (!ddebug_ring_is_size_kb(kb))
		return -EINVAL;
	ddebug_rings_lock();
	ddebug_transport_lock();
	err = ddebug_rings_retained ? -EBUSY : 0;
	ddebug_transport_unlock();
	if (err)
		goto out;
	/* a CPU that comes up makes its rings of the one size or the other */
	cpus_read_lock();
	was = ddebug_ring_set_size_kb(kb);
	err = ddebug_ring_make_all(&made);
	if (err)
		ddebug_ring_set_size_kb(was);
	cpus_read_unlock();
	list_for_each_entry_safe(r, next, &made, gone) {
		if (err) {
			ddebug_ring_free(r);
			continue;
		}
		err = ddebug_ring_exchange(ddebug_transport_lock(), r, &gone);
		ddebug_transport_unlock();
	}
	/* before the shared memory that they may lie in can go away */
	ddebug_rings_free_gone(&gone);
out:
	ddebug_rings_unlock();
	return err;
}

/**
 * ddebug_ring_returned_late() - a device that has kept a retired ring returns it
 * @s: its stream
 * @gone: receives the ring, for ddebug_rings_free_gone()
 *
 * Context: Process, with ddebug_transport_lock().
 */
void ddebug_ring_returned_late(struct ddebug_stream *s, struct list_head *gone)
{
	struct ddebug_ring *r = container_of(s, struct ddebug_ring, stream);

	ddebug_rings_retained -= r->retained;
	ddebug_ring_hide(r);
	list_add(&r->gone, gone);
}

/**
 * ddebug_ring_returned() - free a retired ring that a reset device has returned
 * @s: a stream of a device that was reset
 *
 * Context: Process, with ddebug_transport_lock().  Sleeps.
 * Return: true if its ring was retired, and is freed now.
 */
bool ddebug_ring_returned(struct ddebug_stream *s)
{
	struct ddebug_ring *r = container_of(s, struct ddebug_ring, stream);

	if (!r->retired)
		return false;
	ddebug_rings_retained -= r->retained;
	/* who found it as its CPU's ring, before it was retired */
	synchronize_rcu();
	ddebug_wait_idle();
	ddebug_ring_free(r);
	return true;
}
