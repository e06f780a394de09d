//! The attackers: some have seen nothing, some have overheard messages at a relay, some are a
//! destination or a caller, or forge such an address as their source.

use std::net::SocketAddr;

use crate::network::Event;
use crate::observer::{Attack, Expected};
use crate::sip::{Sip, parameter, tag};
use crate::truth::{Class, Datagram, Part, Truth};
use crate::world::World;

/// Addresses that nothing may ever reach.
pub(crate) const BYSTANDERS: [&str; 4] =
    ["203.0.113.200:5060", "203.0.113.201:5060", "203.0.113.202:53", "[2001:db8:ffff::1]:5060"];

const OVERHEARD_MAX: usize = 24;
const ATTACKER_IPV6: [u16; 8] = [0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 9];

/// A message of an attacker, and what may become of it.
pub(crate) struct Forgery {
    pub(crate) event: &'static str,
    pub(crate) from: SocketAddr,
    /// To this listener, or to any.
    pub(crate) to: Option<SocketAddr>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expects: Expected,
    pub(crate) may_reach: Vec<SocketAddr>,
}

impl World {
    /// Whoever listens remembers the last messages.
    pub(crate) fn overhear(&mut self, came: &Datagram, left: Option<&Datagram>) {
        if self.traits.has_attacks && !matches!(came.truth.part, Part::Attack(_)) {
            if self.overheard.len() == OVERHEARD_MAX {
                let at = self.random.below(OVERHEARD_MAX);
                self.overheard.swap_remove(at);
            }
            self.overheard.push((came.clone(), left.cloned()));
        }
    }

    pub(crate) fn attack(&mut self, left: usize) {
        if left > 0 {
            let next = self.now + self.random.between(1, 400);
            self.network.at(next, Event::Attack(left - 1));
        }
        let Some(mut forgery) = self.forge() else {
            return;
        };
        let to = forgery.to.unwrap_or_else(|| {
            let relay = self.random.below(self.relays.len());
            self.random.pick(&self.relays[relay].spec.listeners).local
        });
        if to.is_ipv4() != forgery.from.is_ipv4() {
            let ipv4 = [203, 0, 113, 180].into();
            let ip = if to.is_ipv4() { ipv4 } else { ATTACKER_IPV6.into() };
            forgery.from = SocketAddr::new(ip, 5_060);
        }
        self.event(forgery.event);
        let Forgery { from, bytes, expects, may_reach, .. } = forgery;
        self.observer.attacks.push(Attack { expects, may_reach, from });
        let part = Part::Attack(self.observer.attacks.len() - 1);
        self.transmit(Datagram { from, to, bytes, truth: Truth { part, passes: Vec::new() } });
    }

    fn forge(&mut self) -> Option<Forgery> {
        match self.random.below(15) {
            0 | 1 => Some(self.garbage()),
            2 => self.replayed_response(),
            3 | 4 => self.changed_response(),
            5 => self.parameter_of_another_call(),
            6 => self.replayed_request(),
            7 => self.token_of_another_call(),
            8 => self.changed_token(),
            9 => self.token_with_its_call(),
            10 => self.cancel_of_a_call(),
            11 => Some(self.invented()),
            12 => Some(self.odd_source()),
            _ => Some(self.against_the_rules()),
        }
    }

    pub(crate) fn attackers_address(&mut self) -> SocketAddr {
        SocketAddr::new([203, 0, 113, 180].into(), self.random.between(1_024, 60_000) as u16)
    }

    fn bystander(&mut self) -> &'static str {
        BYSTANDERS[self.random.below(BYSTANDERS.len())]
    }

    /// A response that came to a relay.
    fn overheard_response(&mut self) -> Option<(Datagram, Sip)> {
        self.overheard_of(|came| matches!(came.truth.part, Part::Response(..)))
    }

    fn overheard_of(&mut self, is_wanted: impl Fn(&Datagram) -> bool) -> Option<(Datagram, Sip)> {
        let found: Vec<&Datagram> =
            self.overheard.iter().map(|(came, _)| came).filter(|came| is_wanted(came)).collect();
        if found.is_empty() {
            return None;
        }
        let datagram = (*self.random.pick(&found)).clone();
        let sip = Sip::read(&datagram.bytes)?;
        Some((datagram, sip))
    }

    /// Those that a message is about.
    fn parties(&self, datagram: &Datagram) -> Vec<SocketAddr> {
        let mut parties = vec![datagram.from, datagram.to];
        let (Part::Request(tx) | Part::Response(tx, _) | Part::Answer(tx)) = datagram.truth.part
        else {
            return parties;
        };
        let tx = &self.observer.txs[tx];
        let mut passes = datagram.truth.passes.clone();
        if let Class::InDialog(dialog) = &tx.class {
            passes.extend(dialog.passes.iter().copied());
            parties.extend(dialog.target);
        }
        parties.extend(passes.iter().flat_map(|pass| [pass.back_to, pass.next]));
        // A caller reaches the relay from several addresses, and answers go to what it wrote.
        let sip = Sip::read(&datagram.bytes);
        parties.extend(sip.map(|s| crate::endpoint::response_address(s.get("Via"), datagram.from)));
        parties
    }

    fn garbage(&mut self) -> Forgery {
        let count = self.overheard.len();
        let (mut bytes, mut may_reach, mut from) = if count > 0 && self.random.chance(80) {
            let (came, left) = self.overheard[self.random.below(count)].clone();
            let base = left.as_ref().filter(|_| self.random.chance(50)).unwrap_or(&came);
            let mut parties = self.parties(&came);
            parties.extend(left.as_ref().map_or(Vec::new(), |left| self.parties(left)));
            (base.bytes.clone(), parties, came.from)
        } else if self.random.chance(10) {
            // Hardly a request: every answer to it would be longer.
            let bytes = b"BYE sip:x SIP/2.0\r\nv:SIP/2.0/UDP x;rport\r\n\r\n".to_vec();
            (bytes, Vec::new(), self.attackers_address())
        } else {
            let len = self.random.below(200);
            let mut bytes = (0..len).map(|_| self.random.u64() as u8).collect();
            self.damage(&mut bytes);
            (bytes, Vec::new(), self.attackers_address())
        };
        if self.random.chance(50) {
            from = self.attackers_address();
        }
        if !may_reach.is_empty() {
            for _ in 0..=self.random.below(3) {
                self.damage(&mut bytes);
            }
        }
        may_reach.push(from);
        Forgery {
            event: "attack: garbage",
            from,
            to: None,
            bytes,
            expects: Expected::Anything,
            may_reach,
        }
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        const WORDS: [&str; 16] = [
            "\r\n",
            "\r",
            "\n ",
            ",",
            ";",
            "\"",
            "<",
            ">",
            "%00",
            ";tag=",
            ";rport=1",
            "SIP/2.0 ",
            "ACK ",
            "Via: ",
            "Content-Length: 9\r\n",
            ";received=203.0.113.200",
        ];
        let at = self.random.below(bytes.len() + 1);
        match self.random.below(4) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << self.random.below(8),
            2 => {
                let end = (at + self.random.below(40)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let word = self.random.pick(&WORDS);
                bytes.splice(at..at, word.bytes());
            }
        }
    }

    fn replayed_response(&mut self) -> Option<Forgery> {
        let (datagram, _) = self.overheard_response()?;
        let may_reach = datagram.truth.passes.iter().map(|pass| pass.back_to).collect();
        let from = if self.random.chance(50) { self.attackers_address() } else { datagram.from };
        let event = "attack: response replayed";
        let to = Some(datagram.to);
        Some(Forgery {
            event,
            from,
            to,
            bytes: datagram.bytes,
            expects: Expected::Anything,
            may_reach,
        })
    }

    /// The response's own proof, and one thing changed that it must hold for.
    fn changed_response(&mut self) -> Option<Forgery> {
        let (datagram, mut sip) = self.overheard_response()?;
        let value = parameter(sip.get("Via"), "sw")?.to_owned();
        let branch = parameter(sip.get("Via"), "branch")?.to_owned();
        let victim = self.bystander();
        let sent_by = sip.sent_by().to_owned();
        let at = self.random.below(value.len());
        let branch_at = self.random.between(7, branch.len() as u64 - 1) as usize;
        let kind = self.random.below(6);
        let mut vias = sip.rows.iter_mut().filter(|(name, _)| name == "Via");
        let ours = &mut vias.next()?.1;
        let next = vias.next().map(|(_, value)| value);
        match kind {
            0 => *ours = ours.replacen(&value, &other_digit(&value, at), 1),
            1 => *ours = ours.replacen(&branch, &other_digit(&branch, branch_at), 1),
            2 => {
                // Another name of ours, or of nobody.
                let listeners: Vec<&str> = self
                    .relays
                    .iter()
                    .flat_map(|r| &r.spec.listeners)
                    .map(|l| l.sent_by.as_str())
                    .collect();
                let other = listeners.iter().find(|name| !name.eq_ignore_ascii_case(&sent_by));
                *ours = ours.replacen(&sent_by, other.unwrap_or(&"192.0.2.77:5060"), 1);
            }
            3 => with_parameter(
                next?,
                "received",
                victim.rsplit_once(':')?.0.trim_matches(['[', ']']),
            ),
            4 => with_parameter(next?, "rport", "9"),
            _ => *next? = format!("SIP/2.0/UDP {victim};branch=z9hG4bKvictim"),
        }
        let from = if self.random.chance(50) { self.attackers_address() } else { datagram.from };
        // With another version or key in front the parameter is none, so the branch decides.
        let is_none = kind == 0 && at < "0201".len();
        let waiting = datagram.truth.passes.iter().map(|pass| pass.back_to).filter(|_| is_none);
        Some(Forgery {
            event: "attack: response changed",
            from,
            to: Some(datagram.to),
            bytes: sip.write(crate::sip::Spelling::Plain),
            expects: if is_none { Expected::Anything } else { Expected::Dropped },
            may_reach: waiting.collect(),
        })
    }

    /// The Vias of one call's response on another's.
    fn parameter_of_another_call(&mut self) -> Option<Forgery> {
        let (datagram, own) = self.overheard_response()?;
        let (_, mut other) = self.overheard_response()?;
        if own.get("Call-ID") == other.get("Call-ID") {
            return None;
        }
        other.rows.retain(|(name, _)| name != "Via");
        for via in own.all("Via").rev() {
            other.rows.insert(0, ("Via".to_owned(), via.to_owned()));
        }
        let is_begun = other.status() == Some(200) && other.cseq().1 == "INVITE";
        if is_begun {
            self.event("attack: call pin");
        }
        Some(Forgery {
            event: "attack: parameter of another call",
            from: datagram.from,
            to: Some(datagram.to),
            bytes: other.write(crate::sip::Spelling::Plain),
            expects: Expected::Dropped,
            may_reach: Vec::new(),
        })
    }

    fn replayed_request(&mut self) -> Option<Forgery> {
        let (datagram, _) = self.overheard_of(|d| matches!(d.truth.part, Part::Request(_)))?;
        let may_reach = self.parties(&datagram);
        let from = if self.random.chance(50) { self.attackers_address() } else { datagram.from };
        let event = "attack: request replayed";
        let to = Some(datagram.to);
        Some(Forgery {
            event,
            from,
            to,
            bytes: datagram.bytes,
            expects: Expected::Anything,
            may_reach,
        })
    }

    /// A request in a dialog that carried our Routes.
    fn overheard_dialog(&mut self) -> Option<(Datagram, Sip)> {
        let txs = &self.observer.txs;
        let is_routed = |datagram: &Datagram| match datagram.truth.part {
            Part::Request(tx) => {
                matches!(&txs[tx].class, Class::InDialog(dialog) if dialog.is_routed)
            }
            _ => false,
        };
        let found: Vec<Datagram> = self
            .overheard
            .iter()
            .map(|(came, _)| came)
            .filter(|came| is_routed(came))
            .cloned()
            .collect();
        if found.is_empty() {
            return None;
        }
        let datagram = self.random.pick(&found).clone();
        let sip = Sip::read(&datagram.bytes)?;
        Some((datagram, sip))
    }

    fn token_of_another_call(&mut self) -> Option<Forgery> {
        let (datagram, theirs) = self.overheard_dialog()?;
        let from = self.attackers_address();
        let method = *self.random.pick(&["BYE", "INFO", "ACK", "INVITE", "CANCEL"]);
        let mut sip = self.request(method, from);
        if self.random.chance(70) {
            // As in a dialog of its own, or with one of the tags of the other.
            let stolen = self.random.chance(30);
            let to = if stolen { tag(theirs.get("To")) } else { "mine" };
            *sip.get_mut("To")? = format!("<sip:bob@example.com>;tag={to}");
        }
        for route in theirs.all("Route") {
            sip.add("Route", route);
        }
        Some(Forgery {
            event: "attack: token of another call",
            from,
            to: Some(datagram.to),
            bytes: sip.write(crate::sip::Spelling::Plain),
            expects: Expected::Forbidden,
            may_reach: Vec::new(),
        })
    }

    fn changed_token(&mut self) -> Option<Forgery> {
        let (datagram, mut sip) = self.overheard_dialog()?;
        let user = sip.get("Route").split_once("sip:")?.1.split('@').next()?.to_owned();
        let at = self.random.below(user.len());
        let route = sip.get_mut("Route")?;
        *route = route.replacen(&user, &other_digit(&user, at), 1);
        // Form and number of the key: what we cannot read proves nothing, and harms nobody.
        let expects = if at < 4 { Expected::Anything } else { Expected::Forbidden };
        let from = if self.random.chance(50) { self.attackers_address() } else { datagram.from };
        Some(Forgery {
            event: "attack: token changed",
            from,
            to: Some(datagram.to),
            bytes: sip.write(crate::sip::Spelling::Plain),
            expects,
            may_reach: self.parties(&datagram),
        })
    }

    /// Who knows a token and its call reaches the two parties and nobody else.
    fn token_with_its_call(&mut self) -> Option<Forgery> {
        let (datagram, mut sip) = self.overheard_dialog()?;
        let mut may_reach = self.parties(&datagram);
        let itself = datagram.to.to_string();
        let places =
            ["203.0.113.200:5060", "127.0.0.1:22", "224.0.1.75", "[2001:db8:ffff::1]", &itself];
        let place = *self.random.pick(&places);
        let from = match self.random.below(3) {
            0 => datagram.from,
            1 => self.destination().unwrap_or(datagram.from),
            _ => self.attackers_address(),
        };
        let method = *self.random.pick(&["INFO", "ACK", "BYE"]);
        sip.first = format!("{method} sip:x@{place} SIP/2.0");
        let number = sip.cseq().0 + 1_000;
        *sip.get_mut("CSeq")? = format!("{number} {method}");
        *sip.get_mut("Via")? =
            format!("SIP/2.0/UDP {from};branch=z9hG4bK-evil-{number}-{}", self.now);
        match self.random.below(4) {
            0 => {
                let (a, b) = (sip.get("From").to_owned(), sip.get("To").to_owned());
                (*sip.get_mut("From")?, *sip.get_mut("To")?) = (b, a);
            }
            // Both tags the caller's: the sender decides.
            1 => {
                let both = sip.get("From").to_owned();
                *sip.get_mut("To")? = both;
            }
            2 => sip.body = "x".repeat(65_480 - sip.write(crate::sip::Spelling::Plain).len()),
            _ => {}
        }
        may_reach.push(from);
        Some(Forgery {
            event: "attack: token with its call",
            from,
            to: Some(datagram.to),
            bytes: sip.write(crate::sip::Spelling::Plain),
            expects: Expected::Anything,
            may_reach,
        })
    }

    fn cancel_of_a_call(&mut self) -> Option<Forgery> {
        let txs = &self.observer.txs;
        let is_invite = |datagram: &Datagram| match datagram.truth.part {
            Part::Request(tx) => txs[tx].method == "INVITE" && matches!(txs[tx].class, Class::New),
            _ => false,
        };
        let found: Vec<Datagram> =
            self.overheard.iter().map(|(came, _)| came).filter(|c| is_invite(c)).cloned().collect();
        if found.is_empty() {
            return None;
        }
        let datagram = self.random.pick(&found).clone();
        let mut sip = Sip::read(&datagram.bytes)?;
        sip.first = sip.first.replacen("INVITE", "CANCEL", 1);
        let number = sip.cseq().0;
        *sip.get_mut("CSeq")? = format!("{number} CANCEL");
        sip.body.clear();
        let from = if self.random.chance(50) { self.attackers_address() } else { datagram.from };
        Some(Forgery {
            event: "attack: CANCEL of a call it saw",
            from,
            to: Some(datagram.to),
            bytes: sip.write(crate::sip::Spelling::Plain),
            expects: Expected::Anything,
            may_reach: self.parties(&datagram),
        })
    }

    /// Of dialogs and transactions that never were, and by Routes to others.
    fn invented(&mut self) -> Forgery {
        let from = self.attackers_address();
        let victim = self.bystander();
        let (event, method, expects) = match self.random.below(4) {
            0 => ("attack: invented dialog", "BYE", Expected::Refused),
            1 => ("attack: invented dialog", "ACK", Expected::Dropped),
            2 => ("attack: invented CANCEL", "CANCEL", Expected::Refused),
            _ => ("attack: foreign Route", "INVITE", Expected::Anything),
        };
        let mut sip = self.request(method, from);
        sip.first = format!("{method} sip:x@{victim} SIP/2.0");
        if event == "attack: invented dialog" {
            sip.get_mut("To").expect("it is there").push_str(";tag=never");
        }
        if event == "attack: foreign Route" || self.random.chance(30) {
            sip.add("Route", format!("<sip:{victim};lr>"));
        }
        let bytes = sip.write(crate::sip::Spelling::Plain);
        Forgery { event, from, to: None, bytes, expects, may_reach: Vec::new() }
    }

    /// A destination, ourselves, or nobody as the source; Vias that name such.
    fn odd_source(&mut self) -> Forgery {
        let attacker = self.attackers_address();
        let destination = self.destination();
        let ours = {
            let relay = self.random.below(self.relays.len());
            self.random.pick(&self.relays[relay].spec.listeners).local
        };
        let nobody: Vec<SocketAddr> =
            ["255.255.255.255:5060", "224.0.0.1:5060", "0.0.0.0:5060", "127.0.0.1:5060"]
                .map(|text| text.parse().expect("an address"))
                .to_vec();
        let (event, from, expects) = match self.random.below(4) {
            0 => ("attack: from our own address", ours, Expected::Anything),
            1 => {
                ("attack: from a destination", destination.unwrap_or(attacker), Expected::Anything)
            }
            2 => ("attack: Via of nobody", *self.random.pick(&nobody), Expected::Anything),
            _ => ("attack: Via of nobody", attacker, Expected::Anything),
        };
        let method = *self.random.pick(&["INVITE", "OPTIONS", "BYE"]);
        let mut sip = self.request(method, from);
        if event == "attack: Via of nobody" {
            let host = *self.random.pick(&[
                "255.255.255.255",
                "127.0.0.1:5060",
                "0.0.0.0",
                "192.0.2.1:5060",
                "[ff02::1]",
                "203.0.113.200",
            ]);
            *sip.get_mut("Via").expect("it is there") =
                format!("SIP/2.0/UDP {host};branch=z9hG4bKn{};maddr=203.0.113.201", self.now);
            sip.rows.insert(
                1,
                ("Via".to_owned(), "SIP/2.0/UDP 203.0.113.202;branch=z9hG4bKb".to_owned()),
            );
        }
        let bytes = sip.write(crate::sip::Spelling::Plain);
        Forgery { event, from, to: None, bytes, expects, may_reach: Vec::new() }
    }

    pub(crate) fn destination(&mut self) -> Option<SocketAddr> {
        let relay = self.random.below(self.relays.len());
        let relay = &self.relays[relay];
        let lines = &relay.lists[relay.newest()].lines;
        if lines.is_empty() {
            return None;
        }
        let line = self.random.pick(lines);
        line.addresses.first().copied()
    }

    /// A request of an attacker, outside any dialog.
    pub(crate) fn request(&mut self, method: &str, from: SocketAddr) -> Sip {
        let number = self.random.u64() % 1_000_000;
        let mut sip = Sip::new(format!("{method} sip:bob@example.com SIP/2.0"));
        sip.add("Via", format!("SIP/2.0/UDP {from};branch=z9hG4bK-attack-{number}"));
        sip.add("Max-Forwards", "70");
        sip.add("From", format!("<sip:mallory@example.org>;tag=m{number}"));
        sip.add("To", "<sip:bob@example.com>");
        sip.add("Call-ID", format!("attack-{number}"));
        sip.add("CSeq", format!("7 {method}"));
        sip
    }
}

fn other_digit(text: &str, at: usize) -> String {
    let mut digits: Vec<char> = text.chars().collect();
    digits[at] = if digits[at] == '7' { '8' } else { '7' };
    digits.into_iter().collect()
}

fn with_parameter(via: &mut String, name: &str, value: &str) {
    let kept: Vec<&str> =
        via.split(';').filter(|p| !p.trim().to_ascii_lowercase().starts_with(name)).collect();
    *via = format!("{};{name}={value}", kept.join(";"));
}
