# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the other tests here would see a fault: one of each kind is made, and its report is
found where they look for it."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "avocado"))

from ddebug.case import DdebugTest                  # noqa: E402
from ddebug.guest import KERNEL                     # noqa: E402
from ddebug_reports import MEMORY, OPTIONS, leaks, reports    # noqa: E402

BUG = "/sys/kernel/debug/ddebug_bug/run"

# By kernel: faults for one guest each, [(what to trigger, what the report's title has)].  Lockdep
# and KASAN report once in a guest's life.
FAULTS = {
    "kasan": [
        [("sleep", "BUG: sleeping function called from invalid context"),
         ("preemptible", "BUG: using smp_processor_id() in preemptible"),
         ("object", "ODEBUG: free active"),
         ("list", "list_del corruption"),
         ("refcount", "refcount_t: addition on 0"),
         ("shift", "UBSAN: shift-out-of-bounds in"),
         ("warning", "bug_warning+"),
         ("circular", "possible circular locking dependency detected"),
         ("use-after-free", "BUG: KASAN: use-after-free")],
        [("recursive", "possible recursive locking detected"),
         ("out-of-bounds", "BUG: KASAN: stack-out-of-bounds")],
        [("inconsistent", "inconsistent lock state")],
    ],
    "kcsan": [
        [("race", "BUG: KCSAN: data-race in bug_racer"),
         ("race-interrupt", "bug_race_ipi"),
         ("warning", "bug_warning+")],
    ],
}[KERNEL]


class Reports(DdebugTest):
    """Avocado does not find the base class in its folder.

    :avocado: enable
    """

    timeout = 900

    def seen(self, guest, title):
        return any(title in report.title and report.ours for report in reports(guest))

    def test_a_fault_of_each_kind_is_seen(self):
        for faults in FAULTS:
            guest = self.boot(smp=2, log=None, memory=MEMORY, modules=("ddebug_bug",), append=OPTIONS)
            for request, title in faults:
                self.log.info("%s", request)
                self.assertFalse(self.seen(guest, title), title)
                # a race has to happen
                for _ in range(20):
                    guest.must(f"echo {request} > {BUG}")
                    time.sleep(0.2)
                    if self.seen(guest, title):
                        break
                else:
                    self.fail(f"{request}: no report with '{title}': {reports(guest)}")
            guest.kill()

    def test_what_is_lost_is_found(self):
        guest = self.boot(smp=2, log=None, memory=MEMORY, modules=("ddebug_bug",), append=OPTIONS)
        lost = 3
        guest.must(f"for i in $(seq {lost}); do echo leak > {BUG}; done")
        if KERNEL == "kasan":
            # the last pointer may still be on some stack
            self.assertGreaterEqual(len(leaks(guest)), lost - 1)
        # KCSAN sees the kernel's own races at any time
        self.assertFalse([report for report in reports(guest) if report.ours])
