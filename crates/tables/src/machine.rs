//! ELF machines (`e_machine`, gABI and `include/uapi/linux/elf-em.h`) whose kernels have tables of a form
//! of their own.

pub(crate) const SPARC: u16 = 2;
pub(crate) const I386: u16 = 3;
pub(crate) const M68K: u16 = 4;
pub(crate) const MIPS: u16 = 8;
pub(crate) const PARISC: u16 = 15;
pub(crate) const SPARC32PLUS: u16 = 18;
pub(crate) const PPC: u16 = 20;
pub(crate) const PPC64: u16 = 21;
pub(crate) const S390: u16 = 22;
pub(crate) const ARM: u16 = 40;
pub(crate) const SH: u16 = 42;
pub(crate) const SPARCV9: u16 = 43;
pub(crate) const IA64: u16 = 50;
pub(crate) const X86_64: u16 = 62;
pub(crate) const ARC: u16 = 93;
pub(crate) const XTENSA: u16 = 94;
pub(crate) const AARCH64: u16 = 183;
pub(crate) const MICROBLAZE: u16 = 189;
pub(crate) const ARCV2: u16 = 195;
pub(crate) const RISCV: u16 = 243;
pub(crate) const CSKY: u16 = 252;
pub(crate) const LOONGARCH: u16 = 258;
pub(crate) const ALPHA: u16 = 0x9026;
