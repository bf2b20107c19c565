# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that resets, queues and registers, in any order and with any value, leave QEMU and
other drivers unharmed (ddebug/hostile.py)."""

import os
import random

from ddebug.hostile import ALL_ONES, MIB, SEED, Hostile, hdr
from ddebug.qtest import (BARS, COMMON, FILL, F_RING_RESET, NOWHERE, PCI_MASTER, PCI_MEMORY, RAM,
                          REQ_CLOCK, REQ_DICT, REQ_RETIRE, RESP, RETIRE, ROM, S_INVAL, S_IOERR, S_NOSPC, S_OK,
                          Backing, Driver, Queue, Stream, callsite)


class Life(Hostile):
    """What a driver does to the device as a whole, and to its queues."""

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

    def test_memory_that_is_unplugged(self):
        """A DIMM, or another device's BAR, with streams in it: they go on until they are retired, and
        only then the memory is gone."""
        dimm, bar, size = 1 << 32, BARS + 0x1000000, 16 * MIB
        files = {name: self.scratch(name) for name in ("dimm", "bar")}
        machine = self.machine("size=4M,ioeventfd=off", args=[
            "-machine", "pc", "-m", f"{RAM >> 20},slots=1,maxmem=1G",
            *[word for name, path in files.items() for word in (
                "-object", f"memory-backend-file,id={name}-memory,size={size},mem-path={path},share=on")],
            "-device", f"pc-dimm,id=dimm,memdev=dimm-memory,addr={dimm:#x}",
            "-device", "ivshmem-plain,id=bar,memdev=bar-memory,addr=0x1e"])
        machine.place_bar(0x1e, 2, bar)
        driver = self.attached(machine)
        streams = {}
        for number, (name, address) in enumerate((("dimm", dimm), ("bar", bar))):
            streams[name] = stream = Stream(driver, number, at=address)
            stream.status = address + MIB
            machine.good.add((driver.epoch, number))
            self.says(stream.post())
            stream.wait_consumed()
        machine.unplug_memory("dimm")
        machine.unplug("bar", 0x1e)
        for name, stream in streams.items():
            with self.case(name):
                self.assertFalse(machine.is_plugged(name))
                machine.command("object-del", id=f"{name}-memory")
                self.assertNotEqual(machine.get(stream.hdr, "q"), stream.position)
                self.assertTrue(machine.maps(files[name]))
                # the driver reaches it no more, but the file does
                stream.machine = Backing(files[name], stream.page)
                text = b"good message, said when the %s was gone" % name.encode()
                machine.texts += [text]
                stream.say(text)
                driver.ring.kick()
                machine.flush()
                stream.wait_consumed()
                self.assertEqual(driver.retire(stream.fields["stream"]), S_OK)
                self.assertEqual(stream.consumed(), stream.position)
                self.until("it is gone", lambda: not machine.maps(files[name]))
        self.assertFalse(driver.needs_reset())
        self.good(machine)
        self.ends_clean(machine)

    def test_pages_that_are_gone(self):
        """The file behind memory is truncated: the streams in it are given up, others go on, and so does
        the VM.  (A page with an error, or that cannot be read from the disk, is the same to the device.)"""
        ram, cut = self.scratch("ram"), RAM - MIB
        machine = self.machine("size=4M,ioeventfd=off", args=[
            "-object", f"memory-backend-file,id=m,size={RAM},mem-path={ram},share=on",
            "-machine", "memory-backend=m"])
        driver = self.attached(machine)
        streams = [Stream(driver, number, at=at) for number, at in (
            (0, None), (1, cut + MIB // 2), (2, None), (3, cut - 2 * 4096))]
        streams[2].ring = cut + MIB // 4
        for number, stream in enumerate(streams):
            stream.post()
            if number == 3:
                stream.say(b"of which nothing but zeros will follow")
            else:
                machine.good.add((driver.epoch, number))
                self.says(stream, 3)
            stream.wait_consumed()
        whole, *cut_off = streams
        # the thread sleeps
        self.until("kicks are wanted", lambda: all(stream.wants_kick() for stream in streams))
        os.truncate(ram, cut)
        # nothing of the second one is there, of the third one the header, of the fourth one some more
        position = streams[3].position
        for stream in cut_off[1:]:
            stream.words(reserve=8192, head=8192)
        self.says(whole)
        driver.ring.kick()
        whole.wait_consumed()
        self.until("all are given up", lambda: machine.counter("memory-errors") == 3)
        self.until("it is said", lambda: "a page of stream 1 cannot be accessed" in machine.qemu_output())
        for stream in cut_off:
            self.assertEqual(driver.retire(stream.fields["stream"]), S_IOERR)
        self.assertGreaterEqual(streams[3].consumed(), position)
        self.assertFalse(driver.needs_reset())
        self.says(whole)
        whole.wait_consumed()
        self.good(machine)
        self.ends(machine)

    def test_queues_that_are_reset(self):
        """Streams and requests of a queue are forgotten with it, and can be posted again."""
        machine = self.machine()
        driver = Driver(machine, sizes={0: 256})
        if not driver.features >> F_RING_RESET & 1:
            self.cancel("this QEMU resets no single queue")
        self.assertEqual(driver.attach()[0], S_OK)
        stream = self.good_stream(driver)
        for at in range(5):
            for queue in (driver.ring, driver.control):
                # requests are under way
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
        """Their parts are nowhere, in ROM or in the device's own registers, and so are answers: the
        result is harmless."""
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

        # answers reset the device, and notify it of its queues, while it writes them
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
                # as many as there are registers for: of existing queues and of others
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
        """A thousand of the greatest length at once: each is answered, in the order that the
        specification says, and none is waited for."""
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
        # those that there is no room for are refused at once, the others are answered one by one
        order = [(head - first) % 1024 for head, _ in returned]
        carried_out = [at for at in order if statuses[at] != S_IOERR]
        self.assertEqual(carried_out, sorted(carried_out))
        self.good(machine)
        # and nobody fetches the answers
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
        """Status, features, queues and notifications in random order, over garbage in memory."""
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
        # and QEMU ends in the same state
        driver = self.attached(machine)
        self.says(self.good_stream(driver))
        Stream(driver, 1).post().words(head=ALL_ONES, reserve=1)
        Stream(driver, 1).post()
        self.assertTrue(driver.needs_reset())
        self.ends(machine)
