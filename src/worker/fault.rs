//! A fault point: tests choose datagrams whose handling panics, or a work of the control threads.

use memchr::memmem::Finder;

/// Datagrams that hold this text panic where they are handled, and so does what is called so:
/// `strowger reload`, or `strowger control` for the thread that tidies up.
#[derive(Clone, Debug)]
pub struct Fault {
    text: Finder<'static>,
}

impl Fault {
    /// A fault for datagrams that hold `text`.
    pub fn on(text: &str) -> Self {
        Self { text: Finder::new(text).into_owned() }
    }

    /// The fault that `STROWGER_FAULT_PANIC` asks for, if it is set.
    pub fn from_environment() -> Option<Self> {
        let text = std::env::var("STROWGER_FAULT_PANIC").ok()?;
        (!text.is_empty()).then(|| Self::on(&text))
    }

    /// Panics if the datagram is one of them.
    pub(crate) fn strike(&self, datagram: &[u8]) {
        assert!(self.text.find(datagram).is_none(), "the fault point was hit");
    }
}
