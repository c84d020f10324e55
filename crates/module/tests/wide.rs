//! 64-bit PA-RISC: calls out of a module go through the linkage table and a descriptor, pointers to
//! functions are descriptors. Each call is followed by executing its stub.

mod common;

use common::host::{Simulated, Space};
use klink_arch::hppa;
use klink_module::{Error, Export, ModuleFile, Policy, Stubs, SymbolTable};

const WIDE: &[u8] = include_bytes!("data/wide.hppa64.ko");
const KERNEL: u64 = 0x4010_0000;

/// A module in memory.
struct Machine {
    base: u64,
    bytes: Vec<u8>,
}

impl Machine {
    fn word(&self, address: u64) -> u32 {
        let at = (address - self.base) as usize;
        u32::from_be_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }

    fn double(&self, address: u64) -> u64 {
        u64::from(self.word(address)) << 32 | u64::from(self.word(address + 4))
    }

    /// Where a branch with 22 bits goes.
    fn call(&self, place: u64) -> u64 {
        let distance = hppa::BRANCH22.decode(self.word(place).into());
        place.wrapping_add_signed(distance + 8)
    }

    /// What the first instruction of a stub, `ldd d(%dp),%dp`, loads: it must be of the linkage table.
    fn linkage(&self, stub: u64, dp: u64) -> u64 {
        let load = self.word(stub);
        let offset = match load >> 26 {
            // the short form, whose five bits are scattered like all
            0x03 => {
                let low = u64::from(load >> 16 & 0x1f);
                (low >> 1).cast_signed() - 16 * (low & 1).cast_signed()
            }
            0x14 => hppa::DISP16.decode((load & 0xffff_fff1).into()) & !7,
            other => panic!("opcode {other:#x}"),
        };
        assert_eq!(load >> 21 & 0x1f, 27, "from %dp");
        self.double(dp.wrapping_add_signed(offset))
    }
}

#[test]
fn calls_out_of_the_module_find_their_descriptors() {
    let file = ModuleFile::parse(WIDE).unwrap();
    let mut kernel = SymbolTable::new();
    let names = [
        "kernel_function",
        "other_function",
        "kernel_data",
        "$$millicode",
    ];
    for (nth, name) in (1..).zip(names) {
        kernel.insert(name.as_bytes(), Export::at(KERNEL + 0x1000 * nth + 8));
    }
    let address = |name: &str| {
        KERNEL + 0x1000 * (1 + names.iter().position(|n| *n == name).unwrap() as u64) + 8
    };
    for stubs in [Stubs::AsLinux, Stubs::BeforeSections, Stubs::Shared] {
        let policy = Policy {
            stubs,
            ..Policy::linux(file.arch())
        };
        let plan = file.plan(&policy).unwrap();
        let mut space = Space {
            next: 0x0200_0000,
            per_cpu: 0x1000,
        };
        let placement = plan.allocate(|block| {
            Ok::<_, Error>(Simulated {
                address: space.place(block),
                bytes: vec![0; block.size as usize],
            })
        });
        let mut linked = plan.link(placement.unwrap(), &kernel).unwrap();
        let find = |name: &[u8]| file.find_section(name).unwrap();
        let text = linked.section_address(find(b".text")).unwrap();
        let helper = linked.section_address(find(b".text.helper")).unwrap();
        let data = linked.section_address(find(b".data")).unwrap();
        let core = linked.memory(plan.blocks()[0].id).unwrap();
        let machine = Machine {
            base: core.address,
            bytes: core.bytes.clone(),
        };
        let dp = core.address;
        // in the module: directly
        assert_eq!(machine.call(text + 8), helper);
        // elsewhere: through the table
        for (offset, name) in [
            (0, "kernel_function"),
            (0x20, "kernel_function"),
            (0x28, "other_function"),
        ] {
            let stub = machine.call(text + offset);
            assert_eq!(machine.linkage(stub, dp), address(name), "{stubs:?} {name}");
            // ldd 16(%dp),%r1; bve (%r1); ldd 24(%dp),%dp
            let rest: Vec<u32> = (1..4).map(|nth| machine.word(stub + 4 * nth)).collect();
            assert_eq!(rest, [0x5361_0020, 0xe820_d000, 0x537b_0030]);
        }
        let shared = machine.call(text) == machine.call(text + 0x20);
        assert_eq!(shared, stubs != Stubs::AsLinux);
        // millicode: the descriptor's address is in the stub
        let stub = machine.call(text + 0x10);
        let left = hppa::IMM21.decode(machine.word(stub).into()) << 11;
        let right = hppa::DISP14.decode(machine.word(stub + 4).into());
        assert_eq!((left + right) as u64, address("$$millicode"));
        // data: its slot holds the address
        let left = hppa::IMM21.decode(machine.word(text + 0x18).into()) << 11;
        let right = hppa::DISP14.decode(machine.word(text + 0x1c).into());
        assert_eq!(
            machine.double(dp.wrapping_add_signed(left + right)),
            address("kernel_data")
        );
        // pointers: one descriptor for a function of the module; that of the kernel is the kernel's
        let descriptor = machine.double(data);
        assert_eq!(machine.double(data + 8), descriptor);
        assert_eq!(machine.double(descriptor + 16), helper);
        assert_eq!(machine.double(descriptor + 24), dp);
        assert_eq!(machine.double(data + 16), address("kernel_function"));
        assert_eq!(machine.double(data + 24), address("kernel_data"));
    }
}
