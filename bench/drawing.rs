//! How the figures of the benches look.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A part of a figure.
pub(crate) type Cell<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// How a curve looks. Where curves coincide, the wider one is seen on both sides of the other.
#[derive(Clone, Copy)]
pub(crate) struct Style(pub(crate) RGBColor, pub(crate) u32);

impl Style {
    /// Returns it as a line.
    pub(crate) fn line(self) -> ShapeStyle {
        self.0.stroke_width(self.1)
    }
}

/// Colours that people who see few colours can tell apart.
pub(crate) const STYLES: [Style; 3] = [
    Style(RGBColor(0, 114, 178), 2),
    Style(RGBColor(0, 158, 115), 4),
    Style(RGBColor(240, 190, 90), 7),
];

/// Of axes, and of the lines behind the curves.
pub(crate) const GREY: RGBColor = RGBColor(90, 90, 90);
pub(crate) const LIGHT_GREY: RGBColor = RGBColor(225, 225, 225);

/// Returns the font.
pub(crate) fn text(size: i32) -> (&'static str, i32) {
    ("sans-serif", size)
}

/// Writes a line of text.
pub(crate) fn write(cell: &Cell<'_>, line: &str, at: (i32, i32), size: i32) {
    let style = text(size).into_text_style(cell).pos(Pos::new(HPos::Left, VPos::Center));
    cell.draw_text(line, &style, at).expect(NEVER_FAILS);
}

/// Why drawing cannot fail.
pub(crate) const NEVER_FAILS: &str = "writing to a string cannot fail";
