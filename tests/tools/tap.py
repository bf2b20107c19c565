# SPDX-License-Identifier: GPL-2.0-or-later
"""TAP output, which tests/tools/check.py counts: of Python's unittest, and of checks."""

import sys
import traceback
import unittest


class Tap(unittest.TestResult):
    """Print one line a test."""

    def addSuccess(self, test):
        print(f"ok - {test.id().split('.')[-1]}", flush=True)

    def _failed(self, test, error):
        print(f"not ok - {test.id().split('.')[-1]}")
        for line in "".join(traceback.format_exception(*error)).splitlines():
            print(f"# {line}", flush=True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._failed(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self._failed(test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"ok - {test.id().split('.')[-1]} # SKIP {reason}", flush=True)


def main(case):
    """Run the tests of a class, or those named on the command line: the exit status."""
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(sys.argv[1:], case) if sys.argv[1:] else \
        loader.loadTestsFromTestCase(case)
    return 0 if suite.run(Tap()).wasSuccessful() else 1


def report(checks):
    """Print each (name, complaints), which is ok if there is no complaint: the exit status."""
    bad = False
    for name, complaints in checks:
        bad = bad or bool(complaints)
        print("not ok" if complaints else "ok", "-", name)
        for complaint in complaints:
            print("   ", complaint)
    return 1 if bad else 0
