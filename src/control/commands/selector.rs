//! Finds the records and addresses that an operator's command selects.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::control::commands::Which;
use crate::control::error::Error;
use crate::destination::{DestinationUri, Host, Record, Resolved};
use crate::message::DEFAULT_PORT;

/// A match: the index of the record, and one of its addresses, or `None` for all of them.
pub(in crate::control) type Selected = (usize, Option<SocketAddr>);

/// Returns the records of this set that match, or addresses of them.
///
/// A URI matches every record that has it, as written or as [`DestinationUri::is_same`] says;
/// Kamailio changes only the first match. A URI that no record has matches the address that it
/// names, in all records whose host name leads there.
pub(in crate::control) fn find(
    records: &[Resolved],
    set: u32,
    which: &Which,
) -> Result<Vec<Selected>, Error> {
    let of_set: Vec<(usize, &Resolved)> =
        records.iter().enumerate().filter(|(_, r)| r.record.set == set).collect();
    if of_set.is_empty() {
        return Err(Error::NoSuchSet { set, has: sets(records) });
    }
    let found: Vec<Selected> = match which {
        Which::All => of_set.iter().map(|(at, _)| (*at, None)).collect(),
        Which::Duid(duid) => of_set
            .iter()
            .filter(|(_, r)| r.record.attributes.value("duid") == Some(duid))
            .map(|(at, _)| (*at, None))
            .collect(),
        Which::Uri(text) => by_uri(&of_set, text),
    };
    if !found.is_empty() {
        return Ok(found);
    }
    let has = if let Which::Duid(_) = which {
        let duids = of_set.iter().filter_map(|(_, r)| r.record.attributes.value("duid"));
        told(&duids.map(|duid| format!("duid={duid}")).collect::<Vec<_>>(), "none with a duid")
    } else {
        told(&of_set.iter().map(|(_, r)| r.record.uri.text.clone()).collect::<Vec<_>>(), "none")
    };
    Err(Error::NoSuchDestination { set, wanted: which.to_string(), has })
}

/// Returns a test for records with this URI, as written or as [`DestinationUri::is_same`] says.
pub(in crate::control) fn has_uri(text: &str) -> impl Fn(&Record) -> bool {
    let uri = DestinationUri::parse(text);
    move |record| record.uri.text == text || uri.as_ref().is_ok_and(|uri| record.uri.is_same(uri))
}

fn by_uri(of_set: &[(usize, &Resolved)], text: &str) -> Vec<Selected> {
    let has_uri = has_uri(text);
    let records: Vec<Selected> =
        of_set.iter().filter(|(_, r)| has_uri(&r.record)).map(|(at, _)| (*at, None)).collect();
    if !records.is_empty() {
        return records;
    }
    let Ok(DestinationUri { host: Host::Address(ip), port, .. }) = DestinationUri::parse(text)
    else {
        return records;
    };
    let address = SocketAddr::new(ip, port.unwrap_or(DEFAULT_PORT));
    of_set
        .iter()
        .filter(|(_, r)| r.addresses.iter().any(|known| known.socket == address))
        .map(|(at, _)| (*at, Some(address)))
        .collect()
}

fn sets(records: &[Resolved]) -> String {
    let sets: BTreeSet<u32> = records.iter().map(|r| r.record.set).collect();
    let sets = told(&sets.iter().map(u32::to_string).collect::<Vec<_>>(), "");
    if sets.is_empty() { "no sets are loaded".into() } else { format!("the sets are {sets}") }
}

/// Lists the first few, and how many more there are.
fn told(all: &[String], none: &str) -> String {
    let shown = all[..all.len().min(TOLD_MAX)].join(", ");
    match all.len() {
        0 => none.into(),
        n if n > TOLD_MAX => format!("{shown} and {} more", n - TOLD_MAX),
        _ => shown,
    }
}

/// Destinations that an error lists. After a typing mistake the right one is likely among them;
/// otherwise the operator lists the set.
const TOLD_MAX: usize = 8;
