//! `[hep]`: where copies of messages are sent for Homer.

use std::net::SocketAddr;

use super::document::{Document, Section};

const KEYS: &[&str] = &["address", "capture_id", "password", "share_percent"];

/// `[hep]`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HepConfig {
    /// `address`: of Homer.
    pub address: SocketAddr,
    /// Whether `address` begins with `tcp:`.
    pub is_tcp: bool,
    /// `capture_id`: the number that Homer knows this relay by.
    pub capture_id: u32,
    /// `password`: what Homer knows its senders by.
    pub password: Option<String>,
    /// `share_percent`: of all calls, by the hash of the Call-ID.
    pub share_percent: u8,
}

/// Reads `[hep]`; `None` if it says wrongly where Homer is.
pub(super) fn read(document: &mut Document, section: &Section) -> Option<HepConfig> {
    section.only(document, KEYS, &[]);
    let capture_id = section
        .integer(document, "capture_id", &(0..=u64::from(u32::MAX)), "")
        .unwrap_or(CAPTURE_ID);
    let percent = section.integer(document, "share_percent", &(1..=100), " (%)").unwrap_or(100);
    let mut password = None;
    if let Some((text, place)) = section.string(document, "password") {
        if (1..=PASSWORD_BYTES_MAX).contains(&text.len()) {
            password = Some(text.to_owned());
        } else {
            let what = section.what("password: empty or too long");
            let right = format!("write 1 to {PASSWORD_BYTES_MAX} bytes, or leave it out");
            document.wrong(&place, what, right);
        }
    }
    let right = "write udp:ADDRESS:PORT or tcp:ADDRESS:PORT, such as \"udp:192.0.2.9:9060\"";
    let Some((text, place)) = section.string(document, "address") else {
        if section.get("address").is_none() {
            let what = section.what("does not say where Homer is: address is missing");
            document.wrong(&section.place("address"), what, right);
        }
        return None;
    };
    let (is_tcp, address) = match (text.strip_prefix("udp:"), text.strip_prefix("tcp:")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => (false, ""),
    };
    match address.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 && !address.ip().is_unspecified() => Some(HepConfig {
            address,
            is_tcp,
            capture_id: capture_id as u32,
            password,
            share_percent: percent as u8,
        }),
        _ => {
            let what = section.what(&format!("address: {text:?} is not such an address"));
            document.wrong(&place, what, right);
            None
        }
    }
}

/// As Homer's own agents by default.
const CAPTURE_ID: u64 = 2_001;
/// Far more than Homer's keys have.
const PASSWORD_BYTES_MAX: usize = 256;
