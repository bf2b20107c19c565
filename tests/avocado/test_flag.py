# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the flag 'r' is like any other flag of dynamic debug: all query forms, all operators,
both control files, module parameters, explained errors, concurrent writers, and no trace of it
after rmmod."""

import re
import string

from ddebug.case import DdebugTest
from ddebug.guest import CONTROL, LOAD, PREFIX_LETTERS, PROC_CONTROL

USB = ["-device", "qemu-xhci,id=xhci", "-device", "usb-kbd,bus=xhci.0"]

# Each is tried with +p by the kernel alone and with +r by ours.
QUERIES = [
    "module xhci_hcd",
    "module xhci*",
    "module '*sb*'",
    "file drivers/usb/host/xhci-ring.c",
    "file xhci-ring.c",
    "file xhci-*.c",
    "file */host/xhci*",
    "func xhci_ring_cmd_db",
    "func xhci_*",
    "func *hub*",
    "file hub.c line 1-3000",
    "file hub.c line 3000-",
    "file hub.c line -3000",
    "file hub.c:hub_*",
    "file hub.c:1000-2000",
    "format hub",
    'format "port %d"',
    "format 'port %d'",
    r"format port\040%d",
    "format ^port",
    'module xhci_hcd format "^port %d"',
    "module usbcore format hub",
    "module usbcore func hub_* line 1-3000",
    "func hub_port_init file hub.c module usbcore",
    "",
]

BAD = [
    "module xhci_hcd {op}{flag}q",
    "module xhci_hcd {op}q{flag}",
    "module xhci_hcd {flag}",
    "module {op}{flag}",
    "modul xhci_hcd {op}{flag}",
    "module xhci_hcd line nine {op}{flag}",
    "module xhci_hcd line 20-10 {op}{flag}",
    "module xhci_hcd line 10 line 20 {op}{flag}",
    "module xhci_hcd module usbcore {op}{flag}",
    "module 'xhci_hcd {op}{flag}",
    "module xhci_hcd func a file b line 1 format c class d {op}{flag}",
]


class Flag(DdebugTest):

    def boot_usb(self, **options):
        guest = self.boot(args=USB, **options)
        guest.control("=_")     # a few callsites print by default
        for module in ("xhci_pci", "usbhid", "squashfs"):
            guest.must(f"modprobe {module}")
        return guest

    def sites(self, guest, flag):
        return {site for site, (_, flags) in guest.flags().items() if flag in flags}

    def apply(self, guest, query):
        """The callsites that the query gives +p, and those that it gives +r."""
        found = []
        for flag in "pr":
            guest.control("=_")
            guest.control(f"{query} +{flag}")
            found.append(self.sites(guest, flag))
            others = {flags for _, flags in guest.flags().values()} - {"_", flag}
            self.assertFalse(others, f"{query} +{flag} also set {others}")
        return found

    def test_every_query_form_finds_what_it_finds_for_p(self):
        guest = self.boot_usb()
        for query in QUERIES:
            with_p, with_r = self.apply(guest, query)
            self.assertTrue(with_p, f"'{query}' finds nothing: not a test")
            self.assertEqual(with_p, with_r, f"'{query}'")
        self.assertGreater(len(with_r), 1900)

        many = ["module usbcore {}", "file hub.c line 1-2000 {}", "func xhci_* {}", "module squashfs {}"]
        for separator in (";", "\n", " ; "):
            found = []
            for flag in "pr":
                guest.control("=_")
                guest.control(separator.join(q.format("+" + flag) for q in many))
                found.append(self.sites(guest, flag))
            self.assertTrue(found[0])
            self.assertEqual(found[0], found[1], f"many queries separated by {separator!r}")

        guest.control("=_")
        guest.control("module usbcore +p; module xhci_hcd +r; module squashfs +pr; func hub_port_init -r")
        for (module, flags) in guest.flags().values():
            expect = {"usbcore": "p", "xhci_hcd": "r", "squashfs": "pr"}.get(module, "_")
            self.assertEqual(set(flags), set(expect), module)

    def test_operators_and_other_flags_combine_as_the_kernel_combines_them(self):
        guest = self.boot_usb()
        state = set()
        every = PREFIX_LETTERS
        for change in ("+r", f"+{every}", "-m", "+p", "-r", "+rm", "=r", "=pr", "-p",
                       f"=r{every}", f"+r{every}", "-rt", "+_", "-_", "=prl", "=_",
                       f"+pr{every}", f"-pr{every}", "+r",
                       *(f"{op}{letter}" for letter in every for op in "+-"), "=p", "=_"):
            guest.control(f"func hub_port_init {change}")
            letters = set(change[1:]) - {"_"}
            state = {"+": state | letters, "-": state - letters, "=": letters}[change[0]]
            for file in (CONTROL, PROC_CONTROL):
                lines = [line for line in guest.read(file).splitlines()
                         if "]hub_port_init =" in line]
                self.assertTrue(lines)
                for line in lines:
                    shown = re.search(r"\]hub_port_init =(\S+) ", line).group(1)
                    self.assertEqual(set(shown), state or {"_"}, f"{change}: {line}")
                    self.assertEqual(len(shown), max(len(state), 1), line)
        self.assertFalse(self.sites(guest, "r"))

    def test_letters_that_the_kernel_does_not_have_are_refused(self):
        guest = self.boot_usb()
        for letter in string.ascii_letters:
            status, output, said = self.explained(guest, f"func hub_port_init +r{letter}")
            if letter in "pr" + PREFIX_LETTERS:
                self.assertEqual((status, said), (0, []), letter)
            else:
                self.assertNotEqual(status, 0, letter)
                self.assertIn("Invalid argument", output)
                self.assertIn(f"unknown flag '{letter}'", said[0])
        # refused queries have changed nothing, the others have
        for module, flags in (found for site, found in guest.flags().items() if site[2] == "hub_port_init"):
            self.assertEqual((module, set(flags)), ("usbcore", set("pr" + PREFIX_LETTERS)))

    def test_both_control_files_take_the_flag(self):
        guest = self.boot_usb()
        for write in (CONTROL, PROC_CONTROL):
            for read in (CONTROL, PROC_CONTROL):
                status, output = guest.write(write, "module squashfs =r")
                self.assertEqual(status, 0, output)
                plain = guest.must(f"grep -c 'squashfs.*=r ' {read}")
                self.assertGreater(int(plain), 20)
                guest.control("=_")
        # without the letter, the output is the kernel's
        guest.control("module squashfs =r")
        shown = guest.read(CONTROL)
        guest.must("rmmod virtio_ddebug; rmmod ddebug_rb")
        self.assertEqual(shown.replace(" =r ", " =_ "), guest.read(CONTROL))

    def explained(self, guest, query):
        """Exit status of the write, the shell's output, and the kernel's messages."""
        last = guest.kmsg()[-1].seq
        status, output = guest.write(CONTROL, query)
        said = [r.text.decode() for r in guest.kmsg()
                if r.seq > last and r.text.startswith(b"dyndbg:")]
        return status, output, said

    def test_bad_queries_are_refused_with_the_kernels_own_explanation(self):
        guest = self.boot_usb(modules=())
        queries = [bad.format(op=op, flag="p") for bad in BAD for op in "+="]
        expected = [self.explained(guest, query) for query in queries]
        for query, (status, output, said) in zip(queries, expected):
            self.assertNotEqual(status, 0, f"{query}: not a test")
            self.assertIn("Invalid argument", output)
            self.assertTrue(said, f"{query}: not a test")
        status, output, said = self.explained(guest, "module squashfs +r")
        self.assertIn("unknown flag 'r'", "\n".join(said))

        guest.must("modprobe virtio_ddebug")
        self.assertEqual([self.explained(guest, query) for query in queries], expected)
        queries = [bad.format(op=op, flag="r") for bad in BAD for op in "+="]
        for query, (_, _, like) in zip(queries, expected):
            status, output, said = self.explained(guest, query)
            self.assertNotEqual(status, 0, query)
            self.assertIn("Invalid argument", output, query)
            self.assertEqual(said, [re.sub(r"(?<=[+= ])p\b", "r", s) for s in like], query)
        self.assertFalse(self.sites(guest, "r") | self.sites(guest, "p"))

        # of several queries, the good ones are carried out, as with p
        for flag in "pr":
            status, output = guest.write(
                CONTROL, f"module squashfs +{flag}; module usbcore +{flag}q; func hub_port_init +{flag}")
            found = sorted(self.sites(guest, flag))
            guest.control("=_")
            if flag == "p":
                like = (status, found)
        self.assertEqual((status, found), like)

    def test_a_module_may_be_loaded_with_the_flag(self):
        def of_squashfs(guest):
            return {site for site, (module, _) in guest.flags().items() if module == "squashfs"}

        guest = self.boot()
        guest.must("modprobe squashfs dyndbg=+r; modprobe ubi dyndbg='+rt; func ubi_io_* +p'; modprobe sctp")
        found = guest.flags()
        seen = {"squashfs": set(), "ubi": set(), "sctp": set()}
        for (_, _, function), (module, flags) in found.items():
            if module in seen:
                seen[module].add("".join(sorted(flags)))
                if module == "ubi":
                    self.assertEqual("p" in flags, function.startswith("ubi_io_"), function)
        self.assertEqual(seen, {"squashfs": {"r"}, "ubi": {"rt", "prt"}, "sctp": {"_"}})
        guest.must("rmmod squashfs; modprobe squashfs")
        self.assertFalse(self.sites(guest, "r") & of_squashfs(guest))
        status, _ = guest.run("rmmod squashfs; modprobe squashfs dyndbg=+rq")
        self.assertIn("unknown flag 'q'", guest.dmesg())
        self.assertFalse(self.sites(guest, "r") & of_squashfs(guest))

    def test_classes_are_meant_by_name_only_and_keep_r_beside_their_parameter(self):
        def classes():
            return {line.rpartition(" class:")[2]: re.search(r" =(\S+) ", line).group(1)
                    for line in guest.read(CONTROL).splitlines() if " class:TEST_" in line}

        def said():
            """Numbers of the printed and of the recorded classes."""
            last, before = guest.kmsg()[-1].seq, len(log.settled().messages)
            guest.write(f"{LOAD}/run", "classes")
            printed = [r.text for r in guest.kmsg() if r.seq > last and b"ddebug_test: t902" in r.text]
            recorded = [m.text for m in log.settled().messages[before:]]
            return [[name for name in ("one", "two") if any(b"class " + name.encode() in t for t in texts)]
                    for texts in (printed, recorded)]

        guest = self.boot()
        log = guest.log()
        guest.must("modprobe ddebug_test")
        param = "/sys/module/ddebug_test/parameters/classes"
        for query, one, two, where in (
                ("module ddebug_test +pr", "_", "_", ([], [])),
                ("class TEST_NONE +r", "_", "_", ([], [])),
                ("class TEST_ONE module ddebug_test +r", "r", "_", ([], ["one"])),
                ("class TEST_TWO =pr", "r", "pr", (["two"], ["one", "two"])),
                ("3", "pr", "pr", (["one", "two"], ["one", "two"])),
                ("1", "pr", "r", (["one"], ["one", "two"])),
                ("0", "r", "r", ([], ["one", "two"])),
                ("class TEST_TWO -r", "r", "_", ([], ["one"])),
                ("class TEST_ONE =_", "_", "_", ([], []))):
            status, output = guest.write(param if query.isdigit() else CONTROL, query)
            self.assertEqual(status, 0, output)
            self.assertEqual(classes(), {"TEST_ONE": one, "TEST_TWO": two}, query)
            self.assertEqual(said(), list(where), query)

    def test_writers_at_the_same_time_leave_every_callsite_right(self):
        guest = self.boot_usb()
        guest.must("mkdir -p /tmp/w")
        script = "".join(
            f"(for i in $(seq 60); do"
            f"   echo '{a}' > {file} || echo {number} >> /tmp/w/failed;"
            f"   echo '{b}' > {file} || echo {number} >> /tmp/w/failed; done) & "
            for number, (a, b, file) in enumerate((
                ("module usbcore +r", "module usbcore -r", CONTROL),
                ("module usbcore +p", "module usbcore -p", CONTROL),
                ("module xhci_hcd -r", "module xhci_hcd +r", PROC_CONTROL),
                ("module xhci_hcd +p", "module xhci_hcd -p", CONTROL),
                ("module squashfs =r", "module squashfs =pr", PROC_CONTROL),
                ("func hub_* +m", "func hub_* -m", CONTROL))))
        guest.must(script + "wait; [ ! -e /tmp/w/failed ]", timeout=200)
        for module, flags in guest.flags().values():
            expect = {"usbcore": "_", "xhci_hcd": "r", "squashfs": "pr"}.get(module, "_")
            self.assertEqual(set(flags), set(expect), module)
        self.assertNotRegex(guest.dmesg(), r"BUG:|WARNING:|Oops|stall")

    def foreign_flags(self, guest):
        """The flags of all modules but virtio's, some of which are loaded with ours."""
        return {site: found for site, found in guest.flags().items()
                if not found[0].startswith("virtio")}

    def test_after_rmmod_everything_is_as_before(self):
        guest = self.boot_usb(modules=())
        guest.control("module usbcore +p; func hub_port_init +m")
        before = self.foreign_flags(guest)
        taken = guest.must("cat /sys/kernel/debug/kprobes/list")
        guest.must("modprobe virtio_ddebug")
        guest.control("module xhci_hcd +r; module squashfs +pr; module usbcore +r")
        self.assertGreater(len(self.sites(guest, "r")), 100)
        self.assertTrue(self.sites(guest, "r") & self.sites(guest, "p"))
        guest.control("module squashfs -p")
        guest.must("rmmod virtio_ddebug; rmmod ddebug_rb")
        self.assertEqual(self.foreign_flags(guest), before)
        self.assertEqual(guest.must("cat /sys/kernel/debug/kprobes/list"), taken)
        status, output = guest.write(CONTROL, "module squashfs +r")
        self.assertIn("Invalid argument", output)
        self.assertNotEqual(status, 0)
        # the keys follow the flags: usbcore prints, xhci_hcd and squashfs are silent
        last = guest.kmsg()[-1].seq
        guest.must("for a in /sys/bus/usb/devices/*-1/authorized; do echo 0 > $a; echo 1 > $a; done; sleep 1")
        said = [r.text for r in guest.kmsg() if r.seq > last and r.level == 7]
        self.assertTrue([t for t in said if t.startswith((b"usb ", b"hub "))], said)
        self.assertFalse([t for t in said if t.startswith((b"xhci_hcd", b"SQUASHFS"))], said)
        self.assertNotRegex(guest.dmesg(), r"BUG:|WARNING:|Oops")
