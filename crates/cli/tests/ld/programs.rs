//! Static programs with a C library, linked by the compiler's driver with each linker: they must say the
//! same when they run, and be the same.
//!
//! The library brings what small cases do not have: thread-local variables in every model, indirect
//! functions, archives, constructors, unwind tables.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::tools::{is_installed, must_run, skip};

const SOURCE: &str = r#"
int printf(const char *, ...);
char *strerror(int);
unsigned long strlen(const char *);
void *memcpy(void *, const void *, unsigned long);
int close(int);
int *__errno_location(void);
int pthread_create(unsigned long *, const void *, void *(*)(void *), void *);
int pthread_join(unsigned long, void **);

static __thread int counter = 5;
__thread long zero;
static int total;

static void *run(void *argument) {
	int rounds = (int)(long)argument;
	char name[32];
	for (int i = 0; i < rounds; i++) {
		counter++;
		zero += 2;
	}
	close(-1);
	memcpy(name, "some text", 10);
	total += counter + zero;
	printf("%d: %d %ld %s %d\n", rounds, counter, zero, strerror(*__errno_location()), (int)strlen(name));
	return 0;
}

static __attribute__((constructor)) void first(void) { total = 1; }

int main(int count, char **arguments) {
	void *(*volatile copy)(void *, const void *, unsigned long) = memcpy;
	for (long i = 1; i < 4; i++) {
		unsigned long thread;
		pthread_create(&thread, 0, run, (void *)i);
		pthread_join(thread, 0);
	}
	printf("%d %d %d\n", total, counter, copy == memcpy);
	return total;
}
"#;

/// What the program says.
const OUTPUT: &str = "1: 6 2 Bad file descriptor 9\n2: 7 4 Bad file descriptor 9\n\
                      3: 8 6 Bad file descriptor 9\n34 5 1\n";

struct Platform {
    compiler: &'static [&'static str],
    emulator: &'static str,
    /// What the driver is told.
    options: &'static [&'static str],
    /// Whether klink's program is GNU ld's, but for what is named. PA-RISC's has fewer stubs, and a
    /// position-independent one shorter stubs for indirect functions.
    is_same: bool,
}

const PLATFORMS: &[Platform] = &[
    Platform {
        compiler: &["gcc", "-m64"],
        emulator: "qemu-x86_64",
        options: &["-static"],
        is_same: true,
    },
    Platform {
        compiler: &["gcc", "-m64", "-fPIE"],
        emulator: "qemu-x86_64",
        options: &["-static-pie"],
        is_same: false,
    },
    Platform {
        compiler: &["gcc", "-m32"],
        emulator: "qemu-i386",
        options: &["-static"],
        is_same: true,
    },
    Platform {
        compiler: &["gcc", "-m32", "-fPIE"],
        emulator: "qemu-i386",
        options: &["-static-pie"],
        is_same: false,
    },
    Platform {
        compiler: &["hppa-linux-gnu-gcc"],
        emulator: "qemu-hppa",
        options: &["-static"],
        is_same: false,
    },
];

#[test]
fn static_programs_run() {
    for platform in PLATFORMS {
        let program = platform.compiler[0];
        if !is_installed(program) || !is_installed(platform.emulator) {
            continue;
        }
        if !has_library(platform) {
            skip(&format!(
                "{}: no static C library",
                platform.compiler.join(" ")
            ));
            continue;
        }
        check(platform);
    }
}

/// Whether the driver finds a library to link with, and has a compiler for the platform.
fn has_library(platform: &Platform) -> bool {
    let mut driver = Command::new(platform.compiler[0]);
    driver.args(&platform.compiler[1..]);
    let output = driver.arg("-print-file-name=libc.a").output().unwrap();
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Path::new(&path).is_absolute()
}

fn check(platform: &Platform) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.c"), SOURCE).unwrap();
    fs::create_dir(folder.join("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_ld-klink"), folder.join("bin/ld")).unwrap();
    let compile = ["-w", "-O2", "-fno-builtin", "-c", "a.c", "-o", "a.o"];
    must_run(folder, platform.compiler, &compile);
    let link = [platform.options, &["a.o", "-Wl,--build-id=none", "-o"]].concat();
    must_run(folder, platform.compiler, &[&link[..], &["gnu"]].concat());
    let with_klink = [&link[..], &["klink", "-B", "bin"]].concat();
    must_run(folder, platform.compiler, &with_klink);
    for name in ["gnu", "klink"] {
        let mut emulator = Command::new(platform.emulator);
        let output = emulator.arg(folder.join(name)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, OUTPUT, "{name}, {}", platform.emulator);
        assert_eq!(output.status.code(), Some(34), "{name}");
    }
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let (gnu, klinked) = (read("gnu"), read("klink"));
    let problems = xtask::oracle::check(&klinked);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    if platform.is_same {
        // A local symbol of an empty section stays with klink.
        let differences = xtask::oracle::differences(&gnu, &klinked, &["symbol-extra"]).unwrap();
        assert!(
            differences.is_empty(),
            "A is GNU ld's, B klink's:\n{differences}"
        );
    }
}
