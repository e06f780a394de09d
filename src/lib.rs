//! Strowger: a SIP load balancer.
//!
//! The modules tell a datagram's story, and each uses only the ones above it:
//! [`message`] reads and edits, [`destination`] knows whom we may choose, [`pin`] what we chose
//! before, [`dialog`] what our Record-Route says, [`proxy`] decides, [`transport`] and [`worker`]
//! move bytes, [`source`] and [`control`] supply the destinations.

pub mod clock;
pub mod config;
pub mod control;
pub mod demo;
pub mod destination;
pub mod dialog;
mod hex;
pub mod keys;
pub mod limits;
pub mod log;
pub mod message;
pub mod pin;
pub mod proxy;
pub mod source;
pub mod stats;
pub mod transport;
mod words;
pub mod worker;
