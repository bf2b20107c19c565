# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that a message in the log is the message that dmesg would have had: with +pr each is in both,
with the same text and time, in the same order for each thread; with r alone the log has the same
and dmesg nothing."""

import collections
import itertools
import re

from ddebug.case import DdebugTest
from ddebug.guest import PREFIX_LETTERS, shown
from ddebug import workload

# A thread's message is stamped for the log after its previous one was stamped for dmesg, and before
# it is stamped for dmesg itself.  This holds to the resolution of dmesg (1 us) and of the clocks of
# two CPUs between which a thread migrates.
CLOCKS = 0.001              # seconds
# The distance of the two depends on whether a virtual CPU loses its host CPU in between.
USUAL_TOLERANCE = 0.001     # seconds; for at least half of the messages
TOLERANCE = 1.0             # for all

# What the kernel prints when a virtual CPU did not run for a while: no message of the work, with any flag.
SLOW_HOST = re.compile(rb"INFO: NMI handler .* took too long|hrtimer: interrupt took |perf: interrupt took ")

THREAD = re.compile(rb"(\[\d+\]|<intr>) ")


def by_thread(messages):
    """{prefix made by the flag t: [message]}, in order."""
    threads = collections.defaultdict(list)
    for message in messages:
        threads[THREAD.match(message.text).group(1)].append(message)
    return threads


def by_work(texts):
    """Each thread's messages, in order, whatever its number is, as {texts: threads}; of interrupts,
    and where the kernel does not name the thread (NULL devices), {text: times}."""
    threads = collections.defaultdict(list)
    work = collections.Counter()
    for text in texts:
        match = THREAD.match(text)
        if match and match.group(1) != b"<intr>":
            threads[match.group(1)].append(text[match.end():])
        else:
            work[text,] += 1
    work.update(tuple(said) for said in threads.values())
    return work


class Oracle(DdebugTest):
    timeout = 400

    def boot_all(self, works):
        squash, stick = self.scratch("squash.img"), self.scratch("stick.img")
        args = []
        if workload.NETWORK in works:
            args += workload.network_card()
        if workload.USB in works:
            workload.make_ext4(stick)
            args += workload.usb(stick)
        if workload.SQUASHFS in works:
            workload.make_squashfs(squash)
            args += workload.squashfs_disk(squash)
        # the contents are compared, not how much of a burst the rings hold
        return self.boot(args=args, props="size=128M",
                         modules=("ddebug_rb rb_size_kb=16384", "virtio_ddebug"))

    def compare(self, work, logged, printed):
        self.log.info("%s: %d messages in the log, %d in dmesg",
                      work.modules, len(logged), len(printed))
        self.assertGreaterEqual(len(printed), work.least, "not a test")
        in_log, in_dmesg = by_thread(logged), by_thread(printed)
        self.assertEqual(sorted(in_log), sorted(in_dmesg))
        off = []
        for thread, records in in_dmesg.items():
            messages = in_log[thread]
            if thread == b"<intr>":
                self.assertGreaterEqual(len(records), work.interrupts, "not a test")
                self.assertEqual(collections.Counter(m.text for m in messages),
                                 collections.Counter(r.text for r in records))
                continue
            self.assertEqual([m.text for m in messages], [r.text for r in records],
                             f"thread {thread}")
            last = 0
            for message, record in zip(messages, records):
                self.assertEqual(message.pid, int(thread[1:-1]))
                stamp = message.time / 1e9
                self.assertLess(last - CLOCKS, stamp, message)
                self.assertLess(stamp, record.stamp + CLOCKS, message)
                last = record.stamp
                off.append(abs(stamp - record.stamp))
        off.sort()
        self.log.info("stamps differ by %.6f s in the middle, %.6f s at the 99th, %.6f s at most",
                      off[len(off) // 2], off[len(off) * 99 // 100], off[-1])
        self.assertLess(off[len(off) // 2], USUAL_TOLERANCE)
        self.assertLess(off[-1], TOLERANCE)

    def compare_work(self, *works):
        guest = self.boot_all(works)
        log = guest.log()
        for work in works:
            before = len(log.settled().messages)
            last = guest.kmsg()[-1].seq
            work.run(guest, "+prt")
            guest.control("=_")
            found = log.settled()
            sites = guest.flags()
            printed = [r for r in guest.kmsg() if r.seq > last and THREAD.match(r.text)]
            # a thread changes its CPU, and so its stream; times are comparable
            logged = sorted(found.messages[before:], key=lambda m: m.time)
            self.compare(work, logged, printed)
            modules = set()
            for message in logged:
                site = message.callsite
                self.assertIsNotNone(site, message)
                modules.add(site.module)
                if (site.file, site.line, site.function) in sites:
                    self.assertEqual(sites[site.file, site.line, site.function][0], site.module)
                # what has softirqs disabled calls itself "<intr>", too
                self.assertTrue(message.context == "task" or message.text.startswith(b"<intr>"), message)
            self.assertLessEqual(modules, set(work.modules))
        self.assertEqual(found.total_lost, 0)
        self.assertEqual(found.skipped, 0)
        self.compare_tool(log, found)

    def compare_tool(self, log, found):
        """Check that the tool shows exactly these messages, in the order of time."""
        lines = log.trace("--quiet")
        stamps = [line.micros for line in lines]
        self.assertEqual(stamps, sorted(stamps))
        self.assertEqual(collections.Counter((line.micros, line.text) for line in lines),
                         collections.Counter((m.time // 1000, shown(m.text)) for m in found.messages))

    def test_log_equals_dmesg_for_network_card_and_usb(self):
        self.compare_work(workload.NETWORK, workload.USB)

    def test_log_equals_dmesg_for_a_network_protocol_with_softirqs(self):
        self.compare_work(workload.SCTP)

    def test_log_equals_dmesg_for_file_systems(self):
        self.compare_work(workload.SQUASHFS, workload.FLASH)

    def test_each_combination_of_flags_prefixes_the_log_as_dmesg(self):
        guest = self.boot_all([])
        log = guest.log()
        guest.must("modprobe ddebug_test")
        before = len(log.settled().messages)
        last = guest.kmsg()[-1].seq
        flags = ["".join(letters) for n in range(len(PREFIX_LETTERS) + 1)
                 for letters in itertools.combinations(PREFIX_LETTERS, n)]
        for letters in flags:
            guest.control(f"module ddebug_test =pr{letters}")
            guest.load("threads=1 count=16 context=all shape=mixed")
        logged = sorted(log.settled().messages[before:], key=lambda m: m.time)
        printed = [r.text for r in guest.kmsg() if r.seq > last and b"ddebug_test: t0 n" in r.text]
        self.assertEqual([m.text for m in logged], printed)
        self.assertEqual(len(printed), 16 * len(flags))
        prefixes = {text.partition(b"ddebug_test: t0 n0 ")[0] for text in printed if b" t0 n0 " in text}
        self.assertEqual(len(prefixes), len(flags), "not a test")

    def assert_same_work(self, one, other):
        for only, where in ((one - other, "first"), (other - one, "second")):
            for texts, threads in only.items():
                self.log.error("only in the %s, %d times: %d messages, %s ... %s",
                               where, threads, len(texts), texts[:3], texts[-3:])
        self.assertTrue(one == other, "not the same messages, see the test's log")

    def test_r_alone_records_the_same_and_leaves_dmesg_silent(self):
        guest = self.boot_all([workload.SQUASHFS])
        log = guest.log()
        guest.must("modprobe squashfs; modprobe virtio_blk; modprobe ddebug_test; "
                   "while [ ! -b /dev/vda ]; do sleep 0.1; done")
        runs = {}
        for flags in ("=prt", "=rt"):
            before = len(log.settled().messages)
            last = guest.kmsg()[-1].seq
            guest.control(f"module squashfs {flags}; module ddebug_test {flags}")
            # not through a pipe, whose fill level decides what is read ahead
            guest.must("mount -r -t squashfs /dev/vda /mnt && find /mnt -type f | sort > /tmp/files"
                       " && xargs md5sum < /tmp/files > /tmp/sums && umount /mnt", timeout=120)
            guest.load("threads=1 count=800 context=all shape=mixed rate=1000")
            guest.control("=_")
            messages = sorted(log.settled().messages[before:], key=lambda m: m.time)
            printed = [r.text for r in guest.kmsg() if r.seq > last and not SLOW_HOST.match(r.text)]
            runs[flags] = (by_work([m.text for m in messages]), by_work(printed))
        logged, printed = runs["=prt"]
        self.assertGreater(logged.total(), 20, "not a test")
        self.assertGreater(sum(len(texts) for texts in logged), 6000, "not a test")
        self.assert_same_work(logged, printed)
        self.assert_same_work(runs["=rt"][0], logged)
        self.assertEqual(runs["=rt"][1], collections.Counter())
