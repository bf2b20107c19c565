# SPDX-License-Identifier: GPL-2.0-or-later
"""A driver of the device without a guest: it uses QEMU's qtest protocol, and can break any rule of
docs/spec/virtio-ddebug.md.

Names and offsets are those of the specification, and of virtio's.
"""

import base64
import contextlib
import itertools
import mmap
import select
import struct
import time

from .guest import Guest, GuestError, device_source, qemu_command
from .logfile import ATTACH, CALLSITE, REC_PAD, REC_TEXT, SUBBUF, VERSION, LogFile

VENDOR, DEVICE = 0x1af4, 0x107c

VQ_CONTROL, VQ_EVENT, VQ_RING = 0, 1, 2
F_SHM, F_QUERY, F_CLOCK, F_COPY, F_LOG_SIZE, F_NOTICE, F_KMSG, F_LOG_ID = range(8)
F_INDIRECT_DESC, F_EVENT_IDX, F_VERSION_1, F_RING_RESET = 28, 29, 32, 40
FEATURES = 1 << F_VERSION_1 | 1 << F_INDIRECT_DESC | 1 << F_RING_RESET | 1 << F_NOTICE

CONFIG = struct.Struct("<IHHIIQQ")
# virtio_ddebug_stream_desc, by its names in this order
DESC = struct.Struct("<IIIIBBHIQIIQ16x")
DESC_FIELDS = ("magic", "stream", "generation", "cpu", "context", "subbuf_shift", "reserved0", "ring_size",
               "start", "flags", "epoch", "shm_offset")
HDR = struct.Struct("<QQQQQQII8x")
HDR_FIELDS = {"reserve": 0, "head": 8, "seq": 16, "recursed": 24, "torn": 32, "clamped": 40,
              "active": 48, "notice": 52}
STREAM_MAGIC = 0x54534444
STREAM_F_SHM = 1
HDR_OFF, RING_OFF = 64, 128
SHM_STATUS_OFF, SHM_RING_OFF = 2048, 4096

REQ_ATTACH, REQ_DICT, REQ_RETIRE, REQ_CLOCK, REQ_LOG_SIZE = 1, 2, 3, 4, 6
S_OK, S_UNSUPP, S_INVAL, S_NOSPC, S_IOERR = range(5)
REQ_HDR = struct.Struct("<HHI")
RESP = struct.Struct("<IIQ")
RETIRE = struct.Struct("<II")

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET = 1, 2, 4, 8, 64
VDESC = struct.Struct("<QIHH")
NEXT, WRITE, INDIRECT = 1, 2, 4
# the fields of virtio_pci_common_cfg: offset and access
COMMON = {"device_feature_select": (0, "l"), "device_feature": (4, "l"), "driver_feature_select": (8, "l"),
          "driver_feature": (12, "l"), "num_queues": (18, "w"), "device_status": (20, "b"),
          "queue_select": (22, "w"), "queue_size": (24, "w"), "queue_enable": (28, "w"),
          "queue_notify_off": (30, "w"), "queue_desc": (32, "q"), "queue_driver": (40, "q"),
          "queue_device": (48, "q"), "queue_reset": (58, "w")}
CAP_VENDOR = 9
CAP_COMMON, CAP_NOTIFY, CAP_DEVICE, CAP_SHM = 1, 2, 4, 8
PCI_COMMAND, PCI_MEMORY, PCI_MASTER = 4, 2, 4

# Ports of the machine type "pc" by which its firmware ejects what device_del has asked it for
EJECT_PCI, EJECT_PCI_BUS = 0xae08, 0xae10
MEMORY_SLOT, MEMORY_CONTROL, EJECT_MEMORY = 0xa00, 0xa14, 8

RAM = 256 << 20
# the driver's memory; BARs are above all of it, the processor's program is at the end of 4 GiB
HEAP = 16 << 20
BARS = 0xe0000000
NOWHERE = 1 << 40
ROM = 0xffff0000

# of the status, when an element is returned: consumed and want_kick
STATUS_USED = 12

FILL = 0xa5
PATIENCE = 60


# cli; hlt; jmp
SLEEP = bytes.fromhex("fa f4 ebfd")
# A producer of garbage, in the stream at PRODUCER, while its byte at PRODUCER_RUNS is 1
PRODUCER, PRODUCER_RUNS = 0x20000, 0x3800
PRODUCER_CODE = bytes.fromhex(
    "b80020 8ed8"               # mov ax, 0x2000; mov ds, ax
    "6631db 6631d2"             # xor ebx, ebx; xor edx, edx
    "f390 803e003801 75f7"      # wait: pause; cmp byte [PRODUCER_RUNS], 1; jne wait
    "6669db0d661900"            # again: imul ebx, ebx, 1664525
    "6681c35ff36e3c"            # add ebx, 1013904223
    "6689d8 66c1e810 6625f8030000"  # mov eax, ebx; shr eax, 16; and eax, 0x3f8
    "6601c2 6601d0"             # add edx, eax; add eax, edx
    "66a34000 6689164800"       # mov [reserve], eax; mov [head], edx
    "89d7 81e7f81f 66899d0010"  # mov di, dx; and di, 0x1ff8; mov [di + ring], ebx
    "803e003801 74c4") + SLEEP  # cmp byte [PRODUCER_RUNS], 1; je again


class Machine(Guest):
    """A QEMU whose only processor sleeps for ever; what a guest would do is done from here.

    program  what the processor does instead, in real mode
    """

    def __init__(self, directory, cpus="1", program=SLEEP, **options):
        super().__init__(directory, **options)
        self.cpus = cpus
        self.program = program
        self.free = HEAP
        self.posted = []
        self.bars = {}

    def command_line(self):
        # at the reset vector: jmp 0
        with open(self.path("program.bin"), "wb") as file:
            file.write(self.program.ljust(0xfff0, b"\xf4") + b"\xe9\x0d\x00".ljust(16, b"\xf4"))
        return [
            *qemu_command(), "-smp", self.cpus, "-m", f"{RAM >> 20}", "-bios", self.path("program.bin"),
            # QEMU looks for the character device by this name
            "-chardev", f"socket,id=qtest,fd={self._sockets[1].fileno()}",
            "-qtest", "chardev:qtest", "-qtest-log", "/dev/null",
            "-chardev", f"socket,id=qmp,fd={self._qmp_pair[1].fileno()}", "-mon", "chardev=qmp,mode=control",
            *device_source(), "-device", self.device_option(), *self.args]

    def start(self):
        """Start QEMU, and find the device's registers."""
        self.launch()
        self.connect_qmp()
        self._agent.settimeout(PATIENCE)
        self.find_device()
        return self

    # -- the protocol -------------------------------------------------------

    def ask(self, line):
        """Run a command of the protocol after those posted: its answer."""
        lines, self.posted = [*self.posted, line], []
        self._agent.sendall("".join(one + "\n" for one in lines).encode())
        for one in lines:
            words = self._answer(one).split(b" ")
            if words[0] != b"OK":
                raise GuestError(f"{one[:60]}: {words}")
        return words[-1]

    def post(self, line):
        """Post a command without waiting for the answer; QEMU runs it before the next command()."""
        self.posted.append(line)
        if len(self.posted) > 200:
            self.flush()

    def flush(self):
        """Wait for everything posted."""
        if self.posted:
            self.ask(self.posted.pop())

    def _answer(self, line):
        while b"\n" not in self._buffer:
            try:
                data = self._agent.recv(1 << 20)
            except TimeoutError as error:
                raise GuestError(f"QEMU hangs: {line[:60]}: {self.qemu_output()}") from error
            if not data:
                raise GuestError(f"QEMU has ended: {line[:60]}: {self.qemu_output()}")
            self._buffer += data
        answer, self._buffer = self._buffer.split(b"\n", 1)
        return answer

    def command(self, command, **arguments):
        self.flush()
        return super().command(command, **arguments)

    def get(self, address, size="l"):
        return int(self.ask(f"read{size} {address:#x}"), 16)

    def put(self, address, value, size="l"):
        self.post(f"write{size} {address:#x} {value:#x}")

    def poke(self, address, data):
        """Write to memory."""
        if data:
            self.post(f"b64write {address:#x} {len(data):#x} {base64.b64encode(data).decode()}")

    def peek(self, address, size):
        """Read from memory."""
        return base64.b64decode(self.ask(f"b64read {address:#x} {size:#x}"))

    def fill(self, address, size, byte=0):
        self.post(f"memset {address:#x} {size:#x} {byte:#x}")

    def alloc(self, size, align=4096):
        """Allocate zeroed memory, until the next driver starts."""
        address = -(-self.free // align) * align
        self.free = address + size
        if self.free > RAM:
            raise GuestError("the driver is out of memory")
        self.fill(address, size)
        return address

    def watch(self, address, last):
        """Read a 16-bit word until it is `last`, at least once in each round of QEMU's main loop, which
        takes a kilobyte of commands: its values."""
        self.flush()
        line = f"readw {address:#x}\n".encode()
        sent, values = 0, []
        self._agent.setblocking(False)
        try:
            while last not in values or len(values) * len(line) < sent:
                # the rest of a line; and more, so that QEMU, which waits for its answers to be read,
                # never finds nothing to do
                rest = line[sent % len(line) or len(line):] + (b"" if last in values else line * 4096)
                with contextlib.suppress(BlockingIOError):
                    sent += self._agent.send(rest)
                if not select.select([self._agent], [], [], PATIENCE)[0]:
                    raise GuestError(f"QEMU hangs: {self.qemu_output()}")
                self._buffer += self._agent.recv(1 << 20)
                *found, self._buffer = self._buffer.split(b"\n")
                values += [int(one.split()[1], 16) for one in found]
        finally:
            self._agent.settimeout(PATIENCE)
        return values

    # -- PCI ----------------------------------------------------------------

    def config(self, offset, value=None):
        """Read or write a 32-bit word of the device's PCI configuration."""
        self.post(f"outl 0xcf8 {1 << 31 | self.slot << 11 | offset:#x}")
        if value is not None:
            self.post(f"outl 0xcfc {value:#x}")
        return int(self.ask("inl 0xcfc"), 16)

    def place_bar(self, slot, bar, address):
        """Place a memory BAR of another device."""
        own, self.slot = self.slot, slot
        self.config(0x10 + 4 * bar, address)
        self.config(PCI_COMMAND, PCI_MEMORY)
        self.slot = own

    def config_bytes(self, offset, size):
        first = offset & ~3
        words = [self.config(at) for at in range(first, offset + size, 4)]
        return struct.pack(f"<{len(words)}I", *words)[offset - first:][:size]

    def command_word(self, bits):
        """Write the PCI command register."""
        self.config(PCI_COMMAND, bits)

    def find_device(self):
        for self.slot in range(32):
            if self.config(0) == DEVICE << 16 | VENDOR:
                break
        else:
            raise GuestError("device not found")
        self._place_bars()
        at = self.config(0x34) & 0xff
        while at:
            ident, following, size, kind, bar = self.config_bytes(at, 5)
            if ident == CAP_VENDOR:
                offset, length = struct.unpack("<II", self.config_bytes(at + 8, 8))
                if kind == CAP_COMMON:
                    self.common = self.bars[bar] + offset
                elif kind == CAP_DEVICE:
                    self.device = self.bars[bar] + offset
                elif kind == CAP_NOTIFY:
                    self.notify = self.bars[bar] + offset
                    self.multiplier, = struct.unpack("<I", self.config_bytes(at + 16, 4))
                elif kind == CAP_SHM and size >= 24:
                    high, length_high = struct.unpack("<II", self.config_bytes(at + 16, 8))
                    self.shm = self.bars[bar] + (high << 32 | offset)
                    self.shm_size = length_high << 32 | length
            at = following

    def _place_bars(self):
        free, bar = BARS, 0
        self.command_word(0)
        while bar < 6:
            at = 0x10 + 4 * bar
            mask = self.config(at, 0xffffffff)
            wide = mask & 7 == 4
            if mask and not mask & 1:
                size = (~(mask & ~15) & 0xffffffff) + 1
                self.bars[bar] = -(-free // size) * size
                free = self.bars[bar] + size
                self.config(at, self.bars[bar])
                if wide:
                    self.config(at + 4, 0)
            bar += 2 if wide else 1
        self.command_word(PCI_MEMORY | PCI_MASTER)

    # -- what is unplugged from a "pc" --------------------------------------

    def is_plugged(self, ident):
        return ident in {one["name"] for one in self.command("qom-list", path="/machine/peripheral")}

    def unplug(self, ident, slot):
        """Remove a PCI device, as its guest agrees."""
        self.command("device_del", id=ident)
        self.post(f"outl {EJECT_PCI_BUS:#x} 0")
        self.ask(f"outl {EJECT_PCI:#x} {1 << slot:#x}")

    def unplug_memory(self, ident, slot=0):
        """Remove a DIMM, as its guest agrees."""
        self.command("device_del", id=ident)
        self.post(f"outl {MEMORY_SLOT:#x} {slot}")
        self.ask(f"outb {MEMORY_CONTROL:#x} {EJECT_MEMORY:#x}")

    def maps(self, path):
        """Has QEMU mapped this file?"""
        with open(f"/proc/{self.process.pid}/maps", encoding="utf-8") as file:
            return any(line.rstrip().endswith(path) for line in file)


class Backing:
    """The file behind memory of the guest at an address, even if the guest no longer has it there."""

    def __init__(self, path, address):
        self.address = address
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)

    def poke(self, address, data):
        at = address - self.address
        self.memory[at:at + len(data)] = data

    def put(self, address, value, size="l"):
        self.poke(address, value.to_bytes({"l": 4, "q": 8}[size], "little"))

    def get(self, address, size="l"):
        at = address - self.address
        return int.from_bytes(self.memory[at:at + {"l": 4, "q": 8}[size]], "little")

    def qemu_output(self):
        return ""


class Queue:
    """A split virtqueue."""

    def __init__(self, driver, index, size=None, **addresses):
        self.machine = machine = driver.machine
        self.index = index
        driver.set("queue_select", index)
        self.size = size or driver.get("queue_size")
        driver.set("queue_size", self.size)
        self.desc = addresses.get("desc") or machine.alloc(16 * self.size)
        self.avail = addresses.get("avail") or machine.alloc(6 + 2 * self.size)
        self.used = addresses.get("used") or machine.alloc(6 + 8 * self.size)
        driver.set("queue_desc", self.desc)
        driver.set("queue_driver", self.avail)
        driver.set("queue_device", self.used)
        driver.set("queue_enable", 1)
        self.doorbell = machine.notify + driver.get("queue_notify_off") * machine.multiplier
        self.offered = self.seen = 0

    def describe(self, at, *descriptors):
        """Write descriptors (address, length, flags, next) to the queue's own table."""
        self.machine.poke(self.desc + 16 * at, b"".join(VDESC.pack(*one) for one in descriptors))

    def available(self, head, jump=1):
        """Make the chain that starts there available, and notify the device."""
        self.machine.poke(self.avail + 4 + 2 * (self.offered % self.size), struct.pack("<H", head))
        self.offered = (self.offered + jump) & 0xffff
        self.machine.poke(self.avail + 2, struct.pack("<H", self.offered))
        self.kick()

    def kick(self):
        self.machine.put(self.doorbell, self.index, "w")

    def avail_event(self):
        """Where the device says which element it will take next, with VIRTIO_F_EVENT_IDX."""
        return self.used + 4 + 8 * self.size

    def add(self, readable, writable, kick=True):
        """Add an element of pieces (address, length) by an indirect table: its descriptor."""
        head = self.offered % self.size
        self.describe(head, self.indirect(readable, writable))
        self.machine.poke(self.avail + 4 + 2 * head, struct.pack("<H", head))
        self.offered = (self.offered + 1) & 0xffff
        self.machine.poke(self.avail + 2, struct.pack("<H", self.offered))
        if kick:
            self.kick()
        return head

    def indirect(self, readable, writable):
        """A descriptor of an indirect table of these pieces."""
        table = [(*piece, NEXT) for piece in readable] + [(*piece, NEXT | WRITE) for piece in writable]
        table = [(*one, at + 1) for at, one in enumerate(table)]
        table[-1] = (*table[-1][:2], table[-1][2] & ~NEXT, 0)
        return self.table(*table)

    def table(self, *descriptors):
        address = self.machine.alloc(16 * len(descriptors), 16)
        self.machine.poke(address, b"".join(VDESC.pack(*one) for one in descriptors))
        return address, 16 * len(descriptors), INDIRECT, 0

    def returned(self):
        """What the device has returned since the last call: [(descriptor, written)]."""
        index, = struct.unpack("<H", self.machine.peek(self.used + 2, 2))
        found = []
        while self.seen != index:
            at = self.used + 4 + 8 * (self.seen % self.size)
            found.append(struct.unpack("<II", self.machine.peek(at, 8)))
            self.seen = (self.seen + 1) & 0xffff
        return found

    def wait_returned(self):
        """The same, but wait until there is something."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = self.returned()
            if found:
                return found
            if time.monotonic() > deadline:
                raise GuestError(f"queue {self.index}: the device returns nothing: "
                                 f"{self.machine.qemu_output()}")
            time.sleep(0.001)


class Driver:
    """A driver, from the reset of the device up to DRIVER_OK."""

    def __init__(self, machine, features=FEATURES, sizes=None):
        self.machine = machine
        self.reset()
        machine.free = HEAP
        self.set("device_status", ACKNOWLEDGE | DRIVER)
        self.offers = self.offered()
        self.features = features & self.offers
        for half in (0, 1):
            self.set("driver_feature_select", half)
            self.set("driver_feature", self.features >> 32 * half & 0xffffffff)
        self.set("device_status", ACKNOWLEDGE | DRIVER | FEATURES_OK)
        if not self.status() & FEATURES_OK:
            raise GuestError(f"the device refuses the features {self.features:#x}")
        (self.version, self.ring_queues, _, self.max_streams, self.max_request, self.log_size,
         self.log_id) = self.device_config()
        self.queues = [Queue(self, index, (sizes or {}).get(index))
                       for index in range(VQ_RING + self.ring_queues)]
        self.control, self.event, self.ring = self.queues[:VQ_RING + 1]
        self.set("device_status", ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)
        self.epoch = 0

    def get(self, register):
        offset, size = COMMON[register]
        return self.machine.get(self.machine.common + offset, size)

    def set(self, register, value):
        offset, size = COMMON[register]
        if size == "q":
            self.machine.put(self.machine.common + offset, value & 0xffffffff)
            self.machine.put(self.machine.common + offset + 4, value >> 32)
        else:
            self.machine.put(self.machine.common + offset, value, size)

    def status(self):
        return self.get("device_status")

    def needs_reset(self):
        return bool(self.status() & NEEDS_RESET)

    def reset(self):
        self.set("device_status", 0)
        if self.status():
            raise GuestError("the device does not reset")

    def offered(self):
        """The device's features."""
        found = 0
        for half in (0, 1):
            self.set("device_feature_select", half)
            found |= self.get("device_feature") << 32 * half
        return found

    def device_config(self):
        return CONFIG.unpack(self.machine.peek(self.machine.device, CONFIG.size))

    # -- requests -----------------------------------------------------------

    def place(self, data, align=64):
        """Put bytes into the driver's memory: their address."""
        address = self.machine.alloc(max(len(data), 1), align)
        self.machine.poke(address, data)
        return address

    def send(self, data, room=RESP.size, kick=True):
        """Send a request of these bytes with room for the answer: the answer's address."""
        answer = self.machine.alloc(max(room, 1) + 64, 64)
        self.machine.fill(answer, room + 64, FILL)
        self.control.add([(self.place(data), len(data))] if data else [], [(answer, room)] if room else [],
                         kick)
        return answer

    def answer(self, address):
        """(status, value) that the device has written; check that it wrote nothing else."""
        data = self.machine.peek(address, RESP.size + 64)
        status, reserved, value = RESP.unpack(data[:RESP.size])
        if reserved or data[RESP.size:] != bytes([FILL]) * 64:
            raise GuestError(f"unexpected answer {data!r}")
        return status, value

    def request(self, kind, payload=b"", room=RESP.size):
        """Send a request and wait: (status, value)."""
        address = self.send(REQ_HDR.pack(kind, 0, len(payload)) + payload, room)
        mine, found = (self.control.offered - 1) % self.control.size, {}
        while mine not in found:
            # answers to others may come first, and nobody waits for them any more
            found = dict(self.control.wait_returned())
        if found[mine] != RESP.size:
            raise GuestError(f"unexpected answer of {found[mine]} bytes")
        return self.answer(address)

    instances = itertools.count(1)

    def attach(self, version=VERSION):
        """Send an ATTACH: (status, value)."""
        answer = self.request(REQ_ATTACH, self.attachment(version))
        if answer[0] == S_OK:
            self.epoch = answer[1]
        return answer

    def attachment(self, version=VERSION):
        return ATTACH.pack(version, 1, bytes(16), next(self.instances), 1000, time.time_ns(),
                           b"6.1.0-hostile", b"qtest", b"")

    def dictionary(self):
        """Send a DICT with callsite 1: its status; everything before it is in the log then."""
        return self.request(REQ_DICT, callsite())[0]

    def retire(self, stream, generation=0):
        return self.request(REQ_RETIRE, RETIRE.pack(stream, generation))[0]


def callsite(ident=1, fmt=b"%s"):
    strings = b"hostile" + b"good" + b"good.c" + fmt
    length = -(-(CALLSITE.size + len(strings)) // 8) * 8
    return (CALLSITE.pack(length, ident, 1, 0, 7, 4, 6, len(fmt), 0) + strings).ljust(length, b"\0")


class Stream:
    """A stream as a driver has it that keeps the rules, until it is told to break one.

    shm     offset in the shared memory region; default: in the guest's memory
    at      address in the guest's memory; default: any
    more    other values for fields of the descriptor
    """

    clock = itertools.count(10 ** 9, 1000)

    def __init__(self, driver, stream=0, size=16384, shift=12, shm=None, at=None, **more):
        self.driver = driver
        self.machine = machine = driver.machine
        self.size, self.subbuf = size, 1 << shift
        self.shm = shm
        self.fields = {"magic": STREAM_MAGIC, "stream": stream, "cpu": 0, "context": stream % 4,
                       "subbuf_shift": shift, "ring_size": size}
        if shm is None:
            self.page = machine.alloc(4096 + size) if at is None else at
            self.ring = self.page + 4096
            self.desc = self.page
        else:
            self.page, self.ring = machine.shm + shm, machine.shm + shm + SHM_RING_OFF
            self.desc = machine.alloc(64)
            self.fields.update(flags=STREAM_F_SHM, epoch=driver.epoch, shm_offset=shm)
        self.fields.update(more)
        self.status = machine.alloc(64)
        self.hdr = self.page + HDR_OFF
        self.position = self.base = 0
        self.messages = 0
        self.descriptor = None

    def readable(self):
        """The pieces of the element, the ring in two."""
        if self.shm is not None:
            return [(self.desc, 64)]
        return [(self.page, RING_OFF), (self.ring, self.size - 4096), (self.ring + self.size - 4096, 4096)]

    def writable(self):
        return [(self.status, 64)]

    def describe(self):
        return DESC.pack(*(self.fields.get(name, 0) for name in DESC_FIELDS))

    def post(self, readable=None, writable=None, queue=None, kick=True):
        """Give the element to the device, by default with the pieces that belong to it."""
        self.machine.poke(self.desc, self.describe())
        if self.shm is not None:
            self.machine.fill(self.page + HDR_OFF, SHM_RING_OFF - HDR_OFF)
            self.machine.poke(self.page, self.describe())
        queue = self.driver.ring if queue is None else queue
        self.descriptor = queue.add(self.readable() if readable is None else readable,
                                    self.writable() if writable is None else writable, kick)
        return self

    def word(self, name, value):
        """Store words of the header."""
        self.machine.put(self.hdr + HDR_FIELDS[name], value, "l" if name in ("active", "notice") else "q")

    def words(self, **values):
        for name, value in values.items():
            self.word(name, value)

    def consumed(self):
        return self.machine.get(self.status, "q")

    def wants_kick(self):
        return self.machine.get(self.status + 8) == 1

    def say(self, *texts):
        """Write messages, each committed on its own; notify the device if it asks for that."""
        for text in texts:
            self._commit(text)
        if self.wants_kick():
            self.driver.ring.kick()

    def _commit(self, text):
        record = struct.pack("<HHIII", REC_TEXT << 12 | 16 + len(text), self.messages & 0xffff,
                             0, 1, 42) + text
        record = record.ljust(-(-len(record) // 8) * 8, b"\0")
        left = self.subbuf - self.position % self.subbuf
        if self.position % self.subbuf and left < len(record):
            pad = struct.pack("<HHI", REC_PAD << 12 | 8, 0, left) if left else b""
            self._store(pad, left)
        if self.position % self.subbuf == 0:
            record = SUBBUF.pack(self.position, self.messages, next(self.clock), 0) + record
        self.messages += 1
        self._store(record, len(record))

    def _store(self, data, size):
        self.word("reserve", self.position + size)
        self.machine.poke(self.ring + self.position % self.size, data)
        self.position += size
        self.word("seq", self.messages)
        self.word("head", self.position)

    def wait_consumed(self, position=None):
        """Wait until the device has copied up to the current position."""
        wanted = self.position if position is None else position
        deadline = time.monotonic() + PATIENCE
        while self.consumed() != wanted:
            if time.monotonic() > deadline:
                raise GuestError(f"the device has consumed {self.consumed()}, not {wanted}: "
                                 f"{self.machine.qemu_output()}")
            time.sleep(0.001)


class Evidence(LogFile):
    """A log of which all is checked that drivers wrote which kept the rules.

    good     {(epoch, stream)} of these
    foreign  chunks with what others wrote, unread
    """

    def __init__(self, path, good):
        self.good = good
        self.epochs_of_good = {epoch for epoch, _ in good}
        self.foreign = []
        super().__init__(path)

    def _attach(self, chunk):
        if chunk.epoch in self.epochs_of_good:
            super()._attach(chunk)

    def _dict(self, chunk):
        if chunk.epoch in self.epochs_of_good:
            super()._dict(chunk)

    def _data(self, chunk):
        if (chunk.epoch, chunk.stream) in self.good:
            super()._data(chunk)
        else:
            self.foreign.append(chunk)
