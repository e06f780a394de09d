//! Round robin, tracked from outside: each new request takes the turn after the last one, whichever
//! copies arrive at whichever workers, even across a change of the list.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::relay::Relay;
use crate::truth::RelayId;

#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// The URI of the record that took the last turn, while that is certain.
    last: BTreeMap<(RelayId, bool), String>,
}

impl Turns {
    /// A destination was chosen by a worker with this list.
    pub(crate) fn took(
        &mut self,
        number: RelayId,
        relay: &Relay,
        list: usize,
        is_invite: bool,
        to: SocketAddr,
    ) -> Result<(), String> {
        let lines = &relay.lists[list].lines;
        let chosen = lines
            .iter()
            .position(|line| line.is_active() && line.addresses.contains(&to))
            .ok_or("wanted: an active destination")?;
        // A worker with an old list takes a turn by the old order; what follows is chance.
        if list != relay.newest() {
            self.forget(number, is_invite);
            return Ok(());
        }
        let last = self.last.get(&(number, is_invite));
        let last = last.and_then(|uri| lines.iter().position(|line| line.uri == *uri));
        if let Some(last) = last {
            let wanted = (1..=lines.len())
                .map(|step| (last + step) % lines.len())
                .find(|at| lines[*at].is_active());
            if wanted != Some(chosen) {
                return Err(format!(
                    "wanted: the turn after {}, not {}",
                    lines[last].uri, lines[chosen].uri
                ));
            }
        }
        self.last.insert((number, is_invite), lines[chosen].uri.clone());
        Ok(())
    }

    pub(crate) fn forget(&mut self, number: RelayId, is_invite: bool) {
        self.last.remove(&(number, is_invite));
    }

    pub(crate) fn restarted(&mut self, number: RelayId) {
        self.forget(number, true);
        self.forget(number, false);
    }
}
