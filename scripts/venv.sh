#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# venv.sh [NAME REQUIREMENTS]
#
# A Python environment in the cache, by default that of the guest tests; made
# once for each content of its requirements.txt.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

venv=$cache/${1-venv}
wanted=$repo/${2-tests/avocado/requirements.txt}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if cmp -s "$wanted" "$venv/requirements.txt"; then
    exit 0
fi
say "Python environment of ${wanted#"$repo/"}"
rm -rf "$venv"
# the one that the package python3-venv belongs to, whatever PATH says
run_logged "${1-venv}" /usr/bin/python3 -m venv "$venv"
run_logged "${1-venv}-pip" "$venv/bin/pip" install --disable-pip-version-check -r "$wanted"
# Only a whole environment gets this file.
cp "$wanted" "$venv/requirements.txt"
