//! Messages that a relay must refuse or drop, one for each rule, so that every verdict occurs.

use crate::attacker::Forgery;
use crate::observer::Expected;
use crate::sip::{Sip, Spelling};
use crate::world::World;

impl World {
    pub(crate) fn against_the_rules(&mut self) -> Forgery {
        let from = self.attackers_address();
        let number = self.random.below(20);
        let mut sip = self.request("INVITE", from);
        let mut expects = Expected::Refused;
        let mut bytes = None;
        match number {
            0 => *sip.get_mut("CSeq").expect("there") = "7 BYE".to_owned(),
            1 => sip.first = "INVITE sip:bob@example.com SIP/7.0".to_owned(),
            2 => sip.first = "INVITE sips:bob@example.com SIP/2.0".to_owned(),
            3 => sip.add("Proxy-Require", "magic"),
            4 => *sip.get_mut("Max-Forwards").expect("there") = "0".to_owned(),
            5 => {
                // Only where the operator wants the field looked at.
                sip.add("Max-Breadth", "0");
                expects = Expected::Anything;
            }
            6 => {
                sip.body = "x".repeat(65_480 - sip.write(Spelling::Plain).len());
            }
            7 => bytes = Some(Vec::new()),
            8 => bytes = Some(vec![0, 1, 0, 0]),
            9 => bytes = Some(b"GET / HTTP/1.1\r\n\r\n".to_vec()),
            10 => bytes = Some(vec![b'x'; 65_536]),
            11 => *sip.get_mut("Via").expect("there") = "SIP/2.0/UDP".to_owned(),
            12 => bytes = Some(b"SIP/2.0 42 Short\r\n\r\n".to_vec()),
            13 => {
                bytes = Some(response(sip.clone(), &["SIP/2.0/UDP 203.0.113.200;branch=z9hG4bKx"]))
            }
            14 => {
                let ours = self.relays[0].spec.listeners[0].sent_by.clone();
                bytes =
                    Some(response(sip.clone(), &[&format!("SIP/2.0/UDP {ours};branch=z9hG4bKx")]));
            }
            15 => {
                let ours = self.relays[0].spec.listeners[0].sent_by.clone();
                let next = ["255.255.255.255", "224.0.0.1", "name.example", "192.0.2.1:5060"];
                let next = *self.random.pick(&next);
                let vias = [
                    format!("SIP/2.0/UDP {ours};branch=z9hG4bKx"),
                    format!("SIP/2.0/UDP {next};branch=z9hG4bKy"),
                ];
                bytes = Some(response(sip.clone(), &[&vias[0], &vias[1]]));
            }
            16 => {
                sip = self.request("ACK", from);
                *sip.get_mut("CSeq").expect("there") = "7 BYE".to_owned();
            }
            17 => {
                // A route that leads through us without end.
                let ours = self.relays[0].spec.listeners[0].sent_by.clone();
                for turn in 0..6 {
                    sip.add("Route", format!("<sip:t{turn}@{ours};lr>"));
                }
                // Another relay takes it for somebody else's.
                expects = Expected::Anything;
            }
            18 => sip.body = "Content".to_owned(),
            _ => {
                let bytes = self.request("OPTIONS", from).write(Spelling::Plain);
                let from = "100.66.6.6:5060".parse().expect("an address");
                let to = Some(self.relays[0].spec.listeners[0].local);
                return Forgery { to, ..forgery(from, bytes, Expected::Dropped) };
            }
        }
        let mut bytes = bytes.unwrap_or_else(|| sip.write(Spelling::Plain));
        if number == 18 {
            // Shorter than its Content-Length says.
            bytes.pop();
        }
        forgery(from, bytes, expects)
    }
}

fn forgery(from: std::net::SocketAddr, bytes: Vec<u8>, expects: Expected) -> Forgery {
    Forgery {
        event: "attack: against the rules",
        from,
        to: None,
        bytes,
        expects,
        may_reach: Vec::new(),
    }
}

fn response(mut sip: Sip, vias: &[&str]) -> Vec<u8> {
    "SIP/2.0 200 OK".clone_into(&mut sip.first);
    sip.rows.retain(|(name, _)| name != "Via");
    for via in vias.iter().rev() {
        sip.rows.insert(0, ("Via".to_owned(), (*via).to_owned()));
    }
    sip.write(Spelling::Plain)
}
