//! RFC 3261 §18: sockets and batches of datagrams. It moves bytes and decides nothing.

pub mod sys;
