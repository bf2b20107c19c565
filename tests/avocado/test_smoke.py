# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves, for any chosen QEMU and kernel, what all other tests rely on: they are the right ones, the
flag is set and seen, messages stream while the guest runs, the accounts are exact flat out, and the
modules unload without a trace."""

import re
import signal
import time

from ddebug.case import DdebugTest
from ddebug.guest import CONTROL, KERNEL, PATIENCE, PROC_CONTROL, QEMU, chosen_kernel

COUNT = 10000


class Smoke(DdebugTest):
    """
    :avocado: tags=smoke
    """

    timeout = 200

    def is_of_the_variant(self, guest):
        release = guest.must("uname -r").strip()
        self.assertEqual(release, chosen_kernel()["release"])
        self.assertEqual(release.split(".")[:2], KERNEL.split("."))
        version = guest.command("query-version")["qemu"]
        self.assertEqual(f"{version['major']}.{version['minor']}", QEMU.split("-")[1])

    def callsites(self, guest, control, flags):
        # a query without a class leaves those of a class alone
        return int(guest.must(f"grep -v ' class:' {control} | grep -c 'ddebug_test.* ={flags} '; true"))

    def test_a_guest_from_its_boot_to_the_modules_end(self):
        guest = self.boot(smp=2, modules=("ddebug_test",))
        self.is_of_the_variant(guest)
        before = guest.flags()
        guest.must("modprobe virtio_ddebug")
        log = guest.log()
        for control in (CONTROL, PROC_CONTROL):
            guest.must(f"echo 'module ddebug_test +r' > {control}")
            for shown in (CONTROL, PROC_CONTROL):
                self.assertGreater(self.callsites(guest, shown, "r"), 5)
                self.assertEqual(self.callsites(guest, shown, "_"), 0)
            guest.must(f"echo 'module ddebug_test -r' > {control}")
            self.assertEqual(self.callsites(guest, control, "r"), 0)

        # live: one message arrives while the guest waits to continue
        guest.control("module ddebug_test +r")
        output = self.scratch("pipe.txt")
        pipe = log.start("--pipe", output=output)
        guest.load("threads=1 count=1")
        deadline = time.monotonic() + PATIENCE
        while self.piped(output) != [(0, 0)] and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.piped(output), [(0, 0)])
        self.assertEqual(guest.command("query-status")["status"], "running")

        report = guest.load(f"threads=4 count={COUNT} rate=0 shape=mixed context=all")
        self.assertEqual(report["produced"], 4 * COUNT)
        found = log.settled()
        dropped = guest.dropped()
        self.assertEqual(guest.committed() + dropped, 4 * COUNT + 1)
        self.assertEqual(found.total_dropped, dropped)
        self.assertEqual(len(found.messages) + found.total_lost + dropped, 4 * COUNT + 1)
        self.assertEqual({m.context for m in found.messages}, {"task", "softirq", "hardirq", "NMI"})
        info = log.info()
        self.assertEqual((info["received"], info["lost"] + info["dropped"]),
                         (len(found.messages), found.total_lost + dropped))
        pipe.send_signal(signal.SIGINT)
        self.assertEqual(pipe.wait(PATIENCE), -signal.SIGINT)
        self.assertEqual(pipe.stderr.read(), b"")

        guest.must("rmmod virtio_ddebug; rmmod ddebug_rb")
        after = guest.flags()
        self.assertEqual({site: after[site] for site in before}, before)
        self.assertNotRegex(guest.dmesg(), r"BUG:|WARNING:|Oops|general protection|stall|Call Trace")
        self.assertEqual(guest.shut_down(), 0)

    def piped(self, output):
        """[(thread, number)] of the output of --pipe."""
        with open(output, "rb") as file:
            return [(int(m.group(1)), int(m.group(2)))
                    for m in re.finditer(rb"ddebug_test: t(\d+) n(\d+) ", file.read())]
