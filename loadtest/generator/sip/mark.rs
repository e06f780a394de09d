//! What a message of the generator says about itself: which copy it is, when it was meant to be
//! sent, and what the server is asked to do. Requests carry it as a parameter of their Via, which a
//! relay leaves alone; responses in their Server row. Its length is fixed, and so are its places.

use memchr::memmem;

/// The mark of one datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Mark {
    pub(crate) script: Script,
    /// Which message of its sender in this call it is, from 0. Every copy has a number of its own.
    pub(crate) sequence: u8,
    /// When it was meant to be sent, in ns since the run began.
    pub(crate) due: u64,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Script {
    /// It is answered, and ended by the caller.
    Talk,
    /// It rings until the caller cancels it.
    Cancel,
    /// It is refused as busy.
    Refuse,
    /// The server fails.
    Fail,
    /// The server says nothing.
    Silent,
}

/// How many bytes a mark has.
pub(crate) const MARK_LEN: usize = 15;

/// What comes before a mark in a Via.
pub(crate) const PARAMETER: &str = ";load=";

impl Mark {
    /// Writes it into its place.
    pub(crate) fn write(self, place: &mut [u8]) {
        place[0] = self.script.letter();
        hex(u64::from(self.sequence), &mut place[1..3]);
        hex(self.due, &mut place[3..MARK_LEN]);
    }

    /// Its text.
    pub(crate) fn text(self) -> [u8; MARK_LEN] {
        let mut text = [0; MARK_LEN];
        self.write(&mut text);
        text
    }

    /// Reads one at the beginning of this text.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let text = text.get(..MARK_LEN)?;
        Some(Self {
            script: Script::of(text[0])?,
            sequence: u8::try_from(unhex(&text[1..3])?).ok()?,
            due: unhex(&text[3..])?,
        })
    }
}

/// Returns the mark in the Vias of this request.
pub(crate) fn mark_in(datagram: &[u8]) -> Option<Mark> {
    let at = memmem::find(datagram, PARAMETER.as_bytes())?;
    Mark::read(&datagram[at + PARAMETER.len()..])
}

impl Script {
    const EACH: [(Self, u8); 5] = [
        (Self::Talk, b't'),
        (Self::Cancel, b'c'),
        (Self::Refuse, b'r'),
        (Self::Fail, b'f'),
        (Self::Silent, b's'),
    ];

    fn letter(self) -> u8 {
        Self::EACH[self as usize].1
    }

    fn of(letter: u8) -> Option<Self> {
        Self::EACH.iter().find(|(_, l)| *l == letter).map(|(script, _)| *script)
    }
}

/// Writes the lowest digits of a number, as many as there is room for.
pub(super) fn hex(mut number: u64, place: &mut [u8]) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789abcdef"[number as usize & 15];
        number >>= 4;
    }
}

/// Reads digits; returns `None` if one is none.
pub(super) fn unhex(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0_u64, |number, digit| {
        Some(number << 4 | u64::from(char::from(*digit).to_digit(16)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (script, letter) in Script::EACH {
            let mark = Mark { script, sequence: 63, due: 123_456_789_012 };
            assert_eq!(mark.text()[0], letter);
            assert_eq!(Mark::read(&mark.text()), Some(mark));
        }
        let text = b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a;load=t02000000000aff;x\r\n\r\n";
        let wants = Mark { script: Script::Talk, sequence: 2, due: 0xaff };
        assert_eq!(mark_in(text), Some(wants));
    }

    #[test]
    fn what_is_no_mark() {
        for text in ["", "t02", "x02000000000aff", "t0g000000000aff", "t02000000000af "] {
            assert_eq!(Mark::read(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(mark_in(b"Via: a;branch=b"), None);
    }
}
