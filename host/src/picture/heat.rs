//! Heat map: a matrix as an image of one pixel per cell, with a colour bar.
//!
//! The cells are an indexed PNG inside the SVG: 60 000 synapses as rectangles would be megabytes.

use std::io::Write as _;

use super::axes::{Frame, range, tick_text, ticks};
use super::{Anchor, Canvas, Picture, number};

/// How values become colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Palette {
    /// Blue over pale to orange, symmetric about 0 (or about the middle, if one is given).
    #[default]
    Diverging,
    /// Pale to dark blue, from the least to the greatest value.
    Sequential,
}

/// A matrix of values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeatMap {
    /// What the picture shows.
    pub title: String,
    /// Name of the values, with their unit.
    pub value_label: String,
    /// Name of the columns.
    pub x_label: String,
    /// Name of the rows.
    pub y_label: String,
    /// Number of columns.
    pub columns: usize,
    /// The values, row by row from the top; one that is not finite is shown grey.
    pub values: Vec<f64>,
    /// Colours.
    pub palette: Palette,
    /// Value in the middle of a diverging palette.
    pub centre: f64,
    /// Range that the columns stand for, and the rows from top to bottom; without it they are numbered.
    pub extent: Option<((f64, f64), (f64, f64))>,
    /// A line is drawn after so many columns (the blocks of an array); 0 for none.
    pub block: usize,
}

const WIDTH: f64 = 560.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = WIDTH - 92.0;
/// Entries of the colour table; the last one is for cells without a value.
const LEVELS: usize = 255;

impl HeatMap {
    /// Draws the map with its colour bar.
    #[must_use]
    pub fn draw(&self) -> Picture {
        let mut canvas = Canvas::default();
        let columns = self.columns.max(1);
        let rows = self.values.len().div_ceil(columns).max(1);
        let aspect = rows as f64 / columns as f64;
        let height = ((RIGHT - LEFT) * aspect).clamp(84.0, 300.0);
        let (top, bottom) = (12.0, 12.0 + height);
        let limits = self.limits();
        let area = ((LEFT, top), (RIGHT - LEFT, height));
        place(&mut canvas, area, (columns, rows), (self.palette, limits), &self.values);
        let numbers = ((0.0, columns as f64), (rows as f64, 0.0));
        let spans = match self.extent {
            Some((x, (first, last))) => (x, (last, first)),
            None => numbers,
        };
        let frame = Frame::new((LEFT, top), (RIGHT, bottom), spans.0, spans.1);
        if self.block > 0 {
            for edge in (self.block..columns).step_by(self.block) {
                let x = frame.x.at(edge as f64);
                canvas.line((x, top - 4.0), (x, bottom + 2.0), "axis");
            }
        }
        canvas.rect((LEFT, top), (RIGHT - LEFT, height), "frame");
        let ends = match self.extent {
            Some((_, ends)) => [ends.0, ends.1].map(|end| tick_text(end, 1)),
            None => ["0".to_owned(), (rows - 1).to_string()],
        };
        canvas.text((LEFT - 7.0, top + 9.0), Anchor::End, "small", &ends[0]);
        canvas.text((LEFT - 7.0, bottom), Anchor::End, "small", &ends[1]);
        canvas.text_up((LEFT - 46.0 + 12.0, (top + bottom) / 2.0), &self.y_label);
        frame.draw_x(&mut canvas, &self.x_label);
        self.colour_bar(&mut canvas, top, bottom, limits);
        canvas.finish(WIDTH, bottom + 46.0, &self.title)
    }

    /// Values at the two ends of the colours.
    fn limits(&self) -> (f64, f64) {
        let (low, high) = range(self.values.iter().copied());
        match self.palette {
            Palette::Sequential => (low, high),
            Palette::Diverging => {
                let reach = (high - self.centre).abs().max((self.centre - low).abs());
                (self.centre - reach, self.centre + reach)
            }
        }
    }

    fn colour_bar(&self, canvas: &mut Canvas, top: f64, bottom: f64, limits: (f64, f64)) {
        bar(canvas, (RIGHT + 16.0, top, bottom), self.palette, limits);
        let at = (WIDTH - 2.0, bottom + 35.0);
        canvas.text(at, Anchor::End, "tick", &self.value_label);
    }
}

/// Corner and size of an area in pixels.
type Area = ((f64, f64), (f64, f64));

/// Draws values, row by row from the top, as an image of `(columns, rows)`; colours end at the limits.
pub(super) fn place(
    canvas: &mut Canvas,
    area: Area,
    (columns, rows): (usize, usize),
    (palette, (low, high)): (Palette, (f64, f64)),
    values: &[f64],
) {
    let level = |v: f64| ((v - low) / (high - low) * (LEVELS - 1) as f64).round() as u8;
    let mut cells: Vec<u8> = (values.iter())
        .map(|v| if v.is_finite() { level(v.clamp(low, high)) } else { LEVELS as u8 })
        .collect();
    cells.resize(columns * rows, LEVELS as u8);
    image(canvas, area, palette, (columns, rows), &cells);
}

fn image(
    canvas: &mut Canvas,
    (at, size): Area,
    palette: Palette,
    (columns, rows): (usize, usize),
    cells: &[u8],
) {
    let [x, y, w, h] = [at.0, at.1, size.0, size.1].map(number);
    let data = base64(&png(columns, rows, &palette.table(), cells));
    canvas.raw(&format!(
        "<image x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" preserveAspectRatio=\"none\" \
         style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{data}\"/>"
    ));
}

/// Draws the bar that tells values from colours, from `(x, top)` to `bottom`.
pub(super) fn bar(
    canvas: &mut Canvas,
    (x, top, bottom): (f64, f64, f64),
    palette: Palette,
    limits: (f64, f64),
) {
    let cells: Vec<u8> = (0..LEVELS as u8).rev().collect();
    image(canvas, ((x, top), (12.0, bottom - top)), palette, (1, LEVELS), &cells);
    let frame = Frame::new((x, top), (x + 12.0, bottom), (0.0, 1.0), limits);
    let (values, decimals) = ticks(limits, if bottom - top > 100.0 { 5 } else { 3 });
    for value in values {
        let at = (x + 16.0, frame.y.at(value) + 4.0);
        canvas.text(at, Anchor::Start, "tick", &tick_text(value, decimals));
    }
}

impl Palette {
    /// Red, green, blue of each level, then grey.
    fn table(self) -> Vec<u8> {
        let stops: &[[f64; 3]] = match self {
            Self::Diverging => &[
                [5.0, 72.0, 122.0],
                [86.0, 164.0, 214.0],
                [246.0, 244.0, 240.0],
                [236.0, 150.0, 88.0],
                [158.0, 56.0, 4.0],
            ],
            Self::Sequential => &[[245.0, 247.0, 250.0], [86.0, 164.0, 214.0], [4.0, 44.0, 84.0]],
        };
        let mut table = Vec::with_capacity((LEVELS + 1) * 3);
        for level in 0..LEVELS {
            let place = level as f64 / (LEVELS - 1) as f64 * (stops.len() - 1) as f64;
            let first = (place as usize).min(stops.len() - 2);
            for (a, b) in stops[first].iter().zip(stops[first + 1]) {
                table.push((a + (b - a) * (place - first as f64)).round() as u8);
            }
        }
        table.extend([150, 150, 150]);
        table
    }
}

/// An indexed 8-bit PNG (W3C PNG specification, second edition).
fn png(columns: usize, rows: usize, table: &[u8], cells: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(rows * (columns + 1));
    for row in cells.chunks_exact(columns) {
        lines.push(0); // no filter
        lines.extend_from_slice(row);
    }
    let header = [(columns as u32).to_be_bytes(), (rows as u32).to_be_bytes()].concat();
    let header = [header.as_slice(), &[8, 3, 0, 0, 0]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in
        [(b"IHDR", header), (b"PLTE", table.to_vec()), (b"IDAT", zlib(&lines)), (b"IEND", vec![])]
    {
        let mut sum = flate2::Crc::new();
        sum.update(kind);
        sum.update(&data);
        file.extend((data.len() as u32).to_be_bytes());
        file.extend_from_slice(kind);
        file.extend(data);
        file.extend(sum.sum().to_be_bytes());
    }
    file
}

#[allow(clippy::expect_used, reason = "writing to memory does not fail")]
fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(bytes).expect("memory takes bytes");
    packer.finish().expect("memory takes bytes")
}

/// Base 64 with padding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0, |w, i| w << 8 | u32::from(chunk.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= chunk.len() { digit as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_its_standard() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn palettes_have_a_colour_for_every_byte() {
        for palette in [Palette::Diverging, Palette::Sequential] {
            assert_eq!(palette.table().len(), 768);
        }
    }
}
