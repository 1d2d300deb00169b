//! Membrane traces: measured and modelled, with threshold and spikes, one panel per neuron.

use super::axes::{Frame, padded, range};
use super::{Anchor, Canvas, Picture};

/// The membrane of one neuron.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Trace {
    /// Name of the neuron, such as `hidden 17`.
    pub name: String,
    /// What the chip showed, `(time in µs, membrane in model units)`; empty if not measured.
    pub measured: Vec<(f32, f32)>,
    /// What the model computed, in the same units.
    pub modelled: Vec<(f32, f32)>,
    /// Times of the neuron's spikes in µs.
    pub spikes_us: Vec<f32>,
    /// The threshold in model units, if the neuron has one.
    pub threshold: Option<f32>,
}

/// Membranes over a common time axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceChart {
    /// What the picture shows.
    pub title: String,
    /// Length of the window in µs.
    pub duration_us: f64,
    /// Neurons from top to bottom.
    pub traces: Vec<Trace>,
}

const WIDTH: f64 = 560.0;
const LEFT: f64 = 64.0;
const HEIGHT: f64 = 92.0;
const GAP: f64 = 26.0;

impl TraceChart {
    /// Draws the traces: measured solid, modelled dashed, the threshold dotted, spikes as triangles.
    #[must_use]
    pub fn draw(&self) -> Picture {
        let mut canvas = Canvas::default();
        let entries = [("measured", "c k0"), ("modelled", "c k1 d1"), ("threshold", "limit")]
            .map(|(name, class)| (name.to_owned(), class.to_owned(), false));
        let mut top = 28.0 + canvas.legend((LEFT, 16.0), WIDTH, &entries);
        let first = top;
        let width = (0.0, if self.duration_us > 0.0 { self.duration_us } else { 1.0 });
        for (index, trace) in self.traces.iter().enumerate() {
            let bottom = top + HEIGHT;
            let range = padded(range(trace.heights()), 0.1);
            let frame = Frame::new((LEFT, top), (WIDTH - 16.0, bottom), width, range);
            frame.draw_y(&mut canvas, "");
            canvas.text((LEFT, top - 6.0), Anchor::Start, "name", &trace.name);
            trace.draw(&mut canvas, &frame, top);
            if index + 1 == self.traces.len() {
                frame.draw_x(&mut canvas, "time (µs)");
            }
            top = bottom + GAP;
        }
        let middle = (first + top - GAP) / 2.0;
        canvas.text_up((LEFT - 46.0, middle), "membrane (model units)");
        canvas.finish(WIDTH, top - GAP + 46.0, &self.title)
    }
}

impl Trace {
    fn heights(&self) -> impl Iterator<Item = f64> {
        let values = self.measured.iter().chain(&self.modelled).map(|p| f64::from(p.1));
        values.chain(self.threshold.map(f64::from)).chain([0.0])
    }

    fn draw(&self, canvas: &mut Canvas, frame: &Frame, top: f64) {
        let pixel = |p: &(f32, f32)| (frame.x.at(f64::from(p.0)), frame.y.at(f64::from(p.1)));
        if let Some(threshold) = self.threshold {
            let y = frame.y.at(f64::from(threshold));
            canvas.line((LEFT, y), (WIDTH - 16.0, y), "limit");
        }
        canvas.curve(self.measured.iter().map(pixel), "c k0");
        canvas.curve(self.modelled.iter().map(pixel), "c k1 d1");
        for &time in self.spikes_us.iter().filter(|t| t.is_finite()) {
            let x = frame.x.inside(f64::from(time));
            let points = [(x - 4.0, top), (x + 4.0, top), (x, top + 7.0)];
            canvas.curve(points, "f2");
        }
    }
}
