//! Fault points for tests: some datagrams, or a task of a control thread, panic or never end.

use std::thread;

use memchr::memmem::Finder;

/// What becomes of datagrams that contain a text, and of the control task with this name:
/// `strowger reload`, or `strowger control` for the thread that cleans up.
#[derive(Clone, Debug)]
pub struct Fault {
    text: Finder<'static>,
    is_stuck: bool,
}

impl Fault {
    /// Creates a fault that panics on `text`.
    pub fn on(text: &str) -> Self {
        Self { text: Finder::new(text).into_owned(), is_stuck: false }
    }

    /// Returns the fault that `STROWGER_FAULT_PANIC` or `STROWGER_FAULT_STUCK` asks for.
    pub fn from_environment() -> Option<Self> {
        let text = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let stuck =
            || text("STROWGER_FAULT_STUCK").map(|text| Self { is_stuck: true, ..Self::on(&text) });
        text("STROWGER_FAULT_PANIC").map(|text| Self::on(&text)).or_else(stuck)
    }

    /// Panics, or never returns, if the datagram contains the text.
    pub(crate) fn check(&self, datagram: &[u8]) {
        if self.text.find(datagram).is_some() {
            if self.is_stuck {
                loop {
                    thread::park();
                }
            }
            panic!("the fault point was hit");
        }
    }
}
