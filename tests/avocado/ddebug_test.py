# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests with guests have in common."""

import logging
import os
import time

import avocado

from ddebug_guest import LOAD, Guest

DRIVER = "/sys/bus/virtio/drivers/virtio_ddebug"


class DdebugTest(avocado.Test):
    """A test that boots guests; whatever happens, none is left behind."""

    timeout = 300

    def setUp(self):
        logging.getLogger("qemu.qmp").setLevel(logging.WARNING)
        logging.getLogger("asyncio").setLevel(logging.WARNING)
        self.guests = []

    def tearDown(self):
        for guest in self.guests:
            guest.close()

    def new_guest(self, **options):
        """A guest that is not started yet; its files lie among the test's results."""
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


class BusyTest(DdebugTest):
    """Changes a guest while it logs all the time."""

    def until(self, what, condition):
        """The host may be slow: only the test's own limit ends the wait."""
        self.log.info("waiting until %s", what)
        while not condition():
            time.sleep(0.1)

    def plug(self, guest):
        guest.command("device_add", driver="virtio-ddebug-pci", id="ddebug0", bus="port1",
                      file=guest.log_file)
        self.until("the driver has attached", lambda: guest.stats()["attached"] == 1)

    def unplug(self, guest):
        guest.command("device_del", id="ddebug0")
        self.until("the device is gone", lambda: "ddebug0" not in {
            entry["name"] for entry in guest.command("qom-list", path="/machine/peripheral")})
        self.assertEqual(guest.stats()["attached"], 0)

    def reset(self, guest):
        """The driver leaves the device, which resets it, and takes it again."""
        guest.must(f"cd {DRIVER}; for d in virtio*; do echo $d > unbind; echo $d > bind; done")
        self.until("the driver has attached", lambda: guest.stats()["attached"] == 1)

    def start_endless(self, guest, rate):
        guest.control("module ddebug_test +r")
        guest.start_load(f"threads=8 count=1000000000 rate={rate} context=all shape=mixed")

    def stop_endless(self, guest):
        """Ends it: how many messages it has made."""
        guest.must(f"echo > {LOAD}/stop")
        report = guest.numbers(f"{LOAD}/status")
        self.log.info("%s", report)
        self.assertEqual(report["state"], "stopped")
        for thread in range(8):
            self.assertGreater(report[f"t{thread}"], 0)
        return report["produced"]
