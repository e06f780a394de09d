//! Finds where requests start and end on a stream without frames.
//!
//! The FIFO has many writers and no frames: a request ends where its braces balance outside quotes,
//! as Kamailio counts them. A client that writes half a request and goes away would swallow the
//! next one, so bytes that can only be the start of a request begin a new one.

/// What was found on a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Frame {
    /// A text whose braces balance.
    Whole(Vec<u8>),
    /// Bytes that are not a request, or a request without an end.
    Broken(Vec<u8>, &'static str),
}

/// Splits a stream into [`Frame`]s.
#[derive(Debug)]
pub struct Framer {
    bytes: Vec<u8>,
    bytes_max: usize,
    /// How far `bytes` have been scanned.
    at: usize,
    depth: usize,
    quote: Option<u8>,
    is_escaped: bool,
}

impl Framer {
    /// Creates a framer for requests of at most this many bytes.
    pub const fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max, at: 0, depth: 0, quote: None, is_escaped: false }
    }

    /// Adds bytes that were read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns whether a request has begun and not ended.
    pub fn is_within(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Returns the next frame; `None` until more is read.
    pub fn next_frame(&mut self) -> Option<Frame> {
        if self.depth == 0 {
            // Blanks between requests are not reported.
            let begin = self.bytes.iter().position(|b| *b == b'{').unwrap_or(self.bytes.len());
            let before: Vec<u8> = self.bytes.drain(..begin).collect();
            if before.iter().any(|b| !b.is_ascii_whitespace() && *b != 0) {
                return Some(Frame::Broken(before, "no request starts like this"));
            }
        }
        while let Some(&byte) = self.bytes.get(self.at) {
            if self.at > 0 && byte == b'{' {
                let begins = begins_request(&self.bytes[self.at..]);
                if begins == Some(true) {
                    return Some(self.broken(self.at, "it is incomplete"));
                }
                if begins.is_none() && self.at < self.bytes_max {
                    return None;
                }
            }
            self.at += 1;
            self.count(byte);
            if self.depth == 0 {
                let frame = self.bytes.drain(..self.at).collect();
                self.restart();
                return Some(Frame::Whole(frame));
            }
            if self.at >= self.bytes_max {
                return Some(self.broken(self.at, "it is too long"));
            }
        }
        None
    }

    /// Returns a request that has begun and will not end, because nothing comes for too long or the
    /// stream ended.
    pub fn give_up(&mut self) -> Option<Frame> {
        self.is_within().then(|| self.broken(self.bytes.len(), "it is incomplete"))
    }

    fn count(&mut self, byte: u8) {
        if self.is_escaped {
            self.is_escaped = false;
            return;
        }
        match (self.quote, byte) {
            (Some(_), b'\\') => self.is_escaped = true,
            (Some(quote), _) => {
                if byte == quote {
                    self.quote = None;
                }
            }
            (None, b'"' | b'\'') => self.quote = Some(byte),
            (None, b'{') => self.depth += 1,
            (None, b'}') => self.depth -= 1,
            (None, _) => {}
        }
    }

    fn broken(&mut self, end: usize, why: &'static str) -> Frame {
        let bytes = self.bytes.drain(..end).collect();
        self.restart();
        Frame::Broken(bytes, why)
    }

    fn restart(&mut self) {
        (self.at, self.depth, self.quote, self.is_escaped) = (0, 0, None, false);
    }
}

/// Returns whether the bytes begin a request, `{ "jsonrpc"`. This cannot occur within one: in a
/// text the quotes would be escaped. `None` if there are too few bytes to tell.
fn begins_request(bytes: &[u8]) -> Option<bool> {
    const NAME: &[u8] = b"\"jsonrpc\"";
    let blanks = bytes[1..].iter().take_while(|b| b.is_ascii_whitespace()).count();
    let rest = &bytes[1 + blanks..];
    if rest.len() >= NAME.len() {
        return Some(rest.starts_with(NAME));
    }
    if NAME.starts_with(rest) && blanks < BLANKS_MAX { None } else { Some(false) }
}

/// Blanks allowed at the start of a request.
const BLANKS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(framer: &mut Framer) -> Vec<Result<String, String>> {
        std::iter::from_fn(|| framer.next_frame())
            .map(|frame| match frame {
                Frame::Whole(bytes) => Ok(String::from_utf8(bytes).unwrap()),
                Frame::Broken(bytes, _) => Err(String::from_utf8(bytes).unwrap()),
            })
            .collect()
    }

    #[test]
    fn requests_garbage_and_halves() {
        let ok = |text: &str| Ok::<_, String>(text.to_owned());
        let no = |text: &str| Err::<String, _>(text.to_owned());
        for (stream, wants) in [
            ("{}", vec![ok("{}")]),
            ("\n{}\n{\"a\":{}} ", vec![ok("{}"), ok("{\"a\":{}}")]),
            ("{\"a\":\"}\"}", vec![ok("{\"a\":\"}\"}")]),
            ("{'}':\"\\\"}\"}", vec![ok("{'}':\"\\\"}\"}")]),
            ("{\"a\":\"it's\"}{}", vec![ok("{\"a\":\"it's\"}"), ok("{}")]),
            ("{\n\"a\"\n:1\n}", vec![ok("{\n\"a\"\n:1\n}")]),
            ("rubbish}}{}", vec![no("rubbish}}"), ok("{}")]),
            ("{\"jsonrpc\":1", vec![]),
            (
                "{\"jsonrpc\":\"{ \"jsonrpc\":2}",
                vec![no("{\"jsonrpc\":\""), ok("{ \"jsonrpc\":2}")],
            ),
            ("{\"a\":'{\"jsonrpc\":2}{}", vec![no("{\"a\":'"), ok("{\"jsonrpc\":2}"), ok("{}")]),
            ("{\"a\":\"{\\\"jsonrpc\\\"\"}", vec![ok("{\"a\":\"{\\\"jsonrpc\\\"\"}")]),
            ("\0\0{}", vec![ok("{}")]),
        ] {
            let mut framer = Framer::new(100);
            framer.push(stream.as_bytes());
            assert_eq!(frames(&mut framer), wants, "{stream}");
            // The same byte by byte.
            let mut framer = Framer::new(100);
            let mut found = Vec::new();
            for byte in stream.bytes() {
                framer.push(&[byte]);
                found.extend(frames(&mut framer));
            }
            let whole = |found: Vec<Result<String, String>>| -> Vec<String> {
                found.into_iter().flatten().collect()
            };
            assert_eq!(whole(found), whole(wants), "{stream}");
        }
    }

    #[test]
    fn what_has_no_end_is_given_up() {
        let mut framer = Framer::new(8_191);
        framer.push(b"{\"a\":");
        assert_eq!(framer.next_frame(), None);
        assert_eq!(framer.give_up(), Some(Frame::Broken(b"{\"a\":".to_vec(), "it is incomplete")));
        assert_eq!(framer.give_up(), None);
        framer.push(&b"{".repeat(20_000));
        let mut lengths = Vec::new();
        while let Some(Frame::Broken(bytes, "it is too long")) = framer.next_frame() {
            lengths.push(bytes.len());
        }
        assert_eq!(lengths, [8_191, 8_191]);
        framer.give_up();
        framer.push(b"{}");
        assert_eq!(framer.next_frame(), Some(Frame::Whole(b"{}".to_vec())));
    }
}
