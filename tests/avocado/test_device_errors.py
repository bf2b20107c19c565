# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that what cannot be used as a log is refused before the guest starts,
with an error that names it, and that nothing already there is lost by it."""

import glob
import os
import pwd
import shutil
import subprocess

from ddebug_guest import (Log, child_dies_with_us, chosen_qemu, device_source, plugin, qemu_command,
                          qemu_environment)
from ddebug_logfile import crc32c
from ddebug_test import DdebugTest


class DeviceErrors(DdebugTest):
    timeout = 120

    def qemu(self, *options, plugin_file=None, user=None, timeout=20):
        """Start a QEMU that ends at once if it is not refused: (status, words)."""
        def prepare():
            child_dies_with_us()
            if user:
                os.setgroups([])
                os.setgid(user.pw_gid)
                os.setuid(user.pw_uid)

        done = subprocess.run(
            [*qemu_command(), "-S", "-monitor", "stdio", *device_source(plugin_file), *options],
            input=b"quit\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
            env=qemu_environment(), timeout=timeout, preexec_fn=prepare)
        words = done.stderr.decode(errors="replace")
        self.log.info("%s: exit status %d: %s", options, done.returncode, words.strip())
        return done.returncode, words

    def device(self, file, more="", **where):
        return self.qemu("-device", f"virtio-ddebug-pci,file={file}{more}", **where)

    def refused(self, file, *words, more="", **where):
        status, said = self.device(file, more, **where)
        self.assertEqual(status, 1, said)
        for word in (str(file), *words):
            self.assertIn(word, said)
        return said

    def good_log(self, name="good.log"):
        path = self.scratch(name)
        status, said = self.device(path, ",size=2M")
        self.assertEqual((status, said), (0, ""))
        return path

    def contents(self, path):
        with open(path, "rb") as file:
            return file.read()

    def test_a_good_file_is_made_preallocated_and_taken_again(self):
        """
        :avocado: tags=smoke
        """
        path = self.good_log()
        stat = os.stat(path)
        self.assertEqual(stat.st_mode & 0o7777, 0o600)
        self.assertLessEqual(stat.st_size, 2 << 20)
        self.assertGreater(stat.st_size, (2 << 20) - (256 << 10))
        self.assertGreaterEqual(stat.st_blocks * 512, stat.st_size)
        self.assertEqual(self.device(path), (0, ""))
        self.assertEqual(os.stat(path).st_size, stat.st_size)   # it keeps its size
        found = Log(path).read()
        self.assertEqual([name for name, _ in found.events], ["open", "close"] * 2)

    def objects_copy(self):
        """A folder with the stub, the object's path there, and its version as QEMU says it."""
        folder = self.scratch("objects")
        os.mkdir(folder)
        stub = shutil.copy(plugin(), folder)
        objects = glob.glob(os.path.join(os.path.dirname(plugin()), "virtio-ddebug-*.so"))
        self.assertEqual(len(objects), 1)
        version = subprocess.run([chosen_qemu()["binary"], "--version"], check=True, text=True,
                                 stdout=subprocess.PIPE).stdout.splitlines()[0].split(" version ")[1]
        return stub, shutil.copy(objects[0], folder), version

    def test_a_qemu_that_the_object_was_not_built_for_is_refused(self):
        """
        :avocado: tags=smoke
        """
        stub, built, version = self.objects_copy()
        log = self.scratch("log")
        self.assertEqual(self.device(log, plugin_file=stub), (0, ""))
        os.unlink(log)

        # an object of another version only, as after an update of QEMU
        other = built.replace("7.2.", "7.1.")
        self.assertNotEqual(other, built)
        os.rename(built, other)
        status, said = self.device(log, plugin_file=stub)
        self.assertNotEqual(status, 0)
        for words in ("not built for this QEMU", version, "7.1.", "make build", "make install"):
            self.assertIn(words, said)
        self.assertFalse(os.path.exists(log))

        # one that has the right name and says it is of another version
        data = self.contents(other)
        mark = version.encode() + b"\0"
        self.assertIn(mark, data)
        with open(built, "wb") as file:
            file.write(data.replace(mark, mark.replace(b"7.2.", b"7.1.")))
        status, said = self.device(log, plugin_file=stub)
        self.assertNotEqual(status, 0)
        for words in ("built for QEMU 7.1.", version, "make build"):
            self.assertIn(words, said)
        self.assertFalse(os.path.exists(log))

    def test_no_file_named(self):
        status, said = self.qemu("-device", "virtio-ddebug-pci")
        self.assertEqual(status, 1)
        self.assertIn("file=", said)

    def test_files_that_cannot_be_logs(self):
        """
        :avocado: tags=smoke
        """
        folder, link, fifo = (self.scratch(n) for n in ("folder", "link", "fifo"))
        hard, target = self.scratch("hard"), self.good_log("target.log")
        before = self.contents(target)
        os.mkdir(folder)
        os.symlink(target, link)
        os.mkfifo(fifo)
        os.link(target, hard)
        self.refused(folder, "directory")
        self.refused(link, "symbolic link")
        self.refused(fifo, "FIFO")
        self.refused(hard, "2 hard links")
        self.refused("/dev/null", "character device")
        self.refused(self.scratch("no/such/folder/log"), "no directory for it")
        self.assertEqual(self.contents(target), before)

    def test_files_of_another_format_are_not_touched(self):
        for name, data in (("text", b"my only copy of the thesis\n" * 9999), ("short", b"x"),
                           ("zeros", bytes(1 << 20))):
            path = self.scratch(name)
            with open(path, "wb") as file:
                file.write(data)
            self.refused(path, "not a virtio-ddebug log", "remove this one")
            self.assertEqual(self.contents(path), data)

    def test_a_log_of_a_newer_format_is_not_touched(self):
        path = self.good_log()
        data = bytearray(self.contents(path))
        for copy in (0, 4096):
            data[copy + 12] |= 1
            data[copy + 4092:copy + 4096] = crc32c(data[copy:copy + 4092]).to_bytes(4, "little")
        with open(path, "wb") as file:
            file.write(data)
        self.refused(path, "flags", "newer")
        self.assertEqual(self.contents(path), data)

    def test_a_log_in_use_is_refused(self):
        """
        :avocado: tags=smoke
        """
        guest = self.new_guest(props="size=2M")
        guest.launch()
        guest.connect_qmp()
        self.refused(guest.log_file, "in use", str(guest.process.pid))
        # a second device in the same VM, too
        status, said = self.qemu("-device", f"virtio-ddebug-pci,file={self.scratch('a')}",
                                 "-device", f"virtio-ddebug-pci,file={self.scratch('a')}")
        self.assertEqual(status, 1)
        self.assertIn("in use", said)
        guest.kill()
        self.assertEqual(self.device(guest.log_file)[0], 0)

    def test_sizes_out_of_range(self):
        path = self.scratch("log")
        for size, words in (("0", "at least 1M"), ("1", "smallest is 1M"), ("1023K", "smallest is 1M"),
                            ("1025G", "largest is 1T"), ("2T", "largest is 1T"), ("15E", "largest is 1T"),
                            ("big", "size")):
            status, said = self.device(path, f",size={size}")
            self.assertEqual(status, 1, said)
            self.assertIn(words, said)
            self.assertFalse(os.path.exists(path), size)
        good = self.good_log()
        before = self.contents(good)
        self.assertEqual(self.device(good, ",size=1K")[0], 1)
        self.assertEqual(self.contents(good), before)

    def test_no_space(self):
        path = self.scratch("log")
        usage = shutil.disk_usage(self.outputdir)
        if usage.free >= 1 << 40:
            self.cancel("the disk has more than the 1 TiB that a log may take")
        self.refused(path, "space", more=",size=1T", timeout=60)
        self.assertLess(shutil.disk_usage(self.outputdir).used - usage.used, 1 << 30)
        self.assertFalse(os.path.exists(path))

    def test_no_permission(self):
        """
        :avocado: tags=smoke
        """
        if os.getuid() == 0:
            user = pwd.getpwnam("nobody")
        else:
            user = None
        where = "/tmp" if user else self.outputdir
        folder = subprocess.run(["mktemp", "-d", f"{where}/ddebug.XXXXXX"], check=True,
                                stdout=subprocess.PIPE, text=True).stdout.strip()
        self.addCleanup(shutil.rmtree, folder)
        objects = os.path.join(folder, "object")
        shutil.copytree(os.path.dirname(plugin()), objects,
                        ignore=lambda top, names: [n for n in names if not n.endswith(".so")])
        mine = os.path.join(folder, "log")
        self.assertEqual(self.device(mine)[0], 0)
        before = self.contents(mine)
        os.chmod(mine, 0o400 if not user else 0o600)
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
        os.chmod(mine, 0o400 if not user else 0o600)
        stub = os.path.join(objects, os.path.basename(plugin()))
        self.refused(mine, "Permission denied", plugin_file=stub, user=user)
        self.refused(os.path.join(folder, "new") if user else "/new.log", "Permission denied",
                     plugin_file=stub, user=user)
        self.assertEqual(self.contents(mine), before)

    def test_a_log_cut_short_is_mended_and_keeps_what_is_left(self):
        guest = self.boot(props="size=4M", modules=("virtio_ddebug", "ddebug_test"))
        guest.control("module ddebug_test +r")
        guest.load("threads=2 count=4000")
        log = Log(guest.log_file)
        before = [m.number for m in log.settled().messages]
        self.assertEqual(len(before), 8000)
        guest.kill()
        size = os.stat(guest.log_file).st_size
        os.truncate(guest.log_file, 65536 + 300000)
        status, said = self.device(guest.log_file)
        self.assertEqual(status, 0, said)
        self.assertEqual(os.stat(guest.log_file).st_size, size)
        left = log.read()
        self.assertGreater(len(left.messages), 1000)
        self.assertEqual([m.number for m in left.messages], before[:len(left.messages)])
