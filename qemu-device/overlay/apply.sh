#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# apply.sh [--link] TREE
# apply.sh --relink TREE
#
# Add the device to TREE, the unpacked source of QEMU 7.2: copy its sources and
# files/, and apply patches/.  Everything is checked before anything is changed,
# so that a TREE that is rejected is left as it was.
#
# --link    create symbolic links instead of copies, so that a build in TREE sees
#           changes to the files
# --relink  recreate only the links in the device's directory, after files were
#           added or removed; for a TREE that was set up with --link
set -euo pipefail

overlay=$(cd "$(dirname "$0")" && pwd -P)
device=$(dirname "$overlay")
log=$(dirname "$device")/log
contracts=$(dirname "$device")/include

# Everything in qemu-device/ but what makes the device loadable.
is_device() {
    case $1 in
        ddebug-loader.c | ddebug-object.c) return 1 ;;
        *.c | *.h | trace-events) return 0 ;;
    esac
    return 1
}

die() {
    printf 'apply.sh: error: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
    exit 1
}

# add FILE NEW: FILE is to be added to the tree as NEW
add() {
    files+=("$1")
    news+=("$tree/$2")
}

add_sources() {
    local file

    for file in "$device"/* "$log"/* "$contracts"/*; do
        if is_device "${file##*/}"; then
            add "$file" "hw/virtio/ddebug/${file##*/}"
        fi
    done
    add_files hw/virtio/ddebug
}

# add_files DIRECTORY: add the files in that directory of files/
add_files() {
    local file

    while IFS= read -r file; do
        add "$overlay/files/$file" "$file"
    done < <(cd "$overlay/files" && find "$1" -type f | sort)
}

# Nothing is overwritten, except links by --relink.
check_new() {
    local new

    for new in "${news[@]}"; do
        if [ "$what" = relink ] && [ -L "$new" ]; then
            continue
        fi
        if [ -e "$new" ] || [ -L "$new" ]; then
            die "'$new' already exists" "use a fresh copy of QEMU's source"
        fi
    done
}

put_new() {
    local i

    for i in "${!files[@]}"; do
        mkdir -p "$(dirname "${news[i]}")"
        if [ "$link" = yes ]; then
            ln -s "${files[i]}" "${news[i]}"
        else
            cp "${files[i]}" "${news[i]}"
        fi
    done
}

# patch_all [--dry-run]: the patches are independent, so each can be tried alone.
# No fuzz: a patch that almost applies might end up in the wrong place.
patch_all() {
    local file out

    for file in "$overlay"/patches/*.patch; do
        out=$(patch -d "$tree" -p1 --fuzz=0 --forward --batch --no-backup-if-mismatch \
            --reject-file=- "$@" <"$file" 2>&1) ||
            die "${file##*/} does not apply to QEMU $version in '$tree':" "$out" \
                "it is for QEMU 7.2: port it to this version"
    done
}

# The page is added last, so its link shows that everything else is in place, and
# linked.
page=docs/system/devices/virtio-ddebug.rst

apply() {
    add_sources
    add_files "$(dirname "$page")"
    check_new
    patch_all --dry-run
    patch_all
    put_new
}

relink() {
    [ -L "$tree/$page" ] || die "'$tree' has no links to recreate" \
        "use a fresh copy of QEMU's source and apply.sh --link TREE"
    add_sources
    check_new
    mkdir -p "$tree/hw/virtio/ddebug"
    find "$tree/hw/virtio/ddebug" -type l -delete
    put_new
}

link=no
what=apply
case ${1-} in
    --link)
        link=yes
        shift
        ;;
    --relink)
        link=yes
        what=relink
        shift
        ;;
esac
[ $# -eq 1 ] || die "expected one tree, got $# arguments" "usage: apply.sh [--link | --relink] TREE"
[ -f "$1/VERSION" ] && [ -d "$1/hw/virtio" ] || die "'$1' is not a QEMU source tree"
tree=$(cd "$1" && pwd -P)
version=$(cat "$tree/VERSION")
case $version in
    7.2.*) ;;
    *) die "'$1' is QEMU $version, but the patches are for 7.2" ;;
esac
files=()
news=()
"$what"
