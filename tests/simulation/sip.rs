//! SIP as the parties of the simulation read and write it: slow, obvious, and independent of the
//! relay's own parser.

/// One message, its rows split at commas and under their long names.
#[derive(Clone, Debug)]
pub(crate) struct Sip {
    pub(crate) first: String,
    pub(crate) rows: Vec<(String, String)>,
    pub(crate) body: String,
}

/// How a party spells what it sends.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Spelling {
    #[default]
    Plain,
    Compact,
    /// Mixed case, blanks around colons, folded lines.
    Odd,
    /// Values of one field in one row.
    Joined,
}

const NAMES: [(&str, &str); 13] = [
    ("Via", "v"),
    ("From", "f"),
    ("To", "t"),
    ("Call-ID", "i"),
    ("Contact", "m"),
    ("Content-Length", "l"),
    ("CSeq", ""),
    ("Route", ""),
    ("Record-Route", ""),
    ("Max-Forwards", ""),
    ("Max-Breadth", ""),
    ("Authorization", ""),
    ("Proxy-Authorization", ""),
];

impl Sip {
    pub(crate) fn new(first: String) -> Self {
        Self { first, rows: Vec::new(), body: String::new() }
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let mut sip = Self::new(lines.next()?.to_owned());
        body.clone_into(&mut sip.body);
        let mut rows: Vec<String> = Vec::new();
        for line in lines {
            match rows.last_mut() {
                Some(last) if line.starts_with([' ', '\t']) => {
                    last.push(' ');
                    last.push_str(line.trim());
                }
                _ => rows.push(line.to_owned()),
            }
        }
        for row in rows {
            let (name, value) = row.split_once(':')?;
            let name = long_name(name.trim());
            if matches!(name, "Via" | "Route" | "Record-Route") {
                for value in split_at_commas(value) {
                    sip.rows.push((name.to_owned(), value.trim().to_owned()));
                }
            } else if name != "Content-Length" {
                // It is counted anew when it is written.
                sip.rows.push((name.to_owned(), value.trim().to_owned()));
            }
        }
        Some(sip)
    }

    pub(crate) fn write(&self, spelling: Spelling) -> Vec<u8> {
        let mut out = String::with_capacity(600);
        out.push_str(&self.first);
        out.push_str("\r\n");
        let mut last = "";
        for (number, (name, value)) in self.rows.iter().enumerate() {
            let joins = spelling == Spelling::Joined
                && name == last
                && matches!(name.as_str(), "Via" | "Route" | "Record-Route");
            if joins {
                out.truncate(out.len() - 2);
                out.push_str(", ");
                out.push_str(value);
            } else {
                write_name(&mut out, name, spelling, number);
                if spelling == Spelling::Odd && number % 3 == 0 {
                    out.push_str("\r\n ");
                }
                out.push_str(value);
            }
            out.push_str("\r\n");
            last = name;
        }
        write_name(&mut out, "Content-Length", spelling, 1);
        out.push_str(&self.body.len().to_string());
        out.push_str("\r\n\r\n");
        out.push_str(&self.body);
        out.into_bytes()
    }

    pub(crate) fn add(&mut self, name: &str, value: impl Into<String>) {
        self.rows.push((name.to_owned(), value.into()));
    }

    /// The first value of this field; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.rows.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str())
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
        self.rows.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The first value of this field, to be changed.
    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut String> {
        self.rows.iter_mut().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The status code of a response.
    pub(crate) fn status(&self) -> Option<u16> {
        self.first.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The method of a request.
    pub(crate) fn method(&self) -> &str {
        self.first.split(' ').next().unwrap_or("")
    }

    pub(crate) fn request_uri(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or("")
    }

    pub(crate) fn cseq(&self) -> (u32, &str) {
        let mut words = self.get("CSeq").split_whitespace();
        (words.next().and_then(|n| n.parse().ok()).unwrap_or(0), words.next().unwrap_or(""))
    }

    /// The branch of the topmost Via, in lower case.
    pub(crate) fn branch(&self) -> String {
        parameter(self.get("Via"), "branch").unwrap_or("").to_ascii_lowercase()
    }

    /// Host and port of the topmost Via.
    pub(crate) fn sent_by(&self) -> &str {
        sent_by(self.get("Via"))
    }
}

/// Host and port of a Via value, as they are written.
pub(crate) fn sent_by(via: &str) -> &str {
    via.split_once(' ').map_or("", |(_, rest)| rest).split(';').next().unwrap_or("").trim()
}

/// A parameter after the URI of a value, or of a Via.
pub(crate) fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let after = value.rsplit_once('>').map_or(value, |(_, after)| after);
    after.split(';').skip(1).find_map(|parameter| {
        let (n, v) = parameter.split_once('=').unwrap_or((parameter, ""));
        n.trim().eq_ignore_ascii_case(name).then(|| v.trim())
    })
}

pub(crate) fn tag(value: &str) -> &str {
    parameter(value, "tag").unwrap_or("")
}

/// The URI of a name-addr.
pub(crate) fn uri(value: &str) -> &str {
    match value.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(""),
        None => value.split(';').next().unwrap_or("").trim(),
    }
}

/// Host and port of a URI, as they are written.
pub(crate) fn host_port(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    let rest = rest.split(';').next().unwrap_or("");
    rest.rsplit_once('@').map_or(rest, |(_, host)| host)
}

fn long_name(name: &str) -> &str {
    let is = |other: &&(&str, &str)| {
        name.eq_ignore_ascii_case(other.0)
            || !other.1.is_empty() && name.eq_ignore_ascii_case(other.1)
    };
    NAMES.iter().find(is).map_or(name, |(long, _)| long)
}

fn write_name(out: &mut String, name: &str, spelling: Spelling, number: usize) {
    let compact = NAMES.iter().find(|(long, short)| *long == name && !short.is_empty());
    match (spelling, compact) {
        (Spelling::Compact, Some((_, short))) => {
            out.push_str(short);
            out.push(':');
        }
        (Spelling::Odd, _) => {
            for (at, letter) in name.chars().enumerate() {
                out.push(if at % 2 == number % 2 {
                    letter.to_ascii_uppercase()
                } else {
                    letter.to_ascii_lowercase()
                });
            }
            out.push_str(if number.is_multiple_of(2) { " : " } else { "\t:" });
        }
        _ => {
            out.push_str(name);
            out.push_str(": ");
        }
    }
}

fn split_at_commas(value: &str) -> Vec<&str> {
    let (mut parts, mut start, mut is_in_brackets) = (Vec::new(), 0, false);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'<' => is_in_brackets = true,
            b'>' => is_in_brackets = false,
            b',' if !is_in_brackets => {
                parts.push(&value[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&value[start..]);
    parts
}
