//! A client of GDB's remote protocol, as far as QEMU's stub needs one.
//!
//! Protocol: "Debugging with GDB", appendix "Remote Protocol". A packet is `$`, its text, `#` and the
//! sum of its bytes as two hex digits; each side answers `+` to it.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use klink_arch::Endian;

use crate::Failure;

/// Bytes of memory asked for at once: QEMU's packets hold 4,096 characters, two for each byte.
const CHUNK: usize = 2000;

/// How long an answer may take that needs nothing of the guest.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to listen for what nobody asked for.
const SETTLE: Duration = Duration::from_millis(300);

/// A connection to a stub. The guest stands still while nobody has said [`resume`](Self::resume).
#[derive(Debug)]
pub(super) struct Gdb {
    stream: UnixStream,
    received: Vec<u8>,
    endian: Endian,
}

impl Gdb {
    /// Connects to the stub that listens at `path`; that stops the guest.
    pub(super) fn connect(path: &Path, endian: Endian) -> Result<Self, Failure> {
        let stream = UnixStream::connect(path)
            .map_err(|error| Failure::io("connect to QEMU at", path, &error))?;
        let mut gdb = Self {
            stream,
            received: Vec::new(),
            endian,
        };
        // that the guest has stopped is told unasked, some time after the connection
        while gdb.receive(SETTLE)?.is_some() {}
        // QEMU tells single registers only to who has asked what there are
        gdb.ask("qXfer:features:read:target.xml:0,400")?;
        Ok(gdb)
    }

    /// The value of a register of `width` bytes, by its number in the architecture's list.
    pub(super) fn register(&mut self, number: usize, width: usize) -> Result<u64, Failure> {
        let mut answer = self.ask(&format!("p{number:x}"))?;
        if answer.is_empty() {
            // not every architecture of QEMU tells single registers: all of them, two digits a byte
            let all = self.ask("g")?;
            let digits = 2 * width;
            let found = all.get(number * digits..(number + 1) * digits);
            answer = found.unwrap_or_default().to_owned();
        }
        let mut bytes = bytes(&answer)?;
        if bytes.len() != width {
            return Err(Failure::new(format!("QEMU has no register {number}")));
        }
        if self.endian == Endian::Little {
            bytes.reverse();
        }
        Ok(bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// `len` bytes of the guest's memory.
    pub(super) fn memory(&mut self, address: u64, len: usize) -> Result<Vec<u8>, Failure> {
        let mut memory = Vec::with_capacity(len);
        while memory.len() < len {
            let part = CHUNK.min(len - memory.len());
            let at = address.wrapping_add(memory.len() as u64);
            let read = bytes(&self.ask(&format!("m{at:x},{part:x}"))?)?;
            if read.is_empty() {
                return Err(Failure::new(format!("QEMU reads nothing at {at:#x}")));
            }
            memory.extend(read);
        }
        memory.truncate(len);
        Ok(memory)
    }

    /// Stops the guest before it executes what is at `address`, or no longer.
    pub(super) fn breakpoint(&mut self, address: u64, set: bool) -> Result<(), Failure> {
        let kind = if set { 'Z' } else { 'z' };
        self.ask(&format!("{kind}1,{address:x},4")).map(drop)
    }

    /// Whether addresses of [`memory`](Self::memory) are physical ones (an extension of QEMU's).
    pub(super) fn physical(&mut self, on: bool) -> Result<(), Failure> {
        self.ask(&format!("Qqemu.PhyMemMode:{}", u8::from(on)))
            .map(drop)
    }

    /// Lets the guest go on.
    pub(super) fn resume(&mut self) -> Result<(), Failure> {
        self.send("c")
    }

    /// Lets the guest execute one instruction.
    pub(super) fn step(&mut self) -> Result<(), Failure> {
        self.ask("s").map(drop)
    }

    /// Waits for `patience` at most until the guest has stopped; whether it has.
    pub(super) fn stopped(&mut self, patience: Duration) -> Result<bool, Failure> {
        Ok(self.receive(patience)?.is_some())
    }

    fn ask(&mut self, text: &str) -> Result<String, Failure> {
        self.send(text)?;
        let answer = self.receive(PATIENCE)?;
        let answer = answer.ok_or_else(|| Failure::new(format!("QEMU does not answer {text}")))?;
        match answer.strip_prefix('E') {
            Some(code) if code.len() == 2 => Err(Failure::new(format!(
                "QEMU answers {text} with error {code}"
            ))),
            _ => Ok(answer),
        }
    }

    fn send(&mut self, text: &str) -> Result<(), Failure> {
        let packet = format!("${text}#{:02x}", checksum(text.as_bytes()));
        self.write(packet.as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stream
            .write_all(bytes)
            .map_err(|error| Failure::new(format!("cannot speak to QEMU: {error}")))
    }

    /// The next packet, if one comes in time.
    fn receive(&mut self, patience: Duration) -> Result<Option<String>, Failure> {
        let failed = |error| Failure::new(format!("cannot hear QEMU: {error}"));
        let deadline = Instant::now() + patience;
        let mut buffer = [0; 8192];
        loop {
            if let Some(packet) = take_packet(&mut self.received) {
                self.write(b"+")?;
                return Ok(Some(packet));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left)).map_err(failed)?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Failure::new("QEMU has ended")),
                Ok(len) => self.received.extend_from_slice(&buffer[..len]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// Takes the first whole packet out of what was received, and what is in front of it.
fn take_packet(received: &mut Vec<u8>) -> Option<String> {
    let start = received.iter().position(|byte| *byte == b'$')?;
    let end = start + received[start..].iter().position(|byte| *byte == b'#')?;
    if received.len() < end + 3 {
        return None;
    }
    let text = String::from_utf8_lossy(&received[start + 1..end]).into_owned();
    received.drain(..end + 3);
    Some(text)
}

/// The bytes that pairs of hex digits say.
fn bytes(hex: &str) -> Result<Vec<u8>, Failure> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| match *pair {
        [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(pair).collect();
    bytes.ok_or_else(|| Failure::new(format!("QEMU answers {hex:?}, which are no bytes")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn packets_are_taken_whole_and_in_order() {
        let mut received = b"+$OK#9a$T05".to_vec();
        assert_eq!(take_packet(&mut received).as_deref(), Some("OK"));
        assert_eq!(take_packet(&mut received), None);
        received.extend_from_slice(b"#b9+");
        assert_eq!(take_packet(&mut received).as_deref(), Some("T05"));
        assert_eq!(received, b"+");
    }

    #[test]
    fn hex_digits_are_bytes_and_other_text_is_an_error() {
        assert_eq!(bytes("00ff7A").expect("hex"), [0, 0xff, 0x7a]);
        assert!(bytes("0").is_err());
        assert!(bytes("0g").is_err());
        assert_eq!(checksum(b"OK"), 0x9a);
    }

    /// A stub that answers what it is asked with these packets.
    fn stub(answers: &'static [&'static str]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gdb");
        let listener = UnixListener::bind(&path).expect("a socket");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut received = Vec::new();
            for answer in answers {
                while take_packet(&mut received).is_none() {
                    let mut buffer = [0; 100];
                    let len = stream.read(&mut buffer).expect("a packet");
                    received.extend_from_slice(&buffer[..len]);
                }
                let sum = checksum(answer.as_bytes());
                write!(stream, "${answer}#{sum:02x}").expect("a client that listens");
            }
            // until the client has gone
            let _ = stream.read_to_end(&mut received);
        });
        (folder, path)
    }

    #[test]
    fn registers_are_in_the_byte_order_of_the_guest() {
        for (endian, value) in [(Endian::Little, 0x0403_0201), (Endian::Big, 0x0102_0304)] {
            let (_folder, path) = stub(&["l<target/>", "01020304", "", "0000000001020304"]);
            let mut gdb = Gdb::connect(&path, endian).expect("a stub");
            assert_eq!(gdb.register(5, 4).expect("a register"), value);
            assert_eq!(gdb.register(1, 4).expect("one of all"), value);
        }
    }

    #[test]
    fn memory_is_read_in_parts_and_errors_are_told() {
        const FULL: &str = {
            const DIGITS: [u8; 2 * CHUNK] = [b'a'; 2 * CHUNK];
            match std::str::from_utf8(&DIGITS) {
                Ok(text) => text,
                Err(_) => "",
            }
        };
        let (_folder, path) = stub(&["l<target/>", FULL, "0102", "E14"]);
        let mut gdb = Gdb::connect(&path, Endian::Little).expect("a stub");
        let memory = gdb.memory(0x1000, CHUNK + 2).expect("memory");
        assert_eq!(memory[CHUNK - 1..], [0xaa, 1, 2]);
        assert!(gdb.memory(0, 1).is_err());
    }
}
