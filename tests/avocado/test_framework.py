# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the tests can trust what they see of a guest: exit statuses, output and the kernel's
log; and that no guest outlives its time limit."""

import signal

from ddebug.case import DdebugTest
from ddebug.guest import CommandFailed, GuestError


class Framework(DdebugTest):
    timeout = 300

    def test_commands_and_kernel_log_come_back_whole(self):
        guest = self.boot(log=None, modules=())
        self.assertEqual(guest.run("echo out; echo err >&2; exit 3"), (3, "out\nerr\n"))
        self.assertEqual(guest.run("kill -9 $$"), (137, ""))
        status, output = guest.run_raw("head -c 100000 /dev/urandom | tee /tmp/x; exit 7")
        self.assertEqual((status, len(output)), (7, 100000))
        self.assertRaises(CommandFailed, guest.must, "false")
        guest.must("sleep 1000 &")

        guest.must("for i in $(seq 500); do echo \"<6>line $i \\\\ tab\t.\" > /dev/kmsg; done")
        lines = [r.text for r in guest.kmsg() if r.text.startswith(b"line ")]
        self.assertEqual(lines, [b"line %d \\ tab\t." % i for i in range(1, 501)])

        self.assertEqual(guest.command("query-status")["status"], "running")
        self.assertEqual(guest.shut_down(), 0)

    def test_a_guest_that_hangs_is_killed(self):
        guest = self.boot(log=None, modules=())
        guest.expire_in(3)
        with self.assertRaisesRegex(GuestError, "lived longer than it may"):
            guest.run("sleep 1000", timeout=1000)
        self.assertEqual(guest.wait(), -signal.SIGKILL)
