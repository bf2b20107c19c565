#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that operators need no file names: domains of a real libvirt get the device, are started,
read, resized, die, are read again and lose the device, at the system's URI, and at the session's by
an unprivileged user.

The daemons are started and stopped here, in namespaces of their own, which hide the folders,
processes and network of the machine's libvirt.  Guests run under TCG.  Output is TAP.

test_libvirt.py [TEST...]
"""

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(REPO, "build")

sys.path.insert(0, os.path.join(REPO, "tests", "tools"))
import tap      # noqa: E402

INSIDE = "DDEBUG_LIBVIRT_NAMESPACE"
UNSHARE = ("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc")

# All of these are on file systems in memory, which end with the namespace.
TOP = "/run/ddebug"
TOOL = TOP + "/bin/ddebug-host"
PLUGIN = TOP + "/lib/virtio-ddebug/virtio-ddebug.so"
KERNEL = TOP + "/guest/vmlinuz"
INITRD = TOP + "/guest/initrd.img"
AGENTS = TOP + "/agents"
LOGS = "/var/log/libvirt/ddebug"
LIBRARY = "/usr/lib/x86_64-linux-gnu/libvirt.so.0"
SYSCONF = "/etc" if os.path.isdir("/etc/apparmor.d") else TOP + "/etc"
RULES = SYSCONF + "/apparmor.d/abstractions/virtio-ddebug"
TEMPLATE = "/etc/apparmor.d/libvirt/TEMPLATE.qemu"
APPARMOR = "/sys/module/apparmor/parameters/enabled"

# Debian's packages create it, with this number.
QEMU_USER = 64055
NOBODY = 65534

SYSTEM = "qemu:///system"
SESSION = "qemu:///session"
QEMU = "/usr/bin/qemu-system-x86_64"
OVERLAY = os.path.join(BUILD, "qemu", "qemu-system-x86_64")

COUNT = 500
PATIENCE = 120


def config():
    with open(os.path.join(BUILD, "config.json"), encoding="utf-8") as file:
        return json.load(file)


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def must(*command, **options):
    """The output of a command that must succeed."""
    done = subprocess.run(command, check=False, text=True, errors="replace", stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if done.returncode:
        raise AssertionError(f"{command}: exit status {done.returncode}: {done.stdout}")
    return done.stdout


def wait_until(what, condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"in {seconds} s not: {what}")
        time.sleep(0.1)


# -- the namespaces ----------------------------------------------------------

def why_not():
    """Why these tests cannot be run, or None."""
    if os.geteuid() != 0:
        return "only root can give libvirt folders of its own"
    for program in ("libvirtd", "virsh", "unshare", "setpriv"):
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            return f"there is no {program}"
    probe = subprocess.run([*UNSHARE, "true"], check=False, text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT)
    return f"no namespaces can be made: {probe.stdout.strip()}" if probe.returncode else None


def add_user(path, line):
    """The file of users or groups with QEMU's added, only in this namespace."""
    text = read(path)
    if not re.search("^libvirt-qemu:", text, re.M):
        copy = os.path.join("/run", os.path.basename(path))
        write(copy, text + line + "\n")
        must("mount", "--bind", copy, path)


def furnish():
    """Set up empty folders for libvirt, its configuration, the installed tool, and the guest's kernel."""
    for folder in ("/etc/libvirt", "/var/lib", "/var/log", "/var/cache", "/run"):
        must("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    add_user("/etc/passwd", f"libvirt-qemu:x:{QEMU_USER}:{QEMU_USER}::/var/lib/libvirt:/usr/sbin/nologin")
    add_user("/etc/group", f"libvirt-qemu:x:{QEMU_USER}:")
    os.makedirs("/var/log/libvirt")
    if SYSCONF == "/etc":
        # rules are added to a copy
        shutil.copytree("/etc/apparmor.d", "/run/apparmor.d", symlinks=True)
        must("mount", "--bind", "/run/apparmor.d", "/etc/apparmor.d")
    # no daemons for consoles or locks, and none of the machine's cgroups
    write("/etc/libvirt/qemu.conf", 'stdio_handler = "file"\ncgroup_controllers = [ ]\nremember_owner = 0\n')
    write("/etc/libvirt/libvirtd.conf", 'auth_unix_ro = "none"\nauth_unix_rw = "none"\n'
                                        'unix_sock_rw_perms = "0700"\n')
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DESTDIR", "PREFIX")}
    must("make", "--no-print-directory", "-C", REPO, "install", f"PREFIX={TOP}", f"SYSCONFDIR={SYSCONF}",
         env=environment)
    os.makedirs(os.path.dirname(KERNEL))
    shutil.copy(config()["kernels"]["6.1"]["image"], KERNEL)
    shutil.copy(os.path.join(BUILD, "guest", "6.1", "initrd.img"), INITRD)
    os.makedirs(AGENTS)
    os.chmod(AGENTS, 0o1777)


class Daemon:
    """A libvirtd, of the system or of an unprivileged user, and its clients."""

    def __init__(self, uri, home=None):
        self.uri = uri
        self.process = None
        self.prefix = []
        self.environment = {**os.environ, "LC_ALL": "C.UTF-8", "LIBVIRT_DEFAULT_URI": uri,
                            "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
            self.environment.pop(name, None)
        if home:
            for folder in (home, home + "/run"):
                os.makedirs(folder, mode=0o700)
                os.chown(folder, NOBODY, NOBODY)
            self.environment.update(HOME=home, XDG_RUNTIME_DIR=home + "/run")
            self.prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]

    def start(self):
        arguments = ["--config", "/etc/libvirt/libvirtd.conf"] if self.uri == SYSTEM else []
        with open(f"{TOP}/libvirtd.{time.monotonic()}.log", "wb") as log:
            self.process = subprocess.Popen([*self.prefix, "libvirtd", *arguments], env=self.environment,
                                            cwd="/", stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT)
        wait_until("libvirt answers", lambda: self.run("virsh", "uri")[0] == 0)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def run(self, *command, **options):
        """Run a command: (exit status, both outputs as one text)."""
        options.setdefault("cwd", "/")
        options.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run([*self.prefix, *command], check=False, text=True, errors="replace",
                              timeout=PATIENCE, env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, **options)
        return done.returncode, done.stdout

    def must(self, *command, **options):
        status, output = self.run(*command, **options)
        if status:
            raise AssertionError(f"{command}: exit status {status}: {output}")
        return output

    def virsh(self, *arguments):
        return self.must("virsh", "-q", *arguments)

    def xml(self, name):
        return self.virsh("dumpxml", "--inactive", "--security-info", name)

    def state(self, name):
        return self.virsh("domstate", name).strip()


# -- a guest -----------------------------------------------------------------

class Guest:
    """A domain, and the agent in it (tests/guest/agent.c)."""

    def __init__(self, daemon, name, machine="q35"):
        self.daemon, self.name = daemon, name
        self.socket = f"{AGENTS}/{abs(hash((daemon.uri, name))):x}"
        self.buffer = b""
        self.agent = None
        path = f"{self.socket}.xml"
        write(path, f"""
            <domain type='qemu'>
              <name>{name}</name>
              <memory unit='MiB'>512</memory>
              <os>
                <type arch='x86_64' machine='{machine}'>hvm</type>
                <kernel>{KERNEL}</kernel>
                <initrd>{INITRD}</initrd>
                <cmdline>console=ttyS0 loglevel=5 panic=-1</cmdline>
              </os>
              <on_poweroff>destroy</on_poweroff><on_reboot>destroy</on_reboot><on_crash>destroy</on_crash>
              <devices>
                <emulator>{QEMU}</emulator>
                <serial type='file'><source path='{self.socket}.console'/></serial>
                <serial type='unix'><source mode='bind' path='{self.socket}'/></serial>
                <graphics type='vnc' passwd='secret' port='-1' autoport='no' socket='{self.socket}.vnc'/>
              </devices>
            </domain>""")
        os.chmod(path, 0o644)
        daemon.virsh("define", path)

    def uuid(self):
        return self.daemon.virsh("domuuid", self.name).strip()

    def start(self):
        """Load everything up to the driver, and send the load's messages to the host."""
        self.daemon.virsh("start", self.name)
        self.agent = socket.socket(socket.AF_UNIX)
        self.agent.settimeout(PATIENCE)
        self.agent.connect(self.socket)
        line = self.line()
        if line != b"agent ready":
            raise AssertionError(f"{line}: {read(self.socket + '.console')[-2000:]}")
        self.must("modprobe virtio_pci; modprobe ddebug_test && modprobe virtio_ddebug && "
                  "echo 'module ddebug_test +r' > /sys/kernel/debug/dynamic_debug/control")

    def line(self):
        while b"\n" not in self.buffer:
            data = self.agent.recv(1 << 16)
            if not data:
                raise AssertionError("the guest has ended")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line

    def send(self, script):
        self.agent.sendall(b"run %d\n" % len(script) + script.encode())

    def must(self, script):
        self.send(script)
        _, status, length = self.line().split()
        while len(self.buffer) < int(length):
            self.buffer += self.agent.recv(1 << 16)
        output, self.buffer = self.buffer[:int(length)], self.buffer[int(length):]
        if int(status):
            raise AssertionError(f"{script}: {output}")
        return output.decode(errors="replace")

    def say(self, count=COUNT):
        """Make this many messages, numbered from 0."""
        self.must(f"cd /sys/kernel/debug/ddebug_test && echo threads=1 count={count} > run && cat wait")

    def wait_for_end(self):
        wait_until(f"{self.name} is shut off", lambda: self.daemon.state(self.name) == "shut off")
        self.agent.close()


class Tool:
    """The tool, running beside the test."""

    def __init__(self, daemon, *arguments):
        self.path = f"{TOP}/output.{time.monotonic()}"
        self.output = open(self.path, "wb")
        self.process = subprocess.Popen([*daemon.prefix, TOOL, *arguments], env=daemon.environment, cwd="/",
                                        stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=subprocess.STDOUT)

    def text(self):
        return read(self.path)

    def count(self, before=""):
        """Messages of the load, in lines that begin with `prefix`."""
        line = rf"^{re.escape(before)}\[[ \d.]+\] .*ddebug_test: t\d+ n\d+ "
        return len(re.findall(line, self.text(), re.M))

    def expect(self, count, before=""):
        wait_until(f"{count} messages: {self.text()[-500:]}", lambda: self.count(before) >= count)

    def end(self, status=0):
        """Wait for it to exit by itself or, with the status -SIGTERM, by that signal."""
        if status < 0:
            self.process.send_signal(-status)
        got = self.process.wait(PATIENCE)
        self.output.close()
        if got != status:
            raise AssertionError(f"exit status {got}: {self.text()[-500:]}")
        return self.text()


class Libvirt(unittest.TestCase):

    longMessage = True

    @classmethod
    def setUpClass(cls):
        cls.system = Daemon(SYSTEM)
        cls.system.start()

    @classmethod
    def tearDownClass(cls):
        cls.system.stop()

    def setUp(self):
        self.daemons = [self.system]

    def tearDown(self):
        for daemon in self.daemons:
            for name in daemon.virsh("list", "--name").splitlines():
                if name:
                    daemon.run("virsh", "destroy", name)
            for name in daemon.virsh("list", "--all", "--name").splitlines():
                if name:
                    daemon.virsh("undefine", name)
        for daemon in self.daemons[1:]:
            daemon.stop()
        shutil.rmtree(LOGS, ignore_errors=True)

    def session(self):
        daemon = Daemon(SESSION, f"{TOP}/home.{time.monotonic()}")
        daemon.start()
        self.daemons.append(daemon)
        return daemon

    def tool(self, daemon, *arguments, status=0, **options):
        got, output = daemon.run(TOOL, *arguments, **options)
        self.assertEqual(got, status, f"{arguments}: {output}")
        return output

    def objects(self, daemon, *arguments):
        """Its JSON output."""
        return [json.loads(line) for line in self.tool(daemon, "--output=json", *arguments).splitlines()]

    # -- from attach to detach ------------------------------------------------

    def whole_life(self, daemon, log, uid):
        guest = Guest(daemon, "vm, one")
        before = daemon.xml(guest.name)
        output = self.tool(daemon, "--attach", guest.name, "--log-size=4M", "--yes")
        self.assertIn("+    <qemu:arg value='-device'/>", output)
        self.assertEqual(output.count("libvirt does not support"), 1)
        self.assertNotIn("secret", output)
        self.assertIn("passwd='secret'", daemon.xml(guest.name))
        self.assertIn(PLUGIN, daemon.xml(guest.name))
        self.assertIn(f"&quot;file&quot;:&quot;{log}&quot;,&quot;size&quot;:4194304,", daemon.xml(guest.name))

        # not started yet: no log exists, and it can be waited for
        self.assertIn("no such file", self.tool(daemon, guest.name, status=4))
        follow = Tool(daemon, "--wait", "--follow", guest.name)
        guest.start()
        guest.say()
        follow.expect(COUNT)
        stat = os.stat(log)
        self.assertEqual((stat.st_uid, stat.st_mode & 0o777), (uid, 0o600))

        # name, id and UUID; the commands' output for a running one
        number = daemon.virsh("domid", guest.name).strip()
        for name in (guest.name, number, guest.uuid(), "domain:" + guest.name):
            self.assertEqual(self.tool(daemon, "--size", name), self.tool(daemon, "--size", log))
        self.tool(daemon, "--size=8M", guest.name)
        self.assertGreater(os.stat(log).st_size, 7 << 20)
        self.assertRegex(self.tool(daemon, "--info", guest.name), r"writer: +alive")
        self.assertRegex(self.tool(daemon, "--list"),
                         r"vm, one +running +[\d.]+ MiB +1 +\d+ (?:second|minute)s? ago +" + re.escape(log))
        self.assertIn("QEMU:    running", self.tool(daemon, "--last-words", guest.name))
        pipe = Tool(daemon, "--pipe", guest.name)
        pipe.expect(COUNT)
        pipe.end(-signal.SIGTERM)
        self.tool(daemon, "--clear", guest.name)
        self.assertEqual(self.tool(daemon, "--quiet", guest.name), "")

        # it dies, and is read while it is shut off
        guest.say()
        guest.send("echo c > /proc/sysrq-trigger")
        guest.wait_for_end()
        follow.expect(2 * COUNT)
        follow.end()
        words = self.tool(daemon, "--last-words", guest.name)
        self.assertIn("kernel:  panicked", words)
        self.assertIn("sysrq", words)
        self.assertRegex(self.tool(daemon, "--list"), r"vm, one +shut off +")
        boots = self.objects(daemon, "--list-boots", guest.name)
        self.assertEqual([(boot["vm"], boot["death"]) for boot in boots], [(guest.name, "panic")])
        self.assertRegex(self.tool(daemon, "--size=2M", guest.uuid()), r"^\d+ \([\d.]+ MiB\)\n")

        # QEMU is killed: the next start continues the log
        guest.start()
        guest.say()
        pid = int(read((daemon.environment.get("XDG_RUNTIME_DIR", "/run") + "/libvirt/qemu/" +
                        ("run/" if daemon.uri == SESSION else "") + guest.name + ".pid")))
        os.kill(pid, signal.SIGKILL)
        guest.wait_for_end()
        self.assertIn("QEMU:    died", self.tool(daemon, "--last-words", guest.name))
        self.assertEqual(len(self.tool(daemon, "--list-boots", guest.name).splitlines()), 3)

        output = self.tool(daemon, "--detach", guest.name, "--yes")
        self.assertIn("-    <qemu:arg value='-device'/>", output)
        self.assertIn("the log remains: " + log, output)
        self.assertEqual(daemon.xml(guest.name), before)
        self.assertTrue(os.path.exists(log))
        self.assertIn("has no virtio-ddebug device",
                      self.tool(daemon, "--detach", guest.name, "--yes", status=4))
        self.assertIn("--attach", self.tool(daemon, guest.name, status=4))

    def test_system_from_attach_to_detach(self):
        self.whole_life(self.system, f"{LOGS}/vm, one.ddl", QEMU_USER)
        stat = os.stat(LOGS)
        self.assertEqual((stat.st_uid, stat.st_gid, stat.st_mode & 0o777), (QEMU_USER, QEMU_USER, 0o700))

    def test_session_from_attach_to_detach_without_rights(self):
        daemon = self.session()
        log = daemon.environment["HOME"] + "/.local/state/virtio-ddebug/vm, one.ddl"
        self.whole_life(daemon, log, NOBODY)

    # -- all domains -----------------------------------------------------------

    def test_all_domains_while_they_come_and_go(self):
        daemon = self.system
        one = Guest(daemon, "one")
        self.assertIn("no domain", self.tool(daemon, "--list"))
        self.tool(daemon, "--attach", one.name, "--yes")
        Guest(daemon, "without")
        self.assertEqual(self.tool(daemon, "--all"), "")
        self.assertRegex(self.tool(daemon, "--list"),
                         rf"^NAME .*\none +shut off +- +- +- +{LOGS}/one.ddl\n$")

        follow, pipe = Tool(daemon, "--all", "--follow"), Tool(daemon, "--all", "--pipe")
        one.start()
        one.say()
        follow.expect(COUNT, "one: ")
        pipe.expect(COUNT, "one: ")

        # one that appears while it is running, and whose libvirt was away meanwhile
        daemon.stop()
        wait_until("the tool has noticed",
                   lambda: "lost the connection to libvirt" in follow.text() + pipe.text())
        one.say()
        follow.expect(2 * COUNT, "one: ")
        daemon.start()
        wait_until("the tool has noticed", lambda: "libvirt is back" in follow.text())
        two = Guest(daemon, "two", machine="pc")
        self.tool(daemon, "--attach", two.name, "--yes")
        two.start()
        # out of the way of what libvirt plugs in
        self.assertIn("0000:00:1f.0", two.must("ls /sys/bus/pci/devices"))
        two.say()
        for reader in follow, pipe:
            reader.expect(2 * COUNT, "one: ")
            reader.expect(COUNT, "two: ")

        # the VM ends, and is restarted: nothing is shown twice
        daemon.virsh("destroy", one.name)
        one.wait_for_end()
        one.start()
        one.say()
        for reader in follow, pipe:
            reader.expect(3 * COUNT, "one: ")
        daemon.virsh("destroy", one.name)
        daemon.virsh("undefine", one.name)
        two.say()
        for reader in follow, pipe:
            reader.expect(2 * COUNT, "two: ")
            self.assertEqual((reader.count("one: "), reader.count("two: ")), (3 * COUNT, 2 * COUNT))
            reader.end(-signal.SIGTERM)
        # what was consumed is not shown again; --trace shows the rest, and JSON has the names
        messages = [thing for thing in self.objects(daemon, "--all", "--trace") if thing["type"] == "message"]
        self.assertEqual({thing["vm"] for thing in messages}, {"two"})
        self.assertEqual(len(messages), 2 * COUNT)
        listed = self.objects(daemon, "--list")
        self.assertEqual([(vm["vm"], vm["state"], vm["boots"], vm["vm_uuid"]) for vm in listed],
                         [("two", "running", 1, two.uuid())])

    # -- without a guest ---------------------------------------------------------

    def test_names_of_files_and_of_domains(self):
        daemon = self.system
        guest = Guest(daemon, "both")
        self.tool(daemon, "--attach", guest.name, "--yes")
        self.assertIn(f"{LOGS}/both.ddl: no such file", self.tool(daemon, "both", status=4))
        # a file wins; the prefix means the domain
        folder = f"{TOP}/files.{time.monotonic()}"
        os.makedirs(folder)
        write(folder + "/both", "")
        self.assertIn("both: is empty", self.tool(daemon, "both", status=3, cwd=folder).replace("'", ""))
        output = self.tool(daemon, "domain:both", status=4, cwd=folder)
        self.assertIn(f"{LOGS}/both.ddl: no such file", output)
        # a path is never a domain
        self.assertIn("./both: no such file", self.tool(daemon, "./both", status=4))
        output = self.tool(daemon, "neither", status=4)
        self.assertIn("neither: no such domain at qemu:///system", output)
        self.assertIn("neither: no such file", output)
        self.assertIn("no such domain", self.tool(daemon, "domain:neither", status=4))

    def test_errors_name_the_remedy(self):
        daemon = self.system
        guest = Guest(daemon, "vm")
        before = daemon.xml("vm")
        for arguments, status, words in (
                (("vm",), 4, "add one with ddebug-host --attach"),
                (("--attach", "no", "--yes"), 4, "no: no such domain"),
                (("--attach", "vm"), 2, "use --yes"),
                (("--attach", "vm", "--yes", "--log=/no/where/vm.ddl"), 4, "create it first"),
                (("--attach", "vm", "--yes", "--plugin=/no/plugin.so"), 4, "--plugin=FILE"),
                (("--attach", "vm", "--yes", f"--plugin={TOOL}"), 5, "does not accept the device"),
                (("--attach", "vm", "--yes", "--log-size=1"), 2, "too small"),
                (("--connect=qemu+ssh://no.where/system", "vm"), 1, "run ddebug-host on it"),
                (("--connect=test:///default", "--attach", "test", "--yes"), 5, "is of type test"),
                (("--connect=no:///where", "vm"), 1, "cannot connect to libvirt"),
                (("-c", "no:///where", "vm"), 1, "cannot connect to libvirt"),
                (("-cno:///where", "vm"), 1, "cannot connect to libvirt"),
                (("--detach", "vm", "--yes"), 4, "has no virtio-ddebug device"),
                (("--all", "vm"), 2, "takes no SOURCE"), (("--all", "--info"), 2, "--list"),
                (("--list", "vm"), 2, "takes no SOURCE"), (("--attach", "--yes"), 2, "takes one DOMAIN"),
                (("--yes", "vm"), 2, "--attach and --detach"), (("--log=/x", "vm"), 2, "only with --attach")):
            self.assertIn(words, self.tool(daemon, *arguments, status=status))
        os.makedirs(LOGS)
        self.assertIn("give it to that user", self.tool(daemon, "--attach", "vm", "--yes", status=4))
        os.chown(LOGS, QEMU_USER, QEMU_USER)
        os.chmod(LOGS, 0o770)
        self.assertIn("others can write there", self.tool(daemon, "--attach", "vm", "--yes", status=4))
        os.rmdir(LOGS)
        self.assertEqual(daemon.xml("vm"), before)

        # one whose folder exists, twice
        os.makedirs("/var/log/own", exist_ok=True)
        os.chown("/var/log/own", QEMU_USER, QEMU_USER)
        self.tool(daemon, "--attach", "vm", "--yes", "--log=/var/log/own/vm.ddl", f"--plugin={PLUGIN}")
        self.assertIn("already has the device", self.tool(daemon, "--attach", "vm", "--yes", status=5))
        self.assertIn("/var/log/own/vm.ddl: no such file", self.tool(daemon, guest.uuid(), status=4))

        # transient ones, and other machine types
        path = f"{TOP}/other.xml"
        write(path, daemon.xml("vm").replace("<type arch='x86_64'", "<type arch='i686'"))
        daemon.virsh("define", path)
        self.tool(daemon, "--detach", "vm", "--yes")
        self.assertIn("only x86_64", self.tool(daemon, "--attach", "vm", "--yes", status=5))

    def test_nothing_is_changed_unless_it_was_agreed_to(self):
        daemon = self.system
        Guest(daemon, "vm")
        before = daemon.xml("vm")
        for answer, status in ((b"n\n", 5), (b"\n", 5), (b"\x04", 5), (b"yes\n", 0)):
            self.assertEqual(daemon.xml("vm"), before)
            ours, theirs = pty.openpty()
            process = subprocess.Popen([TOOL, "--attach", "vm"], env=daemon.environment, cwd="/",
                                       stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            os.write(ours, answer)
            self.assertEqual(process.wait(PATIENCE), status, answer)
            os.close(ours)
            os.close(theirs)
        self.assertNotEqual(daemon.xml("vm"), before)

    def test_a_qemu_with_the_device_inside_needs_no_plugin(self):
        if not os.path.exists(OVERLAY):
            self.skipTest("there is no QEMU with the device inside: make qemu")
        daemon = self.system
        Guest(daemon, "vm")
        path = f"{TOP}/overlay.xml"
        write(path, daemon.xml("vm").replace(QEMU, OVERLAY))
        daemon.virsh("define", path)
        self.tool(daemon, "--attach", "vm", "--yes")
        self.assertNotIn("-plugin", daemon.xml("vm"))
        self.assertIn("virtio-ddebug-pci", daemon.xml("vm"))

    def test_without_libvirt_files_are_read(self):
        daemon = self.system
        write(f"{TOP}/empty", "")
        must("mount", "--bind", "/dev/null", os.path.realpath(LIBRARY))
        try:
            self.assertIn("empty", self.tool(daemon, f"{TOP}/empty", status=3))
            self.assertIn("no such file", self.tool(daemon, "vm", status=4))
            for arguments in ("domain:vm",), ("--list",), ("--all",), ("--connect=qemu:///system", "vm"):
                self.assertIn("install the package libvirt0", self.tool(daemon, *arguments, status=1))
        finally:
            must("umount", os.path.realpath(LIBRARY))

    # -- confinement -------------------------------------------------------------

    def test_the_rules_for_apparmor_name_what_a_confined_qemu_opens(self):
        rules = read(RULES)
        for path in (os.path.dirname(PLUGIN) + "/", LOGS + "/"):
            self.assertIn(path, rules)
        if not shutil.which("apparmor_parser", path="/usr/sbin:/sbin"):
            self.skipTest("there is no apparmor_parser")
        path = f"{TOP}/profile"
        write(path, f"profile test {{\n  include \"{RULES}\"\n}}\n")
        must("/usr/sbin/apparmor_parser", "--skip-kernel-load", "--skip-cache", path)

    def test_a_qemu_confined_by_apparmor_has_its_log(self):
        if not os.path.exists(APPARMOR) or read(APPARMOR).strip() != "Y":
            self.skipTest("AppArmor is not enabled in this kernel")
        if not os.path.exists(TEMPLATE):
            self.skipTest(f"there is no {TEMPLATE}: apt-get install libvirt-daemon-system")
        self.assertIn("<model>apparmor</model>", self.system.virsh("capabilities"))
        guest = Guest(self.system, "confined")
        self.tool(self.system, "--attach", guest.name, "--yes")
        guest.start()
        guest.say()
        self.assertIn("libvirt-", read(f"/proc/{read('/run/libvirt/qemu/confined.pid')}/attr/current"))
        self.assertEqual(self.tool(self.system, "--quiet", guest.name).count("\n"), COUNT)


def main():
    reason = why_not() if INSIDE not in os.environ else None
    if reason:
        for name in sys.argv[1:] or unittest.defaultTestLoader.getTestCaseNames(Libvirt):
            print(f"ok - {name} # SKIP {reason}")
        return 0
    if INSIDE not in os.environ:
        # Leftovers end with the namespace.  Its first process must reap other processes' children:
        # libvirt's QEMUs leave their parents, and libvirt waits until they are gone.
        return subprocess.run([*UNSHARE, "bash", "-c", '"$@"; exit $?', "bash", sys.executable, *sys.argv],
                              check=False, env={**os.environ, INSIDE: "yes"}).returncode
    furnish()
    return tap.main(Libvirt)


if __name__ == "__main__":
    sys.exit(main())
