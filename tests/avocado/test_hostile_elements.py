# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the device takes no element, buffer or chain that breaks the rules
(ddebug/hostile.py)."""

import struct

from ddebug.guest import GuestError
from ddebug.hostile import ALL_ONES, MIB, Hostile, split
from ddebug.logfile import VERSION
from ddebug.qtest import (BARS, FILL, HEAP, INDIRECT, NEXT, NOWHERE, RAM, RING_OFF, ROM, STREAM_F_SHM,
                          S_INVAL, S_OK, STATUS_USED, WRITE, Driver, Stream)


class Elements(Hostile):
    """Elements of ring queues, and their chains."""

    def with_field(self, head=0, **fields):
        def act(driver):
            stream = Stream(driver, **{"stream": 0, **fields})
            stream.words(reserve=head, head=head)
            stream.post()
        return act

    def with_pieces(self, change):
        """Post a stream after changing its readable and writable pieces."""
        def act(driver):
            stream = Stream(driver)
            readable, writable = stream.readable(), stream.writable()
            change(stream, readable, writable)
            stream.post(readable, writable)
        return act

    def elsewhere(self, address, which=1, length=None):
        """Move a readable piece, or the status (None)."""
        def change(_, readable, writable):
            pieces, at = (writable, 0) if which is None else (readable, which)
            pieces[at] = (address, length or pieces[at][1])
        return self.with_pieces(change)

    def test_a_stream_that_cannot_be(self):
        """Its descriptor is out of range, or its stream is already posted."""
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
            # in a header, and after the head
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
        # all but the bounds
        for start, head in ((32, 32), (32, 64), (4096, 4096), (4096 + 32, 8192), (8192 - 8, 8192)):
            with self.case(f"start is {start}, head is {head}"):
                driver = self.attached(machine)
                self.with_field(start=start, head=head)(driver)
                self.assertEqual(driver.retire(0), S_OK)
                self.assertFalse(driver.needs_reset())
                self.good(machine)
        self.ends_clean(machine)

    def test_pieces_that_cannot_be(self):
        """Too short, too many, unaligned, not in memory, or incomplete."""
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
                self.assertEqual(driver.queues[2 + right].returned(), [(stream.descriptor, STATUS_USED)])
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
        # nor read
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
        """Loops, indices out of range, invalid tables, on the control queue and a ring queue."""
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
