//! What the tests are built from: the relay's own binary, SIPp, addresses that nothing else uses,
//! and network namespaces. Everything started here is ended here, by its process id.

pub(crate) mod browser;
pub(crate) mod certificates;
pub(crate) mod cli;
pub(crate) mod database;
pub(crate) mod dns;
pub(crate) mod ends;
pub(crate) mod loopback;
pub(crate) mod mariadb;
pub(crate) mod netns;
pub(crate) mod phones;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod relay;
pub(crate) mod server;
pub(crate) mod sipp;
pub(crate) mod sqlite;
pub(crate) mod tools;
pub(crate) mod wait;

pub(crate) use dns::NameServer;
pub(crate) use ends::Ends;
pub(crate) use relay::Relay;
pub(crate) use sipp::Sipp;
pub(crate) use tools::Tools;
