# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that whatever a producer writes into its stream's words, the device reads only
what is in the ring (ddebug/hostile.py)."""

import random

from ddebug.hostile import ALL_ONES, SEED, Hostile
from ddebug.qtest import (HDR_OFF, PRODUCER, PRODUCER_CODE, PRODUCER_RUNS, S_IOERR, S_OK, STATUS_USED,
                          Stream)


class Positions(Hostile):
    """What a producer must not do with its stream, while another one keeps the rules."""

    def looked(self, driver, good):
        """Wait until the device has polled all streams since this call."""
        driver.ring.kick()
        for _ in range(2):
            self.says(good, 1)
            good.wait_consumed()

    def filled(self, driver, data=b"", post=True, **words):
        """A stream with these bytes in its ring and this header, from its start."""
        stream = Stream(driver, 1, size=8192)
        driver.machine.poke(stream.ring, data)
        stream.words(**words)
        return stream.post() if post else stream

    def copies_are_of(self, machine, epoch, ring):
        """Check that what the log has of a hostile stream is what was in its ring, each byte in its place."""
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
        """The device does not read the stream until it is posted again, and continues with the others."""
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
                # becoming right again does not bring it back
                stream.words(reserve=4096, head=4096)
                self.looked(driver, good)
                self.assertEqual(stream.consumed(), consumed)
                # not up to its head
                self.assertEqual(driver.retire(1), S_IOERR)
                # after this everything is in the log
                self.assertEqual(driver.dictionary(), S_OK)
                self.assertEqual(self.copies_are_of(machine, driver.epoch, content), consumed)
                # but being posted again does
                again = Stream(driver, 1, generation=1).post()
                again.say(b"read again")
                again.wait_consumed()
                self.assertFalse(driver.needs_reset())
                self.assertEqual(driver.ring.returned(), [(stream.descriptor, STATUS_USED)])
                self.good(machine)
        complaints = [line for line in machine.qemu_output().splitlines() if "is no longer read" in line]
        self.assertEqual(len(complaints), len(cases))
        _, others = self.ends(machine)
        self.assertEqual(len([text for text in others if b"read again" in text]), len(cases))

    def test_words_without_sense(self):
        """Wild words that break no rule: exactly the ring's bytes are copied."""
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
                self.assertIn(driver.retire(stream.fields["stream"], stream.fields.get("generation", 0)),
                              (S_OK, S_IOERR))
                streams[streams.index(stream)] = Stream(
                    driver, stream.fields["stream"], size=8192,
                    generation=stream.fields.get("generation", 0) + 1).post()
        good.wait_consumed()
        self.assertFalse(driver.needs_reset())
        self.good(machine)
        # it is reported, but not without limit
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
            self.assertIn(driver.retire(1, generation), (S_OK, S_IOERR))
            self.assertFalse(driver.needs_reset())
        Stream(driver, 1, size=8192, at=PRODUCER).post()
        self.says(good)
        driver.reset()
        machine.put(PRODUCER + PRODUCER_RUNS, 0, "b")
        self.assertGreater(len(self.good(machine).foreign), 10)
        self.ends(machine)
