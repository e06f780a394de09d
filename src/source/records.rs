//! The records of a source as they come, good and bad, until it is known what becomes of them.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use super::row::{Mistake, Reading};
use crate::config::{LoadMode, Problem, in_order};
use crate::destination::{Host, Origin, Record, SocketName};

/// What makes two records the same.
type Identity = (u32, Host, u16, Option<SocketName>, Option<String>, Option<String>);

/// Records of one source, and what is wrong with the others.
#[derive(Debug)]
pub(super) struct Records {
    source: String,
    taken: Vec<Record>,
    seen: HashMap<Identity, Origin>,
    /// What is wrong with those that cannot be used.
    problems: Vec<Problem>,
    /// What is wrong with those that can.
    tolerable: Vec<Problem>,
}

/// The records that are kept.
#[derive(Debug)]
pub(super) struct Kept {
    /// Sets ascending, in each the highest priority first, then as they came.
    pub(super) records: Vec<Record>,
    /// What is wrong with those that are left out.
    pub(super) left_out: Vec<Problem>,
    /// What is wrong with those that are used all the same.
    pub(super) tolerated: Vec<Problem>,
}

impl Records {
    /// None yet; `source` is what problems call it.
    pub(super) fn new(source: &str) -> Self {
        Self {
            source: source.to_owned(),
            taken: Vec::new(),
            seen: HashMap::new(),
            problems: Vec::new(),
            tolerable: Vec::new(),
        }
    }

    /// Takes what was read at a place.
    pub(super) fn read(&mut self, origin: Origin, reading: Reading) {
        let Reading { record, mistakes } = reading;
        let Some(record) = record else { return self.wrong(origin, mistakes) };
        let told = problems(&self.source, origin, mistakes);
        self.tolerable.extend(told);
        self.take(record);
    }

    /// Takes one, unless it is there already.
    fn take(&mut self, record: Record) {
        let identity = (
            record.set,
            record.uri.host.clone(),
            record.uri.port_or_default(),
            record.attributes.socket,
            record.attributes.sockname.clone(),
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
        let told = problems(&self.source, origin, mistakes);
        self.problems.extend(told);
    }

    /// Gives back those with which something is wrong by this check.
    pub(super) fn check(&mut self, mut check: impl FnMut(&mut Record) -> Option<Mistake>) {
        for mut record in std::mem::take(&mut self.taken) {
            match check(&mut record) {
                None => self.taken.push(record),
                Some(mistake) => self.wrong(record.origin, vec![mistake]),
            }
        }
    }

    /// All of them, or those that can be used, as the operator wants it.
    ///
    /// # Errors
    /// With [`LoadMode::All`] everything that is wrong.
    pub(super) fn finish(self, mode: LoadMode) -> Result<Kept, Vec<Problem>> {
        let Self { taken: mut records, mut problems, tolerable, .. } = self;
        if mode == LoadMode::All && !(problems.is_empty() && tolerable.is_empty()) {
            problems.extend(tolerable);
            return Err(in_order(problems));
        }
        // The sort is stable: what is equal stays as it came.
        records.sort_by_key(|record| (record.set, Reverse(record.priority)));
        Ok(Kept { records, left_out: in_order(problems), tolerated: in_order(tolerable) })
    }
}

fn problems(
    source: &str,
    origin: Origin,
    mistakes: Vec<Mistake>,
) -> impl Iterator<Item = Problem> + use<'_> {
    let told = mistakes.into_iter();
    told.map(move |(what, right)| Problem::of_record(source, origin, what, right))
}

/// Names of attributes that we do not know, each once.
pub(super) fn unknown_attributes(records: &[Record]) -> Vec<String> {
    let names = records.iter().flat_map(|record| &record.attributes.unknown);
    names.collect::<BTreeSet<_>>().into_iter().cloned().collect()
}
