#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# run.sh short|long FOLDER TARGET...
#
#   short   each target by libFuzzer, from the corpus and what was found before, and by AFL++:
#           FUZZ_SECONDS each, or FUZZ_RUNS executions by libFuzzer
#   long    by libFuzzer, FUZZ_SECONDS each, two targets at a time, round after round until there were
#           FUZZ_TOTAL executions in all
#
# What is found is kept in FOLDER.  Output is TAP, and the number of executions.
set -euo pipefail
cd "$(dirname "$0")"
kind=$1 out=$2
shift 2
seconds=$FUZZ_SECONDS
status=0
declare -A sum=()
total=0

result() {    # NAME EXIT-STATUS CRASHES...
    local name=$1 code=$2 crash
    shift 2
    if [ "$code" -eq 0 ] && [ $# -eq 0 ]; then
        echo "ok - $name"
        return
    fi
    echo "not ok - $name"
    for crash in "$@"; do
        echo "# found: $crash; once it is mended keep it as a case in tests/fuzz/corpus/"
    done
    status=1
}

count() {    # TARGET EXECUTIONS
    sum[$1]=$((${sum[$1]:-0} + ${2:-0}))
    total=$((total + ${2:-0}))
}

libfuzzer() {    # TARGET
    local limit=(-max_total_time="$seconds")
    mkdir -p "$out/found/$1"
    [ "$kind" = long ] || [ -z "$FUZZ_RUNS" ] || limit=(-runs="$FUZZ_RUNS")
    # Slow is what takes processor time, which the targets look at; others use the machine, too.
    "$out/libfuzzer/fuzz-$1" "${limit[@]}" -timeout=60 -report_slow_units=60 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$out/crash/$1/" "$out/found/$1" "corpus/$1" >"$out/$1.log" 2>&1
}

executions() {    # TARGET
    sed -n 's/^stat::number_of_executed_units: *//p' "$out/$1.log"
}

afl() {    # TARGET
    rm -rf "$out/afl/out-$1"
    env AFL_SKIP_CPUFREQ=1 AFL_NO_UI=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_AFFINITY=1 \
        ASAN_OPTIONS=abort_on_error=1:symbolize=0:detect_leaks=0 \
        afl-fuzz -i "corpus/$1" -o "$out/afl/out-$1" -V "$seconds" -t 10000+ -m none \
        -- "$out/afl/fuzz-$1" >"$out/$1-afl.log" 2>&1
}

short() {
    local target code runs
    for target in "$@"; do
        code=0
        libfuzzer "$target" || code=$?
        runs=$(executions "$target")
        count "$target" "$runs"
        [ "$code" -eq 0 ] || tail -n 30 "$out/$target.log" | sed 's/^/# /'
        result "/fuzz/$target: libFuzzer, ${runs:-no} executions" "$code" "$out/crash/$target"/*
    done
    for target in "$@"; do
        code=0
        afl "$target" || code=$?
        runs=$(sed -n 's/^execs_done *: *//p' "$out/afl/out-$target/default/fuzzer_stats" 2>/dev/null || true)
        count "$target" "$runs"
        [ "${runs:-0}" -gt 0 ] || code=1
        [ "$code" -eq 0 ] || tail -n 30 "$out/$target-afl.log" | sed 's/^/# /'
        result "/fuzz/$target: AFL++, ${runs:-no} executions" "$code" \
            "$out/afl/out-$target"/default/{crashes,hangs}/id*
    done
}

two_at_a_time() {    # TARGET...
    local target
    while [ $# -gt 0 ]; do
        for target in "${@:1:2}"; do
            libfuzzer "$target" &
            job[$target]=$!
        done
        for target in "${@:1:2}"; do
            code[$target]=0
            wait "${job[$target]}" || code[$target]=$?
            count "$target" "$(executions "$target")"
        done
        shift $(($# > 1 ? 2 : 1))
    done
}

long() {
    local -A job=() code=()
    local target failed=
    while [ "$total" -lt "$FUZZ_TOTAL" ] && [ -z "$failed" ]; do
        two_at_a_time "$@"
        for target in "$@"; do
            [ "${code[$target]}" -eq 0 ] || failed=yes
        done
        echo "# $(date -u +%FT%TZ) $total executions so far"
    done
    for target in "$@"; do
        [ "${code[$target]}" -eq 0 ] || tail -n 30 "$out/$target.log" | sed 's/^/# /'
        result "/fuzz/$target: libFuzzer, ${sum[$target]} executions" "${code[$target]}" "$out/crash/$target"/*
    done
    [ "$total" -ge "$FUZZ_TOTAL" ] || result "/fuzz: $total of $FUZZ_TOTAL executions" 1
}

# The log that fuzz-log writes: in memory, and gone however the targets end.
TMPDIR=$(mktemp -d -p /dev/shm ddebug-fuzz-XXXXXX 2>/dev/null || mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
shopt -s nullglob
for target in "$@"; do
    mkdir -p "$out/crash/$target"
    rm -f "$out/crash/$target"/*
done
"$kind" "$@"
echo "# $total executions in all"
exit $status
