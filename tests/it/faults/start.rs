//! Limits reached at the start: the relay says what it could not get, and what would be right.

use crate::harness::{Ends, Relay};

struct Row {
    says: &'static str,
    /// What sets the limit and then runs the relay.
    under: &'static [&'static str],
    config: &'static str,
    wants: &'static [&'static str],
}

const ROWS: &[Row] = &[
    Row {
        says: "no descriptors for the sockets",
        under: &["prlimit", "--nofile=6"],
        config: "",
        wants: &["cannot listen on udp:127.", "Too many open files", "ulimit -n"],
    },
    Row {
        says: "no memory for the table of calls",
        under: &["prlimit", "--as=2000000000"],
        config: "[relay]\npeak_requests_per_second = 1_000_000\n",
        wants: &["no memory for the table of calls", "peak_requests_per_second"],
    },
    Row {
        says: "no memory for the counters: 4 MiB for each worker",
        under: &["prlimit", "--as=300000000"],
        config: "[relay]\nworkers = 64\n",
        wants: &["no memory for the counters of destinations", "Cannot allocate", "ulimit -v"],
    },
    Row {
        says: "no memory for the workers",
        under: &["prlimit", "--as=1912000000"],
        config: "[relay]\nworkers = 64\n",
        wants: &["cannot start worker ", "Cannot allocate memory", "ulimit -v"],
    },
    Row {
        says: "no threads for the workers",
        under: &[STRACE[0], STRACE[1], STRACE[2], STRACE[3], "inject=clone3:error=EAGAIN:when=2+"],
        config: "",
        wants: &["cannot start worker ", "Resource temporarily unavailable", "ulimit -u"],
    },
    Row {
        says: "no thread at all",
        under: &[STRACE[0], STRACE[1], STRACE[2], STRACE[3], "inject=clone3:error=EAGAIN:when=1+"],
        config: "",
        wants: &["cannot start the log thread", "Resource temporarily unavailable", "ulimit -u"],
    },
];

/// The tracer as a child of the relay, not its parent; what it writes is of no use here.
const STRACE: [&str; 4] = ["strace", "-Dfq", "-o/dev/null", "-e"];

#[test]
fn what_is_said_when_the_machine_gives_too_little() {
    for row in ROWS {
        let ends = Ends::new();
        let said = Relay::with_list(&ends.list())
            .unwatched()
            .under(row.under)
            .config(row.config)
            .refused();
        for want in row.wants {
            assert!(said.contains(want), "{}: {said}", row.says);
        }
    }
}
