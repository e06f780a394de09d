//! Formats the line that says that the relay serves, with its listeners, workers and sets.

use std::collections::BTreeMap;

use crate::destination::Resolved;
use crate::proxy::Listeners;
use crate::registry::Registry;
use crate::transport::Spread;
use crate::worker::Placement;

/// Sets and listeners that are listed; only the number of the rest is given.
const TOLD_MAX: usize = 16;

/// `udp:192.0.2.1:5060, udp:[2001:db8::1]:5060`
pub(in crate::control) fn listeners(listeners: &Listeners) -> String {
    let texts = listeners.iter().map(|(_, listener)| format!("udp:{}", listener.local));
    join(texts.collect())
}

/// `set 1: 2/3 destinations active, set 2: 1/1 destinations active`
pub(in crate::control) fn sets(records: &[Resolved], registry: &Registry) -> String {
    let mut sets = BTreeMap::<u32, (usize, usize)>::new();
    for resolved in records {
        let (active, all) = sets.entry(resolved.record.set).or_default();
        *all += 1;
        if registry.flags(resolved).1.iter().any(|flags| flags.is_selectable()) {
            *active += 1;
        }
    }
    if sets.is_empty() {
        return "no destinations".into();
    }
    let texts = sets
        .iter()
        .map(|(set, (active, all))| format!("set {set}: {active}/{all} destinations active"));
    join(texts.collect())
}

/// `2 workers on cores 0, 1, steered by Call-ID`
pub(in crate::control) fn workers(placements: &[Placement], spread: &Spread) -> String {
    let placements = describe_placements(placements);
    match spread {
        Spread::OneWorker => placements,
        _ => format!("{placements}, {spread}"),
    }
}

fn describe_placements(placements: &[Placement]) -> String {
    let cores: Option<Vec<_>> =
        placements.iter().map(|placement| placement.core.map(|core| core.id.to_string())).collect();
    let count = placements.len();
    let plural = if count == 1 { "" } else { "s" };
    match cores {
        Some(cores) => {
            let of = if cores.len() == 1 { "core" } else { "cores" };
            format!("{count} worker{plural} on {of} {}", cores.join(", "))
        }
        None => format!("{count} worker{plural}, not pinned to cores"),
    }
}

fn join(mut texts: Vec<String>) -> String {
    let rest = texts.len().saturating_sub(TOLD_MAX);
    texts.truncate(TOLD_MAX);
    if rest > 0 {
        texts.push(format!("{rest} more"));
    }
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use core_affinity::CoreId;

    use super::*;
    use std::net::SocketAddr;

    use crate::destination::{Attributes, DestinationUri, Flags, Origin, Record};
    use crate::proxy::{Listener, Transport};

    fn resolved(set: u32, flags: u32, address: Option<&str>) -> Resolved {
        Resolved {
            record: Record {
                set,
                uri: DestinationUri::parse("sip:ms.example.com").unwrap(),
                flags: Flags::from_bits(flags).unwrap(),
                priority: 0,
                attributes: Attributes::default(),
                origin: Origin::Line(1),
            },
            addresses: address.iter().map(|a| a.parse::<SocketAddr>().unwrap().into()).collect(),
        }
    }

    #[test]
    fn what_is_told() {
        let listener = |local: &str| Listener {
            name: local.into(),
            local: local.parse().unwrap(),
            transport: Transport::Udp,
            sent_by: local.into(),
            force_rport: false,
            set: None,
        };
        let all = vec![listener("192.0.2.1:5060"), listener("[::1]:5060")];
        let placements: Vec<_> = [0, 3].map(|id| Placement { core: Some(CoreId { id }) }).into();
        let records = [
            resolved(1, 0, Some("192.0.2.7:5060")),
            resolved(1, Flags::DISABLED, Some("192.0.2.8:5060")),
            resolved(2, 0, None),
        ];
        assert_eq!(listeners(&Listeners::new(all, &[])), "udp:192.0.2.1:5060, udp:[::1]:5060");
        assert_eq!(
            workers(&placements, &Spread::ByCallId),
            "2 workers on cores 0, 3, steered by Call-ID"
        );
        assert_eq!(
            workers(&placements, &Spread::BySource),
            "2 workers on cores 0, 3, spread by source address: steering is off"
        );
        assert_eq!(
            workers(&[Placement { core: None }], &Spread::OneWorker),
            "1 worker, not pinned to cores"
        );
        assert_eq!(
            sets(&records, &Registry::default()),
            "set 1: 1/2 destinations active, set 2: 0/1 destinations active"
        );
        assert_eq!(sets(&[], &Registry::default()), "no destinations");
    }
}
