#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The Python environment of the guest tests, in the cache; made once for each
# content of requirements.txt.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

venv=$cache/venv
wanted=$repo/tests/avocado/requirements.txt

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if cmp -s "$wanted" "$venv/requirements.txt"; then
    exit 0
fi
say "Python environment of the guest tests"
rm -rf "$venv"
# the one that the package python3-venv belongs to, whatever PATH says
run_logged venv /usr/bin/python3 -m venv "$venv"
run_logged venv-pip "$venv/bin/pip" install --disable-pip-version-check -r "$wanted"
# Only a whole environment gets this file.
cp "$wanted" "$venv/requirements.txt"
