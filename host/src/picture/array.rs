//! A value of every neuron, laid out as the array: rows of neurons in the order of their numbers, lines between blocks, crosses
//! over neurons that failed.

use super::axes::Frame;
use super::heat::{self, Palette};
use super::{Anchor, Canvas, Picture};

/// Values over an array.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Array {
    /// What the picture shows.
    pub title: String,
    /// Value of each neuron; one that is not finite is shown grey.
    pub values: Vec<f64>,
    /// Neurons that failed.
    pub failed: Vec<bool>,
    /// Value in the middle of the colours, and the distance from it at their ends.
    pub centre: f64,
    /// See `centre`.
    pub reach: f64,
    /// Neurons of a block; 0 for an array without blocks.
    pub block: usize,
}

const WIDTH: f64 = 360.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = WIDTH - 74.0;

/// Neurons in a row: a power of two near that of an array twice as wide as high.
#[must_use]
fn columns(neurons: usize) -> usize {
    let wanted = (2.0 * neurons.max(1) as f64).sqrt();
    // Half way between two powers the smaller one, whatever rounding does.
    (1_usize << ((wanted.log2() - 1e-9).round() as u32)).min(neurons.max(1))
}

impl Array {
    /// Draws the array with its colour bar.
    #[must_use]
    pub fn draw(&self) -> Picture {
        let mut canvas = Canvas::default();
        let columns = columns(self.values.len());
        let rows = self.values.len().div_ceil(columns).max(1);
        // Cells are square where that gives a picture of reasonable size.
        let cell = (RIGHT - LEFT) / columns as f64;
        let height = (cell * rows as f64).clamp(60.0, 300.0);
        let (top, bottom) = (14.0, 14.0 + height);
        let limits = (self.centre - self.reach, self.centre + self.reach);
        heat::place(
            &mut canvas,
            ((LEFT, top), (RIGHT - LEFT, height)),
            (columns, rows),
            (Palette::Diverging, limits),
            &self.values,
        );
        let frame =
            Frame::new((LEFT, top), (RIGHT, bottom), (0.0, columns as f64), (rows as f64, 0.0));
        self.blocks(&mut canvas, &frame, columns, rows);
        for n in (0..self.values.len()).filter(|n| self.failed.get(*n) == Some(&true)) {
            let x = frame.x.at((n % columns) as f64 + 0.5);
            let y = frame.y.at((n / columns) as f64 + 0.5);
            canvas.line((x - 3.0, y - 3.0), (x + 3.0, y + 3.0), "cross");
            canvas.line((x - 3.0, y + 3.0), (x + 3.0, y - 3.0), "cross");
        }
        canvas.rect((LEFT, top), (RIGHT - LEFT, height), "frame");
        canvas.text((LEFT - 6.0, top + 9.0), Anchor::End, "small", "0");
        let last = ((rows - 1) * columns).to_string();
        canvas.text((LEFT - 6.0, bottom), Anchor::End, "small", &last);
        canvas.text_up((LEFT - 30.0, (top + bottom) / 2.0), "first of the row");
        frame.draw_x(&mut canvas, "neuron in the row");
        let bar = (RIGHT + 14.0, top, bottom);
        heat::bar(&mut canvas, bar, Palette::Diverging, limits);
        canvas.finish(WIDTH, bottom + 46.0, &self.title)
    }

    /// Lines between blocks that are whole rows.
    fn blocks(&self, canvas: &mut Canvas, frame: &Frame, columns: usize, rows: usize) {
        if self.block == 0 || !self.block.is_multiple_of(columns) {
            return;
        }
        let height = self.block / columns;
        for row in (height..rows).step_by(height) {
            let y = frame.y.at(row as f64);
            canvas.line((LEFT - 4.0, y), (RIGHT + 4.0, y), "axis");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_about_twice_as_wide_as_high() {
        assert_eq!((columns(512), columns(128), columns(64)), (32, 16, 8));
        assert_eq!((columns(1), columns(0), columns(3)), (1, 1, 2));
    }

    #[test]
    fn blocks_and_failures_are_marked() {
        let mut array =
            Array { values: vec![1.0; 512], reach: 1.0, block: 128, ..Array::default() };
        array.failed = vec![false; 512];
        array.failed[17] = true;
        let svg = array.draw().inline();
        assert_eq!(svg.matches("class=\"cross\"").count(), 2);
        let lines = |a: &Array| a.draw().inline().matches("class=\"axis\"").count();
        let with = lines(&array);
        array.block = 0;
        assert_eq!(with, lines(&array) + 3, "three lines between four blocks");
    }
}
