# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the device trusts no driver: one that breaks each rule of docs/spec/virtio-ddebug.md,
and of virtqueues, gets the answers that are said there, or DEVICE_NEEDS_RESET, and nothing else
happens: QEMU goes on and ends as ever, other streams lose nothing, a driver that keeps the rules
has its messages in the log afterwards, and what is copied of the others was in their rings.

There is no guest: the drivers are in here (ddebug/qtest.py)."""

import contextlib

from .case import DdebugTest
from .guest import Log
from .qtest import FEATURES, F_SHM, REQ_CLOCK, REQ_HDR, S_INVAL, S_OK, Driver, Evidence, Machine, Stream

ALL_ONES = (1 << 64) - 1
SEED = 20261125
MIB = 1 << 20


class Hostile(DdebugTest):
    """Drivers that break the rules, and behind each of them one that keeps them."""

    timeout = 200

    def machine(self, props="size=4M,ioeventfd=off", **options):
        """A QEMU; without ioeventfd a notification is served when the store is done that it is."""
        machine = Machine(self.outputdir, name=f"machine{len(self.guests)}", life=self.timeout - 5,
                          props=props, **options)
        self.guests.append(machine)
        machine.start()
        machine.good = set()        # (epoch, stream) of those that keep the rules
        machine.texts = []          # what they have said
        return machine

    def attached(self, machine, features=FEATURES, **options):
        driver = Driver(machine, features, **options)
        self.assertEqual(driver.attach()[0], S_OK)
        self.assertEqual(driver.dictionary(), S_OK)
        return driver

    def good_stream(self, driver, stream=0, **more):
        """One that is posted, and whose messages are known."""
        found = Stream(driver, stream, **more).post()
        driver.machine.good.add((driver.epoch, stream))
        return found

    def says(self, stream, count=2):
        """Messages that the log must have."""
        machine = stream.machine
        texts = [b"good message %d " % (len(machine.texts) + at) for at in range(count)]
        machine.texts += [text.ljust(900, b".") for text in texts]
        stream.say(*machine.texts[-count:])

    def evidence(self, machine):
        """The log: every message that was said is there once, and nothing is damaged."""
        found = Evidence(machine.log_file, machine.good)
        self.assertEqual(sorted(message.text for message in found.messages), sorted(machine.texts))
        self.assertEqual((found.damaged, found.skipped, found.total_lost, found.tail_lost), (0, 0, 0, 0))
        for message in found.messages:
            self.assertEqual((message.pid, message.callsite.function), (42, "good"))
        return found

    def good(self, machine, shm=None):
        """A driver that keeps the rules is served as if nothing had been."""
        driver = self.attached(machine, FEATURES | (0 if shm is None else 1 << F_SHM))
        stream = self.good_stream(driver, size=8192, shm=shm)
        while stream.position < stream.size:
            self.says(stream, 6)    # less than the ring holds
            stream.wait_consumed()
        self.says(stream)
        self.assertEqual(driver.retire(0, 1), S_INVAL)
        self.assertEqual(driver.retire(0), S_OK)
        self.assertEqual(driver.ring.returned(), [(stream.descriptor, 64)])
        self.assertEqual(stream.consumed(), stream.position)
        # behind what was copied before
        self.assertEqual(driver.dictionary(), S_OK)
        self.assertFalse(driver.needs_reset())
        self.assertEqual(machine.command("query-status")["running"], True)
        return self.evidence(machine)

    def tool_reads(self, machine):
        """The tool shows each message that was said once, and no other that has its looks."""
        log = Log(machine.log_file)
        self.log.info("%s", log.tool("--info").stdout.decode())
        shown = [line.text for line in log.trace() if line.stamp is not None]
        mine = sorted(text[text.index(b"good message"):] for text in shown if b"good message" in text)
        self.assertEqual(mine, sorted(machine.texts))
        return log.info(), [text for text in shown if b"good message" not in text]

    def ends(self, machine):
        """QEMU ends as ever: what the tool says of the log, and shows that no good driver wrote."""
        machine.command("quit")
        self.assertEqual(machine.wait(), 0, machine.qemu_output())
        self.assertNotRegex(machine.qemu_output(), "(?i)assert|abort|CRITICAL|sanitizer")
        self.assertEqual(self.evidence(machine).events[-1][0], "close")
        return self.tool_reads(machine)

    def ends_clean(self, machine):
        """The same, where there is nothing else to show."""
        info, others = self.ends(machine)
        self.assertEqual(others, [])
        self.assertEqual((info["received"], info["lost"]), (len(machine.texts), 0))

    @contextlib.contextmanager
    def case(self, name):
        """Names the row of a table, should it fail."""
        self.log.info("case: %s", name)
        try:
            yield
        except Exception as error:
            raise self.failureException(f"case '{name}': {error!r}") from error

    def broken(self, driver, *queues):
        """The device says that it needs a reset, and has returned nothing."""
        self.assertTrue(driver.needs_reset())
        for queue in queues or driver.queues:
            self.assertEqual(queue.returned(), [])

    def breaks(self, machine, act, shm=None):
        """What a driver does makes the device need a reset, and costs another of its streams nothing."""
        driver = self.attached(machine, FEATURES | (0 if shm is None else 1 << F_SHM))
        driver.control.returned()
        companion = self.good_stream(driver, 1, shm=shm)
        self.says(companion)
        act(driver)
        self.broken(driver)
        # it does nothing more for the driver, who has not seen it yet
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
