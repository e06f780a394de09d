//! The caller: starts calls, cancels them, answers challenges, acknowledges, and does what the plan
//! wants in the dialog. It also plays the client transactions of servers.

use std::net::SocketAddr;

use crate::call::Outcome;
use crate::endpoint::{Client, ClientState, Dialog, Purpose, RINGING_MS, T1, T2, TRANSACTION_MS};
use crate::network::Event;
use crate::observer::{Tx, call_key};
use crate::sip::{Sip, host_port, tag, uri};
use crate::truth::{CallId, Class, Datagram, EndId, Part, TxId};
use crate::world::World;

const SESSION: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";

impl World {
    pub(crate) fn begin(&mut self, call: CallId) {
        let caller = self.calls[call].caller;
        let asks_us = self.calls[call].plan.method == "PING";
        let request = self.initial_request(call);
        let class = if asks_us { Class::AsksUs } else { Class::New };
        let home = self.ends[caller].home;
        self.start(caller, call, Purpose::Initial, request, home, class);
    }

    fn initial_request(&mut self, call: CallId) -> Sip {
        let caller = self.calls[call].caller;
        let via = self.ends[caller].new_via();
        let end = &self.ends[caller];
        let this = &self.calls[call];
        let plan = &this.plan;
        let first = match plan.method {
            "PING" => format!("OPTIONS sip:{} SIP/2.0", end.home),
            method => format!("{method} sip:bob@example.com SIP/2.0"),
        };
        let mut sip = Sip::new(first);
        sip.add("Via", via);
        sip.add("Max-Forwards", "70");
        sip.add("From", format!("\"Alice, A.\" <sip:alice@example.org>;tag={}", this.tag));
        sip.add("To", "<sip:bob@example.com>");
        sip.add("Call-ID", this.call_id.clone());
        sip.add("CSeq", format!("{} {}", this.cseq, sip.method()));
        sip.add("Contact", format!("<sip:alice@{}>", end.contact));
        if plan.has_foreign_route {
            sip.add("Route", "<sip:203.0.113.201;lr>");
        }
        if this.is_authorized {
            let name =
                if plan.challenge == Some(401) { "Authorization" } else { "Proxy-Authorization" };
            sip.add(name, "Digest username=\"alice\"");
        }
        if plan.method == "INVITE" {
            SESSION.clone_into(&mut sip.body);
        }
        sip
    }

    /// Registers a transaction and sends its request for the first time.
    pub(crate) fn start(
        &mut self,
        end: EndId,
        call: CallId,
        purpose: Purpose,
        request: Sip,
        to: SocketAddr,
        class: Class,
    ) -> TxId {
        let tx = self.register(end, &request, class);
        let bytes = request.write(self.ends[end].spelling);
        let client = Client {
            tx,
            call,
            purpose,
            request,
            bytes: bytes.clone(),
            to,
            started: self.now,
            interval: T1,
            state: ClientState::Calling,
            acks: Vec::new(),
        };
        self.ends[end].clients.push(client);
        let number = self.ends[end].clients.len() - 1;
        self.network.at(self.now + T1, Event::ClientTimer(end, number));
        self.send(end, to, bytes, Part::Request(tx), Vec::new());
        tx
    }

    fn register(&mut self, end: EndId, request: &Sip, class: Class) -> TxId {
        let has_credentials = !request.get("Authorization").is_empty()
            || !request.get("Proxy-Authorization").is_empty();
        self.observer.add(Tx {
            owner: end,
            class,
            method: request.method().to_owned(),
            has_branch: self.ends[end].has_branch,
            call_key: call_key(request),
            cseq: request.cseq().0,
            has_credentials,
            at: std::collections::BTreeMap::new(),
        })
    }

    /// Timers A, B, E and F.
    pub(crate) fn client_timer(&mut self, end: EndId, number: usize) {
        let now = self.now;
        let client = &mut self.ends[end].clients[number];
        let is_invite = client.request.method() == "INVITE";
        let waited = now - client.started;
        match client.state {
            ClientState::Done => return,
            ClientState::Proceeding if is_invite => {
                if waited >= RINGING_MS {
                    client.state = ClientState::Done;
                    self.timed_out(end, number);
                } else {
                    self.network.at(now + RINGING_MS - waited, Event::ClientTimer(end, number));
                }
                return;
            }
            _ if waited >= TRANSACTION_MS => {
                client.state = ClientState::Done;
                return self.timed_out(end, number);
            }
            ClientState::Proceeding => client.interval = T2,
            ClientState::Calling if is_invite => client.interval *= 2,
            ClientState::Calling => client.interval = (2 * client.interval).min(T2),
        }
        let (to, bytes, tx) = (client.to, client.bytes.clone(), client.tx);
        let next = client.interval.min(TRANSACTION_MS - waited);
        self.network.at(now + next, Event::ClientTimer(end, number));
        self.send(end, to, bytes, Part::Request(tx), Vec::new());
    }

    fn timed_out(&mut self, end: EndId, number: usize) {
        let client = &self.ends[end].clients[number];
        let (call, purpose) = (client.call, client.purpose);
        match purpose {
            Purpose::Initial => {
                if self.calls[call].outcome == Outcome::Pending {
                    self.calls[call].outcome = Outcome::TimedOut;
                }
            }
            Purpose::Step { is_early, .. } => self.step_ended(call, is_early, end, number, 408),
            Purpose::Cancel | Purpose::Tidy => {}
        }
    }

    pub(crate) fn cancel(&mut self, call: CallId) {
        let caller = self.calls[call].caller;
        let last_invite = self.ends[caller]
            .clients
            .iter()
            .rposition(|c| c.call == call && c.purpose == Purpose::Initial);
        let Some(at) = last_invite else {
            return;
        };
        let invite = &self.ends[caller].clients[at];
        let mut request = like(&invite.request, "CANCEL", &["Route"]);
        let to = invite.request.get("To").to_owned();
        request.rows.retain(|(name, _)| name != "To");
        request.add("To", to);
        let class = Class::Cancel(invite.tx);
        let to = invite.to;
        self.start(caller, call, Purpose::Cancel, request, to, class);
    }

    /// A response has come to the party that asked.
    pub(crate) fn on_response(&mut self, end: EndId, datagram: &Datagram, sip: &Sip) {
        let (tx, server) = match datagram.truth.part {
            Part::Response(tx, server) => (tx, Some(server)),
            Part::Answer(tx) => (tx, None),
            _ => return self.fail("a response without a transaction".into()),
        };
        let Some(number) = self.ends[end].client_of(sip) else {
            return self.fail(format!("a response to nothing: {}", sip.first));
        };
        if self.ends[end].clients[number].tx != tx {
            return self.fail("a response to another transaction".into());
        }
        let code = sip.status().unwrap_or(0);
        let is_invite = sip.cseq().1 == "INVITE";
        if code < 200 {
            return self.on_provisional(end, number, code, sip, server);
        }
        let client = &mut self.ends[end].clients[number];
        let is_first = client.state != ClientState::Done;
        client.state = ClientState::Done;
        if is_invite && code >= 300 {
            self.acknowledge_failure(end, number, sip);
        }
        let (call, purpose) = {
            let client = &self.ends[end].clients[number];
            (client.call, client.purpose)
        };
        match purpose {
            Purpose::Initial if code < 300 => self.on_success(end, number, sip, server),
            Purpose::Initial if is_first => {
                if matches!(code, 401 | 407) && !self.calls[call].is_authorized {
                    self.calls[call].is_authorized = true;
                    self.calls[call].cseq += 1;
                    self.begin(call);
                } else if self.calls[call].outcome == Outcome::Pending {
                    self.calls[call].outcome = Outcome::Final(code);
                }
            }
            Purpose::Step { dialog, is_early } => {
                if is_invite && code < 300 {
                    self.acknowledge_success(end, number, dialog);
                }
                if is_first {
                    self.step_ended(call, is_early, end, number, code);
                }
            }
            _ => {}
        }
    }

    fn on_provisional(
        &mut self,
        end: EndId,
        number: usize,
        code: u16,
        sip: &Sip,
        server: Option<EndId>,
    ) {
        let client = &mut self.ends[end].clients[number];
        if client.state == ClientState::Calling {
            client.state = ClientState::Proceeding;
        }
        let call = client.call;
        if client.state == ClientState::Done {
            return;
        }
        if code == 100 || client.purpose != Purpose::Initial || tag(sip.get("To")).is_empty() {
            return;
        }
        let this = &self.calls[call];
        if this.plan.early.is_empty() || this.has_begun_early {
            return;
        }
        let Some(dialog) = self.learn_dialog(end, call, sip, server, false) else {
            return;
        };
        self.calls[call].has_begun_early = true;
        self.calls[call].early_dialog = Some(dialog);
        let gap = self.calls[call].plan.early[0].gap;
        self.network.at(self.now + gap, Event::EarlyStep(call));
    }

    /// A 2xx to the request that began the call.
    fn on_success(&mut self, end: EndId, number: usize, sip: &Sip, server: Option<EndId>) {
        let call = self.ends[end].clients[number].call;
        let method = self.calls[call].plan.method;
        if !matches!(method, "INVITE" | "SUBSCRIBE" | "REFER") {
            if self.calls[call].outcome == Outcome::Pending {
                self.calls[call].outcome = Outcome::Final(200);
            }
            return;
        }
        let Some(dialog) = self.learn_dialog(end, call, sip, server, true) else {
            return self.fail("a 2xx of nobody".into());
        };
        let is_new = self.ends[end].clients[number].acks.iter().all(|(of, ..)| *of != dialog.0);
        if method == "INVITE" {
            self.acknowledge_success(end, number, dialog.0);
        }
        if self.calls[call].dialog.is_none() && self.calls[call].outcome == Outcome::Pending {
            self.calls[call].outcome = Outcome::Final(200);
            self.calls[call].dialog = Some(dialog);
            if let Some(step) = self.calls[call].plan.steps.first() {
                let gap = step.gap;
                self.calls[call].has_begun_steps = true;
                self.network.at(self.now + gap, Event::Step(call));
            }
        } else if method == "INVITE" && is_new {
            // A second server answered, or one of its branches: one is enough.
            self.event("fork of a server");
            self.in_dialog(end, dialog.0, "BYE", Purpose::Tidy);
        }
    }

    /// The dialog of this response: the caller's, the server, and the server's.
    fn learn_dialog(
        &mut self,
        end: EndId,
        call: CallId,
        sip: &Sip,
        server: Option<EndId>,
        is_established: bool,
    ) -> Option<(usize, EndId, usize)> {
        let server = server?;
        let remote_tag = tag(sip.get("To"));
        let theirs = self.ends[server].dialogs.iter().position(|dialog| {
            dialog.call == call && tag(&dialog.local).eq_ignore_ascii_case(remote_tag)
        })?;
        let passes = self.ends[server].dialogs[theirs].passes.clone();
        let mine = self.ends[end].dialogs.iter().position(|dialog| {
            dialog.call == call && tag(&dialog.remote).eq_ignore_ascii_case(remote_tag)
        });
        if let Some(mine) = mine {
            self.ends[end].dialogs[mine].is_established |= is_established;
            return Some((mine, server, theirs));
        }
        let dialog = Dialog {
            call,
            is_callers: true,
            call_id: sip.get("Call-ID").to_owned(),
            local: sip.get("From").to_owned(),
            remote: sip.get("To").to_owned(),
            routes: sip.all("Record-Route").rev().map(str::to_owned).collect(),
            target: uri(sip.get("Contact")).to_owned(),
            cseq: sip.cseq().0,
            passes,
            peer: server,
            is_established,
        };
        self.ends[end].dialogs.push(dialog);
        Some((self.ends[end].dialogs.len() - 1, server, theirs))
    }

    /// §17.1.1.3: by the transaction, along the INVITE's way.
    fn acknowledge_failure(&mut self, end: EndId, number: usize, response: &Sip) {
        let client = &self.ends[end].clients[number];
        if let Some((_, tx, bytes, to)) = client.acks.first().cloned() {
            return self.send(end, to, bytes, Part::Request(tx), Vec::new());
        }
        let mut ack = like(&client.request, "ACK", &["Route"]);
        ack.add("To", response.get("To"));
        let (to, class) = (client.to, Class::AckFailure(client.tx));
        self.send_ack(end, number, usize::MAX, ack, to, class);
    }

    /// §13.2.2.4: in the dialog.
    fn acknowledge_success(&mut self, end: EndId, number: usize, dialog: usize) {
        let client = &self.ends[end].clients[number];
        let cseq = client.request.cseq().0;
        if let Some((_, tx, bytes, to)) = client.acks.iter().find(|(of, ..)| *of == dialog).cloned()
        {
            return self.send(end, to, bytes, Part::Request(tx), Vec::new());
        }
        let (ack, to, class) = self.request_in_dialog(end, dialog, "ACK", cseq);
        self.send_ack(end, number, dialog, ack, to, class);
    }

    fn send_ack(
        &mut self,
        end: EndId,
        number: usize,
        dialog: usize,
        ack: Sip,
        to: SocketAddr,
        class: Class,
    ) {
        let tx = self.register(end, &ack, class);
        let bytes = ack.write(self.ends[end].spelling);
        self.ends[end].clients[number].acks.push((dialog, tx, bytes.clone(), to));
        self.send(end, to, bytes, Part::Request(tx), Vec::new());
    }

    /// The next thing that the plan wants in the dialog.
    pub(crate) fn step(&mut self, call: CallId, is_early: bool) {
        let this = &self.calls[call];
        let (steps, at, dialog) = if is_early {
            (&this.plan.early, this.early_at, this.early_dialog)
        } else {
            (&this.plan.steps, this.steps_at, this.dialog)
        };
        let (Some(step), Some((callers, server, servers))) = (steps.get(at).copied(), dialog)
        else {
            return;
        };
        if is_early && this.outcome != Outcome::Pending {
            return;
        }
        let (end, dialog) =
            if step.is_by_caller { (this.caller, callers) } else { (server, servers) };
        if !step.is_by_caller && self.ends[end].dialogs[dialog].routes.is_empty() {
            // Without Record-Route it would not pass the relay.
            return self.next_step(call, is_early);
        }
        if is_early {
            self.event("before the answer in a dialog");
        }
        self.in_dialog(end, dialog, step.method, Purpose::Step { is_early, dialog });
    }

    fn step_ended(&mut self, call: CallId, is_early: bool, end: EndId, number: usize, code: u16) {
        // What crosses the end of an early dialog may find it gone.
        if code >= 300 && !is_early {
            let method = self.ends[end].clients[number].request.method();
            let method = ["INVITE", "BYE"].into_iter().find(|m| *m == method).unwrap_or("another");
            self.calls[call].failed_steps.push((method, code));
        }
        self.next_step(call, is_early);
    }

    fn next_step(&mut self, call: CallId, is_early: bool) {
        let this = &mut self.calls[call];
        let (steps, at) = if is_early {
            (&this.plan.early, &mut this.early_at)
        } else {
            (&this.plan.steps, &mut this.steps_at)
        };
        *at += 1;
        if let Some(step) = steps.get(*at) {
            let event = if is_early { Event::EarlyStep(call) } else { Event::Step(call) };
            self.network.at(self.now + step.gap, event);
        }
    }

    pub(crate) fn in_dialog(&mut self, end: EndId, dialog: usize, method: &str, purpose: Purpose) {
        self.ends[end].dialogs[dialog].cseq += 1;
        let cseq = self.ends[end].dialogs[dialog].cseq;
        let call = self.ends[end].dialogs[dialog].call;
        let (request, to, class) = self.request_in_dialog(end, dialog, method, cseq);
        self.start(end, call, purpose, request, to, class);
    }

    fn request_in_dialog(
        &mut self,
        end: EndId,
        dialog: usize,
        method: &str,
        cseq: u32,
    ) -> (Sip, SocketAddr, Class) {
        let via = self.ends[end].new_via();
        let party = &self.ends[end];
        let dialog = &party.dialogs[dialog];
        let mut sip = Sip::new(format!("{method} {} SIP/2.0", dialog.target));
        sip.add("Via", via);
        sip.add("Max-Forwards", "70");
        let routes: &[String] = if party.follows_record_route { &dialog.routes } else { &[] };
        for route in routes {
            sip.add("Route", route.clone());
        }
        sip.add("From", dialog.local.clone());
        sip.add("To", dialog.remote.clone());
        sip.add("Call-ID", dialog.call_id.clone());
        sip.add("CSeq", format!("{cseq} {method}"));
        if method == "INVITE" {
            sip.add("Contact", format!("<sip:{}@{}>", party.name, party.contact));
            SESSION.clone_into(&mut sip.body);
        }
        let first = routes.first().map(|route| host_port(uri(route)).to_owned());
        let to = first.and_then(|host| self.resolve(&host)).unwrap_or(party.home);
        let class = Class::InDialog(dialog.class(!routes.is_empty()));
        (sip, to, class)
    }
}

/// A CANCEL, or the ACK to a failure: Via, Request-URI and number of its INVITE.
fn like(invite: &Sip, method: &str, more: &[&str]) -> Sip {
    let mut sip = Sip::new(format!("{method} {} SIP/2.0", invite.request_uri()));
    sip.add("Via", invite.get("Via"));
    sip.add("Max-Forwards", "70");
    for name in ["From", "Call-ID"].iter().chain(more) {
        for value in invite.all(name) {
            sip.add(name, value);
        }
    }
    sip.add("CSeq", format!("{} {method}", invite.cseq().0));
    sip
}
