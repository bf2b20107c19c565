# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the last message arrives, whatever the guest, its QEMU or the tool dies of: the guest's
memory says what the CPUs had committed, and all of it is in the log or reported lost; that a dying
kernel's own words are recorded; and that the log says what happened.  Where not all can arrive,
because QEMU and the memory were killed, the tests measure how much is missing.

DDEBUG_DEATHS is the number of deaths for each cause (1).  The first guest of a cause boots with the
device.  The others resume a guest that has booted without it, and it is plugged in: a death then
takes two seconds instead of eight.

A cause is a method that lets one guest die and returns the values to record, and a test that calls
died() with it (ddebug/tally.py).
"""

import os
import random
import re
import shutil
import signal
import time

from ddebug.death import DIE, LOAD, DeathTest
from ddebug.guest import PATIENCE, Log, parse_lines
from ddebug.logfile import KMSG_OOPS, KMSG_PANIC, KMSG_PAST
from ddebug.memory import Memory
from ddebug.tally import Tally

DEATHS = int(os.environ.get("DDEBUG_DEATHS", "1"))
LOST = re.compile(rb"-- (\d+) messages? lost on cpu (\d+), ")

# These end QEMU by themselves here, with -no-reboot and panic=-1.
PANICS = {"panic-task": "task", "panic-hardirq": "hardirq", "panic-nmi": "NMI"}

# How late the host may have what an unhelpful guest has committed: the device polls once a second,
# and a busy host gets as much again.
HELPLESS_MS = 2000

# Consumers of one guest's log to kill.
CONSUMERS = 50
# What a killed consumer may have printed without recording it: ddebug-host(1), and a line.
BATCH_BYTES = 65536 + 100


class Death(DeathTest):
    timeout = 300 + 60 * DEATHS
    booted = False              # the next guest resumes a saved state

    def died(self, kind, once):
        """Let a guest die of this cause, DDEBUG_DEATHS times."""
        tally = Tally(kind, DEATHS)
        while tally.left:
            for numbers in once(tally.left):
                self.log.info("%s: %s", kind, numbers)
                tally.add(numbers)
            for guest in self.guests:
                guest.close()
                shutil.rmtree(guest.directory)
            self.guests.clear()

    def logging(self, load="log", props="size=64M"):
        """A guest that logs."""
        if self.booted:
            guest = self.restored(props=props)
        else:
            guest = self.guest_in_file(props=props).boot()
            self.booted = True
        self.start_load(guest, load)
        return guest

    # -- the guest's kernel -------------------------------------------------

    def panic(self, kind):
        guest = self.logging()
        guest.send(f"echo {kind} > {DIE}")
        self.assertEqual(guest.wait(), 0)
        found = Log(guest.log_file).read()
        numbers = self.account(found, Memory(self.ram))
        words = self.last_words(found, KMSG_PANIC)
        why = b"Kernel panic - not syncing: ddebug_die: in a"
        self.assertTrue([w for w in words if why in w], words)
        self.assertTrue([w for w in words if b"Call Trace:" in w], words)
        context, = {m.context for m in found.messages if m.kmsg and m.kmsg & KMSG_PANIC}
        self.assertEqual(context, PANICS[kind])
        self.assertEqual([(name, args[0]) for name, args in found.events[-4:]],
                         [("notice", 2), ("shutdown", 5), ("stop", 2), ("close", 0)])
        return [numbers]

    def test_a_panic_of_a_task(self):
        """
        :avocado: tags=smoke
        """
        self.died("panic-task", lambda left: self.panic("panic-task"))

    def test_a_panic_of_an_interrupt(self):
        self.died("panic-hardirq", lambda left: self.panic("panic-hardirq"))

    def test_a_panic_of_an_nmi(self):
        self.died("panic-nmi", lambda left: self.panic("panic-nmi"))

    def triple_fault(self, _):
        guest = self.logging()
        guest.send(f"echo triple-fault > {DIE}")
        self.assertEqual(guest.wait(), 0)
        found = Log(guest.log_file).read()
        numbers = self.account(found, Memory(self.ram))
        self.assertEqual([name for name, _ in found.events[-3:]], ["shutdown", "stop", "close"])
        self.assertEqual(self.last_words(found, KMSG_PANIC), [])
        return [numbers]

    def test_a_triple_fault(self):
        self.died("triple-fault", self.triple_fault)

    # -- an unhelpful guest --------------------------------------------------

    def quit(self, guest):
        """Check that the log of a guest that has stopped logging is still complete when QEMU has ended."""
        memory = Memory(self.ram)
        guest.command("quit")
        self.assertEqual(guest.wait(), 0)
        found = Log(guest.log_file).read()
        self.account(found, memory)
        return [(name, args[0]) for name, args in found.events]

    def arrives(self, guest, event=None):
        """Check that all of a guest that has stopped logging has arrived, with an expected event as
        the last one: (its log, counts)."""
        log = Log(guest.log_file)
        memory = Memory(self.ram)
        # the delay is checked by the log's own stamps; this only ends the wait
        deadline = time.monotonic() + PATIENCE
        while True:
            found = log.read()
            if self.is_there(found, memory) and event in (None, found.events[-1][0]) or \
               time.monotonic() > deadline:
                break
            time.sleep(0.05)
        numbers = self.account(found, memory)
        numbers["ms_until_written"] = self.delay_ms(found)
        self.assertLessEqual(numbers["ms_until_written"], HELPLESS_MS)
        return found, numbers

    def hang(self, kind, load):
        guest = self.logging(load)
        guest.send(f"echo {kind} > {DIE}")
        self.until("the CPUs hang", lambda: Memory(self.ram).hung == guest.smp)
        _, numbers = self.arrives(guest)
        self.assertEqual(guest.command("query-status")["status"], "running")
        self.assertEqual(self.quit(guest)[-3:], [("shutdown", 1), ("stop", 2), ("close", 0)])
        return [numbers]

    def test_all_cpus_hang(self):
        self.died("hang", lambda left: self.hang("hang", "log"))

    def test_all_cpus_hang_that_have_just_spoken(self):
        """The device is asleep, and nothing can wake it."""
        self.died("hang-telling", lambda left: self.hang("hang-telling", "log-slowly"))

    def pause(self, _):
        guest = self.logging()
        guest.command("stop")
        found, numbers = self.arrives(guest, "stop")
        self.assertEqual((found.events[-1][0], found.events[-1][1][0]), ("stop", 1))
        guest.command("cont")
        time.sleep(random.uniform(0, 0.1))
        guest.command("stop")
        self.assertEqual(self.quit(guest)[-5:], [("stop", 1), ("cont", 0), ("stop", 1),
                                                 ("shutdown", 1), ("close", 0)])
        return [numbers]

    def test_a_vm_is_paused(self):
        self.died("pause", self.pause)

    def reset_button(self, _):
        guest = self.logging()
        guest.command("system_reset")
        self.assertEqual(guest.wait(), 0)
        found = Log(guest.log_file).read()
        numbers = self.account(found, Memory(self.ram))
        self.assertEqual([(name, args[0]) for name, args in found.events[-3:]],
                         [("shutdown", 5), ("stop", 2), ("close", 0)])
        return [numbers]

    def test_the_reset_button(self):
        self.died("reset", self.reset_button)

    # -- QEMU ---------------------------------------------------------------

    def sigkill_qemu(self, load):
        """What the guest committed last is only in its memory.  Measure how much, in messages and in
        the guest's time."""
        guest = self.logging(load)
        guest.kill()
        log = Log(guest.log_file)
        found, memory = log.read(), Memory(self.ram)
        numbers = self.account(found, memory, cut=True)
        last = {m.cpu: m.time for m in found.messages}
        since = max(memory.when[cpu] - time for cpu, time in last.items())
        numbers["ms_missing"] = round(max(since, 0) / 1e6, 2)
        # What the device says that it has is in the file, except for one copy under way.
        ends = {stream: found.ends.get((found.instance(), stream), 0) for stream in memory.streams}
        behind = [ring for stream, ring in memory.streams.items() if ring.consumed > ends[stream]]
        self.assertLessEqual(len(behind), 1)
        for ring in behind:
            end, subbuf = ends[ring.stream], 1 << ring.subbuf_shift
            # If the ring has wrapped, the copy may start anywhere further on.  It has not if what
            # is being written is before the sub-buffer in which the log ends.
            if ring.head - end <= ring.ring_size - 2 * subbuf:
                self.assertLessEqual(ring.consumed - end, subbuf)
        self.assertEqual({name for name, _ in found.events} & {"stop", "shutdown", "close"}, set())
        self.assertIn(b"QEMU:    died without closing the log", log.tool("--last-words").stdout)
        return [numbers]

    def test_sigkill_of_qemu_while_the_guest_floods(self):
        self.died("sigkill-qemu", lambda left: self.sigkill_qemu("log"))

    def test_sigkill_of_qemu_while_the_guest_logs_slowly(self):
        self.died("sigkill-qemu-slow", lambda left: self.sigkill_qemu("log-slowly"))

    def sigkill_qemu_shared(self, props=""):
        """With the rings in the log nothing is missing: neither now nor when the next QEMU has moved
        their contents to chunks."""
        guest = self.logging(props="shm=on,size=256M" + props)
        self.assertEqual(guest.stats()["shared"], 8)
        guest.kill()
        log, memory = Log(guest.log_file), Memory(self.ram)
        found = log.read(rings=True)
        numbers = self.account(found, memory, cut=True)
        self.assertEqual(numbers["messages_missing_of_a_CPU"], 0, f"committed: {memory.committed}")
        self.assertEqual(found.tail_lost, 0)
        said = log.info()
        self.assertEqual((said["received"], said["lost"], said["rings"]),
                         (len(found.messages), found.total_lost, 1 << 20))
        printed = log.trace()
        self.assertEqual(sorted(line.text for line in printed if line.stamp),
                         sorted(m.text for m in found.messages))
        notices = [line.raw for line in printed if b"has no checksum" in line.raw]
        self.assertEqual(len(notices), found.left > 0)

        heir = self.new_guest(log=guest.log_file, props="shm=on").launch()
        heir.connect_qmp()
        heir.command("quit")
        self.assertEqual(heir.wait(), 0)
        whole = log.read(rings=True)
        self.assertEqual(whole.left, 0)
        self.account(whole, memory, cut=True)
        self.assertEqual([args[0] > 0 for name, args in whole.events if name == "recovered"],
                         [True] * (found.left > 0))
        self.assertEqual([(m.stream, m.number, m.text) for m in whole.messages],
                         [(m.stream, m.number, m.text) for m in found.messages])
        return [{**numbers, "sum_in_the_rings_alone": found.left}]

    def test_sigkill_of_qemu_with_shared_rings(self):
        self.died("sigkill-qemu-shm", lambda left: self.sigkill_qemu_shared())

    def test_sigkill_of_qemu_with_shared_rings_that_are_full(self):
        """
        :avocado: tags=smoke
        """
        def once(_):
            numbers = self.sigkill_qemu_shared(props=",rate-limit=64K")
            self.assertGreater(numbers[0]["sum_in_the_rings_alone"], 1000)
            return numbers

        self.died("sigkill-qemu-shm-full", once)

    # -- the tool -----------------------------------------------------------

    def take(self, output, upto):
        """Account for a consumer's output, which continues where its predecessors stopped: upto is
        {cpu: number of the next message}.  Returns (messages, bytes of repeated ones)."""
        with open(output, "rb") as file:
            lines = parse_lines(file.read())
        following, gap = {}, {}
        messages = again = 0
        for line in lines:
            match = LOST.match(line.raw)
            if match:
                cpu = int(match.group(2))
                gap[cpu] = gap.get(cpu, 0) + int(match.group(1))
            match = LOAD.fullmatch(line.text)
            if not match:
                continue
            cpu, number = int(match.group(1)), int(match.group(2))
            begin = number - gap.pop(cpu, 0)
            if cpu in following:
                self.assertEqual(begin, following[cpu], f"CPU {cpu}, {output}")
            else:
                self.assertLessEqual(begin, upto.get(cpu, 0), f"CPU {cpu}, {output}: messages are missing")
            following[cpu] = number + 1
            messages += 1
            if number < upto.get(cpu, 0):
                again += len(line.raw) + 1
        for cpu in {*following, *gap}:
            # a gap may be the last that it managed to print
            reached = following.get(cpu, upto.get(cpu, 0)) + gap.get(cpu, 0)
            upto[cpu] = max(upto.get(cpu, 0), reached)
        return messages, again

    def sigkill_tool(self, left):
        guest = self.logging("log-slowly")
        log = Log(guest.log_file)
        output = guest.path("consumed")
        upto, deaths = {}, []
        for run in range(min(left, CONSUMERS)):
            if run % 4 == 0:
                # more than it prints at once, so that it is also killed while printing
                self.request(guest, "log")
                self.request(guest, "log-slowly")
            consumer = log.start("--pipe", output=output)
            time.sleep(random.uniform(0, 0.3))
            consumer.kill()
            self.assertEqual(consumer.wait(PATIENCE), -signal.SIGKILL)
            messages, again = self.take(output, upto)
            self.assertLessEqual(again, BATCH_BYTES)
            deaths.append({"sum_printed": messages, "bytes_printed_again": again})
        guest.command("stop")
        memory = Memory(self.ram)
        self.quit(guest)
        consumer = log.start("--pipe", output=output)
        self.assertEqual(consumer.wait(PATIENCE), 0)
        _, again = self.take(output, upto)
        self.assertLessEqual(again, BATCH_BYTES)
        for cpu, committed in memory.committed.items():
            self.assertIn(upto[cpu], (committed, committed + 1))
        return deaths

    def test_sigkill_of_the_tool(self):
        self.died("sigkill-tool", self.sigkill_tool)

    # -- in the kernel's own words ------------------------------------------

    def test_an_oops_is_told_and_the_guest_goes_on(self):
        guest = self.logging("log-slowly")
        status, said = guest.write(DIE, "oops")
        self.assertEqual(status, 0, said)
        log = Log(guest.log_file)
        deadline = time.monotonic() + PATIENCE
        while "notice" not in [name for name, _ in log.read().events] and time.monotonic() < deadline:
            time.sleep(0.1)
        words = self.last_words(log.read(), KMSG_OOPS)
        self.assertTrue([w for w in words if b"NULL pointer dereference" in w], words)
        self.assertTrue([w for w in words if b"end trace" in w], words)
        guest.send(f"echo panic-task > {DIE}")
        self.assertEqual(guest.wait(), 0)
        found = log.read()
        self.account(found, Memory(self.ram))
        self.assertEqual([args[0] for name, args in found.events if name == "notice"], [1, 2])
        self.assertTrue(self.last_words(found, KMSG_PANIC))

    def test_an_oops_that_is_a_panic(self):
        """The oops asks for a capture kernel before panic() has printed the reason."""
        guest = self.logging()
        guest.must("echo 1 > /proc/sys/kernel/panic_on_oops")
        guest.send(f"echo oops > {DIE}")
        self.assertEqual(guest.wait(), 0)
        found = Log(guest.log_file).read()
        self.account(found, Memory(self.ram))
        words = self.last_words(found, KMSG_PANIC)
        self.assertTrue([w for w in words if b"NULL pointer dereference" in w], words)
        self.assertTrue([w for w in words if b"Kernel panic - not syncing: Fatal exception" in w], words)
        self.assertEqual([args[0] for name, args in found.events if name == "notice"][-1], 2)

    def test_the_kernels_log_goes_along_in_order(self):
        guest = self.boot(props="kmsg=on", modules=("ddebug_test",))
        before = guest.kmsg()
        guest.must("modprobe virtio_ddebug")
        log = guest.log()
        guest.control("module ddebug_test +r")
        guest.must("for i in $(seq 20); do echo ddebug words $i > /dev/kmsg; "
                   "echo solitary > /sys/kernel/debug/ddebug_test/run; done")
        # recorded as a message, and not again as a line
        guest.control("module ddebug_test +p")
        guest.load("threads=1 count=40 context=all shape=mixed")
        found = log.settled()
        texts = [(m.kmsg, m.text) for m in sorted(found.messages, key=lambda m: m.time)]
        past = [text for kmsg, text in texts if kmsg == KMSG_PAST]
        lines = [line for r in before for line in r.text.split(b"\n")]
        self.assertEqual([re.sub(rb"^\[ *\d+\.\d+\] ", b"", text) for text in past][:len(lines)], lines)
        said = [text for _, text in texts if text.startswith((b"ddebug words", b"ddebug_test: t900"))]
        self.assertEqual(said, [text for i in range(20) for text in (
            b"ddebug words %d" % (i + 1), b"ddebug_test: t900 n%d solitary" % i)])
        loaded = [text for kmsg, text in texts if b" t0 n" in text]
        self.assertEqual(len(loaded), 40)
        self.assertFalse([1 for kmsg, text in texts if b" t0 n" in text and kmsg is not None])
        self.assertEqual(found.total_lost, 0)
