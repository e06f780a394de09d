//! Kamailio's hash of a call, for operators who want to know which destination a call would get
//! there (`dispatcher.hash`), or what changes when they switch systems.

/// Returns the hash over one or two keys. Neither hash is ever 0: 1 replaces it.
///
/// Kamailio reads characters as C's `char`, which is signed on x86: bytes from 0x80 on are negative
/// numbers. On ARM it is unsigned, so Kamailio's hash of such a key differs there.
pub fn kamailio(key1: &[u8], key2: &[u8]) -> u32 {
    let hash = words(key1).wrapping_add(words(key2));
    let mixed = hash.wrapping_add(hash >> 11).wrapping_add((hash >> 13).wrapping_add(hash >> 23));
    mixed.max(1)
}

/// Adds up the words of four bytes and the remaining bytes, each mixed into its lower bits.
fn words(key: &[u8]) -> u32 {
    let word = |bytes: &[u8]| {
        let signed = |byte: &u8| i32::from(byte.cast_signed()).cast_unsigned();
        bytes.iter().fold(0_u32, |word, byte| (word << 8).wrapping_add(signed(byte)))
    };
    key.chunks(4).map(word).fold(0, |sum, word| sum.wrapping_add(word ^ (word >> 3)))
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
