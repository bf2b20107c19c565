# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that rings in the log file (shm=on) give a hostile driver nothing beyond their
area (ddebug/hostile.py)."""

import os
import random

from ddebug.hostile import ALL_ONES, MIB, SEED, Hostile
from ddebug.logfile import SHM_OFF
from ddebug.qtest import FEATURES, F_SHM, SHM_STATUS_OFF, STREAM_F_SHM, S_IOERR, S_OK, Stream


class SharedMemory(Hostile):
    """Streams in shared memory region 0."""

    PROPS = "size=4M,shm=on,shm-size=1M,ioeventfd=off"
    SHM = FEATURES | 1 << F_SHM

    def element(self, offset, **fields):
        """An element of a stream in the region, without pieces of memory for it."""
        def act(driver):
            stream = Stream(driver, **{"flags": STREAM_F_SHM, "epoch": driver.epoch, "shm_offset": offset,
                                       "size": 8192, **fields})
            return stream.post(readable=[(stream.desc, 64)])
        return act

    def test_places_that_cannot_be(self):
        machine = self.machine(self.PROPS)
        self.assertEqual(machine.shm_size, MIB)

        def in_the_element(pieces):
            """Pieces that must not be there, as they are in the region."""
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
        """Streams over streams, over garbage, and one that keeps the rules after them."""
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
        """A region of such streams has garbage; a stream of its own place has not."""
        machine = self.machine(self.PROPS.replace("4M", "16M"))
        rng = random.Random(SEED)
        for _ in range(12):
            driver = self.hostile_rings(machine, rng)
            self.assertFalse(driver.needs_reset())
            for number in (1, 2, 3):
                self.assertIn(driver.retire(number), (S_OK, S_IOERR))
            driver = self.hostile_rings(machine, rng)
            self.assertFalse(driver.needs_reset())
            self.good(machine, shm=8192)
        # the region is as a hostile driver leaves it
        self.hostile_rings(machine, rng)
        self.ends(machine)

    def test_a_file_that_is_truncated(self):
        """The stream is given up, what was truncated exists again, and streams that are posted then work."""
        machine = self.machine(self.PROPS)
        driver = self.attached(machine, self.SHM)
        stream = self.good_stream(driver, shm=0)
        self.says(stream)
        stream.wait_consumed()
        self.until("kicks are wanted", stream.wants_kick)
        os.truncate(machine.log_file, SHM_OFF)
        driver.ring.kick()
        self.until("it is given up", lambda: machine.counter("memory-errors") == 1)
        self.until("the file is whole", lambda: os.stat(machine.log_file).st_size > SHM_OFF + MIB)
        self.assertEqual(driver.retire(0), S_IOERR)
        driver = self.attached(machine, self.SHM)
        stream = Stream(driver, shm=0).post()
        stream.say(b"once more")
        stream.wait_consumed()
        self.assertEqual(driver.retire(0), S_OK)
        machine.command("quit")
        self.assertEqual(machine.wait(), 0, machine.qemu_output())

    def test_what_it_leaves_behind(self):
        """QEMU is killed: the tool, and the next QEMU, read what a hostile driver left in the region."""
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
