# SPDX-License-Identifier: GPL-2.0-or-later
"""Base classes of the guest tests."""

import logging
import os
import time

import avocado

from .guest import LOAD, Guest, Log, one_thread

DEVICE = "/machine/peripheral/ddebug0"
RING_SIZE = "/sys/kernel/debug/dynamic_debug/rb_size_kb"
RING_TROUBLE = r"BUG:|WARNING:|Oops|general protection|stall|Call Trace|keeps the old ring"
DRIVER = "/sys/bus/virtio/drivers/virtio_ddebug"


class DdebugTest(avocado.Test):
    """A test that boots guests, and leaves none behind."""

    timeout = 300

    def setUp(self):
        logging.getLogger("qemu.qmp").setLevel(logging.WARNING)
        logging.getLogger("asyncio").setLevel(logging.WARNING)
        self.guests = []

    def tearDown(self):
        for guest in self.guests:
            guest.close()

    def new_guest(self, **options):
        """A guest that is not started yet; its files are among the test's results."""
        options.setdefault("life", self.timeout - 5)
        guest = Guest(self.outputdir, name=f"guest{len(self.guests)}", **options)
        self.guests.append(guest)
        return guest

    def boot(self, **options):
        begin = time.monotonic()
        guest = self.new_guest(**options).boot()
        self.log.info("booted in %.1f s", time.monotonic() - begin)
        return guest

    def scratch(self, name):
        return os.path.join(self.outputdir, name)

    def until(self, what, condition, timeout=None):
        """Wait for a condition.  The host may be slow: without a timeout only the test's own limit
        ends it."""
        self.log.info("waiting until %s", what)
        deadline = time.monotonic() + (timeout or self.timeout)
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"waited in vain until {what}")
            time.sleep(0.05)

    def produced(self, guest):
        """The number of messages that the threads of a load have made."""
        return guest.numbers(f"{LOAD}/status")["produced"]


class FloodTest(DdebugTest):
    """A test that acts on the log of a guest that floods it."""

    def flooded(self, rate, **options):
        guest = self.boot(modules=("virtio_ddebug", "ddebug_test"), **options)
        guest.control("module ddebug_test +r")
        guest.start_load(f"threads=2 count=1000000000 rate={rate} shape=int3")
        return guest

    def set(self, guest, name, value):
        """Set a property of the device."""
        guest.command("qom-set", path=DEVICE, property=name, value=value)

    def goes_on(self, guest):
        """Wait until chunks are written again."""
        before = guest.counter("chunks")
        self.until("the log continues", lambda: guest.counter("chunks") > before)

    def end(self, guest, more=200):
        """Stop the flood: the number of messages sent, including `more` further ones, some of them the
        last of their stream."""
        guest.must(f"echo > {LOAD}/stop")
        sent = self.produced(guest)
        if more:
            guest.load(f"threads=4 count={more // 4} shape=int3 rate=500")
        return sent + more

    def account(self, guest, sent):
        """Check received + reported lost = sent, by the log and by the tool, and return the log's
        contents and the tool's notices of losses."""
        log = Log(guest.log_file, guest)
        found = log.settled()
        received, lost, dropped = len(found.messages), found.total_lost, guest.dropped()
        self.log.info("sent %d, received %d, lost %d, dropped %d", sent, received, lost, dropped)
        self.assertEqual(received + lost + dropped, sent)
        info = log.info()
        self.assertEqual((info["received"], info["lost"], info["dropped"]), (received, lost, dropped))
        notices = [line.raw.decode() for line in log.trace() if line.stamp is None]
        self.log.info("%s", notices)
        return found, notices


class BusyTest(DdebugTest):
    """A test that changes a guest under constant load."""

    def boot_with_port(self, **options):
        """A guest with a port that the device can be plugged into."""
        guest = self.new_guest(log=None, load_plugin=True, accel=one_thread(),
                               modules=("virtio_ddebug", "ddebug_test"),
                               args=["-device", "pcie-root-port,id=port1,chassis=1"], **options)
        guest.boot()
        guest.log_file = guest.path("log")
        return guest

    def plug(self, guest):
        guest.plug("port1")

    def unplug(self, guest):
        guest.command("device_del", id="ddebug0")
        self.until("the device is gone", lambda: "ddebug0" not in {
            entry["name"] for entry in guest.command("qom-list", path="/machine/peripheral")})
        self.assertEqual(guest.stats()["attached"], 0)

    def reset(self, guest):
        """Unbind and bind the driver, which resets the device."""
        guest.must(f"cd {DRIVER}; for d in virtio*; do echo $d > unbind; echo $d > bind; done")
        self.until("the driver has attached", lambda: guest.stats()["attached"] == 1)

    def replace_under_load(self, guest, rate):
        """Plug the device in, reset it, replace it and stop the VM while the guest logs: the number of
        messages it has made.  The device stays."""
        self.plug(guest)
        self.start_endless(guest, rate)
        for _ in range(3):
            self.reset(guest)
            self.unplug(guest)
            self.plug(guest)
            guest.command("stop")
            guest.command("cont")
        return self.stop_endless(guest)

    def start_endless(self, guest, rate):
        guest.control("module ddebug_test +r")
        guest.start_load(f"threads=8 count=1000000000 rate={rate} context=all shape=mixed")

    def stop_endless(self, guest):
        """Stop the load: the number of messages it has made."""
        guest.must(f"echo > {LOAD}/stop")
        report = guest.numbers(f"{LOAD}/status")
        self.log.info("%s", report)
        self.assertEqual(report["state"], "stopped")
        for thread in range(8):
            self.assertGreater(report[f"t{thread}"], 0)
        return report["produced"]


class RingTest(BusyTest):
    """A test that changes the rings of a guest."""

    def resize(self, guest, kb):
        status, said = guest.write(RING_SIZE, str(kb))
        self.assertEqual(status, 0, said)
        # whole sub-buffers of 16 KiB
        self.assertEqual(int(guest.must(f"cat {RING_SIZE}")), (kb + 15) // 16 * 16)

    def account(self, guest, log, sent):
        """Check received + reported lost = sent, by the driver, the log and the tool."""
        found = log.settled()
        dropped = guest.dropped()
        self.assertEqual(guest.committed() + dropped, sent)
        self.assertEqual(len(found.messages) + found.total_lost + dropped, sent)
        self.assertEqual(found.damaged + found.skipped, 0)
        info = log.info()
        self.assertEqual((info["received"], info["lost"]), (len(found.messages), found.total_lost))
        self.assertNotRegex(guest.dmesg(), RING_TROUBLE)
        return found

    def in_other_sizes(self, guest, rounds):
        """Resize the rings under load, to the sizes of each round; the few messages of a round fit
        into the smallest ring, however late the host drains it, so none is lost: their number."""
        log = guest.log()
        guest.control("module ddebug_test +r")
        sent = 0
        for sizes in rounds:
            guest.start_load("threads=4 count=50 rate=200 context=task shape=mixed")
            for kb in sizes:
                self.resize(guest, kb)
            sent += guest.finish_load()["produced"]
            self.assertEqual(self.account(guest, log, sent).total_lost, 0)
        return sent
