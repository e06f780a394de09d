//! Draws what was measured.

use plotters::prelude::*;

use super::drawing::{Cell, GREY, LIGHT_GREY, NEVER_FAILS, STYLES, text, write};
use super::law;
use super::samples::Samples;
use super::subjects::Growth;
use super::workers::{ON_PAPER, Workers};

/// Returns the figure as SVG.
pub(crate) fn draw(growths: &[Growth], workers: &Workers) -> String {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE).expect(NEVER_FAILS);
        let cells = root.split_evenly((3, 2));
        let points = growths.iter().flat_map(|growth| &growth.curves).flat_map(|c| &c.points);
        // One scale for all, so that they can be compared.
        let ns_max = points.map(|point| point.ns.median()).fold(0.0, f64::max) * 1.25;
        for (growth, cell) in growths.iter().zip(&cells) {
            draw_growth(growth, ns_max, cell);
        }
        draw_workers(workers, &cells[growths.len()]);
        root.present().expect(NEVER_FAILS);
    }
    svg
}

fn draw_growth(growth: &Growth, ns_max: f64, cell: &Cell<'_>) {
    let labels: Vec<_> = growth.curves[0].points.iter().map(|point| point.label.clone()).collect();
    let title = format!("A new INVITE by {}", growth.title);
    let panel = Panel { title: &title, x: growth.title, y: "ns", labels: &labels, y_max: ns_max };
    let series = growth.curves.iter().map(|curve| Series {
        name: curve.name,
        points: curve.points.iter().map(|point| &point.ns).enumerate().collect(),
        law: Vec::new(),
    });
    panel.draw(&series.collect::<Vec<_>>(), cell);
}

fn draw_workers(workers: &Workers, cell: &Cell<'_>) {
    let measured = workers.rates.len();
    let counts: Vec<usize> =
        (1..=measured).chain(ON_PAPER.into_iter().filter(|count| *count > measured)).collect();
    let labels: Vec<_> = counts.iter().map(ToString::to_string).collect();
    let one = workers.rates[0].median();
    let share = workers.serial_share().unwrap_or_default();
    let on_paper = |count: usize| one * law::speedup(count, share);
    let law: Vec<_> = counts.iter().map(|count| on_paper(*count)).enumerate().collect();
    let y_max = law.last().map_or(one, |(_, rate)| *rate) * 1.15;
    let panel = Panel {
        title: "New INVITEs a second, without sockets",
        x: "workers; the line beyond the points is on paper",
        y: "messages a second",
        labels: &labels,
        y_max,
    };
    panel.draw(
        &[Series { name: "", points: workers.rates.iter().enumerate().collect(), law }],
        cell,
    );
}

/// One diagram. Its points stand side by side at even distances, whatever their sizes.
struct Panel<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    labels: &'a [String],
    y_max: f64,
}

struct Series<'a> {
    name: &'a str,
    points: Vec<(usize, &'a Samples)>,
    law: Vec<(usize, f64)>,
}

impl Panel<'_> {
    fn draw(&self, all: &[Series<'_>], cell: &Cell<'_>) {
        let places: Vec<_> = (0..self.labels.len()).map(place).collect();
        let x = place(0) - STEP / 3..place(self.labels.len() - 1) + STEP / 3;
        let mut chart = ChartBuilder::on(cell)
            .caption(self.title, text(19))
            .margin(12)
            .margin_right(40)
            .x_label_area_size(48)
            .y_label_area_size(78)
            .build_cartesian_2d(x.with_key_points(places), 0.0..self.y_max)
            .expect("a diagram fits");
        let label = |at: &i32| self.labels[(at / STEP) as usize].clone();
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .y_labels(6)
            .x_label_formatter(&label)
            .y_label_formatter(&|value| short(*value))
            .label_style(text(15))
            .axis_desc_style(text(16))
            .axis_style(GREY)
            .bold_line_style(LIGHT_GREY)
            .light_line_style(TRANSPARENT)
            .draw()
            .expect(NEVER_FAILS);
        for (series, style) in all.iter().zip(STYLES) {
            let law = series.law.iter().map(|(at, value)| (place(*at), *value));
            let dashes = DashedLineSeries::new(law, 6, 4, GREY.stroke_width(1));
            chart.draw_series(dashes).expect(NEVER_FAILS);
            let medians = series.points.iter().map(|(at, ns)| (place(*at), ns.median()));
            let line = ShapeStyle { stroke_width: 2, ..style.line() };
            chart.draw_series(LineSeries::new(medians, line)).expect(NEVER_FAILS);
            let bars = series.points.iter().map(|(at, ns)| {
                let most = ns.most().min(self.y_max);
                ErrorBar::new_vertical(
                    place(*at),
                    ns.least(),
                    ns.median(),
                    most,
                    style.0.filled(),
                    6,
                )
            });
            chart.draw_series(bars).expect(NEVER_FAILS);
        }
        let named = all.iter().zip(STYLES).filter(|(series, _)| !series.name.is_empty());
        for ((series, style), row) in named.zip(0..) {
            let y = LEGEND_Y + 20 * row;
            let line =
                PathElement::new([(LEGEND_X, y), (LEGEND_X + 26, y)], style.0.stroke_width(3));
            cell.draw(&line).expect(NEVER_FAILS);
            write(cell, series.name, (LEGEND_X + 34, y), 15);
        }
    }
}

/// Returns a number as an axis shows it.
fn short(value: f64) -> String {
    if value >= 1e6 { format!("{} M", value / 1e6) } else { format!("{value}") }
}

/// Returns where a point stands on the horizontal axis.
fn place(number: usize) -> i32 {
    number as i32 * STEP
}

/// The distance between two points.
const STEP: i32 = 12;
const LEGEND_X: i32 = 110;
const LEGEND_Y: i32 = 62;
const SIZE: (u32, u32) = (1000, 1050);
