/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "canned.h"

#include <glib/gstdio.h>
#include <string.h>

/* Computed bit by bit from the polynomial; a table by byte makes it fast enough. */
guint32
canned_crc (const void *data, gsize len)
{
  static guint32 table[256];
  const guint8 *p = data;
  guint32 crc = ~0u;

  if (!table[255])
    for (guint i = 0; i < 256; i++)
      {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
          table[i] = table[i] & 1 ? table[i] >> 1 ^ 0x82f63b78 : table[i] >> 1;
      }
  while (len--)
    crc = table[(crc ^ *p++) & 0xff] ^ crc >> 8;
  return ~crc;
}

/* ---- a stream ---- */

Producer *
producer_new (guint32 id, guint32 cpu, guint8 context)
{
  Producer *p = g_new0 (Producer, 1);

  p->id = id;
  p->cpu = cpu;
  p->context = context;
  p->shift = 12;
  p->bytes = g_byte_array_new ();
  return p;
}

void
producer_free (Producer *p)
{
  g_byte_array_unref (p->bytes);
  g_free (p);
}

static gsize
room (Producer *p)
{
  gsize size = (gsize) 1 << p->shift;

  return (size - p->bytes->len % size) % size;
}

static void
append_zeros (Producer *p, gsize n)
{
  gsize at = p->bytes->len;

  g_byte_array_set_size (p->bytes, at + n);
  memset (p->bytes->data + at, 0, n);
}

static void
begin_subbuf (Producer *p, guint64 time)
{
  struct ddebug_subbuf_hdr hdr = {
    .pos = GUINT64_TO_LE (p->bytes->len),
    .seq = GUINT64_TO_LE (p->number),
    .base = GUINT64_TO_LE (time),
    .lost = GUINT64_TO_LE (p->recursed + p->torn),
  };

  p->base = time;
  g_byte_array_append (p->bytes, (void *) &hdr, sizeof hdr);
}

void
producer_record (Producer *p, const void *record, gsize len)
{
  g_byte_array_append (p->bytes, record, len);
  append_zeros (p, (8 - len % 8) % 8);
}

void
producer_turn (Producer *p, guint64 time)
{
  gsize n = room (p);

  if (n)
    {
      struct ddebug_rec_hdr pad = {
        .type_len = GUINT16_TO_LE (DDEBUG_REC_PAD << DDEBUG_REC_TYPE_SHIFT | sizeof pad),
        .delta = GUINT32_TO_LE (n),
      };

      g_byte_array_append (p->bytes, (void *) &pad, sizeof pad);
      append_zeros (p, n - sizeof pad);
    }
  begin_subbuf (p, time);
}

/* Fill in the header of the message in @rec, of @total bytes. */
static void
commit (Producer *p, guint64 time, guint type, struct ddebug_rec_hdr *rec, gsize total)
{
  guint64 from;

  g_assert_cmpuint (total, <=, DDEBUG_REC_LEN_MASK);
  if (p->bytes->len == 0)
    begin_subbuf (p, time);
  if (room (p) < sizeof (struct ddebug_rec_time) + ((total + 7) & ~7ul))
    producer_turn (p, time);
  from = p->base;
  if (time - from > G_MAXUINT32)
    {
      struct ddebug_rec_time t = {
        .hdr.type_len = GUINT16_TO_LE (DDEBUG_REC_TIME << DDEBUG_REC_TYPE_SHIFT | sizeof t),
        .time = GUINT64_TO_LE (time),
      };

      producer_record (p, &t, sizeof t);
      from = time;
    }
  rec->type_len = GUINT16_TO_LE (type << DDEBUG_REC_TYPE_SHIFT | total);
  rec->seq = GUINT16_TO_LE (p->number & 0xffff);
  rec->delta = GUINT32_TO_LE (time - from);
  producer_record (p, rec, total);
  p->number++;
}

static void
say (Producer *p, guint64 time, guint type, guint32 word, const void *text, gsize len)
{
  g_autofree struct ddebug_rec_text *rec = g_malloc0 (sizeof *rec + len);

  rec->callsite = GUINT32_TO_LE (word);
  memcpy (rec->text, text, len);
  commit (p, time, type, &rec->hdr, sizeof *rec + len);
}

void
producer_say (Producer *p, guint64 time, guint32 callsite, const void *text, gsize len)
{
  say (p, time, DDEBUG_REC_TEXT, callsite, text, len);
}

void
producer_kmsg (Producer *p, guint64 time, guint32 flags, const char *text)
{
  say (p, time, DDEBUG_REC_KMSG, flags, text, strlen (text));
}

void
producer_packed (Producer *p, guint64 time, guint32 callsite, const char *head, const void *args, gsize len)
{
  g_autofree struct ddebug_rec_packed_wide *wide = g_malloc0 (sizeof *wide + (head ? strlen (head) : 0) + len);
  struct ddebug_rec_packed *rec = (void *) wide;

  if (head)
    {
      wide->head_len = GUINT16_TO_LE (strlen (head));
      wide->callsite = GUINT32_TO_LE (callsite);
      memcpy (wide->bytes, head, strlen (head));
      memcpy (wide->bytes + strlen (head), args, len);
      commit (p, time, DDEBUG_REC_PACKED, &wide->hdr, sizeof *wide + strlen (head) + len);
      return;
    }
  rec->callsite = GUINT16_TO_LE (callsite);
  memcpy (rec->args, args, len);
  commit (p, time, DDEBUG_REC_PACKED, &rec->hdr, sizeof *rec + len);
}

void
producer_printf (Producer *p, guint64 time, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  producer_say (p, time, 0, text, strlen (text));
}

gboolean
producer_take (Producer *p, struct ddebug_log_chunk *chunk, GByteArray *payload)
{
  guint64 size = 1ull << p->shift;
  guint64 begin = p->taken / size * size;
  guint64 end = MIN (begin + size, p->bytes->len);

  if (p->taken >= p->bytes->len)
    return FALSE;
  memset (chunk, 0, sizeof *chunk);
  chunk->type = GUINT16_TO_LE (DDEBUG_LOG_CHUNK_DATA);
  chunk->stream = GUINT32_TO_LE (p->id);
  chunk->cpu = GUINT32_TO_LE (p->cpu);
  chunk->context = p->context;
  chunk->subbuf_shift = p->shift;
  chunk->pos = GUINT64_TO_LE (p->taken);
  chunk->produced = GUINT64_TO_LE (p->number);
  chunk->recursed = GUINT64_TO_LE (p->recursed);
  chunk->torn = GUINT64_TO_LE (p->torn);
  g_byte_array_set_size (payload, 0);
  if (p->taken != begin)
    g_byte_array_append (payload, p->bytes->data + begin, sizeof (struct ddebug_subbuf_hdr));
  g_byte_array_append (payload, p->bytes->data + p->taken, end - p->taken);
  p->taken = end;
  return TRUE;
}

void
producer_lap (Producer *p, guint64 pos)
{
  p->taken = MAX (p->taken, pos);
}

/* ---- a file ---- */

Canned *
canned_new (guint64 nr_segs)
{
  return canned_new_shm (nr_segs, 0);
}

Canned *
canned_new_shm (guint64 nr_segs, guint64 shm_size)
{
  Canned *c = g_new0 (Canned, 1);

  c->seg_size = DDEBUG_LOG_SEG_SIZE_MIN;
  c->nr_segs = nr_segs;
  c->shm_size = shm_size;
  c->size = DDEBUG_LOG_SEGS_OFF + shm_size + nr_segs * c->seg_size;
  c->bytes = g_malloc0 (c->size);
  memcpy (c->super.magic, DDEBUG_LOG_MAGIC, sizeof c->super.magic);
  c->super.version = GUINT32_TO_LE (1);
  c->super.seg_size = GUINT32_TO_LE (c->seg_size);
  c->super.size = GUINT64_TO_LE (c->size);
  c->super.nr_segs = GUINT64_TO_LE (nr_segs);
  c->super.shm_size = GUINT64_TO_LE (shm_size);
  c->super.incompat = GUINT32_TO_LE (shm_size ? DDEBUG_LOG_INCOMPAT_SHM : 0);
  c->super.created = GUINT64_TO_LE (1700000000ull * 1000000000);
  c->super.opened = GUINT64_TO_LE (1700000100ull * 1000000000);
  c->super.writer_pid = GUINT32_TO_LE (4711);
  memset (c->super.uuid, 0x5a, sizeof c->super.uuid);
  c->realtime = 1700000200ull * 1000000000;
  strcpy ((char *) c->super.vm_name, "canned");
  strcpy ((char *) c->super.writer, "canned 1");
  canned_super (c, 1);
  return c;
}

void
canned_free (Canned *c)
{
  g_free (c->bytes);
  g_free (c);
}

void
canned_super (Canned *c, guint64 generation)
{
  c->super.generation = GUINT64_TO_LE (generation);
  c->super.crc = GUINT32_TO_LE (canned_crc (&c->super, offsetof (struct ddebug_log_super, crc)));
  memcpy (c->bytes + DDEBUG_LOG_SUPER_OFF (generation % 2), &c->super, sizeof c->super);
}

static guint8 *
slot_bytes (Canned *c, guint64 slot)
{
  return c->bytes + DDEBUG_LOG_SEGS_OFF + c->shm_size + slot * c->seg_size;
}

void
canned_segment (Canned *c, guint64 slot, guint32 type, guint32 epoch)
{
  struct ddebug_log_seg seg = {
    .magic = GUINT32_TO_LE (DDEBUG_LOG_SEG_MAGIC),
    .type = GUINT32_TO_LE (type),
    .seq = GUINT64_TO_LE (++c->seg_seq),
    .epoch = GUINT32_TO_LE (epoch),
    .tag = GUINT32_TO_LE (c->tag),
  };

  seg.crc = GUINT32_TO_LE (canned_crc (&seg, offsetof (struct ddebug_log_seg, crc)));
  memcpy (slot_bytes (c, slot), &seg, sizeof seg);
  c->slot[type] = slot;
  c->off[type] = sizeof seg;
  c->seq[type] = c->seg_seq;
}

void
canned_chunk (Canned *c, struct ddebug_log_chunk chunk, const void *payload, gsize len)
{
  guint16 type = GUINT16_FROM_LE (chunk.type);
  guint kind = type == DDEBUG_LOG_CHUNK_ATTACH || type == DDEBUG_LOG_CHUNK_DICT ? DDEBUG_LOG_SEG_DICT
                                                                               : DDEBUG_LOG_SEG_DATA;
  gsize padded = (len + 7) & ~7ul;
  guint8 *at = slot_bytes (c, c->slot[kind]) + c->off[kind];

  g_assert_cmpuint (c->off[kind] + sizeof chunk + padded, <=, c->seg_size);
  chunk.magic = GUINT32_TO_LE (DDEBUG_LOG_CHUNK_MAGIC);
  chunk.seg_seq = GUINT64_TO_LE (c->seq[kind]);
  chunk.off = GUINT32_TO_LE (c->off[kind]);
  chunk.len = GUINT32_TO_LE (len);
  chunk.chunk_seq = GUINT64_TO_LE (++c->chunk_seq);
  chunk.tag = GUINT32_TO_LE (c->tag);
  chunk.realtime = GUINT64_TO_LE (c->realtime);
  chunk.monotonic = GUINT64_TO_LE (c->monotonic);
  chunk.payload_crc = GUINT32_TO_LE (canned_crc (payload, len));
  chunk.crc = GUINT32_TO_LE (canned_crc (&chunk, offsetof (struct ddebug_log_chunk, crc)));
  memcpy (at, &chunk, sizeof chunk);
  memcpy (at + sizeof chunk, payload, len);
  memset (at + sizeof chunk + len, 0, padded - len);
  c->last_off = c->off[kind];
  c->last_slot = c->slot[kind];
  c->off[kind] += sizeof chunk + padded;
}

void
canned_attach (Canned *c, guint32 epoch, guint64 instance, guint8 boot)
{
  struct ddebug_log_chunk chunk = { .type = GUINT16_TO_LE (DDEBUG_LOG_CHUNK_ATTACH), .epoch = GUINT32_TO_LE (epoch) };
  struct virtio_ddebug_attach attach = {
    .abi_version = GUINT32_TO_LE (1), .nr_cpus = GUINT32_TO_LE (2), .instance = GUINT64_TO_LE (instance),
  };

  memset (attach.boot_id, boot, sizeof attach.boot_id);
  strcpy ((char *) attach.release, "6.1.0-56-amd64");
  strcpy ((char *) attach.driver, "0.1");
  canned_chunk (c, chunk, &attach, sizeof attach);
}

void
canned_dict (Canned *c, guint32 epoch, guint32 id, guint32 line, const char *module, const char *function)
{
  struct ddebug_log_chunk chunk = { .type = GUINT16_TO_LE (DDEBUG_LOG_CHUNK_DICT), .epoch = GUINT32_TO_LE (epoch) };
  g_autoptr (GByteArray) entry = g_byte_array_new ();
  struct ddebug_callsite site = {
    .id = GUINT32_TO_LE (id),
    .line = GUINT32_TO_LE (line),
    .module_len = GUINT16_TO_LE (strlen (module)),
    .function_len = GUINT16_TO_LE (strlen (function)),
    .file_len = GUINT16_TO_LE (3),
    .format_len = GUINT16_TO_LE (2),
  };
  guint len = (sizeof site + strlen (module) + strlen (function) + 5 + 7) & ~7u;

  site.len = GUINT32_TO_LE (len);
  g_byte_array_append (entry, (void *) &site, sizeof site);
  g_byte_array_append (entry, (const void *) module, strlen (module));
  g_byte_array_append (entry, (const void *) function, strlen (function));
  g_byte_array_append (entry, (const void *) "a.c%d\0\0\0\0\0\0\0", len - entry->len);
  canned_chunk (c, chunk, entry->data, entry->len);
}

void
canned_event (Canned *c, guint32 epoch, guint32 event, guint64 arg0, guint64 arg1)
{
  struct ddebug_log_chunk chunk = { .type = GUINT16_TO_LE (DDEBUG_LOG_CHUNK_EVENT), .epoch = GUINT32_TO_LE (epoch) };
  struct ddebug_log_event e = { .event = GUINT32_TO_LE (event), .arg = { GUINT64_TO_LE (arg0), GUINT64_TO_LE (arg1) } };

  canned_chunk (c, chunk, &e, sizeof e);
}

void
canned_take (Canned *c, Producer *p, guint32 epoch, guint64 pass)
{
  g_autoptr (GByteArray) payload = g_byte_array_new ();
  struct ddebug_log_chunk chunk;

  while (producer_take (p, &chunk, payload))
    {
      chunk.epoch = GUINT32_TO_LE (epoch);
      chunk.pass = GUINT64_TO_LE (pass);
      canned_chunk (c, chunk, payload->data, payload->len);
    }
}

void
canned_state (Canned *c, guint64 settled_pass)
{
  struct ddebug_log_state state = {
    .magic = GUINT32_TO_LE (DDEBUG_LOG_STATE_MAGIC),
    .settled_pass = GUINT64_TO_LE (settled_pass),
    .seg_seq = GUINT64_TO_LE (c->seq[DDEBUG_LOG_SEG_DATA]),
  };

  state.crc = GUINT32_TO_LE (canned_crc (&state, offsetof (struct ddebug_log_state, crc)));
  memcpy (c->bytes + DDEBUG_LOG_STATE_OFF, &state, sizeof state);
}

void
canned_sync_lost (Canned *c, guint32 epoch, guint64 first, guint64 last, guint64 error)
{
  struct ddebug_log_chunk chunk = { .type = GUINT16_TO_LE (DDEBUG_LOG_CHUNK_EVENT), .epoch = GUINT32_TO_LE (epoch) };
  struct ddebug_log_event event = {
    .event = GUINT32_TO_LE (DDEBUG_LOG_EVENT_SYNC_LOST),
    .arg = { GUINT64_TO_LE (first), GUINT64_TO_LE (last), GUINT64_TO_LE (error) },
  };

  canned_chunk (c, chunk, &event, sizeof event);
}

void
canned_sync (Canned *c, guint64 written, guint64 synced, guint64 failed)
{
  struct ddebug_log_sync sync = {
    .magic = GUINT32_TO_LE (DDEBUG_LOG_SYNC_MAGIC),
    .interval = GUINT32_TO_LE (5),
    .written = GUINT64_TO_LE (written),
    .synced = GUINT64_TO_LE (synced),
    .realtime = GUINT64_TO_LE (synced ? c->realtime : 0),
    .failed = GUINT64_TO_LE (failed),
  };

  sync.crc = GUINT32_TO_LE (canned_crc (&sync, offsetof (struct ddebug_log_sync, crc)));
  memcpy (c->bytes + DDEBUG_LOG_SYNC_OFF, &sync, sizeof sync);
}

gsize
canned_last (Canned *c)
{
  return DDEBUG_LOG_SEGS_OFF + c->shm_size + c->last_slot * c->seg_size + c->last_off;
}

void
canned_write (Canned *c, const char *path)
{
  g_autoptr (GError) error = NULL;

  g_file_set_contents_full (path, (char *) c->bytes, c->size, G_FILE_SET_CONTENTS_NONE, 0644, &error);
  g_assert_no_error (error);
}

/* ---- allocations ---- */

#ifdef COUNTS_ALLOCATIONS
/* From the sanitizer's interface, whose headers Debian's gcc lacks; returns 0 if it has no room. */
int __sanitizer_install_malloc_and_free_hooks (void (*on_malloc) (const volatile void *, size_t),
                                               void (*on_free) (const volatile void *));

static guint64 n_allocations;

static void
on_malloc (const volatile void *memory, size_t size)
{
  (void) memory;
  (void) size;
  n_allocations++;
}

static void
on_free (const volatile void *memory)
{
  (void) memory;
}

guint64
allocations (void)
{
  static gboolean hooked;

  if (!hooked)
    g_assert_cmpint (__sanitizer_install_malloc_and_free_hooks (on_malloc, on_free), !=, 0);
  hooked = TRUE;
  return n_allocations;
}
#endif

/* ---- a directory ---- */

char *
scratch_new (void)
{
  g_autoptr (GError) error = NULL;
  char *path = g_dir_make_tmp ("ddebug-test-XXXXXX", &error);

  g_assert_no_error (error);
  return path;
}

void
scratch_free (char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir)))
    {
      g_autofree char *file = g_build_filename (path, name, NULL);

      if (g_remove (file) != 0)
        g_rmdir (file);
    }
  g_rmdir (path);
  g_free (path);
}

void
log_folder_set_up (LogFolder *f, gconstpointer data)
{
  (void) data;
  f->dir = scratch_new ();
  f->path = g_build_filename (f->dir, "vm.log", NULL);
}

void
log_folder_tear_down (LogFolder *f, gconstpointer data)
{
  (void) data;
  g_free (f->path);
  scratch_free (f->dir);
}
