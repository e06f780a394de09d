//! No attack: the results of undisturbed calls.

use std::io;
use std::thread;
use std::time::Duration;

use super::super::stage::{Row, Stage};

pub(super) fn run(stage: &mut Stage) -> io::Result<Vec<Row>> {
    let begin = stage.subject.cpu_ns()?;
    thread::sleep(Duration::from_secs(5));
    let percent = (stage.subject.cpu_ns()? - begin) as f64 / 5e7;
    Ok(vec![Row::new("processor", "", format!("{percent:.1} % of a core"), None)])
}
