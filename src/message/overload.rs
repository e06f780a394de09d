//! The overload control parameters of our own Via in a response (RFC 7339).

use super::cursor::{Cursor, number};
use super::span::Span;
use super::via::{Via, is_named};
use crate::limits::{OC_VALIDITY_MS_MAX, PARAMETERS_MAX};

/// How much less a server asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OverloadReport {
    /// How many of 100 requests to keep from it.
    pub percent: u8,
    /// For how long, in milliseconds; 0 ends it.
    pub validity_ms: u32,
    /// Which of two reports is newer.
    pub seq: OcSeq,
}

/// `oc-seq`: of two reports, the one with the greater number is newer. 0 if the server sends none.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct OcSeq(u64);

impl OcSeq {
    /// How many bits it has.
    pub const BITS: u32 = 57;

    /// Creates it from both numbers; `None` if one has too many digits.
    pub fn new(seconds: u64, part: u64) -> Option<Self> {
        let fits = seconds <= 999_999_999_999 && part <= 99_999;
        fits.then_some(Self(seconds << PART_BITS | part))
    }

    /// Creates it from [`OcSeq::bits`].
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns it as one number of [`OcSeq::BITS`] bits.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// Returns the number before the point: often a time in seconds.
    pub const fn seconds(self) -> u64 {
        self.0 >> PART_BITS
    }
}

/// 99,999 fits.
const PART_BITS: u32 = 17;

const _: () = assert!(999_999_999_999_u64 < 1 << (OcSeq::BITS - PART_BITS));

impl Via {
    // oc          = "oc" [EQUAL 1*DIGIT]
    // oc-validity = "oc-validity" [EQUAL 1*DIGIT]
    // oc-seq      = "oc-seq" EQUAL 1*12DIGIT "." 1*5DIGIT
    // oc-algo     = "oc-algo" EQUAL DQUOTE algo-list *(COMMA algo-list) DQUOTE
    /// Reads the report of a server that uses the algorithm `loss` (RFC 7339 §9). `None` if there is
    /// none, or if a part of it cannot be read.
    ///
    /// A report without `oc-algo` is taken for `loss`, the only one that we offer; so is one without
    /// the quotes.
    pub fn overload_report(&self, bytes: &[u8]) -> Option<OverloadReport> {
        let mut cursor = Cursor::new(bytes, Span::new(self.host.end(), self.value.end()));
        if cursor.eat_separator(b':') {
            cursor.take_while(|byte| byte.is_ascii_digit());
        }
        let (mut percent, mut validity_ms, mut seq, mut has_algorithm) = (None, None, None, false);
        for _ in 0..PARAMETERS_MAX {
            if !cursor.eat_separator(b';') {
                break;
            }
            let parameter = cursor.parameter()?;
            let name = parameter.name.of(bytes);
            if !name.get(..2).is_some_and(|start| is_named(start, b"oc")) {
                continue;
            }
            let value = parameter.value.map(|value| value.of(bytes));
            let is_first = if is_named(name, b"oc") {
                percent.replace(number(value?, 100)? as u8).is_none()
            } else if is_named(name, b"oc-validity") {
                validity_ms.replace(value.map_or(Some(VALIDITY_MS), milliseconds)?).is_none()
            } else if is_named(name, b"oc-seq") {
                seq.replace(read_seq(value?)?).is_none()
            } else if is_named(name, b"oc-algo") {
                let algorithm = value?.trim_ascii();
                let quoted =
                    algorithm.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
                let algorithm = quoted.unwrap_or(algorithm).trim_ascii();
                algorithm.eq_ignore_ascii_case(b"loss").then_some(())?;
                !std::mem::replace(&mut has_algorithm, true)
            } else {
                true
            };
            // Of two values, nobody knows which one is meant.
            is_first.then_some(())?;
        }
        Some(OverloadReport {
            percent: percent?,
            validity_ms: validity_ms.unwrap_or(VALIDITY_MS),
            seq: seq.unwrap_or_default(),
        })
    }
}

/// Reads a time. A longer one than we obey is the longest.
fn milliseconds(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let max = u64::from(OC_VALIDITY_MS_MAX);
    Some(number(digits, max).unwrap_or(max) as u32)
}

fn read_seq(text: &[u8]) -> Option<OcSeq> {
    let point = text.iter().position(|byte| *byte == b'.')?;
    OcSeq::new(number(&text[..point], u64::MAX)?, number(&text[point + 1..], u64::MAX)?)
}

/// The validity of a report that does not name one (§4.3).
const VALIDITY_MS: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parameters: &str) -> Option<(u8, u32, u64, u64)> {
        let text = format!("SIP/2.0/UDP 192.0.2.1:5060{parameters}");
        let via = Via::read(text.as_bytes(), Span::new(0, text.len())).unwrap();
        let OverloadReport { percent, validity_ms, seq } = via.overload_report(text.as_bytes())?;
        Some((percent, validity_ms, seq.seconds(), seq.bits() % (1 << PART_BITS)))
    }

    #[test]
    fn reports() {
        for (parameters, wants) in [
            (
                ";branch=z9hG4bKa;sw=00;received=192.0.2.9;oc=20;oc-algo=\"loss\";oc-validity=500;oc-seq=1282321615.782",
                Some((20, 500, 1_282_321_615, 782)),
            ),
            (";oc=0;oc-algo=\"loss\";oc-validity=0", Some((0, 0, 0, 0))),
            (";oc=100;oc-algo=\"loss\"", Some((100, 500, 0, 0))),
            (";oc=7", Some((7, 500, 0, 0))),
            (";OC=7;Oc-Algo=\"LOSS\";OC-SEQ=1.2;oc-VALIDITY=9", Some((7, 9, 1, 2))),
            (" ; oc = 7 ; oc-algo = \" loss \" ;oc-seq = 1.2", Some((7, 500, 1, 2))),
            (";oc=7;oc-algo=loss;oc-other=x;ocean", Some((7, 500, 0, 0))),
            (";oc=7;oc-validity", Some((7, 500, 0, 0))),
            (";oc=007;oc-validity=99999999999999999999", Some((7, OC_VALIDITY_MS_MAX, 0, 0))),
            (";oc=1;oc-validity=3600000", Some((1, OC_VALIDITY_MS_MAX, 0, 0))),
            (";oc=1;oc-seq=999999999999.99999", Some((1, 500, 999_999_999_999, 99_999))),
            // What we sent, unchanged: the server does not support it.
            (";oc;oc-algo=\"loss\"", None),
            (";oc=5;oc-algo=\"rate\"", None),
            (";oc=5;oc-algo=\"loss,rate\"", None),
            (";oc=5;oc-algo", None),
            (";oc=101", None),
            (";oc=-1", None),
            (";oc=1.5", None),
            (";oc=\"5\"", None),
            (";oc=5;oc=6", None),
            (";oc=5;oc-validity=1;oc-validity=2", None),
            (";oc=5;oc-seq=1.1;oc-seq=1.2", None),
            (";oc=5;oc-algo=\"loss\";oc-algo=\"loss\"", None),
            (";oc=5;oc-validity=x", None),
            (";oc=5;oc-validity=1s", None),
            (";oc=5;oc-seq", None),
            (";oc=5;oc-seq=1", None),
            (";oc=5;oc-seq=.1", None),
            (";oc=5;oc-seq=1.", None),
            (";oc=5;oc-seq=1000000000000.1", None),
            (";oc=5;oc-seq=1.100000", None),
            (";oc=5;oc-seq=1.2.3", None),
            (";oc-validity=700;oc-seq=1.1", None),
            (";branch=z9hG4bKoc=9;xoc=9", None),
            ("", None),
        ] {
            assert_eq!(read(parameters), wants, "{parameters}");
        }
    }

    #[test]
    fn which_one_is_newer() {
        let seq = |seconds, part| OcSeq::new(seconds, part).unwrap();
        let rising = [OcSeq::default(), seq(0, 1), seq(1, 0), seq(1, 9), seq(1, 10), seq(2, 0)];
        assert!(rising.is_sorted_by(|a, b| a < b));
        assert!(seq(999_999_999_999, 99_999).bits() < 1 << OcSeq::BITS);
        assert_eq!(OcSeq::from_bits(seq(7, 8).bits()), seq(7, 8));
    }
}
