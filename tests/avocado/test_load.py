# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the accounts are exact: what was sent has been received or is reported lost, also flat
out; that nothing is lost at a normal rate; and that messages of all contexts and shapes arrive
unchanged."""

import collections
import os
import re
import signal
import threading
import time

from ddebug.case import DdebugTest
from ddebug.guest import LOAD, PATIENCE

NUMBERED = re.compile(rb"ddebug_test: t(\d+) n(\d+) ")

# What a task's ring of 256 KiB holds at least of the messages used here, of up to 88 bytes.
RING_MESSAGES = 2900


def numbered(messages):
    """{thread: [number]} of ddebug_test's messages, in order."""
    found = collections.defaultdict(list)
    for message in messages:
        match = NUMBERED.search(message.text)
        found[int(match.group(1))].append(int(match.group(2)))
    return found


class Scheduling(threading.Thread):
    """Measures how long the host lets QEMU's threads wait for a CPU."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.worst = 0.0
        self.ended = threading.Event()

    def run(self):
        last = {}
        while not self.ended.wait(0.02):
            for task in os.listdir(f"/proc/{self.pid}/task"):
                try:
                    with open(f"/proc/{self.pid}/task/{task}/comm", encoding="utf-8") as file:
                        name = file.read()
                    with open(f"/proc/{self.pid}/task/{task}/schedstat", encoding="utf-8") as file:
                        waited = int(file.read().split()[1]) / 1e9
                except OSError:
                    continue
                if "ddebug" in name:
                    self.worst = max(self.worst, waited - last.get(task, waited))
                    last[task] = waited


class Load(DdebugTest):
    timeout = 500

    def account(self, guest, found, sent):
        """Check received + reported lost = sent, by the log and by the tool."""
        stats = guest.stats()
        self.log.info("driver: %s", stats)
        dropped = guest.dropped()
        self.assertEqual(guest.committed() + dropped, sent)
        self.assertEqual(found.total_dropped, dropped)
        received = len(found.messages)
        self.log.info("sent %d, received %d, missing in the log %d, dropped by the guest %d",
                      sent, received, found.total_lost, dropped)
        self.assertEqual(received + found.total_lost + dropped, sent)

    def account_tool(self, log, found, sent):
        info = log.info()
        self.log.info("tool: %s", info)
        self.assertEqual(info["received"], len(found.messages))
        self.assertEqual(info["received"] + info["lost"] + info["dropped"], sent)
        # the notices say the same, each in its place
        lines = log.trace()
        notices = [int(match.group(1)) for match in
                   (re.match(rb"-- (\d+) messages? (?:lost|dropped) on cpu", line.raw) for line in lines)
                   if match]
        self.assertEqual(sum(notices), info["lost"] + info["dropped"])
        self.assertEqual(len([line for line in lines if line.stamp]), info["received"])

    def test_messages_of_the_transport_itself_are_counted_where_the_host_sees_it(self):
        guest = self.boot(modules=("virtio_ddebug", "ddebug_test"))
        log = guest.log()
        guest.control("module virtio_ring +r")
        # each makes the driver send a request, by functions that log
        guest.control("module virtio_pci +r")
        guest.control("module ddebug_test +r")
        guest.control("-r")
        own = guest.stats()["own"]
        self.assertGreater(own, 0)
        self.assertEqual(guest.dropped(), own)
        self.until("the log has the counts", lambda: log.info()["dropped"] == own)
        self.assertRegex(log.tool("--trace").stdout, rb"messages? dropped on cpu \d+, task: in the guest, "
                                                     rb"\d+ produced while logging --")

    def test_a_million_messages_flat_out_are_received_or_reported_lost(self):
        guest = self.boot(smp=2, modules=("virtio_ddebug", "ddebug_test"))
        log = guest.log()
        guest.control("module ddebug_test +r")
        report = guest.load("threads=4 count=250000 rate=0 shape=int3", timeout=300)
        self.log.info("a million messages in %.1f s of the guest", report["elapsed_us"] / 1e6)
        self.assertEqual(report["produced"], 1000000)
        found = log.settled()
        self.account(guest, found, 1000000)
        self.account_tool(log, found, 1000000)

        # the newest that fit are all there: the file is full, and its end has no gap
        size = os.stat(guest.log_file).st_size
        self.assertLessEqual(size, 16 << 20)
        bytes_in_log = sum(16 + 8 + len(m.text) for m in found.messages)
        self.assertGreater(bytes_in_log, 0.8 * size)
        threads = numbered(found.messages)
        self.assertEqual(sorted(threads), [0, 1, 2, 3])
        for numbers in threads.values():
            self.assertEqual(max(numbers), 249999)
        streams = collections.defaultdict(list)
        for message in found.messages:
            streams[message.stream].append(message.number)
        committed = 0
        for numbers in streams.values():
            tail = numbers[-RING_MESSAGES:]
            self.assertEqual(tail, list(range(tail[0], tail[0] + len(tail))))
            committed += numbers[-1] + 1
        self.assertEqual(committed, guest.committed())
        self.assertEqual(len(streams), 2)

    def one_minute(self, guest, log):
        """A minute at 10,000 messages a second: how long it took, and the longest wait of the drain
        thread."""
        before = guest.committed()
        watch = Scheduling(guest.process.pid)
        watch.start()
        report = guest.load("threads=4 count=150000 rate=10000 shape=int3", timeout=150)
        watch.ended.set()
        seconds = report["elapsed_us"] / 1e6
        self.assertGreaterEqual(guest.committed() - before, 600000)
        log.wait_quiet()
        return seconds, watch.worst

    def test_ten_thousand_a_second_for_a_minute_lose_nothing(self):
        guest = self.boot(smp=2, modules=("virtio_ddebug", "ddebug_test"))
        log = guest.log()
        guest.control("module ddebug_test +r")
        holds = RING_MESSAGES / 10000.0
        for attempt in range(1, 4):
            output = self.scratch(f"pipe{attempt}.txt")
            pipe = log.start("--pipe", output=output)
            before = guest.committed()
            seconds, worst = self.one_minute(guest, log)
            sent = guest.committed() - before
            time.sleep(1)
            pipe.terminate()
            self.assertEqual((pipe.wait(PATIENCE), pipe.stderr.read()), (-signal.SIGTERM, b""))
            with open(output, "rb") as file:
                lines = file.read().split(b"\n")
            got = [line for line in lines if NUMBERED.search(line)]
            self.log.info("attempt %d: sent %d, --pipe got %d; the drain thread waited up to %.3f s "
                          "for a CPU, the ring holds %.3f s", attempt, sent, len(got), worst, holds)
            # no test if the host does not run the guest at this rate
            if seconds < 66 and (len(got) == sent or worst < holds):
                break
        self.assertLess(seconds, 66)
        self.assertEqual(len(got), 600000)
        threads = collections.defaultdict(list)
        for line in got:
            match = NUMBERED.search(line)
            threads[int(match.group(1))].append(int(match.group(2)))
        for numbers in threads.values():
            self.assertEqual(sorted(numbers), list(range(150000)))
        self.assertEqual(guest.dropped(), 0)

    def test_every_context_and_shape_arrives_as_made(self):
        guest = self.boot(smp=2, modules=("virtio_ddebug", "ddebug_test"), props="size=64M")
        log = guest.log()
        guest.control("module ddebug_test +pr")
        last = guest.kmsg()[-1].seq
        expect = collections.Counter()
        for context in ("task", "softirq", "hardirq", "nmi", "all"):
            before = len(log.settled().messages)
            # slow enough for the smallest ring, the NMIs', however late the host polls
            guest.load(f"threads=3 count=800 context={context} shape=mixed rate=500")
            messages = log.settled().messages[before:]
            self.assertEqual(len(messages), 2400)
            for numbers in numbered(messages).values():
                self.assertEqual(sorted(numbers), list(range(800)))
            if context != "all":
                name = context.replace("nmi", "NMI")
                self.assertEqual({m.context for m in messages}, {name})
            expect.update(m.text for m in messages)
        found = log.read()
        self.assertEqual({m.context for m in found.messages}, {"task", "softirq", "hardirq", "NMI"})
        self.assertEqual(found.total_lost + found.total_dropped, 0)
        printed = collections.Counter(r.text for r in guest.kmsg()
                                      if r.seq > last and b"ddebug_test: t" in r.text)
        self.assertEqual(printed, expect)
        streams = collections.defaultdict(list)
        for message in found.messages:
            streams[message.stream].append(message.time)
        for times in streams.values():
            self.assertEqual(times, sorted(times))

    def test_the_load_refuses_what_it_cannot_do(self):
        guest = self.boot(log=None, modules=("ddebug_test",))
        for request, word in (("threads=0", "1 to 64"), ("threads=65", "1 to 64"), ("count=many", "number"),
                              ("context=user", "hardirq"), ("shape=round", "mixed"), ("speed=9", "rate"),
                              ("nonsense", "NAME=VALUE")):
            status, output = guest.write(f"{LOAD}/run", request)
            self.assertNotEqual(status, 0, request)
            self.assertIn("Invalid argument", output)
            # the kernel may print messages of its own meanwhile
            said = [r.text.decode() for r in guest.kmsg() if r.text.startswith(b"ddebug_test: ")]
            self.assertIn(word, said[-1], request)
        guest.start_load("threads=2 count=1000000 rate=100")
        status, output = guest.write(f"{LOAD}/run", "threads=1")
        self.assertNotEqual(status, 0)
        self.assertIn("busy", output)
        guest.must(f"echo > {LOAD}/stop")
        self.assertEqual(guest.numbers(f"{LOAD}/status")["state"], "stopped")
        self.assertEqual(guest.load("count=10")["produced"], 10)
