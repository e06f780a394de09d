//! The program that picks a worker for a datagram: it finds the Call-ID and hashes it.
//!
//! It runs in the kernel for every datagram of a listener, so it processes eight bytes at a time.
//! If it finds no Call-ID, the kernel chooses by source and destination address; the program never
//! drops anything. It requires a little-endian processor.

use super::assembler::Operation::{
    Add, And, Move, Multiply, Or, ShiftLeft, ShiftRight, ShiftRightSigned, Subtract, Xor,
};
use super::assembler::Register::{R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10};
use super::assembler::When::{Equal, Greater, GreaterOrEqual, Less, NotEqual};
use super::assembler::Width::{Bits8, Bits32, Bits64};
use super::assembler::{Assembler, Label};
use crate::owners::{HASHED_BYTES, Key, LAST_BLANK, MIX, Owners};

/// Bytes at the start of a datagram in which the line with the Call-ID must begin; a power of two.
///
/// Real requests have it in their first 600.
pub(super) const SEARCHED_BYTES: i32 = 2048;

/// Bytes of the buffer that the program copies a datagram into, one buffer for each processor.
///
/// ```text
/// |<------ SEARCHED_BYTES ------>|<- MARGIN_BYTES ->| mark |  0  | worker |
///                                                 END_AT  ZERO_AT WORKER_AT
/// ```
pub(super) const BUFFER_BYTES: u32 = WORKER_AT as u32 + 8;

/// Room for a field that begins at the end of the searched part: 7 bytes of its name, blanks, the
/// hashed bytes and a word.
const MARGIN_BYTES: i32 = 256;

const _: () = assert!(7 + BLANKS_MAX as usize + HASHED_BYTES + 8 <= MARGIN_BYTES as usize);

/// Written after the last byte copied. It ends a name or value that reaches this far, and then ends
/// the search as a Call-ID without a value.
const END_MARK: [u8; 8] = *b"\0\ni:\0\0\0\0";

/// The most bytes that are copied.
const END_AT: i32 = SEARCHED_BYTES + MARGIN_BYTES;

/// A word that is always zero; the verifier cannot know its value.
pub(super) const ZERO_AT: i16 = END_AT as i16 + 8;

/// Where the worker's number is stored, 32 bits.
pub(super) const WORKER_AT: i16 = ZERO_AT + 8;

/// Shorter datagrams are not SIP: a request line and a Call-ID alone need this much.
const PAYLOAD_BYTES_MIN: i32 = 32;

/// Bytes per iteration of the search, about one line.
const TURN_BYTES: i32 = 64;
const TURN_WORDS: usize = TURN_BYTES as usize / 8;

/// Iterations of the search. Each one covers all its words or ends with a line. The verifier's work
/// grows with this number; loading a program takes 0.1 s for each listener.
const TURNS_MAX: i32 = SEARCHED_BYTES / TURN_BYTES + LINES_MAX;

/// Lines before the Call-ID with which it is always found. This counts lines of 32 bytes; real ones
/// are longer.
pub(super) const LINES_MAX: i32 = 64;

/// Blanks, line ends and colons between a name and its value.
const BLANKS_MAX: i32 = 32;

/// The UDP header, which the program sees at the start of the datagram.
const UDP_HEADER_BYTES: i32 = 8;

/// Offset of `len` in `struct sk_reuseport_md`.
const LEN_AT: i16 = 16;

/// From `enum bpf_func_id`.
pub(super) const MAP_LOOKUP_ELEM: i32 = 1;
/// From `enum bpf_func_id`.
pub(super) const SKB_LOAD_BYTES: i32 = 26;
/// From `enum bpf_func_id`.
pub(super) const SK_SELECT_REUSEPORT: i32 = 82;

/// The verdict that uses the chosen socket, or the kernel's choice if none was chosen.
const SK_PASS: i32 = 1;

/// The parameters of a program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purpose<'a> {
    /// Descriptor of the map with the buffer.
    pub(super) buffer: i32,
    /// Descriptor of the map with the sockets, by worker.
    pub(super) sockets: i32,
    /// How many there are, and the hash.
    pub(super) owners: &'a Owners,
}

/// Assembles the program.
///
/// A value begins after the first line feed that is followed by `Call-ID` or `i` (in any case) and
/// then a colon or blank; blanks, line ends and colons before the value are skipped. It ends at the
/// first control character or blank, which no Call-ID contains (RFC 3261 §25.1, `callid`).
pub(super) fn assemble(purpose: Purpose) -> Vec<u64> {
    let mut a = Assembler::default();
    let pass = a.label();
    copy_datagram(&mut a, purpose.buffer, pass);
    find_name(&mut a, pass);
    skip_to_value(&mut a, pass);
    hash(&mut a, &purpose.owners.key);
    select(&mut a, purpose.sockets, purpose.owners.workers);
    a.place(pass);
    a.compute(R0, Move, SK_PASS);
    a.exit();
    a.finish()
}

/// Sets `R6` to the context and `R7` to the buffer, which then contains the datagram and the end
/// mark.
///
/// Depending on the network driver, the kernel may keep little more than the headers in one piece
/// (`data` to `data_end`), so the payload is copied. The buffer cannot be used twice at once,
/// because the program does not interrupt itself; if that ever fails, a datagram goes to the wrong
/// worker.
fn copy_datagram(a: &mut Assembler, buffer: i32, pass: Label) {
    let all = a.label();
    a.compute(R6, Move, R1);
    a.load(Bits32, R9, R6, LEN_AT);
    a.jump_if(R9, Less, UDP_HEADER_BYTES + PAYLOAD_BYTES_MIN, pass);
    a.compute(R9, Subtract, UDP_HEADER_BYTES);
    a.jump_if(R9, Less, END_AT, all);
    a.compute(R9, Move, END_AT);
    a.place(all);

    a.store(Bits32, R10, -4, 0);
    a.map(R1, buffer);
    a.compute(R2, Move, R10);
    a.compute(R2, Add, -4);
    a.call(MAP_LOOKUP_ELEM);
    a.jump_if(R0, Equal, 0, pass);
    a.compute(R7, Move, R0);

    a.compute(R1, Move, R6);
    a.compute(R2, Move, UDP_HEADER_BYTES);
    a.compute(R3, Move, R7);
    a.compute(R4, Move, R9);
    a.call(SKB_LOAD_BYTES);
    a.jump_if(R0, NotEqual, 0, pass);
    // Part of an earlier datagram may follow the mark.
    a.compute(R1, Move, R7);
    a.compute(R1, Add, R9);
    a.constant(R2, u64::from_ne_bytes(END_MARK));
    a.store(Bits64, R1, 0, R2);
}

/// Sets `R8` to the offset right after the name.
///
/// The verifier walks through every iteration of the loop, and twice as often with each branch
/// whose sides it can tell apart at their end. That is why the position starts as a word of memory,
/// about which it knows nothing, and is masked in every iteration, although it is never too large.
/// All that the verifier ever knows is "below `SEARCHED_BYTES`", so it checks each iteration only
/// once.
fn find_name(a: &mut Assembler, pass: Label) {
    let [turn, long, short, name_end, found] = [(); 5].map(|()| a.label());
    let mask = SEARCHED_BYTES - 1;
    a.load(Bits64, R8, R7, ZERO_AT);
    a.constant(R0, word_of(b'\n'));
    a.constant(R3, word_of(0x01));
    a.constant(R4, word_of(0x80));
    a.compute(R5, Move, TURNS_MAX);

    a.place(turn);
    a.compute(R5, Subtract, 1);
    a.jump_if(R5, Equal, 0, pass);
    a.compute(R8, And, mask);
    a.compute(R9, Move, R7);
    a.compute(R9, Add, R8);
    let line_ends = [(); TURN_WORDS].map(|()| a.label());
    for (offset, line_end) in (0..).step_by(8).zip(line_ends) {
        a.load(Bits64, R2, R9, offset);
        line_feeds(a);
        a.jump_if(R2, NotEqual, 0, line_end);
    }
    a.compute(R8, Add, TURN_BYTES);
    a.jump_if(R8, Less, SEARCHED_BYTES, turn);
    a.jump(pass);

    for line_end in line_ends[1..].iter().rev() {
        a.place(*line_end);
        a.compute(R8, Add, 8);
    }
    a.place(line_ends[0]);
    // The lowest mark is at bit 7 of byte k. Below it are the lowest bits of k + 1 bytes, and the
    // multiplication adds them up in the top byte.
    a.compute(R1, Move, R2);
    a.compute(R1, Subtract, 1);
    a.compute(R2, Xor, -1);
    a.compute(R1, And, R2);
    a.compute(R1, And, R3);
    a.compute(R1, Multiply, R3);
    a.compute(R1, ShiftRight, 56);
    a.compute(R8, Add, R1);
    a.jump_if(R8, GreaterOrEqual, SEARCHED_BYTES, pass);

    a.compute(R8, And, mask);
    a.compute(R1, Move, R7);
    a.compute(R1, Add, R8);
    a.load(Bits64, R1, R1, 0);
    a.compute(R2, Move, R1);
    a.compute(R2, Or, 0x20);
    a.compute(R2, And, 0xff);
    a.jump_if(R2, Equal, i32::from(b'c'), long);
    a.jump_if(R2, Equal, i32::from(b'i'), short);
    a.jump(turn);

    a.place(long);
    a.compute(R2, Move, R1);
    a.compute(R2, ShiftLeft, 8);
    // The masks change only letters: `|` would turn other bytes into the hyphen.
    a.constant(R4, u64::from_le_bytes(*b"\0    \0  "));
    a.compute(R2, Or, R4);
    a.constant(R4, u64::from_le_bytes(*b"\0call-id"));
    a.compute(R2, Xor, R4);
    a.constant(R4, word_of(0x80));
    a.jump_if(R2, NotEqual, 0, turn);
    a.compute(R1, ShiftRight, 56);
    a.compute(R2, Move, 7);
    a.jump(name_end);

    a.place(short);
    a.compute(R1, ShiftRight, 8);
    a.compute(R1, And, 0xff);
    a.compute(R2, Move, 1);
    a.place(name_end);
    for byte in *b": \t" {
        a.jump_if(R1, Equal, i32::from(byte), found);
    }
    a.jump(turn);
    a.place(found);
    a.compute(R8, Add, R2);
}

/// Turns the word in `R2` into marks: bit 7 of each byte that is a line feed. Marks above the
/// lowest one may be wrong. Uses `R1`, and the constants in `R0`, `R3` and `R4`.
fn line_feeds(a: &mut Assembler) {
    a.compute(R2, Xor, R0);
    a.compute(R1, Move, R2);
    a.compute(R2, Subtract, R3);
    a.compute(R1, Xor, -1);
    a.compute(R2, And, R1);
    a.compute(R2, And, R4);
}

/// Points `R3` at the first byte of the value.
fn skip_to_value(a: &mut Assembler, pass: Label) {
    let [byte, next, value] = [(); 3].map(|()| a.label());
    a.compute(R3, Move, R7);
    a.compute(R3, Add, R8);
    a.compute(R5, Move, BLANKS_MAX);
    a.place(byte);
    a.load(Bits8, R1, R3, 0);
    a.jump_if(R1, Equal, i32::from(b':'), next);
    a.jump_if(R1, Greater, i32::from(LAST_BLANK), value);
    for blank in *b" \t\r\n" {
        a.jump_if(R1, Equal, i32::from(blank), next);
    }
    a.jump(pass);
    a.place(next);
    a.compute(R3, Add, 1);
    a.compute(R5, Subtract, 1);
    a.jump_if(R5, NotEqual, 0, byte);
    a.jump(pass);
    a.place(value);
}

/// Sets `R8` to the hash of the value, in its upper half.
///
/// It computes what [`Owners::of`] does, as does [`select`]. It is unrolled word by word, so that the key is
/// part of the instructions.
fn hash(a: &mut Assembler, key: &Key) {
    let done = a.label();
    a.constant(R8, key.start);
    a.constant(R4, word_of(LAST_BLANK + 1));
    a.constant(R5, word_of(0x80));
    for (offset, factors) in (0..).step_by(8).zip(key.factors.chunks_exact(2)) {
        a.load(Bits64, R1, R3, offset);
        // Marks at bit 7 of each byte up to `LAST_BLANK`; those above the lowest one may be wrong.
        a.compute(R0, Move, R1);
        a.compute(R0, Xor, -1);
        a.compute(R2, Move, R1);
        a.compute(R2, Subtract, R4);
        a.compute(R2, And, R0);
        a.compute(R2, And, R5);
        // Keep the bytes before the lowest mark, or all of them if there is none.
        a.compute(R0, Move, R2);
        a.compute(R0, Subtract, 1);
        a.compute(R9, Move, R2);
        a.compute(R9, Xor, -1);
        a.compute(R0, And, R9);
        a.compute(R0, ShiftRightSigned, 7);
        a.compute(R1, And, R0);

        a.move_lower_half(R0, R1);
        a.constant(R9, factors[0]);
        a.compute(R0, Multiply, R9);
        a.compute(R8, Add, R0);
        a.compute(R1, ShiftRight, 32);
        a.constant(R9, factors[1]);
        a.compute(R1, Multiply, R9);
        a.compute(R8, Add, R1);
        a.jump_if(R2, NotEqual, 0, done);
    }
    a.place(done);
    a.compute(R0, Move, R8);
    a.compute(R0, ShiftRight, 32);
    a.compute(R8, Xor, R0);
    a.constant(R9, MIX);
    a.compute(R8, Multiply, R9);
}

/// Selects the socket whose position among all sockets matches the hash's position among all
/// hashes. If that fails, which cannot happen while all sockets exist, the kernel chooses.
fn select(a: &mut Assembler, sockets: i32, workers: u32) {
    a.compute(R8, ShiftRight, 32);
    a.compute(R8, Multiply, workers.cast_signed());
    a.compute(R8, ShiftRight, 32);
    a.store(Bits32, R7, WORKER_AT, R8);
    a.compute(R1, Move, R6);
    a.map(R2, sockets);
    a.compute(R3, Move, R7);
    a.compute(R3, Add, i32::from(WORKER_AT));
    a.compute(R4, Move, 0);
    a.call(SK_SELECT_REUSEPORT);
}

/// Eight times this byte.
const fn word_of(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}
