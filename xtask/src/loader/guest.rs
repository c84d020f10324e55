//! One boot: a guest that loads modules one after another, and what its loader made of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use object::{Object, ObjectSymbol};

use super::dump::Reader;
use super::gdb::Gdb;
use super::kernel::Kernel;
use super::target::Recipe;
use crate::boot::initramfs::{self, Archive};
use crate::boot::qemu::read_lines;
use crate::{Failure, tools};

/// The function that an architecture's code begins with, once a module is relocated.
const FINALIZE: &str = "module_finalize";

/// What the guest says before the address of [`FINALIZE`], then waiting for a line.
const READY: &str = "klink: finalize ";

/// What the guest says when all is done, and around its list of symbols.
const DONE: &str = "klink: done";
const SYMBOLS: [&str; 2] = ["klink: symbols begin", "klink: symbols end"];

/// How often a guest that runs is looked after.
const TICK: Duration = Duration::from_millis(100);

/// What is said before each module.
const LOAD: &str = "klink: load ";

/// A module to load: the kernel's name for it, and its file.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) name: String,
    /// Relative to the folder of the modules.
    pub(super) path: PathBuf,
}

/// What came of a boot.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The modules that were dumped.
    pub(super) dumped: BTreeSet<String>,
    /// Why it ended early, if it did.
    pub(super) trouble: Option<String>,
    /// The module that was being loaded last.
    pub(super) last: Option<String>,
}

/// Everything that a boot needs to know.
pub(super) struct Guest<'a> {
    pub(super) recipe: &'static Recipe,
    pub(super) kernel: &'a Kernel,
    /// In the order in which they are loaded.
    pub(super) loads: &'a [Load],
    /// Where the dumps go.
    pub(super) out: &'a Path,
    /// How long the console may be silent.
    pub(super) patience: Duration,
    pub(super) verbose: bool,
    /// Whether the guest's symbols are wanted, too.
    pub(super) symbols: bool,
}

impl Guest<'_> {
    /// Boots, loads, and writes dumps.
    ///
    /// # Errors
    /// What keeps QEMU from running; a guest that dies is an [`Outcome`].
    pub(super) fn run(&self) -> Result<Outcome, Failure> {
        tools::ensure(&[self.recipe.qemu_package])?;
        let scratch = tempfile::tempdir()
            .map_err(|error| Failure::new(format!("no temporary folder: {error}")))?;
        let initrd = scratch.path().join("initrd");
        std::fs::write(&initrd, self.archive(scratch.path())?)
            .map_err(|error| Failure::io("write", &initrd, &error))?;
        let socket = scratch.path().join("gdb");
        let mut machine = Machine::start(self.recipe, &self.kernel.image, &initrd, &socket)?;
        let outcome = Session::new(self, &mut machine, socket).run();
        machine.stop();
        outcome
    }

    /// The guest's files: init, what it runs, and the modules.
    fn archive(&self, scratch: &Path) -> Result<Vec<u8>, Failure> {
        let mut archive = Archive::default();
        match &self.kernel.busybox {
            Some(busybox) => {
                archive.add("bin/busybox", &read(busybox)?)?;
                archive.add("init", script(self.symbols).as_bytes())?;
                archive.add("proc/empty", b"")?;
                let names: String = self
                    .loads
                    .iter()
                    .map(|load| format!("{}\n", load.name))
                    .collect();
                archive.add("modules", names.as_bytes())?;
            }
            None => {
                let super::target::Source::Tree(arch) = self.recipe.source else {
                    return Err(Failure::new("a kernel without busybox and compiler"));
                };
                archive.add("init", &initramfs::compile_init(arch.recipe(), scratch)?)?;
                let mut commands = String::new();
                for load in self.loads {
                    writeln!(commands, "load /m/{}.ko", load.name)?;
                }
                archive.add("commands", commands.as_bytes())?;
            }
        }
        for load in self.loads {
            let file = read(&self.kernel.modules.join(&load.path))?;
            archive.add(&format!("m/{}.ko", load.name), &file)?;
        }
        archive.finish()
    }
}

/// The init of a guest with busybox.
fn script(symbols: bool) -> String {
    let mut script = format!(
        "#!/bin/busybox sh\n\
         busybox mount -t proc proc /proc\n\
         echo 0 > /proc/sys/kernel/kptr_restrict\n\
         set -- $(busybox grep ' {FINALIZE}$' /proc/kallsyms)\n\
         echo 1 > /proc/sys/kernel/printk\n\
         echo {READY}$1\n\
         read line\n\
         while read name; do\n\
         echo {LOAD}$name\n\
         busybox insmod /m/$name.ko\n\
         done < /modules\n"
    );
    if symbols {
        let [begin, end] = SYMBOLS;
        script += &format!("echo {begin}\nbusybox cat /proc/kallsyms\necho {end}\n");
    }
    script + &format!("echo {DONE}\nbusybox reboot -f\n")
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::io("read", path, &error))
}

/// A QEMU that runs.
struct Machine {
    child: Child,
    console: Receiver<String>,
    errors: Receiver<String>,
}

impl Machine {
    fn start(
        recipe: &Recipe,
        kernel: &Path,
        initrd: &Path,
        socket: &Path,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(recipe.qemu);
        command.args(recipe.machine);
        command.arg("-kernel").arg(kernel);
        command.arg("-initrd").arg(initrd);
        command.arg("-append").arg(format!(
            "console={} rdinit=/init panic=-1 {}",
            recipe.console, recipe.append
        ));
        command.args(["-display", "none", "-monitor", "none", "-serial", "stdio"]);
        command.args(["-no-reboot", "-nic", "none", "-chardev"]);
        command.arg(format!(
            "socket,id=gdb,path={},server=on,wait=off",
            socket.display()
        ));
        command.args(["-gdb", "chardev:gdb"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Failure::new(format!("cannot run {command:?}: {error}")))?;
        Ok(Self {
            console: read_lines(child.stdout.take()),
            errors: read_lines(child.stderr.take()),
            child,
        })
    }

    /// Types a line on the guest's console.
    fn type_line(&mut self) -> Result<(), Failure> {
        let input = self.child.stdin.as_mut();
        let typed = input.map(|input| input.write_all(b"\n").and_then(|()| input.flush()));
        match typed {
            Some(Ok(())) => Ok(()),
            _ => Err(Failure::new("cannot type on the guest's console")),
        }
    }

    fn stop(mut self) {
        // an error here means that it has ended meanwhile
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A boot that goes on.
struct Session<'a> {
    guest: &'a Guest<'a>,
    machine: &'a mut Machine,
    socket: PathBuf,
    gdb: Option<(Gdb, u64)>,
    paths: BTreeMap<&'a str, &'a Path>,
    paging: Option<u64>,
    symbols: Option<String>,
    outcome: Outcome,
    heard: Instant,
}

impl<'a> Session<'a> {
    fn new(guest: &'a Guest<'a>, machine: &'a mut Machine, socket: PathBuf) -> Self {
        Self {
            guest,
            machine,
            socket,
            gdb: None,
            paths: guest
                .loads
                .iter()
                .map(|load| (load.name.as_str(), load.path.as_path()))
                .collect(),
            paging: None,
            symbols: None,
            outcome: Outcome::default(),
            heard: Instant::now(),
        }
    }

    fn run(mut self) -> Result<Outcome, Failure> {
        if self.guest.kernel.busybox.is_none() {
            self.attach_by_image()?;
        }
        loop {
            if self.drain_console()? {
                return Ok(self.outcome);
            }
            if self.has_all() {
                return Ok(self.outcome);
            }
            if self.heard.elapsed() > self.guest.patience {
                self.outcome.trouble = Some("the console is silent".to_owned());
                return Ok(self.outcome);
            }
            let Some((gdb, _)) = &mut self.gdb else {
                self.wait_for_line()?;
                continue;
            };
            match gdb.stopped(TICK) {
                Ok(true) => self.at_breakpoint()?,
                Ok(false) => {}
                // QEMU ended: the console says in what state
                Err(_) => {
                    std::thread::sleep(TICK);
                    let done = self.drain_console()?;
                    if !done {
                        self.outcome.trouble = Some(self.death());
                    }
                    return Ok(self.outcome);
                }
            }
        }
    }

    /// Whether there is nothing left to wait for: what inits do after the dumps is their own affair.
    fn has_all(&self) -> bool {
        !self.guest.symbols && self.outcome.dumped.len() == self.paths.len()
    }

    /// Sets the breakpoint where the kernel's image says, before the guest has run far.
    fn attach_by_image(&mut self) -> Result<(), Failure> {
        let image = read(&self.guest.kernel.image)?;
        let address = symbol(&image, FINALIZE)?;
        if let Some(paging) = self.guest.recipe.paging {
            self.paging = Some(symbol(&image, paging.root)? - paging.linear);
        }
        let deadline = Instant::now() + self.guest.patience;
        while !self.socket.exists() && Instant::now() < deadline {
            std::thread::sleep(TICK);
        }
        self.attach(address)
    }

    fn attach(&mut self, address: u64) -> Result<(), Failure> {
        let address = address + self.guest.recipe.entry;
        let mut gdb = Gdb::connect(&self.socket, self.guest.recipe.arch.endian)?;
        gdb.breakpoint(address, true)?;
        gdb.resume()?;
        self.gdb = Some((gdb, address));
        Ok(())
    }

    /// Takes what the console says; whether the guest is done.
    fn drain_console(&mut self) -> Result<bool, Failure> {
        loop {
            match self.machine.console.try_recv() {
                Ok(line) => {
                    if self.line(&line)? {
                        return Ok(true);
                    }
                }
                Err(TryRecvError::Empty) => return Ok(false),
                Err(TryRecvError::Disconnected) => {
                    self.outcome.trouble = Some(self.death());
                    return Ok(true);
                }
            }
        }
    }

    fn wait_for_line(&mut self) -> Result<(), Failure> {
        match self.machine.console.recv_timeout(TICK) {
            Ok(line) => self.line(&line).map(drop),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(()),
        }
    }

    /// Whether the guest is done with this line.
    fn line(&mut self, line: &str) -> Result<bool, Failure> {
        self.heard = Instant::now();
        if self.guest.verbose {
            eprintln!("{line}");
        }
        if let Some(name) = after(line, LOAD) {
            self.outcome.last = Some(name.to_owned());
        } else if let Some(path) = after(line, "klink: run load /m/") {
            self.outcome.last = path.strip_suffix(".ko").map(str::to_owned);
        }
        if let Some(address) = after(line, READY) {
            let address = u64::from_str_radix(address.trim(), 16)
                .map_err(|_| Failure::new(format!("the guest has no {FINALIZE}: {line}")))?;
            self.attach(address)?;
            self.machine.type_line()?;
        } else if line.ends_with(SYMBOLS[0]) {
            self.symbols = Some(String::new());
        } else if line.ends_with(SYMBOLS[1]) {
            let path = self.guest.out.join("kallsyms");
            let symbols = self.symbols.take().unwrap_or_default();
            std::fs::write(&path, symbols).map_err(|error| Failure::io("write", &path, &error))?;
        } else if let Some(symbols) = &mut self.symbols {
            symbols.push_str(line);
            symbols.push('\n');
        }
        Ok(line.ends_with(DONE))
    }

    /// Reads the module that is about to be finalized, and lets the guest go on.
    fn at_breakpoint(&mut self) -> Result<(), Failure> {
        let Some((gdb, address)) = &mut self.gdb else {
            return Ok(());
        };
        let recipe = self.guest.recipe;
        let [_, headers, module] = recipe.arguments;
        let width = usize::from(recipe.arch.class.address_bits() / 8);
        let headers = gdb.register(headers, width)?;
        let module = gdb.register(module, width)?;
        let mut reader = Reader {
            gdb,
            arch: recipe.arch,
            paging: recipe.paging.zip(self.paging),
        };
        reader.physical(true)?;
        let name = reader.module_name(module)?;
        if let Some(path) = self.paths.get(name.as_str()) {
            let file = read(&self.guest.kernel.modules.join(path))?;
            let dump = reader.dump(name, path.to_path_buf(), &file, headers, module)?;
            dump.write(self.guest.out)?;
            self.outcome.dumped.insert(dump.module);
        } else {
            eprintln!("xtask: the guest loads {name}, which nobody asked for");
        }
        reader.physical(false)?;
        gdb.breakpoint(*address, false)?;
        gdb.step()?;
        gdb.breakpoint(*address, true)?;
        gdb.resume()?;
        self.heard = Instant::now();
        Ok(())
    }

    /// Why the guest is gone.
    fn death(&self) -> String {
        let said: Vec<String> = self.machine.errors.try_iter().collect();
        match said.is_empty() {
            true => "the guest died".to_owned(),
            false => format!("QEMU says: {}", said.join("; ")),
        }
    }
}

/// What follows `words` in a line, whatever stands in front of them.
fn after<'l>(line: &'l str, words: &str) -> Option<&'l str> {
    line.split_once(words).map(|(_, rest)| rest)
}

/// The address of a symbol of an ELF image.
pub(super) fn symbol(image: &[u8], name: &str) -> Result<u64, Failure> {
    let failed = |error: object::Error| Failure::new(format!("the kernel's image: {error}"));
    let image = object::File::parse(image).map_err(failed)?;
    image
        .symbols()
        .find(|symbol| symbol.name() == Ok(name))
        .map(|symbol| symbol.address())
        .ok_or_else(|| Failure::new(format!("the kernel's image has no symbol {name}")))
}
