# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves rules of virtio itself: what is offered, from when on queues are served, how much is said to
be written, and that a driver's errors do not fill QEMU's log (ddebug/hostile.py)."""

from ddebug.hostile import Hostile, hdr
from ddebug.logfile import ATTACH
from ddebug.qtest import (ACKNOWLEDGE, DEVICE, DRIVER, DRIVER_OK, FEATURES, FEATURES_OK, FILL, F_NOTICE,
                          F_VERSION_1, PCI_MEMORY, REQ_ATTACH, RESP, STATUS_USED, S_OK, VENDOR, Driver,
                          Stream)

F_ACCESS_PLATFORM, F_IN_ORDER, F_NOTIFICATION_DATA = 33, 35, 38
ERRORS = 16


class Conformance(Hostile):
    """What any virtio device has to do."""

    def test_features(self):
        """Each feature of the device has a property; those that it cannot have are not offered."""
        machine = self.machine()
        offers = Driver(machine).offers
        for bit in (F_ACCESS_PLATFORM, F_IN_ORDER, F_NOTIFICATION_DATA):
            self.assertFalse(offers >> bit & 1, bit)
        self.assertTrue(offers >> F_NOTICE & 1)
        self.ends_clean(machine)
        machine = self.machine("size=4M,notice=off")
        self.assertFalse(Driver(machine).offers >> F_NOTICE & 1)
        self.good(machine)
        self.ends_clean(machine)

    def test_the_id_that_a_guest_sees(self):
        """It is the device's own, in each type of machine, and after a reset."""
        own = []
        for args in ((), ("-machine", "pc")):
            machine = self.machine(args=args)
            for after_reset in (False, True):
                if after_reset:
                    machine.command("system_reset")
                    self.until("it was reset", lambda: not machine.config(4) & PCI_MEMORY)
                    machine.find_device()
                self.assertEqual(machine.config(0), DEVICE << 16 | VENDOR)
                # of a device that is not transitional, as virtio says
                self.assertGreaterEqual(machine.config(8) & 0xff, 1)
                subsystem = machine.config(0x2c) >> 16
                self.assertGreaterEqual(subsystem, 0x40)
                own.append(subsystem)
            self.good(machine)
            self.ends_clean(machine)
        self.assertEqual(len(set(own)), 1)

    def post_all(self, driver):
        """An ATTACH and a stream, with notifications: the answer, the stream."""
        answer = driver.send(hdr(REQ_ATTACH, ATTACH.size) + driver.attachment())
        stream = Stream(driver)
        stream.post()
        driver.machine.fill(stream.status, 64)
        driver.ring.kick()
        return answer, stream

    def untouched(self, driver, answer, stream):
        for queue in driver.queues:
            self.assertEqual(queue.returned(), [])
        self.assertEqual(driver.machine.peek(answer, RESP.size), bytes([FILL]) * RESP.size)
        self.assertEqual(driver.machine.command("qom-get", path="/machine/peripheral/ddebug0",
                                                property="streams"), 0)
        self.assertEqual(driver.machine.peek(stream.status, 64), bytes(64))

    def test_nothing_is_served_before_driver_ok(self):
        """And what was made available before is served then, without another notification."""
        for ioeventfd in ("off", "on"):
            with self.case(f"ioeventfd={ioeventfd}"):
                machine = self.machine(f"size=4M,ioeventfd={ioeventfd}")
                driver = Driver(machine)
                driver.set("device_status", ACKNOWLEDGE | DRIVER | FEATURES_OK)
                answer, stream = self.post_all(driver)
                self.untouched(driver, answer, stream)
                self.assertFalse(driver.needs_reset())
                driver.set("device_status", ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)
                self.assertEqual(driver.control.wait_returned(), [(0, RESP.size)])
                status, driver.epoch = driver.answer(answer)
                self.assertEqual(status, S_OK)
                machine.good.add((driver.epoch, 0))
                self.assertEqual(driver.dictionary(), S_OK)
                self.says(stream)
                stream.wait_consumed()
                self.good(machine)
                self.ends_clean(machine)

    def test_a_driver_of_legacy_devices(self):
        """Without VIRTIO_F_VERSION_1 nothing is served."""
        machine = self.machine()
        driver = Driver(machine, FEATURES & ~(1 << F_VERSION_1))
        self.untouched(driver, *self.post_all(driver))
        self.good(machine)
        self.assertIn("VIRTIO_F_VERSION_1", machine.qemu_output())
        self.ends_clean(machine)

    def test_lengths_of_used_elements(self):
        """They are what the device has written, and it has written nothing else."""
        machine = self.machine()
        driver = self.attached(machine)
        stream = Stream(driver)
        machine.fill(stream.status, 64, FILL)
        stream.post()
        driver.ring.returned()
        self.assertEqual(driver.retire(0), S_OK)
        self.assertEqual(driver.ring.returned(), [(stream.descriptor, STATUS_USED)])
        self.assertEqual(machine.peek(stream.status, 64), bytes(STATUS_USED).ljust(64, bytes([FILL])))
        # of a stream that starts later
        start = 4096 + 32
        stream = Stream(driver, start=start)
        machine.fill(stream.status, 64, FILL)
        stream.words(reserve=start, head=start)
        stream.post()
        self.assertEqual(driver.retire(0), S_OK)
        self.assertEqual(driver.ring.returned(), [(stream.descriptor, STATUS_USED)])
        self.assertEqual(machine.peek(stream.status, STATUS_USED), start.to_bytes(STATUS_USED, "little"))
        self.good(machine)
        self.ends_clean(machine)

    def test_errors_do_not_fill_the_log_of_qemu(self):
        """All but the first are only shown to the driver."""
        machine = self.machine()
        for _ in range(2 * ERRORS):
            driver = Driver(machine)
            driver.send(b"\0" * 4)
            self.assertTrue(driver.needs_reset())
        for _ in range(2 * ERRORS):
            driver = Driver(machine)
            Stream(driver, magic=1).post()
            self.assertTrue(driver.needs_reset())
        said = [line for line in machine.qemu_output().splitlines() if "virtio-ddebug: " in line]
        self.assertEqual(len(said), ERRORS, said)
        self.assertIn("further errors of the guest are not reported", said[-1])
        self.good(machine)
        self.ends_clean(machine)

    def test_neither_migration_nor_snapshot(self):
        """QEMU refuses them while the device is there, and names it."""
        machine = self.machine()
        for line in ("migrate exec:cat>/dev/null", "savevm one"):
            with self.case(line):
                said = machine.command("human-monitor-command", **{"command-line": line})
                self.assertIn("State blocked by non-migratable device", said)
                self.assertIn("/virtio-ddebug'", said)
        self.good(machine)
        self.ends_clean(machine)
