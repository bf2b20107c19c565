# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the rings are really shared: what was committed is read whatever became of the guest;
and that the driver works without the device, and can be loaded and unloaded."""

import re
import time

from ddebug.case import DdebugTest
from ddebug.guest import LOAD, PATIENCE, Log, one_thread

TROUBLE = r"BUG:|WARNING:|Oops|general protection|stall|Call Trace"


class Live(DdebugTest):
    timeout = 300

    def texts(self, log):
        return [m.text for m in log.settled().messages]

    def hang(self, smp):
        guest = self.boot(smp=smp, modules=("virtio_ddebug", "ddebug_test"))
        log = Log(guest.log_file)
        guest.control("module ddebug_test +r")
        guest.load("threads=2 count=100")
        guest.send(f"echo spin > {LOAD}/run; echo wake up")
        wanted = {b"ddebug_test: t%d n0 the last message of this CPU" % (1000 + cpu)
                  for cpu in range(smp)}
        # the CPUs may share one host thread and spin until all have met; then the device polls once a second
        deadline = time.monotonic() + PATIENCE
        while not wanted <= set(self.texts(log)) and time.monotonic() < deadline:
            time.sleep(1)
        self.assertEqual(guest.command("query-status")["status"], "running")
        self.assertLessEqual(wanted, set(self.texts(log)))
        self.assertLessEqual(wanted, {line.text for line in log.trace()})
        guest.kill()
        self.assertEqual(len(self.texts(log)), 200 + smp)

    def test_last_message_before_both_cpus_hang_is_read(self):
        """
        :avocado: tags=smoke
        """
        self.hang(2)

    def test_last_message_before_four_cpus_hang_is_read(self):
        self.hang(4)

    def test_an_oops_inside_a_message_mutes_nobody(self):
        guest = self.boot(smp=2, modules=("virtio_ddebug", "ddebug_test"))
        log = guest.log()
        guest.control("module ddebug_test +r")
        guest.start_load("oops")
        self.assertRegex(guest.dmesg(), "general protection fault|unable to handle")
        texts = self.texts(log)
        self.assertIn(b"ddebug_test: t901 n0 a wild string follows", texts)
        self.assertIn(b"ddebug_test: t901 n2 the task that oopsed dies", texts)
        self.assertFalse([t for t in texts if t.startswith(b"ddebug_test: t901 n1 ")])
        before = guest.committed()
        # slow enough for the smallest ring, the NMIs', however late the host polls
        for context in ("task", "softirq", "hardirq", "nmi"):
            guest.load(f"threads=4 count=250 context={context} rate=500")
        self.assertEqual(guest.committed() - before, 4000)
        # found by the next task that logs on the CPU of the oops; the dying one may have migrated
        self.assertEqual(guest.stats()["task_torn"], 1)
        found = log.settled()
        self.assertEqual(len(found.messages), guest.committed())
        self.assertEqual(found.total_lost, 0)
        # and once more, since the stream has been taken over
        guest.start_load("oops")
        guest.load("threads=4 count=500 rate=5000")
        found = log.settled()
        self.assertEqual(len(found.messages), guest.committed())
        self.assertEqual(found.total_dropped, 2)

    def test_without_a_device_the_rings_work(self):
        guest = self.boot(log=None, modules=("ddebug_rb", "ddebug_test"))
        guest.control("module ddebug_test +r")
        guest.load("threads=4 count=20000 context=all")
        self.assertEqual(guest.committed(), 80000)
        guest.must("modprobe virtio_ddebug")
        guest.load("threads=4 count=2000")
        self.assertEqual(guest.committed(), 88000)
        self.assertEqual(guest.stats()["kicks"], 0)
        guest.must("rmmod virtio_ddebug; rmmod ddebug_rb; rmmod ddebug_test")
        self.assertNotRegex(guest.dmesg(), TROUBLE)

    def test_a_device_plugged_in_later_gets_the_earlier_messages(self):
        guest = self.new_guest(log=None, load_plugin=True, modules=("virtio_ddebug", "ddebug_test"),
                               accel=one_thread(), args=["-device", "pcie-root-port,id=port1,chassis=1"])
        guest.boot()
        guest.log_file = guest.path("late.log")
        log = guest.log()
        guest.control("module ddebug_test +r")
        guest.load("threads=2 count=700 shape=mixed")
        guest.must("modprobe virtio_pci")
        guest.command("device_add", driver="virtio-ddebug-pci", id="ddebug0", bus="port1",
                      file=guest.log_file)
        for _ in range(40):
            if guest.stats()["attached"]:
                break
            time.sleep(0.5)
        self.assertEqual(guest.stats()["attached"], 1)
        guest.load("threads=2 count=300 context=all shape=mixed rate=1000")
        found = log.settled()
        self.assertEqual(len(found.messages), 2000)
        self.assertEqual(found.total_lost, 0)
        self.assertTrue(all(m.callsite for m in found.messages))
        self.assertNotRegex(guest.dmesg(), TROUBLE)

    def test_hundred_loads_and_unloads_under_load(self):
        guest = self.boot(modules=("ddebug_test",), props="size=64M", accel=one_thread())
        log = Log(guest.log_file)
        # flat out, unloading waits long for tasks that never sleep
        for cycles, rate in ((10, 0), (90, 10000)):
            guest.start_load(f"threads=2 count=1000000000 rate={rate} context=all shape=mixed")
            for cycle in range(cycles):
                guest.must("modprobe virtio_ddebug; echo 'module ddebug_test +r' > "
                           "/proc/dynamic_debug/control; sleep 0.05; "
                           "rmmod virtio_ddebug; rmmod ddebug_rb", timeout=PATIENCE)
            guest.must("echo > /sys/kernel/debug/ddebug_test/stop")
            self.log.info("%d cycles", cycles)
        self.assertNotRegex(guest.dmesg(), TROUBLE)
        self.assertFalse([f for _, f in guest.flags().values() if "r" in f])
        found = log.settled()
        self.assertEqual(max(found.epochs), 100)
        self.assertEqual(max(m.epoch for m in found.messages), 100)
        instances = {m.instance for m in found.messages}
        self.assertGreater(len(instances), 1)
        for message in found.messages:
            self.assertTrue(re.search(rb"ddebug_test: t[01] n\d+ ", message.text), message)
