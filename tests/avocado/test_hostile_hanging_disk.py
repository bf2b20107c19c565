# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that what a driver can queue while the disk hangs is bounded, and answered once
(ddebug/hostile.py)."""

import os
import struct
import threading

from ddebug.case import DEVICE
from ddebug.disk import FailingDisk
from ddebug.hostile import ELEMENT, MIB, PORTION, Hostile, hdr
from ddebug.qtest import (DRIVER_OK, FEATURES, F_EVENT_IDX, F_LOG_SIZE, F_RING_RESET, F_SHM, PCI_MASTER,
                          PCI_MEMORY, REQ_DICT, REQ_LOG_SIZE, REQ_RETIRE, RESP, RETIRE, S_INVAL, S_OK,
                          VQ_CONTROL, VQ_RING, Evidence, Queue, Stream, callsite)


class HangingDisk(FailingDisk, Hostile):
    """Requests made while the disk hangs are carried out when much has changed."""

    def on_disk(self, props):
        return self.machine(props, log=os.path.join(self.failing_disk(), "vm.ddl"))

    def resize(self, machine, size):
        machine.command("qom-set", path=DEVICE, property="log-size", value=size)

    def resized(self, machine, size, outcome="done"):
        """The host sets the log's size; the request before it is finished and answered then."""
        self.resize(machine, size)
        self.until("the resize is over", lambda: machine.counter("resize-status") != "pending")
        self.assertIn(outcome, machine.counter("resize-status"))

    def hangs(self, stream):
        """The thread is in a write, of this stream's message, until the fault ends."""
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
        # a size that the host could not have does not bind the guest
        self.fault("enospc")
        self.resized(machine, 16 * MIB, "failed")
        self.fault("ok")
        self.assertEqual([wants(size) for size in (2, 4, 8, 9)], [S_INVAL, S_OK, S_OK, S_INVAL])
        self.good(machine)
        self.ends_clean(machine)

    def on_their_way(self, machine):
        """A driver whose requests wait for the disk: the driver, the addresses of the answers, and
        what else the answers change in its memory."""
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
        """What the driver had withdrawn by then stays unchanged; while the VM is stopped everything does."""
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
            """The disk responds again: everything before is served."""
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
        """RETIREs whose queues are reset before they are answered leave nothing behind."""
        machine = self.on_disk("size=16M,shm=on,shm-size=1M,ioeventfd=off")
        driver = self.attached(machine, FEATURES | 1 << F_SHM, sizes={0: 1024})
        if not driver.features >> F_RING_RESET & 1:
            self.cancel("this QEMU resets no single queue")
        self.hangs(self.good_stream(driver, shm=65536))
        stream = Stream(driver, 1, size=8192, shm=0)
        machine.poke(stream.desc, stream.describe())
        machine.poke(stream.page, stream.describe())
        request, answer = driver.place(hdr(REQ_RETIRE, 8) + RETIRE.pack(1, 0)), machine.alloc(16)
        heap = machine.free
        for _ in range(100):
            driver.ring.add(stream.readable(), stream.writable())
            driver.control.add([(request, 16)], [(answer, 16)])
            self.assertGreater(machine.counter("streams"), 0)
            for at in (VQ_RING, VQ_CONTROL):
                driver.set("queue_select", at)
                driver.set("queue_reset", 1)
            machine.free = heap
            driver.control, driver.ring = Queue(driver, VQ_CONTROL, 1024), Queue(driver, VQ_RING, 1024)
        self.assertFalse(driver.needs_reset())
        self.fault("ok")
        self.good(machine, shm=0)
        self.ends_clean(machine)

    def test_what_is_copied_under_the_big_lock(self):
        """Nothing by RETIRE and stop, however full the rings are; by a reset what is left in them."""
        machine = self.on_disk("size=16M,ioeventfd=off")
        driver = self.attached(machine)
        good = self.good_stream(driver)
        self.hangs(good)
        streams = [Stream(driver, number, size=65536).post() for number in (1, 2, 3)]
        for stream in streams:
            stream.words(reserve=61440, head=61440)
        answer = driver.send(hdr(REQ_RETIRE, 8) + RETIRE.pack(1, 0))
        machine.command("stop")
        machine.command("cont")
        self.assertEqual([stream.consumed() for stream in streams], [0, 0, 0])
        self.assertEqual(machine.counter("bql-bytes"), 0)
        self.fault("ok")
        driver.control.wait_returned()
        self.assertEqual(driver.answer(answer)[0], S_OK)
        self.assertEqual(streams[0].consumed(), 61440)
        for stream in streams[1:]:
            stream.wait_consumed(61440)
        self.assertEqual(machine.counter("bql-bytes"), 0)
        self.hangs(good)
        for stream in streams[1:]:
            stream.words(reserve=122880, head=122880)
        driver.reset()
        self.assertEqual(machine.counter("bql-bytes"), 2 * 61440)
        self.fault("ok")
        self.good(machine)
        self.ends(machine)

    def test_more_jobs_than_are_kept(self):
        """What is given up is still counted."""
        machine = self.on_disk("size=2M,ioeventfd=off")
        driver = self.attached(machine, FEATURES | 1 << F_EVENT_IDX, sizes={0: 1024})
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
            machine.put(queue.avail_event(), 0, "w")
            Queue(driver, VQ_CONTROL, 1024, desc=queue.desc, avail=queue.avail, used=queue.used).kick()
            # in portions; the test's own limit ends it
            while machine.get(queue.avail_event(), "w") != 1000:
                pass
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

    def test_answers_are_given_in_portions(self):
        """Many came while the VM was stopped: QEMU's main loop goes round before all are given."""
        machine = self.on_disk("size=4M,ioeventfd=off")
        driver = self.attached(machine, FEATURES | 1 << F_EVENT_IDX, sizes={0: 1024})
        self.hangs(self.good_stream(driver))
        queue = driver.control
        request = driver.place(hdr(REQ_DICT, len(callsite())) + callsite())
        answer = machine.alloc(16)
        before = queue.offered
        for _ in range(1000):
            queue.add([(request, 8 + len(callsite()))], [(answer, 16)], kick=False)
        queue.kick()
        self.until("all are taken", lambda: machine.get(queue.avail_event(), "w") == before + 1000)
        machine.command("stop")
        self.fault("ok")
        self.resized(machine, 4 * MIB)
        self.assertEqual(machine.get(queue.used + 2, "w"), before)
        goes_on = threading.Thread(target=machine.command, args=("cont",))
        goes_on.start()
        used = machine.watch(queue.used + 2, before + 1000)
        goes_on.join()
        steps = [after - first for first, after in zip(used, used[1:])]
        self.assertEqual(sum(steps), 1000)
        self.assertLessEqual(max(steps), PORTION // ELEMENT)
        self.good(machine)
        self.ends_clean(machine)
