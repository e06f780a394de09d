//! What happens to the servers, and when.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::server::{LOSE, RECOVER, REFUSE, Server};

/// One kind of trouble.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Fault {
    /// `kill -9` one: the kernel answers with ICMP errors.
    Kill,
    /// `kill -STOP` one: nothing answers.
    Stop,
    /// One answers OPTIONS, and every INVITE with 503.
    Refuse,
    /// One is killed and started again every two seconds.
    Flap,
    /// All are killed, and started again after five seconds.
    All,
    /// All lose every fifth datagram, in both directions.
    Loss,
}

impl Fault {
    pub(super) const EACH: [Self; 6] =
        [Self::Kill, Self::Stop, Self::Refuse, Self::Flap, Self::All, Self::Loss];

    pub(super) fn says(self) -> &'static str {
        match self {
            Self::Kill => "one of four killed",
            Self::Stop => "one of four stopped (SIGSTOP)",
            Self::Refuse => "one of four answers OPTIONS, and INVITE with 503",
            Self::Flap => "one of four killed and started every 2 s",
            Self::All => "all four killed, started again after 5 s",
            Self::Loss => "20 % of the datagrams from and to all four lost",
        }
    }

    /// How long the trouble lasts, from [`HEALTHY`] on.
    pub(super) fn lasts(self) -> Duration {
        if self == Self::All { Duration::from_secs(5) } else { Duration::from_secs(8) }
    }

    /// Makes trouble from [`HEALTHY`] after `begin` on, and ends it.
    pub(super) fn happen(self, servers: &mut [Server], begin: Instant) -> io::Result<()> {
        let wait_until = |after| {
            thread::sleep((begin + after).saturating_duration_since(Instant::now()));
        };
        wait_until(HEALTHY);
        let end = HEALTHY + self.lasts();
        let victim = usize::from(VICTIM);
        match self {
            Self::Kill => servers[victim].kill()?,
            Self::Stop => servers[victim].signal(Signal::SIGSTOP)?,
            Self::Refuse => servers[victim].tell(REFUSE)?,
            Self::Loss => servers.iter().try_for_each(|server| server.tell(LOSE))?,
            Self::Flap => {
                for second in [0, 4] {
                    wait_until(HEALTHY + Duration::from_secs(second));
                    servers[victim].kill()?;
                    wait_until(HEALTHY + Duration::from_secs(second + 2));
                    servers[victim].restart()?;
                }
            }
            Self::All => {
                servers.iter_mut().try_for_each(Server::kill)?;
                wait_until(end);
                servers.iter_mut().try_for_each(Server::restart)?;
            }
        }
        wait_until(end);
        if self == Self::Loss {
            servers.iter().try_for_each(|server| server.tell(RECOVER))?;
        }
        Ok(())
    }
}

/// All servers work this long first.
pub(super) const HEALTHY: Duration = Duration::from_secs(3);
/// Calls go on for this long after the trouble.
pub(super) const AFTER: Duration = Duration::from_secs(4);
const VICTIM: u8 = 1;
