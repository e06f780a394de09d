//! The interface to the kernel: mappings, `recvmmsg`, `sendmmsg`, error queues, `bpf` and the socket options
//! that no safe library offers.
//!
//! All `unsafe` of the project is in this folder. The memory that the kernel reads and writes is in
//! mappings of our own ([`memory`]), used through raw pointers only, so that no Rust reference ever
//! aliases memory passed to a system call.
#![allow(unsafe_code)]

mod batch;
mod bpf;
mod errors;
mod ethtool;
mod memory;
mod name;
mod options;
mod thread;

pub(crate) use batch::{Batch, Received};
pub(crate) use bpf::{MapKind, bpf_load_reuseport, bpf_map, bpf_map_put_socket};
pub(crate) use errors::{ErrorReader, queue_errors};
pub(crate) use ethtool::ethtool;
pub use memory::Mapping;
pub(crate) use options::{
    allow_fragments, attach_reuseport, force_receive_buffer, force_send_buffer, socket_drops,
    wait_writable,
};
pub use thread::run_when_idle;
