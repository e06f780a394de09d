//! The name servers, asked through hickory-resolver: one after the other until one answers. Answers
//! are not cached here but in `memory`, which keeps more about them than a cache would.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::question::{Data, Question, QuestionType, Reply};
use crate::limits::{ALIASES_FOLLOWED_MAX, NAME_SERVER_TIME_MAX, NEXT_NAME_SERVER_TIME};

/// Name servers, in the order in which they are asked.
#[derive(Debug)]
pub(super) struct Servers {
    /// One resolver for each server, because hickory takes the first answer of several servers for
    /// the answer of all, even if it is an error.
    each: Vec<TokioResolver>,
    /// The one that answered last.
    first: AtomicUsize,
}

impl Servers {
    pub(super) fn new(servers: impl IntoIterator<Item = NameServerConfig>) -> Self {
        let build = |server| {
            let config = ResolverConfig::from_name_servers(vec![server]);
            let mut builder =
                Resolver::builder_with_config(config, TokioRuntimeProvider::default());
            *builder.options_mut() = options();
            builder.build().ok()
        };
        Self { each: servers.into_iter().filter_map(build).collect(), first: AtomicUsize::new(0) }
    }

    /// Returns the answer of the first server that has one. If a server is silent for a while or
    /// cannot answer, the next one is asked.
    pub(super) async fn ask(&self, question: &Question) -> Reply {
        let count = self.each.len();
        // Relaxed: it only selects where to start.
        let first = self.first.load(Ordering::Relaxed);
        let mut open = JoinSet::new();
        let mut failure = String::from("there is no name server");
        let mut asked = 0;
        loop {
            if asked < count {
                let at = (first + asked) % count;
                let (server, question) = (self.each[at].clone(), question.clone());
                open.spawn(async move { (at, ask(&server, &question).await) });
                asked += 1;
            }
            let wait = if asked < count { NEXT_NAME_SERVER_TIME } else { Duration::MAX };
            match timeout(wait, open.join_next()).await {
                Ok(Some(Ok((_, Reply::Failed(why))))) => failure = why,
                Ok(Some(Ok((at, reply)))) => {
                    self.first.store(at, Ordering::Relaxed);
                    return reply;
                }
                Ok(Some(Err(error))) => failure = error.to_string(),
                Ok(None) if asked == count => return Reply::Failed(failure),
                Ok(None) | Err(_) => {}
            }
        }
    }
}

/// A name server at this address: UDP, and TCP for answers that are too long for UDP.
pub(super) fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = address.port();
    }
    NameServerConfig::new(address.ip(), true, connections)
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = NAME_SERVER_TIME_MAX;
    // A question is repeated within its time limit.
    options.attempts = 0;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options
}

async fn ask(server: &TokioResolver, question: &Question) -> Reply {
    let Ok(mut name) = Name::from_ascii(&question.name) else {
        // Longer than a DNS name can be, so it does not exist.
        return Reply::Records(Vec::new(), None);
    };
    name.set_fqdn(true);
    let record_type = match question.kind {
        QuestionType::Naptr => RecordType::NAPTR,
        QuestionType::Srv => RecordType::SRV,
        QuestionType::A => RecordType::A,
        QuestionType::Aaaa => RecordType::AAAA,
    };
    let mut alias_ttl = u32::MAX;
    for _ in 0..ALIASES_FOLLOWED_MAX {
        let none = match server.lookup(name.clone(), record_type).await {
            Ok(lookup) => return records(&lookup, record_type, alias_ttl),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => none,
            Err(error) => return Reply::Failed(error.to_string()),
        };
        // If an SRV record is found behind an alias, hickory takes its target for another alias and
        // looks there for SRV records. Its answer then names the target instead.
        if record_type != RecordType::SRV || *none.query.name() == name {
            return nothing(&none);
        }
        match server.lookup(name.clone(), RecordType::CNAME).await {
            Ok(lookup) => match alias(&lookup, &name) {
                Some((to, ttl)) => (name, alias_ttl) = (to, alias_ttl.min(ttl)),
                None => return nothing(&none),
            },
            Err(error) => return Reply::Failed(error.to_string()),
        }
    }
    Reply::Failed(format!("{} has too many aliases in a row", question.name))
}

fn alias(lookup: &Lookup, name: &Name) -> Option<(Name, u32)> {
    let mut records = lookup.answers().iter().filter(|record| record.name == *name);
    records.find_map(|record| match &record.data {
        RData::CNAME(to) => Some((to.0.clone(), record.ttl)),
        _ => None,
    })
}

fn records(lookup: &Lookup, record_type: RecordType, alias_ttl: u32) -> Reply {
    let answers = lookup.answers();
    // The TTLs of the aliases on the way count, too.
    let ttl = answers.iter().map(|record| record.ttl).fold(alias_ttl, u32::min);
    let right = answers.iter().filter(|record| record.record_type() == record_type);
    Reply::Records(right.filter_map(|record| data(&record.data)).collect(), Some(ttl))
}

/// Converts a negative answer: no such record, or an error instead of an answer.
fn nothing(none: &NoRecords) -> Reply {
    let is_answer = matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
    let is_referral = none.ns.is_some() && none.soa.is_none();
    if is_answer && !is_referral {
        return Reply::Records(Vec::new(), none.negative_ttl);
    }
    Reply::Failed(format!("{} without an answer", none.response_code))
}

fn data(data: &RData) -> Option<Data> {
    let capitals = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_ascii_uppercase();
    Some(match data {
        RData::A(a) => Data::Ip(a.0.into()),
        RData::AAAA(aaaa) => Data::Ip(aaaa.0.into()),
        RData::SRV(srv) => Data::Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: text(&srv.target),
        },
        RData::NAPTR(naptr) => Data::Naptr {
            order: naptr.order,
            preference: naptr.preference,
            flags: capitals(&naptr.flags),
            service: capitals(&naptr.services),
            regexp: capitals(&naptr.regexp),
            replacement: text(&naptr.replacement),
        },
        _ => return None,
    })
}

/// Returns the name in lower case, without the dot at its end.
pub(super) fn text(name: &Name) -> String {
    let mut text = name.to_lowercase().to_ascii();
    text.truncate(text.trim_end_matches('.').len());
    text
}

/// Returns the name servers that a configuration lists.
pub(super) fn listed(addresses: &[SocketAddr]) -> Arc<Servers> {
    Arc::new(Servers::new(addresses.iter().map(|address| name_server(*address))))
}
