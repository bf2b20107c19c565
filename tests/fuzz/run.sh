#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# run.sh FOLDER TARGET...: each target by libFuzzer, from the corpus and what was
# found before, and by AFL++.  What they find is kept in FOLDER.  Output is TAP.
set -euo pipefail
cd "$(dirname "$0")"
out=$1
shift
seconds=$FUZZ_SECONDS
status=0

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

# The log that fuzz-log writes: in memory, and gone however the targets end.
TMPDIR=$(mktemp -d -p /dev/shm ddebug-fuzz-XXXXXX 2>/dev/null || mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
shopt -s nullglob
for target in "$@"; do
    found=$out/found/$target crash=$out/crash/$target
    mkdir -p "$found" "$crash"
    rm -f "$crash"/*
    limit=(-max_total_time="$seconds")
    [ -z "$FUZZ_RUNS" ] || limit=(-runs="$FUZZ_RUNS")
    code=0
    "$out/libfuzzer/fuzz-$target" "${limit[@]}" -timeout=60 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$crash/" "$found" "corpus/$target" >"$out/$target.log" 2>&1 || code=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$target.log")
    [ "$code" -eq 0 ] || tail -n 30 "$out/$target.log" | sed 's/^/# /'
    result "/fuzz/$target: libFuzzer, ${runs:-no} executions" "$code" "$crash"/*
done
for target in "$@"; do
    rm -rf "$out/afl/out-$target"
    code=0
    env AFL_SKIP_CPUFREQ=1 AFL_NO_UI=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_AFFINITY=1 \
        ASAN_OPTIONS=abort_on_error=1:symbolize=0:detect_leaks=0 \
        afl-fuzz -i "corpus/$target" -o "$out/afl/out-$target" -V "$seconds" -t 10000+ -m none \
        -- "$out/afl/fuzz-$target" >"$out/$target-afl.log" 2>&1 || code=$?
    runs=$(sed -n 's/^execs_done *: *//p' "$out/afl/out-$target/default/fuzzer_stats" 2>/dev/null || true)
    [ -n "$runs" ] && [ "$runs" -gt 0 ] || code=1
    [ "$code" -eq 0 ] || tail -n 30 "$out/$target-afl.log" | sed 's/^/# /'
    result "/fuzz/$target: AFL++, ${runs:-no} executions" "$code" \
        "$out/afl/out-$target"/default/{crashes,hangs}/id*
done
exit $status
