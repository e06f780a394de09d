//! Draws what was measured.

use plotters::prelude::*;

use super::Curve;
use super::drawing::{Cell, GREY, LIGHT_GREY, NEVER_FAILS, STYLES, text, write};
use super::measure::Measured;

/// Returns the figure as SVG.
pub(crate) fn draw(curves: &[Curve]) -> String {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE).expect(NEVER_FAILS);
        let cells = root.split_evenly((3, 2));
        for (panel, cell) in PANELS.iter().zip(&cells) {
            panel.draw(curves, cell);
        }
        legend(curves, &cells[PANELS.len()]);
        root.present().expect(NEVER_FAILS);
    }
    svg
}

/// One of the diagrams, over the number of destinations.
struct Panel {
    title: &'static str,
    unit: &'static str,
    value: fn(&Measured) -> f64,
}

const PANELS: [Panel; 5] = [
    Panel {
        title: "Spread: the busiest destination above the mean",
        unit: "% of the mean",
        value: |point| point.spread_percent,
    },
    Panel {
        title: "One becomes inactive: most extra calls for another",
        unit: "% of the mean",
        value: |point| point.extra_percent,
    },
    Panel {
        title: "One becomes inactive: calls that move",
        unit: "% of all calls",
        value: |point| point.inactive_percent,
    },
    Panel {
        title: "One is removed: calls that move",
        unit: "% of all calls",
        value: |point| point.removed_percent,
    },
    Panel {
        title: "One is added: calls that move",
        unit: "% of all calls",
        value: |point| point.added_percent,
    },
];

impl Panel {
    fn draw(&self, curves: &[Curve], cell: &Cell<'_>) {
        let points = curves.iter().flat_map(|curve| &curve.points);
        let most = points.map(self.value).fold(0.0, f64::max);
        // The movements have one scale, so that they can be compared.
        let y_max = if self.unit == "% of all calls" { 100.0 } else { most * 1.1 };
        let x_ticks = vec![2, 8, 16, 24, 32, 40, 48, 56, 64];
        let mut chart = ChartBuilder::on(cell)
            .caption(self.title, text(19))
            .margin(12)
            .margin_right(24)
            .x_label_area_size(48)
            .y_label_area_size(62)
            .build_cartesian_2d((2..64).with_key_points(x_ticks), 0.0..y_max)
            .expect("a diagram fits");
        chart
            .configure_mesh()
            .x_desc("destinations")
            .y_desc(self.unit)
            .y_labels(6)
            .y_label_formatter(&|percent| format!("{percent}"))
            .label_style(text(15))
            .axis_desc_style(text(16))
            .axis_style(GREY)
            .bold_line_style(LIGHT_GREY)
            .light_line_style(TRANSPARENT)
            .draw()
            .expect(NEVER_FAILS);
        for (curve, style) in curves.iter().zip(STYLES).rev() {
            let points = curve.points.iter();
            let points = points.map(|point| (i32::from(point.destinations), (self.value)(point)));
            chart.draw_series(LineSeries::new(points, style.line())).expect(NEVER_FAILS);
        }
    }
}

fn legend(curves: &[Curve], cell: &Cell<'_>) {
    let mut y = 60;
    for (curve, style) in curves.iter().zip(STYLES) {
        let line = PathElement::new([(70, y), (110, y)], style.line());
        cell.draw(&line).expect(NEVER_FAILS);
        write(cell, curve.name, (124, y), 18);
        y += 32;
    }
    for line in NOTES {
        y += 24;
        write(cell, line, (70, y), 16);
    }
}

const NOTES: [&str; 6] = [
    "Where curves coincide, the thinner one is in front.",
    "A million Call-IDs in eight formats of SIP stacks,",
    "destinations of the same weight.",
    "The destination that is removed or becomes inactive",
    "is the busiest one.",
    "Drawn by: cargo bench --bench spread",
];

const SIZE: (u32, u32) = (1000, 1050);
