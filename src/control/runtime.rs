//! The runtime of all that waits for others: databases, name servers, operators' tools. No message
//! passes here.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::limits::CONTROL_THREADS;
use crate::worker::mark_this_thread;

/// A runtime that ends without waiting for what it waits for.
#[derive(Debug)]
pub(super) struct ControlRuntime(Option<Runtime>);

impl ControlRuntime {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(CONTROL_THREADS)
            .thread_name("control-io")
            .on_thread_start(mark_this_thread)
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    pub(super) fn handle(&self) -> &Handle {
        self.0.as_ref().expect("it is there until it is dropped").handle()
    }
}

impl Drop for ControlRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // A database that hangs keeps nobody from ending.
            runtime.shutdown_background();
        }
    }
}
