/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/*
 * The contract between the virtio-ddebug driver and the virtio-ddebug device.
 *
 * Document: docs/spec/virtio-ddebug.md.  The names here, there, in the driver
 * and in the device are the same.  All fields are little-endian.
 *
 * ABI version 1.  What may be added without a new version, and how implementations
 * that do not know an addition behave: docs/architecture.md, "Version 1, and how it
 * grows".
 */
#ifndef _VIRTIO_DDEBUG_H
#define _VIRTIO_DDEBUG_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <linux/stddef.h>
#else
#include <linux/types.h>
#include <stddef.h>
#endif

/*
 * Experimental: the virtio specification has not assigned this number.  Ids up
 * to 63 fit in the PCI device id range 0x1040..0x107f, so the function appears
 * as 1af4:107c.
 */
#define VIRTIO_ID_DDEBUG		60

#define VIRTIO_DDEBUG_ABI_VERSION	1

/*
 * Feature bits.  A device offers SHM, LOG_SIZE and KMSG if configured to, NOTICE and
 * LOG_ID unless configured not to; the others are reserved so that nothing has to move
 * for them.
 */
#define VIRTIO_DDEBUG_F_SHM		0	/* rings may live in shared memory region 0 */
#define VIRTIO_DDEBUG_F_QUERY		1	/* the event queue carries dyndbg queries */
#define VIRTIO_DDEBUG_F_CLOCK		2	/* VIRTIO_DDEBUG_REQ_CLOCK is understood */
#define VIRTIO_DDEBUG_F_COPY		3	/* ring queues take copies of closed spans */
#define VIRTIO_DDEBUG_F_LOG_SIZE	4	/* the driver may change the log's size */
#define VIRTIO_DDEBUG_F_NOTICE		5	/* stream_hdr.notice is read */
#define VIRTIO_DDEBUG_F_KMSG		6	/* the host wants the kernel's log as well */
#define VIRTIO_DDEBUG_F_LOG_ID		7	/* config.log_id identifies the log */

/* Virtqueues: control, event, then config.num_ring_queues ring queues. */
#define VIRTIO_DDEBUG_VQ_CONTROL	0
#define VIRTIO_DDEBUG_VQ_EVENT		1
#define VIRTIO_DDEBUG_VQ_RING		2

/*
 *   0        4        8       12       16                24                32
 *  +--------+--------+--------+--------+-----------------+-----------------+
 *  |version |nr_rq|0 |streams |req_len | log_size        | log_id          |
 *  +--------+--------+--------+--------+-----------------+-----------------+
 */
struct virtio_ddebug_config {
	__le32 abi_version;	/* VIRTIO_DDEBUG_ABI_VERSION */
	__le16 num_ring_queues;	/* 1..1022; stream s is posted on ring queue s % num_ring_queues */
	__le16 reserved0;
	__le32 max_streams;	/* stream ids are below this */
	__le32 max_request_len;	/* bytes: largest control request, header included */
	__le64 log_size;	/* bytes: size of the log on the host, 0 if unknown */
	__le64 log_id;		/* of the log on the host; 0 without F_LOG_ID */
};

_Static_assert(offsetof(struct virtio_ddebug_config, abi_version) == 0, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_config, num_ring_queues) == 4, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_config, reserved0) == 6, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_config, max_streams) == 8, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_config, max_request_len) == 12, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_config, log_size) == 16, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_config, log_id) == 24, "ABI");
_Static_assert(sizeof(struct virtio_ddebug_config) == 32, "ABI");

/*
 * A ring queue element, posted once for the life of a stream:
 *
 *   readable                                             writable
 *  +------------+------------+---------+-----+---------+ +----------+
 *  |stream_desc | stream_hdr | piece 0 | ... | piece n | | status   |
 *  | 64 bytes   | 64 bytes   |  the ring, ring_size    | | 64 bytes |
 *  +------------+------------+---------+-----+---------+ +----------+
 *
 * The device holds the element until RETIRE, or until it is reset.
 * The first 128 readable bytes are one physically contiguous piece, aligned to 64
 * bytes; so is the status block.
 */

/* Contexts.  A stream has one producer: one context of one CPU. */
#define VIRTIO_DDEBUG_CTX_TASK		0
#define VIRTIO_DDEBUG_CTX_SOFTIRQ	1
#define VIRTIO_DDEBUG_CTX_HARDIRQ	2
#define VIRTIO_DDEBUG_CTX_NMI		3
#define VIRTIO_DDEBUG_NR_CTX		4

/*
 * The sub-buffer size is bounded so that 16 bits can number all records of one
 * (ddebug_record.h), and one always fits in a segment of the log (ddebug_log.h).
 */
#define VIRTIO_DDEBUG_SUBBUF_SHIFT_MIN	12	/* 4 KiB */
#define VIRTIO_DDEBUG_SUBBUF_SHIFT_MAX	16	/* 64 KiB */
#define VIRTIO_DDEBUG_SUBBUFS_MIN	2
#define VIRTIO_DDEBUG_RING_SIZE_MAX	(64u << 20)
/* one descriptor each for header and status; virtqueue elements have 1024 */
#define VIRTIO_DDEBUG_RING_PIECES_MAX	1022

#define VIRTIO_DDEBUG_STREAM_MAGIC	0x54534444u	/* "DDST" */

/* Constant while the element is posted. */
struct virtio_ddebug_stream_desc {
	__le32 magic;		/* VIRTIO_DDEBUG_STREAM_MAGIC */
	__le32 stream;		/* id, unique among the posted elements */
	__le32 generation;	/* of the ring: a resize increments it */
	__le32 cpu;
	__u8 context;		/* VIRTIO_DDEBUG_CTX_* */
	__u8 subbuf_shift;	/* log2 of the sub-buffer size in bytes */
	__le16 reserved0;
	__le32 ring_size;	/* bytes: a multiple of the sub-buffer size */
	__le64 start;		/* position from which the device must read */
	__le32 flags;		/* VIRTIO_DDEBUG_STREAM_F_* */
	__le32 epoch;		/* of ATTACH's answer; 0 without F_SHM */
	__le64 shm_offset;	/* of the stream in region 0; 0 without F_SHM */
	__u8 reserved1[16];
};

/*
 * The stream lies in shared memory region 0: the element's readable bytes are
 * only the descriptor.
 */
#define VIRTIO_DDEBUG_STREAM_F_SHM	0x00000001u

_Static_assert(offsetof(struct virtio_ddebug_stream_desc, magic) == 0, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_desc, stream) == 4, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_desc, generation) == 8, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_desc, cpu) == 12, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_desc, context) == 16, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_desc, subbuf_shift) == 17, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_desc, reserved0) == 18, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_desc, ring_size) == 20, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_desc, start) == 24, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_desc, flags) == 32, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_desc, epoch) == 36, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_desc, shm_offset) == 40, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_desc, reserved1) == 48, "ABI");
_Static_assert(sizeof(struct virtio_ddebug_stream_desc) == 64, "ABI");

/*
 * Written by the producer, read by the device at any time.
 *
 * Positions are bytes since the start of the stream; they only grow, and byte p of
 * the stream lies at offset p % ring_size of the ring.  All are multiples of
 * eight.  Everything in [reserve - ring_size, head) is committed and intact;
 * [head, reserve) is being written.  A zero-filled header is an empty stream.
 *
 *   actor    from                    action                  to
 *   producer idle, reserve == head'  store reserve, wmb      writing
 *   producer writing                 store-release head      idle
 *   device   any                     load-acquire head, copy,
 *                                    rmb, load reserve       copied, or lapped
 */
struct virtio_ddebug_stream_hdr {
	__le64 reserve;		/* nothing at or beyond this was ever touched */
	__le64 head;		/* nothing at or beyond this is committed */
	__le64 seq;		/* messages committed since the start of the stream */
	__le64 recursed;	/* messages dropped: produced inside the path itself */
	__le64 torn;		/* messages dropped: their writer died inside */
	__le64 clamped;		/* messages whose time stamp was raised: the clock had stepped back */
	__le32 active;		/* 1: callsites write to it; poll even if no kick comes */
	__le32 notice;		/* VIRTIO_DDEBUG_NOTICE_*, and how many there were << 8 */
	__u8 reserved[8];
};

/*
 * What has become of the guest's kernel, reported by the CPU that it happened on,
 * after that CPU has written its last words (DDEBUG_REC_KMSG) to the same stream.
 */
#define VIRTIO_DDEBUG_NOTICE_NONE	0
#define VIRTIO_DDEBUG_NOTICE_OOPS	1	/* a task is killed, the kernel continues */
#define VIRTIO_DDEBUG_NOTICE_PANIC	2	/* the kernel does not continue */
#define VIRTIO_DDEBUG_NOTICE_KDUMP	3	/* likewise; a capture kernel takes over */
#define VIRTIO_DDEBUG_NOTICE_KIND	0x000000ffu
#define VIRTIO_DDEBUG_NOTICE_COUNT	0xffffff00u

_Static_assert(offsetof(struct virtio_ddebug_stream_hdr, reserve) == 0, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_hdr, head) == 8, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_hdr, seq) == 16, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_hdr, recursed) == 24, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_hdr, torn) == 32, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_hdr, clamped) == 40, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_hdr, active) == 48, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_hdr, notice) == 52, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_stream_hdr, reserved) == 56, "ABI");
_Static_assert(sizeof(struct virtio_ddebug_stream_hdr) == 64, "ABI");

/*
 * Written by the device, read by the driver.
 *
 *   actor   from          action                                       to
 *   device  draining      want_kick = 1, full barrier, poll again      asleep
 *   driver  head moved    full barrier, load want_kick; 1: notify      -
 *   device  asleep        woken: want_kick = 0                         draining
 */
struct virtio_ddebug_status {
	__le64 consumed;	/* position up to which the device has copied */
	__le32 want_kick;	/* 1: the device sleeps and wants a notification */
	__le32 reserved0;
	__u8 reserved1[48];
};

_Static_assert(offsetof(struct virtio_ddebug_status, consumed) == 0, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_status, want_kick) == 8, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_status, reserved0) == 12, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_status, reserved1) == 16, "ABI");
_Static_assert(sizeof(struct virtio_ddebug_status) == 64, "ABI");

/*
 * A stream in shared memory region 0, at a multiple of 4096 bytes.  The region is
 * a part of the log file (ddebug_log.h), so its contents outlive the device: a
 * reader of the log then recognises the ring by the copy of its descriptor.
 *
 *      0        64       128        2048         2112      4096
 *     +--------+--------+----------+------------+---------+----------------+
 *     |desc    |hdr     | zeros    |shm_status  | zeros   | the ring       |
 *     +--------+--------+----------+------------+---------+----------------+
 */
#define VIRTIO_DDEBUG_SHM_REGION	0
#define VIRTIO_DDEBUG_SHM_ALIGN		4096u
#define VIRTIO_DDEBUG_SHM_HDR_OFF	64u
#define VIRTIO_DDEBUG_SHM_STATUS_OFF	2048u
#define VIRTIO_DDEBUG_SHM_RING_OFF	4096u

/* Written by the device. */
struct virtio_ddebug_shm_status {
	__le64 drained;		/* everything before this position is in the log, or
				 * was given up and counted */
	__u8 reserved[56];
};

_Static_assert(offsetof(struct virtio_ddebug_shm_status, drained) == 0, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_shm_status, reserved) == 8, "ABI");
_Static_assert(sizeof(struct virtio_ddebug_shm_status) == 64, "ABI");

/*
 * Control queue: readable is virtio_ddebug_req_hdr and the request's payload,
 * writable is virtio_ddebug_resp.
 */
#define VIRTIO_DDEBUG_REQ_ATTACH	1	/* first request after DRIVER_OK */
#define VIRTIO_DDEBUG_REQ_DICT		2	/* announces callsites */
#define VIRTIO_DDEBUG_REQ_RETIRE	3	/* returns a ring element */
#define VIRTIO_DDEBUG_REQ_LOG_SIZE	6	/* changes the log's size */
/* Reserved numbers; a version 1 device answers VIRTIO_DDEBUG_S_UNSUPP. */
#define VIRTIO_DDEBUG_REQ_CLOCK		4	/* a pair of clocks */

/* A device accepts requests up to config.max_request_len, at least this. */
#define VIRTIO_DDEBUG_REQ_LEN_MIN	16384

struct virtio_ddebug_req_hdr {
	__le16 type;		/* VIRTIO_DDEBUG_REQ_* */
	__le16 reserved;
	__le32 len;		/* bytes of payload after this header */
};

_Static_assert(offsetof(struct virtio_ddebug_req_hdr, type) == 0, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_req_hdr, reserved) == 2, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_req_hdr, len) == 4, "ABI");
_Static_assert(sizeof(struct virtio_ddebug_req_hdr) == 8, "ABI");

#define VIRTIO_DDEBUG_S_OK		0
#define VIRTIO_DDEBUG_S_UNSUPP		1	/* unknown request type */
#define VIRTIO_DDEBUG_S_INVAL		2	/* a field is out of range */
#define VIRTIO_DDEBUG_S_NOSPC		3	/* the dictionary, or the host's disk, has no room */
#define VIRTIO_DDEBUG_S_IOERR		4	/* the log could not be written */

struct virtio_ddebug_resp {
	__le32 status;		/* VIRTIO_DDEBUG_S_* */
	__le32 reserved;
	__le64 value;		/* by request; 0 where none is named */
};

_Static_assert(offsetof(struct virtio_ddebug_resp, status) == 0, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_resp, reserved) == 4, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_resp, value) == 8, "ABI");
_Static_assert(sizeof(struct virtio_ddebug_resp) == 16, "ABI");

/*
 * ATTACH: a driver identifies itself.  The device starts a boot epoch and answers
 * with its number in resp.value.  The payload goes into the log unchanged
 * (DDEBUG_LOG_CHUNK_ATTACH).
 */
struct virtio_ddebug_attach {
	__le32 abi_version;	/* VIRTIO_DDEBUG_ABI_VERSION */
	__le32 nr_cpus;		/* possible CPUs of the guest */
	__u8 boot_id[16];	/* /proc/sys/kernel/random/boot_id, binary */
	__le64 instance;	/* random: the driver instance; stream positions and
				 * numbers continue over epochs with the same one */
	__le64 clock;		/* ns: the records' clock, now */
	__le64 realtime;	/* ns since 1970: the guest's wall clock, now */
	__u8 release[64];	/* uname -r, zero padded, need not be terminated */
	__u8 driver[32];	/* the driver's version, likewise */
	__u8 reserved[16];
};

_Static_assert(offsetof(struct virtio_ddebug_attach, abi_version) == 0, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_attach, nr_cpus) == 4, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_attach, boot_id) == 8, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_attach, instance) == 24, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_attach, clock) == 32, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_attach, realtime) == 40, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_attach, release) == 48, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_attach, driver) == 112, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_attach, reserved) == 144, "ABI");
_Static_assert(sizeof(struct virtio_ddebug_attach) == 160, "ABI");

/*
 * RETIRE: nothing more is written to this ring.  The device copies it up to its
 * head and returns its element, then answers.
 */
struct virtio_ddebug_retire {
	__le32 stream;
	__le32 generation;
};

_Static_assert(offsetof(struct virtio_ddebug_retire, stream) == 0, "ABI");
_Static_assert(offsetof(struct virtio_ddebug_retire, generation) == 4, "ABI");
_Static_assert(sizeof(struct virtio_ddebug_retire) == 8, "ABI");

/*
 * LOG_SIZE: resize the log on the host to up to @size bytes.  Within bounds that the
 * host sets, and only if VIRTIO_DDEBUG_F_LOG_SIZE was negotiated.  The device answers
 * when that has been done, or has failed, with the current bytes of the log in
 * resp.value.
 */
struct virtio_ddebug_log_size {
	__le64 size;
};

_Static_assert(offsetof(struct virtio_ddebug_log_size, size) == 0, "ABI");
_Static_assert(sizeof(struct virtio_ddebug_log_size) == 8, "ABI");

/*
 * DICT: the payload is one or more struct ddebug_callsite (ddebug_record.h),
 * which the device writes to the log without interpreting them.  It answers when
 * they are written.
 */

#endif /* _VIRTIO_DDEBUG_H */
