//! Our own Via in what comes back: a response, an answer to a probe, the quote of an ICMP error.

use super::Arrival;
use super::branch::Branch;
use super::verdict::Reason;
use super::via_parameter::{OwnVia, Verified, ViaParameter};
use crate::limits;
use crate::listener::SentByKey;
use crate::message::Via;

/// Verifies that we wrote this Via; `None` if its parameter was lost, or is of a version or key that we do
/// not know.
pub(super) fn verify_own<'a>(
    at: &Arrival<'a>,
    via: &Via,
    branch: Branch,
) -> Result<Option<Verified<'a>>, Reason> {
    let Some(value) = via.own else {
        return Ok(None);
    };
    let (host, port) = (via.host.of(at.bytes), via.port_or_default());
    let written = at.shared.listeners.written_key(at.flow.listener, host, port);
    let sent_by = match written {
        Some(key) => *key,
        None => SentByKey::new(host, port).ok_or(Reason::ForeignVia)?,
    };
    let own_via = OwnVia { branch, sent_by };
    let (value, keys) = (value.of(at.bytes), &at.shared.keys);
    match ViaParameter::verify(value, keys, &own_via) {
        Some(verified) => Ok(Some(verified)),
        // Another node wrote it, which is newer than we are: the branch may still prove it.
        None if !ViaParameter::is_known(value, keys) => Ok(None),
        None => Err(Reason::ForgedVia),
    }
}

/// Returns how many milliseconds ago this process wrote the parameter; `None` if another did.
pub(super) fn age_of_own(at: &Arrival, parameter: &ViaParameter) -> Option<u32> {
    (parameter.incarnation == at.shared.incarnation).then(|| age_ms(at, parameter.sent_ms))
}

/// Returns how many milliseconds ago this was. Another thread may have read its clock a little later
/// than we read ours; that is now.
pub(super) fn age_ms(at: &Arrival, sent_ms: u32) -> u32 {
    let age_ms = (at.now.ms() as u32).wrapping_sub(sent_ms);
    if age_ms > u32::MAX - limits::CLOCK_BEHIND_MAX_MS { 0 } else { age_ms }
}
