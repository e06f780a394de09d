//! The name that a record asks for, and the full names under which it is looked up.

use crate::destination::{Flags, Host, Record};
use crate::limits::SEARCH_MAX;

/// What a record asks of a name. Equal values have the same addresses.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Wanted {
    /// As written, in lower case.
    pub(super) name: String,
    pub(super) port: Option<u16>,
    /// The URI contains the transport, so no NAPTR question is needed to choose it.
    pub(super) has_transport: bool,
    /// Flag 16: only what NAPTR and SRV records lead to.
    pub(super) only_services: bool,
}

/// The search list for names that are not fully qualified.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Search {
    pub(super) domains: Vec<String>,
    /// A name with at least this many dots is first tried as it is.
    pub(super) dots: usize,
}

impl Wanted {
    /// Returns `None` for an address.
    pub(super) fn of(record: &Record) -> Option<Self> {
        let Host::Name(name) = &record.uri.host else { return None };
        let parameters = record.uri.text.split(';').skip(1);
        let mut names = parameters.map(|parameter| parameter.split('=').next().unwrap_or(""));
        Some(Self {
            name: name.clone(),
            port: record.uri.port,
            has_transport: names.any(|name| name.trim().eq_ignore_ascii_case("transport")),
            only_services: record.flags.bits() & Flags::NO_DNS_A != 0,
        })
    }
}

impl Search {
    /// Returns the full names that a name may stand for, in the order of `resolv.conf(5)`.
    pub(super) fn full_names(&self, name: &str) -> Vec<String> {
        if let Some(full) = name.strip_suffix('.') {
            return vec![full.into()];
        }
        let domains = self.domains.iter().filter(|domain| !domain.is_empty()).take(SEARCH_MAX);
        let mut names: Vec<_> = domains.map(|domain| format!("{name}.{domain}")).collect();
        let is_first = name.matches('.').count() >= self.dots;
        names.insert(if is_first { 0 } else { names.len() }, name.into());
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_name_is_looked_for() {
        let search = Search { domains: vec!["a.example".into(), "b.example".into()], dots: 1 };
        for (name, wanted) in [
            ("ms", "ms.a.example ms.b.example ms"),
            ("ms.x", "ms.x ms.x.a.example ms.x.b.example"),
            ("ms.x.", "ms.x"),
        ] {
            assert_eq!(search.full_names(name).join(" "), wanted);
        }
        assert_eq!(Search::default().full_names("ms"), ["ms"]);
    }

    #[test]
    fn what_a_record_asks_for() {
        let wanted = |line: &str| {
            let list = crate::source::parse("f", line.as_bytes()).unwrap();
            Wanted::of(&list.records[0])
        };
        assert_eq!(wanted("1 sip:192.0.2.1\n"), None);
        let plain = Wanted {
            name: "ms.example".into(),
            port: None,
            has_transport: false,
            only_services: false,
        };
        assert_eq!(wanted("1 sip:MS.example;x=y\n"), Some(plain.clone()));
        assert_eq!(
            wanted("1 sip:ms.example:5060;x;Transport=UDP 16\n"),
            Some(Wanted { port: Some(5060), has_transport: true, only_services: true, ..plain })
        );
    }
}
