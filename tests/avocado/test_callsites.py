# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that 'r' records every callsite that it can, and names the others: hex dumps, which do not
say who prints them, are in the log as in dmesg; what the driver believes of each callsite matches
the binaries; and a message that the hook cannot catch is printed and counted."""

import collections
import glob
import os
import re
import sys

from ddebug.case import DdebugTest
from ddebug.guest import BUILD, CONTROL, KERNEL, REPO, chosen_kernel

sys.path.insert(0, os.path.join(REPO, "tests", "tools"))
import callsites    # noqa: E402

ODD = "/sys/kernel/debug/ddebug_odd/run"
UNCAPTURED = "/sys/kernel/debug/dynamic_debug_rb/uncaptured"

# Modules that load without hardware, with all kinds of callsites that Debian's modules have, and much else.
MODULES = """btrfs carl9170 ib_srp irdma wil6210 usbtmc at76c50x_usb nfit pn533_usb rts5208
             dlm stmmac usb_storage usbhid xhci_pci ehci_pci sctp squashfs ubifs e1000e nfsd
             snd_hda_intel cifs""".split()

TROUBLE = r"BUG:|WARNING:|Oops|general protection|stall|Call Trace"
WARNING = re.compile(r"ddebug_rb: (\d+) of the callsites given 'r' cannot be recorded, "
                     r"their messages go to the kernel log: (\S+?:\d+)(, \.\.\.)?;")
MISSED = "ddebug_rb: 2 print calls from within a kprobe handler could not be recorded"


def is_dump(text):
    return re.match(rb"ddebug_odd: (task|hardirq) ", text)


class Callsites(DdebugTest):
    timeout = 900

    def odd(self, guest, request, flags, query="module ddebug_odd"):
        """What a script logs, and what our modules print, with these flags."""
        log = guest.log()
        guest.control(f"{query} ={flags}")
        before, last = len(log.settled().messages), guest.kmsg()[-1].seq
        status, output = guest.write(ODD, request)
        self.assertEqual(status, 0, output)
        guest.control(f"{query} =_")
        logged = sorted(log.settled().messages[before:], key=lambda m: m.time)
        return logged, [r for r in guest.kmsg() if r.seq > last and b"ddebug_" in r.text]

    def by_context(self, texts, addresses=True):
        """A dump from a hardirq may carry the time of another CPU's clock."""
        found = collections.defaultdict(list)
        for text in texts:
            if not addresses:
                text = re.sub(rb"address [0-9a-f]+", b"address", text)
            found[is_dump(text).group(1)].append(text)
        return found

    def warnings(self, guest, last):
        return [match for r in guest.kmsg() if r.seq > last
                for match in [WARNING.match(r.text.decode())] if match]

    def test_hex_dumps_are_recorded_as_dmesg_has_them(self):
        """
        :avocado: tags=smoke
        """
        guest = self.boot()
        guest.must("modprobe ddebug_odd")
        logged, printed = self.odd(guest, "dumps", "pr")
        expect = self.by_context([r.text for r in printed])
        self.assertGreater(len(expect[b"task"]), 150, "not a test")
        self.assertGreater(len(expect[b"hardirq"]), 20, "not a test")
        self.assertEqual(self.by_context([m.text for m in logged]), expect)
        self.assertEqual({m.callsite.function for m in logged}, {"odd_dumps", "odd_hardirq"})
        for message in logged:
            self.assertEqual(message.context, is_dump(message.text).group(1).decode())
            dump = b"after" not in message.text
            self.assertTrue(not dump or message.callsite.format == "hexdump" or
                            message.text.startswith(message.callsite.format.encode()),
                            (message, message.callsite.format))
        self.assertEqual(len({m.callsite.format for m in logged if b"unknown" in m.text}), 1)

        # with r alone the same, but nothing in dmesg; the kernel's prefixes do not matter
        logged, printed = self.odd(guest, "dumps", "r")
        self.assertEqual(self.by_context([m.text for m in logged]), expect)
        self.assertFalse(printed)
        logged, printed = self.odd(guest, "dumps", "rmfl", "module ddebug_odd format ^ddebug_odd")
        self.assertEqual(self.by_context([m.text for m in logged]), self.by_context(
            [t for texts in expect.values() for t in texts
             if b"after" not in t and b"unknown" not in t]))
        self.assertFalse(printed)
        for flags, least in (("p", 170), ("_", 0)):
            logged, printed = self.odd(guest, "dumps", flags)
            self.assertFalse(logged)
            self.assertEqual(self.by_context([r.text for r in printed]), expect if least else {})

        # loaded again, probably at the same address
        for flags in ("pr", "r"):
            before, last = len(guest.log().settled().messages), guest.kmsg()[-1].seq
            guest.must(f"rmmod ddebug_odd; modprobe ddebug_odd dyndbg=+{flags}")
            found = guest.log().settled().messages[before:]
            texts = [r.text for r in guest.kmsg() if r.seq > last and b"init" in r.text]
            if flags == "pr":
                expect_init = texts
                self.assertEqual(len(texts), 1, "not a test")
            self.assertEqual(texts, expect_init if flags == "pr" else [])
            self.assertEqual([(m.text, m.callsite.function) for m in found],
                             [(expect_init[0], "odd_init")])
        logged, printed = self.odd(guest, "dumps", "r")
        self.assertEqual(self.by_context([m.text for m in logged], addresses=False),
                         self.by_context([t for texts in expect.values() for t in texts], addresses=False))
        self.assertFalse(printed)

    def test_who_cannot_be_recorded_is_said_and_printed(self):
        guest = self.boot()
        guest.must("modprobe ddebug_odd")
        stats = guest.stats()
        self.assertEqual((stats["callsites_r"], stats["callsites_r_uncaptured"]), (0, 0))

        last = guest.kmsg()[-1].seq
        guest.control("module ddebug_odd func odd_hardirq +r; module ddebug_odd func odd_dumps +r")
        self.assertFalse(self.warnings(guest, last))
        self.assertEqual(guest.stats()["callsites_r_uncaptured"], 0)

        # once per write, also with several queries
        guest.control("module ddebug_odd func odd_shared +r; module ddebug_odd func odd_own_way +r")
        said, = self.warnings(guest, last)
        self.assertEqual((said.group(1), said.group(3)), ("3", ", ..."))
        self.assertEqual(guest.stats()["callsites_r_uncaptured"], 3)
        listed = [line for line in guest.read(UNCAPTURED).splitlines() if "[ddebug_odd]" in line]
        self.assertEqual([re.sub(r"^.*\[ddebug_odd\]", "", line) for line in listed], [
            "odd_shared its call of print_hex_dump is also another callsite's",
            "odd_shared its call of print_hex_dump is also another callsite's",
            "odd_own_way it prints through functions that do not know its descriptor"])
        self.assertIn(said.group(2), [line.split(" ")[0] for line in listed])

        # once for each set of them
        last = guest.kmsg()[-1].seq
        guest.control("module ddebug_odd func odd_own_way =_; module ddebug_odd func odd_own_way +rp")
        self.assertFalse(self.warnings(guest, last))

        # with r they print as with p, and no other dump is attributed to them
        texts = {}
        for flags in ("r", "p"):
            logged, printed = self.odd(guest, "others", flags)
            self.assertFalse(logged)
            texts[flags] = [r.text for r in printed]
        self.assertEqual(texts["r"], texts["p"])
        self.assertEqual([re.sub(rb"( [0-9a-f]{2})+$", b"", t) for t in texts["p"]],
                         [b"ddebug_odd: nobody's", b"ddebug_odd: shared", b"ddebug_odd: its own way"])

        last = guest.kmsg()[-1].seq
        guest.must("rmmod ddebug_odd; modprobe ddebug_odd dyndbg=+r")
        self.assertFalse(self.warnings(guest, last))
        self.assertEqual(guest.stats()["callsites_r_uncaptured"], 3)

    def test_a_module_that_is_loaded_with_r_says_who_cannot_be_recorded(self):
        guest = self.boot()
        last = guest.kmsg()[-1].seq
        guest.must("modprobe ddebug_odd dyndbg=+r")
        said, = self.warnings(guest, last)
        self.assertEqual(said.group(1), "3")

    def test_a_format_that_is_gone_is_not_read(self):
        guest = self.boot()
        guest.must("modprobe ddebug_odd")
        status, output = guest.write(ODD, "gone")
        self.assertEqual(status, 0, output)
        guest.control("module ddebug_odd func odd_gone +r")
        guest.control("format gone +r; format dumps +r")
        self.assertEqual(guest.stats()["callsites_known"], 3)
        guest.control("-r")
        guest.must("rmmod ddebug_odd")
        self.assertNotRegex(guest.dmesg(), TROUBLE)

    def test_the_pieces_of_a_line_are_where_its_beginning_is(self):
        guest = self.boot()
        guest.must("modprobe ddebug_odd")
        ours = [b"ddebug_odd: pieces 1:", b" one", b" two", b"ddebug_odd: whole", b"ddebug_odd: begun",
                b"ddebug_odd: pieces end"]
        others = [b"by itself", b"ddebug_odd: between: its own"]
        # the third time the probe is a new one
        for flags in ("r", "pr", "r"):
            log = guest.log()
            guest.control(f"module ddebug_odd ={flags}")
            before, last = len(log.settled().messages), guest.kmsg()[-1].seq
            self.assertEqual(guest.write(ODD, "pieces")[0], 0)
            logged = log.settled().messages[before:]
            self.assertEqual([m.text for m in logged], ours)
            self.assertEqual({m.callsite.function for m in logged}, {"odd_pieces"})
            self.assertEqual(len({m.callsite.line for m in logged[:3]}), 1)
            printed = [r.text for r in guest.kmsg() if r.seq > last]
            if flags == "r":
                self.assertEqual(printed, others)
            else:
                self.assertIn(b"ddebug_odd: pieces 1: one two", printed)
                # nothing is watched without r
                guest.control("module ddebug_odd =_")
                self.until("the probes are gone", lambda: not guest.stats()["print_probes_armed"])
                self.assertNotIn(" _printk+", guest.must("cat /sys/kernel/debug/kprobes/list"))

    def test_how_much_a_rate_limit_suppresses_is_recorded(self):
        guest = self.boot()
        guest.must("modprobe ddebug_odd")
        suppressed = [b"odd_limited: 9 callbacks suppressed"]
        # what another function's limit suppresses is no matter of the recorded messages
        logged, printed = self.odd(guest, "limited", "r", "func odd_shared")
        self.assertEqual((logged, printed), ([], []))
        logged, printed = self.odd(guest, "limited", "r")
        self.assertEqual([m.text for m in logged],
                         [b"ddebug_odd: limited 0", *suppressed, b"ddebug_odd: limited 10"])
        self.assertFalse(printed)
        self.assertEqual([r.text for r in guest.kmsg() if b"suppressed" in r.text], 2 * suppressed)
        # nothing is watched without r
        self.until("the probes are gone", lambda: not guest.stats()["print_probes_armed"])
        before = guest.committed()
        guest.write(ODD, "limited")
        self.assertEqual(guest.committed(), before)

    def test_probes_of_others_at_the_same_function_are_hit_as_well(self):
        guest = self.boot(modules=("ddebug_odd", "ddebug_test"))
        hits, expected = "/sys/module/ddebug_odd/parameters/hits", 0
        # theirs is there before ours
        self.assertEqual(guest.write(ODD, "probe")[0], 0)
        guest.must("modprobe virtio_ddebug")
        # to print what is recorded as well, the function is called once more
        for flags, calls in (("r", 1), ("pr", 2), ("p", 1)):
            guest.control(f"module ddebug_test ={flags}")
            guest.load("threads=1 count=10")
            expected += 10 * calls
            self.assertEqual(int(guest.read(hits)), expected, flags)
        # theirs comes after ours, and stays
        guest.control("module ddebug_test =r")
        for _ in range(2):
            self.assertEqual(guest.write(ODD, "probe")[0], 0)
        guest.load("threads=1 count=10")
        self.assertEqual(int(guest.read(hits)), expected + 10)
        self.assertEqual(len(guest.log().settled().messages), 30)
        guest.must("rmmod virtio_ddebug ddebug_rb")
        guest.control("module ddebug_test =p")
        guest.load("threads=1 count=10")
        self.assertEqual(int(guest.read(hits)), expected + 20)
        self.assertNotRegex(guest.dmesg(), TROUBLE)

    def test_a_message_from_within_a_kprobe_is_printed_and_counted(self):
        guest = self.boot()
        guest.must("modprobe ddebug_odd")
        logged, printed = self.odd(guest, "kprobe", "p")
        texts = [r.text for r in printed]
        self.assertEqual(len(texts), 2)
        self.assertFalse(logged)
        self.assertEqual(guest.stats()["missed___dynamic_pr_debug"], 0)

        logged, printed = self.odd(guest, "kprobe", "r")
        self.assertEqual([r.text for r in printed if b"kprobe handler could not be" not in r.text], texts)
        self.assertFalse(logged)
        stats = guest.stats()
        self.assertEqual((stats["missed___dynamic_pr_debug"], stats["missed_print_hex_dump"],
                          stats["missed___dynamic_dev_dbg"]), (1, 1, 0))
        # reported once, when the statistics are read or within seconds
        self.assertEqual(guest.dmesg().count(MISSED), 1)
        self.odd(guest, "kprobe", "r")
        self.assertEqual(guest.stats()["missed___dynamic_pr_debug"], 2)
        self.assertEqual(guest.dmesg().count("from within a kprobe handler could not"), 1)
        self.told(guest, 4, b"in its own kernel log only")

    def told(self, guest, count, why):
        """The log has the count, says it in place and not again to who has consumed it."""
        log = guest.log()
        self.until("the log has the count", lambda: log.info().get("unrecorded") == count)
        guest.kill()
        notices = re.findall(rb"-- (\d+) messages? not recorded: in the guest, \1 %s --" % why,
                             log.tool("--pipe").stdout)
        self.assertEqual(sum(map(int, notices)), count)
        self.assertNotIn(b"not recorded", log.tool("--pipe").stdout)

    def test_messages_of_a_cpu_without_rings_are_counted_where_the_host_sees_it(self):
        guest = self.boot(modules=("ddebug_odd",), memory=512)
        # what is left has room for the rings of one CPU
        guest.must("kb=$(awk '/MemAvailable/ { print $2 }' /proc/meminfo); mkdir /tmp/f; "
                   "mount -t tmpfs -o size=100% none /tmp/f; "
                   "dd if=/dev/zero of=/tmp/f/fill bs=1M count=$((kb / 1024 - 96)); "
                   "modprobe ddebug_rb rb_size_kb=65408; umount /tmp/f; modprobe virtio_ddebug")
        self.assertIn("no memory for the rings of CPU 1", guest.dmesg())
        guest.control("module ddebug_odd +r")
        log = guest.log()
        guest.must(f"echo dumps | taskset 2 tee {ODD}")
        # also when nobody asks for the statistics
        self.until("the log has the count", lambda: log.info().get("unrecorded", 0) > 100)
        guest.must(f"echo dumps | taskset 2 tee {ODD}")
        lost = guest.stats()["nostream"]
        self.assertGreater(lost, 200)
        self.told(guest, lost, b"on a cpu without a ring")

    # -- the driver's belief against the binaries ------------------------------

    def survey(self, guest):
        """What the binaries say about the guest's callsites: modules and kernel."""
        kernel = chosen_kernel()
        loaded = set(re.findall(r"^(\S+)", guest.read("/proc/modules"), re.M))
        files = callsites.module_files(os.path.join(kernel["root"], "lib")) + \
            glob.glob(os.path.join(BUILD, "guest-driver", KERNEL, "*.ko")) + \
            glob.glob(os.path.join(BUILD, "guest-modules", KERNEL, "*.ko"))
        files = [path for path in files
                 if os.path.basename(path).split(".")[0].replace("-", "_") in loaded]
        self.assertEqual(len(files), len(loaded))
        sites = callsites.survey_kernel(kernel["image"], guest.read("/proc/kallsyms", 150))
        for path in files:
            sites += callsites.survey_module(path)
        return sites

    def test_the_driver_and_the_binaries_say_the_same_of_each_callsite(self):
        args, names = callsites.disk_of_modules(chosen_kernel(), MODULES, self.outputdir)
        guest = self.boot(args=args, append="nokaslr")
        callsites.load_from_disk(guest, names)
        guest.must("modprobe ddebug_odd")
        sites = self.survey(guest)
        self.assertEqual(sum(1 for line in guest.read(CONTROL).splitlines() if " =" in line),
                         len(sites))
        odd = [site for site in sites if not site.recorded and not site.init]
        self.log.info("%d callsites, %d of them not recorded, %d hex dumps", len(sites), len(odd),
                      sum(1 for site in sites if site.recorded and not site.passed))
        self.assertGreater(len(sites), 5000, "not a test")
        # __init code is not reported, nor need be
        self.assertFalse([site for site in sites if site.init and not site.recorded])
        self.assertLessEqual({"btrfs", "ib_srp", "carl9170", "page_alloc", "ddebug_odd"},
                             {site.module for site in odd}, "not a test")
        self.assertGreater(sum(1 for site in sites if site.recorded and not site.passed), 100,
                           "not a test")

        listed = collections.Counter()
        for line in guest.read(UNCAPTURED, 150).splitlines():
            match = re.match(r"(.+):(\d+) \[(.+?)\](\S+) (.+)$", line)
            listed[os.path.basename(match.group(1)), int(match.group(2)), match.group(3),
                   match.group(4), "also another" in match.group(5)] += 1
        self.assertEqual(listed, collections.Counter(
            (os.path.basename(site.file), site.line, site.module, site.function, site.shared)
            for site in odd))

        last = guest.kmsg()[-1].seq
        guest.control("+r")
        stats = guest.stats()
        guest.control("-r")
        self.assertEqual((stats["callsites_r"], stats["callsites_r_uncaptured"]),
                         (len(sites), len(odd)))
        said, = self.warnings(guest, last)
        self.assertEqual(int(said.group(1)), len(odd))
