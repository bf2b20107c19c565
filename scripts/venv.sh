#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# venv.sh [NAME REQUIREMENTS]
#
# Create a Python environment in the cache, by default that of the guest tests, unless there is one
# for the same requirements.txt.
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
say "Creating the Python environment for ${wanted#"$repo/"} (packages from PyPI)"
rm -rf "$venv"
# the python3 that python3-venv belongs to, whatever PATH says
run_logged "${1-venv}" /usr/bin/python3 -m venv "$venv"
run_logged "${1-venv}-pip" "$venv/bin/pip" install --disable-pip-version-check -r "$wanted"
# Copied last: it marks a complete environment.
cp "$wanted" "$venv/requirements.txt"
