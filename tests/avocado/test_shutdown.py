# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that a guest's messages reach the host to the end of an orderly shutdown: those of devices that
the kernel shuts down after the driver's own place in the order, of the core when all devices are shut
down, and the kernel's last line.  test_kexec.py has the same of a kernel that hands over to another."""

from ddebug.case import DdebugTest
from ddebug.death import CORE_SHUTDOWN, DEVICE_SHUTDOWN, DIE
from ddebug.guest import CONTROL, Log


class Shutdown(DdebugTest):

    def shut_down(self, command, last):
        """Check that the log has all that is said until the kernel's last line."""
        # bound before the driver: the kernel starts with the devices that were bound last
        guest = self.boot(props="kmsg=on", modules=("ddebug_die", "virtio_ddebug"))
        log = Log(guest.log_file)
        guest.send(f"echo module ddebug_die +r > {CONTROL}; echo tell-shutdown > {DIE}; {command}")
        self.until("the kernel says its last line", lambda: last.decode() in guest.console())
        if command.startswith("halt"):
            # nothing more can notify the device: it polls
            self.until("the log has it", lambda: last in log.tool().stdout)
            guest.command("quit")
        self.assertEqual(guest.wait(), 0)
        texts = [m.text for m in log.read().messages]
        self.assertEqual([t for t in texts if t in (DEVICE_SHUTDOWN, CORE_SHUTDOWN) or last in t],
                         [DEVICE_SHUTDOWN, CORE_SHUTDOWN, last])

    def test_a_guest_that_is_powered_off(self):
        self.shut_down("poweroff -f", b"reboot: Power down")

    def test_a_guest_that_is_rebooted(self):
        self.shut_down("reboot -f", b"reboot: Restarting system")

    def test_a_guest_that_is_halted(self):
        self.shut_down("halt -f", b"reboot: System halted")
