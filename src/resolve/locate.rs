//! RFC 3263 §4 for UDP: from a name to addresses. It sends no questions itself: it returns the
//! questions that must be asked, and is called again when more is known. One call goes through
//! NAPTR, SRV and addresses in this order and never back, so it ends whatever the records contain.

use std::time::Instant;

use super::question::{Data, Known, Question, QuestionType};
use super::rank::{Target, rank};
use super::wanted::Wanted;
use crate::destination::Address;
use crate::limits::{SERVICES_MAX, TARGETS_MAX};
use crate::message::DEFAULT_PORT;

/// Looks up what is known without asking.
pub(super) trait Knowledge {
    /// Returns what is known; `None` if it must be asked.
    fn known(&self, question: &Question) -> Option<Known>;
    /// Returns whether this machine knows the name itself: `/etc/hosts`, `localhost`.
    fn is_local(&self, name: &str) -> bool;
    /// Returns whether no name server answered the question the last time it was asked.
    fn has_failed(&self, question: &Question) -> bool;
}

/// How far it gets with what is known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// These questions must be answered first.
    Ask(Vec<Question>),
    Done(Located),
}

/// The result for a name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Located {
    /// Sorted by priority, then IPv4 before IPv6, then by number.
    pub(super) addresses: Vec<Address>,
    /// The questions whose answers led to it.
    pub(super) questions: Vec<Question>,
    /// When it must be looked up again; `None` if nothing was asked.
    pub(super) until: Option<Instant>,
    /// No name server answered one of the questions.
    pub(super) is_failing: bool,
    /// The same, and an older answer was used instead.
    pub(super) is_stale: bool,
    /// The SRV question was never answered, so these are the addresses of the name itself.
    pub(super) is_fallback: bool,
    /// Where there are more records than are used.
    pub(super) cuts: Vec<Cut>,
}

/// Records of one kind of which only some are used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Cut {
    /// `SRV records`, for operators.
    pub(super) of: &'static str,
    pub(super) used: usize,
    pub(super) all: usize,
}

/// Returns the addresses of a name, from the first of its full names that has any.
pub(super) fn locate(wanted: &Wanted, names: &[String], knowledge: &impl Knowledge) -> Step {
    let mut trail = Trail { knowledge, located: Located::default() };
    for name in names {
        match trail.addresses(wanted, name) {
            Ok(addresses) => trail.located.addresses = addresses,
            Err(questions) => return Step::Ask(questions),
        }
        if !trail.located.addresses.is_empty() {
            break;
        }
    }
    Step::Done(trail.located)
}

struct Trail<'a, K> {
    knowledge: &'a K,
    located: Located,
}

/// The questions that must be answered first.
type Missing = Vec<Question>;

impl<K: Knowledge> Trail<'_, K> {
    fn addresses(&mut self, wanted: &Wanted, name: &str) -> Result<Vec<Address>, Missing> {
        // §4.2: with a port, only its addresses. Names that this machine knows itself are not sent
        // to name servers either.
        let port = match wanted.port {
            None if !wanted.only_services && self.knowledge.is_local(name) => Some(DEFAULT_PORT),
            port => port,
        };
        if port.is_none() {
            let services = self.services(wanted, name)?;
            match self.targets(&services.names)? {
                Service::At(targets) => return self.addresses_of(&targets),
                Service::Unavailable => return Ok(Vec::new()),
                // A NAPTR record shows that there is a service: the name itself is another machine.
                Service::Silent if !services.is_default => return Ok(Vec::new()),
                // Resolvers of containers and small routers fail for every type except A and AAAA.
                // Kamailio then uses the addresses of the name, and so do we.
                Service::Silent => self.located.is_fallback = !wanted.only_services,
                Service::Unknown => {}
            }
        }
        if wanted.only_services {
            return Ok(Vec::new());
        }
        let target = Target {
            priority: 0,
            weight: 0,
            port: port.unwrap_or(DEFAULT_PORT),
            name: name.into(),
        };
        self.addresses_of(&[target])
    }

    /// §4.1: returns the names of the SRV records for UDP, the preferred first.
    fn services(&mut self, wanted: &Wanted, name: &str) -> Result<Services, Missing> {
        let default = Services { names: vec![format!("_sip._udp.{name}")], is_default: true };
        if wanted.has_transport {
            return Ok(default);
        }
        let naptr = Question::new(QuestionType::Naptr, name);
        if self.knowledge.has_failed(&naptr) && self.knowledge.known(&naptr).is_none() {
            // NAPTR may fail again, after seconds, so the next question is asked at the same time.
            let srv = Question::new(QuestionType::Srv, default.names[0].clone());
            let is_missing = |q: &Question| self.knowledge.known(q).is_none();
            return Err([naptr, srv].into_iter().filter(is_missing).collect());
        }
        // If nobody answers, continue as if there were no NAPTR records: a domain must also have
        // its SRV records under its own name, and some servers do not know the type.
        let [answer] = self.ask([naptr])?;
        let mut services: Vec<_> = answer
            .iter()
            .flat_map(|answer| answer.iter())
            .filter_map(|data| match data {
                Data::Naptr { order, preference, flags, service, regexp, replacement }
                    if flags == "S"
                        && service == "SIP+D2U"
                        && regexp.is_empty()
                        && !replacement.is_empty() =>
                {
                    Some((*order, *preference, replacement.clone()))
                }
                _ => None,
            })
            .collect();
        services.sort_unstable();
        services.dedup();
        self.cut("NAPTR records", &mut services, SERVICES_MAX);
        if services.is_empty() {
            return Ok(default);
        }
        let names = services.into_iter().map(|(_, _, replacement)| replacement).collect();
        Ok(Services { names, is_default: false })
    }

    /// Returns the servers of the first service that has any.
    fn targets(&mut self, services: &[String]) -> Result<Service, Missing> {
        let mut is_known = true;
        for service in services {
            let [answer] = self.ask([Question::new(QuestionType::Srv, service)])?;
            let Some(records) = answer else {
                is_known = false;
                continue;
            };
            if records.is_empty() {
                continue;
            }
            let mut targets: Vec<_> = records
                .iter()
                .filter_map(|data| match data {
                    Data::Srv { priority, weight, port, target }
                        if *port > 0 && !target.is_empty() =>
                    {
                        let name = target.clone();
                        Some(Target { priority: *priority, weight: *weight, port: *port, name })
                    }
                    _ => None,
                })
                .collect();
            if targets.is_empty() {
                // RFC 2782: the target "." says that the service is not available at this domain.
                return Ok(Service::Unavailable);
            }
            targets.sort_unstable_by(|a, b| {
                let key = |t: &Target| (t.priority, std::cmp::Reverse(t.weight), t.port);
                key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
            });
            self.cut("SRV records", &mut targets, TARGETS_MAX);
            return Ok(Service::At(targets));
        }
        Ok(if is_known { Service::Unknown } else { Service::Silent })
    }

    fn addresses_of(&mut self, targets: &[Target]) -> Result<Vec<Address>, Missing> {
        let mut names: Vec<_> = targets.iter().map(|target| target.name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        // All in one call, so that they are asked at the same time.
        let both = names.iter().flat_map(|name| {
            [QuestionType::A, QuestionType::Aaaa].map(|kind| Question::new(kind, name.clone()))
        });
        let answers = self.ask_all(both.collect())?;
        let of = |name: &String| {
            let at = names.binary_search(name).unwrap_or_default() * 2;
            let both = answers.get(at..at + 2).unwrap_or_default();
            let ips = both.iter().flatten().flat_map(|records| records.iter());
            ips.filter_map(|data| if let Data::Ip(ip) = data { Some(*ip) } else { None }).collect()
        };
        let ranked = rank(targets.iter().map(|target| (target, of(&target.name))));
        self.note_cut("addresses", ranked.used.len(), ranked.all);
        Ok(ranked.used)
    }

    fn cut<T>(&mut self, of: &'static str, records: &mut Vec<T>, max: usize) {
        self.note_cut(of, records.len().min(max), records.len());
        records.truncate(max);
    }

    fn note_cut(&mut self, of: &'static str, used: usize, all: usize) {
        if used < all {
            self.located.cuts.push(Cut { of, used, all });
        }
    }

    fn ask<const N: usize>(&mut self, questions: [Question; N]) -> Result<[Records; N], Missing> {
        let answers = self.ask_all(questions.into())?;
        Ok(answers.try_into().expect("an answer for each question"))
    }

    /// Returns the records for each question, `None` if nobody ever answered it.
    fn ask_all(&mut self, questions: Vec<Question>) -> Result<Vec<Records>, Missing> {
        let known: Vec<_> = questions.iter().map(|q| self.knowledge.known(q)).collect();
        if known.iter().any(Option::is_none) {
            let asked = questions.into_iter().zip(known);
            return Err(asked.filter(|(_, k)| k.is_none()).map(|(q, _)| q).collect());
        }
        self.located.questions.extend(questions);
        let answers = known.into_iter().flatten().map(|known| {
            self.located.is_failing |= known.is_failing;
            self.located.is_stale |= known.is_failing && known.records.is_some();
            self.located.until =
                Some(self.located.until.map_or(known.until, |u| u.min(known.until)));
            known.records
        });
        Ok(answers.collect())
    }
}

type Records = Option<std::sync::Arc<[Data]>>;

/// Where to look for SRV records.
struct Services {
    names: Vec<String>,
    /// No NAPTR record names a service, so this is the default name.
    is_default: bool,
}

enum Service {
    /// These servers.
    At(Vec<Target>),
    /// The domain says that it has no such service.
    Unavailable,
    /// There are no records for it.
    Unknown,
    /// No name server ever answered.
    Silent,
}

#[cfg(test)]
mod tests;
