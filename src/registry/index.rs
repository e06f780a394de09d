//! Builds the parts of a table that do not depend on any state.

use std::sync::Arc;

use super::sets::Listed;
use super::slots::Slots;
use crate::destination::{DestinationUri, Host, Index, Known, Slot, Table};

impl Slots {
    /// Returns a table without sets: all slots, and the index in which listed destinations come
    /// before retired ones.
    pub(super) fn table(&self, listed: &[Listed<'_>]) -> Table {
        let mut index = Index::default();
        index.addresses.reserve(self.in_use.len());
        index.ips.reserve(self.in_use.len());
        for Listed { reached, slots, .. } in listed {
            let port = reached.record.uri.port_or_default();
            for (address, slot) in reached.addresses.iter().zip(*slots) {
                let known = Known { slot: *slot, is_listed: true };
                add(&mut index, address.socket, known, &reached.record.uri.host, port);
            }
        }
        self.with_index(index)
    }

    /// Returns a table without sets, for the same listed destinations as this one.
    pub(super) fn table_like(&self, before: &Table) -> Table {
        let mut index = Index::default();
        let listed = before.index.addresses.iter().filter(|(_, known)| known.is_listed);
        index.addresses.extend(listed);
        let listed = before.index.ips.iter().filter(|(_, known)| known.is_listed);
        index.ips.extend(listed);
        let is_listed = |slot: Slot| {
            let in_use = self.in_use.get(usize::from(slot.0));
            in_use.and_then(Option::as_ref).is_some_and(|slot| slot.retired_at.is_none())
        };
        let listed = before.index.names.iter().filter(|(_, slot)| is_listed(**slot));
        index.names.extend(listed.map(|(name, slot)| (name.clone(), *slot)));
        self.with_index(index)
    }

    fn with_index(&self, mut index: Index) -> Table {
        let retired = self.in_use.iter().enumerate().filter_map(|(number, slot)| {
            let slot = slot.as_ref().filter(|slot| slot.retired_at.is_some())?;
            Some((Slot(number as u16), &slot.identity))
        });
        for (slot, identity) in retired {
            let known = Known { slot, is_listed: false };
            if let Ok(uri) = DestinationUri::parse(&identity.uri) {
                add(&mut index, identity.address, known, &uri.host, uri.port_or_default());
            }
        }
        let hops = self.in_use.iter().map(|slot| slot.as_ref().map(|slot| slot.hop));
        let destinations = self.in_use.iter();
        let destinations =
            destinations.map(|slot| slot.as_ref().map(|slot| Arc::clone(&slot.destination)));
        Table {
            hops: hops.collect(),
            destinations: destinations.collect(),
            index: Arc::new(index),
            ..Table::default()
        }
    }
}

/// Adds a destination. Of several with the same address or name, the first counts.
fn add(index: &mut Index, address: std::net::SocketAddr, known: Known, host: &Host, port: u16) {
    index.addresses.entry(address).or_insert(known);
    index.ips.entry(address.ip()).or_insert(known);
    if let Host::Name(name) = host {
        index.names.entry((name.as_bytes().into(), port)).or_insert(known.slot);
    }
}
