# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that a queue which the driver refills for ever holds up neither QEMU's main loop nor the
device's other work: it is served in portions (ddebug/hostile.py)."""

import mmap
import struct
import threading

from ddebug.hostile import ELEMENT, PORTION, Hostile, hdr
from ddebug.qtest import FEATURES, F_EVENT_IDX, NEXT, RAM, RESP, S_OK, WRITE, Driver, Queue, Stream

UNKNOWN = 77


class Spinner(threading.Thread):
    """A vCPU that does nothing but make a chain available again, as fast as it can.

    It has the guest's memory by the file that it is in.
    """

    def __init__(self, path, queue):
        super().__init__(daemon=True)
        self.queue = queue
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), RAM)
        self.over = threading.Event()
        self.start()

    def used(self):
        return struct.unpack_from("<H", self.memory, self.queue.used + 2)[0]

    def run(self):
        while not self.over.is_set():
            # everything but one of 2^16: the device never gets there
            struct.pack_into("<H", self.memory, self.queue.avail + 2, self.used() - 1 & 0xffff)

    def end(self):
        self.over.set()
        self.join()


class Floods(Hostile):
    """Queues that are never empty."""

    def endless(self, driver):
        """A control queue whose ring names one request, of an unknown type, everywhere."""
        machine, queue = driver.machine, driver.control
        request, answer = driver.place(hdr(UNKNOWN, 0)), machine.alloc(RESP.size, 64)
        queue.describe(0, (request, 8, NEXT, 1), (answer, RESP.size, WRITE, 0))
        machine.fill(queue.avail + 4, 2 * queue.size)
        machine.flush()
        return queue

    def test_a_notification_is_served_in_portions(self):
        """What a call takes is bounded by the pieces of the elements, and the rest follows."""
        machine = self.machine("size=4M,ioeventfd=off")
        with self.case("65535 requests at once"):
            queue = self.endless(Driver(machine))
            machine.put(queue.avail + 2, 0xffff, "w")
            queue.kick()
            # QEMU reads both commands at once, and so the used index before its main loop goes on
            taken = machine.get(queue.used + 2, "w")
            self.assertGreater(taken, 0)
            self.assertLessEqual(taken, PORTION // ELEMENT)
            self.until("all are answered", lambda: machine.get(queue.used + 2, "w") == 0xffff)
            self.assertEqual(machine.command("query-status")["running"], True)
            self.good(machine)
        with self.case("streams in a thousand pieces"):
            driver = Driver(machine, FEATURES | 1 << F_EVENT_IDX)
            self.assertEqual(driver.attach()[0], S_OK)
            count = 2 * driver.max_streams
            for at in range(count):
                stream = Stream(driver, at // 2, size=8192, generation=at % 2)
                pieces = [(stream.ring + 8 * at, 8) for at in range(1010)] + [(stream.ring + 8080, 112)]
                stream.post(readable=[stream.readable()[0], *pieces], kick=False)
            machine.flush()
            driver.ring.kick()
            event = driver.ring.avail_event()
            self.assertEqual(machine.get(event, "w"), 1)
            self.until("all are taken", lambda: machine.get(event, "w") == count)
            self.assertFalse(driver.needs_reset())
            self.good(machine)
        self.ends_clean(machine)

    def test_elements_are_unmapped_in_portions(self):
        """Those that a reset gives up, and before the next one is taken."""
        machine = self.machine("size=4M,ioeventfd=off")
        driver = Driver(machine, FEATURES | 1 << F_EVENT_IDX, sizes={0: 64})
        self.assertEqual(driver.attach()[0], S_OK)
        for at in range(driver.max_streams):
            stream = Stream(driver, at, size=8192)
            pieces = [(stream.ring + 8 * at, 8) for at in range(1010)] + [(stream.ring + 8080, 112)]
            stream.post(readable=[stream.readable()[0], *pieces])
        self.until("all are taken",
                   lambda: machine.get(driver.ring.avail_event(), "w") == driver.max_streams)
        driver.send(hdr(UNKNOWN, 0), kick=False)
        before = machine.get(driver.control.used + 2, "w")
        driver.set("queue_select", driver.ring.index)
        driver.set("queue_reset", 1)
        driver.control.kick()
        # QEMU reads these commands at once, so that its main loop goes on behind the last
        self.assertEqual(machine.get(driver.control.used + 2, "w"), before)
        self.until("the request is answered", lambda: machine.get(driver.control.used + 2, "w") == before + 1)
        self.assertFalse(driver.needs_reset())
        self.good(machine)
        self.ends_clean(machine)

    def flooded(self, ioeventfd, *args):
        ram = self.scratch(f"ram-{ioeventfd}")
        machine = self.machine(f"size=4M,ioeventfd={ioeventfd}", args=[
            "-object", f"memory-backend-file,id=m,size={RAM},mem-path={ram},share=on",
            "-machine", "memory-backend=m", *args])
        machine.ram = ram
        driver = self.attached(machine, sizes={0: 1024})
        spinner = Spinner(ram, self.endless(driver))
        driver.control.kick()
        machine.flush()
        return machine, driver, spinner

    def goes_on(self, spinner):
        """Requests are answered.  The spinner is no vCPU: if the host has not run it for long, the queue
        was empty, and needs another notification."""
        before = spinner.used()

        def answered():
            spinner.queue.kick()
            spinner.queue.machine.flush()
            return spinner.used() != before

        self.until("requests are answered", answered)

    def stands_still(self, machine, spinner):
        """Nothing is taken while the main loop goes round."""
        before = spinner.used()
        for _ in range(20):
            machine.command("query-status")
        self.assertEqual(spinner.used(), before)

    def test_a_queue_that_is_refilled_for_ever(self):
        """QEMU's monitor answers meanwhile; a stop, a reset of the queue or of the device, and QEMU's end
        end it."""
        for ioeventfd in ("off", "on"):
            with self.case(f"ioeventfd={ioeventfd}"):
                machine, driver, spinner = self.flooded(ioeventfd)
                for _ in range(20):
                    self.goes_on(spinner)
                    self.assertEqual(machine.command("query-status")["running"], True)
                # streams are served as well
                stream = self.good_stream(driver)
                self.says(stream)
                stream.wait_consumed()
                self.goes_on(spinner)
                machine.command("stop")
                self.stands_still(machine, spinner)
                machine.command("cont")
                self.goes_on(spinner)
                driver.set("queue_select", 0)
                driver.set("queue_reset", 1)
                self.assertEqual(driver.get("queue_enable"), 0)
                self.stands_still(machine, spinner)
                spinner.end()
                machine.fill(driver.control.avail, 6)
                driver.control = Queue(driver, 0)
                self.assertEqual(driver.dictionary(), S_OK)
                self.good(machine)

                driver = Driver(machine, sizes={0: 1024})
                spinner = Spinner(machine.ram, self.endless(driver))
                driver.control.kick()
                machine.flush()
                self.goes_on(spinner)
                driver.reset()
                self.stands_still(machine, spinner)
                spinner.end()
                self.good(machine)

                driver = Driver(machine, sizes={0: 1024})
                spinner = Spinner(machine.ram, self.endless(driver))
                driver.control.kick()
                machine.flush()
                self.goes_on(spinner)
                self.ends_clean(machine)
                spinner.end()

    def test_unplugged_in_the_middle(self):
        """The log is complete and closed, and a device that is plugged in afterwards works."""
        for ioeventfd in ("off", "on"):
            with self.case(f"ioeventfd={ioeventfd}"):
                machine, driver, spinner = self.flooded(ioeventfd, "-machine", "pc")
                self.says(self.good_stream(driver))
                machine.flush()
                self.goes_on(spinner)
                machine.unplug("ddebug0", machine.slot)
                self.assertFalse(machine.is_plugged("ddebug0"))
                self.stands_still(machine, spinner)
                spinner.end()
                found = self.evidence(machine)
                self.assertEqual(found.events[-1][0], "close")
                self.assertEqual(machine.command("human-monitor-command", **{
                    "command-line": f"device_add {machine.device_option()}"}), "")
                machine.find_device()
                self.good(machine)
                self.ends_clean(machine)
