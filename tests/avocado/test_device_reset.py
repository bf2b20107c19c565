# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the driver notices that its device was reset by somebody else, and attaches to it again:
when there are messages, at a request, and when rings are replaced; and that it resets a device which
returns another ring than it was asked for.  Nothing is lost, and whoever asks need not wait until a
request times out."""

import re

from ddebug.case import RING_SIZE, RING_TROUBLE, BusyTest
from ddebug.guest import CONTROL, Log

TIMED_OUT = "error -110"


class DeviceReset(BusyTest):

    def load(self, guest):
        self.made += guest.load("threads=2 count=100 rate=1000 shape=int3")["produced"]

    def test_a_function_that_is_reset_behind_the_driver(self):
        guest = self.boot_with_port()
        self.plug(guest)
        log = Log(guest.log_file, guest)
        guest.control("module ddebug_test +r")
        self.made = 0
        self.load(guest)
        reset = "echo 1 > " + guest.must("for d in /sys/bus/pci/devices/*; do "
                                         "[ $(cat $d/device) = 0x107c ] && echo $d/reset; done; true").strip()
        occasions = {
            "messages": lambda: self.load(guest),
            "a request": lambda: guest.must(f"modprobe usbcore; echo 'module usbcore +r' > {CONTROL}"),
            "a resize": lambda: guest.must(f"echo 512 > {RING_SIZE}"),
        }
        for epoch, (what, occasion) in enumerate(occasions.items(), 2):
            guest.must(reset)
            occasion()
            self.until(f"{what} has been noticed", lambda: epoch in log.read().epochs)
        self.load(guest)
        found = log.settled()
        self.assertEqual((len(found.messages), found.total_lost), (self.made, 0))
        said = guest.dmesg()
        self.assertEqual(len(re.findall("the device was reset: attaching to it again", said)), len(occasions))
        self.assertNotRegex(said, f"{RING_TROUBLE}|{TIMED_OUT}")
        self.assertEqual(guest.stats()["attached"], 1)

        guest.must("modprobe ddebug_odd; echo wrong > /sys/kernel/debug/ddebug_odd/run")
        status, said = guest.write(RING_SIZE, "256")
        self.assertEqual(status, 1)
        self.assertIn("Protocol error", said)
        self.until("the wrong ring has been noticed", lambda: len(occasions) + 2 in log.read().epochs)
        self.assertIn("the device returned a ring that is in use: resetting it", guest.dmesg())
        self.until("the rings can be replaced again", lambda: guest.write(RING_SIZE, "1024")[0] == 0)
        self.load(guest)
        found = log.settled()
        self.assertEqual((len(found.messages), found.total_lost), (self.made, 0))
