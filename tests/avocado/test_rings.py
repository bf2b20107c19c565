# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the rings can be resized while messages are written and read, to all sizes, without an
unreported loss, also while CPUs and the device come and go; and that invalid sizes change nothing."""

from ddebug.case import DRIVER, RING_SIZE, RING_TROUBLE, RingTest
from ddebug.guest import LOAD, one_thread

F_RING_PACKED = 34
BUSY = "/sys/kernel/debug/ddebug_busy/run"
INSIDE = "/sys/module/ddebug_busy/parameters/inside"


class Rings(RingTest):
    timeout = 300

    def test_while_nothing_is_lost_nothing_is_lost(self):
        """
        :avocado: tags=smoke
        """
        guest = self.boot(modules=("virtio_ddebug", "ddebug_test"), props="size=64M")
        self.in_other_sizes(guest, ((32, 1024, 100), (65408, 32, 48), (256, 64, 32)) * 3)
        # those of the tasks have come from several rings
        self.assertEqual(guest.counter("streams"), 8)

    def test_with_packed_virtqueues(self):
        """Elements come back in another order than they were posted, queues wrap, the device is reset."""
        guest = self.boot(modules=("virtio_ddebug", "ddebug_test"), props="packed=on,size=64M")
        self.assertEqual(guest.must(f"cat {DRIVER}/virtio*/features").strip()[F_RING_PACKED], "1")
        sent = self.in_other_sizes(guest, ((32, 1024, 100), (256, 64, 32)) * 2)
        self.assertEqual(guest.counter("streams"), 8)
        self.start_endless(guest, 1000)
        for kb in (64, 256, 32):
            self.reset(guest)
            self.resize(guest, kb)
        sent += self.stop_endless(guest)
        guest.load("threads=8 count=80 context=all rate=500")
        self.account(guest, guest.log(), sent + 640)

    def test_hundred_sizes_flat_out_are_accounted_for(self):
        guest = self.boot(smp=4, modules=("virtio_ddebug", "ddebug_test"))
        log = guest.log()
        guest.control("module ddebug_test +r")
        guest.start_load("threads=8 count=1000000000 context=all shape=mixed")
        for round_ in range(25):
            for kb in (32, 512, 64, 4096):
                guest.must(f"echo {kb} > {RING_SIZE}")
        guest.must(f"echo > {LOAD}/stop")
        sent = guest.numbers(f"{LOAD}/status")["produced"]
        # one more of each stream: the newest in the log are those just sent
        guest.load("threads=16 count=40 context=all rate=500")
        self.account(guest, log, sent + 640)
        self.assertEqual(guest.counter("streams"), 16)
        guest.must("rmmod virtio_ddebug; rmmod ddebug_rb")
        self.assertNotRegex(guest.dmesg(), RING_TROUBLE)

    def test_who_waits_for_a_cpu_waits_as_long_as_needed(self):
        """A ring is not freed while an idle task, which RCU does not wait for, may be in it; and a
        real-time task that never gives up its CPU is not waited for."""
        guest = self.boot(modules=("virtio_ddebug", "ddebug_busy"), append="isolcpus=1")
        log = guest.log()
        guest.control("module ddebug_busy +r")
        # it is in there before the rings are replaced, and has left when they are freed
        inside = guest.must(f"echo idle > {BUSY}; cat {INSIDE}; echo 512 > {RING_SIZE}; cat {INSIDE}")
        self.assertEqual(inside, "Y\nN\n")
        texts = [m.text for m in log.settled().messages]
        self.assertGreater(len(texts), 1000)
        self.assertEqual(texts, [b"ddebug_busy: idle %d" % i for i in range(len(texts))])
        self.assertEqual(int(guest.must("cat /sys/module/ddebug_busy/parameters/said")), len(texts))

        guest.must(f"echo spin > {BUSY}; echo 256 > {RING_SIZE}")
        guest.control("module ddebug_busy -r")
        self.until("the probes are gone", lambda: not guest.stats()["print_probes_armed"])
        guest.must("rmmod virtio_ddebug ddebug_rb")
        self.assertEqual(guest.must(f"cat {INSIDE}"), "Y\n")
        guest.must(f"echo leave > {BUSY}")
        self.assertNotRegex(guest.dmesg(), RING_TROUBLE)

    def test_bad_sizes_change_nothing(self):
        guest = self.boot(smp=4, memory=512)
        for kb in ("0", "31", "65409", "-1", "many", "", "99999999999"):
            status, said = guest.write(RING_SIZE, kb)
            self.assertNotEqual(status, 0, kb)
            self.assertIn("Invalid argument", said)
        self.assertEqual(int(guest.must(f"cat {RING_SIZE}")), 256)
        # 256 MiB, which the guest does not have
        guest.must("mkdir -p /mnt; mount -t tmpfs -o size=100% none /mnt; "
                   "head -c 157286400 /dev/zero > /mnt/full")
        status, said = guest.write(RING_SIZE, "65408")
        self.assertNotEqual(status, 0)
        self.assertIn("Cannot allocate memory", said)
        self.assertEqual(int(guest.must(f"cat {RING_SIZE}")), 256)
        self.assertEqual(guest.stats()["streams"], 16)

    def test_without_a_device_and_while_cpus_come_and_go(self):
        guest = self.boot(log=None, accel=one_thread(), modules=("ddebug_rb", "ddebug_test"))
        guest.control("module ddebug_test +r")
        guest.start_load("threads=2 count=1000000000 context=all")
        for kb in (32, 64, 48, 1024):
            guest.must("echo 0 > /sys/devices/system/cpu/cpu1/online")
            self.resize(guest, kb)
            guest.must("echo 1 > /sys/devices/system/cpu/cpu1/online")
            self.resize(guest, kb * 2)
        guest.must(f"echo > {LOAD}/stop")
        self.assertEqual(guest.committed() + guest.dropped(),
                         guest.numbers(f"{LOAD}/status")["produced"])
        self.assertNotRegex(guest.dmesg(), RING_TROUBLE)

    def test_while_the_device_comes_and_goes(self):
        guest = self.boot(accel=one_thread(), modules=("virtio_ddebug", "ddebug_test"))
        guest.control("module ddebug_test +r")
        guest.start_load("threads=2 count=1000000000 context=all")
        guest.must("cd /sys/bus/virtio/drivers/virtio_ddebug; device=$(ls -d virtio*); "
                   "while [ ! -e /tmp/stop ]; do for kb in 32 64 256; do "
                   f"echo $kb > {RING_SIZE}; done; done & "
                   "for i in $(seq 30); do echo $device > unbind; echo $device > bind; done; "
                   "touch /tmp/stop; wait", timeout=200)
        guest.must(f"echo > {LOAD}/stop")
        # nothing was retained: sizes can still be changed, and the streams are whole
        self.resize(guest, 128)
        guest.load("threads=2 count=1000 rate=2000")
        found = guest.log().settled()
        self.assertEqual(found.damaged + found.skipped, 0)
        for thread in range(2):
            prefix = b"ddebug_test: t%d n" % thread
            texts = [m.text for m in found.messages if m.text.startswith(prefix)]
            self.assertTrue(texts[-1].startswith(prefix + b"999 "), texts[-1])
        self.assertEqual(guest.counter("streams"), 8)
        self.assertNotRegex(guest.dmesg(), RING_TROUBLE)
