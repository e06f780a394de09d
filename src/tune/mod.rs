//! What a machine should be set to for a relay, and why: `strowger tune`.
//!
//! A [`Tree`] holds the files that tell how the machine is, of this one or recorded on another.
//! [`examine`] looks at one setting after the other and changes nothing. [`apply`] writes what it
//! advises, and [`undo`] takes that back. Each advice has an id, under which `tuning/advice.md` says
//! more.

mod advice;
mod apply;
mod checks;
mod cores;
mod machine;
mod read;
mod record;
mod settings;
mod tree;

pub use advice::{Advice, Change, Finding, Severity};
pub use apply::{Fate, Undone, Written, apply, undo};
pub use checks::{CHECKS, Check};
pub use cores::Cores;
pub use machine::Plan;
pub use tree::Tree;

use checks::Look;
use machine::Machine;

/// What was found out about one setting.
#[derive(Clone, Debug)]
pub struct Row {
    /// The setting.
    pub check: &'static Check,
    /// The network card, for a setting that each has by itself.
    pub card: Option<String>,
    /// How it is.
    pub finding: Finding,
}

/// What was found out about a machine.
#[derive(Clone, Debug)]
pub struct Report {
    /// The machine in a line for each part.
    pub machine: Vec<String>,
    /// All settings, those that matter most first.
    pub rows: Vec<Row>,
}

impl Report {
    /// What should be changed.
    pub fn advice(&self) -> impl Iterator<Item = (&Row, &Advice)> {
        self.rows.iter().filter_map(|row| match &row.finding {
            Finding::Advice(advice) => Some((row, advice)),
            _ => None,
        })
    }
}

/// Looks at everything.
///
/// # Errors
/// The files are not those of a machine, or the plan names what it does not have.
pub fn examine(tree: &Tree, plan: &Plan) -> Result<Report, String> {
    let machine = Machine::new(tree, plan)?;
    let mut rows = Vec::new();
    for check in CHECKS {
        match check.look {
            Look::Machine(look) => {
                rows.push(Row { check, card: None, finding: look(&machine) });
            }
            Look::Card(look) => rows.extend(machine.cards.iter().map(|card| Row {
                check,
                card: Some(card.name.to_owned()),
                finding: look(&machine, card),
            })),
        }
    }
    rows.sort_by_key(|row| row.check.severity);
    Ok(Report { machine: machine.summary(), rows })
}
