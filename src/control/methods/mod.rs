//! The table of RPC methods, by name.
//!
//! A method reads the parameters, asks the [`Commands`], and returns the answer as a tree. It does not
//! know which control socket the request came from.

// All functions in the table have the same type.
#![allow(clippy::unnecessary_wraps)]

mod core;
mod dispatcher;
mod list;
mod monitor;
mod own;
mod stats;
pub(super) mod status;
mod system;
mod time;
mod trace;
mod watch;

use super::commands::Commands;
use super::error::Error;
use crate::rpc::{Answer, Fault, Params, Request};

/// One method.
#[derive(Debug)]
pub(super) struct Method {
    /// Its name.
    pub(super) name: &'static str,
    /// What it does, in one line.
    pub(super) help: &'static str,
    run: fn(&Call<'_>) -> Answer,
}

/// What a method gets.
#[derive(Debug)]
pub(super) struct Call<'a> {
    commands: &'a Commands,
    params: &'a Params,
}

/// Every method, sorted by name.
pub(super) const ALL: &[Method] = &[
    Method { name: "core.echo", help: "Returns its parameters", run: core::echo },
    Method { name: "core.info", help: "Name and version of the program", run: core::info },
    Method {
        name: "core.shmmem",
        help: "Memory of the table of calls; b, k, m or g",
        run: monitor::shmmem,
    },
    Method { name: "core.tcp_info", help: "TCP is not relayed: all 0", run: monitor::tcp_info },
    Method {
        name: "core.uptime",
        help: "When the relay was started, and its uptime",
        run: core::uptime,
    },
    Method { name: "core.version", help: "Version of the program", run: core::version },
    Method {
        name: "dispatcher.add",
        help: "Adds a destination: set, URI, flags, priority, attributes",
        run: dispatcher::add,
    },
    Method {
        name: "dispatcher.hash",
        help: "Hash of one or two texts and the slot it falls on: slots, text, text",
        run: dispatcher::hash,
    },
    Method {
        name: "dispatcher.list",
        help: "The destinations in force; short, or full",
        run: dispatcher::list,
    },
    Method {
        name: "dispatcher.oclist",
        help: "Overload control of a set's destinations",
        run: dispatcher::oclist,
    },
    Method {
        name: "dispatcher.ping_active",
        help: "Whether destinations are pinged; sets it: 0 or 1",
        run: dispatcher::ping_active,
    },
    Method {
        name: "dispatcher.reload",
        help: "Reads the destinations again; all of them or nothing",
        run: dispatcher::reload,
    },
    Method {
        name: "dispatcher.remove",
        help: "Removes destinations: set, URI",
        run: dispatcher::remove,
    },
    Method {
        name: "dispatcher.set_duid_state",
        help: "Sets the state of destinations: state, set, duid attribute",
        run: dispatcher::set_duid_state,
    },
    Method {
        name: "dispatcher.set_state",
        help: "Sets the state of destinations: state, set, URI or all",
        run: dispatcher::set_state,
    },
    Method {
        name: "sl.stats",
        help: "Answers of the relay itself, by code",
        run: monitor::sl_stats,
    },
    Method {
        name: "stats.fetch",
        help: "Counters as a struct of texts; names, groups such as core: or all",
        run: stats::fetch,
    },
    Method {
        name: "stats.fetchn",
        help: "Counters as a struct of numbers; names, groups such as core: or all",
        run: stats::fetch_numbers,
    },
    Method {
        name: "stats.get_statistics",
        help: "Counters as lines; names, groups such as core: or all",
        run: stats::get_statistics,
    },
    Method {
        name: "strowger.add",
        help: "Adds a destination: {set, uri, flags, priority, attributes, save}",
        run: own::add,
    },
    Method {
        name: "strowger.drain",
        help: "Refuses new requests, or accepts them again: {on}",
        run: watch::drain,
    },
    Method {
        name: "strowger.explain",
        help: "What the relay would do with a SIP message, and why: {message, from, to}",
        run: watch::explain,
    },
    Method {
        name: "strowger.history",
        help: "The last changes of state of each destination, and their reasons",
        run: own::history,
    },
    Method {
        name: "strowger.list",
        help: "The destinations in force with their addresses",
        run: own::list,
    },
    Method {
        name: "strowger.reload",
        help: "Reads the destinations again: {dry_run, force}",
        run: own::reload,
    },
    Method {
        name: "strowger.remembered",
        help: "Open transactions and calls of each destination",
        run: watch::remembered,
    },
    Method {
        name: "strowger.remove",
        help: "Removes destinations: {set, uri, save}",
        run: own::remove,
    },
    Method {
        name: "strowger.set_state",
        help: "Sets the state of destinations: {set, state, uri | duid | all, probed}",
        run: watch::set_state,
    },
    Method { name: "strowger.stats", help: "Every counter", run: own::stats },
    Method {
        name: "strowger.status",
        help: "What a screen shows: sets, destinations, counters, reloads; {max} of each set",
        run: status::status,
    },
    Method {
        name: "strowger.trace",
        help: "Starts a trace: {call_id, from, to, destination}",
        run: trace::start,
    },
    Method { name: "strowger.trace_end", help: "Ends a trace: {trace}", run: trace::end },
    Method {
        name: "strowger.trace_read",
        help: "The messages of a trace since the last time: {trace}",
        run: trace::read,
    },
    Method { name: "system.listMethods", help: "The names of all methods", run: system::list },
    Method { name: "system.methodHelp", help: "What a method does", run: system::help },
    Method {
        name: "tm.stats",
        help: "Responses forwarded; there are no transactions, so the rest is 0",
        run: monitor::tm_stats,
    },
];

/// Returns the method with this name.
pub(super) fn find(name: &str) -> Option<&'static Method> {
    ALL.iter().find(|method| method.name == name)
}

/// Runs a request.
pub(super) fn run(commands: &Commands, request: &Request) -> Answer {
    let method = find(&request.method).ok_or_else(Fault::method_not_found)?;
    (method.run)(&Call { commands, params: &request.params })
}

impl Call<'_> {
    /// Returns the text at this position, or with this name.
    fn text(&self, position: usize, name: &str) -> Option<String> {
        self.params.get(position, name)?.text()
    }

    /// Returns the set number at this position.
    fn set(&self, position: usize) -> Option<u32> {
        self.number(position, "set")
    }

    /// Returns the number at this position, or with this name.
    fn number<N: TryFrom<i64>>(&self, position: usize, name: &str) -> Option<N> {
        N::try_from(self.params.get(position, name)?.int()?).ok()
    }
}

/// Returns Kamailio's message for the failure, with our reasons.
fn failed(message: &str, errors: &[Error]) -> Fault {
    let is_busy = errors.iter().any(|error| matches!(error, Error::Busy));
    let message = if is_busy { "Ongoing reload" } else { message };
    Fault::failed(message).because(errors.iter().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(ALL.is_sorted_by(|a, b| a.name < b.name));
        assert!(find("dispatcher.list").is_some());
        assert!(find("dispatcher.lis").is_none());
    }
}
