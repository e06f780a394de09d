//! Strowger: a SIP load balancer.
//!
//! The modules tell a datagram's story, and each uses only the ones above it:
//!
//! | Module | Answers |
//! |---|---|
//! | [`limits`], [`clock`], [`keys`] | how much at most, when, and by which secret |
//! | [`message`] | what does it say, and where; RFC 3261 §7 |
//! | [`listener`] | is it us that is meant |
//! | [`destination`] | whom may we choose now |
//! | [`pin`] | what did we choose before |
//! | [`registry`] | which destination is which, from one list to the next |
//! | [`dialog`] | what does our Record-Route say |
//! | [`proxy`] | what becomes of it; RFC 3261 §16 |
//! | [`log`], [`config`], [`stats`] | what is told, wanted and counted |
//! | [`transport`] | how does it come and go; RFC 3261 §18 |
//! | [`worker`] | one thread per core that moves it through |
//! | [`rpc`] | how operators' tools ask and are answered |
//! | [`source`], [`resolve`], [`control`] | where destinations come from, what their names mean; start, reload, end |
//! | [`import`] | what did Kamailio's file say |
//! | [`demo`] | all of it at work |
//!
//! Built with `--cfg loom` the crate holds only what the models of concurrency (`models`) explore, and
//! nothing that asks the kernel.

// The models use a part of what is left.
#![cfg_attr(loom, allow(dead_code, unused_imports))]

pub mod clock;
pub mod config;
#[cfg(not(loom))]
pub mod control;
#[cfg(not(loom))]
pub mod demo;
pub mod destination;
pub mod dialog;
mod disk;
mod hex;
pub mod import;
mod keyed;
pub mod keys;
pub mod limits;
pub mod listener;
pub mod log;
pub mod message;
#[cfg(all(test, loom))]
mod models;
pub mod pin;
pub mod proxy;
pub mod registry;
#[cfg(not(loom))]
pub mod resolve;
pub mod rpc;
#[cfg(not(loom))]
pub mod source;
pub mod stats;
mod sync;
#[cfg(not(loom))]
pub mod transport;
mod words;
#[cfg(not(loom))]
pub mod worker;
