# SPDX-License-Identifier: GPL-2.0-or-later
#
# Sourced by scripts that run programs as tests, with a program's output in $log.  Prints TAP; bad is 1 once a
# test has failed.  The script defines summary(), which prints what a passed test found, in "#" lines.

number=0
bad=0

# result NAME yes|no: report the program that wrote the log
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
