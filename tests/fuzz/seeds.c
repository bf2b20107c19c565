/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * seeds FOLDER: writes inputs that fuzzing begins with, one folder for each
 * target: what a guest and a device would write, and each kind of damage once.
 */
#include <glib/gstdio.h>
#include <string.h>

#include "../unit/canned.h"

static const char *folder;

static void
save (const char *target, const char *name, const GByteArray *bytes)
{
  g_autofree char *dir = g_build_filename (folder, target, NULL);
  g_autofree char *path = g_build_filename (dir, name, NULL);
  g_autoptr (GError) error = NULL;

  g_mkdir_with_parents (dir, 0755);
  if (!g_file_set_contents (path, (const char *) bytes->data, bytes->len, &error))
    g_error ("%s", error->message);
}

static void
add (GByteArray *out, guint64 value, guint bytes)
{
  guint64 le = GUINT64_TO_LE (value);

  g_byte_array_append (out, (const void *) &le, bytes);
}

static void
add_bytes (GByteArray *out, const void *bytes, gsize len)
{
  g_byte_array_append (out, bytes, len);
}

/* ---- records ---- */

static void
add_record (Producer *p, guint type, guint len, guint32 delta)
{
  guint8 record[DDEBUG_REC_LEN_MASK + 1] = { 0 };
  struct ddebug_rec_hdr hdr = {
    .type_len = GUINT16_TO_LE (type << DDEBUG_REC_TYPE_SHIFT | len),
    .delta = GUINT32_TO_LE (delta),
  };

  memcpy (record, &hdr, sizeof hdr);
  producer_record (p, record, MAX (len, sizeof hdr));
}

static Producer *
every_record (void)
{
  Producer *p = producer_new (3, 1, 0);

  producer_say (p, 5000000000, 7, "usb 1-1: new device", 19);
  producer_say (p, 5000000001, 0, "", 0);
  producer_say (p, 15000000000, 8, "far\x1b[31m \xc3\xa4\nlines\r", 17);
  producer_packed (p, 5000000001, 7, NULL, "\1\0\0\0\2\0\0\0\3\0\0\0", 12);
  producer_packed (p, 5000000001, 70000, "[12] module: ", "\4\0name", 6);
  add_record (p, 15, 8, 0);
  producer_say (p, 5000000002, 9, "last", 4);
  return p;
}

static void
save_span (const char *name, guint shift, guint above, const guint8 *bytes, gsize len)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();

  add (out, shift, 1);
  add (out, above / 8, 2);
  add_bytes (out, bytes, len);
  save ("records", name, out);
}

static void
save_records (void)
{
  static const struct
  {
    const char *name;
    guint type, len;
    guint32 delta;
  } bad[] = {
    { "bad-type", DDEBUG_REC_NONE, 8, 0 },
    { "bad-length", DDEBUG_REC_TEXT, 12, 0 },
    { "bad-end", DDEBUG_REC_PAD, 8, 4096 },
    { "bad-pad", DDEBUG_REC_PAD, 8, 12 },
    { "bad-nowhere", DDEBUG_REC_PAD, 8, 0 },
    { "bad-time", DDEBUG_REC_TIME, 8, 0 },
  };
  g_autoptr (Producer) good = every_record ();
  g_autoptr (GByteArray) payload = g_byte_array_new ();
  struct ddebug_log_chunk chunk;

  producer_turn (good, 6);
  producer_take (good, &chunk, payload);
  save_span ("whole", good->shift, 0, payload->data, 256);
  save_span ("sub-buffer", good->shift, 0, payload->data, payload->len);
  save_span ("header-only", good->shift, 0, payload->data, 32);
  save_span ("wrong-shift", 11, 0, payload->data, 64);
  save_span ("askew", good->shift, 0, payload->data, 65);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (Producer) p = every_record ();

      add_record (p, bad[i].type, bad[i].len, bad[i].delta);
      save_span (bad[i].name, p->shift, 0, p->bytes->data, p->bytes->len);
    }
  /* in the midst of a sub-buffer: header, then what is left */
  g_byte_array_set_size (payload, 32);
  g_byte_array_append (payload, good->bytes->data + 72, 128);
  save_span ("middle", good->shift, 72, payload->data, payload->len);
}

/* ---- dictionary ---- */

static GByteArray *
callsite (guint32 id, const char *module, const char *function)
{
  GByteArray *out = g_byte_array_new ();
  gsize len = 24 + strlen (module) + strlen (function) + 5;

  add (out, (len + 7) / 8 * 8, 4);
  add (out, id, 4);
  add (out, 42, 4);
  add (out, 0, 2);
  add (out, strlen (module), 2);
  add (out, strlen (function), 2);
  add (out, 3, 2);
  add (out, 2, 2);
  add (out, 0, 2);
  add_bytes (out, module, strlen (module));
  add_bytes (out, function, strlen (function));
  add_bytes (out, "a.c%d", 5);
  add (out, 0, (8 - len % 8) % 8);
  return out;
}

static GByteArray *
attach (guint64 instance)
{
  GByteArray *out = g_byte_array_new ();
  struct virtio_ddebug_attach a = { .nr_cpus = GUINT32_TO_LE (2), .instance = GUINT64_TO_LE (instance) };

  strcpy ((char *) a.release, "6.1.0");
  strcpy ((char *) a.driver, "0.1");
  add_bytes (out, &a, sizeof a);
  return out;
}

static void
add_dict (GByteArray *out, guint kind, guint epoch, GByteArray *payload)
{
  add (out, kind, 1);
  add (out, epoch, 1);
  add (out, payload ? payload->len : 0, 2);
  if (payload)
    add_bytes (out, payload->data, payload->len);
  g_clear_pointer (&payload, g_byte_array_unref);
}

static void
save_dict (void)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  GByteArray *two = callsite (7, "xhci_hcd", "xhci_run");
  g_autoptr (GByteArray) other = callsite (8, "nfsd", "");

  add_bytes (two, other->data, other->len);
  add_dict (out, 0, 1, attach (77));
  add_dict (out, 1, 1, two);
  add_dict (out, 1, 1, callsite (7, "xhci_hcd", "again"));
  add_dict (out, 0, 2, attach (77));
  add_dict (out, 1, 2, callsite (1, "\x1b[2J\xff", "f"));
  save ("dict", "two-epochs", out);
  add_dict (out, 3, 2, NULL);
  add_dict (out, 1, 1, callsite (7, "late", "f"));
  save ("dict", "forgotten", out);
  add (out, 1, 1);
  add (out, 2, 1);
  add (out, 30, 2);
  add (out, 24, 4);
  save ("dict", "cut", out);
}

/* ---- formatter ---- */

static void
save_packed (void)
{
  static const struct
  {
    const char *name, *head, *format, *args;
    gsize len;
  } seeds[] = {
    { "integers", "", "urb %d len %u status %-5.3x|%+hd|%#o|%08hhX\n", "\1\0\0\0\2\0\0\0\xff\xff\xff\xff\4\0\0\0\5\0\0\0\6\0\0\0", 24 },
    { "longs", "", "%lld %zu% td %Lx", "\1\2\3\4\5\6\7\x88\1\2\3\4\5\6\7\x88\1\2\3\4\5\6\7\x88\1\2\3\4\5\6\7\x88", 32 },
    { "strings", "xhci_hcd 0000:00: ", "%s %-9.2s %pM %c%%\n", "\3\0abc\4\0defg\5\0xx:yyz\0\0\0", 22 },
    { "asterisks", "", "%*d %-*.*s %.*x %*%", "\5\0\0\0\1\0\0\0\xfb\xff\xff\xff\2\0\0\0\3\0abc\xff\xff\xff\xff\7\0\0\0\1\0\0\0", 33 },
    { "levels", "", "\1" "6%c%cx\n", "\1\0\0\0" "4\0\0\0", 8 },
    { "widths", "", "%960d%s", "\1\0\0\0\0\0", 6 },
    { "bad", "", "%n %", "", 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (seeds); i++)
    {
      g_autoptr (GByteArray) out = g_byte_array_new ();

      add (out, strlen (seeds[i].head), 1);
      add (out, strlen (seeds[i].format), 1);
      add_bytes (out, seeds[i].head, strlen (seeds[i].head));
      add_bytes (out, seeds[i].format, strlen (seeds[i].format));
      add_bytes (out, seeds[i].args, seeds[i].len);
      save ("packed", seeds[i].name, out);
    }
}

static void
save_format (void)
{
  static const char *const texts[] = {
    "plain text of an ordinary message",
    "\x1b[31mred\x07\x9b" "31m\xc2\x9b" "31m\x7f",
    "\xe2\x80\xae\xe2\x81\xa6\xd8\x9c\xe2\x80\x8f\xe2\x80\xa8\xef\xbb\xbf\xe2\x80\x8b",
    "two\nlines\n\nand a tab\t.\n",
    "\\x1b is no escape, \\ nor is \\x",
    "\xc3\xa4\xf0\x9f\x98\x80\xed\xa0\x80\xf5\x80\x80\x80\xc0\x80",
    "\r-- 5 messages lost --\r\n",
  };

  for (guint i = 0; i < 2 * G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GByteArray) out = g_byte_array_new ();
      g_autofree char *name = g_strdup_printf ("text-%u", i);

      add (out, i % 2 | 0x70, 1);
      add (out, 99, 1);
      add_bytes (out, texts[i / 2], strlen (texts[i / 2]));
      save ("format", name, out);
    }
}

/* ---- log: the operations of fuzz-log.c ---- */

enum { SEGMENT, CHUNK, RAW, SUPER, CUT, STATE, READ, STALE };

static void
op_segment (GByteArray *out, guint slot, guint type, guint seq, guint epoch, guint flags)
{
  const guint8 op[] = { SEGMENT, slot, type, seq, epoch, flags };

  add_bytes (out, op, sizeof op);
}

static void
op_chunk (GByteArray *out, guint type, guint flags, guint epoch, guint pass, guint64 pos, const void *payload,
          gsize len)
{
  const guint8 op[] = { CHUNK, type, flags, epoch, 3, 12, pass };

  add_bytes (out, op, sizeof op);
  add (out, pos / 8, 2);
  add (out, len, 2);
  add_bytes (out, payload, len);
}

static void
op_data (GByteArray *out, Producer *p, guint flags, guint pass, const char *text)
{
  g_autoptr (GByteArray) payload = g_byte_array_new ();
  struct ddebug_log_chunk chunk;

  producer_say (p, 1000000000 * pass, 7, text, strlen (text));
  producer_take (p, &chunk, payload);
  op_chunk (out, DDEBUG_LOG_CHUNK_DATA, flags, 1, pass, GUINT64_FROM_LE (chunk.pos), payload->data, payload->len);
}

static void
op_dict (GByteArray *out, guint epoch)
{
  g_autoptr (GByteArray) a = attach (epoch), c = callsite (7, "m", "f");

  op_chunk (out, DDEBUG_LOG_CHUNK_ATTACH, 0, epoch, 0, 0, a->data, a->len);
  op_chunk (out, DDEBUG_LOG_CHUNK_DICT, 0, epoch, 0, 0, c->data, c->len);
}

/* A dictionary, two data segments; @flags of what in the first of them, or in its header. */
static GByteArray *
log_with (guint seg_flags, guint first, guint middle, guint last)
{
  GByteArray *out = g_byte_array_new ();
  g_autoptr (Producer) p = producer_new (3, 1, 0);

  op_segment (out, 0, DDEBUG_LOG_SEG_DICT, 1, 1, 0);
  op_dict (out, 1);
  op_segment (out, 1, DDEBUG_LOG_SEG_DATA, 2, 1, seg_flags);
  op_data (out, p, first, 1, "first");
  op_data (out, p, middle, 1, "middle");
  op_data (out, p, last, 2, "last of it");
  op_segment (out, 2, DDEBUG_LOG_SEG_DATA, 3, 1, 0);
  op_data (out, p, 0, 5, "next");
  return out;
}

static void
save_log_with (const char *name, guint seg_flags, guint first, guint middle, guint last)
{
  g_autoptr (GByteArray) out = log_with (seg_flags, first, middle, last);

  save ("log", name, out);
}

static void
save_ops (const char *name, const void *ops, gsize len)
{
  g_autoptr (GByteArray) out = log_with (0, 0, 0, 0);

  add_bytes (out, ops, len);
  save ("log", name, out);
}

static void
save_live (void)
{
  static const guint8 read[] = { READ, 1 };
  static const guint8 state[] = { STATE, 2, READ, 1 };
  g_autoptr (GByteArray) out = log_with (0, 0, 0, 0);
  g_autoptr (Producer) p = producer_new (4, 0, 1);
  struct ddebug_log_event event = { .event = GUINT32_TO_LE (DDEBUG_LOG_EVENT_IO_LOST) };

  add_bytes (out, read, sizeof read);
  op_data (out, p, 1, 6, "damaged while it is read");
  add_bytes (out, read, sizeof read);
  op_chunk (out, DDEBUG_LOG_CHUNK_EVENT, 0, 1, 0, 0, &event, sizeof event);
  add_bytes (out, state, sizeof state);
  op_segment (out, 1, DDEBUG_LOG_SEG_DATA, 4, 2, 0);
  op_data (out, p, 2, 7, "payload");
  op_data (out, p, 0, 7, "more");
  add_bytes (out, read, sizeof read);
  save ("log", "live", out);
}

static void
save_log (void)
{
  static const guint8 cut[] = { CUT, 0x80, 0x02, 0x03 };
  static const guint8 cleared[] = { SUPER, 2, 3, 8, 0 };
  static const guint8 huge[] = { SUPER, 2, 0, 0xff, 0, READ, 0 };
  static const guint8 other[] = { READ, 1, SUPER, 2, 0, 8, 4, READ, 1 };
  static const guint8 stale[] = { SEGMENT, 1, 1, 9, 1, 0 };
  static const guint8 raw[] = { RAW, 0x40, 0x00, 0x03, 2, 0xff, 0xff };
  static const guint8 given_up[] = { RAW, 0x00, 0x00, 0x03, 4, 0, 0, 0, 0, READ, 1 };

  save_log_with ("good", 0, 0, 0, 0);
  save_log_with ("headless", 1, 0, 0, 0);
  save_log_with ("slot-lost", 1, 1, 0, 0);
  save_log_with ("first-header", 0, 1, 0, 0);
  save_log_with ("middle-payload", 0, 0, 2, 0);
  save_log_with ("middle-place", 0, 0, 4, 0);
  save_log_with ("last-header", 0, 0, 0, 1);
  save_log_with ("last-length", 0, 0, 0, 16);
  save_ops ("cut", cut, sizeof cut);
  save_ops ("cleared", cleared, sizeof cleared);
  save_ops ("huge", huge, sizeof huge);
  save_ops ("other", other, sizeof other);
  save_ops ("stale", stale, sizeof stale);
  save_ops ("raw", raw, sizeof raw);
  save_ops ("given-up", given_up, sizeof given_up);
  save_live ();
}

int
main (int argc, char **argv)
{
  if (argc != 2)
    g_error ("usage: seeds FOLDER");
  folder = argv[1];
  save_records ();
  save_dict ();
  save_packed ();
  save_format ();
  save_log ();
  return 0;
}
