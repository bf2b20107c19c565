#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# run.sh short|long, with O=directory: kill the log writer, some hundred times or more
# than 10,000.  No error may be found; and if the writer is broken on purpose, exactly
# that error must be found, or finding none would prove nothing.  Output is TAP.
set -euo pipefail
. "$(dirname "$0")/../tools/tap.sh"

length=$1
case $length in
short) kills=200 every=1 ;;
long) kills=10000 every=5 ;;
*) echo "run.sh: '$length' is not known: short or long" >&2; exit 2 ;;
esac

log=$O/log
# The files of failed runs are kept for inspection until the next run.
export TMPDIR=$O
rm -rf "$O"/ddebug-crash-*
# Far more than needed; kills one that hangs.
limit='timeout -s KILL 7200'

summary() {
    grep '^#' "$log" || true
}

# holds NAME OPTION...: it finds no error
holds() {
    local name=$1
    shift
    if $limit "$O/crash" "$@" >"$log" 2>&1; then
        result "$name" yes
    else
        result "$name" no
    fi
}

# finds NAME PATTERN OPTION...: it finds that error
finds() {
    local name=$1 pattern=$2
    shift 2
    if ! $limit "$O/crash" "$@" >"$log" 2>&1 && grep -q "^FAILED: .*$pattern" "$log"; then
        result "$name" yes
    else
        result "$name" no
    fi
}

echo '1..6'
holds 'log writer: killed at every system call of resizes, clears, segments' --kills=0 --every-call="$every"
holds "log writer: killed $kills times at random" --kills="$kills" --every-call=0
finds 'log writer: a chunk that is acknowledged and not written is found' 'is lost' \
    --every-call=0 --sabotage=lose
finds 'log writer: a text that was never written is found' 'false text' --every-call=0 --sabotage=falsify
finds 'log writer: a header in the wrong slot is found' 'not the oldest\|is overwritten\|is lost\|at another place' \
    --every-call=0 --sabotage=victim
finds 'log writer: a file that is cut before its segments are moved is found' 'is lost\|is cut off' \
    --every-call=0 --sabotage=early-cut
exit "$bad"
