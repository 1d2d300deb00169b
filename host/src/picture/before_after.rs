//! Two distributions of one quantity, before and after it was set: on a common axis, and below it the second one
//! alone on an axis of its own, with the target and the bounds it must keep.

use super::axes::{Frame, padded, range};
use super::{Canvas, Picture};

/// Values of all neurons before and after.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BeforeAfter {
    /// What the picture shows.
    pub title: String,
    /// Name of the values, with their unit.
    pub x_label: String,
    /// Values before; what is not finite is left out.
    pub before: Vec<f64>,
    /// Values after.
    pub after: Vec<f64>,
    /// What was wanted.
    pub target: f64,
    /// Values between which a neuron counts as good.
    pub bounds: (f64, f64),
}

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 292.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = WIDTH - 16.0;
const BINS: usize = 40;

impl BeforeAfter {
    /// Draws both panels.
    #[must_use]
    pub fn draw(&self) -> Picture {
        let mut canvas = Canvas::default();
        let entries =
            [("before", "c thin k1 d1"), ("after", "c thin k0"), ("target", "c thin k2 d2")]
                .map(|(name, class)| (name.to_owned(), class.to_owned(), false));
        let used = canvas.legend((LEFT, 16.0), WIDTH, &entries);
        let all = self.before.iter().chain(&self.after).copied();
        let common = padded(range(all.chain([self.target])), 0.04);
        let own = padded(range(self.after.iter().copied().chain([self.target])), 0.08);
        let middle = 136.0;
        let upper = Frame::new((LEFT, 10.0 + used), (RIGHT, middle), common, (0.0, 1.0));
        self.panel(&mut canvas, upper, (10.0 + used, middle), common, true);
        let lower = Frame::new((LEFT, 168.0), (RIGHT, HEIGHT - 46.0), own, (0.0, 1.0));
        self.panel(&mut canvas, lower, (168.0, HEIGHT - 46.0), own, false);
        canvas.finish(WIDTH, HEIGHT, &self.title)
    }

    fn panel(
        &self,
        canvas: &mut Canvas,
        across: Frame,
        (top, bottom): (f64, f64),
        span: (f64, f64),
        both: bool,
    ) {
        let sets: &[(&Vec<f64>, usize)] =
            if both { &[(&self.before, 1), (&self.after, 0)] } else { &[(&self.after, 0)] };
        let counts: Vec<Vec<f64>> = sets.iter().map(|(v, _)| count(v, span)).collect();
        let most = counts.iter().flatten().copied().fold(1.0, f64::max);
        let frame = Frame::new((LEFT, top), (RIGHT, bottom), span, (0.0, 1.05 * most));
        let (low, high) = (self.bounds.0.max(span.0), self.bounds.1.min(span.1));
        if low < high {
            let (from, to) = (across.x.at(low), across.x.at(high));
            canvas.rect((from, top), (to - from, bottom - top), "band f2");
        }
        frame.draw_y(canvas, "neurons");
        for (counts, (_, colour)) in counts.iter().zip(sets) {
            outline(canvas, &frame, counts, span, *colour);
        }
        if self.target.is_finite() {
            let x = frame.x.inside(self.target);
            canvas.line((x, top), (x, bottom), "c thin k2 d2");
        }
        frame.draw_x(canvas, if both { "" } else { &self.x_label });
    }
}

/// Counts of the values in equal bins of the span.
fn count(values: &[f64], (low, high): (f64, f64)) -> Vec<f64> {
    let mut counts = vec![0.0; BINS];
    for value in values.iter().filter(|v| **v >= low && **v <= high) {
        let bin = ((value - low) / (high - low) * BINS as f64) as usize;
        counts[bin.min(BINS - 1)] += 1.0;
    }
    counts
}

fn outline(canvas: &mut Canvas, frame: &Frame, counts: &[f64], span: (f64, f64), colour: usize) {
    let edge = |i: usize| frame.x.at(span.0 + (span.1 - span.0) * i as f64 / BINS as f64);
    let base = frame.y.at(0.0);
    let steps = counts.iter().enumerate().flat_map(|(i, c)| {
        let y = frame.y.at(*c);
        [(edge(i), y), (edge(i + 1), y)]
    });
    let shape: Vec<(f64, f64)> =
        [(edge(0), base)].into_iter().chain(steps).chain([(edge(BINS), base)]).collect();
    canvas.curve(shape.iter().copied(), &format!("area f{colour}"));
    let dash = if colour == 1 { " d1" } else { "" };
    canvas.curve(shape, &format!("c thin k{colour}{dash}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_value_is_counted_once() {
        let counts = count(&[0.0, 0.5, 1.0, f64::NAN, 2.0], (0.0, 1.0));
        assert!((counts.iter().sum::<f64>() - 3.0).abs() < 1e-12);
        assert!(counts[0] > 0.5 && counts[BINS - 1] > 0.5);
    }

    #[test]
    fn a_chip_without_any_good_neuron_is_drawn() {
        let empty = BeforeAfter { target: 6.0, bounds: (5.0, 7.0), ..BeforeAfter::default() };
        assert!(empty.draw().inline().contains("neurons"));
        let nothing = BeforeAfter { after: vec![f64::NAN; 4], target: f64::NAN, ..empty };
        assert!(!nothing.draw().inline().contains("NaN"));
    }
}
