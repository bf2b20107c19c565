/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reading the streams from inside the guest.  How: ddebug_view.c.
 */
#ifndef _DDEBUG_VIEW_H
#define _DDEBUG_VIEW_H

#include <linux/types.h>
#include "ddebug_record.h"

struct ddebug_view;

/**
 * struct ddebug_message - a message that was copied out of its ring
 * @lost: messages of its stream missing before it: overwritten
 * @dropped: messages of its stream that were never committed (recursed, torn), and
 *	have not been reported yet
 * @time: ns; of the message
 * @cpu: of the stream
 * @context: of the stream, VIRTIO_DDEBUG_CTX_*
 * @type: DDEBUG_REC_TEXT, _PACKED or _KMSG; DDEBUG_REC_NONE: there is no message, only
 *	@lost and @dropped, at the end of a stream
 * @len: bytes of the record; at least those of its structure in ddebug_record.h
 * @rec: the record, as it is in the ring
 */
struct ddebug_message {
	u64 lost;
	u64 dropped;
	u64 time;
	unsigned int cpu;
	u8 context;
	u8 type;
	u16 len;
	union {
		struct ddebug_rec_hdr hdr;
		struct ddebug_rec_text text;
		struct ddebug_rec_packed packed;
		struct ddebug_rec_packed_wide packed_wide;
		struct ddebug_rec_kmsg kmsg;
		u8 bytes[DDEBUG_REC_LEN_MASK];
	} rec;
};

struct ddebug_view *ddebug_view_new(void);
void ddebug_view_free(struct ddebug_view *v);
void ddebug_view_copy(struct ddebug_view *v, const struct ddebug_view *from);
void ddebug_view_to_now(struct ddebug_view *v);
bool ddebug_view_next(struct ddebug_view *v, struct ddebug_message *m);
void ddebug_view_skip(struct ddebug_view *v);
bool ddebug_view_is_behind(const struct ddebug_view *v);

#endif /* _DDEBUG_VIEW_H */
