//! The state of destinations under the names that exporters for Kamailio give it, so that boards and
//! alerts made for them keep working.

use std::collections::HashSet;
use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::{Destination, begin_family, gauge};

pub(super) fn encode(all: &[Destination], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let labels = |to: &Destination| {
        vec![
            ("destination", to.uri.clone()),
            ("set_id", to.set.to_string()),
            ("set_name", String::new()),
        ]
    };
    // They know a URI once. The first address is what dispatcher.list shows.
    let mut seen = HashSet::new();
    let firsts: Vec<_> = all.iter().filter(|to| seen.insert((to.set, &to.uri))).collect();
    let mut family = begin_family(
        encoder,
        MetricType::Gauge,
        "kamailio_dispatcher_list_target",
        "Target status.",
    )?;
    for to in &firsts {
        let is_up = to.listed.flags.letters().starts_with('A');
        gauge(&mut family, &labels(to), u64::from(is_up))?;
    }
    let name = "kamailio_dispatcher_list_target_flags_status";
    let mut family = begin_family(encoder, MetricType::Gauge, name, "Target flags.")?;
    for to in &firsts {
        let flags = [("flags", to.listed.flags.letters())];
        gauge(&mut family, &(labels(to), flags), 1_u64)?;
    }
    Ok(())
}
