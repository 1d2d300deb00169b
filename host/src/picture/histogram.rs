//! Histograms, several over one another.

use super::axes::{Frame, range};
use super::{COLOURS, Canvas, Picture};

/// One set of values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramSeries {
    /// Text in the legend.
    pub name: String,
    /// The values; what is not finite is left out.
    pub values: Vec<f64>,
}

/// Distributions of values on common bins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramChart {
    /// What the picture shows.
    pub title: String,
    /// Name of the values, with their unit.
    pub x_label: String,
    /// The sets, in order of colour.
    pub series: Vec<HistogramSeries>,
    /// Number of bins over the range.
    pub bins: usize,
    /// Range of the bins; by default that of all values.
    pub x_range: Option<(f64, f64)>,
}

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 250.0;

/// Counts of the values in equal bins of the range; its upper end belongs to the last bin.
fn count(values: &[f64], (low, high): (f64, f64), bins: usize) -> Vec<f64> {
    let mut counts = vec![0.0; bins];
    for value in values.iter().filter(|v| v.is_finite() && **v >= low && **v <= high) {
        let bin = ((value - low) / (high - low) * bins as f64) as usize;
        counts[bin.min(bins - 1)] += 1.0;
    }
    counts
}

impl HistogramChart {
    /// Draws the outlines over light areas.
    #[must_use]
    pub fn draw(&self) -> Picture {
        let mut canvas = Canvas::default();
        let mut top = 14.0;
        if self.series.len() > 1 {
            let entries: Vec<_> = (self.series.iter().enumerate())
                .map(|(i, s)| (s.name.clone(), outline(i), false))
                .collect();
            top += canvas.legend((64.0, 16.0), WIDTH, &entries);
        }
        let all = || range(self.series.iter().flat_map(|s| s.values.iter().copied()));
        let values = self.x_range.filter(|r| r.1 > r.0).unwrap_or_else(all);
        let bins = self.bins.max(1);
        let counts: Vec<Vec<f64>> =
            self.series.iter().map(|s| count(&s.values, values, bins)).collect();
        let most = counts.iter().flatten().copied().fold(1.0, f64::max);
        let corner = (WIDTH - 12.0, HEIGHT - 46.0);
        let frame = Frame::new((64.0, top), corner, values, (0.0, 1.05 * most));
        frame.draw_y(&mut canvas, "count");
        for (index, counts) in counts.iter().enumerate() {
            let edge =
                |i: usize| frame.x.at(values.0 + (values.1 - values.0) * i as f64 / bins as f64);
            let steps = counts.iter().enumerate().flat_map(|(i, &c)| {
                let y = frame.y.at(c);
                [(edge(i), y), (edge(i + 1), y)]
            });
            let base = frame.y.at(0.0);
            let shape: Vec<(f64, f64)> =
                [(edge(0), base)].into_iter().chain(steps).chain([(edge(bins), base)]).collect();
            canvas.curve(shape.iter().copied(), &format!("area f{}", index % COLOURS));
            canvas.curve(shape, &outline(index));
        }
        frame.draw_x(&mut canvas, &self.x_label);
        canvas.finish(WIDTH, HEIGHT, &self.title)
    }
}

fn outline(index: usize) -> String {
    format!("c thin k{}{}", index % COLOURS, if index % 2 == 1 { " d1" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_value_is_counted_once() {
        let values = [0.0, 0.1, 0.5, 1.0, f64::NAN];
        assert_eq!(count(&values, (0.0, 1.0), 2), [2.0, 2.0]);
        assert_eq!(count(&values, (0.0, 0.5), 5), [1.0, 1.0, 0.0, 0.0, 1.0]);
    }
}
