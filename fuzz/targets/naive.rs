//! Parses and builds messages like a server or a phone: by splitting, without the relay's own
//! parser.

/// A message in its parts.
pub(crate) struct Parts<'a> {
    pub(crate) first_line: &'a [u8],
    /// Rows with their folds and line ends.
    pub(crate) rows: Vec<&'a [u8]>,
    pub(crate) body: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Takes a message apart that has a blank line and no bare CR or LF in its header.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        let start = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let bytes = &bytes[start..];
        let end = find(bytes, b"\r\n\r\n").expect("a whole header");
        let (header, body) = (&bytes[..end + 2], &bytes[end + 4..]);
        let first_end = find(header, b"\r\n").expect("a line end");
        let mut rows: Vec<&[u8]> = Vec::new();
        let mut row_start = first_end + 2;
        while row_start < header.len() {
            let mut row_end = row_start + find(&header[row_start..], b"\r\n").expect("ends") + 2;
            while let Some(b' ' | b'\t') = header.get(row_end) {
                row_end += find(&header[row_end..], b"\r\n").expect("ends") + 2;
            }
            rows.push(&header[row_start..row_end]);
            row_start = row_end;
        }
        Self { first_line: &header[..first_end], rows, body }
    }

    /// The rows of this field, given by its long name in lower case.
    pub(crate) fn all(&self, name: &str) -> Vec<&'a [u8]> {
        self.rows.iter().copied().filter(|row| name_of(row) == name).collect()
    }

    /// The first row of this field.
    pub(crate) fn first(&self, name: &str) -> &'a [u8] {
        self.all(name).first().copied().unwrap_or_default()
    }

    /// The second word of the first line: the Request-URI.
    pub(crate) fn uri(&self) -> &'a [u8] {
        self.first_line.split(|b| *b == b' ').nth(1).unwrap_or_default()
    }
}

/// The long name of a row's field in lower case.
pub(crate) fn name_of(row: &[u8]) -> String {
    let name = row.split(|b| *b == b':').next().unwrap_or_default();
    let name = String::from_utf8_lossy(name).trim().to_ascii_lowercase();
    match name.as_str() {
        "v" => "via".into(),
        "f" => "from".into(),
        "t" => "to".into(),
        "i" => "call-id".into(),
        "l" => "content-length".into(),
        _ => name,
    }
}

/// What stands after the colon, without blanks at its ends.
pub(crate) fn value_of(row: &[u8]) -> &[u8] {
    let colon = row.iter().position(|b| *b == b':').map_or(row.len(), |at| at + 1);
    trim(&row[colon..])
}

/// Without blanks and line ends at both ends; a form feed is none of them.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = text.iter().take_while(|byte| is_blank(byte)).count();
    let end = text.len() - text[start..].iter().rev().take_while(|byte| is_blank(byte)).count();
    &text[start..end]
}

pub(crate) fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

/// What servers do to the Vias that they send back. All of it is allowed.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a habit that any other goes with")]
pub(crate) struct Habits {
    /// All Vias in one row.
    pub(crate) joins_vias: bool,
    /// Our parameters in upper case.
    pub(crate) shouts: bool,
    /// Without our parameter: it is no parameter of RFC 3261.
    pub(crate) drops_parameter: bool,
    /// `received` added to the topmost value.
    pub(crate) adds_received: bool,
    /// Rows in another order.
    pub(crate) vias_last: bool,
}

/// What a server answers to `request`, as it got it.
pub(crate) fn response(request: &[u8], status: &str, to_tag: &str, habits: Habits) -> Vec<u8> {
    let parts = Parts::of(request);
    let mut vias: Vec<Vec<u8>> =
        parts.all("via").into_iter().map(|row| value_of(row).to_vec()).collect();
    if let Some(top) = vias.first_mut() {
        *top = told(top, habits);
    }
    let mut vias = if habits.joins_vias {
        [b"v: ", &*vias.join(&b", "[..]), b"\r\n"].concat()
    } else {
        vias.iter().flat_map(|via| [b"Via: ", &**via, b"\r\n"].concat()).collect()
    };
    let mut rest = Vec::new();
    for name in ["record-route", "from", "call-id", "cseq"] {
        parts.all(name).into_iter().for_each(|row| rest.extend_from_slice(row));
    }
    let to = parts.first("to");
    rest.extend_from_slice(trim(to));
    if !has_tag(to) {
        rest.extend_from_slice(format!(";tag={to_tag}").as_bytes());
    }
    rest.extend_from_slice(b"\r\n");
    let rows = if habits.vias_last {
        rest.append(&mut vias);
        rest
    } else {
        vias.append(&mut rest);
        vias
    };
    [format!("SIP/2.0 {status}\r\n").as_bytes(), &rows, b"Content-Length: 0\r\n\r\n"].concat()
}

fn told(via: &[u8], habits: Habits) -> Vec<u8> {
    let text = String::from_utf8_lossy(via).into_owned();
    let (before, value) = text.split_once(";sw=").expect("our own Via");
    let mut told = before.to_owned();
    if !habits.drops_parameter {
        told = format!("{told};sw={value}");
    }
    if habits.shouts {
        told = told.to_ascii_uppercase();
    }
    if habits.adds_received {
        told.push_str(";received=192.0.2.1");
    }
    told.into_bytes()
}

/// Whether a To or From row has a tag, by our reader: the quoted strings in it are past splitting.
fn has_tag(row: &[u8]) -> bool {
    let value = value_of(row);
    let text = [b"X sip:a SIP/2.0\r\nTo: ", value, b"\r\n\r\n"].concat();
    strowger::message::Message::read(&text).to_tag.is_some()
}

/// A request in a dialog.
pub(crate) struct InDialog<'a> {
    pub(crate) method: &'a str,
    pub(crate) uri: Vec<u8>,
    pub(crate) from: Vec<u8>,
    pub(crate) to: Vec<u8>,
    pub(crate) call_id: Vec<u8>,
    pub(crate) routes: Vec<Vec<u8>>,
    pub(crate) via: String,
}

impl InDialog<'_> {
    pub(crate) fn text(&self) -> Vec<u8> {
        let Self { method, uri, from, to, call_id, routes, via } = self;
        let routes: Vec<u8> =
            routes.iter().flat_map(|route| [b"Route: ", &**route, b"\r\n"].concat()).collect();
        [
            format!("{method} ").as_bytes(),
            uri,
            format!(" SIP/2.0\r\nVia: {via}\r\n").as_bytes(),
            &routes,
            b"From: ",
            from,
            b"\r\nTo: ",
            to,
            b"\r\nCall-ID: ",
            call_id,
            format!("\r\nCSeq: 7 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n")
                .as_bytes(),
        ]
        .concat()
    }
}
