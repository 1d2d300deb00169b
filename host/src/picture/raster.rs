//! Spike raster: panels of units over a common time axis, one tick a spike.

use std::fmt::Write as _;

use super::axes::Frame;
use super::{Anchor, COLOURS, Canvas, Picture, number};

/// The units of one layer.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RasterPanel {
    /// Name of the layer, such as `input`.
    pub name: String,
    /// Number of units.
    pub units: usize,
    /// Spikes as `(time in µs, unit)`; those outside the window or the units are left out.
    pub spikes: Vec<(f32, u32)>,
}

/// Spikes of several layers over the same time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Raster {
    /// What the picture shows.
    pub title: String,
    /// Length of the window in µs.
    pub duration_us: f64,
    /// Panels from top to bottom.
    pub panels: Vec<RasterPanel>,
}

const WIDTH: f64 = 560.0;
const LEFT: f64 = 64.0;
const GAP: f64 = 24.0;

/// Height of a panel: a few pixels per unit, within what a page bears.
fn height_of(panel: &RasterPanel) -> f64 {
    (panel.units as f64 * 6.0).clamp(42.0, 130.0)
}

impl Raster {
    /// Draws the panels, with one colour each.
    #[must_use]
    pub fn draw(&self) -> Picture {
        let mut canvas = Canvas::default();
        let mut top = 22.0;
        let range = (0.0, if self.duration_us > 0.0 { self.duration_us } else { 1.0 });
        for (index, panel) in self.panels.iter().enumerate() {
            let bottom = top + height_of(panel);
            let units = (0.0, panel.units.max(1) as f64);
            let frame = Frame::new((LEFT, top), (WIDTH - 16.0, bottom), range, units);
            let title = format!("{} · {} spikes", panel.name, panel.spikes.len());
            canvas.text((LEFT, top - 6.0), Anchor::Start, "name", &title);
            canvas.rect((LEFT, top), (WIDTH - 16.0 - LEFT, bottom - top), "frame");
            canvas.text((LEFT - 7.0, top + 9.0), Anchor::End, "small", &panel.units.to_string());
            canvas.text((LEFT - 7.0, bottom), Anchor::End, "small", "0");
            canvas.path(&ticks(panel, &frame, range.1), &format!("spike k{}", index % COLOURS));
            if index + 1 == self.panels.len() {
                frame.draw_x(&mut canvas, "time (µs)");
            }
            top = bottom + GAP;
        }
        canvas.finish(WIDTH, top - GAP + 46.0, &self.title)
    }
}

/// One vertical stroke per spike.
fn ticks(panel: &RasterPanel, frame: &Frame, duration: f64) -> String {
    let row = (height_of(panel) / panel.units.max(1) as f64 * 0.8).max(4.5);
    let inside = |s: &&(f32, u32)| {
        (0.0..=duration).contains(&f64::from(s.0)) && (s.1 as usize) < panel.units
    };
    let mut data = String::new();
    for &(time, unit) in panel.spikes.iter().filter(inside) {
        let (x, y) = (frame.x.at(f64::from(time)), frame.y.at(f64::from(unit) + 0.5));
        let _ = write!(data, "M{} {}v{}", number(x), number(y - row / 2.0), number(row));
    }
    data
}
