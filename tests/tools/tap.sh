# SPDX-License-Identifier: GPL-2.0-or-later
#
# Sourced by scripts that run programs as tests, each with its output in $log.  Output is TAP; bad is 1 once
# something has failed.  The script has a function summary, which says in "#" lines what one that is ok has found.

number=0
bad=0

# result NAME yes|no, of what has written the log
result() {
    number=$((number + 1))
    if [ "$2" = yes ]; then
        echo "ok $number - $1"
        summary
    else
        bad=1
        echo "not ok $number - $1"
        head -n 60 "$log" | sed 's/^/# /'
    fi
}
