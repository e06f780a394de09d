//! What a service manager hears from the relay: a real notification socket, read by the test.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::harness::relay::Builder;
use crate::harness::{Ends, Relay, cli};

/// The service manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

/// Microseconds without a feed after which this service manager would restart the relay. It is fed
/// four times as often.
const WATCHDOG_US: &str = "WATCHDOG_USEC=200000";

impl Manager {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        Self { socket, folder }
    }

    /// The relay, with this service manager and these further variables.
    fn of(&self, relay: Builder, variables: &[&str]) -> Relay {
        let path = self.folder.path().join("notify");
        let path = format!("NOTIFY_SOCKET={}", path.to_str().unwrap());
        relay.under(&[&["env", &path], variables].concat()).start()
    }

    fn next(&self) -> String {
        let mut room = [0; 4_096];
        let length = self.socket.recv(&mut room).expect("a notification");
        String::from_utf8(room[..length].to_vec()).unwrap()
    }

    /// Reads until this is said, and returns the notification.
    fn wait(&self, what: &str) -> String {
        loop {
            let said = self.next();
            if said.lines().any(|line| line == what) {
                return said;
            }
        }
    }

    /// How many feeds are there to be read now, among others.
    fn feeds(&self) -> usize {
        self.socket.set_nonblocking(true).unwrap();
        let mut room = [0; 4_096];
        let mut feeds = 0;
        while let Ok(length) = self.socket.recv(&mut room) {
            feeds += usize::from(room[..length].starts_with(b"WATCHDOG=1"));
        }
        self.socket.set_nonblocking(false).unwrap();
        feeds
    }
}

#[test]
fn it_says_when_it_is_ready_reloads_and_ends_and_what_its_destinations_are() {
    let (manager, mut ends) = (Manager::new(), Ends::new());
    let mut relay = manager.of(Relay::with_list(&ends.list()).unwatched(), &[]);
    let file = relay.list_file();
    let status = |sets: &str| format!("STATUS={sets} of {}\n", file.display());
    let one = status("set 1: 1/1 destinations active");
    assert_eq!(manager.next(), format!("READY=1\n{one}"));

    // Without a watchdog there are no feeds in between: the very next is the reload.
    let before = relay.reload(&format!("{}1 sip:127.0.0.1:5070\n", ends.list()));
    relay.wait_log(before, &["reloaded"]);
    assert_eq!(manager.next(), "RELOADING=1\n");
    let two = status("set 1: 2/2 destinations active");
    assert_eq!(manager.next(), format!("READY=1\n{two}"));

    // A refused reload is over too. A dry run is none.
    cli::ask(&relay, &["reload", "--dry-run"]).well();
    relay.reload("what is this\n");
    assert_eq!(manager.next(), "RELOADING=1\n");
    assert_eq!(manager.next(), format!("READY=1\n{two}"));

    cli::ask(&relay, &["set-state", "d", "1", "sip:127.0.0.1:5070"]).well();
    assert_eq!(manager.next(), status("set 1: 1/2 destinations active"));

    ends.send(relay.address(), 1);
    relay.wait_at_rest();
    relay.signal(Signal::SIGTERM);
    let waits = "STATUS=ending: waits for INVITEs without a final response: 1 unanswered, 0 ringing, \
                 at most 30 s (grace_s)\n";
    assert_eq!(manager.next(), format!("STOPPING=1\n{waits}"));
    relay.signal(Signal::SIGTERM);
    relay.wait().assert(&[("chosen", 1)]);
}

#[test]
fn idle_workers_feed_the_watchdog() {
    let manager = Manager::new();
    let relay = manager.of(Relay::with_list("").workers(3), &[WATCHDOG_US]);
    manager.wait("READY=1");
    for _ in 0..8 {
        assert_eq!(manager.next(), "WATCHDOG=1\n");
    }
    // The service manager reads no more, and soon a notification finds no room: nobody waits for it.
    relay.stop().assert(&[("received", 0)]);
}

/// The other workers go on, and serve.
#[test]
fn one_stuck_worker_and_the_watchdog_is_not_fed() {
    let (manager, mut ends) = (Manager::new(), Ends::new());
    let relay = Relay::with_list(&ends.list()).unwatched().workers(2);
    let mut relay = manager.of(relay, &[WATCHDOG_US, "STROWGER_FAULT_STUCK=X-Stuck: "]);
    manager.wait("WATCHDOG=1");
    let before = relay.log().len();
    ends.send_with(relay.address(), 1, "X-Stuck: 1\r\n", "");
    let line = relay.wait_log(before, &["is stuck: the watchdog is not fed"]);
    let stuck = usize::from(line.contains("worker 1"));
    assert!(line.contains(&format!("worker {stuck} is stuck")), "{line}");

    // From the first look that found it stuck on there is no feed: two more lines, each a second
    // later, are eight looks and more.
    manager.feeds();
    for _ in 0..2 {
        let before = relay.log().len();
        relay.wait_log(before, &["is stuck: the watchdog is not fed", "suppressed"]);
    }
    assert_eq!(manager.feeds(), 0);
    relay.kill();
}
