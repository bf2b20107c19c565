# SPDX-License-Identifier: GPL-2.0-or-later
"""A second reader of the log file, written from docs/log-format.md alone.

It shares nothing with the tool, so that a test can tell a fault of the tool from one of the device
or the driver, and check one against the other.
"""

import ctypes
import functools
import re
import struct

SUPER_SIZE = 4096
SHM_OFF = 65536
# of the log, and of the protocol between driver and device
VERSION = 1
INCOMPAT_SHM = 1
SEG_HDR = struct.Struct("<IIQII36sI")
CHUNK_HDR = struct.Struct("<IHHQIIQQQIIIIIBBHQQQQQQII")
STATE = struct.Struct("<IIQQQQQ12sI")
ATTACH = struct.Struct("<II16sQQQ64s32s16s")
EVENT = struct.Struct("<IIQQQ")
SUBBUF = struct.Struct("<QQQQ")
SHM_DESC = struct.Struct("<IIIIBBHIQIIQ16s")
SHM_HDR = struct.Struct("<QQQQQQII8s")
SHM_MAGIC, SHM_PAGE, SHM_STATUS_OFF = 0x54534444, 4096, 2048
CALLSITE = struct.Struct("<IIIHHHHHH")

SEG_MAGIC = 0x47534444
SEG_DATA, SEG_DICT = 1, 2
CHUNK_MAGIC = 0x4b434444
CHUNK_MAGIC_BYTES = struct.pack("<I", CHUNK_MAGIC)
# no chunk is longer than the smallest segment
HEADLESS = 128 << 10
STATE_OFF, STATE_MAGIC = 16384, 0x54534c44
CHUNK_DATA, CHUNK_ATTACH, CHUNK_DICT, CHUNK_EVENT = 1, 2, 3, 4

REC_PAD, REC_TIME, REC_TEXT, REC_PACKED, REC_KMSG, REC_LOSS = 1, 2, 3, 4, 5, 6
KMSG_PAST, KMSG_OOPS, KMSG_PANIC = 1, 2, 4

CONTEXTS = ("task", "softirq", "hardirq", "NMI")
EVENTS = {1: "open", 2: "attach", 3: "reset", 4: "stop", 5: "cont", 6: "close",
          7: "size", 8: "clear", 9: "io-lost", 10: "notice", 11: "full-lost", 12: "rate-lost",
          13: "machine-reset", 14: "shutdown", 15: "recovered", 16: "sync-lost"}


class BadLog(Exception):
    """The file does not match the format's description; the code is the tool's for it."""

    def __init__(self, what, code="damaged"):
        super().__init__(what)
        self.code = code            # empty, format, version, damaged


def _load_crc():
    """CRC32C, by a library since logs are large."""
    function = ctypes.CDLL("libisal.so.2").crc32_iscsi
    function.argtypes = (ctypes.c_char_p, ctypes.c_int, ctypes.c_uint)
    function.restype = ctypes.c_uint
    return function


_crc = _load_crc()


def crc32c(data):
    return _crc(bytes(data), len(data), 0xffffffff) ^ 0xffffffff


# the check value in the checksum's definition
assert crc32c(b"123456789") == 0xe3069283


CONVERSION = re.compile(rb"%([-+ #0]*)(\*|[0-9]+)?(?:\.(\*|[0-9]+))?(hh|h|ll|l|L|z|t)?"
                        rb"(?:([diuoxXcs%])|(p[0-9A-Za-z]*)(?![\x80-\xff]))", re.S)
LEVELS = re.compile(rb"(?:\x01[0-7c])*")


class Arguments:
    """Reader of a packed record's arguments, one after the other."""

    def __init__(self, data):
        self.data = data

    def take(self, size):
        if size > len(self.data):
            raise BadLog("a packed record has too few arguments")
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def number(self, size, signed=False):
        return int.from_bytes(self.take(size), "little", signed=signed)

    def string(self):
        return self.take(self.number(2))

    def field(self, text):
        """A width or a precision; None if there is none."""
        if text != b"*":
            return None if text is None else int(text)
        return self.number(4, signed=True)


def _pad(text, width, flags):
    return text.ljust(width) if b"-" in flags else text.rjust(width)


def _integer(arguments, flags, width, precision, size, kind):
    length = {None: 4, b"h": 2, b"hh": 1}.get(size, 8)
    raw = arguments.take(max(length, 4))[:length]
    value = int.from_bytes(raw, "little", signed=kind in b"di")
    if not flags and not width and precision is None and kind in b"diu":
        return b"%d" % value
    digits = format(abs(value), {b"o": "o", b"x": "x", b"X": "X"}.get(kind, "d")).encode()
    digits = digits.rjust(precision or 0, b"0")
    sign = b""
    if kind in b"di":
        sign = b"-" if value < 0 else b"+" if b"+" in flags else b" " if b" " in flags else b""
    elif b"#" in flags and (kind in b"xX" or kind == b"o" and value):
        sign = {b"x": b"0x", b"X": b"0X", b"o": b"0"}[kind]
    if b"0" in flags and b"-" not in flags:
        digits = digits.rjust(width - len(sign), b"0")
    return _pad(sign + digits, width, flags)


def _conversion(arguments, flags, width, precision, size, kind, pointer):
    if pointer:
        return arguments.string()
    width, precision = arguments.field(width) or 0, arguments.field(precision)
    if width < 0:
        flags, width = flags + b"-", -width
    if precision is not None:
        precision = max(precision, 0)
    if kind == b"%":
        return b"%"
    if kind == b"s":
        return _pad(arguments.string()[:precision], width, flags)
    if kind == b"c":
        return _pad(arguments.take(4)[:1], width, flags)
    return _integer(arguments, flags, width, precision, size, kind)


@functools.lru_cache(maxsize=None)
def _pieces(fmt):
    """The parts of a format: literal bytes, and a tuple for each conversion."""
    pieces, at = [], 0
    while at < len(fmt):
        if fmt[at:at + 1] != b"%":
            end = fmt.find(b"%", at) if b"%" in fmt[at:] else len(fmt)
            pieces.append(fmt[at:end])
            at = end
            continue
        match = CONVERSION.match(fmt, at)
        if not match:
            raise BadLog(f"format {fmt!r} is not one of packed records")
        pieces.append(match.groups())
        at = match.end()
    return pieces


def unpack(head, fmt, data):
    """The text of a packed record."""
    arguments = Arguments(data)
    text = head
    for piece in _pieces(fmt):
        text += piece if isinstance(piece, bytes) else _conversion(arguments, *piece)
    if arguments.data:
        raise BadLog(f"{len(arguments.data)} bytes of arguments are left over")
    if text.endswith(b"\n"):
        text = text[:-1]
    return text[LEVELS.match(text).end():]


class Message:
    """A message, and everything that the log says about it."""

    __slots__ = ("instance", "epoch", "stream", "cpu", "context", "number", "time", "written",
                 "callsite", "kmsg", "pid", "text", "packed")

    def __init__(self, chunk, instance, number, time, callsite, kmsg, pid, text, packed=False):
        self.instance = instance
        self.epoch = chunk.epoch
        self.stream = chunk.stream
        self.cpu = chunk.cpu
        self.context = CONTEXTS[chunk.context]
        self.number = number
        self.time = time            # ns
        self.written = chunk.monotonic  # ns of the host's CLOCK_MONOTONIC
        self.callsite = callsite    # Callsite or None
        self.kmsg = kmsg            # of a line of the kernel's log: KMSG_* flags; else None
        self.pid = pid
        self.text = text            # bytes
        self.packed = packed        # the text was rendered from a packed record

    def __repr__(self):
        return (f"<{self.context}{self.cpu} #{self.number} {self.time / 1e9:.6f} "
                f"pid {self.pid}: {self.text!r}>")


class Callsite:
    """A dictionary entry."""

    __slots__ = ("ident", "line", "module", "function", "file", "format", "packed")

    def __init__(self, ident, line, module, function, file, fmt, packed):
        self.ident = ident
        self.line = line
        self.module = module
        self.function = function
        self.file = file
        self.format = fmt
        self.packed = packed        # bytes


class Span:
    """What is left in a shared ring, up to the end of a sub-buffer."""

    monotonic = None            # not seen by the host

    def __init__(self, epoch, stream, cpu, context, counters, end, payload):
        self.seq = "of a ring"
        self.len = len(payload)
        self.epoch, self.stream, self.cpu, self.context = epoch, stream, cpu, context
        self.produced, self.recursed, self.torn = counters
        self.end = end              # the position after it
        self.payload = payload


class Chunk:
    """A chunk with its payload."""

    def __init__(self, fields, payload):
        (_, self.type, _, self.seg_seq, _, self.len, self.seq, self.realtime, self.monotonic,
         self.epoch, self.payload_crc, self.stream, self.generation, self.cpu, self.context,
         self.subbuf_shift, _, self.pass_, self.pos, self.produced, self.recursed, self.torn,
         self.clamped, _, _) = fields
        self.payload = payload

    @property
    def end(self):
        """The position after a DATA chunk."""
        copied = SUBBUF.size if self.pos % (1 << self.subbuf_shift) else 0
        return self.pos + self.len - copied


class LogFile:
    """What is in a log file at the moment of reading.

    messages  in the order of the chunks: time is ordered within a stream only
    lost      {(instance, stream): messages missing between those that are there,
              or before the first}
    dropped   {(instance, stream): recursed + torn, as far as said}
    expected  {(instance, stream): number of the message after the last one}
    ends      {(instance, stream): position behind the last span}
    events    [(name, [arguments])]
    epochs    {number: fields of its ATTACH chunk}
    frozen    (first, last): data segments that are not overwritten; (0, 0): none are
    segments  {number of a data segment: epoch in which it was started}
    skipped   records of unknown types
    damaged   chunks that do not fit their checksum
    left      with rings=True: messages that were in shared rings, not in a chunk yet
    settled   state.settled_pass, 0 if there is no valid state

    salvage   of a log that nobody writes: what is behind damage, too
    """

    def __init__(self, path, rings=False, salvage=False):
        with open(path, "rb") as file:
            self.data = file.read()
        self.salvage = salvage
        self._superblock()
        self.settled = self._state()
        self.newest = None          # the DATA chunk that was written last
        self.newest_epoch = 0
        self.messages = []
        self.lost = {}
        self.dropped = {}
        self.produced = {}
        self.events = []
        self.epochs = {}
        self.skipped = 0
        self.unrecorded = {}    # {instance: (nostream, missed)}
        self.damaged = 0
        self.expected = {}
        self.ends = {}
        self.segments = {}
        self._dictionary = {}
        self._read()
        chunked = len(self.messages)
        if rings:
            for span in self._leftover():
                self._data(span)
        self.left = len(self.messages) - chunked

    def _copy(self, at):
        """What a copy of the superblock is, and its fields if they can be compared."""
        block = self.data[at:at + SUPER_SIZE]
        if not block.strip(b"\0"):
            return "empty", None
        if block[:8] != b"DDEBUGLG":
            return "format", None
        if len(block) < SUPER_SIZE:
            return "damaged", None
        fits = struct.unpack_from("<I", block, 4092)[0] == crc32c(block[:4092])
        version, incompat, _, seg_size, generation = struct.unpack_from("<IIIIQ", block, 8)
        if version != VERSION:
            return "other version" if fits else "version, or damaged", None
        if not fits:
            return "damaged", None
        if incompat & ~INCOMPAT_SHM:
            return "flags", (generation,)
        size, nr_segs, first = struct.unpack_from("<QQQ", block, 48)
        shm_size, = struct.unpack_from("<Q", block, 264)
        shm_sizes = [1 << bits for bits in range(20, 31)] if incompat else [0]
        if shm_size not in shm_sizes or seg_size not in (1 << bits for bits in range(17, 21)) or \
           nr_segs < 4 or size > 1 << 40 or size != SHM_OFF + shm_size + nr_segs * seg_size:
            return "damaged", None
        frozen = struct.unpack_from("<QQ", block, 240)
        return "good", (generation, seg_size, size, nr_segs, first, frozen, shm_size)

    def _superblock(self):
        copies = [self._copy(0), self._copy(SUPER_SIZE)]
        kinds = [kind for kind, _ in copies]
        if "other version" in kinds:
            raise BadLog("a log of another version", "version")
        comparable = [copy for copy in copies if copy[1]]
        if not comparable:
            for kind, code in (("version, or damaged", "version"), ("damaged", "damaged"),
                               ("format", "format"), ("empty", "empty")):
                if kind in kinds:
                    raise BadLog(f"no superblock: {kind}", code)
        kind, best = max(comparable, key=lambda copy: copy[1][0])
        if kind == "flags":
            raise BadLog("unknown flags", "version")
        _, self.seg_size, self.size, self.nr_segs, self.first_seg, self.frozen, self.shm_size = best
        self._segs_off = SHM_OFF + self.shm_size

    def _state(self):
        raw = self.data[STATE_OFF:STATE_OFF + STATE.size].ljust(STATE.size, b"\0")
        magic, _, settled, *_, crc = STATE.unpack(raw)
        return settled if magic == STATE_MAGIC and crc == crc32c(raw[:-4]) else 0

    def _segments(self):
        found, headless = {}, []
        for slot in range(self.nr_segs):
            at = self._segs_off + slot * self.seg_size
            raw = self.data[at:at + SEG_HDR.size]
            if len(raw) < SEG_HDR.size:
                continue
            magic, kind, seq, epoch, tag, _, crc = SEG_HDR.unpack(raw)
            if magic == SEG_MAGIC and crc == crc32c(raw[:-4]):
                if seq:
                    found.setdefault((seq, kind), (at, epoch, tag))
            elif self.salvage and any(raw):
                headless += self._headless(at, magic, seq, tag, crc)
        for key, place in headless:
            found.setdefault(key, place)
        for (seq, kind), (_, epoch, _) in found.items():
            self.newest_epoch = max(self.newest_epoch, epoch)
            if kind == SEG_DATA:
                self.segments[seq] = epoch
        return [(seq, kind, found[seq, kind][2], found[seq, kind][0]) for seq, kind in sorted(found)]

    def _headless(self, base, magic, seq, tag, crc):
        """A segment whose header is damaged, by its first chunk, or a later one of its number and tag."""
        for at in self._places(base, SEG_HDR.size, min(self.seg_size, HEADLESS)):
            fields = self._any_header(base + at)
            if not fields or fields[4] != at or not fields[3]:
                continue
            first = at == SEG_HDR.size
            if fields[3] == seq and (first or fields[23] == tag) or first and magic == SEG_MAGIC and crc:
                kind = SEG_DICT if fields[1] in (CHUNK_ATTACH, CHUNK_DICT) else SEG_DATA
                return [((fields[3], kind), (base, fields[9], fields[23]))]
        return []

    def _places(self, base, at, end):
        """Where a chunk's magic is, at multiples of eight."""
        found = self.data.find(CHUNK_MAGIC_BYTES, base + at, base + end)
        while found >= 0:
            if (found - base) % 8 == 0:
                yield found - base
            found = self.data.find(CHUNK_MAGIC_BYTES, found + 1, base + end)

    def _any_header(self, at):
        raw = self.data[at:at + CHUNK_HDR.size]
        if len(raw) < CHUNK_HDR.size:
            return None
        fields = CHUNK_HDR.unpack(raw)
        return fields if fields[0] == CHUNK_MAGIC and fields[-1] == crc32c(raw[:-4]) else None

    def _header(self, seg_seq, tag, base, at):
        if at + CHUNK_HDR.size > self.seg_size:
            return None
        fields = self._any_header(base + at)
        if not fields or fields[3] != seg_seq or fields[4] != at or tag and fields[23] != tag or \
           at + CHUNK_HDR.size + (fields[5] + 7) // 8 * 8 > self.seg_size:
            return None
        return fields

    def _behind_damage(self, seg_seq, tag, base, at):
        """Where to continue behind a place without a chunk; None if nothing is there."""
        following = next((place for place in self._places(base, at + 8, self.seg_size)
                          if self._header(seg_seq, tag, base, place)), None)
        if following is None:
            return None
        raw = self.data[base + at:base + at + CHUNK_HDR.size]
        fields = CHUNK_HDR.unpack(raw)
        left = (fields[0] == CHUNK_MAGIC) + (fields[3] == seg_seq) + (fields[4] == at)
        end = at + CHUNK_HDR.size + (fields[5] + 7) // 8 * 8
        payload = self.data[base + at + CHUNK_HDR.size:][:fields[5]]
        if left >= 2 and following < end <= self.seg_size and crc32c(payload) == fields[10]:
            return end
        return following

    def _chunks(self, seg_seq, tag, base):
        at = SEG_HDR.size
        while at + CHUNK_HDR.size <= self.seg_size:
            fields = self._header(seg_seq, tag, base, at)
            if not fields:
                at = self._behind_damage(seg_seq, tag, base, at) if self.salvage else None
                if at is None:
                    return
                self.damaged += 1
                continue
            start = base + at + CHUNK_HDR.size
            chunk = Chunk(fields, self.data[start:start + fields[5]])
            self.newest_epoch = max(self.newest_epoch, chunk.epoch)
            if crc32c(chunk.payload) == chunk.payload_crc:
                yield chunk
            else:
                self.damaged += 1
            at += CHUNK_HDR.size + (fields[5] + 7) // 8 * 8

    def _read(self):
        segments = self._segments()
        for seq, kind, tag, base in segments:
            if kind == SEG_DICT:
                for chunk in self._chunks(seq, tag, base):
                    if chunk.type == CHUNK_ATTACH:
                        self._attach(chunk)
                    elif chunk.type == CHUNK_DICT:
                        self._dict(chunk)
        for seq, kind, tag, base in segments:
            if kind == SEG_DATA and seq >= self.first_seg:
                for chunk in self._chunks(seq, tag, base):
                    if chunk.type == CHUNK_DATA:
                        if not self.newest or self.newest.seq < chunk.seq:
                            self.newest = chunk
                        self._data(chunk)
                    elif chunk.type == CHUNK_EVENT:
                        event, _, *args = EVENT.unpack(chunk.payload)
                        self.events.append((EVENTS.get(event, str(event)), args))

    def _rings(self):
        """(offset, fields of the descriptor, of the header, drained) of each ring of the newest epoch."""
        area = memoryview(self.data)[SHM_OFF:SHM_OFF + self.shm_size]
        at = 0
        while at + SHM_PAGE <= len(area):
            desc = SHM_DESC.unpack_from(area, at)
            size, subbuf = desc[7], 1 << (desc[5] & 31)
            if desc[0] == SHM_MAGIC and desc[9] & 1 and desc[11] == at and \
               desc[10] == self.newest_epoch and desc[4] < len(CONTEXTS) and 12 <= desc[5] <= 16 and \
               size % subbuf == 0 and 2 * subbuf <= size <= 64 << 20 and \
               at + SHM_PAGE + size <= self.shm_size:
                drained, = struct.unpack_from("<Q", area, at + SHM_STATUS_OFF)
                yield at, desc, SHM_HDR.unpack_from(area, at + SHM_DESC.size), drained
                at += -(-size // SHM_PAGE) * SHM_PAGE
            at += SHM_PAGE

    def _leftover(self):
        """Spans of the rings that are in no chunk: "Shared rings" of the description."""
        for at, desc, hdr, drained in self._rings():
            (_, stream, _, cpu, context, shift, _, size, start, _, epoch, _, _) = desc
            reserve, head, *counters = hdr[:5]
            subbuf = 1 << shift
            pos = max(start, drained)
            newest = self.newest
            if newest and (newest.epoch, newest.stream) == (epoch, stream) and newest.end <= head:
                pos = max(pos, newest.end)
            if head % 8 or pos % 8 or head >= 1 << 63 or not head <= reserve <= head + size - subbuf or \
               pos > head or 0 < pos % subbuf < SUBBUF.size:
                self.damaged += 1
                continue
            if pos // subbuf * subbuf < reserve - size:
                pos = -(-(reserve - size) // subbuf) * subbuf
            ring = SHM_OFF + at + SHM_PAGE
            while pos < head:
                begin = pos // subbuf * subbuf
                end = min(begin + subbuf, head)
                payload = self.data[ring + pos % size:ring + pos % size + end - pos]
                if pos != begin:
                    payload = self.data[ring + begin % size:ring + begin % size + SUBBUF.size] + payload
                yield Span(epoch, stream, cpu, context, counters, end, payload)
                pos = end

    def _attach(self, chunk):
        (version, cpus, boot_id, instance, clock, realtime, release, driver, _) = \
            ATTACH.unpack(chunk.payload)
        if version != VERSION:
            raise BadLog(f"a driver of version {version}")
        self.epochs[chunk.epoch] = {
            "version": version, "cpus": cpus, "boot_id": boot_id.hex(), "instance": instance,
            "clock": clock, "realtime": realtime,
            "release": release.rstrip(b"\0").decode(), "driver": driver.rstrip(b"\0").decode()}

    def _dict(self, chunk):
        at = 0
        while at < chunk.len:
            length, ident, line, _, *lengths = CALLSITE.unpack_from(chunk.payload, at)
            if length < CALLSITE.size or length % 8 or at + length > chunk.len:
                raise BadLog(f"dictionary entry of length {length}")
            strings, start = [], at + CALLSITE.size
            for size in lengths:
                strings.append(chunk.payload[start:start + size])
                start += size
            packed = strings.pop() or strings[-1]
            names = [string.decode(errors="replace") for string in strings]
            self._dictionary[chunk.epoch, ident] = Callsite(ident, line, *names, packed)
            at += length

    def _instance(self, epoch):
        return self.epochs.get(epoch, {}).get("instance", f"of epoch {epoch}")

    def _data(self, chunk):
        instance = self._instance(chunk.epoch)
        key = (instance, chunk.stream)
        self.dropped[key] = max(self.dropped.get(key, 0), chunk.recursed + chunk.torn)
        self.produced[key] = max(self.produced.get(key, 0), chunk.produced)
        self.ends[key] = max(self.ends.get(key, 0), chunk.end)
        _, first, base, _ = SUBBUF.unpack_from(chunk.payload, 0)
        at, since = SUBBUF.size, base
        payload = chunk.payload
        while at < chunk.len:
            type_len, low, delta = struct.unpack_from("<HHI", payload, at)
            kind, length = type_len >> 12, type_len & 0xfff
            if kind == REC_PAD:
                length = delta
            if kind == 0 or length < 8 or at + length > chunk.len:
                if self.salvage:
                    self.damaged += 1
                    return
                raise BadLog(f"record of type {kind}, length {length} at {at} of chunk {chunk.seq}")
            if kind == REC_TIME:
                since = struct.unpack_from("<Q", payload, at + 8)[0]
            elif kind in (REC_TEXT, REC_PACKED, REC_KMSG):
                number = first + ((low - first) & 0xffff)
                missing = number - self.expected.get(key, 0)
                if missing < 0:
                    raise BadLog(f"message {number} of stream {chunk.stream} comes late or twice")
                if missing:
                    self.lost[key] = self.lost.get(key, 0) + missing
                self.expected[key] = number + 1
                read = self._packed if kind == REC_PACKED else self._text
                self.messages.append(Message(
                    chunk, instance, number, since + delta,
                    *read(chunk.epoch, kind, payload[at:at + length])))
                since = base
            elif kind == REC_LOSS:
                self.unrecorded[instance] = struct.unpack_from("<QQ", payload, at + 8)
            elif kind != REC_PAD:
                self.skipped += 1
            at += (length + 7) // 8 * 8

    def instance(self, epoch=None):
        """The rings of an epoch; by default of the newest one."""
        return self.epochs[epoch or max(self.epochs)]["instance"]

    def _text(self, epoch, kind, record):
        word, pid = struct.unpack_from("<II", record, 8)
        if kind == REC_KMSG:
            return None, word, pid, record[16:]
        return self._dictionary.get((epoch, word)), None, pid, record[16:]

    def _packed(self, epoch, _, record):
        ident, pid = struct.unpack_from("<HH", record, 8)
        head, at = 0, 12
        if not ident:
            _, head, ident, pid = struct.unpack_from("<HHII", record, 8)
            at = 20
        callsite = self._dictionary.get((epoch, ident))
        if not callsite:
            raise BadLog(f"a packed record of callsite {ident}, which is not there")
        text = unpack(record[at:at + head], callsite.packed, record[at + head:])
        return callsite, None, pid, text, True

    @property
    def committed(self):
        """The number of messages that the newest rings have had, by the numbers of their last ones."""
        instance = self.epochs[max(self.epochs)]["instance"] if self.epochs else None
        return sum(expected for (life, _), expected in self.expected.items() if life == instance)

    @property
    def tail_lost(self):
        """The number of messages committed after the last one in the log."""
        return sum(max(0, produced - self.expected.get(key, 0)) for key, produced in self.produced.items())

    @property
    def total_lost(self):
        return sum(self.lost.values())

    @property
    def total_dropped(self):
        return sum(self.dropped.values())
