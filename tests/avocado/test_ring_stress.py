# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that each record is whole and in its place when four vCPUs write from tasks, softirqs,
hardirqs and NMIs that interrupt each other in the middle of messages, into rings so small that the
device is lapped all the time: every message is in the log unchanged, or counted as lost.

DDEBUG_STRESS_SECONDS is the duration of the flood, in all.
"""

import os
import re

from ddebug.case import BusyTest
from ddebug.guest import LOAD, STATS

SECONDS = int(os.environ.get("DDEBUG_STRESS_SECONDS", "3"))
# The log is read after each round.
ROUND_SECONDS = min(SECONDS, 20)
THREADS = 16
# The number of consecutive messages of one context; of NMIs, more than their ring holds.
BURST = {"any": 256, "own": 1}
CONTEXTS = ("task", "softirq", "hardirq", "NMI")
NUMBERED = re.compile(rb"ddebug_test: t(\d+) n(\d+) ")


def made(thread, n):
    """The text of a message of a mixed load; see test_say_shape() in ddebug_test.c."""
    begin = f"ddebug_test: t{thread} n{n} "
    return (begin + "nothing else to fill in",
            begin + f"urb {n & 0xffff} len {n % 1500} status {-(n % 133)}",
            begin + "name sixteen letters.",
            begin + "name " + 200 * "x",
            begin + "mac 02:00:5e:10:20:30",
            "platform ddebug_test: " + begin + "of a device",
            "platform ddebug_test ddtest (uninitialized): " + begin + "of a network device",
            "(NULL ib_device): " + begin + "of an ib device")[n % 8].encode()


class RingStress(BusyTest):
    timeout = 300 + 20 * SECONDS

    def check_records(self, messages, target):
        """Check every record by itself, and in its stream and its thread: which there are."""
        last = {}       # of a stream: time; of a thread and stream: number
        seen = set()
        for message in messages:
            match = NUMBERED.search(message.text)
            thread, n = int(match.group(1)), int(match.group(2))
            if (message.text, message.context) != (made(thread, n), CONTEXTS[n // BURST[target] % 4]):
                self.fail(f"{message} is not as it was made")
            for key, value, what in ((message.stream, message.time, "time"),
                                     ((message.stream, thread), n, "number")):
                if value < last.get(key, value):
                    self.fail(f"the {what} of {message} is before that of the one before it")
                last[key] = value
            seen.add((thread, n))
        self.assertEqual(len(seen), len(messages))
        return seen

    def missed(self, guest):
        """The number of calls that the kernel did not pass to us, since an NMI interrupted the handler
        of a probe: they print."""
        return sum(value for name, value in guest.numbers(STATS).items()
                   if name.startswith("missed___dynamic"))

    def run_load(self, guest, log, target, rate, seconds):
        """Messages for some time, all accounted for: those in the log, the number lost so far, and the
        load's report."""
        before = guest.committed(), self.missed(guest)
        guest.start_load(f"threads={THREADS} count=1000000000 rate={rate} context=all target={target} "
                         "shape=mixed")
        guest.must(f"sleep {seconds}", timeout=60 + 10 * seconds)
        guest.must(f"echo > {LOAD}/stop")
        report = guest.numbers(f"{LOAD}/status")
        found = log.settled()
        committed, missed = guest.committed() - before[0], self.missed(guest) - before[1]
        messages = [message for message in found.messages if message.time > self.newest]
        self.newest = max(message.time for message in messages)
        self.log.info("target %s, rate %d: made %d, %d of them inside of others, committed %d, missed by "
                      "probes %d, got %d; lost so far %d", target, rate, report["produced"],
                      report["nested"], committed, missed, len(messages), found.total_lost)
        self.assertEqual(report["state"], "stopped")
        self.assertEqual(guest.dropped() + found.damaged + found.skipped, 0)
        self.assertEqual(report["produced"], committed + missed)
        self.assertEqual(len(found.messages) + found.total_lost, guest.committed())
        return messages, found.total_lost, report

    def test_each_record_is_whole_when_writers_interrupt_each_other(self):
        guest = self.boot(smp=4, props="size=64M", modules=())
        guest.must("modprobe ddebug_rb rb_size_kb=32; modprobe virtio_ddebug; modprobe ddebug_test")
        guest.control("module ddebug_test +r")
        log = guest.log()
        self.newest = nested = 0
        for _ in range(SECONDS // ROUND_SECONDS):
            messages, lost, report = self.run_load(guest, log, "any", 0, ROUND_SECONDS)
            self.check_records(messages, "any")
            self.assertEqual({(m.cpu, m.context) for m in messages},
                             {(cpu, context) for cpu in range(4) for context in CONTEXTS})
            nested += report["nested"]
        self.assertGreater(nested, 100, "not a test")
        self.assertGreater(lost, 100, "not a test")

        # slowly: nothing more is lost, so each message is there
        messages, still_lost, report = self.run_load(guest, log, "own", 500, 4)
        self.assertEqual(still_lost, lost)
        seen = self.check_records(messages, "own")
        for thread in range(THREADS):
            self.assertEqual({n for t, n in seen if t == thread}, set(range(report[f"t{thread}"])))
        self.assertNotRegex(guest.dmesg(), r"BUG:|WARNING:|Oops|general protection|stall|Call Trace")
        self.assertEqual(guest.qemu_output(), "")
        self.assertEqual(guest.shut_down(), 0)
