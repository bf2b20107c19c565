#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the device is added to the source of QEMU 7.2 as qemu-device/overlay/ says, that a tree
it does not fit is refused and left unchanged, and that make qemu deletes nothing that it has not
made.  Nothing is compiled.  Output is TAP."""

import glob
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

sys.path.insert(0, os.path.join(REPO, "tests", "tools"))
import tap      # noqa: E402

FOLDER = "hw/virtio/ddebug"
PAGE = "docs/system/devices/virtio-ddebug.rst"


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def write(text, *path):
    with open(os.path.join(*path), "w", encoding="utf-8") as file:
        file.write(text)


def edit(old, new, *path):
    text = read(*path)
    assert old in text, (old, path)
    write(text.replace(old, new), *path)


def qemu_source():
    """The unpacked source of QEMU 7.2."""
    return re.search(r"^QEMU_SRC_loadable-7\.2 := (.+)$", read(REPO, "build/config.mk"), re.M).group(1)


def patches():
    return sorted(glob.glob(os.path.join(REPO, "qemu-device/overlay/patches/*.patch")))


def patched():
    """The files of QEMU that the patches change."""
    return sorted({name for patch in patches()
                   for name in re.findall(r"^\+\+\+ b/(\S+)$", read(patch), re.M)})


def changes(patch):
    """The lines that a patch adds and removes, by file, in order."""
    found, name = {}, None
    for line in read(patch).splitlines():
        if line.startswith("+++ b/"):
            name = line[6:]
        elif name and line[:1] in ("+", "-") and not line.startswith("--- a/"):
            found.setdefault(name, []).append(line)
    return found


def snapshot(top):
    """{path: kind} of everything below top: mode, and text or target."""
    found = {}
    for where, folders, names in os.walk(top):
        for name in folders + names:
            path = os.path.join(where, name)
            mode = os.lstat(path).st_mode
            found[os.path.relpath(path, top)] = (
                mode, os.readlink(path) if stat.S_ISLNK(mode) else
                None if stat.S_ISDIR(mode) else read(path))
    return found


class Overlay(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.top = tempfile.mkdtemp(prefix="ddebug-overlay.")
        self.addCleanup(shutil.rmtree, self.top)

    def path(self, *names):
        return os.path.join(self.top, *names)

    def tree(self, name="a tree"):
        """The part of QEMU's source that the overlay looks at; the path has a blank."""
        for file in ("VERSION", *patched()):
            os.makedirs(os.path.dirname(self.path(name, file)), exist_ok=True)
            shutil.copy(os.path.join(qemu_source(), file), self.path(name, file))
        return self.path(name)

    def apply(self, *arguments, repo=REPO, refused=False):
        done = subprocess.run([os.path.join(repo, "qemu-device/overlay/apply.sh"), *arguments], check=False,
                              text=True, cwd=self.top, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 1 if refused else 0, done.stdout)
        if refused:
            self.assertRegex(done.stdout, r"^apply\.sh: error: ")
        else:
            self.assertEqual(done.stdout, "")
        return done.stdout

    def refused(self, tree, *words, options=()):
        """... and nothing in the tree has changed."""
        before = snapshot(tree)
        said = self.apply(*options, tree, refused=True)
        for word in words:
            self.assertIn(word, said)
        self.assertEqual(snapshot(tree), before)
        return said

    def own_repo(self):
        """A copy of what apply.sh needs, to be changed."""
        for name in ("qemu-device", "log", "include"):
            shutil.copytree(os.path.join(REPO, name), self.path("repo", name))
        return self.path("repo")

    def expected(self, repo=REPO):
        """{new file of QEMU: its source} as the overlay is meant."""
        files = {f"{FOLDER}/{os.path.basename(path)}": path
                 for pattern in ("qemu-device/*.[ch]", "qemu-device/trace-events",
                                 "log/*.[ch]", "include/*.h")
                 for path in glob.glob(os.path.join(repo, pattern))}
        for name in ("ddebug-loader.c", "ddebug-object.c"):
            del files[f"{FOLDER}/{name}"]
        for name in (f"{FOLDER}/Kconfig", f"{FOLDER}/meson.build", PAGE):
            files[name] = os.path.join(repo, "qemu-device/overlay/files", name)
        return files

    def new_files(self, tree, before):
        return {name for name, what in snapshot(tree).items()
                if name not in before and not stat.S_ISDIR(what[0])}

    # -- the resulting tree -------------------------------------------------

    def test_copies_and_patches_are_put_into_a_tree(self):
        tree = self.tree()
        before = snapshot(tree)
        self.apply(tree)
        self.assertEqual(self.new_files(tree, before), set(self.expected()))
        for name, origin in self.expected().items():
            self.assertFalse(os.path.islink(os.path.join(tree, name)), name)
            self.assertEqual(read(tree, name), read(origin), name)

        # each file is changed by exactly the lines of its patches
        wanted = {}
        for patch in patches():
            for name, lines in changes(patch).items():
                wanted.setdefault(name, []).extend(lines)
        self.assertEqual(set(wanted), set(patched()))
        for name in before:
            if name not in wanted:
                self.assertEqual(snapshot(tree)[name], before[name], name)
        for name, lines in wanted.items():
            diff = subprocess.run(["diff", "-U0", os.path.join(qemu_source(), name),
                                   os.path.join(tree, name)], check=False, text=True,
                                  stdout=subprocess.PIPE).stdout.splitlines()[2:]
            self.assertEqual(sorted(line for line in diff if not line.startswith("@@")), sorted(lines), name)

        # everything compiled is there, and nothing else is there to be compiled
        built = re.findall(r"'(\S+\.c)'", read(tree, FOLDER, "meson.build"))
        self.assertEqual(sorted(built), sorted(name for name in os.listdir(os.path.join(tree, FOLDER))
                                               if name.endswith(".c")))

    def test_a_qemu_without_the_device_needs_no_header_of_it(self):
        tree = self.tree()
        self.apply(tree)
        shutil.rmtree(os.path.join(tree, FOLDER))
        # the includes alone, of which only the device's must be found
        text = re.sub(r"^#include (?!\"ddebug|CONFIG_DEVICES).*", "", read(tree, "hw/virtio/virtio.c"),
                      flags=re.M)
        write("", tree, "devices.h")
        for define, status in ((), 0), (("-DCONFIG_VIRTIO_DDEBUG",), 1):
            done = subprocess.run(["cc", "-E", "-o", "/dev/null", "-I", tree, '-DCONFIG_DEVICES="devices.h"',
                                   *define, "-x", "c", "-"], input=text, check=False, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual(done.returncode, status, done.stdout)
            self.assertEqual("ddebug/virtio_ddebug.h" in done.stdout, bool(status))

    def test_links_lead_to_what_is_edited(self):
        tree = self.tree()
        before = snapshot(tree)
        self.apply("--link", os.path.basename(tree))        # also from its place in the repository
        self.assertEqual(self.new_files(tree, before), set(self.expected()))
        for name, origin in self.expected().items():
            self.assertTrue(os.path.samefile(os.readlink(os.path.join(tree, name)), origin), name)
        for name in patched():
            self.assertFalse(os.path.islink(os.path.join(tree, name)), name)

    def test_links_follow_files_that_come_and_go(self):
        repo, tree = self.own_repo(), self.tree()
        self.apply("--link", tree, repo=repo)
        once = snapshot(tree)
        self.apply("--relink", tree, repo=repo)
        self.assertEqual(snapshot(tree), once)

        write("", repo, "qemu-device/ddebug-new.c")
        os.unlink(os.path.join(repo, "log/ddebug-log-append.c"))
        write("kept\n", tree, FOLDER, "notes")              # another's
        self.apply("--relink", tree, repo=repo)
        self.assertEqual(set(os.listdir(os.path.join(tree, FOLDER))) - {"notes"},
                         {os.path.basename(name) for name in self.expected(repo) if name.startswith(FOLDER)})
        self.assertTrue(os.path.samefile(os.path.join(tree, FOLDER, "ddebug-new.c"),
                                         os.path.join(repo, "qemu-device/ddebug-new.c")))
        self.assertFalse(os.path.lexists(os.path.join(tree, FOLDER, "ddebug-log-append.c")))
        self.assertEqual(read(tree, FOLDER, "notes"), "kept\n")
        for name in patched():
            self.assertEqual(snapshot(tree)[name], once[name])

    # -- what is refused ----------------------------------------------------

    def test_a_second_application_is_refused(self):
        for options in ((), ("--link",)):
            tree = self.tree(f"tree {len(options)}")
            self.apply(*options, tree)
            for again in ((), ("--link",)):
                self.refused(tree, f"{tree}/{FOLDER}/", "already exists", "fresh copy", options=again)
        # files of these names that somebody else has put there
        tree = self.tree("other")
        os.makedirs(os.path.dirname(os.path.join(tree, PAGE)), exist_ok=True)
        write("mine\n", tree, PAGE)
        self.refused(tree, f"{tree}/{PAGE}", "already exists")

    def test_links_are_made_anew_only_where_there_are_some(self):
        self.refused(self.tree("fresh"), self.path("fresh"), "apply.sh --link", options=("--relink",))
        self.apply(self.tree("copies"))
        self.refused(self.path("copies"), self.path("copies"), "apply.sh --link", options=("--relink",))
        self.apply("--link", self.tree("links"))
        name = os.path.join(self.path("links"), FOLDER, "ddebug-log-append.c")
        os.unlink(name)
        write("edited in place\n", name)
        self.refused(self.path("links"), name, "already exists", options=("--relink",))

    def test_another_version_is_refused(self):
        tree = self.tree()
        for version in ("7.1.0", "7.20.0", "10.0.2"):
            write(version + "\n", tree, "VERSION")
            self.refused(tree, tree, f"QEMU {version}", "7.2")

    def test_a_tree_that_a_patch_does_not_fit_is_refused(self):
        for number, (patch, name, context) in enumerate((
                ("0001-", "hw/virtio/virtio.c", '[VIRTIO_ID_GPIO] = "virtio-gpio"'),
                ("0002-", "hw/virtio/virtio.c", "#include CONFIG_DEVICES"),
                ("0003-", "softmmu/qdev-monitor.c", '{ "virtio-blk-pci", '),
                ("0004-", "meson.build", "    'hw/virtio',"),
                ("0005-", "MAINTAINERS", "F: contrib/vhost-user-input/*"))):
            tree = self.tree(f"tree {number}")
            edit(context, "changed", tree, name)
            said = self.refused(tree, patch, "does not apply to QEMU 7.2.", tree, name, "FAILED")
            self.assertEqual(len(re.findall(r"\d{4}-\S+\.patch", said)), 1, said)
        # nearly right is wrong: the outermost line of a hunk's context
        tree = self.tree("near")
        edit("static QTAILQ_HEAD(, VirtIODevice) virtio_list;", "changed", tree, "hw/virtio/virtio.c")
        self.refused(tree, "0002-", "hw/virtio/virtio.c")
        os.unlink(os.path.join(tree, "meson.build"))
        edit("changed", "static QTAILQ_HEAD(, VirtIODevice) virtio_list;", tree, "hw/virtio/virtio.c")
        self.refused(tree, "0004-", "meson.build")

    def test_what_is_no_tree_of_qemu_is_refused(self):
        os.makedirs(self.path("empty"))
        write("7.2.0\n", self.path("file"))
        os.makedirs(self.path("version"))
        write("7.2.0\n", self.path("version/VERSION"))
        for name in ("empty", "file", "version", "missing"):
            self.assertIn(f"'{self.path(name)}' is not a QEMU source tree",
                          self.apply(self.path(name), refused=True))
        self.assertEqual(os.listdir(self.path("empty")), [])

    def test_one_tree_is_wanted(self):
        tree = self.tree()
        before = snapshot(tree)
        for arguments in ((), ("--link",), ("--relink",), (tree, tree), ("--link", tree, tree),
                          ("--unknown", tree), (tree, "--link")):
            said = self.apply(*arguments, refused=True)
            self.assertIn("expected one tree", said)
            self.assertIn("usage: apply.sh [--link | --relink] TREE", said)
        self.assertEqual(snapshot(tree), before)

    # -- what make qemu deletes ---------------------------------------------

    def make(self, folder):
        """Start building a source that has nothing to build: the status is an error's."""
        source = self.path("package")
        if not os.path.exists(source):
            os.makedirs(source + "/debian")
            write("qemu (1:9.9) unstable; urgency=low\n", source, "debian/changelog")
        done = subprocess.run(
            ["make", "-C", os.path.join(REPO, "qemu-device/overlay"), f"QEMU_SRC={source}", f"O={folder}"],
            check=False, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")})
        self.assertEqual(done.returncode, 2, done.stdout)
        return done.stdout

    def test_what_was_not_made_there_is_not_deleted(self):
        for name in ("source", "obj", "qemu-system-x86_64"):
            folder = self.path(f"with-{name}")
            os.makedirs(os.path.join(folder, name))
            write("mine\n", folder, name, "thesis")
            before = snapshot(folder)
            said = self.make(folder)
            self.assertIn(f"overlay: '{folder}/{name}' exists and was not created by make qemu", said)
            self.assertIn("move it away, or set O to another directory", said)
            self.assertEqual(snapshot(folder), before)
        os.makedirs(self.path("dangling"))
        os.symlink("nowhere", self.path("dangling/obj"))
        self.assertIn("exists and was not created", self.make(self.path("dangling")))
        self.assertTrue(os.path.islink(self.path("dangling/obj")))

    def test_a_build_that_was_interrupted_is_begun_anew(self):
        folder = self.path("build")
        # nothing there; interrupted by the source, which is no QEMU; then once more
        for _ in range(2):
            said = self.make(folder)
            self.assertIn("is not a QEMU source tree", said)
            self.assertEqual(set(os.listdir(folder)), {"begun", "source", "obj"})
            self.assertEqual(os.listdir(os.path.join(folder, "source")), ["debian"])
            write("half\n", folder, "source", "half")
        # one that was built, from another source
        os.rename(os.path.join(folder, "begun"), os.path.join(folder, "ready-0123456789abcdef"))
        write("", folder, "qemu-system-x86_64")
        write("mine\n", folder, "notes")
        self.assertIn("is not a QEMU source tree", self.make(folder))
        self.assertEqual(set(os.listdir(folder)), {"begun", "source", "obj", "notes"})
        self.assertEqual(os.listdir(os.path.join(folder, "source")), ["debian"])


if __name__ == "__main__":
    sys.exit(tap.main(Overlay))
