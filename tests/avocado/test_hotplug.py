# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that everything is accounted for when four vCPUs log in all contexts at once while the VM is
stopped, the log resized, the device reset, unplugged and plugged in again; and that the device
works in a managed QEMU: daemonized, sandboxed, introspected."""

import os
import signal
import socket
import subprocess
import time

from qemu.qmp.legacy import QEMUMonitorProtocol

from ddebug.case import BusyTest
from ddebug.guest import PATIENCE, Log, device_source, qemu_command, qemu_environment

TROUBLE = r"BUG:|WARNING:|Oops|general protection|stall|Call Trace"

# As libvirt starts it.
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


class Hotplug(BusyTest):
    timeout = 500

    def account(self, guest, log, sent):
        """Check received + reported lost = sent, by the driver, the log and the tool."""
        found = log.settled()
        self.log.info("driver: %s", guest.stats())
        received, lost, dropped = len(found.messages), found.total_lost, guest.dropped()
        self.log.info("sent %d, received %d, lost %d, dropped %d", sent, received, lost, dropped)
        self.assertEqual(found.damaged + found.skipped, 0)
        self.assertEqual(guest.committed() + dropped, sent)
        self.assertEqual(received + lost + dropped, sent)
        self.assertEqual(found.total_dropped, dropped)
        info = log.info()
        self.assertEqual((info["received"], info["lost"], info["dropped"]), (received, lost, dropped))
        # every CPU took part, in every context
        self.assertEqual({(m.cpu, m.context) for m in found.messages},
                         {(cpu, context) for cpu in range(4)
                          for context in ("task", "softirq", "hardirq", "NMI")})

    def ends_well(self, guest):
        self.assertNotRegex(guest.dmesg(), TROUBLE)
        self.assertEqual(guest.qemu_output(), "")
        self.assertEqual(guest.shut_down(), 0)

    def test_four_cpus_at_once_flat_out(self):
        guest = self.boot(smp=4, modules=("virtio_ddebug", "ddebug_test"))
        log = guest.log()
        self.start_endless(guest, rate=0)
        for size in ("4M", "32M", "2M", "16M"):
            time.sleep(2)
            guest.command("stop")
            guest.command("cont")
            log.tool(f"--size={size}")
            log.tool("--trace")
        sent = self.stop_endless(guest)
        # one more of each stream: the newest in the log are those just sent
        guest.load("threads=16 count=40 context=all rate=500")
        self.account(guest, log, sent + 640)
        self.ends_well(guest)

    def test_four_cpus_log_through_unplug_plug_and_reset(self):
        guest = self.boot_with_port(smp=4)
        log = guest.log()
        sent = 0
        # flat out, so that rings are lapped and the log wraps; and so slowly that they are not
        for rate in (0, 1000):
            sent += self.replace_under_load(guest, rate)
            log.wait_quiet()
            self.unplug(guest)
        self.plug(guest)
        guest.load("threads=16 count=40 context=all rate=500")
        self.account(guest, log, sent + 640)
        self.ends_well(guest)

    def test_in_the_sandbox(self):
        guest = self.boot(args=["-sandbox", SANDBOX], modules=("virtio_ddebug", "ddebug_test"))
        log = guest.log()
        guest.control("module ddebug_test +r")
        guest.load("threads=2 count=500")
        log.tool("--size=8M")
        guest.load("threads=2 count=500")
        found = log.settled()
        self.assertEqual(len(found.messages), 2000)
        self.assertIn("size", [name for name, _ in found.events])
        self.assertEqual(guest.shut_down(), 0)
        self.assertEqual(log.read().events[-1][0], "close")
        self.assertEqual(guest.qemu_output(), "")

    def test_daemonized(self):
        pidfile = self.scratch("pid")
        ours, its = socket.socketpair()
        # a path relative to where QEMU was started; the daemon changes to /
        subprocess.run([*qemu_command(), "-S", "-daemonize", "-pidfile", pidfile,
                        "-chardev", f"socket,id=qmp,fd={its.fileno()}", "-mon", "chardev=qmp,mode=control",
                        *device_source(), "-device", "virtio-ddebug-pci,file=log,size=2M"],
                       cwd=self.outputdir, env=qemu_environment(), stdin=subprocess.DEVNULL,
                       pass_fds=[its.fileno()], check=True, timeout=PATIENCE)
        its.close()
        with open(pidfile, encoding="ascii") as file:
            pid = int(file.read())
        daemon = os.pidfd_open(pid)
        self.addCleanup(os.close, daemon)
        self.addCleanup(self.end, daemon)
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        log = Log(self.scratch("log"))
        self.assertEqual([(name, args[0]) for name, args in log.settled().events],
                         [("open", pid), ("machine-reset", 0)])
        # served by the thread, so it runs in the daemon
        log.tool("--size=4M")
        self.assertGreater(os.stat(log.path).st_size, 3 << 20)
        qmp = QEMUMonitorProtocol(ours)
        qmp.connect(negotiate=True)
        qmp.cmd("quit")
        self.until("the daemon has ended", lambda: log.read().events[-1][0] == "close")

    def end(self, daemon):
        try:
            signal.pidfd_send_signal(daemon, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def test_looked_into(self):
        guest = self.boot()
        devices = {entry["path"]: entry["name"] for entry in guest.command("x-query-virtio")}
        path = [path for path in devices if path.startswith("/machine/peripheral/ddebug0/")]
        self.assertEqual([devices[p] for p in path], ["virtio-ddebug"])
        status = guest.command("x-query-virtio-status", path=path[0])
        self.assertEqual((status["name"], status["started"], status["broken"]),
                         ("virtio-ddebug", True, False))
        for queue in range(status["num-vqs"]):
            answer = guest.command("x-query-virtio-queue-status", path=path[0], queue=queue)
            self.assertEqual(answer["name"], "virtio-ddebug")
        for name in ("kicks", "wakeups", "streams", "log-size"):
            self.assertIsInstance(guest.counter(name), int)
        self.assertEqual(guest.counter("streams"), 8)
