//! Confusion matrix with its numbers.

use super::{Anchor, Canvas, Picture, number, text_width};

/// How often a sample of one class was taken for another.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ConfusionMatrix {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Counts `[true class, decision]`, one row after the other.
    pub counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// Draws the matrix; a cell is as dark as its share of the true class.
    #[must_use]
    pub fn draw(&self) -> Picture {
        let mut canvas = Canvas::default();
        let n = self.classes.len();
        let cell = if n <= 4 { 64.0 } else { 40.0 };
        let longest = self.classes.iter().map(|c| text_width(c)).fold(0.0, f64::max);
        let (left, top) = (30.0 + longest, 42.0 + if slanted(longest, cell) { 30.0 } else { 0.0 });
        for (row, counts) in self.counts.chunks(n.max(1)).take(n).enumerate() {
            let total = counts.iter().sum::<u64>().max(1) as f64;
            let y = top + row as f64 * cell;
            let middle = y + cell / 2.0 + 4.0;
            canvas.text((left - 8.0, middle), Anchor::End, "name", &self.classes[row]);
            for (column, &count) in counts.iter().enumerate() {
                let x = left + column as f64 * cell;
                draw_cell(&mut canvas, (x, y), cell, count, count as f64 / total);
            }
        }
        for (column, name) in self.classes.iter().enumerate() {
            let x = left + (column as f64 + 0.5) * cell;
            if slanted(longest, cell) {
                let [x, y] = [x - 4.0, top - 8.0].map(number);
                let name = super::escape(name);
                canvas.raw(&format!(
                    "<text class=\"name\" transform=\"translate({x} {y}) rotate(-40)\">{name}</text>"
                ));
            } else {
                canvas.text((x, top - 8.0), Anchor::Middle, "name", name);
            }
        }
        let size = n as f64 * cell;
        canvas.text((left + size / 2.0, 14.0), Anchor::Middle, "tick", "decision");
        canvas.text_up((12.0, top + size / 2.0), "true class");
        let width = left + size + if slanted(longest, cell) { 40.0 } else { 10.0 };
        canvas.finish(width, top + size + 10.0, "confusion matrix")
    }
}

/// Whether names are too long to stand side by side.
fn slanted(longest: f64, cell: f64) -> bool {
    longest > cell - 4.0
}

fn draw_cell(canvas: &mut Canvas, (x, y): (f64, f64), cell: f64, count: u64, share: f64) {
    let size = number(cell - 2.0);
    // The square root keeps rare errors visible beside the diagonal.
    let opacity = number(0.04 + 0.96 * share.sqrt());
    let [left, top] = [x + 1.0, y + 1.0].map(number);
    canvas.raw(&format!(
        "<rect class=\"cell\" fill-opacity=\"{opacity}\" rx=\"3\" x=\"{left}\" y=\"{top}\" \
         width=\"{size}\" height=\"{size}\"/>"
    ));
    if count > 0 {
        let class = if share.sqrt() > 0.55 { "on" } else { "name" };
        let at = (x + cell / 2.0, y + cell / 2.0 + 4.0);
        canvas.text(at, Anchor::Middle, class, &count.to_string());
    }
}
