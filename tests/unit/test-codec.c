/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The codec reads every kind of record, and no bytes of a guest make it read beside its payload or say what is not there. */
#include <string.h>

#include "canned.h"
#include "ddebug-codec.h"

/* A payload, in an allocation of exactly its size, so that the sanitizer sees a byte too far. */
typedef struct
{
  DdebugChunk chunk;
  guint8 *bytes;
} Payload;

static void
payload_set (Payload *payload, const Producer *p, guint64 pos, const guint8 *bytes, gsize len)
{
  memset (payload, 0, sizeof *payload);
  payload->bytes = g_memdup2 (bytes, len);
  payload->chunk.type = DDEBUG_LOG_CHUNK_DATA;
  payload->chunk.subbuf_shift = p->shift;
  payload->chunk.pos = pos;
  payload->chunk.len = len;
  payload->chunk.payload = payload->bytes;
}

/* The next span of @p, as the device would have put it. */
static gboolean
payload_take (Payload *payload, Producer *p)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  struct ddebug_log_chunk chunk;

  if (!producer_take (p, &chunk, bytes))
    return FALSE;
  payload_set (payload, p, GUINT64_FROM_LE (chunk.pos), bytes->data, bytes->len);
  return TRUE;
}

static void
assert_text (const DdebugMessage *m, const char *text)
{
  g_assert_cmpmem (m->text, m->len, text, strlen (text));
}

static void
test_text (void)
{
  g_autoptr (Producer) p = producer_new (0, 0, 0);
  DdebugMessage m;
  DdebugSpan span;
  Payload payload;

  producer_say (p, 1000, 7, "one", 3);
  producer_say (p, 2500, 8, "", 0);
  producer_say (p, 2500, 9, "three chars \0 in", 16);
  g_assert_true (payload_take (&payload, p));
  ddebug_span_init (&span, &payload.chunk);
  g_assert_true (ddebug_span_next (&span, &m));
  g_assert_cmpuint (m.time, ==, 1000);
  g_assert_cmpuint (m.number, ==, 0);
  g_assert_cmpuint (m.callsite, ==, 7);
  assert_text (&m, "one");
  g_assert_true (ddebug_span_next (&span, &m));
  g_assert_cmpuint (m.time, ==, 2500);
  g_assert_cmpuint (m.number, ==, 1);
  g_assert_cmpuint (m.len, ==, 0);
  g_assert_true (ddebug_span_next (&span, &m));
  g_assert_cmpmem (m.text, m.len, "three chars \0 in", 16);
  g_assert_false (ddebug_span_next (&span, &m));
  g_assert_false (ddebug_span_next (&span, &m));
  g_assert_null (span.damage);
  g_assert_cmpuint (span.unknown, ==, 0);
  g_assert_cmpuint (span.end_pos, ==, p->bytes->len);
  g_free (payload.bytes);
}

/* The longest text that a record can carry, and the longest that printk makes. */
static void
test_longest (void)
{
  g_autoptr (Producer) p = producer_new (0, 0, 0);
  char text[DDEBUG_REC_LEN_MASK - sizeof (struct ddebug_rec_text)];
  DdebugMessage m;
  DdebugSpan span;
  Payload payload;

  memset (text, 'x', sizeof text);
  p->shift = 14;
  producer_say (p, 1, 0, text, DDEBUG_TEXT_MAX);
  producer_say (p, 1, 0, text, sizeof text);
  g_assert_true (payload_take (&payload, p));
  ddebug_span_init (&span, &payload.chunk);
  g_assert_true (ddebug_span_next (&span, &m));
  g_assert_cmpmem (m.text, m.len, text, DDEBUG_TEXT_MAX);
  g_assert_true (ddebug_span_next (&span, &m));
  g_assert_cmpmem (m.text, m.len, text, sizeof text);
  g_assert_false (ddebug_span_next (&span, &m));
  g_assert_null (span.damage);
  g_free (payload.bytes);
}

/* A TIME record counts for the next record only. */
static void
test_time (void)
{
  g_autoptr (Producer) p = producer_new (0, 0, 0);
  const guint64 far = 3600ull * 1000000000;
  DdebugMessage m;
  DdebugSpan span;
  Payload payload;

  producer_printf (p, 5, "near");
  producer_printf (p, 5ull + G_MAXUINT32, "last that 32 bits reach");
  producer_printf (p, far, "far");
  producer_printf (p, 9, "near again");
  g_assert_true (payload_take (&payload, p));
  ddebug_span_init (&span, &payload.chunk);
  g_assert_true (ddebug_span_next (&span, &m) && m.time == 5);
  g_assert_true (ddebug_span_next (&span, &m) && m.time == 5ull + G_MAXUINT32);
  g_assert_true (ddebug_span_next (&span, &m) && m.time == far);
  g_assert_true (ddebug_span_next (&span, &m) && m.time == 9);
  g_assert_false (ddebug_span_next (&span, &m));
  g_assert_null (span.damage);
  g_free (payload.bytes);
}

/* Over sub-buffers, with PAD records between, taken in one piece each. */
static void
test_subbufs (void)
{
  g_autoptr (Producer) p = producer_new (0, 0, 0);
  guint64 number = 0;
  Payload payload;

  for (int i = 0; i < 1000; i++)
    producer_printf (p, i, "message %d", i);
  while (payload_take (&payload, p))
    {
      DdebugMessage m;
      DdebugSpan span;

      ddebug_span_init (&span, &payload.chunk);
      while (ddebug_span_next (&span, &m))
        {
          g_autofree char *text = g_strdup_printf ("message %u", (guint) number);

          g_assert_cmpuint (m.number, ==, number);
          g_assert_cmpuint (m.time, ==, number);
          assert_text (&m, text);
          number++;
        }
      g_assert_null (span.damage);
      g_free (payload.bytes);
    }
  g_assert_cmpuint (number, ==, 1000);
}

/* Whatever record a device or a reader begins at, the rest is the same. */
static void
test_any_start (void)
{
  for (guint first = 0; first < 40; first++)
    {
      g_autoptr (Producer) p = producer_new (0, 0, 0);
      guint64 from = 0, number = first;
      DdebugMessage m;
      DdebugSpan span;
      Payload payload;

      for (guint i = 0; i < 40; i++)
        {
          if (i == first)
            from = p->bytes->len;
          producer_printf (p, 100 + i, "message %u%.*s", i, (int) (i % 9), "xxxxxxxxx");
        }
      producer_lap (p, from);
      g_assert_true (payload_take (&payload, p));
      ddebug_span_init (&span, &payload.chunk);
      for (; ddebug_span_next (&span, &m); number++)
        {
          g_assert_cmpuint (m.number, ==, number);
          g_assert_cmpuint (m.time, ==, 100 + number);
        }
      g_assert_cmpuint (number, ==, 40);
      g_assert_null (span.damage);
      g_free (payload.bytes);
    }
}

/* Sixteen bits of the number are in the record, the rest follows from the sub-buffer's header. */
static void
test_number_wraps (void)
{
  static const guint64 firsts[] = {
    0, 1, 65530, 65535, 65536, 0xfffffff0, 0x100000000, 0x123456789abcfffe, G_MAXUINT64 - 70000,
  };

  for (guint f = 0; f < G_N_ELEMENTS (firsts); f++)
    {
      g_autoptr (Producer) p = producer_new (0, 0, 0);
      guint64 number = firsts[f];
      DdebugMessage m;
      DdebugSpan span;
      Payload payload;

      p->number = number;
      for (int i = 0; i < 100; i++)
        producer_say (p, i, 0, "x", 1);
      g_assert_true (payload_take (&payload, p));
      ddebug_span_init (&span, &payload.chunk);
      while (ddebug_span_next (&span, &m))
        g_assert_cmpuint (m.number, ==, number++);
      g_assert_cmpuint (number, ==, firsts[f] + 100);
      g_free (payload.bytes);
    }
}

static struct ddebug_rec_hdr
header (guint type, guint len, guint32 delta)
{
  struct ddebug_rec_hdr hdr = {
    .type_len = GUINT16_TO_LE (type << DDEBUG_REC_TYPE_SHIFT | len),
    .delta = GUINT32_TO_LE (delta),
  };

  return hdr;
}

/* A message, @len bytes of @record, a message: how many are read, and what is said. */
static guint
read_around (const void *record, gsize len, guint *unknown, const char **damage)
{
  g_autoptr (Producer) p = producer_new (0, 0, 0);
  DdebugMessage m;
  DdebugSpan span;
  Payload payload;
  guint n = 0;

  producer_printf (p, 1, "before");
  producer_record (p, record, len);
  producer_printf (p, 2, "behind");
  g_assert_true (payload_take (&payload, p));
  ddebug_span_init (&span, &payload.chunk);
  while (ddebug_span_next (&span, &m))
    n++;
  *unknown = span.unknown;
  *damage = span.damage;
  g_free (payload.bytes);
  return n;
}

/* Both layouts of packed records, with heads and arguments of any length. */
static void
test_packed (void)
{
  g_autoptr (Producer) p = producer_new (0, 0, 0);
  static const guint8 args[32] = "0123456789abcdefghijklmnopqrstu";
  DdebugMessage m;
  DdebugSpan span;
  Payload payload;

  for (guint len = 0; len <= sizeof args; len++)
    {
      producer_packed (p, len, 65535, NULL, args, len);
      producer_packed (p, len, 65536 + len, len % 2 ? "head" : "", args, len);
    }
  g_assert_true (payload_take (&payload, p));
  ddebug_span_init (&span, &payload.chunk);
  for (guint n = 0; n <= 2 * sizeof args + 1; n++)
    {
      guint len = n / 2;

      g_assert_true (ddebug_span_next (&span, &m));
      g_assert_cmpuint (m.number, ==, n);
      g_assert_cmpuint (m.time, ==, len);
      g_assert_false (m.is_kmsg);
      g_assert_cmpuint (m.callsite, ==, n % 2 ? 65536 + len : 65535);
      assert_text (&m, n % 2 && len % 2 ? "head" : "");
      g_assert_cmpmem (m.args, m.args_len, args, len);
    }
  g_assert_false (ddebug_span_next (&span, &m));
  g_assert_null (span.damage);
  g_free (payload.bytes);
}

/* A head ends within its record. */
static void
test_packed_bounds (void)
{
  static const guint16 heads[] = { 0, 1, 7, 8, 9, 255, G_MAXUINT16 };

  for (guint i = 0; i < G_N_ELEMENTS (heads); i++)
    {
      g_autoptr (Producer) p = producer_new (0, 0, 0);
      struct ddebug_rec_packed_wide wide = {
        .hdr = header (DDEBUG_REC_PACKED, sizeof wide + 8, 0),
        .head_len = GUINT16_TO_LE (heads[i]),
        .callsite = GUINT32_TO_LE (5),
        .pid = GUINT32_TO_LE (4194304),
      };
      gboolean good = heads[i] <= 8;
      guint8 rec[sizeof wide + 8] = { 0 };
      DdebugMessage m;
      DdebugSpan span;
      Payload payload;

      memcpy (rec, &wide, sizeof wide);
      producer_printf (p, 1, "before");
      producer_record (p, rec, sizeof rec);
      g_assert_true (payload_take (&payload, p));
      ddebug_span_init (&span, &payload.chunk);
      g_assert_true (ddebug_span_next (&span, &m));
      g_assert_true (m.args == NULL && m.args_len == 0);
      g_assert_true (ddebug_span_next (&span, &m) == good);
      g_assert_true ((span.damage == NULL) == good);
      if (good)
        {
          g_assert_cmpuint (m.pid, ==, 4194304);
          g_assert_cmpuint (m.len, ==, heads[i]);
          g_assert_cmpuint (m.args_len, ==, 8 - heads[i]);
        }
      g_free (payload.bytes);
    }
}

/* Every type with every length: skipped if it is possible, given up if it is not. */
static void
test_all_headers (void)
{
  for (guint type = 0; type < 16; type++)
    for (guint len = 0; len <= 64; len++)
      {
        guint8 bytes[64] = { 0 };
        struct ddebug_rec_hdr hdr = header (type, len, 64);
        gboolean message = type == DDEBUG_REC_TEXT || type == DDEBUG_REC_KMSG || type == DDEBUG_REC_PACKED;
        /* without an id in the place of the shorter layout, a packed record has the longer one */
        guint least = type == DDEBUG_REC_PACKED ? 20 : message || type == DDEBUG_REC_TIME ? 16
                      : type == DDEBUG_REC_LOSS ? 24 : 8;
        guint padded = type == DDEBUG_REC_PAD ? 64 : (len + 7) & ~7u;
        gboolean good = type != DDEBUG_REC_NONE && len >= least;
        gboolean other = type > DDEBUG_REC_LOSS;
        guint unknown, n;
        const char *damage;

        memcpy (bytes, &hdr, sizeof hdr);
        n = read_around (bytes, good ? padded : 64, &unknown, &damage);
        g_assert_cmpuint (n, ==, (good ? 2 : 1) + (good && message));
        g_assert_cmpuint (unknown, ==, good && other);
        g_assert_true ((damage == NULL) == good);
      }
}

/* PAD says how far in all: up to the end exactly, not beyond, not nowhere, not askew. */
static void
test_pads (void)
{
  static const struct
  {
    gint64 beyond;
    guint32 delta;
    gboolean good;
  } cases[] = {
    { 0, 0, TRUE }, { -8, 0, TRUE }, { 8, 0, FALSE }, { 1, 0, FALSE }, { -4, 0, FALSE },
    { 0, 1, FALSE }, { 0, 4, FALSE }, { 0, 0xfffffff8, FALSE }, { 0, G_MAXUINT32, FALSE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Producer) p = producer_new (0, 0, 0);
      struct ddebug_rec_hdr hdr;
      DdebugMessage m;
      DdebugSpan span;
      Payload payload;
      guint8 zeros[32] = { 0 };
      guint n = 0;

      producer_printf (p, 1, "before");
      hdr = header (DDEBUG_REC_PAD, 8, cases[i].delta ? cases[i].delta : 40 + cases[i].beyond);
      producer_record (p, &hdr, sizeof hdr);
      producer_record (p, zeros, sizeof zeros);
      if (cases[i].beyond == -8)
        {
          hdr = header (DDEBUG_REC_PAD, 8, 8);
          memcpy (p->bytes->data + p->bytes->len - 8, &hdr, 8);
        }
      g_assert_true (payload_take (&payload, p));
      ddebug_span_init (&span, &payload.chunk);
      while (ddebug_span_next (&span, &m))
        n++;
      g_assert_cmpuint (n, ==, 1);
      g_assert_true ((span.damage == NULL) == cases[i].good);
      g_free (payload.bytes);
    }
}

/* What the device says of the place must fit what the guest says of it. */
static void
test_wrong_places (void)
{
  g_autoptr (Producer) p = producer_new (0, 0, 0);
  DdebugMessage m;
  DdebugSpan span;
  Payload good, bad;

  producer_printf (p, 1, "text");
  g_assert_true (payload_take (&good, p));
  for (guint shift = 0; shift < 256; shift++)
    {
      bad = good;
      bad.chunk.subbuf_shift = shift;
      ddebug_span_init (&span, &bad.chunk);
      g_assert_true ((span.damage == NULL)
                     == (shift >= VIRTIO_DDEBUG_SUBBUF_SHIFT_MIN && shift <= VIRTIO_DDEBUG_SUBBUF_SHIFT_MAX));
      if (span.damage)
        g_assert_false (ddebug_span_next (&span, &m));
    }
  for (guint64 pos = 1; pos < 8192; pos += 7)
    {
      bad = good;
      bad.chunk.pos = pos;
      ddebug_span_init (&span, &bad.chunk);
      /* the header says it is at 0: right for the rest of its sub-buffer only */
      g_assert_true ((span.damage == NULL) == (pos % 8 == 0 && pos + good.chunk.len - 32 <= 4096));
    }
  bad = good;
  bad.chunk.pos = G_MAXUINT64 - 7;
  ddebug_span_init (&span, &bad.chunk);
  g_assert_nonnull (span.damage);
  g_assert_false (ddebug_span_next (&span, &m));
  g_free (good.bytes);
}

static Producer *
mixed_producer (void)
{
  Producer *p = producer_new (0, 0, 0);
  struct ddebug_rec_hdr unknown = header (15, 8, 0);

  producer_printf (p, 1, "one");
  producer_printf (p, 1ull << 40, "two, far away");
  producer_record (p, &unknown, sizeof unknown);
  producer_packed (p, 3, 7, NULL, "arguments", 9);
  producer_packed (p, 4, 70000, "a head: ", "more", 4);
  producer_printf (p, 2, "three%050d", 0);
  producer_turn (p, 3);
  return p;
}

/* Reads all there is; says nothing of what, only that it ends within the bounds. */
static guint
read_all (Payload *payload)
{
  DdebugMessage m;
  DdebugSpan span;
  guint n = 0, sum = 0;

  ddebug_span_init (&span, &payload->chunk);
  for (; ddebug_span_next (&span, &m); n++)
    {
      g_assert_true (m.text >= payload->bytes && m.text + m.len <= payload->bytes + payload->chunk.len);
      for (guint i = 0; i < m.len; i++)
        sum += m.text[i];
      g_assert_true (!m.args || (m.args >= payload->bytes && m.args + m.args_len <= payload->bytes + payload->chunk.len));
      for (guint i = 0; i < m.args_len; i++)
        sum += m.args[i];
    }
  g_assert_cmpuint (n, <=, payload->chunk.len / 16);
  return n + (sum & 0);
}

static void
test_every_bit (void)
{
  g_autoptr (Producer) p = mixed_producer ();
  Payload payload;

  g_assert_true (payload_take (&payload, p));
  for (guint bit = 0; bit < 8 * 512; bit++)
    {
      payload.bytes[bit / 8] ^= 1 << bit % 8;
      read_all (&payload);
      payload.bytes[bit / 8] ^= 1 << bit % 8;
    }
  g_assert_cmpuint (read_all (&payload), ==, 5);
  g_free (payload.bytes);
}

static void
test_every_length (void)
{
  g_autoptr (Producer) p = mixed_producer ();
  Payload whole;

  g_assert_true (payload_take (&whole, p));
  for (guint len = 0; len <= whole.chunk.len; len++)
    {
      Payload cut;
      DdebugSpan span;

      payload_set (&cut, p, 0, whole.bytes, len);
      g_assert_cmpuint (read_all (&cut), <=, 5);
      ddebug_span_init (&span, &cut.chunk);
      if (len < 32 || len % 8)
        g_assert_nonnull (span.damage);
      g_free (cut.bytes);
    }
  g_free (whole.bytes);
}

static void
test_random (void)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (20091);
  g_autoptr (Producer) p = producer_new (0, 0, 0);

  for (int round = 0; round < 20000; round++)
    {
      guint8 bytes[512];
      Payload payload;
      gsize len = g_rand_int_range (rand, 0, 64) * 8;

      for (guint i = 0; i < sizeof bytes; i++)
        bytes[i] = g_rand_int (rand) & (g_rand_boolean (rand) ? 0xff : 0x31);
      memset (bytes, 0, 8);
      payload_set (&payload, p, 0, bytes, len);
      read_all (&payload);
      g_free (payload.bytes);
    }
}

/* Nothing is no span, wherever it points. */
static void
test_empty (void)
{
  g_autoptr (Producer) p = producer_new (0, 0, 0);
  DdebugMessage m;
  DdebugSpan span;
  Payload payload;

  for (guint64 pos = 0; pos < 128; pos += 64)
    {
      payload_set (&payload, p, pos, (const guint8 *) "", 0);
      g_assert_null (payload.bytes);
      ddebug_span_init (&span, &payload.chunk);
      g_assert_nonnull (span.damage);
      g_assert_false (ddebug_span_next (&span, &m));
      payload.chunk.payload = (const guint8 *) "";
      ddebug_span_init (&span, &payload.chunk);
      g_assert_nonnull (span.damage);
      g_assert_false (ddebug_span_next (&span, &m));
    }
}

#ifdef COUNTS_ALLOCATIONS
/* Reading a span allocates nothing, however many records it has. */
static void
test_no_allocation (void)
{
  g_autoptr (Producer) p = producer_new (0, 0, 0);
  guint64 before, messages = 0;
  DdebugMessage m;
  DdebugSpan span;
  Payload payload;

  for (guint i = 0; i < 20000; i++)
    producer_printf (p, i * G_GUINT64_CONSTANT (1000000000) * (i % 7), "message %u", i);
  while (payload_take (&payload, p))
    {
      before = allocations ();
      ddebug_span_init (&span, &payload.chunk);
      while (ddebug_span_next (&span, &m))
        messages++;
      g_assert_cmpuint (allocations () - before, ==, 0);
      g_free (payload.bytes);
    }
  g_assert_cmpuint (messages, ==, 20000);
  /* it does count */
  before = allocations ();
  g_free (g_malloc (1));
  g_assert_cmpuint (allocations () - before, ==, 1);
}
#endif

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/codec/text records are read", test_text);
  g_test_add_func ("/codec/the longest texts are read", test_longest);
  g_test_add_func ("/codec/a TIME record counts for the next record only", test_time);
  g_test_add_func ("/codec/PAD records lead to the next sub-buffer", test_subbufs);
  g_test_add_func ("/codec/reading may begin at any record", test_any_start);
  g_test_add_func ("/codec/numbers go on where 16 bits wrap", test_number_wraps);
  g_test_add_func ("/codec/packed records of both layouts are read", test_packed);
  g_test_add_func ("/codec/the head of a packed record ends within it", test_packed_bounds);
  g_test_add_func ("/codec/every type with every length is skipped or given up", test_all_headers);
  g_test_add_func ("/codec/a PAD record ends within its span", test_pads);
  g_test_add_func ("/codec/a span must fit its place", test_wrong_places);
  g_test_add_func ("/codec/every flipped bit stays within bounds", test_every_bit);
  g_test_add_func ("/codec/every truncation stays within bounds", test_every_length);
  g_test_add_func ("/codec/random payloads stay within bounds", test_random);
  g_test_add_func ("/codec/an empty payload is refused", test_empty);
#ifdef COUNTS_ALLOCATIONS
  g_test_add_func ("/codec/nothing is allocated", test_no_allocation);
#endif
  return g_test_run ();
}
