/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include "flood.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ddebug_record.h"
#include "virtio_ddebug.h"

enum { SHIFT = 14 };

void
flood_start (Flood *flood, const char *path, guint64 size)
{
  const DdebugLogInfo info = { .vm_name = "flood", .writer = "flood" };
  struct virtio_ddebug_attach attach = { .instance = GUINT64_TO_LE (1) };
  g_autoptr (GError) error = NULL;

  memset (flood, 0, sizeof *flood);
  flood->log = ddebug_log_open (path, size, &info, DDEBUG_LOG_OPEN_CREATE, &error);
  g_assert_no_error (error);
  g_assert_cmpint (ddebug_log_append_event (flood->log, DDEBUG_LOG_EVENT_OPEN, getpid (), 0, 0), ==, 0);
  g_assert_cmpint (ddebug_log_append_attach (flood->log, &attach, sizeof attach), ==, 0);
}

static void
put_message (GByteArray *out, guint cpu, guint64 number, guint32 delta)
{
  union
  {
    struct ddebug_rec_text rec;
    char bytes[sizeof (struct ddebug_rec_text) + 64];
  } record = { 0 };
  guint len = g_snprintf ((char *) record.rec.text, 64, "cpu%u number%" G_GUINT64_FORMAT ";", cpu, number);
  guint total = sizeof record.rec + len;

  record.rec.hdr.type_len = GUINT16_TO_LE (DDEBUG_REC_TEXT << DDEBUG_REC_TYPE_SHIFT | total);
  record.rec.hdr.seq = GUINT16_TO_LE (number & 0xffff);
  record.rec.hdr.delta = GUINT32_TO_LE (delta);
  g_byte_array_append (out, (void *) record.bytes, (total + 7) & ~7u);
}

/* The filled part of a sub-buffer. */
static void
write_span (Flood *flood, guint cpu, guint messages)
{
  g_autoptr (GByteArray) span = g_byte_array_new ();
  struct ddebug_subbuf_hdr hdr = {
    .pos = GUINT64_TO_LE (flood->subbuf[cpu] << SHIFT),
    .seq = GUINT64_TO_LE (flood->number[cpu]),
    .base = GUINT64_TO_LE (flood->time),
  };
  DdebugLogData data = {
    .epoch = ddebug_log_epoch (flood->log),
    .stream = cpu * VIRTIO_DDEBUG_NR_CTX,
    .cpu = cpu,
    .context = VIRTIO_DDEBUG_CTX_TASK,
    .subbuf_shift = SHIFT,
    .pass = flood->pass,
    .pos = flood->subbuf[cpu] << SHIFT,
  };

  g_byte_array_append (span, (void *) &hdr, sizeof hdr);
  for (guint i = 0; i < messages; i++)
    put_message (span, cpu, flood->number[cpu]++, i * 1000 + cpu);
  g_assert_cmpuint (span->len, <=, 1u << SHIFT);
  flood->subbuf[cpu]++;
  data.produced = flood->number[cpu];
  g_assert_cmpint (ddebug_log_append_data (flood->log, &data, span->data, span->len), ==, 0);
}

void
flood_pass (Flood *flood, guint messages, gboolean lose)
{
  flood->pass++;
  for (guint cpu = 0; cpu < FLOOD_CPUS; cpu++)
    {
      /* the guest lapped the device */
      if (lose && cpu == flood->pass % FLOOD_CPUS)
        {
          flood->number[cpu] += 1 + flood->pass % 1000;
          flood->subbuf[cpu] += 100;
        }
      write_span (flood, cpu, messages);
    }
  flood->time += messages * 1000;
}

void
flood_settle (Flood *flood)
{
  g_assert_cmpint (ddebug_log_write_state (flood->log, flood->pass), ==, 0);
}

void
flood_stop (Flood *flood)
{
  g_assert_cmpint (ddebug_log_append_event (flood->log, DDEBUG_LOG_EVENT_CLOSE, 0, 0, 0), ==, 0);
  ddebug_log_close (flood->log);
}

FloodLine
flood_parse (const char *line, guint *cpu, guint64 *value)
{
  const char *text = strstr (line, "] cpu");
  char plural[16];

  if (line[0] == '[' && text
      && sscanf (text, "] cpu%u number%" G_GINT64_MODIFIER "u;", cpu, value) == 2 && *cpu < FLOOD_CPUS)
    return FLOOD_MESSAGE;
  if ((sscanf (line, "-- %" G_GINT64_MODIFIER "u message%15s lost on cpu %u, task:", value, plural, cpu) == 3
       || sscanf (line, "-- %" G_GINT64_MODIFIER "u message lost on cpu %u, task:", value, cpu) == 2)
      && *cpu < FLOOD_CPUS)
    return FLOOD_LOST;
  return FLOOD_OTHER;
}
