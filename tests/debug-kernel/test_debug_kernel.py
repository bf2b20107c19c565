# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that kernels which detect faults themselves (KASAN, lockdep and more in one, KCSAN in the
other) report nothing while four vCPUs log in all contexts and flags change, modules and CPUs come
and go, the device is reset, unplugged and plugged in, and a task dies in a message."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "avocado"))

from ddebug.case import BusyTest                         # noqa: E402
from ddebug.guest import CONTROL, KERNEL, LOAD, PROC_CONTROL, STATS     # noqa: E402
from ddebug_reports import MEMORY, OPTIONS, leaks, reports, watches_locks                    # noqa: E402

ODD = "/sys/kernel/debug/ddebug_odd/run"
UNCAPTURED = "/sys/kernel/debug/dynamic_debug_rb/uncaptured"
FOLDER = "/sys/kernel/debug/dynamic_debug"

# They write to the control file, right and wrong, read all files, wait for messages, and resize the
# rings, until told to stop.
MEDDLERS = f"""
rm -f /tmp/stop /tmp/meddlers
meddle() {{ while [ ! -e /tmp/stop ]; do "$@"; done > /dev/null 2>&1 & echo $! >> /tmp/meddlers; }}
flags() {{ echo 'module ddebug_odd +r' > {CONTROL}; echo 'module ddebug_odd +pmflt' > {PROC_CONTROL}
           echo 'module ddebug_odd =_; nonsense +r' > {CONTROL}; echo 'module virtio_pci +r' > {CONTROL}
           echo 'module virtio_pci -r; module ddebug_test +t' > {PROC_CONTROL}
           echo 'module ddebug_test -rt' > {CONTROL}; echo 'module ddebug_test +r' > {CONTROL}; }}
classes() {{ for bits in 1 2 3 0; do echo $bits > /sys/module/ddebug_test/parameters/classes
             echo classes > {LOAD}/run; done; }}
look() {{ cat {CONTROL} {PROC_CONTROL} {STATS} {UNCAPTURED} {FOLDER}/trace; }}
files() {{ tracefile pieces {FOLDER}/trace 997; timeout 1 cat {FOLDER}/trace_pipe
           tracefile drain {FOLDER}/trace_pipe 100; tracefile wait {FOLDER}/trace_pipe epoll 100
           cat {FOLDER}/*_kb; echo > {FOLDER}/trace; }}
sizes() {{ for kb in 64 512 256; do echo $kb > {FOLDER}/rb_size_kb; done; sleep 1; }}
meddle flags; meddle flags; meddle classes; meddle look; meddle files; meddle files; meddle sizes
"""
CALM = "touch /tmp/stop; for p in $(cat /tmp/meddlers); do while [ -e /proc/$p ]; do sleep 0.2; done; done"


class DebugKernel(BusyTest):
    """Avocado does not find the base class in its folder.

    :avocado: enable
    """

    timeout = 1500

    def new_guest(self, **options):
        return super().new_guest(append=OPTIONS, memory=MEMORY, **options)

    def sound(self, guest):
        """End the guest, and check that nothing was reported."""
        found = reports(guest)
        self.log.info("%d reports, %d of them of the kernel alone", len(found),
                      sum(not report.ours for report in found))
        bad = [report for report in found if report.ours]
        self.assertFalse(bad, "\n\n".join(map(repr, bad[:5])))
        if KERNEL == "kasan":
            self.assertTrue(watches_locks(guest))
            self.assertEqual(leaks(guest), [])
        self.assertEqual(guest.qemu_output(), "")
        self.assertEqual(guest.shut_down(), 0)

    def received_or_lost(self, guest, log):
        found = log.settled()
        self.log.info("driver: %s", guest.stats())
        self.assertEqual(found.damaged + found.skipped, 0)
        # the driver knows the rings that it has now
        now = found.instance()
        self.assertEqual(sum(message.instance == now for message in found.messages) +
                         sum(lost for (instance, _), lost in found.lost.items() if instance == now),
                         guest.committed())
        return found

    def test_four_cpus_in_all_contexts_while_flags_change(self):
        guest = self.boot(smp=4, modules=("virtio_ddebug", "ddebug_test", "ddebug_odd"))
        log = guest.log()
        # with 'p' only what the kernel itself can print from NMIs
        for flags, rate, shape in (("=r", 0, "mixed"), ("=pr", 0, "int3"), ("=r", 2000, "mixed")):
            guest.control(f"module ddebug_test {flags}")
            guest.must(MEDDLERS)
            guest.start_load(f"threads=8 count=1000000000 rate={rate} context=all shape={shape}")
            for request in ("dumps", "others", "kprobe") * 3:
                guest.must(f"echo {request} > {ODD}; sleep 1")
            self.stop_endless(guest)
            guest.must(CALM, timeout=300)
        found = self.received_or_lost(guest, log)
        self.assertEqual({(m.cpu, m.context) for m in found.messages},
                         {(cpu, context) for cpu in range(4)
                          for context in ("task", "softirq", "hardirq", "NMI")})
        self.sound(guest)

    def test_modules_come_and_go_under_load(self):
        guest = self.boot(smp=4, modules=("ddebug_test",))
        guest.start_load("threads=8 count=1000000000 rate=0 context=all shape=mixed")
        for size in (32, 64, 256) * 4:
            guest.must(f"modprobe ddebug_rb rb_size_kb={size} && modprobe virtio_ddebug && "
                       f"echo 'module ddebug_test +r' > {CONTROL} && modprobe ddebug_odd dyndbg=+r && "
                       f"echo dumps > {ODD} && echo kprobe > {ODD} && rmmod ddebug_odd && "
                       "rmmod virtio_ddebug && rmmod ddebug_rb", timeout=200)
        # a module is unloaded while its callsites have the flag, and its threads log
        guest.must(f"echo > {LOAD}/stop; modprobe virtio_ddebug")
        for _ in range(4):
            guest.control("module ddebug_test +r")
            self.start_endless(guest, rate=0)
            guest.must("rmmod ddebug_test && modprobe ddebug_test", timeout=200)
        self.received_or_lost(guest, guest.log())
        self.sound(guest)

    def test_the_device_is_reset_and_replaced_under_load(self):
        guest = self.boot_with_port(smp=4)
        for rate in (0, 500):
            self.replace_under_load(guest, rate)
            self.unplug(guest)
        self.plug(guest)
        self.received_or_lost(guest, guest.log())
        self.sound(guest)

    def test_cpus_come_and_go_under_load(self):
        guest = self.boot(smp=4, modules=("virtio_ddebug", "ddebug_test"))
        self.start_endless(guest, rate=0)
        for cpus in ((1,), (2, 3), (1, 2, 3)):
            for online in (0, 1):
                guest.must("".join(f"echo {online} > /sys/devices/system/cpu/cpu{cpu}/online || exit 1\n"
                                   for cpu in cpus), timeout=200)
        self.stop_endless(guest)
        self.received_or_lost(guest, guest.log())
        self.sound(guest)

    def test_a_task_dies_inside_a_message(self):
        guest = self.boot(smp=2, modules=("virtio_ddebug", "ddebug_test"))
        guest.control("module ddebug_test +r")
        guest.must(f"echo oops > {LOAD}/run")
        guest.load("threads=4 count=1000 context=all shape=mixed rate=500", timeout=300)
        found = self.received_or_lost(guest, guest.log())
        self.assertEqual([m.text for m in found.messages if b" t901 " in m.text],
                         [b"ddebug_test: t901 n0 a wild string follows",
                          b"ddebug_test: t901 n2 the task that oopsed dies"])
        self.assertEqual(guest.stats()["task_torn"], 1)
        self.log.info("%s", [report.title for report in reports(guest)])
        self.assertEqual(guest.qemu_output(), "")
        self.assertEqual(guest.shut_down(), 0)
