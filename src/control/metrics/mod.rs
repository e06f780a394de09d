//! `/metrics`: the relay's figures for Prometheus.
//!
//! Everything is read when it is asked for, from the counters that the workers keep anyway, so nobody
//! who asks costs the message path anything. The text is written piece by piece.

mod counters;
mod destinations;
mod kamailio;
mod process;
#[cfg(test)]
mod tests;

use std::fmt::{self, Write};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, MetricEncoder,
    prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::commands::{Commands, Listing};
use crate::stats::Totals;

/// How the figures are asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Asked {
    /// In `OpenMetrics` instead of Prometheus' own text format.
    pub(super) open_metrics: bool,
    /// Histograms of each destination, besides those of each set.
    pub(super) histograms_by_destination: bool,
    /// Also under the names that exporters for Kamailio use.
    pub(super) kamailio_names: bool,
}

impl Asked {
    /// Reads the query of the URL and the header Accept.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub(super) fn read(query: &str, accept: &str) -> Result<Self, String> {
        let mut asked = Self {
            open_metrics: accept.contains("application/openmetrics-text"),
            ..Self::default()
        };
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part {
                "histograms=destination" => asked.histograms_by_destination = true,
                "names=kamailio" => asked.kamailio_names = true,
                _ => {
                    return Err(format!(
                        "{part:?} is unknown: write histograms=destination, names=kamailio or both"
                    ));
                }
            }
        }
        Ok(asked)
    }

    /// Returns the media type of the text.
    pub(super) fn content_type(self) -> &'static str {
        if self.open_metrics {
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        } else {
            "text/plain; version=0.0.4; charset=utf-8"
        }
    }
}

/// Writes all figures.
///
/// # Errors
/// Only if `out` does not take them.
pub(super) fn write(commands: &Commands, asked: Asked, out: &mut dyn Write) -> fmt::Result {
    let figures = Figures::read(commands, asked);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(figures));
    let mut out = out;
    if asked.open_metrics {
        text::encode(&mut out, &registry)
    } else {
        prometheus_text::encode(&mut out, &registry)
    }
}

/// The figures at one moment.
#[derive(Debug)]
struct Figures {
    asked: Asked,
    totals: Totals,
    destinations: Vec<Destination>,
    process: process::Process,
}

/// The figures of one destination.
#[derive(Debug)]
struct Destination {
    set: u32,
    /// `set`, `destination`, `address`, and what else tells it from others.
    labels: Labels,
    uri: String,
    listed: super::ListedAddress,
    weight: Option<u8>,
}

/// Names of labels and their values.
type Labels = Vec<(&'static str, String)>;

impl Figures {
    fn read(commands: &Commands, asked: Asked) -> Self {
        let process = process::Process::read(commands);
        Self {
            asked,
            totals: commands.totals(),
            destinations: destinations_of(&commands.list()),
            process,
        }
    }
}

fn destinations_of(listing: &Listing) -> Vec<Destination> {
    let mut all = Vec::new();
    for set in &listing.sets {
        for record in &set.records {
            for listed in &record.addresses {
                let mut labels = vec![
                    ("set", set.id.to_string()),
                    ("destination", record.uri.clone()),
                    ("address", listed.address.socket.to_string()),
                ];
                let own = [
                    ("socket", record.attributes.socket.map(|socket| format!("udp:{}", socket.0))),
                    ("duid", record.attributes.duid.clone()),
                ];
                labels.extend(own.into_iter().filter_map(|(name, value)| Some((name, value?))));
                all.push(Destination {
                    set: set.id,
                    labels,
                    uri: record.uri.clone(),
                    weight: record.attributes.weight,
                    listed: listed.clone(),
                });
            }
        }
    }
    all
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.process.encode(&mut encoder)?;
        counters::encode(&self.totals, &mut encoder)?;
        destinations::encode(&self.destinations, self.asked, &mut encoder)?;
        if self.asked.kamailio_names {
            kamailio::encode(&self.destinations, &mut encoder)?;
        }
        Ok(())
    }
}

/// Writes the head of a family: gauges, counters or histograms. `_total` is added to the names of
/// counters.
fn begin_family<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    kind: MetricType,
    name: &'e str,
    help: &str,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, kind)
}

#[allow(clippy::needless_pass_by_value, reason = "it is a number")]
fn gauge(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    family.encode_family(labels)?.encode_gauge(&value)
}

#[allow(clippy::needless_pass_by_value, reason = "it is a number")]
fn counter(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    value: impl EncodeCounterValue,
) -> fmt::Result {
    family.encode_family(labels)?.encode_counter::<[(&str, &str); 0], _, u64>(&value, None)
}

const NO_LABELS: [(&str, &str); 0] = [];
