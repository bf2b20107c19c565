#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# run.sh short|long, with O=directory: kill the log writer, some hundred times or more
# than 10,000, and take the power from it.  No error may be found; and if writer or disk
# are broken on purpose, exactly that error must be found, or finding none would prove
# nothing.  Output is TAP.
set -euo pipefail
. "$(dirname "$0")/../tools/tap.sh"

length=$1
case $length in
short) kills=200 every=1 losses=100 ;;
long) kills=10000 every=5 losses=10000 ;;
*) echo "run.sh: '$length' is not known: short or long" >&2; exit 2 ;;
esac

log=$O/log
# The files of failed runs are kept for inspection until the next run.
export TMPDIR=$O
rm -rf "$O"/ddebug-crash-* "$O"/ddebug-power-*
# Far more than needed; kills one that hangs.
limit='timeout -s KILL 7200'

summary() {
    grep '^#' "$log" || true
}

# holds NAME PROGRAM OPTION...: it finds no error
holds() {
    local name=$1 program=$2
    shift 2
    if $limit "$O/$program" "$@" >"$log" 2>&1; then
        result "$name" yes
    else
        result "$name" no
    fi
}

# finds NAME PATTERN PROGRAM OPTION...: it finds that error
finds() {
    local name=$1 pattern=$2 program=$3
    shift 3
    if ! $limit "$O/$program" "$@" >"$log" 2>&1 && grep -q "^FAILED: .*$pattern" "$log"; then
        result "$name" yes
    else
        result "$name" no
    fi
}

echo '1..10'
holds 'log writer: killed at every system call of resizes, clears, segments' crash --kills=0 --every-call="$every"
holds "log writer: killed $kills times at random" crash --kills="$kills" --every-call=0
finds 'log writer: a chunk that is acknowledged and not written is found' 'is lost' \
    crash --every-call=0 --sabotage=lose
finds 'log writer: a text that was never written is found' 'false text' crash --every-call=0 --sabotage=falsify
finds 'log writer: a header in the wrong slot is found' 'not the oldest\|is overwritten\|is lost\|at another place' \
    crash --every-call=0 --sabotage=victim
finds 'log writer: a file that is cut before its segments are moved is found' 'is lost\|is cut off' \
    crash --every-call=0 --sabotage=early-cut
holds "log writer: $losses losses of power at random" power --losses="$losses" --shrinks=0
holds 'log writer: loss of power at every system call of a shrink' power --losses=0 --shrinks="$every"
finds 'log writer: a sync that did nothing is found' 'is said to be synced' power --shrinks=0 --sabotage=no-sync
finds 'log writer: a log that is made smaller without a sync is found' 'was synced, and is lost' \
    power --losses=0 --shrinks=5 --sabotage=shrink
exit "$bad"
