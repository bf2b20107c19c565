# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests with guests have in common."""

import logging
import os
import time

import avocado

from ddebug_guest import Guest


class DdebugTest(avocado.Test):
    """A test that boots guests; whatever happens, none is left behind."""

    timeout = 300

    def setUp(self):
        logging.getLogger("qemu.qmp").setLevel(logging.WARNING)
        logging.getLogger("asyncio").setLevel(logging.WARNING)
        self.guests = []

    def tearDown(self):
        for guest in self.guests:
            guest.close()

    def new_guest(self, **options):
        """A guest that is not started yet; its files lie among the test's results."""
        options.setdefault("life", self.timeout - 5)
        guest = Guest(self.outputdir, name=f"guest{len(self.guests)}", **options)
        self.guests.append(guest)
        return guest

    def boot(self, **options):
        begin = time.monotonic()
        guest = self.new_guest(**options).boot()
        self.log.info("booted in %.1f s", time.monotonic() - begin)
        return guest

    def scratch(self, name):
        return os.path.join(self.outputdir, name)
