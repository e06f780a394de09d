//! Builds requests from choices: what phones, trunks and attackers send, each part chosen by one
//! byte of the input. The first choice of each list is the usual one, because it is taken when the
//! input is used up.

use arbitrary::Unstructured;

/// Methods, the first letter of `invite` being wrong.
const METHODS: [&str; 15] = [
    "INVITE",
    "OPTIONS",
    "REGISTER",
    "BYE",
    "CANCEL",
    "ACK",
    "MESSAGE",
    "SUBSCRIBE",
    "REFER",
    "PUBLISH",
    "NOTIFY",
    "UPDATE",
    "PRACK",
    "invite",
    "X-NEW",
];

const URIS: [&str; 20] = [
    "sip:bob@example.com",
    "sip:192.0.2.1",
    "sip:bob@192.0.2.1:5060",
    "sip:edge.example.net:5070",
    "sip:sip.example.net;lr",
    "sip:10.0.0.1:5060",
    "sip:bob@10.0.0.2",
    "sip:bob@gw.example.com",
    "sip:bob@[2001:db8:2::1]:5060;transport=udp",
    "sips:bob@example.com",
    "tel:+431234;phone-context=x",
    "urn:service:sos",
    "sip:bob@203.0.113.66:5060;lr",
    "sip:bob@198.51.100.7:5062",
    "sip:bob@[2001:db8:3::9]",
    "sip:a;x=y@example.com:5061;user=phone",
    "SIP:B%40b@EXAMPLE.com",
    "sip:bob@example.com?subject=x",
    "sip:bob@127.0.0.1:9",
    "sip:bob@224.0.0.1:5060",
];

const SENT_BYS: [&str; 12] = [
    "198.51.100.7:5062",
    "198.51.100.7",
    "caller.example.org",
    "[2001:db8:1::7]:5062",
    "10.0.0.1:5060",
    "10.0.0.99:65535",
    "192.0.2.1:5060",
    "edge.example.net : 5070",
    "Sip.Example.Net",
    "a_b.example:1",
    "[2001:DB8::1]",
    "300.1.1.1:5060",
];

const BRANCHES: [&str; 9] = [
    ";branch=z9hG4bK-one",
    ";branch=z9hG4bK-two",
    ";branch=z9hG4bK-three",
    ";branch=Z9HG4BK-ONE",
    ";branch=z9hG4bK",
    ";branch=1",
    "",
    ";branch = z9hG4bK-one",
    ";branch=z9hG4bK0123456789abcdef0123456789abcdef0",
];

const VIA_PARAMETERS: [&str; 16] = [
    "",
    ";rport",
    ";rport=9",
    ";received=203.0.113.9",
    ";received=2001:db8:1::7",
    ";received=[2001:db8:1::7];rport",
    ";maddr=203.0.113.66;ttl=1",
    ";sw=00",
    ";x=\"a;b,c\\\"\"",
    " ; rport ; y",
    ";RPORT=5062;RECEIVED=198.51.100.7",
    ";received=nobody",
    ";rport=0;received=127.0.0.1",
    ";rport=5060;received=192.0.2.1",
    ";rport;rport",
    ";received=255.255.255.255",
];

const FROMS: [&str; 8] = [
    "<sip:alice@example.org>;tag=a",
    "\"A, <x> \\\"\" <sip:alice@example.org>;x=y;tag=b",
    "sip:alice@example.org;tag=A",
    "Alice <sip:alice@example.org>",
    "<sip:alice@example.org>;tag=callee",
    "<tel:+431>;tag=\"q\"",
    "<sip:alice@example.org> ; TAG = a",
    "<sip:alice@example.org>;tag=",
];

const TOS: [&str; 7] = [
    "<sip:bob@example.com>",
    "sip:bob@example.com",
    "<sip:bob@example.com>;tag=callee",
    "\"\" <sip:bob@example.com;x=y>;z",
    "<sip:bob@example.com>;tag=a",
    "Bob <sip:bob@example.com>;tag=0000000000000000",
    "\"Bob <sip:bob@example.com>",
];

const CALL_IDS: [&str; 6] = ["call-1@host", "call-2", "CALL-2", "c", "<a>[b]{c}:d", "call 3"];

const ROUTES: [&str; 12] = [
    "<sip:192.0.2.1;lr>",
    "<sip:x@192.0.2.1:5060;lr>",
    "<sip:edge.example.net:5070;lr>",
    "<sip:203.0.113.66;lr>",
    "<sip:203.0.113.66>",
    "<sip:10.0.0.1;lr>;x=y",
    "\"a, b\" <sip:[2001:db8:3::9];lr>",
    "sip:192.0.2.1;lr",
    "<sip:[2001:db8::1];LR=on>",
    "<sip:192.0.2.1>",
    "<tel:+43>",
    "<sip:",
];

const MORE: [&str; 18] = [
    "",
    "Max-Breadth: 60\r\n",
    "Max-Breadth: 0\r\n",
    "Max-Breadth: 70\r\n",
    "Max-Breadth: x\r\n",
    "Proxy-Require: foo\r\n",
    "Authorization: Digest x=y\r\n",
    "Proxy-Authorization: Digest x=y\r\n",
    "Record-Route: <sip:203.0.113.7;lr>, <sip:203.0.113.8>\r\n",
    "Contact: <sip:alice@198.51.100.7:5062>\r\n",
    "X-Long: a\r\n b\r\n\tc\r\n",
    "Max-Forwards: 3\r\n",
    "To: <sip:twice@example.com>\r\n",
    "no colon\r\n",
    "bare: \r x\r\n",
    "v: SIP/2.0/UDP later.example;branch=z9hG4bK-z\r\n",
    "Max-Forwards : 255\r\n",
    "Subject\t: \u{e4}\u{f6}\r\n",
];

const HOPS: [&str; 8] = ["70", "0", "1", "255", "256", "4294967295", "007", "-1"];

/// A request.
pub(crate) fn request(u: &mut Unstructured) -> arbitrary::Result<Vec<u8>> {
    let method = *u.choose(&METHODS)?;
    let uri = *u.choose(&URIS)?;
    let mut rows = Vec::new();
    let spelling = Spelling(u.arbitrary()?);
    rows.extend(vias(u, spelling)?);
    rows.push(row(spelling, "From", u.choose(&FROMS)?));
    rows.push(row(spelling, "To", u.choose(&TOS)?));
    rows.push(row(spelling, "Call-ID", u.choose(&CALL_IDS)?));
    let number = *u.choose(&["1", "2", "3", "4294967295", "0", "4294967296"])?;
    let cseq_method = if u.ratio(1, 16)? { "INVITE" } else { method };
    rows.push(row(spelling, "CSeq", &format!("{number} {cseq_method}")));
    if !u.ratio(1, 16)? {
        rows.push(row(spelling, "Max-Forwards", u.choose(&HOPS)?));
    }
    for _ in 0..u.int_in_range(0..=3)? {
        rows.push((*u.choose(&MORE)?).to_owned());
    }
    let routes: Vec<_> = (0..u.int_in_range(0..=3)?)
        .map(|_| u.choose(&ROUTES).copied())
        .collect::<Result<_, _>>()?;
    if u.ratio(1, 3)? {
        rows.extend((!routes.is_empty()).then(|| row(spelling, "Route", &routes.join(" , "))));
    } else {
        rows.extend(routes.iter().map(|route| row(spelling, "Route", route)));
    }
    let body = *u.choose(&["", "v=0\r\n", "a\r\n\r\nb"])?;
    match u.int_in_range(0..=4)? {
        0 | 1 => rows.push(row(spelling, "Content-Length", &body.len().to_string())),
        2 => {}
        3 => rows.push(row(spelling, "Content-Length", "2")),
        _ => rows.push(row(spelling, "Content-Length", "9999")),
    }
    // Any field may be the first.
    let count = rows.len();
    rows.rotate_left(usize::from(u.arbitrary::<u8>()?) % count);
    Ok(format!("{method} {uri} SIP/2.0\r\n{}\r\n{body}", rows.concat()).into_bytes())
}

fn vias(u: &mut Unstructured, spelling: Spelling) -> arbitrary::Result<Vec<String>> {
    let mut values = Vec::new();
    for _ in 0..=u.int_in_range(0..=2)? {
        let protocol = *u.choose(&["SIP/2.0/UDP ", "SIP / 2.0 / UDP\t", "sip/2.0/TLS  "])?;
        let (sent_by, branch) = (*u.choose(&SENT_BYS)?, *u.choose(&BRANCHES)?);
        values.push(format!("{protocol}{sent_by}{branch}{}", u.choose(&VIA_PARAMETERS)?));
    }
    Ok(if u.ratio(1, 3)? {
        vec![row(spelling, "Via", &values.join(","))]
    } else {
        values.iter().map(|value| row(spelling, "Via", value)).collect()
    })
}

/// How the names of fields are written, by bits: §7.3.1 and §7.3.3 allow all of it.
#[derive(Clone, Copy)]
struct Spelling(u8);

fn row(Spelling(bits): Spelling, name: &str, value: &str) -> String {
    let is = |bit: u8| bits >> bit & 1 == 1;
    let compact = match name {
        "Via" => "v",
        "From" => "f",
        "To" => "t",
        "Call-ID" => "i",
        "Content-Length" => "l",
        other => other,
    };
    let name = if is(0) { compact } else { name };
    let name = if is(1) { name.to_ascii_uppercase() } else { name.to_owned() };
    let colon = if is(2) { " \t: " } else { ":" };
    let value = if is(3) { value.replace(";tag", "\r\n ;tag") } else { value.to_owned() };
    let end = if is(4) { " \r\n\t\r\n" } else { "\r\n" };
    format!("{name}{colon}{value}{end}")
}

/// Words that mean something to the reader, to be put anywhere.
pub(crate) const WORDS: [&str; 44] = [
    "\r\n",
    "\r",
    "\n",
    "\r\n ",
    "\r\n\r\n",
    " ",
    "\t",
    ",",
    ";",
    "\"",
    "<",
    ">",
    "@",
    ":",
    "[",
    "]",
    "%",
    "\0",
    "\\",
    "=",
    "?",
    "0",
    "99999999999",
    "SIP/2.0",
    "sip:",
    "tel:",
    "z9hG4bK",
    ";tag=",
    ";rport",
    ";received=",
    ";received=203.0.113.66",
    ";sw=",
    ";branch=",
    ";lr",
    "ACK ",
    "CANCEL ",
    "Via: SIP/2.0/UDP 203.0.113.66\r\n",
    "v:",
    "Route: <sip:203.0.113.66;lr>\r\n",
    "Content-Length: 99\r\n",
    "To: <sip:x@y>;tag=z\r\n",
    "192.0.2.1",
    "10.0.0.1:5060",
    "203.0.113.66",
];

/// Changes a message somewhere: cuts, doubles, flips, puts words or any bytes in.
pub(crate) fn splice(u: &mut Unstructured, bytes: &mut Vec<u8>) -> arbitrary::Result<()> {
    let at = usize::from(u.arbitrary::<u16>()?) % (bytes.len() + 1);
    match u.int_in_range(0..=5)? {
        0 => bytes.truncate(at),
        1 => {
            let len = usize::from(u.arbitrary::<u8>()?);
            drop(bytes.drain(at..(at + len).min(bytes.len())));
        }
        2 if at < bytes.len() => bytes[at] = u.arbitrary()?,
        3 => {
            let len = usize::from(u.arbitrary::<u8>()?);
            let copy = bytes[at..(at + len).min(bytes.len())].to_vec();
            drop(bytes.splice(at..at, copy));
        }
        4 => {
            let len = usize::from(u.arbitrary::<u8>()?).min(u.len());
            let any = u.bytes(len)?.to_vec();
            drop(bytes.splice(at..at, any));
        }
        _ => drop(bytes.splice(at..at, u.choose(&WORDS)?.bytes())),
    }
    Ok(())
}
