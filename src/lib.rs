//! Strowger: a SIP load balancer.
//!
//! The modules follow a datagram, and each uses only the ones above it:
//!
//! | Module | Question |
//! |---|---|
//! | [`limits`], [`clock`], [`keys`] | what are the limits, the time and the secrets |
//! | [`message`] | what does the message say, and where; RFC 3261 §7 |
//! | [`owners`] | which worker has the transactions of a call |
//! | [`listener`] | is it addressed to us |
//! | [`destination`] | which destinations can be chosen now |
//! | [`pin`] | what did we choose before |
//! | [`calls`] | which calls are in progress |
//! | [`transaction`] | what is tried next, and when is something repeated; RFC 3261 §17 |
//! | [`registry`] | which destination is which, from one load to the next |
//! | [`health`] | which destinations are alive |
//! | [`dialog`] | what does our Record-Route say |
//! | [`proxy`] | what do we do with the message; RFC 3261 §16 |
//! | [`capture`] | who watches which messages |
//! | [`log`], [`config`], [`stats`] | what is logged, configured and counted |
//! | [`transport`] | how is it received and sent; RFC 3261 §18 |
//! | [`worker`] | how does it get through: one thread per core |
//! | [`rpc`] | what do operators' tools send and receive |
//! | [`source`], [`resolve`], [`control`] | where do destinations and their addresses come from; start, reload, shutdown |
//! | [`tune`] | what should this machine be set to |
//! | [`import`] | what does Kamailio's configuration file say |
//! | [`demo`] | how does all of it look at work |
//!
//! Built with `--cfg loom`, the crate contains only what the models of concurrency (`models`)
//! explore, and nothing that calls the kernel.

// The models use only part of the crate.
#![cfg_attr(loom, allow(dead_code, unused_imports))]

pub mod calls;
pub mod capture;
pub mod clock;
pub mod config;
#[cfg(not(loom))]
pub mod control;
#[cfg(not(loom))]
pub mod demo;
pub mod destination;
pub mod dialog;
mod disk;
pub mod health;
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
pub mod owners;
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
pub mod transaction;
#[cfg(not(loom))]
pub mod transport;
#[cfg(not(loom))]
pub mod tune;
mod words;
#[cfg(not(loom))]
pub mod worker;
