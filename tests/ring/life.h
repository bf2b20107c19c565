/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the guest's part of the test of rings' lives (life.c, built with kernel.h) and the
 * device's (life-device.c, built with GLib).
 */
#ifndef LIFE_H
#define LIFE_H

#include "stress.h"

#define LIFE_TEXT_MAX	1100

/* A message as the host has it. */
typedef struct LifeMessage {
    uint64_t time, number;
    uint32_t callsite, pid;
    bool packed;
    size_t len;
    char text[LIFE_TEXT_MAX];
} LifeMessage;

typedef struct LifeElement LifeElement;

/* The device gets an element, from position @start on. */
LifeElement *device_post(const StressStream *stream, uint64_t start);
void device_free(LifeElement *element);
/* The next message; false if there is none.  @format: of packed records of a callsite. */
bool device_next(LifeElement *element, LifeMessage *message, const char *(*format)(uint32_t callsite));
/* Does the device want to be notified? */
void device_want_kick(LifeElement *element, bool want);
/* Messages dropped in the guest before the sub-buffer that was read last. */
uint64_t device_dropped(const LifeElement *element);

#endif
