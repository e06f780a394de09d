//! One call of the generator: which request it sends next, and what a response means to it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::text::{Message, SERVER_FIELD};
use super::{End, Plan};

pub(super) struct Call {
    number: usize,
    pub(super) due: Instant,
    local: SocketAddr,
    relay: SocketAddr,
    hold: Duration,
    patience: Duration,
    state: State,
    /// When the request was sent first, and how long until it is sent again.
    request: Option<(Instant, Duration)>,
    end: End,
    is_bye_lost: bool,
    /// When [`Call::wake`] is due; `None` when the call is over.
    pub(super) timer: Option<Instant>,
}

enum State {
    /// The INVITE has no response.
    Calling,
    /// The INVITE has a provisional response.
    Proceeding,
    /// It lasts.
    Answered(Dialog),
    /// The BYE has no response.
    Ending(Dialog),
    Over,
}

/// What the requests in the dialog need.
struct Dialog {
    to: String,
    target: String,
    routes: String,
}

impl Call {
    pub(super) fn new(number: usize, due: Instant, local: SocketAddr, plan: &Plan) -> Self {
        Self {
            number,
            due,
            local,
            relay: plan.relay,
            hold: plan.hold,
            patience: plan.patience,
            state: State::Calling,
            request: None,
            end: End::Lost,
            is_bye_lost: false,
            timer: Some(due),
        }
    }

    pub(super) fn end(&self) -> End {
        self.end
    }

    pub(super) fn is_bye_lost(&self) -> bool {
        self.is_bye_lost
    }

    /// The timer fires. Returns what to send, and when it fires next.
    pub(super) fn wake(&mut self, now: Instant) -> (Option<String>, Option<Instant>) {
        let (text, next) = self.step(now);
        self.timer = next;
        (text, next)
    }

    fn step(&mut self, now: Instant) -> (Option<String>, Option<Instant>) {
        if matches!(self.state, State::Answered(_)) {
            let State::Answered(dialog) = std::mem::replace(&mut self.state, State::Over) else {
                unreachable!("it was just that")
            };
            self.state = State::Ending(dialog);
            self.request = None;
        }
        let (since, wait) = self.request.map_or((now, T1), |(since, wait)| (since, wait * 2));
        if now.duration_since(since) >= self.patience {
            self.is_bye_lost = matches!(self.state, State::Ending(_));
            self.state = State::Over;
        }
        let text = match &self.state {
            State::Calling => self.invite(),
            State::Ending(dialog) => self.in_dialog("BYE", 2, dialog),
            State::Proceeding => return (None, Some(since + self.patience)),
            State::Answered(_) | State::Over => return (None, None),
        };
        self.request = Some((since, wait));
        (Some(text), Some((now + wait).min(since + self.patience)))
    }

    /// A response came. Returns the ACK to send, if any.
    pub(super) fn hear(&mut self, now: Instant, response: Message<'_>) -> Option<String> {
        let code = response.status()?;
        if response.field("CSeq")?.ends_with("BYE") {
            if matches!(self.state, State::Ending(_)) && code >= 200 {
                self.state = State::Over;
                self.timer = Some(now);
            }
            return None;
        }
        let is_calling = matches!(self.state, State::Calling | State::Proceeding);
        match code {
            100..=199 => {
                if is_calling {
                    self.state = State::Proceeding;
                }
                None
            }
            200..=299 => {
                let dialog = Dialog::of(response)?;
                // Every copy of a 200 gets its ACK.
                let ack = self.in_dialog("ACK", 1, &dialog);
                if is_calling {
                    let after = now.duration_since(self.due);
                    let server = response.field(SERVER_FIELD).and_then(|n| n.parse().ok());
                    self.end = End::Answered { after, server: server.unwrap_or(u8::MAX) };
                    self.state = State::Answered(dialog);
                    self.timer = Some(now + self.hold);
                }
                Some(ack)
            }
            _ => {
                if is_calling {
                    self.end = End::Refused(code);
                    self.state = State::Over;
                    self.timer = Some(now);
                }
                let to = response.field("To")?;
                Some(self.request("ACK", 1, "i", &self.uri(), to, "", ""))
            }
        }
    }

    fn invite(&self) -> String {
        let local = self.local;
        let contact = format!("Contact: <sip:caller@{local}>\r\n");
        let to = format!("<{}>", self.uri());
        self.request("INVITE", 1, "i", &self.uri(), &to, &contact, SDP)
    }

    fn in_dialog(&self, method: &str, cseq: u32, dialog: &Dialog) -> String {
        let Dialog { to, target, routes } = dialog;
        let branch = if method == "BYE" { "b" } else { "a" };
        self.request(method, cseq, branch, target, to, routes, "")
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a request, in their order")]
    fn request(
        &self,
        method: &str,
        cseq: u32,
        branch: &str,
        uri: &str,
        to: &str,
        fields: &str,
        body: &str,
    ) -> String {
        let Self { number, local, .. } = self;
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch=z9hG4bK{branch}{number};rport\r\n\
             {fields}Max-Forwards: 70\r\n\
             From: <sip:caller@{local}>;tag=c{number}\r\n\
             To: {to}\r\n\
             Call-ID: {number}@{local}\r\n\
             CSeq: {cseq} {method}\r\n\
             {kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn uri(&self) -> String {
        format!("sip:+15550100{:03}@{}", self.number % 1000, self.relay)
    }
}

impl Dialog {
    /// RFC 3261 §12.1.2: the Record-Routes become Routes in reverse order.
    fn of(response: Message<'_>) -> Option<Self> {
        let routes = response.fields().filter(|(n, _)| n.eq_ignore_ascii_case("Record-Route"));
        let mut routes: Vec<_> =
            routes.flat_map(|(_, value)| value.split(',')).map(str::trim).collect();
        routes.reverse();
        let (_, contact) = response.field("Contact")?.split_once('<')?;
        Some(Self {
            to: response.field("To")?.to_owned(),
            target: contact.split_once('>')?.0.to_owned(),
            routes: routes.iter().map(|route| format!("Route: {route}\r\n")).collect(),
        })
    }
}

/// Returns the number of the call with this Call-ID.
pub(super) fn number_of(call_id: &str) -> Option<usize> {
    call_id.split_once('@')?.0.parse().ok()
}

/// RFC 3261 §17.1.1.1
const T1: Duration = Duration::from_millis(500);

const SDP: &str = "v=0\r\no=caller 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 6000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n";
