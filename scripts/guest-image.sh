#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# guest-image.sh KERNEL_ROOT KERNEL_RELEASE OUT [KO...]
#
# Pack the guest's initramfs: busybox, the tests' agent, the stock modules listed in
# tests/guest/modules.txt or in the file $GUEST_MODULES, and the modules KO.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

[ $# -ge 3 ] || die "usage: guest-image.sh KERNEL_ROOT KERNEL_RELEASE OUT [KO...]"
kernel_root=$1
release=$2
out=$3
shift 3
PATH=$PATH:/sbin:/usr/sbin

root=$(dirname "$out")/root
rm -rf "$root"
mkdir -p "$root"/{bin,sbin,dev,proc,sys,run,tmp,mnt,root,etc,usr/bin,usr/sbin} \
    "$root/lib/modules/$release/extra"
install -m 755 "$repo/tests/guest/init" "$root/init"
install -m 755 /bin/busybox "$root/bin/busybox"
/bin/busybox --list | while read -r applet; do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
# the kernel calls modprobe by this name
ln -s ../bin/busybox "$root/sbin/modprobe"
for source in "$repo"/tests/guest/*.c; do
    gcc -O2 -Wall -Wextra -Werror -static -o "$root/bin/$(basename "$source" .c)" "$source"
done

# modprobe prints "insmod PATH OPTIONS", dependencies first.
grep -v '^#' "${GUEST_MODULES:-$repo/tests/guest/modules.txt}" | while read -r module; do
    modprobe -d "$kernel_root" -S "$release" --show-depends "$module" ||
        die "the kernel $release has no module $module"
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u | while read -r path; do
    rel=${path#"$kernel_root"/}
    mkdir -p "$root/$(dirname "$rel")"
    # uncompressed: the image is small enough, and every tool can read it
    case $rel in
        *.xz) xz -dc "$path" >"$root/${rel%.xz}" ;;
        *) cp "$path" "$root/$rel" ;;
    esac
done
for ko in "$@"; do
    strip --strip-debug -o "$root/lib/modules/$release/extra/$(basename "$ko")" "$ko"
done
cp "$kernel_root/lib/modules/$release"/modules.{builtin,builtin.modinfo,order} "$root/lib/modules/$release/"
depmod -b "$root" "$release"

(cd "$root" && find . -print0 | LC_ALL=C sort -z |
    cpio --null --create --format=newc --owner=0:0 --quiet) >"$out.new"
mv "$out.new" "$out"
