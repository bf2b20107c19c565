# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the device trusts no driver: one that breaks each rule of docs/spec/virtio-ddebug.md,
and of virtqueues, gets the answers that are said there, or DEVICE_NEEDS_RESET, and nothing else
happens: QEMU goes on and ends as ever, other streams lose nothing, a driver that keeps the rules
has its messages in the log afterwards, and what is copied of the others was in their rings.

There is no guest: the drivers are in here (ddebug_qtest.py)."""

import contextlib
import os
import random
import struct

from ddebug_disk import FailingDisk
from ddebug_guest import GuestError, Log
from ddebug_logfile import ATTACH, VERSION
from ddebug_qtest import (BARS, COMMON, DRIVER_OK, FEATURES, FILL, F_CLOCK, F_COPY, F_INDIRECT_DESC, F_KMSG,
                          F_LOG_SIZE, F_NOTICE, F_QUERY, F_RING_RESET, F_SHM, F_VERSION_1, HDR_OFF, HEAP,
                          INDIRECT, NEXT, NOWHERE, PCI_MASTER, PCI_MEMORY, PRODUCER, PRODUCER_CODE,
                          PRODUCER_RUNS, RAM, REQ_ATTACH, REQ_CLOCK, REQ_DICT, REQ_HDR, REQ_LOG_SIZE,
                          REQ_RETIRE, RESP, RETIRE, RING_OFF, ROM, SHM_STATUS_OFF, STREAM_F_SHM, S_INVAL,
                          S_IOERR, S_NOSPC, S_OK, S_UNSUPP, VQ_CONTROL, VQ_RING, WRITE, Driver, Evidence,
                          Machine, Queue, Stream, callsite)
from ddebug_test import DEVICE, DdebugTest

ALL_ONES = (1 << 64) - 1
SEED = 20261125
MIB = 1 << 20


class Hostile(DdebugTest):
    """Drivers that break the rules, and behind each of them one that keeps them."""

    timeout = 200

    def machine(self, props="size=4M,ioeventfd=off", **options):
        """A QEMU; without ioeventfd a notification is served when the store is done that it is."""
        machine = Machine(self.outputdir, name=f"machine{len(self.guests)}", life=self.timeout - 5,
                          props=props, **options)
        self.guests.append(machine)
        machine.start()
        machine.good = set()        # (epoch, stream) of those that keep the rules
        machine.texts = []          # what they have said
        return machine

    def attached(self, machine, features=FEATURES, **options):
        driver = Driver(machine, features, **options)
        self.assertEqual(driver.attach()[0], S_OK)
        self.assertEqual(driver.dictionary(), S_OK)
        return driver

    def good_stream(self, driver, stream=0, **more):
        """One that is posted, and whose messages are known."""
        found = Stream(driver, stream, **more).post()
        driver.machine.good.add((driver.epoch, stream))
        return found

    def says(self, stream, count=2):
        """Messages that the log must have."""
        machine = stream.machine
        texts = [b"good message %d " % (len(machine.texts) + at) for at in range(count)]
        machine.texts += [text.ljust(900, b".") for text in texts]
        stream.say(*machine.texts[-count:])

    def evidence(self, machine):
        """The log: every message that was said is there once, and nothing is damaged."""
        found = Evidence(machine.log_file, machine.good)
        self.assertEqual(sorted(message.text for message in found.messages), sorted(machine.texts))
        self.assertEqual((found.damaged, found.skipped, found.total_lost, found.tail_lost), (0, 0, 0, 0))
        for message in found.messages:
            self.assertEqual((message.pid, message.callsite.function), (42, "good"))
        return found

    def good(self, machine, shm=None):
        """A driver that keeps the rules is served as if nothing had been."""
        driver = self.attached(machine, FEATURES | (0 if shm is None else 1 << F_SHM))
        stream = self.good_stream(driver, size=8192, shm=shm)
        while stream.position < stream.size:
            self.says(stream, 6)    # less than the ring holds
            stream.wait_consumed()
        self.says(stream)
        self.assertEqual(driver.retire(0, 1), S_INVAL)
        self.assertEqual(driver.retire(0), S_OK)
        self.assertEqual(driver.ring.returned(), [(stream.descriptor, 64)])
        self.assertEqual(stream.consumed(), stream.position)
        # behind what was copied before
        self.assertEqual(driver.dictionary(), S_OK)
        self.assertFalse(driver.needs_reset())
        self.assertEqual(machine.command("query-status")["running"], True)
        return self.evidence(machine)

    def tool_reads(self, machine):
        """The tool shows each message that was said once, and no other that has its looks."""
        log = Log(machine.log_file)
        self.log.info("%s", log.tool("--info").stdout.decode())
        shown = [line.text for line in log.trace() if line.stamp is not None]
        mine = sorted(text[text.index(b"good message"):] for text in shown if b"good message" in text)
        self.assertEqual(mine, sorted(machine.texts))
        return log.info(), [text for text in shown if b"good message" not in text]

    def ends(self, machine):
        """QEMU ends as ever: what the tool says of the log, and shows that no good driver wrote."""
        machine.command("quit")
        self.assertEqual(machine.wait(), 0, machine.qemu_output())
        self.assertNotRegex(machine.qemu_output(), "(?i)assert|abort|CRITICAL|sanitizer")
        self.assertEqual(self.evidence(machine).events[-1][0], "close")
        return self.tool_reads(machine)

    def ends_clean(self, machine):
        """The same, where there is nothing else to show."""
        info, others = self.ends(machine)
        self.assertEqual(others, [])
        self.assertEqual((info["received"], info["lost"]), (len(machine.texts), 0))

    @contextlib.contextmanager
    def case(self, name):
        """Names the row of a table, should it fail."""
        self.log.info("case: %s", name)
        try:
            yield
        except Exception as error:
            raise self.failureException(f"case '{name}': {error!r}") from error

    def broken(self, driver, *queues):
        """The device says that it needs a reset, and has returned nothing."""
        self.assertTrue(driver.needs_reset())
        for queue in queues or driver.queues:
            self.assertEqual(queue.returned(), [])

    def breaks(self, machine, act, shm=None):
        """What a driver does makes the device need a reset, and costs another of its streams nothing."""
        driver = self.attached(machine, FEATURES | (0 if shm is None else 1 << F_SHM))
        driver.control.returned()
        companion = self.good_stream(driver, 1, shm=shm)
        self.says(companion)
        act(driver)
        self.broken(driver)
        # it does nothing more for the driver, who has not seen it yet
        driver.send(hdr(REQ_CLOCK, 0))
        Stream(driver, 2).post()
        self.broken(driver)
        self.says(companion)
        driver.reset()
        self.assertEqual(companion.consumed(), companion.position)
        self.good(machine, shm)


def hdr(kind, length):
    return REQ_HDR.pack(kind, 0, length)


def split(address, size, piece):
    return [(address + at, min(piece, size - at)) for at in range(0, size, piece)]


class Requests(Hostile):
    """The control queue."""

    def test_a_driver_that_keeps_the_rules(self):
        """What the others are measured by, with and without ioeventfd.

        :avocado: tags=smoke
        """
        machine = self.machine()
        driver = Driver(machine)
        self.assertEqual((driver.version, driver.ring_queues, driver.max_streams, driver.max_request),
                         (VERSION, 1, 4, 65536))
        self.assertEqual(driver.log_size, os.stat(machine.log_file).st_size)
        for bit in (F_SHM, F_QUERY, F_CLOCK, F_COPY, F_LOG_SIZE, F_KMSG):
            self.assertFalse(driver.offers >> bit & 1, bit)
        for bit in (F_NOTICE, F_VERSION_1, F_INDIRECT_DESC):
            self.assertTrue(driver.offers >> bit & 1, bit)
        self.good(machine)
        # a driver cannot write to the configuration
        before = driver.device_config()
        machine.poke(machine.device, b"\xff" * 32)
        self.assertEqual(driver.device_config(), before)
        self.good(machine)
        self.ends_clean(machine)
        machine = self.machine("size=4M,ioeventfd=on")
        self.good(machine)
        self.ends_clean(machine)

    def test_requests_that_are_answered_otherwise(self):
        machine = self.machine()
        driver = Driver(machine)
        unknown = [kind for kind in (0, REQ_CLOCK, 5, 7, 8, 0x100, 0x101, 0xffff)]

        def refused(status, kind, payload=b""):
            self.assertEqual(driver.request(kind, payload), (status, 0), (kind, len(payload)))

        # before ATTACH
        for kind in unknown:
            for payload in (b"", bytes(160), b"\xff" * 4096):
                refused(S_UNSUPP, kind, payload)
        refused(S_INVAL, REQ_DICT, callsite())
        refused(S_INVAL, REQ_RETIRE, RETIRE.pack(0, 0))
        refused(S_UNSUPP, REQ_LOG_SIZE, struct.pack("<Q", 2 * MIB))
        for length in (0, 1, 159, 161, 320, driver.max_request - 8):
            refused(S_INVAL, REQ_ATTACH, driver.attachment().ljust(length, b"\0")[:length])
        for version in (VERSION + 1, VERSION - 1 & 0xffffffff, 1 << 31, VERSION + (1 << 16)):
            self.assertEqual(driver.attach(version), (S_INVAL, 0))
        refused(S_INVAL, REQ_ATTACH, bytes(driver.max_request - 7))

        # two at once: the first one counts, and both are answered
        payload = driver.attachment()
        answers = [driver.send(hdr(REQ_ATTACH, ATTACH.size) + payload, kick=False) for _ in range(2)]
        driver.control.kick()
        returned = []
        while len(returned) < 2:
            returned += driver.control.wait_returned()
        self.assertEqual(sorted(returned), sorted((at % driver.control.size, RESP.size) for at in range(
            driver.control.offered - 2, driver.control.offered)))
        self.assertEqual([driver.answer(at)[0] for at in answers], [S_OK, S_INVAL])
        driver.epoch = driver.answer(answers[0])[1]

        # behind it
        for kind in unknown:
            refused(S_UNSUPP, kind)
        self.assertEqual(driver.attach(), (S_INVAL, 0))
        refused(S_INVAL, REQ_DICT)
        refused(S_INVAL, REQ_DICT, callsite() * (driver.max_request // len(callsite()) + 1))
        refused(S_INVAL, REQ_CLOCK, bytes(driver.max_request))
        refused(S_UNSUPP, REQ_LOG_SIZE, struct.pack("<Q", 2 * MIB))
        stream = self.good_stream(driver)
        for payload in (b"", bytes(4), bytes(7), bytes(9), RETIRE.pack(0, 1), RETIRE.pack(1, 0),
                        RETIRE.pack(0xffffffff, 0), RETIRE.pack(0, 0xffffffff)):
            refused(S_INVAL, REQ_RETIRE, payload)
        self.says(stream)
        stream.wait_consumed()
        self.assertEqual(driver.ring.returned(), [])
        self.assertEqual(driver.retire(0), S_OK)
        refused(S_INVAL, REQ_RETIRE, RETIRE.pack(0, 0))

        # of the greatest length that may be, and much greater than memory
        entry = callsite(fmt=b"%s".ljust(2000, b"."))
        payload = entry * ((driver.max_request - 8) // len(entry))
        rest = driver.max_request - 8 - len(payload)
        payload += callsite(fmt=b"".ljust(rest - len(callsite(fmt=b"")), b"."))
        self.assertEqual(len(payload), driver.max_request - 8)
        self.assertEqual(driver.request(REQ_DICT, payload), (S_OK, 0))
        first = driver.place(hdr(REQ_DICT, 512 * MIB))
        answer = machine.alloc(RESP.size + 64)
        machine.fill(answer, RESP.size + 64, FILL)
        driver.control.add([(first, 8)] + [(HEAP, 64 * MIB)] * 8, [(answer, RESP.size)])
        driver.control.wait_returned()
        self.assertEqual(driver.answer(answer), (S_INVAL, 0))

        # in pieces of a byte, and with more room than is needed
        request = hdr(REQ_DICT, len(callsite())) + callsite()
        for data, status in ((request, S_OK), (hdr(REQ_DICT, 0), S_INVAL), (hdr(9, 0), S_UNSUPP)):
            machine.fill(answer, RESP.size + 64, FILL)
            driver.control.add(split(driver.place(data), len(data), 1), split(answer, RESP.size, 1))
            self.assertEqual(driver.control.wait_returned()[0][1], RESP.size)
            self.assertEqual(driver.answer(answer), (status, 0))
        self.assertEqual(driver.request(REQ_DICT, callsite(), room=4096), (S_OK, 0))
        self.assertFalse(driver.needs_reset())
        self.good(machine)
        self.ends_clean(machine)

    def test_requests_that_are_none(self):
        """The device says that it needs a reset, answers nothing any more, and is as ever after it."""
        machine = self.machine()

        def sends(data, room=RESP.size):
            return lambda driver: driver.send(data, room)

        def writable_first(driver):
            request, answer = driver.place(hdr(REQ_CLOCK, 0)), machine.alloc(16)
            driver.control.describe(0, (answer, 16, NEXT | WRITE, 1), (request, 8, 0, 0))
            driver.control.available(0)

        cases = [
            ("nothing readable", sends(b"")),
            ("half a header", sends(hdr(REQ_CLOCK, 0)[:4])),
            ("seven bytes", sends(hdr(REQ_CLOCK, 0)[:7])),
            ("less than it says", sends(hdr(REQ_DICT, 161) + bytes(160))),
            ("more than it says", sends(hdr(REQ_DICT, 159) + bytes(160))),
            ("nothing of what it says", sends(hdr(REQ_ATTACH, ATTACH.size))),
            ("says 2^32 - 1", sends(hdr(REQ_DICT, 0xffffffff) + bytes(16))),
            ("says 2^32 - 8", sends(hdr(REQ_DICT, 0xfffffff8))),
            ("too long, and says otherwise", sends(hdr(REQ_DICT, 8) + bytes(70000))),
            ("no room", sends(hdr(REQ_CLOCK, 0), 0)),
            ("a byte of room", sends(hdr(REQ_CLOCK, 0), 1)),
            ("15 bytes of room", sends(hdr(REQ_CLOCK, 0), 15)),
            ("writable before readable", writable_first),
            ("all zeros", sends(bytes(4096))),
            ("an element of a ring", lambda driver: Stream(driver).post(queue=driver.control)),
        ]
        for name, act in cases:
            with self.case(name):
                self.breaks(machine, act)
        self.ends_clean(machine)

    def expected(self, attached, kind, payload):
        """The statuses that the specification allows."""
        if kind == REQ_ATTACH:
            right = len(payload) == ATTACH.size and payload[:4] == struct.pack("<I", VERSION)
            return (S_OK,) if right and not attached else (S_INVAL,)
        if kind == REQ_DICT:
            return (S_OK, S_NOSPC) if attached and payload else (S_INVAL,)
        return (S_INVAL,) if kind == REQ_RETIRE else (S_UNSUPP,)

    def test_random_requests(self):
        """Each gets the answer that the specification says."""
        machine = self.machine()
        rng = random.Random(SEED)
        driver, attached, statuses, resets = Driver(machine), False, [0] * 5, 0
        for _ in range(500):
            kind = rng.choice((*range(9), rng.getrandbits(16)))
            payload = rng.randbytes(rng.choice((0, 1, 7, 8, 24, 160, rng.randrange(3000))))
            if kind == REQ_ATTACH and rng.random() < 0.7:
                payload = driver.attachment()
            length = len(payload) if rng.random() < 0.9 else rng.getrandbits(rng.choice((4, 12, 32)))
            data, room = hdr(kind, length) + payload, rng.choice((16, 17, 256))
            if rng.random() < 0.1:
                data, room = rng.randbytes(rng.randrange(64)), rng.randrange(64)
            answer = driver.send(data, room)
            said = REQ_HDR.unpack(data[:8])[2] if len(data) >= 8 else None
            if room < RESP.size or said != len(data) - 8:
                self.broken(driver, driver.control)
                driver, attached, resets = Driver(machine), False, resets + 1
                continue
            self.assertEqual(len(driver.control.wait_returned()), 1)
            status, _ = driver.answer(answer)
            kind = REQ_HDR.unpack(data[:8])[0]
            self.assertIn(status, self.expected(attached, kind, data[8:]), data)
            attached = attached or kind == REQ_ATTACH and status == S_OK
            statuses[status] += 1
        self.log.info("answers by status: %s, %d resets", statuses, resets)
        self.assertGreater(min(statuses[:3]), 20)
        self.good(machine)
        self.ends_clean(machine)

    def test_a_size_of_the_log_that_it_may_not_have(self):
        machine = self.machine("size=2M,guest-size-max=4M,ioeventfd=off")
        size = os.stat(machine.log_file).st_size

        def wants(driver, size, status):
            answer = driver.request(REQ_LOG_SIZE, struct.pack("<Q", size))
            self.assertEqual(answer[0], status, size)
            return answer[1]

        driver = self.attached(machine)     # which does not accept the feature
        self.assertTrue(driver.offers >> F_LOG_SIZE & 1)
        self.assertEqual(wants(driver, 3 * MIB, S_UNSUPP), 0)
        driver = Driver(machine, FEATURES | 1 << F_LOG_SIZE)
        wants(driver, 3 * MIB, S_INVAL)     # before ATTACH
        self.assertEqual(driver.attach()[0], S_OK)
        for wanted in (0, 1, MIB, size - 1, 4 * MIB + 1, 1 << 40, 1 << 63, ALL_ONES):
            self.assertEqual(wants(driver, wanted, S_INVAL), 0)
        for length in (0, 4, 7, 9, 16):
            self.assertEqual(driver.request(REQ_LOG_SIZE, bytes(length)), (S_INVAL, 0))
        self.assertEqual(os.stat(machine.log_file).st_size, size)
        self.assertEqual(driver.device_config()[5], size)
        for wanted in (3 * MIB, size, 4 * MIB):
            takes = wants(driver, wanted, S_OK)
            self.assertLessEqual(takes, wanted)
            self.assertEqual(os.stat(machine.log_file).st_size, takes)
            self.assertEqual(driver.device_config()[5], takes)
        # one after the other, without waiting; then gone without its answers
        for _ in range(driver.control.size // 2):
            for wanted in (2, 4):
                driver.send(hdr(REQ_LOG_SIZE, 8) + struct.pack("<Q", wanted * MIB), kick=False)
        driver.control.kick()
        self.good(machine)
        self.ends_clean(machine)


class Elements(Hostile):
    """The elements of ring queues, and their chains."""

    def with_field(self, head=0, **fields):
        def act(driver):
            stream = Stream(driver, **{"stream": 0, **fields})
            stream.words(reserve=head, head=head)
            stream.post()
        return act

    def with_pieces(self, change):
        """A stream whose pieces, readable and writable, were changed."""
        def act(driver):
            stream = Stream(driver)
            readable, writable = stream.readable(), stream.writable()
            change(stream, readable, writable)
            stream.post(readable, writable)
        return act

    def elsewhere(self, address, which=1, length=None):
        """A readable piece, or the status (None), at another place."""
        def change(_, readable, writable):
            pieces, at = (writable, 0) if which is None else (readable, which)
            pieces[at] = (address, length or pieces[at][1])
        return self.with_pieces(change)

    def test_a_stream_that_cannot_be(self):
        """Its descriptor is out of range, or it is there already."""
        machine = self.machine()

        def twice(driver):
            for _ in range(2):
                Stream(driver).post()

        def at_once(driver):
            for _ in range(2):
                Stream(driver).post(kick=False)
            driver.ring.kick()

        def the_same_element(driver):
            stream = Stream(driver).post()
            driver.ring.available(stream.descriptor)

        def three_generations(driver):
            for generation in range(3):
                Stream(driver, generation=generation).post()

        cases = [(f"{name} is {value:#x}", self.with_field(**{name: value})) for name, values in (
            ("magic", (0, 0x54534445, 0x44445354, 0xffffffff)),
            ("stream", (4, 5, 1024, 0x7fffffff, 0xffffffff)),
            ("context", (4, 255)),
            ("subbuf_shift", (0, 11, 17, 31, 32, 44, 63, 64, 255)),
            ("ring_size", (0, 8, 4096, 4097, 6144, 16380, 16392, 20480, 12288, 64 * MIB, 64 * MIB + 4096,
                           1 << 31, 0xfffff000, 0xffffffff)),
            ("start", (1, 4, 12, 8193, ALL_ONES)),
            # in a header, and behind the head
            ("start", (8, 24, 4096 + 8, 4096 + 24, 8192 + 16, 64, 4096, (1 << 63) - 4096, ALL_ONES - 7)),
            ("flags", (2, 3, 0x100, 1 << 31, 0xffffffff, STREAM_F_SHM)),
        ) for value in values]
        cases += [(f"start is {start} with a head beyond it", self.with_field(start=start, head=8192))
                  for start in (8, 16, 24, 4096 + 8, 4096 + 24)]
        cases += [("twice", twice), ("twice at once", at_once), ("the same element", the_same_element),
                  ("three rings of a stream", three_generations)]
        for name, act in cases:
            with self.case(name):
                self.breaks(machine, act)
        # but for the borders
        for start, head in ((32, 32), (32, 64), (4096, 4096), (4096 + 32, 8192), (8192 - 8, 8192)):
            with self.case(f"start is {start}, head is {head}"):
                driver = self.attached(machine)
                self.with_field(start=start, head=head)(driver)
                self.assertEqual(driver.retire(0), S_OK)
                self.assertFalse(driver.needs_reset())
                self.good(machine)
        self.ends_clean(machine)

    def test_pieces_that_cannot_be(self):
        """Too short, too many, unaligned, not in memory, or not all of them."""
        machine = self.machine()

        def set_piece(which, offset, length, of="readable"):
            def change(_, readable, writable):
                pieces = readable if of == "readable" else writable
                address, old = pieces[which]
                pieces[which] = (address + offset, old + length)
            return self.with_pieces(change)

        def split_header(at):
            def change(stream, readable, _):
                readable[:1] = [(stream.page, at), (stream.page + at, RING_OFF - at)]
            return self.with_pieces(change)

        def more(of, *pieces):
            def change(_, readable, writable):
                (readable if of == "readable" else writable).extend(pieces)
            return self.with_pieces(change)

        def none_of(of):
            def change(_, readable, writable):
                del (readable if of == "readable" else writable)[:]
            return self.with_pieces(change)

        def no_ring(_, readable, __):
            del readable[1:]

        def too_many(stream, readable, _):
            readable[1:] = split(stream.ring, 1024 * 8, 8)
            stream.fields["ring_size"] = 8192

        bar = BARS
        cases = [
            ("no status", none_of("writable")),
            ("nothing readable", none_of("readable")),
            ("no ring", self.with_pieces(no_ring)),
            ("a piece less", self.with_pieces(lambda _, readable, __: readable.pop())),
            ("a piece more", more("readable", (HEAP, 4096))),
            ("a byte more", more("readable", (HEAP, 1))),
            ("a ring that is short by 8", set_piece(2, 0, -8)),
            ("a ring that is long by 8", set_piece(2, 0, 8)),
            ("a piece of 4 GiB", set_piece(2, 0, 0xffffffff - 4096)),
            ("a descriptor of 63 bytes", split_header(63)),
            ("a header that is cut off", split_header(64)),
            ("a header that is cut at its end", split_header(127)),
            ("a descriptor that is not aligned", set_piece(0, 8, 0)),
            ("a descriptor that is aligned to 32", set_piece(0, 32, 0)),
            ("a status that is not aligned", set_piece(0, 8, 0, "writable")),
            ("a status that is aligned to 32", set_piece(0, 32, 0, "writable")),
            ("a status of 63 bytes", set_piece(0, 0, -1, "writable")),
            ("1025 pieces", self.with_pieces(too_many)),
            ("a descriptor nowhere", self.elsewhere(NOWHERE, 0)),
            ("a ring nowhere", self.elsewhere(NOWHERE)),
            ("a ring at the end of addresses", self.elsewhere(ALL_ONES - 4095)),
            ("a ring behind all memory", self.elsewhere(RAM)),
            ("a ring that goes out of memory", self.elsewhere(RAM - 4096)),
            ("a status nowhere", self.elsewhere(NOWHERE, None)),
            ("a status behind all memory", self.elsewhere(RAM, None)),
            ("a status that goes out of memory", self.elsewhere(RAM - 64, None, 128)),
            ("more to write to, nowhere", more("writable", (NOWHERE, 64))),
            ("more to write to, in registers", more("writable", (bar, 64))),
            ("a descriptor in registers", self.elsewhere(bar, 0)),
            ("a ring in registers", self.elsewhere(bar)),
            ("a piece in registers", self.elsewhere(bar, 2)),
            ("a status in registers", self.elsewhere(bar, None)),
            ("a status in ROM", self.elsewhere(ROM, None)),
        ]
        for name, act in cases:
            with self.case(name):
                self.breaks(machine, act)
        self.ends_clean(machine)

    def test_the_wrong_queue(self):
        """A stream belongs on one of the ring queues, by its id."""
        try:
            machine = self.machine(cpus="1,maxcpus=257")
        except GuestError as error:
            if "X2APIC" not in str(error):
                raise
            self.cancel("this QEMU has no more than 255 CPUs, and the device one ring queue")
        driver = self.attached(machine)
        self.assertEqual((driver.ring_queues, driver.max_streams), (2, 1028))
        for number, right, wrong in ((0, 0, 1), (1, 1, 0), (1026, 0, 1), (1027, 1, 0)):
            with self.case(f"stream {number} on ring queue {wrong}"):
                driver = self.attached(machine)
                stream = Stream(driver, number).post(queue=driver.queues[2 + right])
                self.assertEqual(driver.retire(number), S_OK)
                self.assertEqual(driver.queues[2 + right].returned(), [(stream.descriptor, 64)])
                Stream(driver, number).post(queue=driver.queues[2 + wrong])
                self.broken(driver)
                self.good(machine)
        self.ends_clean(machine)

    def test_streams_before_attach(self):
        """They are held, and not read before ATTACH was answered with OK."""
        machine = self.machine()
        driver = Driver(machine)
        stream = Stream(driver).post()
        self.says(stream, 3)
        driver.ring.kick()
        self.assertEqual(driver.dictionary(), S_INVAL)
        self.assertEqual(driver.retire(0), S_INVAL)
        self.assertEqual(driver.attach(VERSION + 1)[0], S_INVAL)
        driver.ring.kick()
        self.assertEqual((stream.consumed(), stream.wants_kick(), driver.ring.returned()), (0, False, []))
        self.assertEqual(driver.attach()[0], S_OK)
        machine.good.add((driver.epoch, 0))
        self.assertEqual(driver.dictionary(), S_OK)
        stream.wait_consumed()
        # and what was never read is no message
        driver.reset()
        driver = Driver(machine)
        Stream(driver).post().say(b"not to be read", b"nor this")
        driver.ring.kick()
        self.good(machine)
        self.assertEqual(self.evidence(machine).foreign, [])
        self.ends_clean(machine)

    def test_the_event_queue_is_not_used(self):
        machine = self.machine()
        driver = self.attached(machine)
        room = machine.alloc(4096)
        machine.fill(room, 4096, FILL)
        for at in range(driver.event.size):
            driver.event.add([(room, 16)], [(room + 64 * at, 64)])
        Stream(driver, 3).post(queue=driver.event)
        # nor looked at
        driver.event.describe(0, (NOWHERE, 0, NEXT, 0xffff))
        driver.event.available(0xffff, 0x4000)
        stream = self.good_stream(driver)
        self.says(stream, 3)
        stream.wait_consumed()
        self.assertEqual(driver.retire(0), S_OK)
        self.assertFalse(driver.needs_reset())
        self.assertEqual(driver.event.returned(), [])
        self.assertEqual(machine.peek(room, 4096), bytes([FILL]) * 4096)
        self.good(machine)
        self.ends_clean(machine)

    def test_chains_that_are_none(self):
        """Loops, numbers out of range, tables that are none, on the control queue and a ring queue."""
        machine = self.machine()
        data = HEAP + 128 * MIB     # of no driver

        def chain(*descriptors, head=0, jump=1):
            def act(queue):
                queue.describe(0, *descriptors)
                queue.available(head, jump)
            return act

        def table(*descriptors, length=None, flags=INDIRECT, address=None):
            def act(queue):
                found = queue.table(*descriptors)
                queue.describe(0, (address or found[0], found[1] if length is None else length, flags, 0))
                queue.available(0)
            return act

        def whole_table_of_itself(queue):
            address, length, _, __ = queue.table((0, 0, 0, 0))
            machine.poke(address, struct.pack("<QIHH", address, length, INDIRECT, 0))
            queue.describe(0, (address, length, INDIRECT, 0))
            queue.available(0)

        one = (data, 64, 0, 0)
        cases = [
            ("a descriptor after itself", chain((data, 64, NEXT, 0))),
            ("two in a circle", chain((data, 64, NEXT, 1), (data, 64, NEXT, 0))),
            ("a circle that is writable", chain((data, 64, NEXT | WRITE, 1), (data, 64, NEXT | WRITE, 0))),
            ("next out of range", chain((data, 64, NEXT, 1024))),
            ("next is 0xffff", chain((data, 64, NEXT, 0xffff))),
            ("readable after writable", chain((data, 64, NEXT | WRITE, 1), one)),
            ("nothing in a buffer", chain((data, 0, 0, 0))),
            ("head out of range", chain(one, head=1024)),
            ("head is 0xffff", chain(one, head=0xffff)),
            ("a jump of the index", chain(one, jump=0x4000)),
            ("the index goes back", chain(one, jump=-1)),
            ("a table of nothing", table(one, length=0)),
            ("a table of 15 bytes", table(one, length=15)),
            ("a table of 17 bytes", table(one, length=17)),
            ("a table of 4 GiB", table(one, length=0xfffffff0)),
            ("a table that is too long for memory", table(one, length=16 * 1024, address=RAM - 16)),
            ("a table nowhere", table(one, address=NOWHERE)),
            ("a table in registers", table(one, address=BARS)),
            ("a table in a table", table((data, 16, INDIRECT, 0))),
            ("a table of itself", whole_table_of_itself),
            ("a circle in a table", table((data, 64, NEXT, 1), (data, 64, NEXT, 0))),
            ("next out of a table", table((data, 64, NEXT, 1))),
            ("next far out of a table", table((data, 64, NEXT, 0xffff))),
            ("readable after writable in a table", table((data, 64, NEXT | WRITE, 1), one)),
        ]
        for index in (0, 2):
            for name, act in cases:
                with self.case(f"{name}, queue {index}"):
                    self.breaks(machine, lambda driver: act(driver.queues[index]))
        self.ends_clean(machine)


class Positions(Hostile):
    """What a producer may not do with its stream, done while another one keeps the rules."""

    def looked(self, driver, good):
        """The device has looked at all streams since this was called."""
        driver.ring.kick()
        for _ in range(2):
            self.says(good, 1)
            good.wait_consumed()

    def filled(self, driver, data=b"", post=True, **words):
        """A stream with such bytes in its ring, such a header, from its begin on."""
        stream = Stream(driver, 1, size=8192)
        driver.machine.poke(stream.ring, data)
        stream.words(**words)
        return stream.post() if post else stream

    def copies_are_of(self, machine, epoch, ring):
        """What is in the log of a hostile stream is what was in its ring, each byte in its place."""
        copied = 0
        for chunk in self.evidence(machine).foreign:
            if chunk.epoch == epoch:
                copied += len(chunk.payload)
                begin = chunk.end - len(chunk.payload)
                if chunk.pos % 4096:
                    self.assertEqual(chunk.payload[:32], ring[chunk.pos % 8192 // 4096 * 4096:][:32])
                    chunk.payload, begin = chunk.payload[32:], chunk.pos
                self.assertEqual(chunk.payload, ring[begin % 8192:][:len(chunk.payload)])
        return copied

    def test_positions_that_make_it_stop(self):
        """The device reads the stream no more until it is posted again, and goes on with the others."""
        machine = self.machine()
        content = random.Random(SEED).randbytes(8192)

        def goes_back(to):
            def act(driver):
                stream = self.filled(driver, content, reserve=128, head=128)
                stream.wait_consumed(128)
                stream.word("head", to)
                return stream, 128
            return act

        def at(head, reserve):
            return lambda driver: (self.filled(driver, content, reserve=reserve, head=head), 0)

        def stands_in_a_header(driver):
            stream = self.filled(driver, content, reserve=8, head=8)
            stream.wait_consumed(8)
            stream.words(reserve=64, head=64)
            return stream, 8

        cases = [
            ("head is beyond reserve", at(64, 0)),
            ("head is far beyond reserve", at(1 << 40, 64)),
            ("head goes back", goes_back(64)),
            ("head goes back to nothing", goes_back(0)),
            ("head is 2^64 - 1", at(ALL_ONES, ALL_ONES)),
            ("head is 2^64 - 8", at(ALL_ONES - 7, ALL_ONES - 7)),
            ("head is 2^63", at(1 << 63, 1 << 63)),
            ("head is no multiple of eight", at(12, 16)),
            ("reserve is too far ahead", at(64, 64 + 4104)),
            ("reserve is 2^64 - 1", at(64, ALL_ONES)),
            ("reserve is 2^63", at(0, 1 << 63)),
            ("head is in a header", stands_in_a_header),
        ]
        for name, act in cases:
            with self.case(name):
                driver = self.attached(machine)
                good = self.good_stream(driver)
                self.says(good)
                stream, consumed = act(driver)
                self.looked(driver, good)
                self.assertEqual(stream.consumed(), consumed)
                # it does not come back by being right again
                stream.words(reserve=4096, head=4096)
                self.looked(driver, good)
                self.assertEqual(stream.consumed(), consumed)
                self.assertEqual(driver.retire(1), S_OK)
                # with which everything is in the log
                self.assertEqual(driver.dictionary(), S_OK)
                self.assertEqual(self.copies_are_of(machine, driver.epoch, content), consumed)
                # but by being posted again
                again = Stream(driver, 1, generation=1).post()
                again.say(b"read again")
                again.wait_consumed()
                self.assertFalse(driver.needs_reset())
                self.assertEqual(driver.ring.returned(), [(stream.descriptor, 64)])
                self.good(machine)
        complaints = [line for line in machine.qemu_output().splitlines() if "is no longer read" in line]
        self.assertEqual(len(complaints), len(cases))
        _, others = self.ends(machine)
        self.assertEqual(len([text for text in others if b"read again" in text]), len(cases))

    def test_words_without_sense(self):
        """What is wild and breaks no rule is copied, byte for byte, and nothing else."""
        machine = self.machine()
        rng = random.Random(SEED)
        content = rng.randbytes(8192)
        all_ones = {name: ALL_ONES for name in ("seq", "recursed", "torn", "clamped")}
        cases = [
            ("head far ahead", content, 1 << 40, {}),
            ("head more than a ring ahead", content, 8192 + 8, {}),
            ("the greatest head", content, (1 << 63) - 8, {}),
            ("the greatest head less a ring", content, (1 << 63) - 8192, {}),
            ("a ring of garbage", content, 8192, {}),
            ("a ring of zeros", bytes(8192), 8192, {}),
            ("a ring of ones", b"\xff" * 8192, 8192, {}),
            ("less than a header", content, 8, {}),
            ("a header, no record", content, 32, {}),
            ("counters", content, 64, all_ones),
            ("active", content, 64, {"active": 0xffffffff}),
            ("a notice of no kind", content, 64, {"notice": 0xffffffff}),
        ]
        for name, ring, head, words in cases:
            with self.case(name):
                driver = self.attached(machine)
                good = self.good_stream(driver)
                stream = self.filled(driver, ring, reserve=head, head=head, **words)
                self.says(good)
                stream.wait_consumed(head)
                self.looked(driver, good)
                self.assertEqual(driver.retire(1), S_OK)
                self.assertEqual(driver.dictionary(), S_OK)
                first = 0 if head <= 8192 else -(-(head - 8192) // 4096) * 4096
                self.assertEqual(self.copies_are_of(machine, driver.epoch, ring), head - first)
                self.assertFalse(driver.needs_reset())
                self.good(machine)
        with self.case("a guest that dies again and again"):
            driver = self.attached(machine)
            good, stream = self.good_stream(driver), Stream(driver, 1).post()
            for at in range(300):
                stream.word("notice", at << 8 | at % 5)
                driver.ring.kick()
            self.looked(driver, good)
            self.good(machine)
        self.ends(machine)

    def test_a_producer_at_random(self):
        """It changes its words and its ring all the time while the device copies them."""
        machine = self.machine("size=16M,ioeventfd=off")
        rng = random.Random(SEED)
        driver = self.attached(machine)
        good = self.good_stream(driver)
        streams = [Stream(driver, number, size=8192).post() for number in (1, 2, 3)]
        places = (0, 8, 32, 64, 4096, 8192, 12288, 1 << 20, 1 << 40, 1 << 63, ALL_ONES)
        for at in range(600):
            stream = rng.choice(streams)
            word = rng.choice(("reserve", "head") * 4 + ("seq", "torn", "active", "notice"))
            value = rng.choice((rng.choice(places) + 8 * rng.randrange(-2, 3) & ALL_ONES, 8 * at))
            if word in ("reserve", "head") and rng.random() < 0.5:
                stream.words(reserve=value, head=value)
            else:
                stream.word(word, value & 0xffffffff if word in ("active", "notice") else value)
            if rng.random() < 0.2:
                machine.poke(stream.ring, rng.randbytes(512))
            driver.ring.kick()
            if at % 20 == 0:
                self.says(good, 1)
            if at % 10 == 0:
                self.assertEqual(driver.retire(stream.fields["stream"], stream.fields.get("generation", 0)),
                                 S_OK)
                streams[streams.index(stream)] = Stream(
                    driver, stream.fields["stream"], size=8192,
                    generation=stream.fields.get("generation", 0) + 1).post()
        good.wait_consumed()
        self.assertFalse(driver.needs_reset())
        self.good(machine)
        # it is told of, but not without end
        self.assertLessEqual(machine.qemu_output().count("is no longer read"), 16)
        self.ends(machine)

    def test_a_producer_that_runs(self):
        """The processor writes without a pause, and laps the device, while it is posted and retired."""
        machine = self.machine("size=64M,ioeventfd=off", program=PRODUCER_CODE)
        driver = self.attached(machine)
        good = self.good_stream(driver)
        machine.put(PRODUCER + PRODUCER_RUNS, 1, "b")
        self.until("it runs", lambda: machine.get(PRODUCER + HDR_OFF + 8))
        for generation in range(30):
            Stream(driver, 1, size=8192, at=PRODUCER, generation=generation).post()
            self.looked(driver, good)
            self.assertEqual(driver.retire(1, generation), S_OK)
            self.assertFalse(driver.needs_reset())
        Stream(driver, 1, size=8192, at=PRODUCER).post()
        self.says(good)
        driver.reset()
        machine.put(PRODUCER + PRODUCER_RUNS, 0, "b")
        self.assertGreater(len(self.good(machine).foreign), 10)
        self.ends(machine)


class SharedMemory(Hostile):
    """Streams in shared memory region 0."""

    PROPS = "size=4M,shm=on,shm-size=1M,ioeventfd=off"
    SHM = FEATURES | 1 << F_SHM

    def element(self, offset, **fields):
        """The element of a stream there, of which nothing is in the region."""
        def act(driver):
            stream = Stream(driver, **{"flags": STREAM_F_SHM, "epoch": driver.epoch, "shm_offset": offset,
                                       "size": 8192, **fields})
            return stream.post(readable=[(stream.desc, 64)])
        return act

    def test_places_that_cannot_be(self):
        machine = self.machine(self.PROPS)
        self.assertEqual(machine.shm_size, MIB)

        def in_the_element(pieces):
            """What is not to be there, since it is in the region."""
            def act(driver):
                stream = Stream(driver, flags=STREAM_F_SHM, epoch=driver.epoch)
                stream.post(readable=pieces(stream))
            return act

        cases = [(f"at {offset:#x}", self.element(offset)) for offset in (
            1, 8, 64, 2048, 4095, MIB - 8192, MIB - 4096, MIB, MIB + 4096, 1 << 32, 1 << 63,
            ALL_ONES - 8191, ALL_ONES - 4095, ALL_ONES)]
        cases += [
            ("as large as the region", self.element(0, size=MIB)),
            ("larger than the region", self.element(0, size=64 * MIB)),
            ("with another flag", self.element(0, flags=STREAM_F_SHM | 2)),
            ("with a header in the element", in_the_element(lambda stream: [(stream.page, 128)])),
            ("with a header apart", in_the_element(lambda stream: [(stream.page, 64), (stream.hdr, 64)])),
            ("with a byte more", in_the_element(lambda stream: [(stream.page, 65)])),
            ("with a ring in the element", in_the_element(Stream.readable)),
            ("with nothing of it in the element", lambda driver: Stream(
                driver, flags=STREAM_F_SHM).post(readable=[])),
        ]
        for name, act in cases:
            with self.case(name):
                self.breaks(machine, act, shm=65536)
        with self.case("not negotiated"):
            driver = self.attached(machine)
            self.element(0)(driver)
            self.broken(driver)
        self.good(machine, shm=0)
        self.ends_clean(machine)

    def hostile_rings(self, machine, rng):
        """Streams over streams, over garbage, and one that keeps the rules behind them."""
        driver = self.attached(machine, self.SHM)
        good = self.good_stream(driver, 0, shm=MIB - 65536)
        machine.poke(machine.shm, rng.randbytes(MIB - 65536))
        for number, offset in ((1, 0), (2, 0), (3, 4096)):
            stream = Stream(driver, number, size=rng.choice((8192, 65536)), shm=offset)
            if rng.random() < 0.5:
                stream.post()
                position = 8 * rng.randrange(1 << rng.choice((8, 20, 50)))
                stream.words(head=position, reserve=position)
            else:
                machine.poke(stream.desc, stream.describe())
                driver.ring.add(stream.readable(), stream.writable())
                machine.poke(stream.page, stream.describe())
            machine.poke(stream.page + SHM_STATUS_OFF, rng.randbytes(64))
        self.says(good, 4)
        driver.ring.kick()
        good.wait_consumed()
        return driver

    def test_rings_over_rings(self):
        """What is said in such a region is garbage; that of a stream that keeps apart is not."""
        machine = self.machine(self.PROPS.replace("4M", "16M"))
        rng = random.Random(SEED)
        for _ in range(12):
            driver = self.hostile_rings(machine, rng)
            self.assertFalse(driver.needs_reset())
            self.assertEqual([driver.retire(number) for number in (1, 2, 3)], [S_OK] * 3)
            driver = self.hostile_rings(machine, rng)
            self.assertFalse(driver.needs_reset())
            self.good(machine, shm=8192)
        # the region is as a hostile driver leaves it
        self.hostile_rings(machine, rng)
        self.ends(machine)

    def test_what_it_leaves_behind(self):
        """QEMU is killed: the tool, and the next QEMU, read what a hostile driver has in the region."""
        machine = self.machine(self.PROPS.replace("4M", "16M"))
        rng = random.Random(SEED)
        said, good = [], set()
        for _ in range(4):
            self.hostile_rings(machine, rng)
            machine.kill()
            self.tool_reads(machine)
            said, good = machine.texts, machine.good
            machine = self.machine(self.PROPS.replace("4M", "16M"), log=machine.log_file)
            machine.texts, machine.good = said, good
            self.good(machine, shm=4096)
        self.ends(machine)


class Life(Hostile):
    """What a driver does with the device as a whole, and with its queues."""

    def test_the_device_leaves_memory_alone(self):
        """Once DRIVER_OK or bus mastering is cleared, the device neither reads streams nor writes."""
        machine = self.machine()
        for name in ("DRIVER_OK", "bus mastering"):
            with self.case(name):
                driver = self.attached(machine)
                stream = self.good_stream(driver)
                self.says(stream)
                stream.wait_consumed()
                running = driver.status()
                if name == "DRIVER_OK":
                    driver.set("device_status", running & ~4)
                else:
                    machine.command_word(PCI_MEMORY)
                before = machine.peek(stream.status, 64)
                machine.good.add((driver.epoch, 1))
                late = Stream(driver, 1).post()
                self.says(stream)
                self.says(late)
                driver.ring.kick()
                self.assertEqual(machine.peek(stream.status, 64), before)
                self.assertEqual(machine.peek(late.status, 64), bytes(64))
                machine.command_word(PCI_MEMORY | PCI_MASTER)
                driver.set("device_status", running)
                driver.ring.kick()
                stream.wait_consumed()
                late.wait_consumed()
                self.assertFalse(driver.needs_reset())
                # nor after a reset
                driver.reset()
                machine.fill(stream.status, 64, FILL)
                stream.word("head", stream.position + 8)
                driver.ring.kick()
                self.assertEqual(machine.peek(stream.status, 64), bytes([FILL]) * 64)
                self.good(machine)
        self.ends_clean(machine)

    def test_queues_that_are_reset(self):
        """Streams and requests of a queue are forgotten with it, and can come again."""
        machine = self.machine()
        driver = Driver(machine, sizes={0: 256})
        if not driver.features >> F_RING_RESET & 1:
            self.cancel("this QEMU resets no single queue")
        self.assertEqual(driver.attach()[0], S_OK)
        stream = self.good_stream(driver)
        for at in range(5):
            for queue in (driver.ring, driver.control):
                # requests are on their way
                self.says(stream)
                answers = [driver.send(hdr(REQ_DICT, len(callsite())) + callsite(), kick=False)
                           for _ in range(20)]
                driver.control.kick()
                self.says(stream)
                driver.set("queue_select", queue.index)
                driver.set("queue_reset", 1)
                self.assertEqual(driver.get("queue_enable"), 0)
                if queue is driver.control:
                    before = [machine.peek(answer, RESP.size) for answer in answers]
                    driver.control = Queue(driver, 0, 256)
                    self.assertEqual(driver.attach(), (S_INVAL, 0))
                    self.assertEqual(driver.dictionary(), S_OK)
                    self.assertEqual([machine.peek(answer, RESP.size) for answer in answers], before)
                else:
                    self.assertEqual(stream.consumed(), stream.position)
                    machine.fill(stream.status, 64, FILL)
                    self.assertEqual(driver.retire(0, at), S_INVAL)
                    self.assertEqual(machine.peek(stream.status, 64), bytes([FILL]) * 64)
                    machine.fill(stream.status, 64)
                    driver.ring = Queue(driver, 2)
                    stream.fields.update(generation=at + 1, start=stream.position)
                    stream.post()
        self.says(stream)
        self.assertFalse(driver.needs_reset())
        self.good(machine)
        self.ends_clean(machine)

    def test_queues_that_cannot_be(self):
        """Their parts lie nowhere, in ROM, in the device's own registers, and so do answers: what is made
        of it is harmless."""
        machine = self.machine()
        for part in ("desc", "avail", "used"):
            for where in (NOWHERE, RAM - 16, (1 << 64) - 16384, machine.common, machine.device,
                          machine.notify, ROM, 4):
                with self.case(f"{part} at {where:#x}"):
                    driver = self.attached(machine)
                    request, answer = driver.place(hdr(REQ_CLOCK, 0)), machine.alloc(16)
                    for index in (0, 2):
                        queue = Queue(driver, index, **{part: where})
                        queue.offered = driver.queues[index].offered
                        for _ in range(8):
                            queue.add([(request, 8)], [(answer, 16)])
                    self.good(machine)
        for size in (1, 2, 64, 1024):
            with self.case(f"a control queue of {size}"):
                self.assertEqual(Driver(machine, sizes={0: size}).attach()[0], S_OK)
                self.good(machine)

        # answers reset the device, and notify it of its queues, while it gives them
        status = machine.common + 20
        requests = (hdr(REQ_CLOCK, 0), hdr(REQ_DICT, len(callsite())) + callsite(),
                    hdr(REQ_RETIRE, 8) + RETIRE.pack(0, 0))
        for at, request in enumerate(requests):
            for where in (status, status - 4, machine.common, machine.notify, machine.device):
                with self.case(f"the answer to request {at} at {where:#x}"):
                    driver = self.attached(machine)
                    stream = self.good_stream(driver)
                    self.says(stream)
                    for _ in range(4):
                        driver.control.add([(driver.place(request), len(request))], [(where, 16)], kick=False)
                    driver.control.kick()
                    self.good(machine)
        for at, request in enumerate(requests):
            with self.case(f"each answer to request {at} is a notification"):
                # as many as there are registers for: of the queues' own, and of others that are not there
                driver = Driver(machine, sizes={0: 256})
                self.assertEqual(driver.attach()[0], S_OK)
                queue = Queue(driver, 0, 256, used=machine.notify)
                place, answer = driver.place(request), machine.alloc(16)
                queue.offered = driver.control.offered
                for _ in range(250):
                    queue.add([(place, len(request))], [(answer, 16)], kick=False)
                queue.kick()
                self.assertFalse(driver.needs_reset())
                self.good(machine)
        self.ends_clean(machine)

    def test_more_requests_than_the_device_keeps(self):
        """A thousand of the greatest length at once: each is answered, in what order the specification
        says, and none is waited for."""
        machine = self.machine()
        driver = Driver(machine, sizes={0: 1024})
        self.assertEqual(driver.attach()[0], S_OK)
        first = driver.control.offered
        answers = machine.alloc(1024 * 16)
        entry = callsite(fmt=b"".ljust(4096 - len(callsite(fmt=b"")) & ~7, b"."))
        payload = entry * ((driver.max_request - 8) // len(entry))
        request = driver.place(hdr(REQ_DICT, len(payload)) + payload)
        size = 8 + len(payload)
        for at in range(1000):
            driver.control.add([(request, size)], [(answers + 16 * at, 16)], kick=False)
        driver.control.kick()
        returned = []
        while len(returned) < 1000:
            returned += driver.control.wait_returned()
        self.assertEqual(sorted(returned), sorted(((first + at) % 1024, RESP.size) for at in range(1000)))
        found = machine.peek(answers, 16000)
        statuses = [RESP.unpack_from(found, 16 * at)[0] for at in range(1000)]
        self.log.info("%s", {status: statuses.count(status) for status in range(5)})
        self.assertLessEqual(set(statuses), {S_OK, S_NOSPC, S_IOERR})
        self.assertLessEqual({S_OK, S_NOSPC}, set(statuses))
        # those that it has no room for are refused at once, the others are answered one after the other
        order = [(head - first) % 1024 for head, _ in returned]
        carried_out = [at for at in order if statuses[at] != S_IOERR]
        self.assertEqual(carried_out, sorted(carried_out))
        self.good(machine)
        # and nobody comes for the answers
        driver = Driver(machine, sizes={0: 1024})
        self.assertEqual(driver.attach()[0], S_OK)
        request = driver.place(hdr(REQ_DICT, len(payload)) + payload)
        answers = machine.alloc(16)
        for at in range(1000):
            driver.control.add([(request, size)], [(answers, 16)], kick=False)
        driver.control.kick()
        self.good(machine)
        self.ends_clean(machine)

    def test_registers_at_random(self):
        """Status, features, queues and notifications in no order, over memory that is garbage."""
        machine = self.machine()
        rng = random.Random(SEED)
        for _ in range(10):
            driver = self.attached(machine)
            stream = self.good_stream(driver)
            self.says(stream)
            stream.wait_consumed()
            # of no driver until then
            machine.poke(RAM - 65536, rng.randbytes(65536))
            for _ in range(100):
                register = rng.choice([*COMMON, "notify", "device"])
                if register == "notify":
                    machine.put(machine.notify + 4 * rng.randrange(5), rng.randrange(4), "w")
                elif register == "device":
                    machine.put(machine.device + rng.randrange(32), rng.getrandbits(8), "b")
                elif register.startswith("queue_d"):
                    driver.set(register, RAM - 65536 + 16 * rng.randrange(4096))
                elif register == "queue_select":
                    driver.set(register, rng.choice((0, 1, 2, 2, 3, 1023, 1024, 0xffff)))
                elif register == "device_status":
                    driver.set(register, rng.choice((0, 1, 3, 7, 11, 15, 15, 4, 128, 255)))
                else:
                    driver.set(register, rng.getrandbits(rng.choice((1, 2, 8))))
            self.good(machine)
        # and resets of the machine, whatever is posted and broken
        for _ in range(3):
            driver = self.attached(machine)
            stream = self.good_stream(driver)
            self.says(stream)
            Stream(driver, 1).post().words(head=ALL_ONES, reserve=1)
            driver.ring.kick()
            driver.send(b"")
            self.broken(driver, driver.control)
            machine.command("system_reset")
            self.until("the machine was reset", lambda: not machine.config(4) & PCI_MEMORY)
            machine.find_device()
            self.good(machine)
        # and QEMU's end finds the same
        driver = self.attached(machine)
        self.says(self.good_stream(driver))
        Stream(driver, 1).post().words(head=ALL_ONES, reserve=1)
        Stream(driver, 1).post()
        self.assertTrue(driver.needs_reset())
        self.ends(machine)


class HangingDisk(FailingDisk, Hostile):
    """What is asked for while the disk hangs is carried out when much has changed."""

    def on_disk(self, props):
        return self.machine(props, log=os.path.join(self.failing_disk(), "vm.ddl"))

    def resize(self, machine, size):
        machine.command("qom-set", path=DEVICE, property="log-size", value=size)

    def resized(self, machine, size, outcome="done"):
        """The host gives the log a size; what was asked for before is over and answered then."""
        self.resize(machine, size)
        self.until("the resize is over", lambda: machine.counter("resize-status") != "pending")
        self.assertIn(outcome, machine.counter("resize-status"))

    def hangs(self, stream):
        """The thread is in a write, for what this stream says, until the fault ends."""
        self.fault("block")
        self.says(stream, 1)
        stream.wait_consumed()

    def test_a_size_that_the_host_has_changed(self):
        machine = self.on_disk("size=2M,guest-size-max=8M,ioeventfd=off")
        driver = self.attached(machine, FEATURES | 1 << F_LOG_SIZE)

        def wants(size):
            return driver.request(REQ_LOG_SIZE, struct.pack("<Q", size * MIB))[0]

        self.assertEqual(wants(2), S_OK)
        driver.control.returned()
        self.hangs(self.good_stream(driver))
        answer = driver.send(hdr(REQ_LOG_SIZE, 8) + struct.pack("<Q", 2 * MIB))
        self.resize(machine, 4 * MIB)
        self.fault("ok")
        driver.control.wait_returned()
        self.assertEqual(driver.answer(answer), (S_INVAL, 0))
        self.assertEqual(machine.counter("resize-status"), "done")
        self.assertGreater(machine.counter("log-size"), 3 * MIB)
        # what the host could not have does not bind the guest
        self.fault("enospc")
        self.resized(machine, 16 * MIB, "failed")
        self.fault("ok")
        self.assertEqual([wants(size) for size in (2, 4, 8, 9)], [S_INVAL, S_OK, S_OK, S_INVAL])
        self.good(machine)
        self.ends_clean(machine)

    def on_their_way(self, machine):
        """A driver with requests that wait for the disk: it, the addresses of the answers, and what else
        the answers change in its memory."""
        driver = self.attached(machine, FEATURES | 1 << F_SHM)
        stream = self.good_stream(driver, shm=0)
        driver.control.returned()
        self.hangs(stream)
        answers = [driver.send(hdr(REQ_DICT, len(callsite())) + callsite()),
                   driver.send(hdr(REQ_RETIRE, 8) + RETIRE.pack(0, 0))]
        self.assertEqual(driver.control.returned(), [])

        def found():
            return ([machine.peek(answer, RESP.size) for answer in answers],
                    [machine.peek(queue.used, 6 + 8 * queue.size) for queue in driver.queues])

        return driver, answers, found

    def test_answers_that_come_too_late(self):
        """What the driver had taken away by then stays as it was; while the VM is stopped all does."""
        machine = self.on_disk("size=4M,shm=on,shm-size=1M,ioeventfd=off")

        def without_driver_ok(driver):
            driver.set("device_status", driver.status() & ~DRIVER_OK)

        def without_mastering(_):
            machine.command_word(PCI_MEMORY)

        def one_after_the_other(driver):
            without_driver_ok(driver)
            driver.send(hdr(REQ_DICT, len(callsite())) + callsite())
            without_mastering(driver)

        def goes_on(found):
            """The disk does: what is there before it."""
            before = found()
            self.fault("ok")
            self.resized(machine, 4 * MIB)
            return before

        def stopped_with(found):
            machine.command("stop")
            return goes_on(found)

        for act in (without_driver_ok, without_mastering, one_after_the_other):
            with self.case(act.__name__):
                driver, _, found = self.on_their_way(machine)
                act(driver)
                before = goes_on(found)
                self.assertEqual(found(), before)
                machine.command_word(PCI_MEMORY | PCI_MASTER)
                self.good(machine, shm=65536)
        with self.case("the VM is stopped"):
            driver, answers, found = self.on_their_way(machine)
            before = stopped_with(found)
            self.assertEqual(found(), before)
            machine.command("cont")
            returned = []
            while len(returned) < 2:
                returned += driver.control.wait_returned()
            self.assertEqual([driver.answer(answer)[0] for answer in answers], [S_OK, S_OK])
            self.assertEqual(len(driver.ring.returned()), 1)
        with self.case("the VM is stopped, and reset"):
            _, _, found = self.on_their_way(machine)
            before = stopped_with(found)
            machine.command("system_reset")
            self.until("it was reset", lambda: not machine.config(4) & PCI_MEMORY)
            machine.command("cont")
            self.assertEqual(found(), before)
            machine.find_device()
            self.good(machine, shm=65536)
        with self.case("the VM is stopped, and ends"):
            self.on_their_way(machine)
            machine.command("stop")
            self.fault("ok")
            self.ends(machine)

    def test_retired_without_end(self):
        """RETIREs whose queues are reset before they are answered are not kept without a limit."""
        machine = self.on_disk("size=16M,shm=on,shm-size=1M,ioeventfd=off")
        driver = self.attached(machine, FEATURES | 1 << F_SHM, sizes={0: 1024})
        if not driver.features >> F_RING_RESET & 1:
            self.cancel("this QEMU resets no single queue")
        self.hangs(self.good_stream(driver, shm=65536))
        stream = Stream(driver, 1, size=8192, shm=0)
        machine.poke(stream.desc, stream.describe())
        machine.poke(stream.page, stream.describe())
        request, answer = driver.place(hdr(REQ_RETIRE, 8) + RETIRE.pack(1, 0)), machine.alloc(16)
        heap, retired = machine.free, 0
        while not driver.needs_reset():
            self.assertLess(retired, 4000)
            for _ in range(1000):
                driver.ring.add(stream.readable(), stream.writable())
                driver.control.add([(request, 16)], [(answer, 16)])
            retired += 1000
            for at in (VQ_RING, VQ_CONTROL):
                driver.set("queue_select", at)
                driver.set("queue_reset", 1)
            machine.free = heap
            driver.control, driver.ring = Queue(driver, VQ_CONTROL, 1024), Queue(driver, VQ_RING, 1024)
        # a driver that keeps the rules is not made to pay for it
        driver = Driver(machine, FEATURES)
        self.assertFalse(driver.needs_reset())
        self.fault("ok")
        self.good(machine, shm=0)
        self.ends_clean(machine)

    def test_more_jobs_than_are_kept(self):
        """What is given up is counted all the same."""
        machine = self.on_disk("size=2M,ioeventfd=off")
        driver = self.attached(machine, sizes={0: 1024})
        if not driver.features >> F_RING_RESET & 1:
            self.cancel("this QEMU resets no single queue")
        self.hangs(self.good_stream(driver))
        queue = driver.control = Queue(driver, VQ_CONTROL, 1024)
        request = driver.place(hdr(REQ_DICT, len(callsite())) + callsite())
        answer = machine.alloc(16)
        for _ in range(1000):
            queue.add([(request, 8 + len(callsite()))], [(answer, 16)], kick=False)
        for _ in range(67):
            # all of it once more
            driver.set("queue_select", VQ_CONTROL)
            driver.set("queue_reset", 1)
            Queue(driver, VQ_CONTROL, 1024, desc=queue.desc, avail=queue.avail, used=queue.used).kick()
        given_up = 0
        for number in (1, 2, 3):
            stream = Stream(driver, number).post()
            stream.say(b"this is given up")
            given_up += stream.position
            driver.set("queue_select", VQ_RING)
            driver.set("queue_reset", 1)
            driver.ring = Queue(driver, VQ_RING)
        driver.reset()
        self.fault("ok")
        self.resized(machine, 2 * MIB)
        machine.command("quit")
        self.assertEqual(machine.wait(), 0, machine.qemu_output())
        found = Evidence(machine.log_file, machine.good)
        self.assertEqual([args for name, args in found.events if name == "io-lost"], [[3, given_up, 0]])
