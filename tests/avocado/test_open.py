# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that a log is opened without harm to a VM, and by the means that a managed QEMU has: a VM into
which the device is plugged is not held up by its disk; limits of the process are errors, not signals;
a file descriptor that is passed is a log like any other; and a QEMU that is confined (-sandbox,
-runas, -chroot, or -run-with) goes on serving its log.

There is no guest: the drivers are Python (ddebug/qtest.py).
"""

import contextlib
import os
import pwd
import resource
import subprocess

from qemu.qmp import ExecuteError

from ddebug.case import DEVICE
from ddebug.disk import FailingDisk
from ddebug.guest import PATIENCE, Log, device_source, qemu_command, qemu_environment
from ddebug.hostile import MIB, Hostile, hdr
from ddebug.qtest import (FEATURES, F_SHM, REQ_ATTACH, S_IOERR, S_OK, Driver, Machine, Stream)

# As libvirt starts it.
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


class Plugged(Machine):
    """A QEMU that has started without the device; on its bus devices are there as soon as they are
    plugged in."""

    def command_line(self):
        line = super().command_line()
        at = line.index(self.device_option())
        return line[:at - 1] + line[at + 1:] + ["-machine", "pc"]

    def find_device(self):
        if self.is_plugged():
            super().find_device()

    def is_plugged(self):
        return "ddebug0" in {entry["name"] for entry in self.command("qom-list", path="/machine/peripheral")}

    def plug_in(self, file=None, **props):
        """Plug the device in: the words of the error, or None."""
        self.log_file = file or self.log_file
        try:
            self.command("device_add", driver="virtio-ddebug-pci", id="ddebug0", file=self.log_file, **props)
        except ExecuteError as error:
            return str(error)
        self.find_device()
        return None

    def unplug(self):
        """Unplug the device, as a guest with ACPI does."""
        self.command("device_del", id="ddebug0")
        self.put_port(0xae10, 0)
        self.put_port(0xae08, 1 << self.slot)
        self.flush()

    def put_port(self, port, value):
        self.post(f"outl {port:#x} {value:#x}")


class Opening(Hostile):
    """What the tests have in common."""

    def plugged(self, **options):
        machine = Plugged(self.outputdir, name=f"machine{len(self.guests)}", life=self.timeout - 5, **options)
        self.guests.append(machine)
        machine.start()
        machine.good, machine.texts = set(), []
        return machine

    def must_plug(self, machine, file=None, **props):
        self.assertIsNone(machine.plug_in(file, **props))

    def refused(self, machine, *words, file=None, **props):
        said = machine.plug_in(file, **props)
        self.assertIsNotNone(said)
        self.log.info("%s", said)
        for word in words:
            self.assertIn(word, said)
        self.assertFalse(machine.is_plugged())
        self.answers(machine)

    def answers(self, machine):
        """The VM runs, and can be stopped."""
        self.assertTrue(machine.command("query-status")["running"])
        machine.command("stop")
        machine.command("cont")

    def opened(self, machine):
        self.until("the log is open", lambda: machine.counter("file-status") == "open")

    def served(self, machine, path=None):
        """A driver's messages come, and the tool's requests are carried out."""
        log = Log(path or machine.log_file)
        self.good(machine)
        log.tool("--size=8M")
        self.assertGreater(os.stat(log.path).st_size, 7 * MIB)
        self.assertEqual(machine.counter("log-size"), os.stat(log.path).st_size)
        self.good(machine)
        log.tool("--clear")
        self.assertEqual(log.read().messages, [])
        machine.texts, machine.good = [], set()
        self.good(machine)


class HangingDisk(FailingDisk, Opening):
    """The device is plugged into a VM while the disk hangs, or fails."""

    def old_log(self, path):
        """A log with messages, of a QEMU that has ended."""
        machine = self.machine("size=2M,ioeventfd=off", log=path)
        self.good(machine)
        machine.command("quit")
        self.assertEqual(machine.wait(), 0)
        return machine

    def test_a_log_that_is_there(self):
        path = os.path.join(self.failing_disk(), "vm.ddl")
        before = self.old_log(path)
        machine = self.plugged()
        machine.good, machine.texts = before.good, before.texts
        self.fault("block")
        self.must_plug(machine, path, size=8 * MIB)
        self.assertEqual(machine.counter("file-status"), "opening")
        self.answers(machine)
        # what a driver asks for meanwhile is answered when the log is open
        driver = Driver(machine)
        attachment = driver.attachment()
        answer = driver.send(hdr(REQ_ATTACH, len(attachment)) + attachment)
        self.answers(machine)
        self.assertEqual(driver.control.returned(), [])
        self.assertEqual(machine.counter("file-status"), "opening")
        self.fault("ok")
        driver.control.wait_returned()
        self.assertEqual(driver.answer(answer)[0], S_OK)
        self.assertEqual(machine.counter("file-status"), "open")
        self.assertGreater(machine.counter("log-size"), 7 * MIB)
        self.good(machine)
        self.ends(machine)

    def test_a_new_log(self):
        path = os.path.join(self.failing_disk(), "vm.ddl")
        machine = self.plugged()
        self.fault("block")
        self.refused(machine, path, "did not respond", "try again later", file=path)
        self.fault("ok")
        # what was opened too late is gone again
        self.until("the file can be had", lambda: not os.path.exists(path))
        self.must_plug(machine, size=2 * MIB)
        self.opened(machine)
        self.good(machine)
        self.ends_clean(machine)

    def test_unplugged_and_ended_while_it_hangs(self):
        path = os.path.join(self.failing_disk(), "vm.ddl")
        self.old_log(path)
        for end in (True, False):
            machine = self.plugged()
            self.fault("block")
            self.must_plug(machine, path)
            if end:
                machine.command("quit")
            else:
                machine.unplug()
                self.until("it is gone", lambda m=machine: not m.is_plugged())
                self.answers(machine)
            self.fault("ok")
            if not end:
                self.until("the log is free", lambda: Log(path).read().events[-1][0] == "close")
                machine.command("quit")
            self.assertEqual(machine.wait(), 0)

    def test_a_disk_that_fails_later(self):
        path = os.path.join(self.failing_disk(), "vm.ddl")
        before = self.old_log(path)
        machine = self.plugged()
        machine.good, machine.texts = before.good, before.texts
        self.fault("enospc")
        self.must_plug(machine, path, **{"guest-size-max": 8 * MIB})
        self.until("it has failed", lambda: machine.counter("file-status").startswith("failed: "))
        self.assertIn("No space left on device", machine.counter("file-status"))
        self.until("it was said", lambda: "device_del" in machine.qemu_output())
        self.answers(machine)
        # a driver is told, as is whoever wants another size
        self.assertEqual(Driver(machine).attach()[0], S_IOERR)
        machine.command("qom-set", path=DEVICE, property="log-size", value=4 * MIB)
        self.until("that is refused", lambda: machine.counter("resize-status").startswith("failed: "))
        self.fault("ok")
        machine.unplug()
        self.until("it is gone", lambda: not machine.is_plugged())
        self.must_plug(machine)
        self.opened(machine)
        self.good(machine)
        self.ends(machine)


class Limits(Opening):
    """Limits of the process."""

    def limit(self, machine, size):
        _, most = resource.prlimit(machine.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(machine.process.pid, resource.RLIMIT_FSIZE, (size, most))

    def test_size_of_files_when_plugged_in(self):
        machine = self.plugged()
        path = machine.log_file
        self.limit(machine, 20 * MIB)
        self.refused(machine, path, "20971520 bytes (RLIMIT_FSIZE)", "ulimit -f", size=64 * MIB)
        self.assertFalse(os.path.exists(path))
        self.must_plug(machine, size=8 * MIB)
        self.opened(machine)
        self.good(machine)
        # nor may it grow beyond it, whoever wants that
        machine.command("qom-set", path=DEVICE, property="log-size", value=64 * MIB)
        self.until("it is refused", lambda: machine.counter("resize-status").startswith("failed: "))
        self.assertIn("RLIMIT_FSIZE", machine.counter("resize-status"))
        done = Log(path).tool("--size=64M", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"RLIMIT_FSIZE", done.stderr)
        # one that is lowered while it logs costs messages, and these are counted
        self.limit(machine, MIB // 2)
        driver = self.attached(machine)
        stream = Stream(driver).post()
        while not machine.counter("io-lost"):
            stream.say(b"this has no room".ljust(900))
            stream.wait_consumed()
        self.assertIn("File too large", machine.qemu_output())
        self.answers(machine)
        self.limit(machine, 20 * MIB)
        driver = self.attached(machine)
        self.says(self.good_stream(driver))
        self.assertEqual(driver.dictionary(), S_OK)
        machine.command("quit")
        self.assertEqual(machine.wait(), 0, machine.qemu_output())

    def test_size_of_files_at_start(self):
        path = self.scratch("vm.ddl")
        for made in (False, True):
            if made:
                # a log that was made without the limit
                machine = self.machine("size=64M", log=path)
                machine.command("quit")
                self.assertEqual(machine.wait(), 0)
            done = subprocess.run(
                [*qemu_command(), "-S", "-monitor", "stdio", *device_source(), "-device",
                 f"virtio-ddebug-pci,file={path}" + ("" if made else ",size=64M")],
                input=b"quit\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                env=qemu_environment(), timeout=PATIENCE,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20 * MIB, 20 * MIB)))
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(b"RLIMIT_FSIZE", done.stderr)
            self.assertEqual(os.path.exists(path), made)

    def test_number_of_descriptors(self):
        machine = self.plugged()
        used = max(int(name) for name in os.listdir(f"/proc/{machine.process.pid}/fd"))
        _, most = resource.prlimit(machine.process.pid, resource.RLIMIT_NOFILE)
        for more in range(3):
            resource.prlimit(machine.process.pid, resource.RLIMIT_NOFILE, (used + 1 + more, most))
            said = machine.plug_in(size=2 * MIB)
            if said is None:
                break
            self.log.info("%s", said)
            self.assertIn("Too many open files", said)
            self.answers(machine)
        resource.prlimit(machine.process.pid, resource.RLIMIT_NOFILE, (most, most))
        if said is not None:
            self.must_plug(machine, size=2 * MIB)
        self.opened(machine)
        self.served(machine)
        machine.command("quit")
        self.assertEqual(machine.wait(), 0)


class Passing(Opening):
    """Machines to which file descriptors are passed."""

    @contextlib.contextmanager
    def passing(self, path, *sets):
        """What a machine needs to which descriptors of this file are passed, one for each set."""
        files = [os.open(path, os.O_RDWR | os.O_CREAT, 0o600) for _ in sets]
        options = [word for fd, number in zip(files, sets) for word in ("-add-fd", f"fd={fd},set={number}")]
        try:
            yield options, files
        finally:
            for fd in files:
                os.close(fd)

    def started(self, machine_class, passed, *options, **more):
        machine = machine_class(self.outputdir, name=f"machine{len(self.guests)}", life=self.timeout - 5,
                                args=[*passed[0], *options], fds=passed[1], **more)
        self.guests.append(machine)
        machine.start()
        machine.good, machine.texts = set(), []
        return machine


class Passed(Passing):
    """Logs whose file descriptor was passed to QEMU."""

    def test_at_start(self):
        path = self.scratch("vm.ddl")
        with self.passing(path, 3) as passed:
            machine = self.started(Machine, passed, log="/dev/fdset/3", props="size=2M,ioeventfd=off")
        machine.log_file = path
        self.served(machine)
        # it is locked for others, by name and by set
        with self.passing(path, 1) as passed:
            other = self.started(Plugged, passed)
        self.refused(other, path, "in use", str(machine.process.pid), file=path)
        self.refused(other, "/dev/fdset/1", "in use", str(machine.process.pid), file="/dev/fdset/1")
        self.refused(other, "/dev/fdset/2", "pass a file descriptor", file="/dev/fdset/2")
        # and free when the first has ended, however that was
        machine.kill()
        self.must_plug(other, "/dev/fdset/1")
        self.opened(other)
        other.log_file = path
        self.assertEqual(self.attached(other).attach(), (2, 0))     # INVAL: attached already
        other.command("quit")
        self.assertEqual(other.wait(), 0)

    def until_said(self, machine, words):
        """Wait until QEMU has said that about its log, which it looks at when there is something to do."""
        def said():
            machine.command("qom-set", path=DEVICE, property="rate-limit", value=0)
            return words in machine.qemu_output()

        self.until(f"it is said: {words}", said)

    def test_removed_and_passed_again(self):
        path, other = self.scratch("vm.ddl"), self.scratch("other.ddl")
        with self.passing(path, 1) as passed:
            machine = self.started(Plugged, passed)
        self.must_plug(machine, "/dev/fdset/1", size=2 * MIB)
        self.opened(machine)
        machine.log_file = path
        self.good(machine)
        os.unlink(path)
        self.until_said(machine, "'/dev/fdset/1' was removed")
        old = [entry["fd"] for entry in machine.command("query-fdsets")[0]["fds"]]
        fd = os.open(other, os.O_RDWR | os.O_CREAT, 0o600)
        machine.qmp.send_fd_scm(fd)
        machine.command("add-fd", **{"fdset-id": 1})
        os.close(fd)
        for one in old:
            machine.command("remove-fd", **{"fdset-id": 1, "fd": one})
        self.until_said(machine, "a new log was created")
        machine.log_file = other
        machine.texts, machine.good = [], set()
        self.served(machine)
        self.ends_clean(machine)


class Confined(Passing):
    """A QEMU that gives up its rights when it has started."""

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.cancel("takes root")

    def test_sandbox(self):
        path = self.scratch("vm.ddl")
        with self.passing(path, 1) as passed:
            machine = self.started(Plugged, passed, "-sandbox", SANDBOX)
        self.must_plug(machine, "/dev/fdset/1", size=2 * MIB)
        self.opened(machine)
        machine.log_file = path
        self.served(machine)
        self.ends_clean(machine)
        self.assertEqual(machine.qemu_output(), "")

    def without_rights(self):
        """The options for the user nobody and a root directory where that one may create files; and
        the directory."""
        root = self.scratch("root")
        os.mkdir(root)
        nobody = pwd.getpwnam("nobody")
        os.chown(root, nobody.pw_uid, nobody.pw_gid)
        options = subprocess.run([qemu_command()[0], "--help"], check=True, text=True,
                                 stdout=subprocess.PIPE, env=qemu_environment()).stdout
        if "\n-runas " in options:
            return ["-runas", "nobody", "-chroot", root], root
        return ["-run-with", f"user=nobody,chroot={root}"], root

    def test_another_user_and_root(self):
        """The log was opened before."""
        path = self.scratch("vm.ddl")
        options, root = self.without_rights()
        machine = self.machine("size=2M,ioeventfd=off", log=path, args=options)
        proc = f"/proc/{machine.process.pid}"
        self.assertEqual(os.stat(f"{proc}/root").st_ino, os.stat(root).st_ino)
        with open(f"{proc}/status", encoding="ascii") as file:
            self.assertIn(f"\nUid:\t{pwd.getpwnam('nobody').pw_uid}\t", file.read())
        self.assertEqual(os.stat(path).st_uid, 0)
        self.served(machine)
        self.ends_clean(machine)
        self.assertEqual(machine.qemu_output(), "")

    def test_plugged_in_as_another_user(self):
        """By a path below its root; and passed, where it may not open the file and has no /proc."""
        path = self.scratch("vm.ddl")
        options, root = self.without_rights()
        with self.passing(path, 1) as passed:
            machine = self.started(Plugged, passed, *options)
        self.refused(machine, path, "does not exist", file=path)
        self.must_plug(machine, "/new.ddl", size=2 * MIB)
        self.opened(machine)
        machine.log_file = os.path.join(root, "new.ddl")
        self.assertEqual(os.stat(machine.log_file).st_uid, pwd.getpwnam("nobody").pw_uid)
        self.served(machine)
        machine.unplug()
        self.until("it is gone", lambda: not machine.is_plugged())
        self.must_plug(machine, "/dev/fdset/1", size=2 * MIB)
        self.opened(machine)
        machine.log_file = path
        machine.texts, machine.good = [], set()
        self.served(machine)
        # the descriptors are those of the set, so the device of this VM that comes next is told
        with self.assertRaises(ExecuteError) as refusal:
            machine.command("device_add", driver="virtio-ddebug-pci", id="second", file="/dev/fdset/1")
        self.assertIn("in use", str(refusal.exception))
        self.ends_clean(machine)


class SharedRings(Opening):
    """A log with shared rings is plugged in."""

    def test_what_is_left_there_is_moved_before_a_driver_comes(self):
        path = self.scratch("vm.ddl")
        machine = self.machine("size=4M,shm=on,shm-size=1M,ioeventfd=off", log=path)
        self.good(machine, shm=65536)
        machine.kill()
        other = self.plugged()
        other.good, other.texts = machine.good, machine.texts
        self.must_plug(other, path, shm=True, ioeventfd=False)
        self.opened(other)
        driver = self.attached(other, FEATURES | 1 << F_SHM)
        self.assertEqual(other.peek(other.shm, 1 << 20), bytes(1 << 20))
        del driver
        self.good(other, shm=0)
        other.unplug()
        self.until("it is gone", lambda: not other.is_plugged())
        self.must_plug(other, path, shm=True, ioeventfd=False)
        self.opened(other)
        self.good(other, shm=0)
        self.ends(other)
