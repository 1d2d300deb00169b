//! Pictures as plain SVG: small marks, no fonts, no scripts, the same bytes for the same data.
//!
//! Each mark is a struct of numbers with a `draw` that gives a [`Picture`]. Colours come from style
//! classes ([`STYLE`]) so that one picture reads on light and dark paper; the palette is the one of
//! Okabe & Ito, which stays distinct under the common colour-vision deficiencies, and series differ
//! in dash or marker as well.

mod array;
mod axes;
mod bar;
mod before_after;
mod confusion;
mod heat;
mod histogram;
mod line;
mod plot;
mod raster;
mod trace;

use std::fmt::Write as _;

pub use array::Array;
pub use bar::{Part, SplitBar};
pub use before_after::BeforeAfter;
pub use confusion::ConfusionMatrix;
pub use heat::{HeatMap, Palette};
pub use histogram::{HistogramChart, HistogramSeries};
pub use line::{LineChart, Series, Spread};
pub use plot::{Layer, Mark, Plot};
pub use raster::{Raster, RasterPanel};
pub use trace::{Trace, TraceChart};

/// Style sheet of all marks, for a page that holds pictures or for a picture alone.
pub const STYLE: &str = include_str!("picture/style.css");

/// Number of distinct series colours.
pub const COLOURS: usize = 6;

/// A finished drawing of `width` × `height` user units (pixels at natural size).
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    width: f64,
    height: f64,
    label: String,
    body: String,
}

impl Picture {
    /// Natural width and height in pixels.
    #[must_use]
    pub fn size(&self) -> (f64, f64) {
        (self.width, self.height)
    }

    /// The `svg` element for a page that carries [`STYLE`].
    #[must_use]
    pub fn inline(&self) -> String {
        self.element("")
    }

    /// A complete SVG file with its own style.
    #[must_use]
    pub fn standalone(&self) -> String {
        let paper = r#"<rect class="paper" width="100%" height="100%"/>"#;
        format!("{}\n", self.element(&format!("<style>{STYLE}</style>{paper}")))
    }

    fn element(&self, head: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"mark\" viewBox=\"0 0 {w} {h}\" \
             width=\"{w}\" height=\"{h}\" role=\"img\" aria-label=\"{label}\">{head}\n{body}</svg>",
            w = number(self.width),
            h = number(self.height),
            label = escape(&self.label),
            body = self.body,
        )
    }
}

/// Text that is safe in an element and in an attribute.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A coordinate with two decimals at most; 0 for what is not finite.
fn number(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A value for people: about three significant digits, thin spaces between thousands.
#[must_use]
pub fn readable(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    let decimals = match size {
        0.0 => 0,
        s if s >= 100.0 => 0,
        s if s >= 10.0 => 1,
        s if s >= 1.0 => 2,
        s if s >= 1e-3 => (2 - s.log10().floor() as i32) as usize,
        _ => return format!("{value:.1e}"),
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let rest = rest.trim_end_matches('0');
    let digits = whole.trim_start_matches('-');
    let mut grouped = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push('\u{2009}');
        }
        grouped.push(c);
    }
    let sign = if value < 0.0 { "−" } else { "" };
    if rest.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{rest}") }
}

/// Width in pixels that a text takes at the labels' size: an estimate, fonts differ.
fn text_width(text: &str) -> f64 {
    6.6 * text.chars().count() as f64
}

/// Where a text stands relative to its point.
#[derive(Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

/// The elements of a picture while it is drawn.
#[derive(Default)]
struct Canvas {
    body: String,
}

impl Canvas {
    fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(number);
        self.raw(&format!(
            "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"
        ));
    }

    fn rect(&mut self, at: (f64, f64), size: (f64, f64), class: &str) {
        let [x, y, w, h] = [at.0, at.1, size.0.max(0.0), size.1.max(0.0)].map(number);
        self.raw(&format!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"/>"
        ));
    }

    fn circle(&mut self, at: (f64, f64), radius: f64, class: &str) {
        let [x, y, r] = [at.0, at.1, radius].map(number);
        self.raw(&format!("<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{r}\"/>"));
    }

    fn path(&mut self, data: &str, class: &str) {
        if !data.is_empty() {
            self.raw(&format!("<path class=\"{class}\" d=\"{data}\"/>"));
        }
    }

    /// A line through the points; a point that is not finite interrupts it.
    fn curve(&mut self, points: impl IntoIterator<Item = (f64, f64)>, class: &str) {
        let mut data = String::new();
        let mut pen_down = false;
        for (x, y) in points {
            let finite = x.is_finite() && y.is_finite();
            if finite {
                let pen = if pen_down { 'L' } else { 'M' };
                let _ = write!(data, "{pen}{} {}", number(x), number(y));
            }
            pen_down = finite;
        }
        self.path(&data, class);
    }

    fn text(&mut self, at: (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " mid",
            Anchor::End => " end",
        };
        let [x, y] = [at.0, at.1].map(number);
        let text = escape(text);
        self.raw(&format!("<text class=\"{class}{anchor}\" x=\"{x}\" y=\"{y}\">{text}</text>"));
    }

    /// A text that reads upwards, centred at its point.
    fn text_up(&mut self, at: (f64, f64), text: &str) {
        if text.is_empty() {
            return;
        }
        let [x, y] = [at.0, at.1].map(number);
        let text = escape(text);
        self.raw(&format!(
            "<text class=\"name mid\" transform=\"translate({x} {y}) rotate(-90)\">{text}</text>"
        ));
    }

    /// Entries `(text, classes of the sample stroke, filled)` side by side from `(x, y)`, wrapped at
    /// `right`; gives the height that was used.
    fn legend(&mut self, at: (f64, f64), right: f64, entries: &[(String, String, bool)]) -> f64 {
        let (mut x, mut y) = at;
        for (text, class, filled) in entries {
            let width = 26.0 + text_width(text) + 14.0;
            if x + width > right && x > at.0 {
                (x, y) = (at.0, y + 18.0);
            }
            if *filled {
                self.rect((x + 4.0, y - 9.0), (12.0, 10.0), class);
            } else {
                self.line((x, y - 4.0), (x + 20.0, y - 4.0), class);
            }
            self.text((x + 26.0, y), Anchor::Start, "tick", text);
            x += width;
        }
        y - at.1 + 18.0
    }

    fn raw(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }

    fn finish(self, width: f64, height: f64, label: &str) -> Picture {
        Picture { width, height, label: label.to_owned(), body: self.body }
    }
}

#[cfg(test)]
mod tests;
