#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""rules.py FOLDER: the tests' independent reader judges what test-rules has left in FOLDER.

The verdicts are those that docs/log-format.md demands, which reader and writer have agreed to.
"""

import os
import sys

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [os.path.join(TESTS, "avocado")]

from ddebug.logfile import BadLog, LogFile      # noqa: E402


def judge(path):
    """As test-rules.c says it."""
    try:
        log = LogFile(path, rings=True, salvage=True)
    except BadLog as error:
        return error.code
    texts = [message.text.decode() for message in log.messages]
    verdict = " ".join(f"{text}@{log.newest.seg_seq}" if text == "new" else text for text in texts)
    return f"{verdict} settled={log.settled}" if log.settled else verdict


def main():
    folder = sys.argv[1]
    with open(os.path.join(folder, "verdicts"), encoding="utf-8") as file:
        cases = [line.rstrip("\n").split("\t") for line in file]
    wrong = []
    for number, name, *expected in cases:
        for when, verdict in zip(("before", "after"), expected):
            path = os.path.join(folder, f"{number}.{when}")
            # what the writer has refused is as it was
            if when == "after" and not os.path.exists(path):
                continue
            found = judge(path)
            if found != verdict:
                wrong.append(f'{name}: {when} the writer: "{found}", not "{verdict}"')
    print(f"1..1\n{'not ok' if wrong or not cases else 'ok'} 1 - rules: an independent reader "
          f"judges {len(cases)} logs alike")
    for line in wrong[:50]:
        print("#", line)
    return bool(wrong) or not cases


if __name__ == "__main__":
    sys.exit(main())
