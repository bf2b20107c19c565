# SPDX-License-Identifier: GPL-2.0-or-later
"""Shared by the tests of hostile drivers (test_hostile_*.py): the device trusts no driver.

A driver that breaks a rule of docs/spec/virtio-ddebug.md, or of virtqueues, gets the answer that
the specification says, or DEVICE_NEEDS_RESET, and nothing else happens: QEMU continues and ends
normally, other streams lose nothing, a well-behaved driver's messages are in the log afterwards,
and what is copied of the others was in their rings.

There is no guest: the drivers are Python (ddebug/qtest.py).
"""

import contextlib

from .case import DdebugTest
from .guest import Log
from .qtest import (FEATURES, F_SHM, REQ_CLOCK, REQ_HDR, S_INVAL, S_OK, STATUS_USED, Driver, Evidence,
                    Machine, Stream)

ALL_ONES = (1 << 64) - 1
SEED = 20261125
MIB = 1 << 20

# what a call of the device does at most, and what an element costs besides its pieces, in its own unit
PORTION, ELEMENT = 1024, 16


class Hostile(DdebugTest):
    """Drivers that break the rules, each followed by one that keeps them."""

    timeout = 200

    def machine(self, props="size=4M,ioeventfd=off", **options):
        """Start a QEMU; without ioeventfd a notification is served before its store completes."""
        machine = Machine(self.outputdir, name=f"machine{len(self.guests)}", life=self.timeout - 5,
                          props=props, **options)
        self.guests.append(machine)
        machine.start()
        machine.good = set()        # (epoch, stream) of well-behaved drivers
        machine.texts = []          # their messages
        return machine

    def attached(self, machine, features=FEATURES, **options):
        driver = Driver(machine, features, **options)
        self.assertEqual(driver.attach()[0], S_OK)
        self.assertEqual(driver.dictionary(), S_OK)
        return driver

    def good_stream(self, driver, stream=0, **more):
        """Post a stream whose messages are known."""
        found = Stream(driver, stream, **more).post()
        driver.machine.good.add((driver.epoch, stream))
        return found

    def says(self, stream, count=2):
        """Add messages that the log must have."""
        machine = stream.machine
        texts = [b"good message %d " % (len(machine.texts) + at) for at in range(count)]
        machine.texts += [text.ljust(900, b".") for text in texts]
        stream.say(*machine.texts[-count:])

    def evidence(self, machine):
        """The log: check that every message is there once, and nothing is damaged."""
        found = Evidence(machine.log_file, machine.good)
        self.assertEqual(sorted(message.text for message in found.messages), sorted(machine.texts))
        self.assertEqual((found.damaged, found.skipped, found.total_lost, found.tail_lost), (0, 0, 0, 0))
        for message in found.messages:
            self.assertEqual((message.pid, message.callsite.function), (42, "good"))
        return found

    def good(self, machine, shm=None):
        """Check that a well-behaved driver is served as if nothing had happened."""
        driver = self.attached(machine, FEATURES | (0 if shm is None else 1 << F_SHM))
        stream = self.good_stream(driver, size=8192, shm=shm)
        while stream.position < stream.size:
            self.says(stream, 6)    # less than the ring holds
            stream.wait_consumed()
        self.says(stream)
        self.assertEqual(driver.retire(0, 1), S_INVAL)
        self.assertEqual(driver.retire(0), S_OK)
        self.assertEqual(driver.ring.returned(), [(stream.descriptor, STATUS_USED)])
        self.assertEqual(stream.consumed(), stream.position)
        # after what was copied before
        self.assertEqual(driver.dictionary(), S_OK)
        self.assertFalse(driver.needs_reset())
        self.assertEqual(machine.command("query-status")["running"], True)
        return self.evidence(machine)

    def tool_reads(self, machine):
        """Check that the tool shows each message once, and no other that looks like one."""
        log = Log(machine.log_file)
        self.log.info("%s", log.tool("--info").stdout.decode())
        shown = [line.text for line in log.trace() if line.stamp is not None]
        mine = sorted(text[text.index(b"good message"):] for text in shown if b"good message" in text)
        self.assertEqual(mine, sorted(machine.texts))
        return log.info(), [text for text in shown if b"good message" not in text]

    def ends(self, machine):
        """Check that QEMU ends normally: the tool's --info, and the messages that no good driver wrote."""
        machine.command("quit")
        self.assertEqual(machine.wait(), 0, machine.qemu_output())
        self.assertNotRegex(machine.qemu_output(), "(?i)assert|abort|CRITICAL|sanitizer")
        self.assertEqual(self.evidence(machine).events[-1][0], "close")
        return self.tool_reads(machine)

    def ends_clean(self, machine):
        """The same, with nothing else to show."""
        info, others = self.ends(machine)
        self.assertEqual(others, [])
        self.assertEqual((info["received"], info["lost"]), (len(machine.texts), 0))

    @contextlib.contextmanager
    def case(self, name):
        """Name the row of a table if it fails."""
        self.log.info("case: %s", name)
        try:
            yield
        except Exception as error:
            raise self.failureException(f"case '{name}': {error!r}") from error

    def broken(self, driver, *queues):
        """Check that the device needs a reset, and has returned nothing."""
        self.assertTrue(driver.needs_reset())
        for queue in queues or driver.queues:
            self.assertEqual(queue.returned(), [])

    def breaks(self, machine, act, shm=None):
        """Check that what a driver does makes the device need a reset, and costs its other stream nothing."""
        driver = self.attached(machine, FEATURES | (0 if shm is None else 1 << F_SHM))
        driver.control.returned()
        companion = self.good_stream(driver, 1, shm=shm)
        self.says(companion)
        act(driver)
        self.broken(driver)
        # it does nothing more for the driver, which has not noticed yet
        driver.send(hdr(REQ_CLOCK, 0))
        Stream(driver, 2).post()
        self.broken(driver)
        self.says(companion)
        driver.reset()
        self.assertEqual(companion.consumed(), companion.position)
        self.good(machine, shm)


def hdr(kind, length):
    return REQ_HDR.pack(kind, 0, length)


def split(address, size, piece):
    return [(address + at, min(piece, size - at)) for at in range(0, size, piece)]
