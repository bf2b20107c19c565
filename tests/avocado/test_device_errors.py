# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that an unusable log is refused before the guest starts, with an error that names it, and
that existing data is not lost."""

import ctypes
import os
import re
import shutil
import subprocess
import tempfile

from ddebug.case import DdebugTest
from ddebug.guest import (PATIENCE, Log, child_dies_with_us, chosen_qemu, config, device_source, loadable,
                          one_thread, plugin, qemu_command, qemu_environment)
from ddebug.logfile import crc32c


# from linux/capability.h and linux/prctl.h
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
PR_CAPBSET_DROP = 24


def drop_capabilities(*capabilities):
    """Drop these capabilities from what this process execs."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in capabilities:
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "cannot drop a capability")


class DeviceErrors(DdebugTest):
    timeout = 300

    def qemu(self, *options, plugin_file=None, modes_hold=False, accel=None, timeout=PATIENCE):
        """Start a QEMU that exits at once if it is not refused: (status, output).

        modes_hold  file modes apply to root as well
        """
        def prepare():
            child_dies_with_us()
            if modes_hold and os.geteuid() == 0:
                drop_capabilities(CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH)

        done = subprocess.run(
            [*qemu_command(accel), "-S", "-monitor", "stdio", *device_source(plugin_file), *options],
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
        self.assertEqual([name for name, _ in found.events],
                         ["open", "machine-reset", "shutdown", "close"] * 2)

    def objects_copy(self):
        """A folder with the loader and this QEMU's object, and QEMU's version as it prints it.

        A QEMU with the device built in has no object: Debian's, which is made from the same source,
        takes its name.
        """
        def version(qemu):
            said = subprocess.run([qemu["binary"], "--version"], check=True, text=True,
                                  stdout=subprocess.PIPE, env=qemu_environment()).stdout
            return said.splitlines()[0].split(" version ")[1]

        def object_name(qemu):
            return "virtio-ddebug-" + re.sub(r"[^A-Za-z0-9.+~-]", "_", version(qemu)) + ".so"

        this = chosen_qemu()
        origin = this if plugin() else config()["qemus"]["loadable-7.2"]
        folder = self.scratch("objects")
        os.mkdir(folder)
        stub = shutil.copy(loadable(), folder)
        built = shutil.copy(os.path.join(os.path.dirname(loadable()), object_name(origin)),
                            os.path.join(folder, object_name(this)))
        return stub, built, version(this)

    def plugin_refused(self, stub, *words):
        log = self.scratch("log")
        status, said = self.device(log, plugin_file=stub)
        self.assertEqual(status, 1, said)
        for word in words:
            self.assertIn(word, said)
        self.assertFalse(os.path.exists(log))
        return said

    def plugin_refused_by_a_qemu_with_the_device(self, stub):
        said = self.plugin_refused(stub, os.path.realpath(chosen_qemu()["binary"]), "built without modules",
                                   "omit -plugin if the device is built in", "--enable-modules")
        self.assertNotIn("is not a system emulator", said)
        self.assertNotIn("not built for this QEMU", said)
        # the remedy
        log = self.scratch("log")
        self.assertEqual(self.device(log), (0, ""))
        os.unlink(log)

    def test_a_qemu_that_the_object_was_not_built_for_is_refused(self):
        """
        :avocado: tags=smoke
        """
        stub, built, version = self.objects_copy()
        if not plugin():
            os.unlink(built)
            self.plugin_refused_by_a_qemu_with_the_device(stub)
            return
        log = self.scratch("log")
        self.assertEqual(self.device(log, plugin_file=stub), (0, ""))
        os.unlink(log)

        # only objects of other versions, as after an update of QEMU
        number = version.split(" ")[0]
        others = [built.replace(number, other) for other in ("7.1.9", "9.9.9")]
        shutil.copy(built, others[0])
        os.rename(built, others[1])
        command = f"QEMU_SRC=<unpacked source of QEMU {version}> " \
                  f"QEMU_BINARY={os.path.realpath(chosen_qemu()['binary'])} O={os.path.dirname(stub)}"
        self.plugin_refused(stub, "not built for this QEMU", version, built,
                            *map(os.path.basename, others), "make build", command)

        # none at all
        os.unlink(others[1])
        other = shutil.move(others[0], self.scratch("other"))
        self.plugin_refused(stub, "not built for this QEMU", "Found:         none", command)

        # one with the right name that says it is of another version
        data = self.contents(other)
        mark = version.encode() + b"\0"
        self.assertIn(mark, data)
        with open(built, "wb") as file:
            file.write(data.replace(mark, b"0" + mark[1:]))
        self.plugin_refused(stub, "built for QEMU 0", version, "rebuild the object", command)

        # and files that are no such object
        with open(built, "wb") as file:
            file.write(b"not an object")
        self.plugin_refused(stub, "cannot load the object", built, "rebuild the object", command)
        shutil.copy(stub, built)
        self.plugin_refused(stub, "not an object of virtio-ddebug", "rebuild the object", command)

    def test_an_object_built_from_other_structures_is_refused(self):
        stub, built, _ = self.objects_copy()
        if not plugin():
            # not even opened, which would print an error of the dynamic linker
            self.plugin_refused_by_a_qemu_with_the_device(stub)
            self.plugin_refused(built, "undefined symbol")
            return
        data = self.contents(built)
        moved = "as in the object, which was built from different sources"
        # The object has the names of what it compares with this QEMU.  Given the name of another
        # field or type in their place, it finds what it would in a QEMU of other structures.
        for name, other, words in (("acpi-index", "addr", moved), ("use-started", "event_idx", moved),
                                   ("acpi-index", "no-such", moved),
                                   ("pci-device", "virtio-bus", "in this QEMU, but"),
                                   ("virtio-pci-bus", "no-such", "this QEMU has no type")):
            mark = name.encode() + b"\0"
            self.assertEqual(data.count(mark), 1)
            with open(built, "wb") as file:
                file.write(data.replace(mark, other.encode().ljust(len(mark), b"\0")))
            self.plugin_refused(stub, words, f"'{other}'", "rebuild the object")

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
            data[copy + 12] |= 0x80
            data[copy + 4092:copy + 4096] = crc32c(data[copy:copy + 4092]).to_bytes(4, "little")
        with open(path, "wb") as file:
            file.write(data)
        self.refused(path, "features", "incompat 0x80", "newer")
        self.assertEqual(self.contents(path), data)

    def test_a_log_in_use_is_refused(self):
        """
        :avocado: tags=smoke
        """
        guest = self.new_guest(props="size=2M")
        guest.launch()
        guest.connect_qmp()
        self.refused(guest.log_file, "in use", str(guest.process.pid))
        # a second device in the same VM, as well
        status, said = self.qemu("-device", f"virtio-ddebug-pci,file={self.scratch('a')}",
                                 "-device", f"virtio-ddebug-pci,file={self.scratch('a')}")
        self.assertEqual(status, 1)
        self.assertIn("in use", said)
        guest.kill()
        self.assertEqual(self.device(guest.log_file)[0], 0)

    def test_sizes_out_of_range(self):
        path = self.scratch("log")
        for size, words in (("0", "at least 1M"), ("1", "minimum is 1M"), ("1023K", "minimum is 1M"),
                            ("1025G", "maximum is 1T"), ("2T", "maximum is 1T"), ("15E", "maximum is 1T"),
                            ("big", "size")):
            status, said = self.device(path, f",size={size}")
            self.assertEqual(status, 1, said)
            self.assertIn(words, said)
            self.assertFalse(os.path.exists(path), size)
        good = self.good_log()
        before = self.contents(good)
        self.assertEqual(self.device(good, ",size=1K")[0], 1)
        self.assertEqual(self.contents(good), before)

    def test_machines_that_it_does_not_work_in(self):
        """
        :avocado: tags=smoke
        """
        log = self.scratch("log")
        pci = f"virtio-ddebug-pci,file={log}"
        cases = [
            (("-device", f"{pci},iommu_platform=on"), ("iommu_platform=on", "unmapped", "remove it")),
            # no memory is encrypted without KVM, but the machine says that it is
            (("-object", "sev-guest,id=sev,cbitpos=47,reduced-phys-bits=1",
              "-machine", "confidential-guest-support=sev", "-device", pci),
             ("confidential guest", "remove the device")),
            (("-device", f"{pci},disable-modern=on"), ("no legacy interface", "remove disable-modern=on")),
            (("-machine", "microvm", "-device", f"virtio-ddebug-device,file={log}"),
             ("virtio-mmio-bus", "virtio-ddebug-pci")),
            (("-device", f"{pci},in_order=on"), ("in_order",)),
            (("-icount", f"shift=3,rr=record,rrfile={self.scratch('rr')}", "-device", pci),
             ("recorded or replayed", "rr")),
            (("-only-migratable", "-device", pci), ("not migratable", "only-migratable")),
        ]
        for options, words in cases:
            status, said = self.qemu(*options, accel=one_thread())
            self.assertEqual(status, 1, said)
            for word in words:
                self.assertIn(word, said)
            self.assertFalse(os.path.exists(log), options)
        # on PCI, in the same machine
        self.assertEqual(self.qemu("-machine", "microvm,pcie=on", "-device", pci), (0, ""))

    def test_a_guest_that_may_have_less_than_there_is(self):
        """The log is left as it was."""
        good = self.good_log()
        before = self.contents(good)
        words = ("guest-size-max=3145728 is below the log's size, 8388608", "set a smaller size")
        for path in (good, self.scratch("new")):
            status, said = self.device(path, ",size=8M,guest-size-max=3M")
            self.assertEqual(status, 1)
            for word in words:
                self.assertIn(word, said)
        self.assertEqual(self.contents(good), before)
        self.assertFalse(os.path.exists(self.scratch("new")))

    def test_shared_rings_that_cannot_be(self):
        good = self.good_log()
        before = self.contents(good)
        self.refused(good, "shared rings", "remove this one", more=",shm=on")
        self.assertEqual(self.contents(good), before)
        new = self.scratch("new.log")
        for more, words in ((",shm-size=1M", ("shm-size", "shm=on")),
                            (",shm=on,shm-size=3M", ("shm-size=3145728", "power of two")),
                            (",shm=on,shm-size=512K", ("shm-size=524288", "1M to 1G")),
                            (",shm=on,shm-size=2G", ("shm-size=2147483648", "1M to 1G")),
                            (",shm=on,shm-size=4M,size=4M", ("4194304 bytes are too few", "shared rings")),
                            (",shm=on,modern-pio-notify=on", ("modern-pio-notify",))):
            status, said = self.device(new, more)
            self.assertEqual(status, 1, said)
            for word in words:
                self.assertIn(word, said)
            self.assertFalse(os.path.exists(new), more)
        self.assertEqual(self.device(new, ",shm=on,shm-size=2M,size=8M"), (0, ""))
        self.assertEqual(os.stat(new).st_size <= 8 << 20, True)
        before = self.contents(new)
        self.refused(new, "2097152 bytes for shared rings", more=",shm=on,shm-size=4M")
        self.assertEqual(self.contents(new), before)
        # as it is, with and without it; as a device of a port as well
        self.assertEqual(self.device(new, ",shm=on"), (0, ""))
        self.assertEqual(self.device(new), (0, ""))
        self.assertEqual(self.qemu("-device", "pcie-root-port,id=port1", "-device",
                                   f"virtio-ddebug-pci,bus=port1,file={new},shm=on"), (0, ""))

    def test_no_space(self):
        # where the disk has room for more than the 1 TiB of a log, memory has not
        with tempfile.TemporaryDirectory(dir="/dev/shm") as shm:
            folders = [folder for folder in (self.outputdir, shm)
                       if shutil.disk_usage(folder).free < 1 << 40]
            self.assertTrue(folders)
            for folder in folders:
                used = shutil.disk_usage(folder).used
                path = os.path.join(folder, "log")
                self.refused(path, "space", more=",size=1T")
                self.assertLess(shutil.disk_usage(folder).used - used, 1 << 30)
                self.assertFalse(os.path.exists(path))

    def test_no_permission(self):
        """
        :avocado: tags=smoke
        """
        mine, folder = self.good_log(), self.scratch("folder")
        before = self.contents(mine)
        os.chmod(mine, 0o400)
        os.mkdir(folder, 0o500)
        self.refused(mine, "Permission denied", modes_hold=True)
        self.refused(os.path.join(folder, "new"), "Permission denied", modes_hold=True)
        self.assertEqual(self.contents(mine), before)
        self.assertEqual(os.listdir(folder), [])

    def test_a_log_cut_short_is_mended_and_keeps_what_is_left(self):
        guest = self.boot(props="size=4M", modules=("virtio_ddebug", "ddebug_test"))
        guest.control("module ddebug_test +r")
        log = Log(guest.log_file)
        for _ in range(4):
            # no more than a ring holds, however late the host polls
            guest.load("threads=2 count=1000")
            log.wait_quiet()
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
