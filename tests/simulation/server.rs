//! The server: answers according to the call's plan, and any request in a dialog with 200. It also
//! plays the server transactions of callers.

use std::net::SocketAddr;

use crate::call::Answer;
use crate::endpoint::{Dialog, Purpose, Served, T1, T2, TRANSACTION_MS, ViaHabit, key_of};
use crate::network::Event;
use crate::sip::{Sip, tag, uri};
use crate::truth::{CallId, Class, Datagram, EndId, Part};
use crate::world::World;

impl World {
    /// A message has come to a party.
    pub(crate) fn receive(&mut self, end: EndId, datagram: &Datagram) {
        let Some(sip) = Sip::read(&datagram.bytes) else {
            return self.fail("a party got what it cannot read".into());
        };
        if sip.status().is_some() {
            return self.on_response(end, datagram, &sip);
        }
        let Part::Request(tx) = datagram.truth.part else {
            return self.fail("a request without a transaction".into());
        };
        let call = self.call_of(&sip);
        match sip.method() {
            "ACK" => self.on_ack(end, &sip),
            _ => match self.ends[end].served_by(&sip) {
                Some(served) => self.answer_again(end, served),
                None => self.on_new(end, datagram, sip, tx, call),
            },
        }
    }

    fn call_of(&self, sip: &Sip) -> CallId {
        let call_id = sip.get("Call-ID");
        self.calls
            .iter()
            .position(|call| call.call_id == call_id)
            .expect("every Call-ID is a call's")
    }

    fn answer_again(&mut self, end: EndId, served: usize) {
        if let Some(bytes) = self.ends[end].served[served].last.clone() {
            self.send_answer(end, served, bytes);
        }
    }

    fn send_answer(&mut self, end: EndId, served: usize, bytes: Vec<u8>) {
        let served = &self.ends[end].served[served];
        let (to, tx, passes) = (served.back_to, served.tx, served.passes.clone());
        self.send(end, to, bytes, Part::Response(tx, end), passes);
    }

    fn on_ack(&mut self, end: EndId, sip: &Sip) {
        let number = sip.cseq().0;
        let by_transaction = self.ends[end].served_by(sip);
        let party = &mut self.ends[end];
        let served = match by_transaction {
            Some(at) => Some(&mut party.served[at]),
            None => party.served.iter_mut().find(|served| {
                served.method == "INVITE"
                    && served.request.get("Call-ID") == sip.get("Call-ID")
                    && tag(served.request.get("From")) == tag(sip.get("From"))
                    && served.request.cseq().0 == number
            }),
        };
        if let Some(served) = served {
            served.is_acked = true;
        }
    }

    fn on_new(&mut self, end: EndId, datagram: &Datagram, sip: Sip, tx: usize, call: CallId) {
        let served = Served {
            tx,
            call,
            key: key_of(&sip),
            method: sip.method().to_owned(),
            passes: datagram.truth.passes.clone(),
            back_to: crate::endpoint::response_address(sip.get("Via"), datagram.from),
            request: sip,
            source: datagram.from,
            last: None,
            final_code: None,
            is_acked: false,
            answered_at: 0,
            interval: T1,
        };
        self.ends[end].served.push(served);
        let number = self.ends[end].served.len() - 1;
        let request = &self.ends[end].served[number].request;
        let has_tag = !tag(request.get("To")).is_empty();
        if request.method() == "CANCEL" && !has_tag {
            return self.on_cancel(end, number);
        }
        if has_tag {
            // A notification may come before the answer that it belongs to.
            let is_known = self.ends[end].dialog_of(request).is_some()
                || self.calls[call].caller == end
                    && tag(request.get("To")).eq_ignore_ascii_case(&self.calls[call].tag);
            return self.respond(end, number, if is_known { 200 } else { 481 }, 0);
        }
        let plan = &self.calls[call].plan;
        let has_credentials = !request.get("Authorization").is_empty()
            || !request.get("Proxy-Authorization").is_empty();
        if let Some(code) = plan.challenge.filter(|_| !has_credentials) {
            return self.respond(end, number, code, 0);
        }
        if plan.notifies_first {
            let dialog = self.servers_dialog(end, number, 0);
            if !self.ends[end].dialogs[dialog].routes.is_empty() {
                self.event("before the answer in a dialog");
                self.in_dialog(end, dialog, "NOTIFY", Purpose::Tidy);
            }
        }
        self.schedule_answer(end, number, 0);
    }

    fn schedule_answer(&mut self, end: EndId, served: usize, number: usize) {
        let call = self.ends[end].served[served].call;
        if let Some(answer) = self.calls[call].plan.answers.get(number) {
            self.network.at(self.now + answer.after, Event::Answer(end, served, number));
        }
    }

    pub(crate) fn play_answer(&mut self, end: EndId, served: usize, number: usize) {
        let this = &self.ends[end].served[served];
        let Answer { code, fork, .. } = self.calls[this.call].plan.answers[number];
        let is_second = this.final_code.is_some_and(|code| code < 300) && code < 300;
        if this.final_code.is_none() || is_second {
            self.respond(end, served, code, fork);
            self.schedule_answer(end, served, number + 1);
        }
    }

    fn on_cancel(&mut self, end: EndId, number: usize) {
        let key = self.ends[end].served[number].key.clone();
        let invite = self.ends[end]
            .served
            .iter()
            .position(|served| served.key == key && served.method == "INVITE");
        let Some(invite) = invite else {
            return self.respond(end, number, 481, 0);
        };
        self.respond(end, number, 200, 0);
        if self.ends[end].served[invite].final_code.is_none() {
            self.respond(end, invite, 487, 0);
        }
    }

    fn respond(&mut self, end: EndId, number: usize, code: u16, fork: u8) {
        let bytes = self.response(end, number, code, fork);
        let now = self.now;
        let served = &mut self.ends[end].served[number];
        served.last = Some(bytes.clone());
        if code >= 200 {
            served.final_code = Some(code);
            served.answered_at = now;
            served.interval = T1;
            if served.method == "INVITE" {
                self.network.at(now + T1, Event::ServerTimer(end, number));
            }
        }
        let begins_dialog = matches!(code, 101..=299)
            && tag(self.ends[end].served[number].request.get("To")).is_empty()
            && matches!(
                self.ends[end].served[number].method.as_str(),
                "INVITE" | "SUBSCRIBE" | "REFER"
            );
        if begins_dialog {
            let dialog = self.servers_dialog(end, number, fork);
            self.ends[end].dialogs[dialog].is_established |= code >= 200;
        }
        self.send_answer(end, number, bytes);
    }

    /// Timer G, and the same for a 2xx (§13.3.1.4), until the ACK or Timer H.
    pub(crate) fn server_timer(&mut self, end: EndId, number: usize) {
        let now = self.now;
        let served = &mut self.ends[end].served[number];
        if served.is_acked || now - served.answered_at >= TRANSACTION_MS {
            return;
        }
        served.interval = (2 * served.interval).min(T2);
        let next = now + served.interval;
        self.network.at(next, Event::ServerTimer(end, number));
        self.answer_again(end, number);
    }

    fn to_tag(end: EndId, served: &Served, fork: u8) -> String {
        format!("s{end}T{}x{fork}", served.tx)
    }

    /// The server's side of the dialog that it begins.
    fn servers_dialog(&mut self, end: EndId, number: usize, fork: u8) -> usize {
        let served = &self.ends[end].served[number];
        let own = Self::to_tag(end, served, fork);
        if let Some(at) = self.ends[end].dialogs.iter().position(|d| tag(&d.local) == own) {
            return at;
        }
        let request = &served.request;
        let Class::New = self.observer.txs[served.tx].class else {
            unreachable!("a request outside a dialog");
        };
        let dialog = Dialog {
            call: served.call,
            is_callers: false,
            call_id: request.get("Call-ID").to_owned(),
            local: format!("{};tag={own}", request.get("To")),
            remote: request.get("From").to_owned(),
            routes: request.all("Record-Route").map(str::to_owned).collect(),
            target: uri(request.get("Contact")).to_owned(),
            cseq: 100,
            passes: served.passes.clone(),
            peer: self.calls[served.call].caller,
            is_established: false,
        };
        self.ends[end].dialogs.push(dialog);
        self.ends[end].dialogs.len() - 1
    }

    fn response(&self, end: EndId, number: usize, code: u16, fork: u8) -> Vec<u8> {
        let party = &self.ends[end];
        let served = &party.served[number];
        let request = &served.request;
        let mut sip = Sip::new(format!("SIP/2.0 {code} {}", phrase(code)));
        for (at, via) in request.all("Via").enumerate() {
            let mut via = via.to_owned();
            if at == 0 && !crate::addresses::names_source(&via, served.source) {
                via.push_str(&format!(";received={}", served.source.ip()));
            }
            if at == 0
                && let Some(percent) = party.asks
            {
                let seq = self.now;
                let asked =
                    format!(";oc={percent};oc-algo=\"loss\";oc-validity=4000;oc-seq={seq}.1");
                via = via.replace(";oc;oc-algo=\"loss\"", &asked);
            }
            sip.add("Via", if party.is_server { rewrite(&via, party.vias, at) } else { via });
        }
        sip.add("From", request.get("From"));
        let to = request.get("To");
        if tag(to).is_empty() && code > 100 {
            sip.add("To", format!("{to};tag={}", Self::to_tag(end, served, fork)));
        } else {
            sip.add("To", to);
        }
        sip.add("Call-ID", request.get("Call-ID"));
        sip.add("CSeq", request.get("CSeq"));
        for route in request.all("Record-Route") {
            sip.add("Record-Route", route);
        }
        sip.add("Contact", format!("<sip:{}@{}>", party.name, party.contact));
        sip.write(party.spelling)
    }
}

/// What a server makes of a Via that it sends back.
fn rewrite(via: &str, habit: ViaHabit, at: usize) -> String {
    let mut parts = via.split(';');
    let head = parts.next().unwrap_or("");
    let mut parameters: Vec<String> = parts.map(str::to_owned).collect();
    match habit {
        ViaHabit::Keeps => {}
        ViaHabit::Drops => parameters.retain(|p| !p.trim_start().starts_with("sw=")),
        ViaHabit::Reorders => parameters.reverse(),
        ViaHabit::Shouts => {
            parameters.reverse();
            for parameter in &mut parameters {
                // Another's branch it leaves as it is: not all compare it without case.
                let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                let name = name.to_ascii_uppercase();
                let value = if at == 0 { value.to_ascii_uppercase() } else { value.to_owned() };
                *parameter = if value.is_empty() { name } else { format!("{name}={value}") };
            }
        }
    }
    let mut text = head.to_owned();
    for parameter in parameters {
        text.push_str(if habit == ViaHabit::Shouts { " ; " } else { ";" });
        text.push_str(&parameter);
    }
    text
}

fn phrase(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        401 => "Unauthorized",
        407 => "Proxy Authentication Required",
        487 => "Request Terminated",
        _ => "Because",
    }
}

/// Where a server sends from: its own address, or another port of it.
pub(crate) fn source(address: SocketAddr, has_other_port: bool) -> SocketAddr {
    let port = if has_other_port { address.port() + 1_000 } else { address.port() };
    SocketAddr::new(address.ip(), port)
}
