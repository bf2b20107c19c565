/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/*
 * The contract between the guest, which writes records, and the tool, which
 * decodes them.  The device copies these bytes and never looks inside.
 *
 * Document: docs/log-format.md, "Records".  All fields are little-endian.
 */
#ifndef _DDEBUG_RECORD_H
#define _DDEBUG_RECORD_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <linux/stddef.h>
#else
#include <linux/types.h>
#include <stddef.h>
#endif

/*
 * A stream is divided into sub-buffers of 1 << subbuf_shift bytes:
 *
 *  +------------+--------+--------+---     ---+--------+-----------+
 *  | subbuf_hdr | record | record |    ...    | record | PAD       |
 *  +------------+--------+--------+---     ---+--------+-----------+
 *
 * A record starts at a multiple of eight and never crosses into the next
 * sub-buffer; the remaining space is filled by one PAD record.
 */
struct ddebug_subbuf_hdr {
	__le64 pos;		/* position of this header in the stream */
	__le64 seq;		/* number of the first message in this sub-buffer */
	__le64 base;		/* ns: what the records' delta is relative to */
	__le64 lost;		/* recursed + torn so far (virtio_ddebug_stream_hdr) */
};

_Static_assert(offsetof(struct ddebug_subbuf_hdr, pos) == 0, "ABI");
_Static_assert(offsetof(struct ddebug_subbuf_hdr, seq) == 8, "ABI");
_Static_assert(offsetof(struct ddebug_subbuf_hdr, base) == 16, "ABI");
_Static_assert(offsetof(struct ddebug_subbuf_hdr, lost) == 24, "ABI");
_Static_assert(sizeof(struct ddebug_subbuf_hdr) == 32, "ABI");

/*
 *   15  12 11              0
 *  +------+-----------------+-----------------+-----------------------------+
 *  | type |  len            |  seq            |  delta                      |
 *  +------+-----------------+-----------------+-----------------------------+
 *         type_len (le16)       le16                le32
 *
 * Every message record can be read by itself, given the header of its
 * sub-buffer: nothing in it depends on the record before.  (A reader may start
 * at any record, since what came before may have been overwritten.)
 */
struct ddebug_rec_hdr {
	__le16 type_len;	/* DDEBUG_REC_* << 12 | bytes, header included, padding not */
	__le16 seq;		/* low bits of the message's number; 0 for PAD, TIME, LOSS */
	__le32 delta;		/* ns since base; PAD: bytes to the next record */
};

_Static_assert(offsetof(struct ddebug_rec_hdr, type_len) == 0, "ABI");
_Static_assert(offsetof(struct ddebug_rec_hdr, seq) == 2, "ABI");
_Static_assert(offsetof(struct ddebug_rec_hdr, delta) == 4, "ABI");
_Static_assert(sizeof(struct ddebug_rec_hdr) == 8, "ABI");

#define DDEBUG_REC_TYPE_SHIFT	12
#define DDEBUG_REC_LEN_MASK	0x0fff
#define DDEBUG_REC_ALIGN	8

/* Never written: a reader that finds it is at memory that is not a record. */
#define DDEBUG_REC_NONE		0
/* Nothing: continue delta bytes after the start of this record.  len is 8. */
#define DDEBUG_REC_PAD		1
/* struct ddebug_rec_time: the next record's delta is relative to it, not to base. */
#define DDEBUG_REC_TIME		2
/* struct ddebug_rec_text: a message, as the kernel would have printed it. */
#define DDEBUG_REC_TEXT		3
/* struct ddebug_rec_packed: a message as its callsite's id and its arguments. */
#define DDEBUG_REC_PACKED	4
/* struct ddebug_rec_kmsg: a line of the kernel's log. */
#define DDEBUG_REC_KMSG		5
/* struct ddebug_rec_loss: how many messages no stream has recorded. */
#define DDEBUG_REC_LOSS		6
/* Other types are skipped by their length, and counted. */

/* A message further from base than 32 bits of ns (4.29 s) is preceded by one of these. */
struct ddebug_rec_time {
	struct ddebug_rec_hdr hdr;	/* delta is 0 */
	__le64 time;			/* ns, absolute */
};

_Static_assert(offsetof(struct ddebug_rec_time, hdr) == 0, "ABI");
_Static_assert(offsetof(struct ddebug_rec_time, time) == 8, "ABI");
_Static_assert(sizeof(struct ddebug_rec_time) == 16, "ABI");

struct ddebug_rec_text {
	struct ddebug_rec_hdr hdr;
	__le32 callsite;	/* id in the dictionary; 0: not known */
	__le32 pid;		/* of the interrupted task, where in interrupt */
	__u8 text[];		/* len - 16 bytes, any value; no final newline */
};

_Static_assert(offsetof(struct ddebug_rec_text, hdr) == 0, "ABI");
_Static_assert(offsetof(struct ddebug_rec_text, callsite) == 8, "ABI");
_Static_assert(offsetof(struct ddebug_rec_text, pid) == 12, "ABI");
_Static_assert(offsetof(struct ddebug_rec_text, text) == 16, "ABI");
_Static_assert(sizeof(struct ddebug_rec_text) == 16, "ABI");

/*
 * A message that the reader turns into text by the format in its callsite's entry;
 * ddebug_packed.h describes the arguments.  There are two layouts: this one, and
 * struct ddebug_rec_packed_wide where callsite is 0.
 */
struct ddebug_rec_packed {
	struct ddebug_rec_hdr hdr;
	__le16 callsite;	/* 1 to 65535; 0: the other layout */
	__le16 pid;		/* as in struct ddebug_rec_text */
	__u8 args[];		/* len - 12 bytes */
};

_Static_assert(offsetof(struct ddebug_rec_packed, hdr) == 0, "ABI");
_Static_assert(offsetof(struct ddebug_rec_packed, callsite) == 8, "ABI");
_Static_assert(offsetof(struct ddebug_rec_packed, pid) == 10, "ABI");
_Static_assert(offsetof(struct ddebug_rec_packed, args) == 12, "ABI");
_Static_assert(sizeof(struct ddebug_rec_packed) == 12, "ABI");

struct ddebug_rec_packed_wide {
	struct ddebug_rec_hdr hdr;
	__le16 zero;		/* 0 */
	__le16 head_len;	/* bytes of text that precede what the format makes */
	__le32 callsite;	/* 1 and up */
	__le32 pid;
	__u8 bytes[];		/* that text, then the arguments: len - 20 bytes in all */
};

_Static_assert(offsetof(struct ddebug_rec_packed_wide, hdr) == 0, "ABI");
_Static_assert(offsetof(struct ddebug_rec_packed_wide, zero) == 8, "ABI");
_Static_assert(offsetof(struct ddebug_rec_packed_wide, head_len) == 10, "ABI");
_Static_assert(offsetof(struct ddebug_rec_packed_wide, callsite) == 12, "ABI");
_Static_assert(offsetof(struct ddebug_rec_packed_wide, pid) == 16, "ABI");
_Static_assert(offsetof(struct ddebug_rec_packed_wide, bytes) == 20, "ABI");
_Static_assert(sizeof(struct ddebug_rec_packed_wide) == 20, "ABI");

/*
 * A line of the kernel's log.  One that was recorded when it was printed has the
 * time of its record, like any message.  One that was copied from the kernel's log
 * afterwards (DDEBUG_KMSG_F_PAST) starts with the stamp that it had there,
 * "[    1.234567] ", unless the guest stamps no lines; its record's time is when
 * it was copied.
 */
struct ddebug_rec_kmsg {
	struct ddebug_rec_hdr hdr;
	__le32 flags;		/* DDEBUG_KMSG_F_* */
	__le32 pid;		/* of the task that printed it, or had it copied */
	__u8 text[];		/* len - 16 bytes, any value; no final newline */
};

_Static_assert(offsetof(struct ddebug_rec_kmsg, hdr) == 0, "ABI");
_Static_assert(offsetof(struct ddebug_rec_kmsg, flags) == 8, "ABI");
_Static_assert(offsetof(struct ddebug_rec_kmsg, pid) == 12, "ABI");
_Static_assert(offsetof(struct ddebug_rec_kmsg, text) == 16, "ABI");
_Static_assert(sizeof(struct ddebug_rec_kmsg) == sizeof(struct ddebug_rec_text), "ABI");

#define DDEBUG_KMSG_F_PAST	0x00000001	/* copied from the log afterwards */
#define DDEBUG_KMSG_F_OOPS	0x00000002	/* PAST, because the kernel oopsed */
#define DDEBUG_KMSG_F_PANIC	0x00000004	/* PAST, because the kernel panicked */

/*
 * What the driver instance has not recorded so far, of all CPUs and contexts: no stream's
 * header can count it.  Each such record of an instance, in whichever stream, has the whole
 * sums; they only grow.
 */
struct ddebug_rec_loss {
	struct ddebug_rec_hdr hdr;	/* seq and delta are 0 */
	__le64 nostream;		/* messages dropped: their context had no stream */
	__le64 missed;			/* calls of print functions that did not reach the driver */
};

_Static_assert(offsetof(struct ddebug_rec_loss, hdr) == 0, "ABI");
_Static_assert(offsetof(struct ddebug_rec_loss, nostream) == 8, "ABI");
_Static_assert(offsetof(struct ddebug_rec_loss, missed) == 16, "ABI");
_Static_assert(sizeof(struct ddebug_rec_loss) == 24, "ABI");

/* printk cuts a line at 1023 bytes or earlier; so no text is longer. */
#define DDEBUG_TEXT_MAX		1023

/*
 * A dictionary entry: one callsite.  Its strings follow in the order of their
 * lengths, without terminators; zeros pad the entry to a multiple of eight.
 */
struct ddebug_callsite {
	__le32 len;		/* bytes of the whole entry, a multiple of eight */
	__le32 id;		/* 1 and up; 0 is never announced */
	__le32 line;
	__le16 flags;		/* DDEBUG_CALLSITE_* */
	__le16 module_len;
	__le16 function_len;
	__le16 file_len;
	__le16 format_len;
	__le16 packed_len;	/* format of packed records, if it is not the one before */
	__u8 strings[];
};

_Static_assert(offsetof(struct ddebug_callsite, len) == 0, "ABI");
_Static_assert(offsetof(struct ddebug_callsite, id) == 4, "ABI");
_Static_assert(offsetof(struct ddebug_callsite, line) == 8, "ABI");
_Static_assert(offsetof(struct ddebug_callsite, flags) == 12, "ABI");
_Static_assert(offsetof(struct ddebug_callsite, module_len) == 14, "ABI");
_Static_assert(offsetof(struct ddebug_callsite, function_len) == 16, "ABI");
_Static_assert(offsetof(struct ddebug_callsite, file_len) == 18, "ABI");
_Static_assert(offsetof(struct ddebug_callsite, format_len) == 20, "ABI");
_Static_assert(offsetof(struct ddebug_callsite, packed_len) == 22, "ABI");
_Static_assert(offsetof(struct ddebug_callsite, strings) == 24, "ABI");
_Static_assert(sizeof(struct ddebug_callsite) == 24, "ABI");

#define DDEBUG_CALLSITE_F_CUT	0x0001	/* a string was cut to fit DDEBUG_CALLSITE_MAX */

/* Longest entry in bytes: several fit one control request. */
#define DDEBUG_CALLSITE_MAX	4096

#endif /* _DDEBUG_RECORD_H */
