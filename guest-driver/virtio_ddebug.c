// SPDX-License-Identifier: GPL-2.0
/*
 * virtio_ddebug: the virtio transport, which passes the streams of ddebug_rb to a
 * virtio-ddebug device.
 *
 * A stream is posted once and stays with the device until that is reset: the
 * device reads the ring while it is written.  So the memory must be the very
 * memory that the producers write, without a bounce buffer in between, and the
 * device must be reset before the memory is reused (remove, freeze, kexec), and not
 * before: see "Shutdown".
 *
 * Waiting for the host
 * --------------------
 * The host has a disk to write to, which may hang.  A request is waited for up to
 * VIRTIO_DDEBUG_TIMEOUT; until it is answered, others fail at once.  Who waits, what that
 * holds up, and how it ends is listed in docs/architecture.md, "Waiting for the host".
 * The watch (virtio_ddebug_watch()) mends what is left when the host answers at last.
 */
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/init_task.h>
#include <linux/io.h>
#include <linux/jiffies.h>
#include <linux/kmsg_dump.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/namei.h>
#include <linux/pci.h>
#include <linux/reboot.h>
#include <linux/scatterlist.h>
#include <linux/sched/clock.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/utsname.h>
#include <linux/uuid.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <linux/workqueue.h>
#include "ddebug_attach.h"
#include "ddebug_compat.h"
#include "ddebug_cpu.h"
#include "ddebug_record.h"
#include "ddebug_transport.h"
#include "ddebug_version.h"
#include "virtio_ddebug.h"

#define VIRTIO_DDEBUG_DRIVER	"virtio_ddebug " DDEBUG_VERSION

/*
 * How long the device may take to answer.  It has a disk to write to; but a user
 * who has set a flag is waiting.
 */
#define VIRTIO_DDEBUG_TIMEOUT	(10 * HZ)
/* How often a waiting task checks whether the device is broken, lost or stopped. */
#define VIRTIO_DDEBUG_POLL	(HZ / 10)

/* How often the device is checked: one wake-up of an idle guest. */
#define VIRTIO_DDEBUG_WATCH	(2 * HZ)

/*
 * A device that asks to be reset, or breaks the rules, may do so again: it is not reset
 * more often than this.  Nor is it attached to more often if that fails.
 */
#define VIRTIO_DDEBUG_RESET_PERIOD	(60 * HZ)

/* Larger requests bring no benefit. */
#define VIRTIO_DDEBUG_REQ_LEN_MAX	SZ_64K

/**
 * struct virtio_ddebug_req - a control request
 * @hdr: its header
 * @payload: @hdr.len bytes
 */
struct virtio_ddebug_req {
	struct virtio_ddebug_req_hdr hdr;
	u8 payload[];
};

/**
 * struct virtio_ddebug - a device
 * @vdev: the virtio device
 * @control: the control queue
 * @rings: the ring queues
 * @num_rings: their number
 * @max_streams: the device accepts streams with ids below this
 * @req_len: bytes of @req
 * @lock: protects @control, @req, @resp, @req_out, and posting
 * @req: the request buffer
 * @resp: the response buffer
 * @req_out: the device has @req and @resp.  It may finish a request long after we
 *	have given up waiting, so they are not touched until it returns them, or is
 *	reset.
 * @done: completed by each interrupt of @control
 * @retiring: the stream that the request in @req_out retires; or NULL
 * @owed: a stream that is to be retired when the request before is answered; or NULL
 * @late: a stream that the device has returned after we had given up waiting; or NULL
 * @stray: one that it returned without having been asked to; or NULL
 * @answered: a request that was given up has been answered, and the watch has not seen that
 * @watch: virtio_ddebug_watch()
 * @consumed: what ddebug_cpu_progress() said last time
 * @attaching: the device has not answered ATTACH in time, and has no stream yet
 * @lost: the device was found reset by somebody else, or to need it; or to break the rules
 * @stopping: nobody is to wait for it any more
 * @last_reset: jiffies: when it was last reset for what it does
 * @transport: what ddebug_rb sees of us
 * @shm: shared memory region 0, mapped; NULL: the device has none
 * @shm_pages: its size, in units of VIRTIO_DDEBUG_SHM_ALIGN
 * @shm_used: a bit for each of these: it belongs to a ring
 * @shm_lock: protects @shm_used
 * @reboot: keeps the device in use while the kernel shuts down
 * @dumping: virtio_ddebug_dump() will be called
 * @ending: the kernel shuts down
 * @kexec: another kernel gets the memory
 * @running: the device has the streams
 */
struct virtio_ddebug {
	struct virtio_device *vdev;
	struct virtqueue *control;
	struct virtqueue **rings;
	unsigned int num_rings;
	u32 max_streams;
	u32 req_len;

	struct mutex lock;	/* control requests and posting, one at a time */
	struct virtio_ddebug_req *req;
	struct virtio_ddebug_resp *resp;
	bool req_out;
	struct completion done;
	struct ddebug_stream *retiring;
	struct ddebug_stream *owed;
	struct ddebug_stream *late;
	struct ddebug_stream *stray;
	bool answered;

	struct delayed_work watch;
	u64 consumed;
	bool attaching;
	bool lost;
	bool stopping;
	unsigned long last_reset;

	struct ddebug_transport transport;
	void *shm;
	unsigned long shm_pages;
	unsigned long *shm_used;
	struct mutex shm_lock;
	struct notifier_block reboot;
	bool dumping;
	bool ending;
	bool kexec;
	bool running;
};

/* There is one set of streams, so only one device. */
static atomic_t virtio_ddebug_devices = ATOMIC_INIT(0);
static struct virtio_ddebug *virtio_ddebug_dumped;	/* for virtio_ddebug_dump() */

static void virtio_ddebug_control_done(struct virtqueue *vq)
{
	struct virtio_ddebug *vd = vq->vdev->priv;

	complete(&vd->done);
}

static void virtio_ddebug_lose(struct virtio_ddebug *vd)
{
	WRITE_ONCE(vd->lost, true);
	mod_delayed_work(system_freezable_wq, &vd->watch, 0);
}

/* Does the device no longer have what it was given, or is it of no use? */
static bool virtio_ddebug_is_lost(struct virtio_ddebug *vd)
{
	u8 status = vd->vdev->config->get_status(vd->vdev);

	/* all ones: it was unplugged, and the driver will be unbound */
	return status != 0xff &&
	       (!(status & VIRTIO_CONFIG_S_DRIVER_OK) || status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* Wait up to @timeout jiffies until the device returns the request. */
static int virtio_ddebug_wait(struct virtio_ddebug *vd, unsigned long timeout)
{
	unsigned long deadline = jiffies + timeout;
	unsigned int len;

	while (!virtqueue_get_buf(vd->control, &len)) {
		if (virtqueue_is_broken(vd->control)) {
			virtio_ddebug_lose(vd);
			return -EIO;
		}
		if (READ_ONCE(vd->stopping))
			return -ENODEV;
		if (time_after_eq(jiffies, deadline))
			return -ETIMEDOUT;
		if (!wait_for_completion_timeout(&vd->done, VIRTIO_DDEBUG_POLL) &&
		    virtio_ddebug_is_lost(vd)) {
			virtio_ddebug_lose(vd);
			return -ENODEV;
		}
	}
	vd->req_out = false;
	return len < sizeof(*vd->resp) ? -EPROTO : 0;
}

/* The device has answered a RETIRE: it must have returned the stream, and no other one. */
static int virtio_ddebug_retired(struct virtio_ddebug *vd)
{
	struct ddebug_stream *s = vd->retiring, *returned;
	unsigned int len;

	vd->retiring = NULL;
	returned = virtqueue_get_buf(vd->rings[s->queue], &len);
	if (returned == s)
		return 0;
	dev_warn(&vd->vdev->dev, "the device returned %s: resetting it\n",
		 returned ? "a ring that is in use" : "no ring");
	vd->stray = returned;
	virtio_ddebug_lose(vd);
	return -EPROTO;
}

/*
 * Take ownership of the request buffer.  If an earlier request has timed out, do not
 * wait for the device again before it has answered that one: otherwise each flag that
 * is set would take the full time.
 */
static int virtio_ddebug_req_begin(struct virtio_ddebug *vd)
{
	int err;

	lockdep_assert_held(&vd->lock);
	/* until the watch has attached to it again, it answers nothing */
	if (READ_ONCE(vd->lost) || READ_ONCE(vd->stopping))
		return -ENODEV;
	if (!vd->req_out)
		return 0;
	ddebug_own_begin();
	err = virtio_ddebug_wait(vd, 0);
	/* its answer to the old request no longer matters, unless it was a RETIRE */
	if (err == -EPROTO)
		err = 0;
	if (!err && vd->retiring) {
		struct ddebug_stream *s = vd->retiring;

		err = virtio_ddebug_retired(vd);
		if (!err)
			vd->late = s;
	}
	if (!err)
		vd->answered = true;
	ddebug_own_end();
	return err;
}

static int virtio_ddebug_status_to_errno(u32 status)
{
	switch (status) {
	case VIRTIO_DDEBUG_S_OK:
		return 0;
	case VIRTIO_DDEBUG_S_UNSUPP:
		return -EOPNOTSUPP;
	case VIRTIO_DDEBUG_S_INVAL:
		return -EINVAL;
	case VIRTIO_DDEBUG_S_NOSPC:
		return -ENOSPC;
	case VIRTIO_DDEBUG_S_IOERR:
		return -EIO;
	default:
		return -EPROTO;
	}
}

/* Send vd->req, whose payload of @len bytes is filled in; wait for the answer. */
static int virtio_ddebug_req_send(struct virtio_ddebug *vd, u16 type, size_t len)
{
	struct scatterlist out, in, *sgs[] = { &out, &in };
	int err;

	lockdep_assert_held(&vd->lock);
	vd->req->hdr.type = cpu_to_le16(type);
	vd->req->hdr.reserved = 0;
	vd->req->hdr.len = cpu_to_le32(len);
	memset(vd->resp, 0, sizeof(*vd->resp));
	sg_init_one(&out, vd->req, sizeof(vd->req->hdr) + len);
	sg_init_one(&in, vd->resp, sizeof(*vd->resp));

	ddebug_own_begin();
	reinit_completion(&vd->done);
	err = virtqueue_add_sgs(vd->control, sgs, 1, 1, vd->req, GFP_KERNEL);
	if (!err) {
		vd->req_out = true;
		virtqueue_kick(vd->control);
		err = virtio_ddebug_wait(vd, VIRTIO_DDEBUG_TIMEOUT);
	}
	ddebug_own_end();
	return err ? err : virtio_ddebug_status_to_errno(le32_to_cpu(vd->resp->status));
}

/*
 * The id of this boot, which the kernel only shows there.  Zeros if there is no
 * /proc yet.  The path is the init task's: ours may have another root.
 */
static void virtio_ddebug_boot_id(u8 *boot_id)
{
	char text[UUID_STRING_LEN + 1] = "";
	struct file *file;
	struct path root;
	loff_t pos = 0;
	uuid_t uuid;

	task_lock(&init_task);
	get_fs_root(init_task.fs, &root);
	task_unlock(&init_task);
	file = file_open_root(&root, "proc/sys/kernel/random/boot_id", O_RDONLY, 0);
	path_put(&root);
	if (IS_ERR(file))
		return;
	if (kernel_read(file, text, UUID_STRING_LEN, &pos) == UUID_STRING_LEN &&
	    !uuid_parse(text, &uuid))
		export_uuid(boot_id, &uuid);
	filp_close(file, NULL);
}

static int virtio_ddebug_attach_req(struct virtio_ddebug *vd)
{
	struct virtio_ddebug_attach *a = (struct virtio_ddebug_attach *)vd->req->payload;
	int err;

	mutex_lock(&vd->lock);
	err = virtio_ddebug_req_begin(vd);
	if (!err) {
		memset(a, 0, sizeof(*a));
		a->abi_version = cpu_to_le32(VIRTIO_DDEBUG_ABI_VERSION);
		a->nr_cpus = cpu_to_le32(num_possible_cpus());
		virtio_ddebug_boot_id(a->boot_id);
		a->instance = cpu_to_le64(ddebug_rb_instance());
		strscpy_pad((char *)a->release, init_utsname()->release, sizeof(a->release));
		strscpy_pad((char *)a->driver, VIRTIO_DDEBUG_DRIVER, sizeof(a->driver));
		/* adjacent: they pair two clocks */
		a->clock = cpu_to_le64(local_clock());
		a->realtime = cpu_to_le64(ktime_get_real_ns());
		err = virtio_ddebug_req_send(vd, VIRTIO_DDEBUG_REQ_ATTACH, sizeof(*a));
		vd->transport.epoch = le64_to_cpu(vd->resp->value);
		/* another log may have taken the place of the one before */
		vd->transport.log_id = 0;
		if (virtio_has_feature(vd->vdev, VIRTIO_DDEBUG_F_LOG_ID))
			virtio_cread_le(vd->vdev, struct virtio_ddebug_config, log_id,
					&vd->transport.log_id);
	}
	mutex_unlock(&vd->lock);
	return err;
}

static struct virtio_ddebug *virtio_ddebug_of(struct ddebug_transport *t)
{
	return container_of(t, struct virtio_ddebug, transport);
}

static int virtio_ddebug_announce(struct ddebug_transport *t, const void *buf, size_t len)
{
	struct virtio_ddebug *vd = virtio_ddebug_of(t);
	int err;

	mutex_lock(&vd->lock);
	err = virtio_ddebug_req_begin(vd);
	if (!err) {
		memcpy(vd->req->payload, buf, len);
		err = virtio_ddebug_req_send(vd, VIRTIO_DDEBUG_REQ_DICT, len);
	}
	mutex_unlock(&vd->lock);
	return err;
}

static int virtio_ddebug_post(struct ddebug_transport *t, struct ddebug_stream *s)
{
	struct virtio_ddebug *vd = virtio_ddebug_of(t);
	struct scatterlist *out, in, *sgs[2];
	struct virtqueue *vq;
	unsigned int i;
	int err;

	if (s->id >= vd->max_streams)
		return -ERANGE;
	s->queue = s->id % vd->num_rings;
	vq = vd->rings[s->queue];
	/* without indirect descriptors an element must fit in the queue */
	if (!virtio_has_feature(vd->vdev, VIRTIO_RING_F_INDIRECT_DESC) &&
	    s->nr_pieces + 2 > vq->num_free)
		return -ENOSPC;

	out = kvmalloc_array(s->nr_pieces + 1, sizeof(*out), GFP_KERNEL);
	if (!out)
		return -ENOMEM;
	sg_init_table(out, s->nr_pieces + 1);
	sg_set_buf(&out[0], s->shared,
		   s->nr_pieces ? sizeof(*s->shared) : sizeof(s->shared->desc));
	for (i = 0; i < s->nr_pieces; i++)
		sg_set_page(&out[i + 1], s->pieces[i].page, s->pieces[i].len, 0);
	sg_init_one(&in, s->status, sizeof(*s->status));
	sgs[0] = out;
	sgs[1] = &in;

	mutex_lock(&vd->lock);
	ddebug_own_begin();
	err = virtqueue_add_sgs(vq, sgs, 1, 1, s, GFP_KERNEL);
	if (!err)
		virtqueue_kick(vq);
	ddebug_own_end();
	mutex_unlock(&vd->lock);
	kvfree(out);
	return err;
}

/*
 * The device returns the element before it answers, also if it could not write all of
 * it to the log (-EIO, -ENOSPC): the host counts what is lost.
 */
static int virtio_ddebug_retire(struct ddebug_transport *t, struct ddebug_stream *s)
{
	struct virtio_ddebug *vd = virtio_ddebug_of(t);
	struct virtio_ddebug_retire *r = (struct virtio_ddebug_retire *)vd->req->payload;
	int err;

	mutex_lock(&vd->lock);
	err = virtio_ddebug_req_begin(vd);
	/* not more than one: its ring is retained, and then no other is replaced */
	if (err == -ETIMEDOUT)
		vd->owed = s;
	if (!err) {
		r->stream = s->shared->desc.stream;
		r->generation = s->shared->desc.generation;
		vd->retiring = s;
		err = virtio_ddebug_req_send(vd, VIRTIO_DDEBUG_REQ_RETIRE, sizeof(*r));
		if (!vd->req_out) {
			ddebug_own_begin();
			/* returned before it answers, also if the log could not take all of it */
			if (!err || err == -EIO || err == -ENOSPC)
				err = virtio_ddebug_retired(vd);
			else
				virtio_ddebug_lose(vd);
			vd->retiring = NULL;
			ddebug_own_end();
		}
	}
	mutex_unlock(&vd->lock);
	return err;
}

static u64 virtio_ddebug_log_size(struct ddebug_transport *t)
{
	u64 bytes;

	virtio_cread_le(virtio_ddebug_of(t)->vdev, struct virtio_ddebug_config, log_size, &bytes);
	return bytes;
}

static int virtio_ddebug_set_log_size(struct ddebug_transport *t, u64 bytes)
{
	struct virtio_ddebug *vd = virtio_ddebug_of(t);
	struct virtio_ddebug_log_size *wanted = (struct virtio_ddebug_log_size *)vd->req->payload;
	int err;

	if (!virtio_has_feature(vd->vdev, VIRTIO_DDEBUG_F_LOG_SIZE))
		return -EPERM;
	mutex_lock(&vd->lock);
	err = virtio_ddebug_req_begin(vd);
	if (!err) {
		wanted->size = cpu_to_le64(bytes);
		err = virtio_ddebug_req_send(vd, VIRTIO_DDEBUG_REQ_LOG_SIZE, sizeof(*wanted));
	}
	mutex_unlock(&vd->lock);
	return err;
}

/*
 * Not virtqueue_kick(): that announces new elements, of which there are none.  A
 * broken queue does not matter here: the streams continue without a host.
 */
static void virtio_ddebug_notify(struct ddebug_transport *t, struct ddebug_stream *s)
{
	virtqueue_notify(virtio_ddebug_of(t)->rings[s->queue]);
}

static void *virtio_ddebug_shm_alloc(struct ddebug_transport *t, size_t len, u64 *offset)
{
	struct virtio_ddebug *vd = virtio_ddebug_of(t);
	unsigned int pages = DIV_ROUND_UP(len, VIRTIO_DDEBUG_SHM_ALIGN);
	unsigned long at;

	mutex_lock(&vd->shm_lock);
	at = bitmap_find_next_zero_area(vd->shm_used, vd->shm_pages, 0, pages, 0);
	if (at < vd->shm_pages)
		bitmap_set(vd->shm_used, at, pages);
	mutex_unlock(&vd->shm_lock);
	if (at >= vd->shm_pages)
		return NULL;
	*offset = (u64)at * VIRTIO_DDEBUG_SHM_ALIGN;
	return vd->shm + *offset;
}

static void virtio_ddebug_shm_free(struct ddebug_transport *t, void *mem, size_t len)
{
	struct virtio_ddebug *vd = virtio_ddebug_of(t);

	mutex_lock(&vd->shm_lock);
	bitmap_clear(vd->shm_used, (mem - vd->shm) / VIRTIO_DDEBUG_SHM_ALIGN,
		     DIV_ROUND_UP(len, VIRTIO_DDEBUG_SHM_ALIGN));
	mutex_unlock(&vd->shm_lock);
}

static const struct ddebug_transport_ops virtio_ddebug_ops = {
	.post = virtio_ddebug_post,
	.retire = virtio_ddebug_retire,
	.announce = virtio_ddebug_announce,
	.notify = virtio_ddebug_notify,
	.log_size = virtio_ddebug_log_size,
	.set_log_size = virtio_ddebug_set_log_size,
	.shm_alloc = virtio_ddebug_shm_alloc,
	.shm_free = virtio_ddebug_shm_free,
};

static void virtio_ddebug_unmap_shm(struct virtio_ddebug *vd)
{
	bitmap_free(vd->shm_used);
	if (vd->shm)
		memunmap(vd->shm);
}

/* A device without its region is like one that never offered it. */
static int virtio_ddebug_map_shm(struct virtio_ddebug *vd)
{
	struct virtio_shm_region region;

	if (!virtio_has_feature(vd->vdev, VIRTIO_DDEBUG_F_SHM))
		return 0;
	if (!virtio_get_shm_region(vd->vdev, &region, VIRTIO_DDEBUG_SHM_REGION)) {
		dev_warn(&vd->vdev->dev, "the device offers shared memory but has none: the rings stay in guest memory\n");
		return 0;
	}
	/* the host's RAM: cached, like ours */
	vd->shm = memremap(region.addr, region.len, MEMREMAP_WB);
	vd->shm_pages = region.len / VIRTIO_DDEBUG_SHM_ALIGN;
	vd->shm_used = bitmap_zalloc(vd->shm_pages, GFP_KERNEL);
	mutex_init(&vd->shm_lock);
	if (!vd->shm || !vd->shm_used) {
		dev_err(&vd->vdev->dev, "cannot map %llu bytes of shared memory: start the VM with a smaller shm-size or shm=off\n",
			region.len);
		return -ENOMEM;
	}
	vd->transport.shm = true;
	return 0;
}

static int virtio_ddebug_setup_vqs(struct virtio_ddebug *vd)
{
	unsigned int i, n = VIRTIO_DDEBUG_VQ_RING + vd->num_rings;
	struct virtqueue_info *infos;
	struct virtqueue **vqs;
	int err = -ENOMEM;

	vqs = kcalloc(n, sizeof(*vqs), GFP_KERNEL);
	infos = kcalloc(n, sizeof(*infos), GFP_KERNEL);
	vd->rings = kcalloc(vd->num_rings, sizeof(*vd->rings), GFP_KERNEL);
	if (!vqs || !infos || !vd->rings)
		goto out;

	/* no callback, no interrupt: the device returns no element of a ring queue */
	infos[VIRTIO_DDEBUG_VQ_CONTROL].name = "control";
	infos[VIRTIO_DDEBUG_VQ_CONTROL].callback = virtio_ddebug_control_done;
	infos[VIRTIO_DDEBUG_VQ_EVENT].name = "event";
	for (i = VIRTIO_DDEBUG_VQ_RING; i < n; i++)
		infos[i].name = "ring";
	err = ddebug_find_vqs(vd->vdev, n, vqs, infos);
	if (err)
		goto out;
	vd->control = vqs[VIRTIO_DDEBUG_VQ_CONTROL];
	memcpy(vd->rings, vqs + VIRTIO_DDEBUG_VQ_RING, vd->num_rings * sizeof(*vqs));
out:
	if (err) {
		kfree(vd->rings);
		vd->rings = NULL;
	}
	kfree(infos);
	kfree(vqs);
	return err;
}

static void virtio_ddebug_del_vqs(struct virtio_ddebug *vd)
{
	vd->vdev->config->del_vqs(vd->vdev);
	kfree(vd->rings);
	vd->rings = NULL;
}

/* The device has been reset: everything is ours again. */
static void virtio_ddebug_take_back(struct virtio_ddebug *vd)
{
	struct ddebug_stream *s;
	unsigned int i;

	for (i = 0; i < vd->num_rings; i++)
		while ((s = virtqueue_detach_unused_buf(vd->rings[i])))
			ddebug_stream_returned(s);
	if (vd->late)
		ddebug_stream_returned(vd->late);
	if (vd->stray)
		ddebug_stream_returned(vd->stray);
	virtqueue_detach_unused_buf(vd->control);
	vd->req_out = false;
	vd->retiring = NULL;
	vd->owed = NULL;
	vd->late = NULL;
	vd->stray = NULL;
	vd->answered = false;
}

/* From "the device has the streams" to "it has not"; the queues stay. */
static void virtio_ddebug_quiesce(struct virtio_ddebug *vd)
{
	/* whoever waits for an answer has what detaching takes */
	WRITE_ONCE(vd->stopping, true);
	ddebug_transport_detach(&vd->transport);
	virtio_reset_device(vd->vdev);
	virtio_ddebug_take_back(vd);
	vd->running = false;
}

/* May be called again: a restore that fails leaves a stopped device. */
static void virtio_ddebug_stop(struct virtio_ddebug *vd)
{
	if (vd->running)
		virtio_ddebug_quiesce(vd);
	if (vd->rings)
		virtio_ddebug_del_vqs(vd);
}

static int virtio_ddebug_start(struct virtio_ddebug *vd)
{
	int err;

	err = virtio_ddebug_setup_vqs(vd);
	if (err) {
		dev_err(&vd->vdev->dev, "cannot set up virtqueues: error %d\n", err);
		return err;
	}
	vd->lost = false;
	vd->stopping = false;
	vd->attaching = false;
	virtio_device_ready(vd->vdev);
	vd->running = true;

	err = virtio_ddebug_attach_req(vd);
	if (err == -ETIMEDOUT) {
		dev_warn(&vd->vdev->dev, "the host does not answer: attaching when it does\n");
		vd->attaching = true;
		return 0;
	}
	if (err)
		dev_err(&vd->vdev->dev, "the device rejected this driver: error %d\n", err);
	if (!err) {
		err = ddebug_transport_attach(&vd->transport);
		if (err)
			dev_err(&vd->vdev->dev, "cannot pass the rings to the device: error %d\n",
				err);
	}
	if (err)
		virtio_ddebug_stop(vd);
	return err;
}

/*
 * Watching the device
 * -------------------
 * A device may be reset by somebody else: by the file "reset" of its PCI function, for
 * example, of which a driver learns nothing.  It then has no stream any more, and no
 * request is answered.  Its status tells, which costs an exit to read.  So it is read
 * only while a request is not answered, or if there are messages and the device has
 * not read any for a period of the watch.
 *
 * What a request that was given up has left behind is mended when it is answered: a
 * ring is freed, callsites are announced, the device is attached.
 */

/* Called with the device locked.  The core's part is that of a suspend and a resume. */
static void virtio_ddebug_attach_again(struct virtio_ddebug *vd)
{
	int err = -EOPNOTSUPP;

#ifdef CONFIG_PM_SLEEP
	/* the core has marked one as failed, and would again */
	if (!vd->running)
		virtio_reset_device(vd->vdev);
	err = virtio_device_freeze(vd->vdev);
	if (!err)
		err = virtio_device_restore(vd->vdev);
#endif
	if (err)
		dev_err(&vd->vdev->dev, "cannot attach to the device again: error %d; will retry in a minute\n",
			err);
}

/* May it be reset for what it does, which may be the same afterwards?  Then it will be. */
static bool virtio_ddebug_may_reset(struct virtio_ddebug *vd)
{
	if (vd->last_reset && time_before(jiffies, vd->last_reset + VIRTIO_DDEBUG_RESET_PERIOD))
		return false;
	vd->last_reset = jiffies;
	return true;
}

static void virtio_ddebug_recover(struct virtio_ddebug *vd)
{
	u8 status = vd->vdev->config->get_status(vd->vdev);

	/* the driver will be unbound */
	if (status == 0xff)
		return;
	/* reset by somebody else, it does nothing of its own accord that has to be limited */
	if (!(status & VIRTIO_CONFIG_S_DRIVER_OK)) {
		dev_warn(&vd->vdev->dev, "the device was reset: attaching to it again\n");
	} else {
		if (!virtio_ddebug_may_reset(vd))
			return;
		dev_warn(&vd->vdev->dev, "the device needs a reset: attaching to it again\n");
	}
	virtio_ddebug_attach_again(vd);
}

/* A request that was given up has been answered. */
static void virtio_ddebug_mend(struct virtio_ddebug *vd, struct ddebug_stream *late,
			       struct ddebug_stream *owed)
{
	if (late)
		ddebug_stream_retired(late);
	if (owed && !virtio_ddebug_retire(&vd->transport, owed))
		ddebug_stream_retired(owed);
	if (vd->attaching)
		virtio_ddebug_attach_again(vd);
	else
		ddebug_transport_answers();
}

/* Called with the device locked: it stays bound, and is not suspended (freezable work). */
static void virtio_ddebug_check_up(struct virtio_ddebug *vd)
{
	bool stands_still, overdue = false, answered = false;
	struct ddebug_stream *late = NULL, *owed = NULL;
	u64 consumed;

	if (READ_ONCE(vd->ending))
		return;
	if (!vd->running) {
		if (virtio_ddebug_may_reset(vd))
			virtio_ddebug_attach_again(vd);
		return;
	}
	/* otherwise a request is under way, which takes the answer and leaves the rest to us */
	if (mutex_trylock(&vd->lock)) {
		if (vd->req_out)
			virtio_ddebug_req_begin(vd);
		overdue = vd->req_out;
		answered = vd->answered && !overdue;
		if (answered)
			vd->answered = false;
		late = vd->late;
		vd->late = NULL;
		if (!overdue) {
			owed = vd->owed;
			vd->owed = NULL;
		}
		mutex_unlock(&vd->lock);
	}
	if (answered || late || owed)
		virtio_ddebug_mend(vd, late, owed);
	stands_still = ddebug_cpu_progress(&consumed) && consumed == vd->consumed;
	vd->consumed = consumed;
	if (READ_ONCE(vd->lost) || ((overdue || stands_still) && virtio_ddebug_is_lost(vd)))
		virtio_ddebug_recover(vd);
}

static void virtio_ddebug_watch(struct work_struct *work)
{
	struct virtio_ddebug *vd = container_of(to_delayed_work(work), struct virtio_ddebug, watch);
	struct device *dev = &vd->vdev->dev;

	/*
	 * Not while its PCI function is reset, or unplugged, with the parent locked.  remove()
	 * is called with both locked, and waits for us.
	 */
	if (device_trylock(dev->parent)) {
		if (device_trylock(dev)) {
			virtio_ddebug_check_up(vd);
			device_unlock(dev);
		}
		device_unlock(dev->parent);
	}
	queue_delayed_work(system_freezable_wq, &vd->watch,
			   round_jiffies_relative(VIRTIO_DDEBUG_WATCH));
}

/* Can we and this device work together?  If not, log why. */
static int virtio_ddebug_check(struct virtio_device *vdev)
{
	u32 version;

	if (!virtio_has_feature(vdev, VIRTIO_F_VERSION_1)) {
		dev_err(&vdev->dev, "legacy device: start the VM with disable-legacy=on\n");
		return -EOPNOTSUPP;
	}
	if (virtio_has_feature(vdev, VIRTIO_F_ACCESS_PLATFORM)) {
		dev_err(&vdev->dev,
			"the device cannot read the rings directly (VIRTIO_F_ACCESS_PLATFORM): start the VM with iommu_platform=off for it\n");
		return -EOPNOTSUPP;
	}
	virtio_cread_le(vdev, struct virtio_ddebug_config, abi_version, &version);
	if (version != VIRTIO_DDEBUG_ABI_VERSION) {
		dev_err(&vdev->dev,
			"the device speaks version %u, this driver version %u: install the driver that comes with the device\n",
			version, VIRTIO_DDEBUG_ABI_VERSION);
		return -EOPNOTSUPP;
	}
	return 0;
}

static int virtio_ddebug_read_config(struct virtio_ddebug *vd)
{
	struct virtio_device *vdev = vd->vdev;
	u16 num_rings;
	u32 req_len;

	virtio_cread_le(vdev, struct virtio_ddebug_config, num_ring_queues, &num_rings);
	virtio_cread_le(vdev, struct virtio_ddebug_config, max_streams, &vd->max_streams);
	virtio_cread_le(vdev, struct virtio_ddebug_config, max_request_len, &req_len);
	if (!num_rings || num_rings > 1022 || req_len < VIRTIO_DDEBUG_REQ_LEN_MIN) {
		dev_err(&vdev->dev,
			"invalid device configuration: %u ring queues (must be 1 to 1022), requests of %u bytes (at least %u)\n",
			num_rings, req_len, VIRTIO_DDEBUG_REQ_LEN_MIN);
		return -EINVAL;
	}
	vd->num_rings = num_rings;
	vd->req_len = min_t(u32, req_len, VIRTIO_DDEBUG_REQ_LEN_MAX);
	vd->transport.ops = &virtio_ddebug_ops;
	vd->transport.kmsg = virtio_has_feature(vdev, VIRTIO_DDEBUG_F_KMSG);
	vd->transport.max_announce = vd->req_len - sizeof(struct virtio_ddebug_req_hdr);
	return 0;
}

/*
 * Shutdown
 * --------
 * The kernel shuts down all devices, newest first, and says its last words after that.
 * A virtio device is broken and reset on its turn (by virtio_dev_shutdown(), which stock
 * kernels have since 6.1.192), with kexec its PCI function loses bus mastering.  Neither may
 * happen here: the device is to see what all other devices say, and the kernel.  So
 * both are taken off the list of devices that device_shutdown() walks, under its
 * lock, as it does itself when their turn comes.  What becomes of the streams then:
 *
 *   restart, power off   the machine ends while the device has them, as in a panic: it
 *                        reads them to their end
 *   halt                 the device goes on polling them
 *   kexec                another kernel gets the memory, so the device has to be reset:
 *                        in virtio_ddebug_dump(), which the kernel calls last of all
 */
static void virtio_ddebug_skip_shutdown(struct device *dev)
{
	struct kset *devices = dev->kobj.kset;

	spin_lock(&devices->list_lock);
	list_del_init(&dev->kobj.entry);
	spin_unlock(&devices->list_lock);
}

/* What kernel_kexec() passes to reboot notifiers; nothing else tells it from a restart. */
#define VIRTIO_DDEBUG_KEXEC_CMD	"kexec reboot"

static int virtio_ddebug_reboot(struct notifier_block *nb, unsigned long event, void *cmd)
{
	struct virtio_ddebug *vd = container_of(nb, struct virtio_ddebug, reboot);

	/* it stays as it is, whatever is found out about it */
	WRITE_ONCE(vd->ending, true);
	cancel_delayed_work_sync(&vd->watch);
	if (!vd->running)
		return NOTIFY_DONE;
	vd->kexec = event == SYS_RESTART && cmd && !strcmp(cmd, VIRTIO_DDEBUG_KEXEC_CMD);
	if (vd->kexec && !vd->dumping) {
		virtio_ddebug_quiesce(vd);
		return NOTIFY_DONE;
	}
	virtio_ddebug_skip_shutdown(&vd->vdev->dev);
	if (dev_is_pci(vd->vdev->dev.parent))
		virtio_ddebug_skip_shutdown(vd->vdev->dev.parent);
	return NOTIFY_DONE;
}

/*
 * Before the next kernel is entered.  All other CPUs are down.  The device drains
 * the streams while it is reset; queues that are broken do not notify it afterwards.
 */
static void virtio_ddebug_dump(struct kmsg_dumper *dumper, enum kmsg_dump_reason reason)
{
	struct virtio_ddebug *vd = READ_ONCE(virtio_ddebug_dumped);

	if (reason != KMSG_DUMP_SHUTDOWN || !vd || !vd->kexec || !vd->running)
		return;
	virtio_break_device(vd->vdev);
	vd->vdev->config->reset(vd->vdev);
}
DDEBUG_KMSG_DUMP(virtio_ddebug_dumper, virtio_ddebug_dump, KMSG_DUMP_SHUTDOWN);

static void virtio_ddebug_stop_dumping(struct virtio_ddebug *vd)
{
	if (vd->dumping)
		kmsg_dump_unregister(&virtio_ddebug_dumper);
	WRITE_ONCE(virtio_ddebug_dumped, NULL);
}

static void virtio_ddebug_free(struct virtio_ddebug *vd)
{
	virtio_ddebug_unmap_shm(vd);
	kfree(vd->resp);
	kfree(vd->req);
	kfree(vd);
}

static struct virtio_ddebug *virtio_ddebug_alloc(struct virtio_device *vdev)
{
	struct virtio_ddebug *vd = kzalloc(sizeof(*vd), GFP_KERNEL);

	if (!vd)
		return NULL;
	vd->vdev = vdev;
	mutex_init(&vd->lock);
	init_completion(&vd->done);
	INIT_DELAYED_WORK(&vd->watch, virtio_ddebug_watch);
	vd->reboot.notifier_call = virtio_ddebug_reboot;
	/* after the others, whose messages are of interest */
	vd->reboot.priority = INT_MIN;
	return vd;
}

static int virtio_ddebug_probe(struct virtio_device *vdev)
{
	struct virtio_ddebug *vd;
	int err;

	err = virtio_ddebug_check(vdev);
	if (err)
		return err;
	if (atomic_cmpxchg(&virtio_ddebug_devices, 0, 1)) {
		dev_err(&vdev->dev, "a VM can use only one virtio-ddebug device: remove this one\n");
		return -EBUSY;
	}
	err = -ENOMEM;
	vd = virtio_ddebug_alloc(vdev);
	if (!vd)
		goto err_count;
	err = virtio_ddebug_read_config(vd);
	if (err)
		goto err_free;
	err = virtio_ddebug_map_shm(vd);
	if (err)
		goto err_free;
	err = -ENOMEM;
	vd->req = kmalloc(vd->req_len, GFP_KERNEL);
	vd->resp = kmalloc(sizeof(*vd->resp), GFP_KERNEL);
	if (!vd->req || !vd->resp)
		goto err_free;
	vdev->priv = vd;
	err = virtio_ddebug_start(vd);
	if (err)
		goto err_free;
	WRITE_ONCE(virtio_ddebug_dumped, vd);
	vd->dumping = !kmsg_dump_register(&virtio_ddebug_dumper);
	err = register_reboot_notifier(&vd->reboot);
	if (err)
		goto err_stop;
	queue_delayed_work(system_freezable_wq, &vd->watch, VIRTIO_DDEBUG_WATCH);
	return 0;

err_stop:
	virtio_ddebug_stop_dumping(vd);
	virtio_ddebug_stop(vd);
err_free:
	cancel_delayed_work_sync(&vd->watch);
	virtio_ddebug_free(vd);
err_count:
	atomic_set(&virtio_ddebug_devices, 0);
	return err;
}

static void virtio_ddebug_remove(struct virtio_device *vdev)
{
	struct virtio_ddebug *vd = vdev->priv;

	unregister_reboot_notifier(&vd->reboot);
	virtio_ddebug_stop_dumping(vd);
	virtio_ddebug_stop(vd);
	/* nobody waits for the device, and asks for it, any more */
	cancel_delayed_work_sync(&vd->watch);
	virtio_ddebug_free(vd);
	atomic_set(&virtio_ddebug_devices, 0);
}

static int __maybe_unused virtio_ddebug_freeze(struct virtio_device *vdev)
{
	virtio_ddebug_stop(vdev->priv);
	return 0;
}

static int __maybe_unused virtio_ddebug_restore(struct virtio_device *vdev)
{
	return virtio_ddebug_start(vdev->priv);
}

static const struct virtio_device_id virtio_ddebug_ids[] = {
	{ VIRTIO_ID_DDEBUG, VIRTIO_DEV_ANY_ID },
	{ }
};
MODULE_DEVICE_TABLE(virtio, virtio_ddebug_ids);

static const unsigned int virtio_ddebug_features[] = {
	VIRTIO_DDEBUG_F_SHM,
	VIRTIO_DDEBUG_F_LOG_SIZE,
	VIRTIO_DDEBUG_F_NOTICE,
	VIRTIO_DDEBUG_F_KMSG,
	VIRTIO_DDEBUG_F_LOG_ID,
};

static struct virtio_driver virtio_ddebug_driver = {
	.driver.name = KBUILD_MODNAME,
	.driver.owner = THIS_MODULE,
	.feature_table = virtio_ddebug_features,
	.feature_table_size = ARRAY_SIZE(virtio_ddebug_features),
	.id_table = virtio_ddebug_ids,
	.probe = virtio_ddebug_probe,
	.remove = virtio_ddebug_remove,
#ifdef CONFIG_PM_SLEEP
	.freeze = virtio_ddebug_freeze,
	.restore = virtio_ddebug_restore,
#endif
};
module_virtio_driver(virtio_ddebug_driver);

MODULE_DESCRIPTION("Virtio transport for ddebug_rb: lets a virtio-ddebug device read the rings");
MODULE_VERSION(DDEBUG_VERSION);
MODULE_LICENSE("GPL");
