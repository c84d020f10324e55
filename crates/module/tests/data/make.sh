#!/bin/sh
# Makes the modules of this folder from their source. Needs binutils for x86, PA-RISC, AArch64 and
# PowerPC (Debian: binutils, binutils-hppa-linux-gnu, binutils-hppa64-linux-gnu,
# binutils-aarch64-linux-gnu,
# binutils-powerpc64le-linux-gnu).
set -e
cd "$(dirname "$0")"
make() { # NAME AS OPTION FILE...
	name=$1 as=$2 option=$3
	shift 3
	"$as" $option -o "small.$name.ko" "$@" small.s
}
make x86_64 as --64 relative.s word64.s x86_64.s
make i386 as --32 relative.s word32.s i386.s
make hppa hppa-linux-gnu-as "" word32.s hppa.s
make aarch64 aarch64-linux-gnu-as "" relative.s word64.s aarch64.s
make ppc64le powerpc64le-linux-gnu-as "" relative.s word64.s ppc64le.s
as --64 -o user.x86_64.ko relative.s word64.s x86_64.s user.s
hppa-linux-gnu-as -o user.hppa.ko word32.s hppa.s user.s
aarch64-linux-gnu-as -o adrp.aarch64.ko adrp.s
hppa64-linux-gnu-as -o wide.hppa64.ko wide.s
