//! Kamailio's hash of a call, for operators who want to know which destination a call would get
//! there (`dispatcher.hash`), or what changes when they switch systems.

/// Returns the hash over one or two keys. Neither hash is ever 0: 1 replaces it.
///
/// Kamailio reads characters as C's `char`, which is signed on x86: bytes from 0x80 on are negative
/// numbers. On ARM it is unsigned, so Kamailio's hash of such a key differs there.
pub fn kamailio(key1: &[u8], key2: &[u8]) -> u32 {
    let mut hash = KamailioHash::default();
    hash.write(key1);
    hash.end_key();
    hash.write(key2);
    hash.finish()
}

/// The same hash over keys that come in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct KamailioHash {
    sum: u32,
    /// The bytes of the word that is not complete, and how many they are.
    word: u32,
    len: u8,
}

impl KamailioHash {
    /// Adds a piece of the key.
    pub fn write(&mut self, piece: &[u8]) {
        for byte in piece {
            let signed = i32::from(byte.cast_signed()).cast_unsigned();
            self.word = (self.word << 8).wrapping_add(signed);
            self.len += 1;
            if self.len == 4 {
                self.end_key();
            }
        }
    }

    /// Ends a key: the next one begins with a word of its own.
    pub fn end_key(&mut self) {
        self.sum = self.sum.wrapping_add(self.word ^ (self.word >> 3));
        (self.word, self.len) = (0, 0);
    }

    /// Returns the hash over everything so far.
    pub fn finish(mut self) -> u32 {
        self.end_key();
        let hash = self.sum;
        let mixed =
            hash.wrapping_add(hash >> 11).wrapping_add((hash >> 13).wrapping_add(hash >> 23));
        mixed.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All values are from Kamailio 5.6.3 on x86: `kamcmd dispatcher.hash 0 s:KEY1 s:KEY2`, which
    /// prints signed numbers.
    #[test]
    fn as_kamailio_answers() {
        for (key1, key2, wants) in [
            ("a", "", 109_i32),
            ("ab", "", 27_998),
            ("abc", "", 7_167_810),
            ("abcd", "", 1_834_959_896),
            ("abcde", "", 1_834_960_001),
            ("3848276298220188511@atlanta.example.com", "", -878_943_203),
            ("a84b4c76e66710@pc33.atlanta.com", "", -2_119_949_202),
            ("alice", "atlanta.com", 1_053_853_112),
            ("bob", "biloxi.example.com:5070", 571_038_932),
            ("abc", "d", 7_167_914),
            ("m\u{fc}ller", "", 1_640_766_464),
            ("\u{ff}\u{ff}\u{ff}\u{ff}", "", -1_242_652_654),
        ] {
            let told = kamailio(key1.as_bytes(), key2.as_bytes()).cast_signed();
            assert_eq!(told, wants, "{key1} {key2}");
        }
    }

    #[test]
    fn it_is_never_0() {
        assert_eq!(kamailio(b"", b""), 1);
        assert_eq!(kamailio(b"\0\0\0\0\0", b""), 1);
    }
}
