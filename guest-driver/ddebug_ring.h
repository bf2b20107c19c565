/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Messages in the streams: claim, write, commit; last words of a dying kernel.
 * ddebug_ring.c has the proofs.
 */
#ifndef _DDEBUG_RING_H
#define _DDEBUG_RING_H

#include <linux/minmax.h>
#include <linux/types.h>
#include "ddebug_rb.h"
#include "ddebug_record.h"

/**
 * struct ddebug_slot - a message that is being written
 * @text: where its text goes
 * @room: bytes there, including a terminating zero; 0 if none is left in this
 *	sub-buffer
 * @ring: the stream
 * @cpu: this CPU
 * @start: position where the records of this message start
 * @rec: the record, in the ring, as a text record
 * @rec_pos: its position
 * @base: ns; of the sub-buffer
 * @delta: ns; for the record
 * @time: ns; of the message
 * @sub: offset of the sub-buffer in the ring
 * @half: the device is half a ring behind
 */
struct ddebug_slot {
	char *text;
	size_t room;

	struct ddebug_ring *ring;
	struct ddebug_cpu *cpu;
	u64 start;
	struct ddebug_rec_text *rec;
	u64 rec_pos;
	u64 base;
	u64 time;
	u32 delta;
	u32 sub;
	bool half;
};

/* Size of the longest record: a text and its terminating zero. */
#define DDEBUG_RECORD_MAX	\
	(sizeof(struct ddebug_rec_text) + ALIGN(DDEBUG_TEXT_MAX + 1, DDEBUG_REC_ALIGN))

bool ddebug_slot_begin(struct ddebug_slot *slot, unsigned long sp);
void ddebug_slot_next(struct ddebug_slot *slot);
void ddebug_slot_commit(struct ddebug_slot *slot, u16 type, size_t len);

/* Bytes that the record in @slot may take: no more than reserve was published for. */
static inline size_t ddebug_slot_size(const struct ddebug_slot *slot)
{
	return slot->room ? min_t(size_t, sizeof(*slot->rec) + slot->room, DDEBUG_RECORD_MAX) : 0;
}

/* Its latest end. */
static inline const u8 *ddebug_slot_end(const struct ddebug_slot *slot)
{
	return (const u8 *)slot->rec + ddebug_slot_size(slot);
}

/* Has @slot room for any record?  If not, the next sub-buffer has. */
static inline bool ddebug_slot_is_ample(const struct ddebug_slot *slot)
{
	return ddebug_slot_size(slot) == DDEBUG_RECORD_MAX;
}

/*
 * ddebug_slot_commit_text() - commit a text
 * @slot: whose text is in place
 * @type: DDEBUG_REC_TEXT or DDEBUG_REC_KMSG
 * @word: of TEXT: id in the dictionary, or 0; of KMSG: DDEBUG_KMSG_F_*
 * @pid: of the running or interrupted task
 * @len: bytes of text; less than slot->room, at most DDEBUG_TEXT_MAX
 */
static inline void ddebug_slot_commit_text(struct ddebug_slot *slot, u16 type, u32 word, u32 pid,
					   size_t len)
{
	slot->rec->callsite = cpu_to_le32(word);
	slot->rec->pid = cpu_to_le32(pid);
	ddebug_slot_commit(slot, type, sizeof(*slot->rec) + len);
}

struct ddebug_ring *ddebug_ring_disown(void);
void ddebug_ring_notice(struct ddebug_ring *r, u8 kind);
bool ddebug_ring_host_lagging(void);
bool ddebug_ring_is_left(struct ddebug_ring *old);
bool ddebug_ring_drop(unsigned long n);
bool ddebug_ring_loss(u64 nostream, u64 missed, bool grown);

#endif /* _DDEBUG_RING_H */
