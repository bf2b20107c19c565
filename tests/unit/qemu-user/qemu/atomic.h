/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's accesses to shared words.  The test sees each, and can delay the stores:
 * they stay in a buffer, as on a processor, until smp_mb().
 */
#ifndef QEMU_USER_ATOMIC_H
#define QEMU_USER_ATOMIC_H

#include <stddef.h>
#include <stdint.h>

/* In test-drain.c. */
void user_store(void *p, uint64_t value, size_t size);
void user_loaded(void);
void user_full_barrier(void);

#define user_load(p, order) \
    ({ \
        __typeof__(*(p)) value_ = __atomic_load_n(p, order); \
        user_loaded(); \
        value_; \
    })

#define qatomic_read(p) user_load(p, __ATOMIC_RELAXED)
#define qatomic_load_acquire(p) user_load(p, __ATOMIC_ACQUIRE)
#define qatomic_set(p, v) user_store(p, v, sizeof(*(p)))
#define qatomic_fetch_dec(p) __atomic_fetch_sub(p, 1, __ATOMIC_SEQ_CST)
#define smp_rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define smp_mb() user_full_barrier()

#endif
