//! The records of a source as they come, good and bad, until it is known what becomes of them.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use super::row::Mistake;
use crate::config::{LoadMode, Problem, in_order};
use crate::destination::{Host, Origin, Record, SocketName};

/// What makes two records the same.
type Identity = (u32, Host, u16, Option<SocketName>, Option<String>);

/// Records of one source, and what is wrong with the others.
#[derive(Debug)]
pub(super) struct Records {
    source: String,
    taken: Vec<Record>,
    seen: HashMap<Identity, Origin>,
    problems: Vec<Problem>,
}

/// The records that are kept.
#[derive(Debug)]
pub(super) struct Kept {
    /// Sets ascending, in each the highest priority first, then as they came.
    pub(super) records: Vec<Record>,
    /// What is wrong with those that are left out.
    pub(super) left_out: Vec<Problem>,
}

impl Records {
    /// None yet; `source` is what problems call it.
    pub(super) fn new(source: &str) -> Self {
        let source = source.to_owned();
        Self { source, taken: Vec::new(), seen: HashMap::new(), problems: Vec::new() }
    }

    /// Takes one, unless it is there already.
    pub(super) fn take(&mut self, record: Record) {
        let identity = (
            record.set,
            record.uri.host.clone(),
            record.uri.port_or_default(),
            record.attributes.socket,
            record.attributes.duid.clone(),
        );
        let Some(first) = self.seen.get(&identity) else {
            self.seen.insert(identity, record.origin);
            self.taken.push(record);
            return;
        };
        let first = match first {
            Origin::Line(line) => format!("on line {line}"),
            origin => format!("in {origin}"),
        };
        let what = format!("{} is in set {} already, {first}", record.uri.text, record.set);
        self.wrong(record.origin, vec![(what, "list a destination once in a set".into())]);
    }

    /// Notes what is wrong with one that cannot be taken.
    pub(super) fn wrong(&mut self, origin: Origin, mistakes: Vec<Mistake>) {
        let source = &self.source;
        let told = mistakes
            .into_iter()
            .map(|(what, right)| Problem::of_record(source, origin, what, right));
        self.problems.extend(told);
    }

    /// Gives back those with which something is wrong by this check.
    pub(super) fn check(&mut self, mut check: impl FnMut(&Record) -> Option<Mistake>) {
        for record in std::mem::take(&mut self.taken) {
            match check(&record) {
                None => self.taken.push(record),
                Some(mistake) => self.wrong(record.origin, vec![mistake]),
            }
        }
    }

    /// All of them, or those that are right, as the operator wants it.
    ///
    /// # Errors
    /// With [`LoadMode::All`] everything that is wrong.
    pub(super) fn finish(self, mode: LoadMode) -> Result<Kept, Vec<Problem>> {
        let Self { taken: mut records, problems, .. } = self;
        let left_out = if problems.is_empty() { problems } else { in_order(problems) };
        if mode == LoadMode::All && !left_out.is_empty() {
            return Err(left_out);
        }
        // The sort is stable: what is equal stays as it came.
        records.sort_by_key(|record| (record.set, Reverse(record.priority)));
        Ok(Kept { records, left_out })
    }
}

/// Names of attributes that we do not know, each once.
pub(super) fn unknown_attributes(records: &[Record]) -> Vec<String> {
    let names = records.iter().flat_map(|record| &record.attributes.unknown);
    names.collect::<BTreeSet<_>>().into_iter().cloned().collect()
}
