#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the checks of the layers and of Markdown find what they are for: each breaks a small
tree in one place.  Output is TAP."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tools")]

import barriers     # noqa: E402
import layers       # noqa: E402
import prose        # noqa: E402
import tap          # noqa: E402

BUILT = {"guest-driver": "build/guest-driver/6.1", "qemu-device": "build/qemu-device/7.2",
         "log": "build/host-tool", "host-tool/lib": "build/host-tool", "host-tool/cmd": "build/host-tool"}


class Small(unittest.TestCase):
    """A small tree for each test."""

    def setUp(self):
        # pylint: disable=consider-using-with
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.root = self.scratch.name

    def write(self, path, text=""):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
        return full

    def complaints(self, module, *arguments):
        """{what is checked: its complaints} of the checks that complain."""
        found = module.check(self.root, *arguments)
        checks = found[0] if isinstance(found, tuple) else found
        return {name: lines for name, lines in checks if lines}


class Layers(Small):
    """Two files a folder, upper and lower, by the real rules for folders."""

    LEVELS = (("{}-upper",), ("{}-lower",))
    whole = None

    def setUp(self):
        super().setUp()
        self.folders = {
            name: layers.Folder(uses=rule.uses, foreign=rule.foreign, barred=rule.barred,
                                levels=[[stem.format(self.prefix(name)) for stem in level]
                                        for level in self.LEVELS])
            for name, rule in layers.FOLDERS.items()}
        if not Layers.whole:
            # pylint: disable=consider-using-with
            Layers.whole = tempfile.TemporaryDirectory()
            place, self.root = self.root, Layers.whole.name
            for folder in self.folders:
                for name in ("upper", "lower"):
                    self.source(folder, name)
            self.root = place
        shutil.copytree(Layers.whole.name, self.root, dirs_exist_ok=True)

    @staticmethod
    def prefix(folder):
        return "ddebug-" + folder.replace("/", "-")

    def name(self, folder, which):
        return f"{self.prefix(folder)}-{which}"

    def function(self, folder, which):
        return self.name(folder, which).replace("-", "_")

    def header(self, folder, which, includes=()):
        self.write(f"{folder}/{self.name(folder, which)}.h",
                   "".join(f"#include {other}\n" for other in includes) +
                   f"void {self.function(folder, which)}(void);\n")

    def source(self, folder, which, includes=(), calls=()):
        """A file and its header; the folders that are linked have an object file of it."""
        name, function = self.name(folder, which), self.function(folder, which)
        self.header(folder, which)
        if folder not in BUILT:
            return
        path = self.write(f"{folder}/{name}.c", "\n".join([
            *(f'#include "{other}"' for other in includes),
            *(f"void {other}(void);" for other in [function, *calls]),
            f"void {function}(void)\n{{", *(f"    {other}();" for other in calls), "}\n"]))
        # the device is linked with the log's library as well
        for place in {BUILT[folder], *([BUILT["qemu-device"]] if folder == "log" else [])}:
            os.makedirs(os.path.join(self.root, place), exist_ok=True)
            subprocess.run(["cc", "-c", *(f"-I{self.root}/{other}" for other in self.folders),
                            "-o", os.path.join(self.root, place, name + ".o"), path], check=True)

    def broken(self):
        return self.complaints(layers, self.folders)

    def only(self, check, *words):
        """One check complains, once, and its complaint has these words."""
        found = self.broken()
        self.assertEqual(list(found), [check], found)
        lines, = found.values()
        self.assertEqual(len(lines), 1, lines)
        for word in words:
            self.assertIn(word, lines[0])

    def test_a_tree_that_keeps_the_rules(self):
        self.assertEqual(self.broken(), {})
        for folder in BUILT:
            self.source(folder, "upper", includes=[self.name(folder, "lower") + ".h"],
                        calls=[self.function(folder, "lower")])
        self.assertEqual(self.broken(), {})

    def test_includes_between_folders(self):
        """Each folder includes a header of each other one."""
        for folder, other in itertools.permutations(self.folders, 2):
            header = self.name(other, "lower") + ".h"
            self.header(folder, "lower", includes=[f'"{header}"'])
            if other in layers.FOLDERS[folder].uses:
                self.assertEqual(self.broken(), {}, (folder, other))
            else:
                self.only("includes keep to the layers", folder, header)
            self.header(folder, "lower")

    def test_an_include_by_a_path(self):
        self.source("host-tool/lib", "lower",
                    includes=["../../qemu-device/" + self.name("qemu-device", "lower") + ".h"])
        self.only("includes keep to the layers", "host-tool/lib", "qemu-device")

    def test_an_include_of_a_test(self):
        self.write("tests/unit/canned.h")
        self.header("log", "lower", includes=['"canned.h"'])
        self.only("includes keep to the layers", "log/", "tests/unit/canned.h")

    def test_an_include_of_nothing(self):
        self.header("log", "lower", includes=['"ddebug-gone.h"'])
        self.only("includes keep to the layers", "ddebug-gone.h")

    def test_types_of_qemu_and_of_the_kernel(self):
        """log/ is used by both sides; qemu-device/ may have QEMU's types."""
        for include in ('"qemu/osdep.h"', "<qemu/osdep.h>", "<linux/types.h>", '"hw/virtio/virtio.h"'):
            self.header("log", "lower", includes=[include])
            self.only("includes keep to the layers", include.strip('<>"'))
        self.header("log", "lower", includes=["<glib.h>"])
        self.header("qemu-device", "lower", includes=['"qemu/osdep.h"'])
        self.assertEqual(self.broken(), {})

    def test_calls_between_folders(self):
        """Each folder calls a function of each other one, without an include that would tell it."""
        for folder, other in itertools.permutations(BUILT, 2):
            function = self.function(other, "lower")
            self.source(folder, "lower", calls=[function])
            if other in layers.FOLDERS[folder].uses:
                self.assertEqual(self.broken(), {}, (folder, other))
            else:
                self.only("symbols keep to the layers", folder, function, other)
            self.source(folder, "lower")

    def test_includes_and_calls_within_a_folder(self):
        for folder in BUILT:
            self.source(folder, "lower", includes=[self.name(folder, "upper") + ".h"])
            self.only("includes keep to the layers", "above it", folder)
            self.source(folder, "lower", calls=[self.function(folder, "upper")])
            self.only("symbols keep to the layers", "above it", folder)
            self.source(folder, "lower")

    def test_circles(self):
        """Of two files of one level: by calls, by includes, by one of each."""
        self.folders["log"].levels = (("*",),)
        upper, lower = self.name("log", "upper"), self.name("log", "lower")
        ways = ({"includes": "{}.h"}, {"calls": "{}"})
        for there, back in itertools.product(ways, ways):
            for which, name, way in (("upper", lower, there), ("lower", upper, back)):
                self.source("log", which, **{
                    kind: [text.format(name if kind == "includes" else name.replace("-", "_"))]
                    for kind, text in way.items()})
            self.only("no circle of files in a folder", f"{lower} -> {upper} -> {lower}")

    def test_a_longer_circle_and_one_of_headers(self):
        self.folders["log"].levels = (("*",),)
        self.source("log", "third", calls=[self.function("log", "upper")])
        self.source("log", "upper", calls=[self.function("log", "lower")])
        self.assertEqual(self.broken(), {})
        self.source("log", "lower", includes=[self.name("log", "third") + ".h"])
        self.only("no circle of files in a folder", "third", "upper", "lower")
        self.source("log", "lower")
        self.header("log", "upper", includes=[f'"{self.name("log", "third")}.h"'])
        self.assertEqual(self.broken(), {})
        self.header("log", "third", includes=[f'"{self.name("log", "upper")}.h"'])
        self.only("no circle of files in a folder", "third.h", "upper.h")

    def test_places(self):
        self.source("guest-driver", "third")
        self.only("each source file has its place in the layers", "third")
        os.unlink(os.path.join(self.root, "guest-driver", self.name("guest-driver", "third") + ".c"))
        os.unlink(os.path.join(self.root, "guest-driver", self.name("guest-driver", "third") + ".h"))
        self.assertEqual(self.broken(), {})
        self.folders["guest-driver"].levels += (("ddebug_gone",),)
        self.only("each source file has its place in the layers", "ddebug_gone")

    def test_object_files_that_are_missing_or_old(self):
        """What could not be checked is named."""
        lower = f"log/{self.name('log', 'lower')}.c"
        self.assertEqual(layers.check(self.root, self.folders)[1], [])
        os.utime(os.path.join(self.root, lower), (2 ** 33, 2 ** 33))
        self.assertEqual(layers.check(self.root, self.folders)[1], [lower])
        self.source("log", "lower")
        for place in ("host-tool", "qemu-device/7.2"):
            os.unlink(os.path.join(self.root, "build", place, self.name("log", "lower") + ".o"))
        self.assertEqual(layers.check(self.root, self.folders)[1], [lower])

    def test_a_symbol_of_ours_that_nobody_defines(self):
        self.source("log", "lower", calls=["ddlog_gone"])
        self.only("symbols keep to the layers", "ddlog_gone")
        self.source("log", "lower", calls=["g_free"])
        self.assertEqual(self.broken(), {})

    def test_makefiles(self):
        self.write("host-tool/Makefile", "SOURCES := $(wildcard ../log/*.c lib/*.c)\nO := ../build/host-tool")
        self.assertEqual(self.broken(), {})
        self.write("host-tool/Makefile", "SOURCES := $(wildcard ../qemu-device/*.c)\n")
        self.only("makefiles keep to the layers", "host-tool/Makefile", "qemu-device/")

    def test_names(self):
        """One name twice, and headers one letter apart where a file can include both."""
        def complaints():
            return str(self.broken().get("no two source files have nearly the same name", ""))

        self.write("include/ddebug_thing.h")
        self.write("log/ddebug_thing.c")
        self.write("host-tool/lib/ddebug-thing.c")
        for path in set().union(*layers.SIMILAR_NAMES):
            self.write(path)
        self.assertEqual(complaints(), "")
        self.write("log/ddebug-thing.h")
        self.assertIn("include/ddebug_thing.h, log/ddebug-thing.h", complaints())
        os.unlink(os.path.join(self.root, "log/ddebug-thing.h"))
        self.write("qemu-device/ddebug-Thing.c")
        self.assertIn("host-tool/lib/ddebug-thing, qemu-device/ddebug-Thing", complaints())

    def test_the_table_of_the_tree(self):
        """Folders may use only what comes before them, so that there is no circle of folders."""
        known = []
        for folder, rule in layers.FOLDERS.items():
            self.assertLessEqual(set(rule.uses), set(known), folder)
            known.append(folder)
        for path in set().union(*layers.SIMILAR_NAMES):
            self.assertTrue(os.path.exists(os.path.join(layers.REPO, path)), path)


class Prose(Small):
    """Pages with one fault each."""

    def page(self, text, path="docs/page.md"):
        self.write("tests/unit/test-thing.c")
        self.write("docs/other.md", "# Other\n")
        self.write(path, text)
        return self.complaints(prose)

    def test_width(self):
        check = f"Markdown is wrapped at {prose.WIDTH} columns"
        words = "word " * 19 + "words"
        self.assertEqual(len(words), 100)
        self.assertEqual(self.page(words + "\n"), {})
        self.assertEqual(self.page(words + "s\n"), {check: ["docs/page.md:1: 101 columns"]})
        self.assertEqual(self.page(f"a\n\n- {words}\n"), {check: ["docs/page.md:3: 102 columns"]})
        for text in (f"| {words} |\n", f"```\n{words}s\n```\n", f"see https://example.org/{'x' * 100}\n",
                     "x" * 120 + "\n", f"code:\n\n    {words}\n    {words}\n"):
            self.assertEqual(self.page(text), {}, text)
        for text in (f"```\ncode\n```\n{words}s\n", f"text\n    {words}\n", f"- item\n\n    {words}\n",
                     f"code:\n\n    code\n\n{words}s\n"):
            self.assertEqual(list(self.page(text)), [check], text)

    def test_lines_are_wrapped(self):
        lines = ["word " * 50, "- " + "word " * 50, "| " + "word " * 50 + "|", "short", ""]
        found = list(prose.wrapped(lines))
        self.assertEqual(self.page("\n".join(found)), {})
        self.assertEqual(" ".join(found).split(), " ".join(lines).split())

    def test_links(self):
        check = "links of Markdown lead to files"
        for link in ("other.md", "other.md#other", "https://example.org/", "#here"):
            self.assertEqual(self.page(f"[a]({link})\n"), {}, link)
        self.assertEqual(self.page("[a](gone.md)\n"),
                         {check: ["docs/page.md: the link to gone.md leads nowhere"]})
        self.assertEqual(list(self.page("see [a]\n\n[a]: ../gone.md\n")), [check])
        self.assertEqual(self.page("`[a](gone.md)`\n"), {})

    def test_files_that_are_named(self):
        check = "files that Markdown names exist"
        for text in ("docs/other.md", "docs/", "test-thing.c", "unit:test-thing.c", "tests/unit/test-*.c",
                     "tests/{unit,unit}/", "make tests", "build/x/y", "kernel/printk/printk.c", "printk.c"):
            self.assertEqual(self.page(f"`{text}`\n"), {}, text)
        for text in ("docs/gone.md", "tests/gone/", "test-gone.c", "unit:test-gone.c", "tests/unit/gone-*.c",
                     "docs/{other,gone}.md", "cat docs/gone.md"):
            self.assertEqual(list(self.page(f"`{text}`\n")), [check], text)


class Barriers(Small):
    """A pair of barriers, with one fault each."""

    DEVICE = """\
/*
 *   label     what                       pairs with, in the guest
 *   device:A  full barrier between two   kick:A, full barrier
 *             stores
 *
 */
    /* device:A pairs with kick:A: one before the other */
    smp_mb();
"""
    GUEST = DEVICE.replace("device:A", "kick:A  ").replace("kick:A, ", "device:A, ").replace(
        "/* kick:A   pairs with kick:A", "/* kick:A pairs with device:A").replace("    smp", "\tvirt")
    MODELS = 'CASES = ["without device:A", "without kick:A"]'

    def broken(self, device=DEVICE, guest=GUEST, models=MODELS):
        self.write("qemu-device/device.c", device)
        self.write("guest-driver/guest.c", guest)
        self.write(barriers.LITMUS, models)
        return self.complaints(barriers, ("qemu-device/device.c", "guest-driver/guest.c"))

    def test_a_pair(self):
        self.assertEqual(self.broken(), {})

    def test_barriers_that_are_missing(self):
        check = "barriers of the tables are in the source, and in the models"
        lost = "device:A is in a table, but there is no such barrier in qemu-device"
        for device in (self.DEVICE.replace("    smp_mb();\n", ""),
                       self.DEVICE.replace("smp_mb", "smp_rmb"), self.DEVICE.replace(" full", " rmb,", 1)):
            self.assertEqual(self.broken(device), {check: [lost]}, device)
        self.assertEqual(list(self.broken(guest=self.GUEST.replace("\tvirt_mb();\n", ""))), [check])
        self.assertEqual(self.broken(models=self.MODELS.replace("device:A", "device:B")), {
            check: ["device:A is in a table, but tests/litmus/litmus.py does not do without it"]})

    def test_barriers_that_do_not_pair(self):
        self.assertEqual(self.broken(self.DEVICE.replace("with kick:A:", "with kick:B:")), {
            "barriers pair as the tables say":
                ["qemu-device/device.c:7: no table pairs device:A with kick:B"]})

    def test_barriers_without_a_label(self):
        self.assertEqual(self.broken(self.DEVICE + "\n\n\n    smp_rmb();\n"), {
            "barriers beside the tables have a label":
                ["qemu-device/device.c:12: a barrier without a label"]})


class Documented(unittest.TestCase):
    """docs/architecture.md, "Layers", says the same as the table of layers.py."""

    def setUp(self):
        with open(os.path.join(layers.REPO, "docs/architecture.md"), encoding="utf-8") as file:
            self.text = file.read().split("\n## Layers\n")[1].split("\n## ")[0]

    @staticmethod
    def bare(names):
        """The names without the prefix that the page leaves out."""
        return {re.sub(r"^ddebug[_-]", "", name) for name in names}

    def test_what_each_folder_uses(self):
        rows = re.findall(r"^\| `([a-z/-]+)/` \| ([^;|]*)", self.text, re.M)
        documented = {folder: set(re.findall(r"`([a-z/-]+)/`", uses)) for folder, uses in rows}
        self.assertEqual(documented, {folder: set(rule.uses) for folder, rule in layers.FOLDERS.items()})

    def test_the_layers_of_files(self):
        for folder in ("guest-driver", "qemu-device"):
            part = self.text.split(f"- `{folder}/`:\n")[1].split("\n- ")[0]
            documented = []
            for line in re.findall(r"^ +\d+\. (.*)", part, re.M):
                names = re.findall(r"[a-z_-]+", line.replace(", a module of its own", ""))
                documented.append(self.bare(names))
            self.assertEqual(documented, [*map(self.bare, layers.FOLDERS[folder].levels)], folder)


if __name__ == "__main__":
    sys.exit(max(map(tap.main, (Layers, Documented, Prose, Barriers))))
