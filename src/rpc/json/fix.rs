//! Repairs the JSON of `kamctl`: it writes whatever `printf %f` accepts as a bare word (`1e5`,
//! `0x10`, `nan`), and escapes nothing.

use std::borrow::Cow;

/// Returns the text with bare words quoted as strings, and with strings escaped if they were not.
pub(super) fn fix(text: &str) -> Cow<'_, str> {
    let mut fixed = Fixed { text, copied: 0, made: String::new() };
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = fixed.string(at + 1),
            _ if is_word(byte) => {
                let length = bytes[at..].iter().take_while(|b| is_word(**b)).count();
                fixed.word(at, at + length);
                at += length;
            }
            _ => at += 1,
        }
    }
    fixed.finish()
}

struct Fixed<'a> {
    text: &'a str,
    /// How much of it has been copied to `made`.
    copied: usize,
    made: String,
}

impl<'a> Fixed<'a> {
    /// Skips a string, starting after its opening quote, and returns where it ends.
    fn string(&mut self, mut at: usize) -> usize {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'"' => return at + 1,
                b'\\' if bytes.get(at + 1).is_some_and(|next| b"\"\\/bfnrtu".contains(next)) => {
                    at += 2;
                }
                b'\\' => {
                    self.replace(at, at + 1, "\\\\");
                    at += 1;
                }
                0..0x20 => {
                    self.replace(at, at + 1, &format!("\\u{byte:04x}"));
                    at += 1;
                }
                _ => at += 1,
            }
        }
        at
    }

    fn word(&mut self, begin: usize, end: usize) {
        let word = &self.text[begin..end];
        if !matches!(word, "true" | "false" | "null") && !is_plain_number(word) {
            let quoted = serde_json::to_string(word).unwrap_or_default();
            self.replace(begin, end, &quoted);
        }
    }

    fn replace(&mut self, begin: usize, end: usize, by: &str) {
        self.made.push_str(&self.text[self.copied..begin]);
        self.made.push_str(by);
        self.copied = end;
    }

    fn finish(mut self) -> Cow<'a, str> {
        if self.copied == 0 {
            return Cow::Borrowed(self.text);
        }
        self.made.push_str(&self.text[self.copied..]);
        Cow::Owned(self.made)
    }
}

fn is_word(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !b",:{}[]\"".contains(&byte)
}

/// Matches `-12` or `1.5`: a number that can be parsed without loss.
fn is_plain_number(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let has_no_zeros = whole == "0" || !whole.starts_with('0');
    are_digits(whole) && are_digits(fraction) && has_no_zeros && word.len() <= 18
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_words_and_what_is_not_escaped() {
        for (text, wants) in [
            ("[1,-1,1.5,true,null]", "[1,-1,1.5,true,null]"),
            ("[1e5, 0x10,nan]", r#"["1e5", "0x10","nan"]"#),
            ("[01, +1, .5, 1., -]", r#"["01", "+1", ".5", "1.", "-"]"#),
            ("[1234567890123456789]", r#"["1234567890123456789"]"#),
            ("{\"a\":\"1e5 nan\"}", "{\"a\":\"1e5 nan\"}"),
            ("[\"a\tb\\d\\\"\"]", r#"["a\u0009b\\d\""]"#),
            ("[\"\\", "[\"\\\\"),
            ("['a]", r#"["'a"]"#),
            ("\u{e9}", "\"\u{e9}\""),
        ] {
            assert_eq!(fix(text), wants, "{text}");
        }
    }
}
