//! What a run does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use thiserror::Error;

use crate::engine::Schedule;
use crate::sip::{ROWS_MIN, Shape, ShapeError};

/// What a run does. [`Plan::default`] makes plain calls for ten seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Calls, or single requests.
    pub traffic: Traffic,
    /// Calls or requests a second.
    pub rate: f64,
    /// How long calls are started.
    pub time: Duration,
    /// How their starts are spread.
    pub schedule: Schedule,
    /// From how many ports they come.
    pub sources: usize,
    /// The address of these ports.
    pub local: IpAddr,
    /// The servers of this program; a port of 0 is replaced by a free one. None: others answer.
    pub servers: Vec<SocketAddr>,
    /// The size of first requests.
    pub shape: Shape,
    /// How long a server rings before it answers.
    pub ring: Duration,
    /// How long an answered call lasts.
    pub talk: Duration,
    /// The shares of calls that are not answered.
    pub mix: Mix,
    /// The status code of calls that are refused.
    pub refuse_code: u16,
    /// The status code of calls that fail.
    pub fail_code: u16,
    /// Whether messages are sent again as RFC 3261 says.
    pub retransmits: bool,
    /// How long a caller waits for a response before it gives up.
    pub patience: Duration,
    /// How many threads there are.
    pub threads: usize,
    /// How many calls may be open at a time; further ones are counted and not started.
    pub open_max: usize,
    /// With the same seed the same calls are made.
    pub seed: u64,
    /// Whether the outcome of each call is kept.
    pub keeps_calls: bool,
}

/// What is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Traffic {
    /// INVITE, 180, 200, ACK, BYE, 200.
    Calls,
    /// INVITE, refusal, ACK.
    Invites,
    /// OPTIONS, 200.
    Options,
}

/// Shares of calls, from 0 to 1, that do not go the usual way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mix {
    /// The caller cancels while it rings.
    pub cancel: f64,
    /// The server is busy.
    pub refuse: f64,
    /// The server fails.
    pub fail: f64,
    /// The server says nothing.
    pub silent: f64,
}

/// Why a plan cannot be carried out.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum PlanError {
    /// Something is out of its range.
    #[error("{what} is {is}: it must be {wants}")]
    Range {
        /// What.
        what: &'static str,
        /// What it is.
        is: String,
        /// What would be right.
        wants: &'static str,
    },
    /// The request cannot have that size.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            traffic: Traffic::Calls,
            rate: 1_000.0,
            time: Duration::from_secs(10),
            schedule: Schedule::Uniform,
            sources: 1,
            local: Ipv4Addr::LOCALHOST.into(),
            servers: Vec::new(),
            shape: Shape::default(),
            ring: Duration::ZERO,
            talk: Duration::ZERO,
            mix: Mix::default(),
            refuse_code: 486,
            fail_code: 503,
            retransmits: false,
            patience: Duration::from_secs(4),
            threads: 1,
            open_max: 1_000_000,
            seed: 1,
            keeps_calls: false,
        }
    }
}

impl Plan {
    /// Returns what is wrong with it.
    pub fn check(&self) -> Result<(), PlanError> {
        let range = |what, is: String, wants, is_right: bool| {
            if is_right { Ok(()) } else { Err(PlanError::Range { what, is, wants }) }
        };
        let seconds = |time: Duration| format!("{} s", time.as_secs_f64());
        let Mix { cancel, refuse, fail, silent } = self.mix;
        let shares = [cancel, refuse, fail, silent];
        let Shape { bytes, rows } = self.shape;
        range(
            "the rate",
            format!("{}/s", self.rate),
            "above 0 and at most 10,000,000/s",
            self.rate > 0.0 && self.rate <= 1e7,
        )?;
        range(
            "the time",
            seconds(self.time),
            "above 0 and at most a day",
            !self.time.is_zero() && self.time <= TIME_MAX,
        )?;
        for (what, time) in [
            ("the ring time", self.ring),
            ("the talk time", self.talk),
            ("the patience", self.patience),
        ] {
            range(what, seconds(time), "at most a day", time <= TIME_MAX)?;
        }
        range(
            "the patience",
            seconds(self.patience),
            "at least 0.01 s",
            self.patience >= Duration::from_millis(10),
        )?;
        range(
            "the number of sources",
            self.sources.to_string(),
            "1 to 16,384",
            (1..=16_384).contains(&self.sources),
        )?;
        range(
            "the number of servers",
            self.servers.len().to_string(),
            "at most 10,000",
            self.servers.len() <= 10_000,
        )?;
        range(
            "the number of threads",
            self.threads.to_string(),
            "1 to 64",
            (1..=64).contains(&self.threads),
        )?;
        range(
            "the sum of the shares",
            format!("{}", shares.iter().sum::<f64>()),
            "0 to 1, and none of them negative",
            shares.iter().all(|share| *share >= 0.0) && shares.iter().sum::<f64>() <= 1.0 + 1e-9,
        )?;
        for (what, code) in
            [("the code of refusals", self.refuse_code), ("the code of failures", self.fail_code)]
        {
            range(what, code.to_string(), "300 to 699", (300..=699).contains(&code))?;
        }
        if let Some(rows) = rows {
            range(
                "the number of header rows",
                rows.to_string(),
                "5 to 60",
                (ROWS_MIN..=60).contains(&rows),
            )?;
        }
        if let Some(bytes) = bytes {
            range("the size", format!("{bytes} bytes"), "at most 8192 bytes", bytes <= 8_192)?;
        }
        Ok(())
    }

    /// The shares of calls, where single INVITEs are calls that are all refused.
    pub(crate) fn shares(&self) -> Mix {
        match self.traffic {
            Traffic::Calls => self.mix,
            Traffic::Invites => Mix { refuse: 1.0, ..Mix::default() },
            Traffic::Options => Mix::default(),
        }
    }
}

const TIME_MAX: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_named() {
        let with = |change: fn(&mut Plan)| {
            let mut plan = Plan::default();
            change(&mut plan);
            plan.check().map_err(|error| error.to_string())
        };
        assert_eq!(Plan::default().check(), Ok(()));
        for (change, wants) in [
            ((|p| p.rate = 0.0) as fn(&mut Plan), "the rate is 0/s"),
            (|p| p.rate = f64::NAN, "the rate is NaN/s"),
            (|p| p.rate = 1.1e7, "the rate is 11000000/s"),
            (|p| p.time = Duration::ZERO, "the time is 0 s"),
            (|p| p.talk = Duration::from_hours(25), "the talk time is 90000 s"),
            (|p| p.patience = Duration::from_millis(9), "the patience is 0.009 s"),
            (|p| p.sources = 0, "the number of sources is 0"),
            (|p| p.threads = 65, "the number of threads is 65"),
            (|p| p.mix.cancel = 1.1, "the sum of the shares is 1.1"),
            (
                |p| p.mix = Mix { cancel: -0.1, refuse: 0.2, ..Mix::default() },
                "the sum of the shares",
            ),
            (|p| p.refuse_code = 200, "the code of refusals is 200"),
            (|p| p.fail_code = 700, "the code of failures is 700"),
            (|p| p.shape.rows = Some(4), "the number of header rows is 4"),
            (|p| p.shape.rows = Some(61), "the number of header rows is 61"),
            (|p| p.shape.bytes = Some(8_193), "the size is 8193 bytes"),
        ] {
            let error = with(change).unwrap_err();
            assert!(error.starts_with(wants), "{error}");
            assert!(error.contains("must be"), "{error}");
        }
        assert_eq!(with(|p| p.mix.cancel = 1.0), Ok(()));
    }

    #[test]
    fn single_invites_are_refused() {
        let plan = Plan { traffic: Traffic::Invites, ..Plan::default() };
        assert_eq!(plan.shares(), Mix { refuse: 1.0, ..Mix::default() });
        let mix = Mix { cancel: 0.5, ..Mix::default() };
        assert_eq!(Plan { mix, ..Plan::default() }.shares(), mix);
        let plan = Plan { mix, traffic: Traffic::Options, ..Plan::default() };
        assert_eq!(plan.shares(), Mix::default());
    }
}
