#!/bin/sh
# Makes the inputs of tests/bad_input.rs with GNU as and ar 2.40. They are checked in, so that the
# tests need no cross assembler; run this after changing a source.
set -e
cd "$(dirname "$0")"
hppa-linux-gnu-as hppa.s -o hppa.o
hppa64-linux-gnu-as hppa64.s -o hppa64.o
as --64 x86_64.s -o x86_64.o
as --32 i386.s -o i386.o
as --64 member.s -o member.o
as --64 more.s -o more.o
rm -f lib.a thin.a
ar rcsD lib.a member.o more.o
ar rcsDT thin.a member.o more.o
