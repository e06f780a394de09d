//! Draws plots as SVG: axes, lines, bars. Colours are classes, so that a page gives them.

use std::fmt::Write as _;

/// One line of a plot.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
    /// The number of its colour.
    pub(super) colour: usize,
}

/// An axis: from where to where, and what is written at it.
pub(super) struct Axis {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) is_log: bool,
    pub(super) ticks: Vec<(f64, String)>,
    pub(super) name: &'static str,
}

impl Axis {
    /// One from 0 with about five round ticks.
    pub(super) fn linear(name: &'static str, most: f64, show: impl Fn(f64) -> String) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let power = 10_f64.powf((most / 4.0).log10().floor());
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * power);
        let step = steps.into_iter().find(|step| most / step <= 5.0).unwrap_or(most);
        let count = (most / step - 1e-9).ceil();
        let ticks = (0..=count as usize).map(|n| n as f64 * step);
        Self {
            from: 0.0,
            to: count * step,
            is_log: false,
            ticks: ticks.map(|value| (value, show(value))).collect(),
            name,
        }
    }

    /// One of powers of ten around these values.
    pub(super) fn log(
        name: &'static str,
        (least, most): (f64, f64),
        show: impl Fn(f64) -> String,
    ) -> Self {
        let from = least.max(1e-3).log10().floor();
        let to = most.max(1e-3).log10().ceil().max(from + 1.0);
        let ticks = (from as i32..=to as i32).map(|power| 10_f64.powi(power));
        Self {
            from: 10_f64.powf(from),
            to: 10_f64.powf(to),
            is_log: true,
            ticks: ticks.map(|value| (value, show(value))).collect(),
            name,
        }
    }

    /// Where a value lies between 0 and 1.
    fn place(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.is_log { value.max(1e-9).log10() } else { value };
        let (from, to) = (scale(self.from), scale(self.to));
        ((scale(value) - from) / (to - from)).clamp(0.0, 1.0)
    }
}

/// A plot of lines, with bars behind them if there are any.
pub(super) struct Plot {
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    /// From x to x, how high, in which colour, with which title.
    pub(super) bars: Vec<(f64, f64, f64, usize, String)>,
}

impl Plot {
    pub(super) fn draw(&self, label: &str) -> String {
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escape(label)
        );
        let x = |value| LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT);
        let y = |value| HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM);
        // Writing to a string cannot fail, here and below.
        for (value, text) in &self.y.ticks {
            let at = y(*value);
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                escape(text)
            );
        }
        for (value, text) in &self.x.ticks {
            let at = x(*value);
            let _ = writeln!(
                out,
                "<line class=\"tick\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
                 <text class=\"x\" x=\"{at:.1}\" y=\"{:.1}\">{}</text>",
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 4.0,
                HEIGHT - BOTTOM + 20.0,
                escape(text)
            );
        }
        for (from, to, height, colour, title) in &self.bars {
            let (left, right, top) = (x(*from), x(*to), y(*height));
            let base = HEIGHT - BOTTOM;
            if base - top < 0.05 {
                continue;
            }
            let _ = writeln!(
                out,
                "<rect class=\"f{colour}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" \
                 height=\"{:.1}\"><title>{}</title></rect>",
                (right - left - 1.0).max(1.0),
                base - top,
                escape(title)
            );
        }
        for line in &self.lines {
            let points: Vec<_> =
                line.points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
            let _ = writeln!(
                out,
                "<polyline class=\"s{}\" points=\"{}\"><title>{}</title></polyline>",
                line.colour,
                points.join(" "),
                escape(&line.name)
            );
        }
        let _ = write!(
            out,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{base:.1}\" y2=\"{base:.1}\"/>\n\
             <text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n</svg>\n",
            WIDTH - RIGHT,
            LEFT + (WIDTH - LEFT - RIGHT) / 2.0,
            HEIGHT - 2.0,
            escape(self.x.name),
            base = HEIGHT - BOTTOM,
        );
        out
    }

    /// The names of its lines, with their colours.
    pub(super) fn legend(&self) -> String {
        let items = self.lines.iter().map(|line| {
            format!("<span><i class=\"k{}\"></i>{}</span>", line.colour, escape(&line.name))
        });
        format!("<p class=\"legend\">{}</p>\n", items.collect::<String>())
    }
}

/// Text for HTML.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(c),
        }
    }
    out
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 48.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round() {
        let linear = |most| Axis::linear("", most, |value| value.to_string());
        assert_eq!(texts(&linear(10.0)), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(texts(&linear(1_050.0)), ["0", "250", "500", "750", "1000", "1250"]);
        assert_eq!(texts(&linear(0.0)), ["0", "0.2", "0.4", "0.6000000000000001", "0.8", "1"]);
        assert_eq!(linear(1_050.0).to, 1_250.0);
        let log = Axis::log("", (30.0, 4_000.0), |value| value.to_string());
        assert_eq!(texts(&log), ["10", "100", "1000", "10000"]);
        let one = Axis::log("", (10.0, 10.0), |value| value.to_string());
        assert_eq!(texts(&one), ["10", "100"]);
    }

    #[test]
    fn places_on_axes() {
        let linear = Axis::linear("", 10.0, |_| String::new());
        assert_eq!(
            [0.0, 5.0, 10.0, 20.0, -1.0].map(|v| linear.place(v)),
            [0.0, 0.5, 1.0, 1.0, 0.0]
        );
        let log = Axis::log("", (1.0, 10_000.0), |_| String::new());
        assert_eq!([1.0, 100.0, 10_000.0, 0.0].map(|v| log.place(v)), [0.0, 0.5, 1.0, 0.0]);
    }

    #[test]
    fn a_plot_of_a_line_and_a_bar() {
        let plot = Plot {
            x: Axis::linear("seconds", 10.0, |v| v.to_string()),
            y: Axis::linear("", 100.0, |v| v.to_string()),
            lines: vec![Line {
                name: "a<b".into(),
                points: vec![(0.0, 0.0), (10.0, 100.0)],
                colour: 2,
            }],
            bars: vec![(0.0, 5.0, 50.0, 1, "half".into()), (5.0, 10.0, 0.0, 1, "none".into())],
        };
        let svg = plot.draw("all & one");
        assert!(svg.contains("aria-label=\"all &amp; one\""));
        assert!(
            svg.contains(
                "<polyline class=\"s2\" points=\"76.0,272.0 624.0,10.0\"><title>a&lt;b</title>"
            ),
            "{svg}"
        );
        assert!(
            svg.contains(
                "<rect class=\"f1\" x=\"76.0\" y=\"141.0\" width=\"273.0\" height=\"131.0\">"
            ),
            "{svg}"
        );
        assert!(!svg.contains("none"), "a bar of nothing is not drawn");
        assert!(plot.legend().contains("<i class=\"k2\"></i>a&lt;b"));
    }
}
