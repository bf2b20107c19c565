# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the device answers a hostile driver's requests as the specification says,
or says that it needs a reset (ddebug/hostile.py)."""

import os
import random
import struct

from ddebug.hostile import ALL_ONES, MIB, SEED, Hostile, hdr, split
from ddebug.logfile import ATTACH, SUPER_SIZE, VERSION
from ddebug.qtest import (FEATURES, FILL, F_CLOCK, F_COPY, F_INDIRECT_DESC, F_KMSG, F_LOG_ID, F_LOG_SIZE,
                          F_NOTICE, F_QUERY, F_SHM, F_VERSION_1, HEAP, NEXT, REQ_ATTACH, REQ_CLOCK, REQ_DICT,
                          REQ_HDR, REQ_LOG_SIZE, REQ_RETIRE, RESP, RETIRE, S_INVAL, S_NOSPC, S_OK, S_UNSUPP,
                          WRITE, Driver, Stream, callsite)


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
        for bit in (F_NOTICE, F_LOG_ID, F_VERSION_1, F_INDIRECT_DESC):
            self.assertTrue(driver.offers >> bit & 1, bit)
        # from the log's uuid, in either copy of the superblock
        with open(machine.log_file, "rb") as file:
            supers = file.read(2 * SUPER_SIZE)
        uuids = [struct.unpack_from("<QQ", supers, at + 32) for at in (0, SUPER_SIZE)]
        self.assertIn(driver.log_id, [(low ^ high) | 1 for low, high in uuids if low])
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

        # after it
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

        # of the greatest length allowed, and much greater than memory
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

        # in pieces of a byte, and with more room than needed
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
        """The device needs a reset, answers nothing more, and works as before after the reset."""
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
