//! A server: for each call a server transaction (RFC 3261 §17.2) that plays what was planned.

use std::net::SocketAddr;

use crate::plan::Behaviour;
use crate::sip::{Sip, Spelling};
use crate::world::{T1, T2, TIMEOUT};

/// What a server knows of one call.
#[derive(Debug)]
pub(crate) struct Server {
    number: usize,
    address: SocketAddr,
    call: usize,
    pub(crate) behaviour: Behaviour,
    request: Option<Sip>,
    asked: u64,
    last: Option<Vec<u8>>,
    is_final: bool,
    is_acknowledged: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Timer {
    /// The answer with this number.
    Answer(usize),
    /// The final response again, and the interval after it.
    Final(u64),
    /// The 2xx of another telephone.
    Fork,
}

#[derive(Debug, Default)]
pub(crate) struct Does {
    pub(crate) sends: Vec<Vec<u8>>,
    pub(crate) sets: Vec<(u64, Timer)>,
}

impl Server {
    pub(crate) fn new(
        number: usize,
        address: SocketAddr,
        call: usize,
        behaviour: Behaviour,
    ) -> Self {
        Self {
            number,
            address,
            call,
            behaviour,
            request: None,
            asked: 0,
            last: None,
            is_final: false,
            is_acknowledged: false,
        }
    }

    pub(crate) fn request(&mut self, now: u64, sip: Sip) -> Does {
        let mut does = Does::default();
        match sip.method() {
            "ACK" => self.is_acknowledged = true,
            "CANCEL" => {
                let is_known = self.request.is_some();
                if self.behaviour.ignores_cancel || self.is_asleep(now) {
                    return does;
                }
                let status = if is_known { "200 OK" } else { "481 Unknown" };
                does.sends.push(self.response(&sip, status, 'c'));
                if is_known && !self.is_final {
                    self.finish(now, "487 Request Terminated", &mut does);
                }
            }
            _ if self.request.is_none() => {
                let sleeps = self.behaviour.sleeps;
                self.asked = now;
                for (number, (ms, _)) in self.behaviour.answers.iter().enumerate() {
                    does.sets.push((now + ms + sleeps, Timer::Answer(number)));
                }
                self.request = Some(sip);
            }
            _ if self.is_asleep(now) => {}
            _ => does.sends.extend(self.last.clone()),
        }
        does
    }

    pub(crate) fn timer(&mut self, now: u64, timer: Timer) -> Does {
        let mut does = Does::default();
        let Some(request) = self.request.clone() else { return does };
        match timer {
            Timer::Answer(number) => {
                let status = self.behaviour.answers[number].1;
                if self.is_final {
                    return does;
                }
                if !status.starts_with('1') {
                    self.finish(now, status, &mut does);
                    return does;
                }
                let mut message = self.response(&request, status, 'a');
                if status.starts_with("100") && self.behaviour.lone_100 {
                    message = self.lone(&request, status);
                }
                self.last = Some(message.clone());
                does.sends.push(message);
            }
            Timer::Final(interval) => {
                if !self.is_acknowledged && now < self.asked + self.behaviour.sleeps + 2 * TIMEOUT {
                    does.sends.extend(self.last.clone());
                    does.sets.push((now + interval, Timer::Final((2 * interval).min(T2))));
                }
            }
            Timer::Fork => does.sends.push(self.response(&request, "200 OK", 'b')),
        }
        does
    }

    fn is_asleep(&self, now: u64) -> bool {
        self.request.is_some() && now < self.asked + self.behaviour.sleeps
    }

    fn finish(&mut self, now: u64, status: &'static str, does: &mut Does) {
        let request = self.request.clone().unwrap();
        let message = self.response(&request, status, 'a');
        self.is_final = true;
        self.last = Some(message.clone());
        does.sends.push(message);
        if request.method() == "INVITE" {
            does.sets.push((now + T1, Timer::Final(2 * T1)));
            if status.starts_with('2') && self.behaviour.forks {
                does.sets.push((now + 700, Timer::Fork));
            }
        }
    }

    fn response(&self, request: &Sip, status: &str, telephone: char) -> Vec<u8> {
        let mut sip = Sip::new(format!("SIP/2.0 {status}"));
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            request.all(name).for_each(|value| sip.add(name, value));
        }
        if !status.starts_with("100") {
            let tag = format!(";tag=s{}-{}-{telephone}", self.number, self.call);
            sip.get_mut("To").unwrap().push_str(&tag);
        }
        if status.starts_with('2') {
            sip.add("Contact", format!("<sip:bob@{}>", self.address));
        }
        if status == "503 Full" {
            sip.add("Retry-After", "30");
        }
        sip.write(Spelling::Plain)
    }

    /// A response with the topmost Via only.
    fn lone(&self, request: &Sip, status: &str) -> Vec<u8> {
        let mut sip = Sip::read(&self.response(request, status, 'a')).unwrap();
        let mut vias = 0;
        sip.rows.retain(|(name, _)| {
            vias += usize::from(name == "Via");
            name != "Via" || vias == 1
        });
        sip.write(Spelling::Plain)
    }
}
