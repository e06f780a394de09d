//! The runtime of all that waits for others: operators and their tools. No message passes here.

use std::io;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::worker::mark_this_thread;

/// A runtime without a thread: what is given to it waits until it is driven.
#[derive(Debug)]
pub(super) struct ControlRuntime(Runtime);

/// A runtime at work. When it is dropped it ends, without waiting for what it waits for.
#[derive(Debug)]
pub(super) struct DrivenRuntime {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ControlRuntime {
    pub(super) fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .thread_name("control-command")
            .on_thread_start(mark_this_thread)
            .enable_all()
            .build()?;
        Ok(Self(runtime))
    }

    pub(super) fn handle(&self) -> &Handle {
        self.0.handle()
    }

    /// Drives it on a thread of its own.
    pub(super) fn drive(self) -> io::Result<DrivenRuntime> {
        let (end, ended) = oneshot::channel();
        let thread = thread::Builder::new().name("control-io".into()).spawn(move || {
            mark_this_thread();
            let Self(runtime) = self;
            // An error means that nobody is left to end it.
            let _ = runtime.block_on(ended);
            // A command that hangs keeps nobody from ending.
            runtime.shutdown_background();
        })?;
        Ok(DrivenRuntime { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for DrivenRuntime {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // The doors are closed when it returns; a panic was told by the hook.
            let _ = thread.join();
        }
    }
}
