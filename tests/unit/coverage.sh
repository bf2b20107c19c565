#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# coverage.sh FOLDER FILE:PERCENT...: the branches of each FILE of the tree that
# the tests run in FOLDER have taken; PERCENT of them, or it fails.  Output is
# TAP, FOLDER/coverage.txt has the lines.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$1
shift
filters=()
for wanted in "$@"; do
    file=${wanted%:*}
    filters+=(--filter "$file$")
done
gcovr --root . --exclude-unreachable-branches "${filters[@]}" --branches --json-summary "$out/coverage.json" \
    --txt "$out/coverage.txt" "$out" >"$out/gcovr.log" 2>&1
status=0
for wanted in "$@"; do
    file=${wanted%:*} percent=${wanted#*:}
    read -r total covered < <(python3 - "$out/coverage.json" "$file" <<'PYTHON'
import json
import sys
with open(sys.argv[1], encoding="utf-8") as file:
    found = [entry for entry in json.load(file)["files"] if entry["filename"].endswith(sys.argv[2])]
print(*((found[0]["branch_total"], found[0]["branch_covered"]) if found else (0, 0)))
PYTHON
    )
    what="/coverage/$file: $covered of $total branches, $percent % wanted"
    if [ "$total" -gt 0 ] && [ $((100 * covered)) -ge $((percent * total)) ]; then
        echo "ok - $what"
    else
        echo "not ok - $what"
        status=1
    fi
done
[ $status -eq 0 ] || sed 's/^/# /' "$out/coverage.txt"
exit $status
