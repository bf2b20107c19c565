# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the files in the guest show what its rings hold, with and without a device: trace as
dmesg and ddebug-host would, at any pace and under flood, whole and with losses in their place;
trace_pipe each message once, to blocking and non-blocking readers; that neither takes anything from
the host; that sizes are what their names say, and that the log's size is controlled by the host."""

import collections
import os
import re
import time

from ddebug.case import DEVICE, BusyTest
from ddebug.guest import LOAD, PREFIX_LETTERS, one_thread, shown

FOLDER = "/sys/kernel/debug/dynamic_debug"
TRACE = f"{FOLDER}/trace"
PIPE = f"{FOLDER}/trace_pipe"
SIZE = f"{FOLDER}/rb_size_kb"
LOG_SIZE = f"{FOLDER}/log_size_kb"

TROUBLE = r"BUG:|WARNING:|Oops|general protection|stall|Call Trace|possible circular|INFO: task"

LOST = re.compile(r"-- (\d+) messages? (lost|dropped) on cpu (\d+), (task|softirq|hardirq|nmi): .* --")
STAMP = re.compile(r"\[ *(\d+)\.(\d{6})\] (.*)", re.S)
# The text of ddebug_test, to its end: a cut or mixed line does not match.
WORDS = re.compile(
    r"(?:platform ddebug_test: |platform ddebug_test ddtest \(uninitialized\): |"
    r"\(NULL ib_device\): )?ddebug_test: t(\d+) n(\d+) "
    r"(?:nothing else to fill in|urb (\d+) len (\d+) status -?(\d+)|name sixteen letters\.|name x{200}|"
    r"mac 02:00:5e:10:20:30|of a device|of a network device|of an ib device|solitary)")


class Line:
    """A line of trace or trace_pipe; a notice has no stamp."""

    def __init__(self, text):
        match = STAMP.fullmatch(text)
        notice = LOST.fullmatch(text)
        if not match and not notice:
            raise ValueError(f"neither a message nor a notice: {text!r}")
        self.micros = int(match.group(1) + match.group(2)) if match else None
        self.text = match.group(3) if match else text
        self.lost = int(notice.group(1)) if notice else 0

    def words(self):
        """(thread, number) of a message of ddebug_test."""
        match = WORDS.fullmatch(self.text)
        if not match:
            raise ValueError(f"not what was said: {self.text!r}")
        number = int(match.group(2))
        if match.group(3) and tuple(map(int, match.group(3, 4, 5))) != \
           (number % 65536, number % 1500, number % 133):
            raise ValueError(f"not what was said: {self.text!r}")
        return int(match.group(1)), number


def parse(output):
    if output and not output.endswith("\n"):
        raise ValueError(f"the last line has no end: {output[-200:]!r}")
    return [Line(text) for text in re.split(r"\n(?! )", output)[:-1]]


def messages(lines):
    return [line for line in lines if line.micros is not None]


def lost(lines):
    return sum(line.lost for line in lines)


class Shared:
    """The tests; the classes below choose the guest."""

    timeout = 300
    device = None

    def boot_files(self, **options):
        options.setdefault("modules", (f"ddebug_rb {options.pop('parameters', '')}",
                                       *(["virtio_ddebug"] if self.device else []), "ddebug_test"))
        if not self.device:
            options["log"] = None
        else:
            options.setdefault("props", "size=64M")
        guest = self.boot(**options)
        guest.control("module ddebug_test +r")
        return guest

    def trace(self, guest):
        return parse(guest.read(TRACE))

    def drain(self, guest, file=PIPE):
        return parse(guest.must(f"tracefile drain {file}"))

    def host_has(self, guest):
        """The number of messages that the host has received or reported lost: it may be busy."""
        found = guest.log().settled()
        return len(found.messages) + found.total_lost

    def host(self, guest):
        """What the host has, as the tool shows it without notices."""
        log = guest.log()
        log.settled()
        return [line.raw.decode() for line in log.trace() if line.stamp]

    def is_ordered(self, lines):
        """Check that each thread's messages come in order, and without repetition."""
        last = {}
        for line in messages(lines):
            thread, number = line.words()
            self.assertGreater(number, last.get(thread, -1), line.text)
            last[thread] = number

    def no_trouble(self, guest):
        self.assertNotRegex(guest.dmesg(), TROUBLE)

    def test_trace_is_what_the_host_and_dmesg_show(self):
        """
        :avocado: tags=smoke
        """
        guest = self.boot_files()
        self.assertEqual(guest.read(TRACE), "")
        guest.control("module ddebug_test +rp")
        # 60 from NMIs fit in a ring of 12 KiB, its smallest size, even if one CPU runs all threads
        guest.load("threads=4 count=60 context=all shape=mixed")
        text = guest.read(TRACE)
        lines = parse(text)
        self.assertEqual(len(messages(lines)), 240)
        self.assertEqual(lost(lines), 0)
        self.is_ordered(lines)
        # nobody was writing any more: in order of time, too
        micros = [line.micros for line in lines]
        self.assertEqual(micros, sorted(micros))
        printed = [record.text.decode() for record in guest.kmsg() if b"ddebug_test: t" in record.text]
        self.assertEqual(collections.Counter(line.text for line in lines), collections.Counter(printed))
        if self.device:
            self.assertEqual(self.host(guest), text.splitlines())
        # it was not consumed, and sizes and places of reads do not matter
        self.assertEqual(guest.read(TRACE), text)
        for size in (1, 7, 4095, 4096, 4097, 1 << 20):
            guest.must(f"cat {TRACE} > /tmp/whole; tracefile pieces {TRACE} {size} > /tmp/pieces; "
                       "cmp /tmp/whole /tmp/pieces")
        guest.must(f"tracefile seek {TRACE} 211 | cmp - /tmp/whole")
        self.assertEqual(guest.must(f"head -n 1 {TRACE}"), text.splitlines(True)[0])
        self.assertEqual(guest.must(f"tail -n 2 {TRACE}"), "".join(text.splitlines(True)[-2:]))
        self.no_trouble(guest)

    def test_clearing_trace_takes_nothing_from_the_host(self):
        guest = self.boot_files()
        clear = [f"> {TRACE}", f"echo > {TRACE}", f"echo 0 > {TRACE}", f": > {TRACE}"]
        for number, command in enumerate(clear):
            guest.load("threads=1 count=600 context=all shape=int3 rate=10000")
            self.assertEqual(len(self.trace(guest)), 600)
            guest.must(command)
            self.assertEqual(guest.read(TRACE), "", command)
            # not even by those who had not read it yet
            self.assertEqual(self.drain(guest), [])
            if self.device:
                self.assertEqual(self.host_has(guest), 600 * (number + 1))
        # opening it only for writing does nothing
        guest.load("threads=2 count=5")
        guest.must(f": >> {TRACE}")
        lines = self.trace(guest)
        self.assertEqual([line.lost for line in lines], [0] * 10)
        # full rings, cleared: what is cleared is not lost
        guest.load("threads=4 count=20000 context=all shape=mixed")
        self.assertGreater(lost(self.trace(guest)), 0)
        guest.must(f"> {TRACE}")
        self.assertEqual(guest.read(TRACE), "")
        guest.load("threads=4 count=10 context=all")
        lines = self.trace(guest)
        self.assertEqual((len(lines), lost(lines)), (40, 0))
        self.no_trouble(guest)

    def test_losses_are_where_they_were_and_exact(self):
        guest = self.boot_files(parameters="rb_size_kb=32")
        guest.load("threads=4 count=5000 context=all shape=mixed target=any")
        stats = guest.stats()
        for lines in (self.trace(guest), self.trace(guest), self.drain(guest)):
            committed = sum(value for name, value in stats.items() if name.endswith("_committed"))
            dropped = sum(value for name, value in stats.items() if name.endswith(("_recursed", "_torn")))
            self.assertEqual(len(messages(lines)) + lost(lines), committed + dropped)
            self.assertGreater(lost(lines), 0)
            self.is_ordered(lines)
            # the oldest of each stream are gone: losses come before what is there
            seen = set()
            for before, line in zip(lines, lines[1:]):
                if line.lost and before.lost == 0:
                    seen.add(LOST.fullmatch(line.text).group(3, 4))
            self.assertLessEqual(len(seen), 8)
            # all that fits is there: of the task's 32 KiB at least one sub-buffer of 16
            self.assertGreater(len(messages(lines)), 8 * 40)
        self.assertEqual(self.drain(guest), [])
        self.assertEqual(guest.read(TRACE), "")
        self.no_trouble(guest)

    def test_readers_of_trace_while_the_guest_floods(self):
        guest = self.boot_files(parameters="rb_size_kb=32")
        self.start_endless(guest, 0)
        guest.must("for i in 1 2 3; do "
                   f"(tracefile pieces {TRACE} 1 > /tmp/one$i; tracefile pieces {TRACE} 997 > /tmp/some$i; "
                   f"cat {TRACE} > /tmp/whole$i) & done; wait %1 %2 %3", timeout=200)
        for i in range(1, 4):
            for kind in ("one", "some", "whole"):
                lines = parse(guest.read(f"/tmp/{kind}{i}"))
                self.log.info("%s: %d messages, %d lost", kind, len(messages(lines)), lost(lines))
                self.assertGreater(len(messages(lines)), 0)
                self.is_ordered(lines)
        # it ends though messages come faster than it is read: the view has an end
        self.stop_endless(guest)
        self.no_trouble(guest)

    def test_pipe_readers_share_and_take_nothing_from_the_host(self):
        """
        :avocado: tags=smoke
        """
        guest = self.boot_files(parameters="rb_size_kb=1024")
        guest.must(f"for i in 1 2 3; do cat {PIPE} > /tmp/out$i & done; sleep 0.5")
        report = guest.load("threads=4 count=3000 context=all shape=mixed rate=10000")
        wanted = guest.committed()
        self.assertEqual(wanted + guest.dropped(), report["produced"])
        self.until("all is read", lambda: guest.must(f"tracefile wait {PIPE} poll 500").strip() == "timeout")
        outputs = [parse(guest.read(f"/tmp/out{i}")) for i in (1, 2, 3)]
        guest.must(f"fuser {PIPE} >/dev/null; kill $(pidof cat)")
        everything = collections.Counter()
        for lines in outputs:
            self.is_ordered(lines)
            everything.update(line.words() for line in messages(lines))
        self.assertEqual(max(everything.values()), 1, "read twice")
        self.assertEqual(sum(map(lost, outputs)) + len(everything), wanted + guest.dropped())
        self.assertEqual(guest.read(TRACE), "")
        if self.device:
            self.assertEqual(self.host_has(guest), wanted)
        self.no_trouble(guest)

    def test_modes_and_splice_are_as_in_tracefs(self):
        guest = self.boot_files()
        files = [f"{FOLDER}/{name}" for name in ("trace", "trace_pipe", "rb_size_kb", "log_size_kb")]
        self.assertEqual(guest.must("stat -c %a " + " ".join(files)).split(), ["640", "440", "640", "640"])
        guest.load("threads=2 count=500 shape=mixed")
        whole = guest.read(TRACE)
        for n in ("", "100", "65536"):
            self.assertEqual(guest.must(f"tracefile splice {TRACE} {n}"), whole)
        self.assertEqual(guest.must(f"tracefile splice {PIPE}"), whole)
        self.assertEqual(guest.must(f"tracefile splice {PIPE}"), "")
        self.assertEqual(guest.read(TRACE), "")

    def test_pipe_waits_as_files_do(self):
        guest = self.boot_files()
        for how in ("poll", "select", "epoll"):
            self.assertEqual(guest.must(f"tracefile wait {PIPE} {how} 300").strip(), "timeout")
            self.assertEqual(guest.must(f"(sleep 0.5; echo solitary > {LOAD}/run) & "
                                        f"tracefile wait {PIPE} {how} 20000; wait").strip(), "readable")
            self.assertEqual(guest.must(f"tracefile wait {PIPE} {how} 20000").strip(), "readable")
            self.assertEqual(len(self.drain(guest)), 1)
        self.assertEqual(guest.must(f"tracefile drain {PIPE}"), "")
        guest.must(f"tracefile signal {PIPE}")
        # a blocking reader gets each message as it comes
        guest.must(f"cat {PIPE} > /tmp/out & echo $! > /tmp/pid")
        for count in range(1, 6):
            guest.must(f"echo solitary > {LOAD}/run")
            self.until(f"message {count} is read",
                       lambda: int(guest.must("wc -l < /tmp/out")) == count)
        guest.must("kill $(cat /tmp/pid)")
        # an invalid buffer costs no message
        guest.load("threads=2 count=50")
        self.assertEqual(len(parse(guest.must(f"tracefile fault {PIPE}"))), 100)
        # byte by byte, and many on one descriptor, while others block
        guest.load("threads=2 count=50")
        text = guest.read(TRACE)
        self.assertEqual(guest.must(f"tracefile drain {PIPE} 1"), text)
        guest.load("threads=2 count=50")
        text = guest.read(TRACE)
        self.assertEqual(sorted(guest.must(f"tracefile threads {PIPE} 4")), sorted(text))
        status, said = guest.run(f"echo x > {PIPE}")
        self.assertNotEqual(status, 0, said)
        self.no_trouble(guest)

    def test_nobody_waits_for_a_reader_that_blocks_or_dies(self):
        guest = self.boot_files()
        # four that block; each of the others' works continues
        guest.must(f"for i in 1 2 3 4; do cat {PIPE} > /dev/null & done; sleep 0.5")
        guest.must(f"cat {TRACE}; > {TRACE}; echo 64 > {SIZE}; tracefile drain {PIPE}; "
                   "cat /sys/kernel/debug/dynamic_debug_rb/stats")
        guest.load("threads=4 count=1000 context=all")
        guest.must("kill -9 $(pidof cat)")
        # killed while reading, again and again
        self.start_endless(guest, 0)
        guest.must("for i in $(seq 30); do "
                   f"cat {PIPE} > /dev/null & a=$!; tracefile pieces {PIPE} 3 > /dev/null & b=$!; "
                   f"cat {TRACE} > /dev/null & c=$!; sleep 0.05; kill -9 $a $b $c 2> /dev/null; wait; done",
                   timeout=100)
        self.stop_endless(guest)
        guest.must(f"> {TRACE}")
        guest.load("threads=2 count=5")
        self.assertEqual(len(self.drain(guest)), 10)
        self.no_trouble(guest)

    def test_sizes_are_what_their_names_say(self):
        guest = self.boot_files(smp=4, memory=512)
        guest.load("threads=2 count=100")
        text = guest.read(TRACE)
        for rubbish in ("", " ", "64k", "64 kB", "0x40", "6 4", "-64", "1e3", "0", "31", "65409",
                        "4294967360", "99999999999999999999999999", "0" * 30 + "64", "64.0", "sixty"):
            status, said = guest.write(SIZE, rubbish)
            self.assertNotEqual(status, 0, rubbish)
            self.assertIn("Invalid argument", said)
        self.assertEqual(guest.must(f"cat {SIZE}"), "256\n")
        # 256 MiB, which the guest does not have: the old rings and their contents stay
        guest.must("mkdir -p /mnt; mount -t tmpfs -o size=100% none /mnt; "
                   "head -c 157286400 /dev/zero > /mnt/full")
        status, said = guest.write(SIZE, "65408")
        guest.must("rm /mnt/full")
        self.assertNotEqual(status, 0)
        self.assertIn("Cannot allocate memory", said)
        self.assertEqual(guest.must(f"cat {SIZE}"), "256\n")
        self.assertEqual(guest.read(TRACE), text)
        # live, while messages come and a reader waits
        guest.must(f"> {TRACE}")
        self.start_endless(guest, 4000)
        guest.must(f"cat {PIPE} > /tmp/out & echo $! > /tmp/pid")
        for kb in (1024, 48, 4096, 32):
            guest.must(f"echo {kb} > {SIZE}; cat {TRACE} > /dev/null")
        self.stop_endless(guest)
        guest.must("sleep 0.5; kill $(cat /tmp/pid); wait")
        self.is_ordered(parse(re.sub(r"[^\n]+\Z", "", guest.read("/tmp/out"))))
        self.no_trouble(guest)

    def test_a_ring_holds_as_many_KiB_as_it_says(self):
        guest = self.boot_files(smp=1)
        guest.must("echo N > /sys/module/ddebug_rb/parameters/packed")
        for kb, written in ((32, "32"), (64, "064"), (512, "512")):
            guest.must(f"echo {written} > {SIZE}")
            self.assertEqual(guest.must(f"cat {SIZE}"), f"{kb}\n")
            guest.must(f"> {TRACE}")
            guest.load(f"threads=1 count={kb * 60} shape=static")
            lines = self.trace(guest)
            self.assertEqual(len(messages(lines)) + lost(lines), kb * 60)
            self.assertGreater(lost(lines), 0)
            # a text record is a header of 16 bytes and the text, in whole words of 8
            held = sum(16 + (len(line.text) + 7) // 8 * 8 for line in messages(lines))
            self.assertLessEqual(held, kb * 1024)
            # one sub-buffer of 16 KiB is being overwritten; each has a header, and a rest
            self.assertGreater(held, (kb - 16) * 1024 * 0.98 - 1088)

    def test_cpus_and_modules_come_and_go(self):
        guest = self.boot_files(accel=one_thread(), parameters="rb_size_kb=1024")
        guest.must(f"cat {PIPE} > /tmp/out & echo $! > /tmp/pid; "
                   "echo 0 > /sys/devices/system/cpu/cpu1/online")
        self.start_endless(guest, 2000)
        for round_ in range(4):
            for online in (1, 0):
                guest.must(f"echo {online} > /sys/devices/system/cpu/cpu1/online; "
                           f"cat {TRACE} > /dev/null; sleep 0.3")
        guest.must("echo 1 > /sys/devices/system/cpu/cpu1/online")
        sent = self.stop_endless(guest)
        self.until("all is read", lambda: guest.must(f"tracefile wait {PIPE} poll 500").strip() == "timeout")
        lines = parse(guest.read("/tmp/out"))
        self.is_ordered(lines)
        stats = guest.stats()
        self.assertEqual(len(messages(lines)) + lost(lines) + stats["nostream"], sent)
        # an open file pins the module
        status, said = guest.run("rmmod ddebug_test; rmmod virtio_ddebug; rmmod ddebug_rb")
        self.assertNotEqual(status, 0)
        guest.must("kill $(cat /tmp/pid)")
        guest.must(f"exec 3< {TRACE}; ! rmmod ddebug_rb; exec 3<&-; rmmod ddebug_rb")
        self.assertEqual(guest.must(f"ls {FOLDER}"), "control\n")
        # opened all the time, loaded and unloaded again and again
        guest.must(f"while [ ! -e /tmp/stop ]; do cat {TRACE} {SIZE}; tracefile drain {PIPE}; "
                   "done > /dev/null 2>&1 & "
                   "for i in $(seq 20); do modprobe ddebug_rb; "
                   "until rmmod ddebug_rb 2> /dev/null; do :; done; done; touch /tmp/stop; wait", timeout=100)
        self.no_trouble(guest)

    def test_a_text_is_shown_as_the_tool_shows_it(self):
        # the kernel prints a module's parameters, with the string as it is
        guest = self.boot_files(parameters="kmsg=1")
        guest.control('file kernel/params.c format "parsing ARGS" +r')
        texts = [b"%s%n%p%%d \\x41 \\ \\xzz \x1b[31mred \x07 \x7f \xc3\xa4 \xff",
                 b"two\n[    0.000000] forged",
                 b"a" * 900, (b"0123456789" * 90)[:880] + b"\n\n\x1b"]
        for text in texts:
            quoted = "".join(f"\\{byte:03o}" for byte in text)
            guest.must(f"> {TRACE}; modprobe ddebug_odd \"$(printf '%b' '{quoted}')\"; rmmod ddebug_odd")
            found = [line.text for line in self.trace(guest)
                     if line.text.startswith("doing ddebug_odd, parsing")]
            # modprobe appends a blank
            expected = shown(b"doing ddebug_odd, parsing ARGS: '" + text + b" '")
            self.assertEqual([line.encode() for line in found], [expected])
        # the kernel's log, as it is printed and from before
        guest.must(f"> {TRACE}; echo '<4>printed \x1b with a %d and more' > /dev/kmsg")
        self.assertEqual([line.text for line in self.trace(guest)], ["printed \\x1b with a %d and more"])
        if not self.device:
            guest.must("rmmod ddebug_test ddebug_rb; modprobe ddebug_rb kmsg=1 rb_size_kb=4096")
            past = guest.read(TRACE)
            self.assertRegex(past, r"(?m)^\[    0\.000000\] Linux version ")
            self.assertEqual(past.count("with a %d and more"), 1)
        self.no_trouble(guest)

    def test_the_examples_of_2009(self):
        """
        :avocado: tags=smoke
        """
        guest = self.boot_files()
        guest.control("module ddebug_test -r")
        # "enable all compiled messages output to ring buffer and dmesg"; that is many
        self.assertEqual(guest.run(f"cd {FOLDER}; echo -n 'module ddebug_test +pr' > control")[0], 0)
        guest.load("threads=1 count=7 shape=int3")
        lines = self.trace(guest)
        self.assertEqual([line.words() for line in lines], [(0, number) for number in range(7)])
        self.assertEqual(sum("ddebug_test: t0 n" in text for text in guest.dmesg().splitlines()), 7)
        # to the ring buffer only, with the prefixes of the other flags
        guest.must(f"cd {FOLDER}; echo -n 'module ddebug_test -p+{PREFIX_LETTERS[0]}' > control; "
                   "echo -n 'func test_* +mf' > control; echo -n 'module ddebug_test -p' > control")
        guest.load("threads=1 count=1 shape=static")
        self.assertRegex(self.trace(guest)[-1].text,
                         r"^ddebug_test:\w+: ddebug_test: t0 n0 nothing else to fill in$")
        self.assertEqual(sum("ddebug_test: t0 n" in text for text in guest.dmesg().splitlines()), 7)
        # "displays and consumes all the current content"; "a blocking reader"
        self.assertEqual(len(self.drain(guest)), 8)
        guest.must(f"cat {PIPE} > /tmp/out & echo $! > /tmp/pid; sleep 0.3; echo solitary > {LOAD}/run")
        self.until("it is read", lambda: "solitary" in guest.must("cat /tmp/out"))
        guest.must("kill $(cat /tmp/pid)")
        # "display/set the ring buffer size in kB"
        self.assertEqual(guest.must(f"cd {FOLDER}; echo 1000 > rb_size_kb; cat rb_size_kb"), "1008\n")
        guest.must(f"cd {FOLDER}; echo -n 'module ddebug_test -r' > control")
        guest.load("threads=1 count=5")
        self.assertEqual(guest.read(TRACE), "")
        self.no_trouble(guest)


class FilesWithDevice(Shared, BusyTest):
    device = True

    def log_kb(self, guest):
        return int(guest.must(f"cat {LOG_SIZE}"))

    def refused(self, guest, kb, words):
        before = self.log_kb(guest)
        status, said = guest.write(LOG_SIZE, str(kb))
        self.assertNotEqual(status, 0, kb)
        self.assertIn(words, said, kb)
        self.assertEqual(self.log_kb(guest), before)

    def test_the_size_of_the_log_is_the_hosts_to_give(self):
        guest = self.boot_files(props="size=4M")
        self.assertEqual(self.log_kb(guest), guest.counter("log-size") // 1024)
        self.assertEqual(self.log_kb(guest), os.stat(guest.log_file).st_size // 1024)
        for kb in (2048, 4096, 8192):
            self.refused(guest, kb, "Operation not permitted")
        for rubbish in ("", "4M", "0x1000", "-1", "9" * 30):
            self.refused(guest, rubbish, "Invalid argument")
        # changes by the host are shown
        guest.command("qom-set", path=DEVICE, property="log-size", value=8 << 20)
        self.until("it is shown", lambda: self.log_kb(guest) > 7 * 1024)

    def test_a_guest_changes_its_log_within_the_hosts_bounds(self):
        guest = self.boot_files(props="size=2M,guest-size-max=8M")
        given = self.log_kb(guest)
        self.assertLessEqual(given, 2048)
        self.start_endless(guest, 2000)
        for kb in (8192, 2048, 3000, 5000, 2048):
            guest.must(f"echo {kb} > {LOG_SIZE}")
            # it takes effect before the write returns; whole segments
            now = os.stat(guest.log_file).st_size
            self.assertEqual(now // 1024, self.log_kb(guest))
            self.assertTrue(kb - 256 < now / 1024 <= kb, (kb, now))
            self.refused(guest, given - 1, "Invalid argument")
            self.refused(guest, 8193, "Invalid argument")
            self.refused(guest, 0, "Invalid argument")
            self.refused(guest, 4294967295, "Invalid argument")
        # the host's setting counts as well, and moves the bound
        guest.command("qom-set", path=DEVICE, property="log-size", value=4 << 20)
        self.until("it was resized", lambda: guest.counter("resize-status") == "done")
        self.refused(guest, 4095, "Invalid argument")
        guest.must(f"echo 4096 > {LOG_SIZE}")
        sent = self.stop_endless(guest)
        log = guest.log()
        found = log.settled()
        self.assertEqual(len(found.messages) + found.total_lost + guest.dropped(), sent)
        self.assertEqual(found.damaged + found.skipped, 0)
        guest.must("rmmod virtio_ddebug")
        for command in (f"cat {LOG_SIZE}", f"echo 4096 > {LOG_SIZE}"):
            self.assertIn("No such device", guest.run(command)[1])
        self.no_trouble(guest)

    def test_bounds_that_make_no_sense_are_refused(self):
        for props, words in (("guest-size-max=100K", "guest-size-max: "),
                             ("guest-size-max=2T", "guest-size-max: "),
                             ("size=4M,guest-size-max=2M", "guest-size-max=2097152 is below the log's size")):
            guest = self.new_guest(props=props).launch()
            self.assertNotEqual(guest.wait(), 0)
            self.assertIn(words, guest.qemu_output())


class FilesWithoutDevice(Shared, BusyTest):
    device = False

    def test_without_a_host_there_is_no_log(self):
        guest = self.boot_files()
        for command in (f"cat {LOG_SIZE}", f"echo 4096 > {LOG_SIZE}"):
            status, said = guest.run(command)
            self.assertNotEqual(status, 0)
            self.assertIn("No such device", said)

    def test_without_readers_nobody_is_woken(self):
        guest = self.boot_files()

        def works():
            stats = guest.stats()
            return stats["irq_works_now"] + stats["irq_works_lazy"]

        guest.load("threads=4 count=2000 context=all")
        self.assertEqual(works(), 0)
        guest.must(f"cat {TRACE} > /dev/null")
        guest.load("threads=4 count=2000 context=all")
        self.assertEqual(works(), 0)
        guest.must(f"cat {PIPE} > /tmp/out & echo $! > /tmp/pid; sleep 0.3")
        begin = time.monotonic()
        guest.load("threads=4 count=2000 context=all")
        told = works()
        self.log.info("%d works for 8000 messages in %.1f s", told, time.monotonic() - begin)
        self.assertGreater(told, 0)
        self.assertLess(told, 4000)
        guest.must("kill $(cat /tmp/pid); wait")
        told = works()
        guest.load("threads=4 count=2000 context=all")
        self.assertEqual(works(), told)
