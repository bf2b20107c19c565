# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that a host which takes longer than the driver waits holds up nobody else, and leaves nothing
behind when it answers: a ring that it returns late is freed, callsites are announced, a driver that it
did not answer is attached."""

import os

from ddebug.case import DRIVER, RING_SIZE, DdebugTest
from ddebug.disk import FailingDisk
from ddebug.guest import CONTROL, Log

LOAD = "threads=2 count=100 shape=int3"
CPU1 = "/sys/devices/system/cpu/cpu1/online"
RESIZED = "/tmp/resized"
# in the guest: the disk hangs, so this waits for the device until it gives up
RESIZE = (f"rm -f {RESIZED}; {{ echo %d > {RING_SIZE}; echo $? > {RESIZED}; }} > /dev/null 2> /tmp/error & "
          "sleep 1; ")
UNBIND = (f"for d in {DRIVER}/virtio*; do basename $d > /tmp/device; done; "
          f"cat /tmp/device > {DRIVER}/unbind")


class LateHost(FailingDisk, DdebugTest):

    def hangs(self, guest):
        """The device's thread hangs in a write of messages."""
        self.fault("block")
        guest.load(LOAD)
        self.sent += 200

    def loads(self, guest):
        guest.load(LOAD)
        self.sent += 200

    def resized(self, guest, kb):
        return guest.write(RING_SIZE, str(kb))[0] == 0

    def while_it_resizes(self, guest, kb, script):
        """Carry out a script while rings are replaced, and see that this is not over by then."""
        guest.must(RESIZE % kb + f"{script}; test ! -e {RESIZED}")

    def test_a_host_that_answers_late(self):
        # with shm=on the rings lie in memory that is used again
        guest = self.boot(log=os.path.join(self.failing_disk(), "vm.ddl"),
                          props="size=32M,shm=on,shm-size=16M",
                          modules=("virtio_ddebug", "ddebug_test", "usbcore", "ddebug_odd"))
        self.sent = 0
        log = Log(guest.log_file, guest)
        guest.control("module ddebug_test +r")
        self.loads(guest)
        self.hangs(guest)
        # neither CPUs that come and go, nor flags, nor statistics wait for the host
        self.while_it_resizes(guest, 512, f"echo 0 > {CPU1} && echo 1 > {CPU1} && "
                              f"echo 'module usbcore +r' > {CONTROL} && "
                              "cat /sys/kernel/debug/dynamic_debug_rb/stats > /dev/null")
        stats = guest.stats()
        self.assertLess(stats["callsites_announced"], stats["callsites_known"])
        self.until("the resize has given up", lambda: guest.run(f"test -s {RESIZED}")[0] == 0)
        self.assertIn("timed out", guest.must("cat /tmp/error"))
        self.assertIn("keeps the old ring", guest.dmesg())
        # while it keeps one, no other is replaced
        status, said = guest.write(RING_SIZE, "1024")
        self.assertEqual(status, 1)
        self.assertIn("busy", said)
        self.fault("ok")
        self.until("the ring was returned", lambda: self.resized(guest, 1024))
        self.until("the callsites were announced",
                   lambda: guest.stats()["callsites_announced"] == guest.stats()["callsites_known"])
        self.loads(guest)
        found = log.settled()
        self.assertEqual((len(found.messages), found.total_lost, sorted(found.epochs)), (self.sent, 0, [1]))

        # a ring that the device could not even be asked for, since it answered nothing
        self.hangs(guest)
        guest.control("module ddebug_odd +r")
        self.until("the announcement is given up", lambda: "cannot announce" in guest.dmesg())
        status, said = guest.write(RING_SIZE, "256")
        self.assertEqual(status, 1)
        self.assertIn("timed out", said)
        self.fault("ok")
        self.until("it was asked for", lambda: self.resized(guest, 1024))

        # who waits does not keep the driver from being unbound
        self.hangs(guest)
        self.while_it_resizes(guest, 512, "true")
        took = guest.must(f"read a b < /proc/uptime; {UNBIND}; read c d < /proc/uptime; echo $a $c")
        begin, end = map(float, took.split())
        self.assertLess(end - begin, 6)
        guest.must(f"cat /tmp/device > {DRIVER}/bind")
        self.assertEqual(guest.stats()["attached"], 0)
        self.assertIn("the host does not answer: attaching when it does", guest.dmesg())
        self.loads(guest)
        self.fault("ok")
        self.until("the driver has attached", lambda: guest.stats()["attached"] == 1)
        self.loads(guest)
        found = log.settled()
        self.assertEqual((len(found.messages), found.total_lost), (self.sent, 0))
        self.assertNotRegex(guest.dmesg(), "BUG:|WARNING:|Oops|Call Trace|blocked for more than")
