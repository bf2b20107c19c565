# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that rings move to shared memory and back, in other sizes and with CPUs that come and go,
without an unreported loss; that tools read completely what a killed QEMU has left there; and what
becomes of a VM whose log is truncated.  (That everything committed is there when QEMU is killed:
test_death.)"""

import os
import random
import signal
import time

from ddebug.case import DRIVER, RING_SIZE, RING_TROUBLE, RingTest
from ddebug.guest import PATIENCE, Log, one_thread
from ddebug.logfile import SHM_OFF


class Rings(RingTest):
    timeout = 300

    def test_the_rings_are_in_the_file(self):
        """
        :avocado: tags=smoke
        """
        guest = self.boot(props="shm=on", modules=("virtio_ddebug", "ddebug_test"))
        stats = guest.stats()
        self.assertEqual((stats["streams"], stats["shared"]), (8, 8))
        log = guest.log()
        guest.control("module ddebug_test +r")
        report = guest.load("threads=4 count=5000 context=all shape=mixed")
        self.account(guest, log, report["produced"])
        # to the guest's memory and back
        self.reset(guest)
        self.assertEqual(guest.stats()["shared"], 8)
        guest.must("rmmod virtio_ddebug")
        self.assertEqual(guest.stats()["shared"], 0)
        guest.must("rmmod ddebug_rb")
        self.assertNotRegex(guest.dmesg(), RING_TROUBLE)
        self.assertEqual(guest.shut_down(), 0)
        self.assertEqual(log.read().events[-1][0], "close")

    def resize(self, guest, kb):
        super().resize(guest, kb)
        self.assertEqual(guest.stats()["shared"], 8)

    def test_while_nothing_is_lost_nothing_is_lost_in_other_sizes(self):
        guest = self.boot(modules=("virtio_ddebug", "ddebug_test"), props="shm=on,shm-size=8M,size=64M")
        self.in_other_sizes(guest, ((32, 1024, 100), (2000, 32, 48), (256, 64, 32)) * 2)
        status, said = guest.write(RING_SIZE, "65408")
        self.assertNotEqual(status, 0)
        self.assertIn("Cannot allocate memory", said)
        self.assertEqual(int(guest.must(f"cat {RING_SIZE}")), 32)
        self.assertEqual(guest.counter("streams"), 8)

    def test_what_finds_no_room_stays_in_the_guest(self):
        guest = self.boot(smp=4, modules=("virtio_ddebug", "ddebug_test"), props="shm=on,shm-size=1M")
        stats = guest.stats()
        self.assertEqual(stats["streams"], 16)
        self.assertGreater(stats["shared"], 4)
        self.assertLess(stats["shared"], 12)
        self.assertIn("try a larger shm-size", guest.dmesg())
        log = guest.log()
        self.start_endless(guest, 2000)
        self.until("every CPU has logged", lambda: len({m.cpu for m in log.read().messages}) == 4)
        self.account(guest, log, self.stop_endless(guest))

    def test_the_device_comes_and_goes(self):
        guest = self.boot(accel=one_thread(), modules=("virtio_ddebug", "ddebug_test"),
                          props="shm=on,shm-size=4M")
        guest.control("module ddebug_test +r")
        guest.start_load("threads=2 count=1000000000 context=all")
        guest.must(f"cd {DRIVER}; device=$(ls -d virtio*); "
                   "while [ ! -e /tmp/stop ]; do for kb in 32 64 256; do "
                   f"echo $kb > {RING_SIZE}; done; done & "
                   "for i in $(seq 20); do echo $device > unbind; echo $device > bind; done; "
                   "touch /tmp/stop; wait", timeout=200)
        guest.must("echo > /sys/kernel/debug/ddebug_test/stop")
        self.resize(guest, 128)
        guest.load("threads=2 count=1000 rate=2000")
        found = guest.log().settled()
        self.assertEqual(found.damaged + found.skipped, 0)
        for thread in range(2):
            prefix = b"ddebug_test: t%d n" % thread
            texts = [m.text for m in found.messages if m.text.startswith(prefix)]
            self.assertTrue(texts[-1].startswith(prefix + b"999 "), texts[-1])
        self.assertNotRegex(guest.dmesg(), RING_TROUBLE)

    def test_plugged_in_and_out(self):
        guest = self.boot_with_port(props="shm=on")
        sent = 0
        for _ in range(3):
            self.plug(guest)
            self.assertEqual(guest.stats()["shared"], 8)
            self.start_endless(guest, 1000)
            self.unplug(guest)
            self.assertEqual(guest.stats()["shared"], 0)
            sent += self.stop_endless(guest)
        self.plug(guest)
        guest.load("threads=8 count=40 context=all rate=500")
        self.account(guest, guest.log(), sent + 320)

    def test_cpus_come_and_go(self):
        # the second one has never been online
        guest = self.boot(append="maxcpus=1", accel=one_thread(), props="shm=on,shm-size=4M,size=64M",
                          modules=("virtio_ddebug", "ddebug_test"))
        online = "/sys/devices/system/cpu/cpu1/online"
        log = guest.log()
        self.assertEqual(guest.stats()["shared"], 4)
        guest.control("module ddebug_test +r")
        sent = guest.load("threads=2 count=500 context=all")["produced"]
        guest.must(f"echo 1 > {online}")
        self.assertEqual(guest.stats()["shared"], 8)
        for _ in range(4):
            sent += guest.load("threads=2 count=500 context=all")["produced"]
            guest.must(f"echo 0 > {online}")
            sent += guest.load("threads=2 count=500 context=all")["produced"]
            self.resize(guest, random.choice((32, 64, 128)))
            guest.must(f"echo 1 > {online}")
        self.account(guest, log, sent)

    # -- QEMU is killed -----------------------------------------------------

    def test_killed_while_rings_change(self):
        """Whatever the rings were doing, what is in the file is whole, and read once.  (Not everything
        is: every other time they are in the guest's memory.)"""
        guest = self.boot(accel=one_thread(), modules=("virtio_ddebug", "ddebug_test"),
                          props="shm=on,shm-size=4M,size=64M,rate-limit=256K")
        guest.control("module ddebug_test +r")
        guest.start_load("threads=4 count=1000000000 context=all shape=mixed")
        guest.send(f"cd {DRIVER}; device=$(ls -d virtio*); while true; do "
                   f"for kb in 32 64 256; do echo $kb > {RING_SIZE}; done; "
                   "echo $device > unbind; echo $device > bind; done")
        time.sleep(random.uniform(1, 4))
        guest.kill()
        self.read_by_all(guest)

    def read_by_all(self, guest):
        log = Log(guest.log_file)
        found = log.read(rings=True)
        self.assertEqual(found.damaged + found.skipped, 0)
        info = log.info()
        self.assertEqual((info["received"], info["lost"]),
                         (len(found.messages), found.total_lost + found.tail_lost))
        self.assertIn(b"QEMU:    died", log.tool("--last-words").stdout)
        return found

    def test_tools_that_follow_read_to_the_end(self):
        guest = self.boot(modules=("virtio_ddebug", "ddebug_test"), props="shm=on,rate-limit=64K,size=64M")
        log = guest.log()
        guest.control("module ddebug_test +r")
        piped, followed = self.scratch("piped"), self.scratch("followed")
        tools = [log.start("--pipe", output=piped), log.start("--follow", output=followed)]
        guest.load("threads=2 count=8000 shape=mixed")
        guest.kill()
        for tool in tools:
            self.assertEqual(tool.wait(PATIENCE), 0, tool.stderr.read())
        found = self.read_by_all(guest)
        self.assertEqual(found.tail_lost, 0)
        self.assertGreater(found.left, 100)
        for output in (piped, followed):
            with open(output, "rb") as file:
                text = file.read()
            self.assertEqual(text.count(b" ddebug_test: t"), len(found.messages), output)
            self.assertEqual(text.count(b"has no checksum"), 1, output)
        # consumed stays consumed, also once it is in chunks
        self.assertEqual(log.tool("--pipe").stdout, b"")
        heir = self.new_guest(log=guest.log_file, props="shm=on").launch()
        heir.connect_qmp()
        heir.command("quit")
        self.assertEqual(heir.wait(), 0)
        self.assertEqual(log.tool("--pipe").stdout, b"")
        whole = log.read()
        self.assertEqual(len(whole.messages), len(found.messages))
        self.assertIn("recovered", [name for name, _ in whole.events])

    # -- the file is truncated ------------------------------------------------

    def test_a_file_cut_behind_the_rings_is_mended(self):
        guest = self.boot(modules=("virtio_ddebug", "ddebug_test"), props="shm=on")
        guest.control("module ddebug_test +r")
        os.truncate(guest.log_file, SHM_OFF + (1 << 20))
        guest.load("threads=2 count=2000")
        self.until("it is whole again", lambda: os.stat(guest.log_file).st_size > 16 << 20)
        self.assertEqual(guest.counter("streams"), 8)
        guest.load("threads=2 count=100")
        self.assertIn("cut short", guest.qemu_output())
        self.assertEqual(guest.shut_down(), 0)

    def test_a_file_cut_within_the_rings_ends_the_vm(self):
        """Nothing else can be done: the guest stores to memory that no longer exists.  If the device
        happens to write to the file before that, it exists again."""
        for _ in range(3):
            guest = self.boot(modules=("virtio_ddebug", "ddebug_test"), props="shm=on")
            guest.control("module ddebug_test +r")
            guest.start_load("threads=2 count=1000000000 rate=0")
            os.truncate(guest.log_file, 0)
            self.until("QEMU ends or says something",
                       lambda: guest.process.poll() is not None or "was cut short" in guest.qemu_output())
            # it may report that and end all the same
            time.sleep(2)
            if guest.process.poll() is not None:
                self.assertEqual(guest.wait(), -signal.SIGBUS)
                return
            guest.kill()
        self.fail("no store of the guest was ever the first")
