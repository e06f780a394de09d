//! The record of a run: a hash over everything that happened and, if the run is to be read, one
//! line for each message.

use std::fmt::Write;

use crate::sip::Sip;

#[derive(Debug, Default)]
pub(crate) struct Ladder {
    is_kept: bool,
    lines: Vec<String>,
    hash: u64,
    pub(crate) steps: u64,
}

impl Ladder {
    pub(crate) fn new(is_kept: bool) -> Self {
        Self { is_kept, ..Self::default() }
    }

    /// Every byte of what happens goes into the hash.
    pub(crate) fn mix(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.mix_number(u64::from_le_bytes(word));
        }
    }

    pub(crate) fn mix_number(&mut self, number: u64) {
        let mixed = (self.hash ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.hash = mixed ^ (mixed >> 29);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    pub(crate) fn note(&mut self, now: u64, what: impl FnOnce() -> String) {
        self.steps += 1;
        if self.is_kept {
            let mut line = String::new();
            let _ =
                write!(line, "{:>5} {:>9}.{:03}  {}", self.steps, now / 1_000, now % 1_000, what());
            self.lines.push(line);
        }
    }

    /// The last lines.
    pub(crate) fn last(&self, count: usize) -> String {
        self.lines[self.lines.len().saturating_sub(count)..].join("\n")
    }
}

/// First line, branch and Call-ID of a message.
pub(crate) fn describe(bytes: &[u8]) -> String {
    match Sip::read(bytes) {
        Some(sip) => {
            let first: String = sip.first.chars().take(70).collect();
            format!(
                "{first}  [{} {}] {}",
                sip.get("CSeq"),
                sip.get("Call-ID"),
                sip.branch().trim_start_matches("z9hg4bk")
            )
        }
        None => format!(
            "{} bytes: {:?}",
            bytes.len(),
            String::from_utf8_lossy(&bytes[..bytes.len().min(60)])
        ),
    }
}
