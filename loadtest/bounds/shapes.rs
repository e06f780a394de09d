//! Messages made to cost as much as their length allows: one piece of text, repeated at one place
//! until the message has the wanted length.

use std::net::SocketAddr;

use strowger::proxy::Verdict;

use crate::cases::Core;

/// Where pieces can be put in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// Before the first line.
    Front,
    /// Into the user part of the Request-URI.
    User,
    /// Behind the host of the Request-URI.
    RequestUri,
    /// Into the branch of the top Via.
    Branch,
    /// Behind the parameters of the top Via.
    Via,
    /// Before the angle bracket of From.
    Display,
    /// Into the URI of From.
    FromUri,
    /// Behind the tag of From.
    From,
    /// Behind the tag of From, as a part of it.
    FromTag,
    /// Into the Call-ID.
    CallId,
    /// Behind the angle bracket of To.
    To,
    /// Behind the number of `CSeq`.
    CSeq,
    /// As rows of their own, behind the top Via.
    Rows,
    /// Into the URI of a Route.
    Route,
    /// Into the value of a field that nobody reads.
    Value,
    /// Into the body.
    Body,
}

/// All places.
pub(crate) const PLACES: [Place; 16] = [
    Place::Front,
    Place::User,
    Place::RequestUri,
    Place::Branch,
    Place::Via,
    Place::Display,
    Place::FromUri,
    Place::From,
    Place::FromTag,
    Place::CallId,
    Place::To,
    Place::CSeq,
    Place::Rows,
    Place::Route,
    Place::Value,
    Place::Body,
];

/// What message it is that is blown up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Base {
    /// A new INVITE.
    Invite,
    /// A BYE with our token in its Route.
    Bye,
    /// The same from a strict router: the token is in the Request-URI, and Routes are left.
    Strict,
    /// The 200 to an INVITE that we forwarded.
    Ok,
}

/// One hostile shape.
pub(crate) struct Shape {
    /// Its name in results.
    pub(crate) name: &'static str,
    base: Base,
    place: Place,
    piece: &'static str,
}

macro_rules! shapes {
    ($($name:literal $base:ident $place:ident $piece:expr;)*) => {
        /// All shapes.
        pub(crate) const SHAPES: &[Shape] = &[$(Shape {
            name: $name,
            base: Base::$base,
            place: Place::$place,
            piece: $piece,
        }),*];
    };
}

shapes! {
    "line ends before the first line"        Invite Front "\r\n";
    "long user part"                         Invite User "a";
    "user part of escapes"                   Invite User "%41";
    "user part of colons"                    Invite User ":";
    "Request-URI parameters"                 Invite RequestUri ";a=b";
    "Request-URI parameters without value"   Invite RequestUri ";a";
    "Request-URI semicolons"                 Invite RequestUri ";";
    "Request-URI at signs"                   Invite RequestUri "@";
    "long branch"                            Invite Branch "a";
    "long branch in capitals"                Invite Branch "A";
    "Via parameters"                         Invite Via ";a=b";
    "Via parameters, quoted"                 Invite Via ";a=\"b\"";
    "Via parameters, escapes"                Invite Via ";a=\"\\\"\\\"\\\"\"";
    "Via parameters in folds"                Invite Via "\r\n ;\r\n a\r\n =\r\n b";
    "Via blanks"                             Invite Via " ";
    "Via folds"                              Invite Via "\r\n ";
    "Via commas"                             Invite Via ",";
    "Via values on one row"                  Invite Via ",SIP/2.0/UDP a";
    "Via received"                           Invite Via ";received=192.0.2.1";
    "Via branches"                           Invite Via ";branch=z9hG4bKx";
    "Via quote that never closes"            Invite Via ";a=\"bbbb";
    "Vias"                                   Invite Rows "Via: SIP/2.0/UDP a;branch=z9hG4bK\r\n";
    "Vias, compact"                          Invite Rows "v:SIP/2.0/UDP a\r\n";
    "Routes to others"                       Invite Rows "Route: <sip:192.0.2.9;lr>\r\n";
    "Routes on one row"                      Invite Rows "Route: <sip:a>,<sip:a>,<sip:a>,<sip:a>\r\n";
    "Routes to us without a token"           Invite Rows "Route: <sip:192.0.2.1;lr>\r\n";
    "Routes to us with forged tokens"        Invite Rows "Route: <sip:0101aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@192.0.2.1;lr>\r\n";
    "Route parameters"                       Invite Route ";a=b";
    "Route of escapes"                       Invite Route ";%61=%62";
    "Route quotes"                           Invite Route "\"";
    "From rows"                              Invite Rows "f:<sip:a>;tag=1\r\n";
    "To rows"                                Invite Rows "t:<sip:a>\r\n";
    "Call-ID rows"                           Invite Rows "i:a\r\n";
    "Content-Length rows"                    Invite Rows "l:0\r\n";
    "CSeq rows"                              Invite Rows "CSeq:1 INVITE\r\n";
    "Max-Forwards rows"                      Invite Rows "Max-Forwards:70\r\n";
    "Proxy-Require rows"                     Invite Rows "Proxy-Require:a\r\n";
    "shortest rows"                          Invite Rows "a:\r\n";
    "rows that are none"                     Invite Rows "a\r\n";
    "rows with blanks before the colon"      Invite Rows "a                          :b\r\n";
    "rows folded after each letter"          Invite Rows "a:b\r\n c\r\n d\r\n e\r\n";
    "bare CRs"                               Invite Rows "\r";
    "bare LFs"                               Invite Rows "a:b\n";
    "zero bytes"                             Invite Rows "\0";
    "one huge value"                         Invite Value "a";
    "one value of commas"                    Invite Value ",";
    "one value of blanks"                    Invite Value " ";
    "one value of folds"                     Invite Value "\r\n ";
    "one value of quotes"                    Invite Value "\"";
    "display name"                           Invite Display "a ";
    "display name of quotes"                 Invite Display "\"a\" ";
    "display name of quoted pairs"           Invite Display "\"\\";
    "display name that never closes"         Invite Display "\"aaaa\\\"";
    "From URI parameters"                    Invite FromUri ";a=b";
    "From parameters"                        Invite From ";a=b";
    "From parameters, quoted"                Invite From ";a=\"b\"";
    "From semicolons"                        Invite From ";";
    "From angle brackets"                    Invite From "<";
    "From blanks"                            Invite From " ";
    "From tags"                              Invite From ";tag=1";
    "long From tag"                          Invite FromTag "A";
    "long Call-ID"                           Invite CallId "a";
    "Call-ID of blanks"                      Invite CallId " ";
    "To parameters"                          Invite To ";a=b";
    "To tags"                                Invite To ";tag=1";
    "CSeq digits"                            Invite CSeq "1";
    "CSeq blanks"                            Invite CSeq " ";
    "body"                                   Invite Body "a";
    "body of line ends"                      Invite Body "\r\n";
    "BYE with Vias"                          Bye Rows "v:SIP/2.0/UDP a\r\n";
    "BYE with Routes to us"                  Bye Rows "Route: <sip:192.0.2.1;lr>\r\n";
    "BYE with Route parameters"              Bye Route ";a=b";
    "BYE with a long Call-ID"                Bye CallId "a";
    "strict router with Routes"              Strict Rows "Route: <sip:a>\r\n";
    "strict router with a long Route"        Strict Route ";a=b";
    "strict router with a body"              Strict Body "a";
    "200 with Vias"                          Ok Rows "Via:SIP/2.0/UDP a\r\n";
    "200 with Vias on one row"               Ok Via ",SIP/2.0/UDP a";
    "200 with Via parameters below ours"     Ok Via ";a=b";
    "200 with a long branch below ours"      Ok Branch "A";
    "200 with a long Call-ID"                Ok CallId "a";
    "200 with To parameters"                 Ok To ";a=b";
    "200 with a body"                        Ok Body "a";
}

/// What the bases are made of: a dialog that a core really began.
pub(crate) struct Dialog {
    /// `Route: …` with our token, for the caller.
    route: String,
    /// The same as a URI, in angle brackets.
    token: String,
    /// Our Via, for a response.
    via: String,
    caller: SocketAddr,
    server: SocketAddr,
}

impl Dialog {
    /// Has the core forward an INVITE and its 200.
    pub(crate) fn begin(core: &mut Core) -> Self {
        let caller = SocketAddr::from(([198, 51, 100, 7], 5060));
        // The Call-ID and the tag of `Base::Bye`, which the token is bound to.
        let invite = Parts::default().request(Base::Invite, caller, "", "");
        core.datagram(caller, invite.as_bytes());
        let (server, forwarded) = core.sent();
        let forwarded = String::from_utf8_lossy(forwarded).into_owned();
        let row = |name: &str| {
            let row = forwarded.lines().find(|line| line.starts_with(name)).expect("a row of ours");
            row.to_owned()
        };
        let token = row("Record-Route: ").trim_start_matches("Record-Route: ").to_owned();
        Self { route: format!("Route: {token}\r\n"), token, via: row("Via: "), caller, server }
    }
}

impl Shape {
    /// The message of this length or a little less, and who sends it.
    pub(crate) fn message(&self, dialog: &Dialog, len: usize) -> (SocketAddr, Vec<u8>) {
        compose(self.base, dialog, &[(self.place, self.piece)], len)
    }
}

/// A message with several pieces, each repeated until it has its share of the length.
pub(crate) fn compose(
    base: Base,
    dialog: &Dialog,
    pieces: &[(Place, &str)],
    len: usize,
) -> (SocketAddr, Vec<u8>) {
    let empty = write(base, dialog, &Parts::default()).1.len();
    let share = len.saturating_sub(empty) / pieces.len() - ROW_BYTES;
    let mut parts = Parts::default();
    for (place, piece) in pieces {
        parts.at(*place).push_str(&piece.repeat(share / piece.len()));
    }
    write(base, dialog, &parts)
}

/// What the core makes of a message, for the table.
pub(crate) fn end(verdict: Verdict) -> String {
    match verdict {
        Verdict::Forwarded(how) => format!("forwarded, {}", how.label()),
        Verdict::Answered(answer) => format!("answered, {}", answer.label()),
        Verdict::Dropped(reason) => format!("dropped, {}", reason.label()),
        Verdict::HandedOver(_) => unreachable!("there is one worker"),
    }
}

fn write(base: Base, dialog: &Dialog, parts: &Parts) -> (SocketAddr, Vec<u8>) {
    match base {
        Base::Invite => (dialog.caller, parts.request(base, dialog.caller, "", "").into_bytes()),
        Base::Bye => {
            let text = parts.request(base, dialog.caller, &dialog.route, "");
            (dialog.caller, text.into_bytes())
        }
        Base::Strict => {
            let uri = dialog.token.trim_matches(['<', '>']);
            (dialog.caller, parts.request(base, dialog.caller, "", uri).into_bytes())
        }
        Base::Ok => {
            let request = parts.request(Base::Invite, dialog.caller, "", "");
            let own = format!("SIP/2.0 200 OK\r\n{}\r\nVia: ", dialog.via);
            let front = request.find("INVITE").unwrap_or_default();
            let (_, rest) = request[front..].split_once("Via: ").expect("a Via");
            let answer = own + &rest.replacen("\r\nTo: <sip:b@example.net>", TO_WITH_TAG, 1);
            (dialog.server, (request[..front].to_owned() + &answer).into_bytes())
        }
    }
}

/// What a row costs besides its value where a place is one.
const ROW_BYTES: usize = 32;

/// What a server made of To.
const TO_WITH_TAG: &str = "\r\nTo: <sip:b@example.net>;tag=as4f1e2d3c";

#[derive(Default)]
struct Parts([String; PLACES.len()]);

impl Parts {
    fn at(&mut self, place: Place) -> &mut String {
        &mut self.0[place as usize]
    }

    fn request(&self, base: Base, caller: SocketAddr, routes: &str, uri: &str) -> String {
        let part = |place: Place| &self.0[place as usize];
        let method = if base == Base::Invite { "INVITE" } else { "BYE" };
        let uri = if uri.is_empty() {
            format!("sip:b{}@192.0.2.200{}", part(Place::User), part(Place::RequestUri))
        } else {
            uri.to_owned()
        };
        let to_tag = if base == Base::Invite { "" } else { ";tag=as4f1e2d3c" };
        let more_route = match part(Place::Route).as_str() {
            "" => String::new(),
            text => format!("Route: <sip:192.0.2.9{text}>\r\n"),
        };
        let value = match part(Place::Value).as_str() {
            "" => String::new(),
            text => format!("X: {text}\r\n"),
        };
        format!(
            "{front}{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {caller};branch=z9hG4bK1{branch}{via}\r\n\
             {rows}{routes}{more_route}\
             Max-Forwards: 69\r\n\
             From: {display}<sip:a@example.org{from_uri}>;tag=8d5f{from_tag}{from}\r\n\
             To: <sip:b@example.net>{to_tag}{to}\r\n\
             Call-ID: c{call_id}\r\n\
             CSeq: 1{cseq} {method}\r\n{value}\
             Content-Length: {len}\r\n\r\n{body}",
            front = part(Place::Front),
            branch = part(Place::Branch),
            via = part(Place::Via),
            rows = part(Place::Rows),
            display = part(Place::Display),
            from_uri = part(Place::FromUri),
            from_tag = part(Place::FromTag),
            from = part(Place::From),
            to = part(Place::To),
            call_id = part(Place::CallId),
            cseq = part(Place::CSeq),
            len = part(Place::Body).len(),
            body = part(Place::Body),
        )
    }
}
