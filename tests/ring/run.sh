#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# run.sh short|long, with O=folder: runs the programs that the Makefile has built.
# Those that are whole must find nothing; those that lack something must find just
# that, or the others' silence would mean nothing.  Output is TAP.
set -euo pipefail
. "$(dirname "$0")/../tools/tap.sh"

length=$1
case $length in
short) bursts=20 seeds=1 resizes=40 ;;
long) bursts=500 seeds=8 resizes=300 ;;
*) echo "run.sh: '$length' is not known: short or long" >&2; exit 2 ;;
esac

log=$O/log
# Far above what any of them takes: one that hangs is killed.
limit='timeout -s KILL 3600'

summary() {
    awk '/^# sent:/ { sent += $3 } / messages in / { got += $3 }
         END { if (sent) print "# " sent " messages sent, " got " received and checked" }' "$log"
}

# holds NAME PROGRAM [OPTION...]: it finds nothing, with any seed
holds() {
    local name=$1 program=$2 seed good=yes
    shift 2

    : >"$log"
    for ((seed = 1; seed <= seeds; seed++)); do
        if ! $limit "$O/stress-$program" --seed="$seed" "$@" >>"$log" 2>&1; then
            echo "with --seed=$seed $*" >>"$log"
            good=no
            break
        fi
    done
    result "$name" "$good"
}

# finds NAME PATTERN PROGRAM [OPTION...]: it says so, with one of the seeds
finds() {
    local name=$1 pattern=$2 program=$3 seed good=no
    shift 3

    for ((seed = 1; seed <= 50; seed++)); do
        if ! $limit "$O/stress-$program" --seed="$seed" "$@" >"$log" 2>&1; then
            if grep -q "$pattern" "$log"; then
                good=yes
            fi
            break
        fi
    done
    result "$name" "$good"
}

# lives NAME PROGRAM: each of its cases holds
lives() {
    if $limit "$O/life-$2" >"$log" 2>&1; then
        result "$1" yes
    else
        result "$1" no
    fi
}

# Rings that are never lapped: nothing races, so nothing needs to be exempt.
unlapped=(--no-interrupts --bursts=2 --messages=2000 --rb-size-kb=2048)

# On a busy machine it has forgotten the stack of the first access otherwise.
export TSAN_OPTIONS='halt_on_error=1 exitcode=66 history_size=7'
export ASAN_OPTIONS='detect_leaks=0'

# Many messages of a CPU fall into one step.
coarse=(--clock-step=4000000 --no-signals)

echo '1..19'
lives 'rings: made, left, swapped, retired, freed, and short of memory' points
lives 'rings: the same with ASan and UBSan' asan
holds 'rings: writers at full speed, interrupted at any instruction' plain --bursts=$((bursts * 2))
holds 'rings: recursion, deaths, contexts within contexts' points --bursts="$bursts" --cpus=3
holds 'rings: order within a CPU, by a clock of 4 ms' points --bursts="$bursts" --cpus=3 "${coarse[@]}"
holds 'rings: recursion, deaths, contexts with ASan and UBSan' asan --bursts="$bursts"
holds 'rings: recursion, deaths, contexts with ThreadSanitizer' tsan --no-signals --bursts=$((bursts / 4))
holds 'rings: of other sizes, while they are written and read' points --bursts="$bursts" --resizes="$resizes"
holds 'rings: of other sizes, at any instruction' plain --bursts="$bursts" --resizes="$resizes"
holds 'rings: of other sizes, with ThreadSanitizer' tsan --no-signals --bursts=$((bursts / 4)) --resizes="$resizes"
holds 'rings: stores that are seen late and out of order' weak --no-signals --bursts="$bursts"
holds 'rings: without a lap ThreadSanitizer needs no exemption' checked-copy "${unlapped[@]}"
finds 'rings: with laps the copy races, and ThreadSanitizer would say so' \
    'copy_racing' checked-copy --no-signals
finds 'rings: without release ThreadSanitizer finds a race' 'data race' no-release "${unlapped[@]}"
finds 'rings: data behind head are found' 'FAILED: .*a record without a type\|FAILED: .*not said' \
    late-data --no-signals --bursts=200
finds 'rings: without producer:A torn messages are found' 'FAILED: ' no-wmb --no-signals --bursts=200
finds 'rings: without kick:A a message left behind is found' 'FAILED: .*asleep' no-mb --no-signals
finds 'rings: without the claim overwritten messages are found' 'FAILED: ' no-claim --no-signals
finds 'rings: without an atomic time stamp the order of contexts is lost' 'FAILED: .*it was over' no-cmpxchg \
    "${coarse[@]}" --bursts=200
exit "$bad"
