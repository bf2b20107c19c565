#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# minimise.sh FOLDER TARGET...: seeds and finds that add coverage go to corpus/;
# the seeds and crash-* stay in any case.
set -euo pipefail
cd "$(dirname "$0")"
out=$1
shift
for target in "$@"; do
    mkdir -p "$out/found/$target" "corpus/$target"
    rm -rf "$out/merged/$target"
    mkdir -p "$out/merged/$target"
    cp "$out/seed/$target"/* "$out/merged/$target/"
    find "corpus/$target" -name 'crash-*' -exec cp {} "$out/merged/$target/" \;
    "$out/libfuzzer/fuzz-$target" -merge=1 -max_len=4096 "$out/merged/$target" "corpus/$target" \
        "$out/found/$target" >"$out/$target-merge.log" 2>&1
    rm -f "corpus/$target"/*
    cp "$out/merged/$target"/* "corpus/$target/"
    echo "$target: $(find "corpus/$target" -type f | wc -l) inputs"
done
