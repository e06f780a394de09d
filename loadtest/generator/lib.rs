//! An open-loop SIP load generator, with servers that answer.
//!
//! [`Load::bind`] binds the sockets of a [`Plan`], so that a relay can be told where the servers are;
//! [`Load::run`] makes the calls and returns what was counted and timed.
//!
//! ```no_run
//! use loadtest::{Load, Plan, Watch};
//!
//! let plan = Plan { servers: vec!["127.0.0.1:0".parse()?; 2], ..Plan::default() };
//! let watch = Watch::new(plan.threads);
//! let load = Load::bind(plan)?;
//! println!("the relay's destinations: {:?}", load.servers());
//! let outcome = load.run(&["127.0.0.1:5060".parse()?], &watch)?;
//! println!("{} calls completed", outcome.record.ends.completed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts and times of a run stay far below 2^52"
)]
#![allow(
    clippy::float_cmp,
    reason = "where floats are compared, they are the very same or are not"
)]

mod engine;
pub mod flood;
mod plan;
pub mod record;
// Models of concurrency have no control thread, whose parts this uses.
#[cfg(not(loom))]
pub mod replay;
pub mod report;
mod sip;

pub use engine::{Error, Load, Outcome, PRODUCT, Schedule, Seen, Watch};
pub use plan::{Mix, Plan, PlanError, Traffic};
pub use sip::{Message, Shape, ShapeError};
