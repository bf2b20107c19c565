#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot a stock guest with the device, set the 'r' flag for some of its drivers, put them to work, and
show what ddebug-host prints meanwhile."""

import os
import re
import shutil
import sys
import threading
import time

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(REPO, "tests", "avocado"))

from ddebug import workload                                                    # noqa: E402
from ddebug.guest import BUILD, Guest, GuestError, Log, chosen_kernel, tool    # noqa: E402

STEPS = (
    ("network card (e1000e): load the driver, bring the link up, ping the gateway", workload.NETWORK),
    ("USB (xhci_hcd, usbcore, usb_storage): load the drivers, mount ext4 on a stick, write to it",
     workload.USB),
    ("squashfs: mount an image, read all its files", workload.SQUASHFS),
    ("sctp: exchange messages over the loopback interface", workload.SCTP),
)


def say(text):
    print(f"== {text}", flush=True)


class Stream(threading.Thread):
    """Show and count the output of ddebug-host --pipe."""

    MESSAGE = re.compile(rb"\[ *\d+\.\d{6}\] ")
    LOSS = re.compile(rb"-- (\d+) messages? (?:lost|dropped) on cpu")

    def __init__(self, log):
        super().__init__(daemon=True)
        self.process = log.stream("--pipe", "--wait")
        self.received = 0
        self.lost = 0
        self.start()

    def run(self):
        for line in self.process.stdout:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            loss = self.LOSS.match(line)
            if self.MESSAGE.match(line):
                self.received += 1
            elif loss:
                self.lost += int(loss.group(1))

    def wait_for(self, count, timeout=10):
        """Wait until this many messages are received or reported lost."""
        deadline = time.monotonic() + timeout
        while self.received + self.lost < count and time.monotonic() < deadline:
            time.sleep(0.05)

    def finish(self):
        """The tool exits by itself when the VM is gone: its exit status."""
        status = self.process.wait(20)
        self.join(5)
        return status


def run(guest, stream):
    say(f"Booting the stock kernel {chosen_kernel()['release']} with the virtio-ddebug device")
    guest.boot()
    for what, work in STEPS:
        say(f"Guest: set +r on {', '.join(work.modules)}")
        say(f"Guest: {what}")
        work.run(guest, "+r")
    guest.control("=_")
    produced = guest.committed() + guest.dropped()
    stream.wait_for(produced)
    kicks = guest.counter("kicks")
    say("Guest: power off")
    guest.shut_down()
    status = stream.finish()
    say("Done")
    print(f"produced: {produced}")
    print(f"received: {stream.received}")
    print(f"lost: {stream.lost}")
    print(f"kicks: {kicks}")
    print(f"log: {guest.log_file}")
    print(f"Print it again with: {os.path.relpath(tool())} --callsite {os.path.relpath(guest.log_file)}")
    print("Try it by hand with: make shell")
    if status or produced != stream.received + stream.lost:
        print(f"demo: error: produced differs from received + lost (exit status of ddebug-host: {status})",
              file=sys.stderr)
        return 1
    return 0


def main():
    folder = os.path.join(BUILD, "demo")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    stick, squash = os.path.join(folder, "stick.img"), os.path.join(folder, "squash.img")
    workload.make_ext4(stick)
    workload.make_squashfs(squash, files=20)
    guest = Guest(folder, life=170, args=workload.network_card() + workload.usb(stick) +
                  workload.squashfs_disk(squash))
    stream = Stream(Log(guest.log_file))
    try:
        return run(guest, stream)
    except GuestError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        guest.close()
        if stream.process.poll() is None:
            stream.process.kill()


if __name__ == "__main__":
    sys.exit(main())
