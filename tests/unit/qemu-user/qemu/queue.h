/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's lists have the interface of BSD's, which libc has. */
#ifndef QEMU_USER_QUEUE_H
#define QEMU_USER_QUEUE_H

#include <sys/queue.h>

#define QSIMPLEQ_HEAD(name, type) STAILQ_HEAD(name, type)
#define QSIMPLEQ_ENTRY(type) STAILQ_ENTRY(type)
#define QSIMPLEQ_INIT(head) STAILQ_INIT(head)
#define QSIMPLEQ_FIRST(head) STAILQ_FIRST(head)
#define QSIMPLEQ_INSERT_TAIL(head, elm, field) \
    STAILQ_INSERT_TAIL(head, elm, field)
#define QSIMPLEQ_REMOVE_HEAD(head, field) STAILQ_REMOVE_HEAD(head, field)
#define QSIMPLEQ_FOREACH(var, head, field) STAILQ_FOREACH(var, head, field)

/* Unlike BSD's, QEMU's QTAILQ_LAST() and _PREV() need no name of the head. */
#define QTAILQ_HEAD(name, type) TAILQ_HEAD(QTailHead, type)
#define QTAILQ_ENTRY(type) TAILQ_ENTRY(type)
#define QTAILQ_INIT(head) TAILQ_INIT(head)
#define QTAILQ_EMPTY(head) TAILQ_EMPTY(head)
#define QTAILQ_FIRST(head) TAILQ_FIRST(head)
#define QTAILQ_LAST(head) TAILQ_LAST(head, QTailHead)
#define QTAILQ_PREV(elm, field) TAILQ_PREV(elm, QTailHead, field)
#define QTAILQ_INSERT_TAIL(head, elm, field) \
    TAILQ_INSERT_TAIL(head, elm, field)
#define QTAILQ_INSERT_BEFORE(listelm, elm, field) \
    TAILQ_INSERT_BEFORE(listelm, elm, field)
#define QTAILQ_REMOVE(head, elm, field) TAILQ_REMOVE(head, elm, field)
#define QTAILQ_FOREACH(var, head, field) TAILQ_FOREACH(var, head, field)

#endif
