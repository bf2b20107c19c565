# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that ddebug-host works on a log that is being written: it streams, waits, shares with other
readers, ends cleanly, selects boots and messages, and changes size and contents of a live log
without losing what it must retain."""

import os
import re
import shutil
import signal
import subprocess
import time

from ddebug.case import DdebugTest
from ddebug.guest import PATIENCE, Log, child_dies_with_us, shown, tool

NUMBERED = re.compile(rb"ddebug_test: t(\d+) n(\d+) ")


class Tool(DdebugTest):
    timeout = 200

    def boot_load(self, **options):
        guest = self.boot(modules=("virtio_ddebug", "ddebug_test"), **options)
        guest.control("module ddebug_test +r")
        return guest, guest.log()

    def numbers(self, path):
        with open(path, "rb") as file:
            return [(int(m.group(1)), int(m.group(2))) for m in NUMBERED.finditer(file.read())]

    def wait_for(self, path, count, timeout=PATIENCE):
        deadline = time.monotonic() + timeout
        while len(self.numbers(path)) < count and time.monotonic() < deadline:
            time.sleep(0.1)
        return self.numbers(path)

    def test_trace_shows_all_and_consumes_nothing(self):
        guest, log = self.boot_load()
        guest.load("threads=2 count=500 context=all shape=mixed rate=1000")
        found = log.settled()
        first = log.tool("--trace").stdout
        self.assertEqual(first, log.tool("--trace").stdout)
        self.assertEqual(len(log.trace()), 1000)
        expect = sorted((m.time // 1000, shown(m.text)) for m in found.messages)
        self.assertEqual(sorted((line.micros, line.text) for line in log.trace()), expect)
        stamps = [line.micros for line in log.trace()]
        self.assertEqual(stamps, sorted(stamps))
        self.assertEqual(log.tool("--info").stderr, b"")
        # dead, it tells the same
        guest.kill()
        self.assertEqual(log.tool("--trace").stdout, first)

    def test_pipe_consumes_and_two_share(self):
        guest, log = self.boot_load()
        outputs = [self.scratch(f"pipe{i}") for i in range(2)]
        pipes = [log.start("--pipe", output=output) for output in outputs]
        follow = log.start("--follow", output=self.scratch("follow"))
        guest.load("threads=4 count=5000 rate=10000")
        time.sleep(3)
        got = [self.numbers(output) for output in outputs]
        together = sorted(got[0] + got[1])
        self.assertEqual(together, [(t, n) for t in range(4) for n in range(5000)])
        self.assertEqual(len(self.wait_for(self.scratch("follow"), 20000)), 20000)
        for process in pipes + [follow]:
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(PATIENCE), -signal.SIGINT)
            self.assertEqual(process.stderr.read(), b"")
        # a third continues where they stopped
        guest.load("threads=1 count=10")
        third = log.start("--pipe", output=self.scratch("third"))
        self.assertEqual(self.wait_for(self.scratch("third"), 10), [(0, n) for n in range(10)])
        third.kill()
        third.wait()

    def test_pipe_into_head_ends_well(self):
        guest, log = self.boot_load()
        guest.load("threads=2 count=1000")
        log.wait_quiet()
        done = subprocess.run(
            ["bash", "-c", f"'{tool()}' --pipe '{guest.log_file}' | head -n 5; echo ${{PIPESTATUS[0]}}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE, check=True,
            preexec_fn=child_dies_with_us)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 6)
        self.assertIn(lines[5], (b"0", b"141"))
        self.assertEqual(done.stderr, b"")
        done = subprocess.run(
            ["bash", "-c", f"'{tool()}' --trace '{guest.log_file}' | head -n 5 | wc -l"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE, check=True,
            preexec_fn=child_dies_with_us)
        self.assertEqual((done.stdout.strip(), done.stderr), (b"5", b""))

    def test_several_readers_do_not_disturb(self):
        guest, log = self.boot_load(props="size=64M")
        outputs = [self.scratch(f"follow{i}") for i in range(4)]
        readers = [log.start("--follow", output=output) for output in outputs]
        guest.load("threads=4 count=25000 rate=8000")
        log.wait_quiet()
        expect = sorted((t, n) for t in range(4) for n in range(25000))
        for output in outputs:
            self.assertEqual(sorted(self.wait_for(output, 100000)), expect)
        for reader in readers:
            reader.terminate()
            reader.wait(PATIENCE)
        self.assertEqual(log.settled().total_lost, 0)

    def test_a_reader_started_before_the_file_and_left_after_the_vm(self):
        guest = self.new_guest(modules=("virtio_ddebug", "ddebug_test"))
        log = guest.log()
        missing = log.tool("--trace", check=False)
        self.assertNotEqual(missing.returncode, 0)
        self.assertIn(guest.log_file.encode(), missing.stderr)
        self.assertEqual(missing.stdout, b"")

        output = self.scratch("waited")
        reader = log.start("--pipe", "--wait", output=output)
        time.sleep(1)
        self.assertIsNone(reader.poll())
        guest.boot()
        guest.control("module ddebug_test +r")
        guest.load("threads=2 count=300")
        self.assertEqual(len(self.wait_for(output, 600)), 600)
        self.assertIsNone(reader.poll())
        guest.load("threads=1 count=77")
        guest.kill()
        self.assertEqual(reader.wait(PATIENCE), 0)
        self.assertEqual(len(self.numbers(output)), 677)

    def test_a_follower_ends_when_the_guest_powers_off(self):
        guest, log = self.boot_load()
        output = self.scratch("follow")
        reader = log.start("--follow", output=output)
        guest.load("threads=2 count=300")
        self.assertEqual(guest.shut_down(), 0)
        self.assertEqual(reader.wait(PATIENCE), 0)
        self.assertEqual(len(self.numbers(output)), 600)

    def test_size_and_clear_while_flooding(self):
        guest, log = self.boot_load(props="size=4M")
        guest.start_load("threads=4 count=150000 rate=8000")
        sizes = (8 << 20, 2 << 20, 32 << 20, 16 << 20)
        for size in sizes:
            time.sleep(2)
            log.tool(f"--size={size}")
            self.assertLessEqual(os.stat(guest.log_file).st_size, size)
            self.assertGreater(os.stat(guest.log_file).st_size, size - (1 << 20))
            self.assertIn(str(os.stat(guest.log_file).st_size).encode(), log.tool("--size").stdout)
        time.sleep(2)
        cleared = max(m.time for m in log.read().messages)
        log.tool("--clear")
        seen = []
        deadline = time.monotonic() + PATIENCE
        while not seen and time.monotonic() < deadline:     # the device writes when it gets to it
            seen = [line.micros for line in log.trace() if line.stamp]
        guest.must("echo > /sys/kernel/debug/ddebug_test/stop")
        found = log.settled()
        self.assertEqual([name for name, _ in found.events if name in ("size", "clear")], ["clear"])
        self.assertGreater(len(found.messages), 0)
        # what was cleared is gone, except what another CPU had not delivered; what came since stays
        self.assertGreater(min(m.time for m in found.messages), cleared - 10**9)
        self.assertTrue(seen)
        self.assertLessEqual(set(seen), {m.time // 1000 for m in found.messages})
        streams = {}
        for message in found.messages:
            streams.setdefault(message.stream, []).append(message.number)
        for numbers in streams.values():    # no gap since
            self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(numbers))))
        self.assertEqual(sum(numbers[-1] + 1 for numbers in streams.values()), guest.committed())

    def test_size_and_clear_of_a_dead_vms_log(self):
        guest, log = self.boot_load(props="size=4M")
        guest.load("threads=2 count=2000")
        before = [m.text for m in log.settled().messages]
        guest.kill()
        for size in (8 << 20, 4 << 20):
            log.tool(f"--size={size}")
            self.assertEqual([m.text for m in log.read().messages], before)
        log.tool("--clear")
        self.assertEqual(log.read().messages, [])
        self.assertEqual(log.trace(), [])

    def test_boots_and_messages_are_picked(self):
        guest, log = self.boot_load()
        guest.load("threads=2 count=200 context=all")
        log.settled()
        first = guest.read("/proc/sys/kernel/random/boot_id").strip()
        guest.shut_down()
        middle = f"@{time.time():.6f}"
        again, _ = self.boot_load(log=guest.log_file)
        second = again.read("/proc/sys/kernel/random/boot_id").strip()
        follow = log.start("--follow", "-b", output=self.scratch("follow"))
        again.load("threads=1 count=77")
        again.log().settled()

        listed = log.tool("--list-boots").stdout.decode()
        self.assertEqual(re.findall(r"^ *(-?\d+) ([0-9a-f-]{36}) ", listed, re.M),
                         [("-1", first), ("0", second)])

        def count(*options):
            return len(NUMBERED.findall(log.tool("--quiet", *options).stdout))

        for options, expected in (
                ((), 477), (("-b",), 77), (("-b", "-1"), 400), (("--boot=1",), 400), (("-b", second), 77),
                ((f"--boot={second}-1",), 400), (("-b", first.replace("-", "")), 400),
                (("-S", middle), 77), (("--until", middle), 400), ((f"--since={middle}", "-b", "1"), 0),
                (("--query=module ddebug_test",), 477), (("--query", "module xhci*"), 0),
                (("--query=module ddebug_test line 1-", "--grep", "T0 N7 ", "--case-sensitive=no"), 2),
                (("--grep=t1 n", "-b", "-1"), 200)):
            with self.subTest(options):
                self.assertEqual(count(*options), expected)
        self.assertEqual(count("--cpu=0") + count("--cpu=1-63"), 477)
        missing = log.tool("--boot=3", check=False)
        self.assertEqual(missing.returncode, 6)
        self.assertIn(b"boot 3 is not in the log, which has 2", missing.stderr)
        words = log.tool("--last-words", "--boot=-1").stdout.decode()
        self.assertIn(f"boot:    {first}", words)
        self.assertIn("the guest powered off", words)
        self.assertIn("QEMU:    exited", words)

        again.kill()
        self.assertEqual(follow.wait(PATIENCE), 0)
        self.assertEqual(len(self.numbers(self.scratch("follow"))), 77)

    def test_bad_logs_are_refused_with_the_reason(self):
        folder, text, link, short = (self.scratch(n) for n in ("folder", "text", "link", "short"))
        guest, log = self.boot_load(props="size=1M")
        guest.load("threads=1 count=1000")
        log.settled()
        guest.kill()
        os.mkdir(folder)
        with open(text, "wb") as file:
            file.write(b"not a log\n" * 10000)
        os.symlink(guest.log_file, link)
        every = ("--trace", "--pipe", "--follow", "--info", "--size=2M", "--clear")
        for path, options in ((folder, every), (text, every), (self.scratch("none"), every),
                              ("/dev/null", every), (link, ("--pipe", "--size=2M", "--clear"))):
            for option in options:
                done = Log(path).tool(option, check=False)
                self.assertNotEqual(done.returncode, 0, f"{option} {path}")
                self.assertIn(path.encode(), done.stderr)
                self.assertEqual(done.stdout, b"")
        self.assertEqual(Log(link).tool("--trace").stdout, log.tool("--trace").stdout)
        with open(text, "rb") as file:
            self.assertEqual(file.read(), b"not a log\n" * 10000)
        for size in ("0", "1K", "2T", "-5", "big", "4MM"):
            done = log.tool(f"--size={size}", check=False)
            self.assertNotEqual(done.returncode, 0, size)
            self.assertIn(size.encode(), done.stderr)
        self.assertEqual(len(log.trace()), 1000)
        shutil.copy(guest.log_file, short)
        os.truncate(short, 65536 + 2 * 131072 - 50000)      # within the second segment
        lines = Log(short).trace()
        self.assertGreater(len([line for line in lines if line.stamp]), 200)
        os.truncate(short, 100)
        self.assertNotEqual(Log(short).tool("--trace", check=False).returncode, 0)
