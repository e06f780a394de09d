//! Mutates a message field by field, so that the fuzzer spends its time after the first line.

/// Half of the changes are libFuzzer's own.
pub(crate) fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut dice = Dice(u64::from(seed) << 1 | 1);
    if dice.below(2) == 0 {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let Some(changed) = change(&data[..size], &mut dice).filter(|new| new.len() <= max_size) else {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    };
    data[..changed.len()].copy_from_slice(&changed);
    changed.len()
}

fn change(message: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let header_len = message.windows(4).position(|end| end == b"\r\n\r\n")? + 2;
    let (header, rest) = message.split_at(header_len);
    let mut rows: Vec<Vec<u8>> =
        header.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    for _ in 0..=dice.below(3) {
        let count = rows.len();
        let at = dice.below(count.max(1));
        let row = rows.get_mut(at)?;
        match dice.below(8) {
            0 => {
                let other = dice.below(count);
                rows.swap(at, other);
            }
            1 => {
                let copy = row.clone();
                rows.insert(dice.below(count + 1), copy);
            }
            2 if count > 1 => drop(rows.remove(at)),
            3 => {
                let new = dice.of(&ROWS).as_bytes().to_vec();
                rows.insert(dice.below(count) + 1, new);
            }
            4 => {
                let end = row.len().saturating_sub(2);
                let more = dice.of(&TAILS).bytes();
                row.splice(end..end, more);
            }
            5 => {
                let place = dice.below(row.len().max(1));
                let fold = dice.of(&["\r\n ", " ", "\t", "\r\n\t\r\n "]).bytes();
                row.splice(place..place, fold);
            }
            6 => row.iter_mut().take_while(|byte| **byte != b':').for_each(|byte| {
                *byte = if dice.below(2) == 0 {
                    byte.to_ascii_uppercase()
                } else {
                    byte.to_ascii_lowercase()
                };
            }),
            _ => {
                let colon = row.iter().position(|byte| *byte == b':')?;
                let name = dice.of(&NAMES).bytes();
                row.splice(..colon, name);
            }
        }
    }
    Some([&*rows.concat(), rest].concat())
}

const ROWS: [&str; 14] = [
    "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK0;sw=00\r\n",
    "v: SIP / 2.0 / UDP [2001:db8::1] ; received = 192.0.2.9 ; rport,SIP/2.0/UDP a\r\n",
    "From: \"a\\\"<\" <sip:a@b>;tag=a\r\n",
    "t: sip:b@c;tag=b\r\n",
    "i: c@d\r\n",
    "CSeq: 1 INVITE\r\n",
    "Max-Forwards: 256\r\n",
    "Max-Breadth: 60\r\n",
    "Route: <sip:192.0.2.1;lr>, \"x,\" <sip:b;lr>;y=\",\"\r\n",
    "Route: sip:c;lr\r\n",
    "l: 0\r\n",
    "Proxy-Require: x\r\n",
    "Authorization: x\r\n",
    "X: y\r\n z\r\n",
];

const TAILS: [&str; 12] = [
    ";tag=x",
    ";rport",
    ";received=1.2.3.4",
    ";branch=z9hG4bKx",
    ";lr",
    ";x=\"y;,\"",
    ", <sip:d;lr>",
    ",SIP/2.0/UDP e",
    ";sw=1",
    "\r\n\t;f",
    " ",
    ";x = y",
];

const NAMES: [&str; 12] = [
    "Via",
    "v",
    "From",
    "f",
    "To",
    "Call-ID",
    "CSeq",
    "Route",
    "Max-Forwards",
    "Content-Length ",
    "X\t",
    "",
];

/// Marsaglia's xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }

    fn of(&mut self, texts: &[&'static str]) -> &'static str {
        texts[self.below(texts.len())]
    }
}
