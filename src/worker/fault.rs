//! A fault point for tests: makes the handling of some datagrams, or a task of a control thread,
//! panic.

use memchr::memmem::Finder;

/// Datagrams that contain this text panic when they are handled, and so does the control task with
/// this name: `strowger reload`, or `strowger control` for the thread that cleans up.
#[derive(Clone, Debug)]
pub struct Fault {
    text: Finder<'static>,
}

impl Fault {
    /// Creates a fault for datagrams that contain `text`.
    pub fn on(text: &str) -> Self {
        Self { text: Finder::new(text).into_owned() }
    }

    /// Returns the fault that `STROWGER_FAULT_PANIC` asks for, if it is set.
    pub fn from_environment() -> Option<Self> {
        let text = std::env::var("STROWGER_FAULT_PANIC").ok()?;
        (!text.is_empty()).then(|| Self::on(&text))
    }

    /// Panics if the datagram contains the text.
    pub(crate) fn check(&self, datagram: &[u8]) {
        assert!(self.text.find(datagram).is_none(), "the fault point was hit");
    }
}
