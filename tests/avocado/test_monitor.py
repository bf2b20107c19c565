# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves what QEMU's own means show of the device, however it was loaded: its properties have
descriptions, its status can be queried, it is in the device tree, and where it is built into QEMU,
it can be traced."""

import re
import subprocess

from ddebug.case import DdebugTest
from ddebug.guest import PATIENCE, Log, child_dies_with_us, plugin, qemu_command, qemu_environment

# Exactly what users find: name, type, description.
PROPERTIES = {
    "file": ("str", "log file"),
    "size": ("size", "1M to 1T"),
    "ioeventfd": ("bool", "driver's notifications"),
    "vectors": ("uint32", "MSI-X vectors"),
    "kicks": ("uint64", "notifications"),
    "wakeups": ("uint64", "wakeups of the drain thread"),
    "passes": ("uint64", "scans of all streams"),
    "chunks": ("uint64", "chunks of messages"),
    "bytes": ("uint64", "bytes of messages"),
    "io-lost": ("uint64", "could not be written"),
    "streams": ("uint64", "posted"),
    "log-size": ("size", "bytes of the log"),
    "file-mode": ("str", "0600 to 0664"),
    "file-group": ("str", "group of the log"),
    "mode": ("VirtIODDebugMode", "overwrite"),
    "rate-limit": ("size", "bytes per second"),
    "resize-status": ("string", "result of setting log-size"),
    "full-lost": ("uint64", "mode=drop"),
    "sync-interval": ("uint32", "synced to the disk"),
    "syncs": ("uint64", "syncs of the log"),
    "sync-errors": ("uint64", "syncs that failed"),
    "rate-lost": ("uint64", "because of rate-limit"),
    "bql-bytes": ("uint64", "big lock"),
    "memory-errors": ("uint64", "could not be accessed"),
}
NAMES = ("virtio-ddebug", "virtio-ddebug-pci")


class Monitor(DdebugTest):
    timeout = 200

    def help_of(self, *options, words=""):
        done = subprocess.run(
            [*qemu_command(), "-S", "-monitor", "stdio", *options], input=words + "\nquit\n", check=False,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=qemu_environment(),
            timeout=PATIENCE, preexec_fn=child_dies_with_us)
        self.log.info("%s", done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def explains_all(self, text):
        found = {match.group(1): (match.group(2), match.group(3)) for match in
                 re.finditer(r"^ +([\w-]+)=<(\w+)> +- (.*?)\r?$", text, re.M)}
        for name, (kind, words) in PROPERTIES.items():
            self.assertIn(name, found)
            self.assertEqual(found[name][0], kind, name)
            self.assertIn(words, found[name][1], name)
        self.assertIn("x-disable-pcie", found)      # it is that of the PCI device

    def test_the_monitor_explains_every_property(self):
        """
        :avocado: tags=smoke
        """
        source = ["-plugin", plugin()] if plugin() else []
        for name in NAMES:
            self.explains_all(self.help_of(*source, words=f"device_add {name},help"))

    def test_the_command_line_explains_every_property_if_it_is_part_of_qemu(self):
        """
        :avocado: tags=smoke
        """
        if plugin():
            # QEMU answers before it loads the plugin, so only the monitor can explain
            for name in NAMES:
                self.assertEqual(self.help_of("-plugin", plugin(), "-device", f"{name},help"),
                                 f"qemu-system-x86_64: -device {name},help: Device '{name}' not found\n")
            return
        for name in NAMES:
            self.explains_all(self.help_of("-device", f"{name},help"))
        self.assertRegex(self.help_of("-device", "help"), r'"virtio-ddebug-pci", .*alias "virtio-ddebug"')

    def virtio_status(self, guest):
        """The output of x-query-virtio-status for the device that x-query-virtio lists."""
        listed = [device for device in guest.command("x-query-virtio") if device["name"] == "virtio-ddebug"]
        self.assertEqual([device["path"] for device in listed],
                         ["/machine/peripheral/ddebug0/virtio-backend"])
        status = guest.command("x-query-virtio-status", path=listed[0]["path"])
        self.log.info("%s", status)
        self.assertEqual(status["name"], "virtio-ddebug")
        return status

    def test_its_status_and_place_in_the_tree_can_be_queried(self):
        """
        :avocado: tags=smoke
        """
        guest = self.boot(props="size=2M", modules=())
        before = self.virtio_status(guest)
        guest.must("modprobe virtio_ddebug")
        status = self.virtio_status(guest)
        self.assertFalse([word for word in before["status"]["statuses"] if "DRIVER_OK" in word])
        self.assertTrue([word for word in status["status"]["statuses"] if "DRIVER_OK" in word])
        self.assertNotIn("unknown-statuses", status["status"])
        self.assertEqual(status["num-vqs"], 3)
        for side in ("guest-features", "host-features"):
            self.assertTrue([word for word in status[side]["transports"] if "VIRTIO_F_VERSION_1:" in word])
            # bits 0 to 23 are the device's; 7.2 does not know all of the others
            unknown = status[side].get("unknown-dev-features", 0) & 0xffffff
            self.assertEqual((status[side]["dev-features"], unknown), ([], 1 << 5 | 1 << 7) if plugin() else (
                ["VIRTIO_DDEBUG_F_LOG_ID: Log identified",
                 "VIRTIO_DDEBUG_F_NOTICE: Notices of oopses and panics supported"], 0))
        if not plugin():
            self.assertEqual(status["device-id"], 60)
        self.assertEqual(guest.must("cat /sys/bus/virtio/devices/virtio*/device").split(), ["0x003c"])

        tree = guest.command("human-monitor-command", **{"command-line": "info qtree"})
        self.assertIn('dev: virtio-ddebug-pci, id "ddebug0"', tree)
        self.assertIn("dev: virtio-ddebug-device", tree)
        self.assertIn(f'file = "{guest.log_file}"', tree)
        devices = guest.command("human-monitor-command", **{"command-line": "info pci"})
        self.assertIn("1af4:107c", devices)

    def cannot_be_traced(self):
        """A QEMU's events are fixed when it is built: it has none of a plugin's, says so when asked
        for one by name, and the device still works."""
        log = self.scratch("log")
        said = self.help_of("-plugin", plugin(), "-device", f"virtio-ddebug-pci,file={log},size=2M",
                            "-trace", "virtio_ddebug_*", "-trace", "virtio_ddebug_kick",
                            words="info trace-events virtio_ddebug_*\ninfo trace-events virtio_set_status")
        self.assertIn("trace event 'virtio_ddebug_kick' does not exist", said)
        self.assertEqual(re.findall(r"^(\w+) : state \d", said, re.M), ["virtio_set_status"])
        self.assertEqual([name for name, _ in Log(log).read().events],
                         ["open", "machine-reset", "shutdown", "close"])

    def test_its_work_can_be_traced_if_it_is_part_of_qemu(self):
        """
        :avocado: tags=smoke
        """
        if plugin():
            self.cannot_be_traced()
            return
        trace = self.scratch("trace")
        guest = self.boot(props="size=2M", modules=("virtio_ddebug", "ddebug_test"),
                          args=["-trace", "virtio_ddebug_*", "-D", trace])
        guest.control("module ddebug_test +r")
        guest.load("threads=1 count=1000")
        Log(guest.log_file).wait_quiet()
        guest.command("stop")
        guest.command("cont")
        Log(guest.log_file).tool("--size=1M")
        Log(guest.log_file).wait_quiet()
        guest.must("rmmod virtio_ddebug")
        self.assertEqual(guest.shut_down(), 0)
        with open(trace, encoding="utf-8") as file:
            events = re.findall(r"^virtio_(ddebug_\w+) (.*)$", file.read(), re.M)
        names = {name for name, _ in events}
        for name in ("realize", "request", "respond", "stream_post", "kick", "streams_forget",
                     "set_driver_ok", "reset", "log_size", "drain_start", "drain_span", "drain_pass",
                     "drain_settled", "drain_sleep", "drain_withdraw", "drain_permit", "drain_stop"):
            self.assertIn(f"ddebug_{name}", names)
        for name in ("stream_refuse", "drain_broken", "drain_unstaged", "drain_io_error"):
            self.assertNotIn(f"ddebug_{name}", names)
        posted = [re.search(r" stream (\d+) ", words).group(1) for name, words in events
                  if name == "ddebug_stream_post"]
        self.assertEqual(sorted(map(int, posted)), list(range(4 * guest.smp)))
        written = sum(int(re.search(r" len (\d+)$", words).group(1)) for name, words in events
                      if name == "ddebug_drain_span")
        self.assertGreater(written, 1000 * 24)
