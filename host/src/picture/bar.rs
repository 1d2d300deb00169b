//! Split bar: how a whole divides into named parts.

use super::{COLOURS, Canvas, Picture, readable};

/// A part of the whole.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Part {
    /// Text in the legend.
    pub name: String,
    /// Size; what is negative or not finite counts as 0.
    pub value: f64,
}

/// A bar of parts, with values and shares in its legend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SplitBar {
    /// What the picture shows.
    pub title: String,
    /// Unit of the values.
    pub unit: String,
    /// The parts, from left to right.
    pub parts: Vec<Part>,
}

const WIDTH: f64 = 760.0;

impl SplitBar {
    /// Draws the bar over its legend.
    #[must_use]
    pub fn draw(&self) -> Picture {
        let mut canvas = Canvas::default();
        let size = |p: &Part| if p.value.is_finite() { p.value.max(0.0) } else { 0.0 };
        let total: f64 = self.parts.iter().map(size).sum();
        let mut x = 4.0;
        let mut entries = Vec::new();
        for (index, part) in self.parts.iter().enumerate() {
            let share = if total > 0.0 { size(part) / total } else { 0.0 };
            let class = format!("f{}", index % COLOURS);
            let width = share * (WIDTH - 8.0);
            // A gap of paper keeps neighbours apart without relying on hue.
            canvas.rect((x, 4.0), ((width - 1.5).max(0.6), 26.0), &class);
            x += width;
            let (value, percent) = (readable(size(part)), 100.0 * share);
            entries.push((
                format!("{} {value} {} ({percent:.1} %)", part.name, self.unit),
                class,
                true,
            ));
        }
        let used = canvas.legend((4.0, 52.0), WIDTH, &entries);
        canvas.finish(WIDTH, 48.0 + used, &self.title)
    }
}
