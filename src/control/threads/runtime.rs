//! The async runtime for all waiting on operators and their tools. SIP messages never pass through
//! it.

use std::io;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::worker::mark_this_thread;

/// A runtime without a thread: its tasks start when it is driven.
#[derive(Debug)]
pub(in crate::control) struct ControlRuntime(Runtime);

/// A running runtime. Dropping it ends it without waiting for its tasks.
#[derive(Debug)]
pub(in crate::control) struct DrivenRuntime {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ControlRuntime {
    pub(in crate::control) fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .thread_name("control-command")
            .on_thread_start(mark_this_thread)
            .enable_all()
            .build()?;
        Ok(Self(runtime))
    }

    pub(in crate::control) fn handle(&self) -> &Handle {
        self.0.handle()
    }

    /// Runs it on its own thread.
    pub(in crate::control) fn drive(self) -> io::Result<DrivenRuntime> {
        let (end, ended) = oneshot::channel();
        let thread = thread::Builder::new().name("control-io".into()).spawn(move || {
            mark_this_thread();
            let Self(runtime) = self;
            // An error means that the other end is gone, so this ends, too.
            let _ = runtime.block_on(ended);
            // A command that hangs must not delay the end.
            runtime.shutdown_background();
        })?;
        Ok(DrivenRuntime { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for DrivenRuntime {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // The control sockets are closed when it returns; the panic hook reported any panic.
            let _ = thread.join();
        }
    }
}
