#!/usr/bin/env bash
# Compiles the example module again and packs its objects into objects.a.xz.
#
# Needs gcc-hppa-linux-gnu, xz and rustc. The objects in the repository were made by Debian 12's
# gcc 12.2.0-13 and binutils 2.40; those give the same bytes again (`make.sh --check` compares).
# `make.sh --sources DIR` only writes the generated C files, to be read.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rustc --edition 2024 -O -o "$work/generate" "$here/generate.rs"
if [[ ${1-} == --sources ]]; then
    mkdir -p "$2"
    "$work/generate" "$2"
    exit
fi
mkdir "$work/src" "$work/objects"
"$work/generate" "$work/src"

# The flags with which a 32-bit PA-RISC kernel (generic-32bit_defconfig) compiles a module.
flags=(-std=gnu11 -O2 -ffreestanding -fno-builtin -fno-pic -mno-space-regs -mfast-indirect-calls
    -mdisable-fpregs -mpa-risc-1-1 -mschedule=7100 -ffunction-sections -fno-omit-frame-pointer
    -fno-optimize-sibling-calls -fno-strict-aliasing -fno-common -fno-stack-protector
    -fno-asynchronous-unwind-tables -fno-delete-null-pointer-checks -Wall
    -Wno-unused-but-set-variable -Wno-unused-variable
    -Wno-tautological-compare -fno-ident -DMODULE)
cd "$work/src"
cp "$here"/src/*.[ch] .
for source in *.c; do
    hppa-linux-gnu-gcc "${flags[@]}" -c -o "../objects/${source%.c}.o" "$source"
done
cd "$work/objects"
# main.o first, as a module's Makefile usually has it; D: no times, owners or modes.
hppa-linux-gnu-ar rcD "$work/objects.a" main.o $(ls -- *.o | grep -v '^main\.o$')
if [[ ${1-} == --check ]]; then
    xz -dc "$here/objects.a.xz" | cmp - "$work/objects.a"
    echo "objects.a.xz holds what these sources compile to"
else
    xz -9e -c "$work/objects.a" >"$here/objects.a.xz"
    ls -l "$here/objects.a.xz"
fi
