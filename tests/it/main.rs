//! The relay's binary among real programs: each test starts what it needs on its own addresses and
//! asserts what every side counted. See tests/README.md.

mod harness;

mod admin_sockets;
mod calls;
mod cli;
mod cli_drain;
mod cli_explain;
mod cli_output;
mod databases;
mod dialogs;
mod drain;
mod empty;
mod failover;
mod faults;
mod health;
mod hostile;
mod hostile_icmp;
mod hostile_neighbours;
mod hostile_scanners;
mod import;
mod kamailio_choices;
mod kamcli;
mod kamcmd;
mod kamctl;
mod latency;
mod limits;
mod load;
mod loss;
mod metrics;
mod name_servers;
mod names;
mod networks;
mod overload;
mod reload;
mod reload_storm;
mod service;
mod shipped;
mod showcase;
mod stacks;
mod states;
mod top;
mod trace;
mod tune;
mod who_asked;
mod workers;
