/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/*
 * The contract between the device, which writes the log file, and the tool,
 * which reads it.
 *
 * Document: docs/log-format.md.  All fields are little-endian, all checksums
 * are CRC32C (Castagnoli; initial value and final xor 0xffffffff) over the
 * bytes of the structure before its crc field, which is its last.
 */
#ifndef _DDEBUG_LOG_H
#define _DDEBUG_LOG_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <linux/stddef.h>
#else
#include <linux/types.h>
#include <stddef.h>
#endif

/*
 *        0  superblock, copy 0
 *     4096  superblock, copy 1
 *     8192  request (tool to device)
 *    12288  reply (device to tool)
 *    16384  state (device: what readers may consider settled)
 *    16896  sync (device: what is known to be on disk)
 *    20480  zeros
 *    65536  shared rings: super.shm_size bytes, 0 in most logs
 *  + shm_size  segment 0 | segment 1 | ... | segment nr_segs - 1
 */
#define DDEBUG_LOG_SUPER_OFF(copy)	((copy) * 4096ull)
#define DDEBUG_LOG_REQUEST_OFF		8192ull
#define DDEBUG_LOG_REPLY_OFF		12288ull
#define DDEBUG_LOG_STATE_OFF		16384ull
#define DDEBUG_LOG_SYNC_OFF		16896ull
#define DDEBUG_LOG_SHM_OFF		65536ull
#define DDEBUG_LOG_SEGS_OFF		65536ull	/* and super.shm_size */

/* Bytes that are never read; they only carry open file description locks. */
#define DDEBUG_LOG_LOCK_WRITER		(1ull << 62)		/* held by the device while it has the log */
#define DDEBUG_LOG_LOCK_REQUEST		((1ull << 62) + 1)	/* held by a tool from request to reply */

#define DDEBUG_LOG_MAGIC		"DDEBUGLG"
#define DDEBUG_LOG_VERSION		1

/* Bounds on the size of the file in bytes. */
#define DDEBUG_LOG_SIZE_MIN		(1ull << 20)
#define DDEBUG_LOG_SIZE_MAX		(1ull << 40)
#define DDEBUG_LOG_SIZE_DEFAULT		(16ull << 20)

/*
 * A chunk never crosses a segment and holds at most one sub-buffer (64 KiB) or
 * one dictionary request, so even the smallest segment has room for one.
 */
#define DDEBUG_LOG_SEG_SIZE_MIN		(128u << 10)
#define DDEBUG_LOG_SEG_SIZE_MAX		(1u << 20)
#define DDEBUG_LOG_NR_SEGS_MIN		4

/*
 * A reader that finds an incompatible flag it does not know stops reading; a writer
 * that finds any flag it does not know does not write.
 */
#define DDEBUG_LOG_INCOMPAT_SHM		0x00000001u	/* rings in the file: shm_size is not 0 */
#define DDEBUG_LOG_INCOMPAT_KNOWN	0x00000001u
#define DDEBUG_LOG_COMPAT_KNOWN		0x00000000u

/*
 * Bytes of the area for shared rings: a power of two, since it is a BAR of a PCI
 * device.  Its contents: virtio_ddebug.h, "A stream in shared memory".
 */
#define DDEBUG_LOG_SHM_SIZE_MIN		(1ull << 20)
#define DDEBUG_LOG_SHM_SIZE_MAX		(1ull << 30)

/*
 * Two copies, written in turn: the valid one of the higher generation counts.
 * Written when the geometry changes, when a writer opens the log, when the log is
 * cleared, and when something is frozen or thawed.
 */
struct ddebug_log_super {
	__u8 magic[8];		/* DDEBUG_LOG_MAGIC */
	__le32 version;		/* DDEBUG_LOG_VERSION */
	__le32 incompat;	/* DDEBUG_LOG_INCOMPAT_* */
	__le32 compat;
	__le32 seg_size;	/* bytes, a power of two */
	__le64 generation;	/* of this superblock */
	__u8 uuid[16];		/* of the log: new when the file is formatted */
	__le64 size;		/* bytes: DDEBUG_LOG_SEGS_OFF + shm_size + nr_segs * seg_size */
	__le64 nr_segs;
	__le64 first_seg;	/* data segments numbered below it are cleared */
	__le64 created;		/* ns since 1970 */
	__le64 opened;		/* ns since 1970: by the current or last writer */
	__le32 writer_pid;	/* of that writer */
	__le32 reserved0;
	__u8 vm_name[64];	/* as QEMU knows it, zero padded, may be empty */
	__u8 vm_uuid[16];	/* as QEMU knows it, may be zero */
	__u8 writer[64];	/* program and version, zero padded */
	__le64 frozen_first;	/* data segments from here to frozen_last are not */
	__le64 frozen_last;	/* overwritten; 0: none are */
	__le32 frozen_epoch;	/* they hold data of epochs from this */
	__le32 frozen_epoch_last;	/* to this one */
	__le64 shm_size;	/* bytes of the shared rings; 0: there are none */
	__u8 reserved1[3776];
	/*
	 * Which file the writer had open, as it saw it: a copy, or the file behind
	 * another mount, is another one.  Valid if named_at equals opened: a writer
	 * that does not know these fields leaves them as they were.
	 */
	__le64 named_at;	/* opened, when the fields below were written; 0: never */
	__le64 file_dev;	/* st_dev */
	__le64 file_ino;	/* st_ino */
	__u8 host_boot[16];	/* boot id of the writer's host; zero: not known */
	__le32 file_fs;		/* f_type of statfs(); 0: not known */
	__le32 crc;
};

_Static_assert(offsetof(struct ddebug_log_super, magic) == 0, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, version) == 8, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, incompat) == 12, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, compat) == 16, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, seg_size) == 20, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, generation) == 24, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, uuid) == 32, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, size) == 48, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, nr_segs) == 56, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, first_seg) == 64, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, created) == 72, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, opened) == 80, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, writer_pid) == 88, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, reserved0) == 92, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, vm_name) == 96, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, vm_uuid) == 160, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, writer) == 176, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, frozen_first) == 240, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, frozen_last) == 248, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, frozen_epoch) == 256, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, frozen_epoch_last) == 260, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, shm_size) == 264, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, reserved1) == 272, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, named_at) == 4048, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, file_dev) == 4056, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, file_ino) == 4064, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, host_boot) == 4072, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, file_fs) == 4088, "ABI");
_Static_assert(offsetof(struct ddebug_log_super, crc) == 4092, "ABI");
_Static_assert(sizeof(struct ddebug_log_super) == 4096, "ABI");

/*
 * A request of the tool to a live device.  The tool locks
 * DDEBUG_LOG_LOCK_REQUEST, writes this, and closes the file: the device waits for
 * the closing of a descriptor that was open for writing (IN_CLOSE_WRITE); its own
 * writes do not wake it.
 */
struct ddebug_log_request {
	__le32 magic;		/* DDEBUG_LOG_REQUEST_MAGIC */
	__le32 type;		/* DDEBUG_LOG_REQUEST_* */
	__le64 id;		/* random, different from the last one's */
	__le64 arg;
	__u8 reserved[36];
	__le32 crc;
};

#define DDEBUG_LOG_REQUEST_MAGIC	0x51524444u	/* "DDRQ" */
#define DDEBUG_LOG_REQUEST_SIZE		1	/* arg: new size of the file in bytes */
#define DDEBUG_LOG_REQUEST_CLEAR	2

_Static_assert(offsetof(struct ddebug_log_request, magic) == 0, "ABI");
_Static_assert(offsetof(struct ddebug_log_request, type) == 4, "ABI");
_Static_assert(offsetof(struct ddebug_log_request, id) == 8, "ABI");
_Static_assert(offsetof(struct ddebug_log_request, arg) == 16, "ABI");
_Static_assert(offsetof(struct ddebug_log_request, reserved) == 24, "ABI");
_Static_assert(offsetof(struct ddebug_log_request, crc) == 60, "ABI");
_Static_assert(sizeof(struct ddebug_log_request) == 64, "ABI");

struct ddebug_log_reply {
	__le32 magic;		/* DDEBUG_LOG_REPLY_MAGIC */
	__le32 error;		/* 0, or a Linux errno */
	__le64 id;		/* of the request */
	__le64 value;		/* SIZE: size of the file now; else 0 */
	__u8 reserved[36];
	__le32 crc;
};

#define DDEBUG_LOG_REPLY_MAGIC		0x50524444u	/* "DDRP" */

_Static_assert(offsetof(struct ddebug_log_reply, magic) == 0, "ABI");
_Static_assert(offsetof(struct ddebug_log_reply, error) == 4, "ABI");
_Static_assert(offsetof(struct ddebug_log_reply, id) == 8, "ABI");
_Static_assert(offsetof(struct ddebug_log_reply, value) == 16, "ABI");
_Static_assert(offsetof(struct ddebug_log_reply, reserved) == 24, "ABI");
_Static_assert(offsetof(struct ddebug_log_reply, crc) == 60, "ABI");
_Static_assert(sizeof(struct ddebug_log_reply) == 64, "ABI");

/*
 * The position of the device.  Written when a pass over all streams has found nothing
 * new after one that has: then no message older than those in the log is in transit,
 * and a reader need not wait for one.
 */
struct ddebug_log_state {
	__le32 magic;		/* DDEBUG_LOG_STATE_MAGIC */
	__le32 reserved0;
	__le64 settled_pass;	/* chunks of this pass and before are complete */
	__le64 seg_seq;		/* the newest data segment */
	__le64 io_lost;		/* bytes of chunks that were given up since the log was opened: */
	__le64 full_lost;	/* see DDEBUG_LOG_EVENT_IO_LOST, _FULL_LOST, */
	__le64 rate_lost;	/* _RATE_LOST */
	__u8 reserved1[12];
	__le32 crc;
};

#define DDEBUG_LOG_STATE_MAGIC		0x54534c44u	/* "DLST" */

_Static_assert(offsetof(struct ddebug_log_state, magic) == 0, "ABI");
_Static_assert(offsetof(struct ddebug_log_state, reserved0) == 4, "ABI");
_Static_assert(offsetof(struct ddebug_log_state, settled_pass) == 8, "ABI");
_Static_assert(offsetof(struct ddebug_log_state, seg_seq) == 16, "ABI");
_Static_assert(offsetof(struct ddebug_log_state, io_lost) == 24, "ABI");
_Static_assert(offsetof(struct ddebug_log_state, full_lost) == 32, "ABI");
_Static_assert(offsetof(struct ddebug_log_state, rate_lost) == 40, "ABI");
_Static_assert(offsetof(struct ddebug_log_state, reserved1) == 48, "ABI");
_Static_assert(offsetof(struct ddebug_log_state, crc) == 60, "ABI");
_Static_assert(sizeof(struct ddebug_log_state) == 64, "ABI");

/*
 * How much of the log is on disk.  Written before each fdatasync(), which so covers
 * it, and after it.  Zeros if no writer ever synced the log.
 */
struct ddebug_log_sync {
	__le32 magic;		/* DDEBUG_LOG_SYNC_MAGIC */
	__le32 interval;	/* seconds within which the writer syncs */
	__le64 written;		/* chunk_seq of the last chunk in the file: this and all before were written */
	__le64 synced;		/* of the last chunk that is known to be on disk */
	__le64 realtime;	/* ns since 1970: when the last sync that succeeded began; 0: none yet */
	__le64 failed;		/* syncs that failed since the log was opened */
	__u8 reserved[20];
	__le32 crc;
};

#define DDEBUG_LOG_SYNC_MAGIC		0x59534c44u	/* "DLSY" */

_Static_assert(offsetof(struct ddebug_log_sync, magic) == 0, "ABI");
_Static_assert(offsetof(struct ddebug_log_sync, interval) == 4, "ABI");
_Static_assert(offsetof(struct ddebug_log_sync, written) == 8, "ABI");
_Static_assert(offsetof(struct ddebug_log_sync, synced) == 16, "ABI");
_Static_assert(offsetof(struct ddebug_log_sync, realtime) == 24, "ABI");
_Static_assert(offsetof(struct ddebug_log_sync, failed) == 32, "ABI");
_Static_assert(offsetof(struct ddebug_log_sync, reserved) == 40, "ABI");
_Static_assert(offsetof(struct ddebug_log_sync, crc) == 60, "ABI");
_Static_assert(sizeof(struct ddebug_log_sync) == 64, "ABI");

/*
 * A segment: its header, then chunks without gaps.  Chunks end at the first
 * place without a valid chunk header of this very segment.  A slot with an
 * invalid header is unused.
 */
struct ddebug_log_seg {
	__le32 magic;		/* DDEBUG_LOG_SEG_MAGIC */
	__le32 type;		/* DDEBUG_LOG_SEG_* */
	__le64 seq;		/* counts the segments ever started, of both types; from 1 */
	__le32 epoch;		/* when it was started */
	__le32 tag;		/* random, of all of its chunks; 0: they have none */
	__u8 reserved1[36];
	__le32 crc;
};

#define DDEBUG_LOG_SEG_MAGIC		0x47534444u	/* "DDSG" */
#define DDEBUG_LOG_SEG_DATA		1
#define DDEBUG_LOG_SEG_DICT		2	/* ATTACH and DICT chunks */

_Static_assert(offsetof(struct ddebug_log_seg, magic) == 0, "ABI");
_Static_assert(offsetof(struct ddebug_log_seg, type) == 4, "ABI");
_Static_assert(offsetof(struct ddebug_log_seg, seq) == 8, "ABI");
_Static_assert(offsetof(struct ddebug_log_seg, epoch) == 16, "ABI");
_Static_assert(offsetof(struct ddebug_log_seg, tag) == 20, "ABI");
_Static_assert(offsetof(struct ddebug_log_seg, reserved1) == 24, "ABI");
_Static_assert(offsetof(struct ddebug_log_seg, crc) == 60, "ABI");
_Static_assert(sizeof(struct ddebug_log_seg) == 64, "ABI");

/*
 * The header comes from the device; the payload of DATA, ATTACH and DICT comes
 * from the guest.  Header and payload are written at once; zeros pad the payload
 * to a multiple of eight.
 */
struct ddebug_log_chunk {
	__le32 magic;		/* DDEBUG_LOG_CHUNK_MAGIC */
	__le16 type;		/* DDEBUG_LOG_CHUNK_* */
	__le16 flags;		/* DDEBUG_LOG_CHUNK_F_* */
	__le64 seg_seq;		/* of the segment it lies in */
	__le32 off;		/* bytes from the start of the segment to this header */
	__le32 len;		/* bytes of payload, padding not included */
	__le64 chunk_seq;	/* counts the chunks of all segments; from 1 */
	__le64 realtime;	/* ns since 1970, host */
	__le64 monotonic;	/* ns, host's CLOCK_MONOTONIC */
	__le32 epoch;
	__le32 payload_crc;	/* CRC32C of the payload */
	/* DATA only, else zero: */
	__le32 stream;
	__le32 generation;
	__le32 cpu;
	__u8 context;		/* VIRTIO_DDEBUG_CTX_* */
	__u8 subbuf_shift;
	__le16 reserved0;
	__le64 pass;		/* the pass over all streams that found it */
	__le64 pos;		/* position in the stream of what follows */
	__le64 produced;	/* virtio_ddebug_stream_hdr, as read in that pass: seq, */
	__le64 recursed;
	__le64 torn;
	__le64 clamped;
	__le32 tag;		/* of the segment: no guest can know it */
	__le32 crc;
};

#define DDEBUG_LOG_CHUNK_MAGIC		0x4b434444u	/* "DDCK" */

/*
 * A span [pos, pos + n) of one sub-buffer of one stream, from record boundary
 * to record boundary.  If pos is not the start of a sub-buffer, a copy of the
 * sub-buffer's header (struct ddebug_subbuf_hdr) precedes the span, so len is
 * n + 32; otherwise len is n.
 */
#define DDEBUG_LOG_CHUNK_DATA		1
#define DDEBUG_LOG_CHUNK_ATTACH		2	/* struct virtio_ddebug_attach */
#define DDEBUG_LOG_CHUNK_DICT		3	/* struct ddebug_callsite, one or more */
#define DDEBUG_LOG_CHUNK_EVENT		4	/* struct ddebug_log_event */
/* Other types are skipped by their length, and counted. */

_Static_assert(offsetof(struct ddebug_log_chunk, magic) == 0, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, type) == 4, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, flags) == 6, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, seg_seq) == 8, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, off) == 16, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, len) == 20, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, chunk_seq) == 24, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, realtime) == 32, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, monotonic) == 40, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, epoch) == 48, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, payload_crc) == 52, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, stream) == 56, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, generation) == 60, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, cpu) == 64, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, context) == 68, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, subbuf_shift) == 69, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, reserved0) == 70, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, pass) == 72, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, pos) == 80, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, produced) == 88, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, recursed) == 96, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, torn) == 104, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, clamped) == 112, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, tag) == 120, "ABI");
_Static_assert(offsetof(struct ddebug_log_chunk, crc) == 124, "ABI");
_Static_assert(sizeof(struct ddebug_log_chunk) == 128, "ABI");

struct ddebug_log_event {
	__le32 event;		/* DDEBUG_LOG_EVENT_* */
	__le32 reserved;
	__le64 arg[3];
};

#define DDEBUG_LOG_EVENT_OPEN		1	/* a QEMU opened the log; arg: pid */
#define DDEBUG_LOG_EVENT_ATTACH		2	/* a driver attached, an epoch started; arg: its number */
#define DDEBUG_LOG_EVENT_RESET		3	/* the device was reset; the epoch is over */
#define DDEBUG_LOG_EVENT_STOP		4	/* the VM was stopped; arg: DDEBUG_LOG_STOP_* */
#define DDEBUG_LOG_EVENT_CONT		5	/* the VM runs again */
#define DDEBUG_LOG_EVENT_CLOSE		6	/* QEMU has closed the log; nothing follows from it */
#define DDEBUG_LOG_EVENT_SIZE		7	/* arg: old size, new size */
#define DDEBUG_LOG_EVENT_CLEAR		8	/* what preceded is cleared */
#define DDEBUG_LOG_EVENT_IO_LOST	9	/* arg: chunks, bytes that could not be written */
#define DDEBUG_LOG_EVENT_NOTICE		10	/* the guest's kernel reports its death; arg: VIRTIO_DDEBUG_NOTICE_*, CPU */
#define DDEBUG_LOG_EVENT_FULL_LOST	11	/* arg: chunks, bytes that a full log had no room for (mode=drop) */
#define DDEBUG_LOG_EVENT_RATE_LOST	12	/* arg: gaps, bytes that exceeded rate-limit */
#define DDEBUG_LOG_EVENT_MACHINE_RESET	13	/* the whole machine was reset: it boots */
#define DDEBUG_LOG_EVENT_SHUTDOWN	14	/* the VM ends; arg: DDEBUG_LOG_SHUTDOWN_* */
#define DDEBUG_LOG_EVENT_RECOVERED	15	/* arg: chunks, bytes left in the shared rings by a writer that died */
/*
 * Chunks that may not be, or are not, on disk.  arg: chunk_seq of the first and of the
 * last, errno of the fdatasync() that failed; 0: they are missing from the file
 */
#define DDEBUG_LOG_EVENT_SYNC_LOST	16

_Static_assert(offsetof(struct ddebug_log_event, event) == 0, "ABI");
_Static_assert(offsetof(struct ddebug_log_event, reserved) == 4, "ABI");
_Static_assert(offsetof(struct ddebug_log_event, arg) == 8, "ABI");
_Static_assert(sizeof(struct ddebug_log_event) == 32, "ABI");

/* Why the VM was stopped. */
#define DDEBUG_LOG_STOP_OTHER		0
#define DDEBUG_LOG_STOP_PAUSED		1	/* by an operator */
#define DDEBUG_LOG_STOP_SHUTDOWN	2	/* because it was shut down */
#define DDEBUG_LOG_STOP_PANICKED	3	/* its pvpanic device reported a panic */
#define DDEBUG_LOG_STOP_WATCHDOG	4	/* its watchdog was not fed */
#define DDEBUG_LOG_STOP_IO_ERROR	5	/* of a disk */
#define DDEBUG_LOG_STOP_INTERNAL_ERROR	6	/* QEMU or KVM cannot continue */
#define DDEBUG_LOG_STOP_SUSPENDED	7	/* the guest sleeps */
#define DDEBUG_LOG_STOP_SAVED		8	/* its state is being saved or migrated */
#define DDEBUG_LOG_STOP_DEBUG		9	/* by a debugger */

/* Why the VM ends. */
#define DDEBUG_LOG_SHUTDOWN_OTHER	0
#define DDEBUG_LOG_SHUTDOWN_QUIT	1	/* "quit" of the monitor */
#define DDEBUG_LOG_SHUTDOWN_SIGNAL	2	/* QEMU got SIGTERM, SIGINT or SIGHUP */
#define DDEBUG_LOG_SHUTDOWN_UI		3	/* its window was closed */
#define DDEBUG_LOG_SHUTDOWN_GUEST	4	/* the guest has powered off */
#define DDEBUG_LOG_SHUTDOWN_RESET	5	/* the guest was reset, and -no-reboot ends it */
#define DDEBUG_LOG_SHUTDOWN_PANIC	6	/* pvpanic, and that ends it */
#define DDEBUG_LOG_SHUTDOWN_ERROR	7	/* of the host */

#endif /* _DDEBUG_LOG_H */
