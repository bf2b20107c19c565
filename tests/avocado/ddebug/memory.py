# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest's memory, in a file of the host, says was committed: the witness of ddebug_die.c, and
the streams' own words (docs/spec/virtio-ddebug.md)."""

import mmap
import struct

CPUS_MAX = 64
WITNESS = struct.Struct(f"<QQQQQ{3 * CPUS_MAX}Q")
WITNESS_MARK = 0x7769746e65737321
ALL_ONES = (1 << 64) - 1

STREAM_MAGIC = 0x54534444
# virtio_ddebug_stream_desc: magic, stream, generation, cpu, context, subbuf_shift, reserved0,
# ring_size, start
DESC = struct.Struct("<IIIIBBHIQ")
# virtio_ddebug_stream_hdr: reserve, head, seq
HDR = struct.Struct("<QQQ")
HDR_OFF = 64
# virtio_ddebug_status: consumed; at its place in struct ddebug_stream_page
STATUS = struct.Struct("<Q")
STATUS_OFF = 2048


class Stream:
    """A ring, and how far both sides are.

    head      position behind what is committed
    seq       number of the next message
    consumed  position up to which the device says that it has copied it
    """

    def __init__(self, memory, at):
        (_, self.stream, self.generation, self.cpu, self.context, self.subbuf_shift, _, self.ring_size,
         self.start) = DESC.unpack_from(memory, at)
        _, self.head, self.seq = HDR.unpack_from(memory, at + HDR_OFF)
        self.consumed, = STATUS.unpack_from(memory, at + STATUS_OFF)


class Memory:
    """The memory of a guest, as it is now.  If another one was booted in it before, forget() that first.

    committed  {cpu: messages of the load that it knows to be committed}
    when       {cpu: ns of the guest's clock, when it came to know that}
    hung       how many CPUs spin for ever
    streams    {stream: Stream}
    """

    def __init__(self, path):
        newest = None
        self.streams = {}
        self._path = path
        self._places = []
        with open(path, "rb") as file, \
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
            for at in range(0, len(memory), mmap.PAGESIZE):
                one, two = struct.unpack_from("<QQ", memory, at)
                if one & 0xffffffff == STREAM_MAGIC:
                    self._places.append(at)
                    stream = Stream(memory, at)
                    self.streams[stream.stream] = stream
                elif one and one ^ two == ALL_ONES:
                    words = WITNESS.unpack_from(memory, at)
                    if one ^ words[2] == WITNESS_MARK and (newest is None or words[3] > newest[3]):
                        newest = words
        cpus = newest[4]
        counts, times, hung = (newest[5 + i * CPUS_MAX:][:cpus] for i in range(3))
        self.committed = dict(enumerate(counts))
        self.when = dict(enumerate(times))
        self.hung = sum(hung)

    def forget(self):
        """Erase the descriptors of a guest that is dead: the next one that boots in this memory need not
        overwrite them, and they would be taken for its own."""
        with open(self._path, "r+b") as file:
            for at in self._places:
                file.seek(at)
                file.write(bytes(4))
