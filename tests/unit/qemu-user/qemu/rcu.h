/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QEMU_USER_RCU_H
#define QEMU_USER_RCU_H

#define rcu_register_thread() ((void)0)
#define rcu_unregister_thread() ((void)0)

#endif
