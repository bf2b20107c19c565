/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A kernel that dies: last words, and a notice to the host.
 */
#ifndef _DDEBUG_DEATH_H
#define _DDEBUG_DEATH_H

void ddebug_death_init(void);
void ddebug_death_exit(void);

#endif /* _DDEBUG_DEATH_H */
