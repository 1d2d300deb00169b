//! Plot: many thin curves, lines, dots and levels over common axes, each linear or logarithmic.

use super::axes::{Frame, decades, padded, range};
use super::{COLOURS, Canvas, Picture};

/// One layer of a plot.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// Curves drawn thin and pale: a whole population.
    Bundle(Vec<Vec<(f64, f64)>>),
    /// One curve.
    Line(Vec<(f64, f64)>),
    /// One dashed curve.
    Dashed(Vec<(f64, f64)>),
    /// Dots without a line.
    Dots(Vec<(f64, f64)>),
    /// A horizontal level.
    Level(f64),
    /// A vertical mark.
    Moment(f64),
}

/// A layer with its colour.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Text in the legend; without one the layer is not in it.
    pub name: String,
    /// Number of the colour.
    pub colour: usize,
    /// What is drawn.
    pub mark: Mark,
}

impl Layer {
    /// A layer that stands in the legend.
    #[must_use]
    pub fn new(name: &str, colour: usize, mark: Mark) -> Self {
        Self { name: name.to_owned(), colour, mark }
    }

    /// A layer that does not.
    #[must_use]
    pub fn unnamed(colour: usize, mark: Mark) -> Self {
        Self::new("", colour, mark)
    }
}

/// Layers over common axes, the first at the bottom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plot {
    /// What the picture shows, for those who cannot see it.
    pub title: String,
    /// Name of the horizontal axis, with its unit.
    pub x_label: String,
    /// Name of the vertical axis, with its unit.
    pub y_label: String,
    /// Whether the axes `(x, y)` are logarithmic; what is not positive is then left out.
    pub log: (bool, bool),
    /// Range of the horizontal axis; by default what the data need.
    pub x_range: Option<(f64, f64)>,
    /// Range of the vertical axis; by default what the data need.
    pub y_range: Option<(f64, f64)>,
    /// The layers.
    pub layers: Vec<Layer>,
    /// Whether the plot is one of three or four in a row instead of one of two.
    pub compact: bool,
}

/// Size of a plot, and of a compact one.
const SIZES: [(f64, f64); 2] = [(560.0, 320.0), (360.0, 250.0)];

impl Plot {
    /// Draws the plot.
    #[must_use]
    pub fn draw(&self) -> Picture {
        let mut canvas = Canvas::default();
        let (width, height) = SIZES[usize::from(self.compact)];
        let entries: Vec<(String, String, bool)> = (self.layers.iter())
            .filter(|l| !l.name.is_empty())
            .map(|l| (l.name.clone(), l.sample(), matches!(l.mark, Mark::Dots(_))))
            .collect();
        let used = match entries.is_empty() {
            true => 0.0,
            false => canvas.legend((64.0, 18.0), width - 8.0, &entries),
        };
        let (x_range, y_range) = self.ranges();
        let frame =
            Frame::new((64.0, 14.0 + used), (width - 16.0, height - 46.0), x_range, y_range);
        match self.log.1 {
            true => frame.draw_y_at(&mut canvas, &self.y_label, &decades(y_range)),
            false => frame.draw_y(&mut canvas, &self.y_label),
        }
        match self.log.0 {
            true => frame.draw_x_at(&mut canvas, &self.x_label, &decades(x_range)),
            false => frame.draw_x(&mut canvas, &self.x_label),
        }
        for layer in &self.layers {
            self.layer(&mut canvas, &frame, layer, (x_range, y_range));
        }
        canvas.finish(width, height, &self.title)
    }

    /// A point on the axes; NaN where an axis does not hold it.
    fn on_axes(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let on = |v: f64, log: bool| match log {
            true if v > 0.0 => v.log10(),
            true => f64::NAN,
            false => v,
        };
        (on(x, self.log.0), on(y, self.log.1))
    }

    fn ranges(&self) -> ((f64, f64), (f64, f64)) {
        let points: Vec<(f64, f64)> = (self.layers.iter())
            .flat_map(|l| match &l.mark {
                Mark::Bundle(curves) => curves.iter().flatten().copied().collect(),
                Mark::Line(p) | Mark::Dashed(p) | Mark::Dots(p) => p.clone(),
                Mark::Level(y) => vec![(f64::NAN, *y)],
                Mark::Moment(x) => vec![(*x, f64::NAN)],
            })
            .map(|p| self.on_axes(p))
            .collect();
        let given = |r: Option<(f64, f64)>, pick: fn((f64, f64)) -> f64| {
            let ends = r.map(|(a, b)| (self.on_axes((a, a)), self.on_axes((b, b))));
            ends.map(|(a, b)| (pick(a), pick(b))).filter(|(a, b)| a < b)
        };
        let x = given(self.x_range, |p| p.0)
            .unwrap_or_else(|| padded(range(points.iter().map(|p| p.0)), 0.02));
        let y = given(self.y_range, |p| p.1)
            .unwrap_or_else(|| padded(range(points.iter().map(|p| p.1)), 0.06));
        (x, y)
    }

    fn layer(
        &self,
        canvas: &mut Canvas,
        frame: &Frame,
        layer: &Layer,
        (x_range, y_range): ((f64, f64), (f64, f64)),
    ) {
        let class = layer.class();
        let pixel = |p: &(f64, f64)| {
            let (x, y) = self.on_axes(*p);
            let shown = x >= x_range.0 && x <= x_range.1 && y.is_finite();
            if shown { (frame.x.at(x), frame.y.inside(y)) } else { (f64::NAN, f64::NAN) }
        };
        match &layer.mark {
            // One element for all of them: a population of 512 stays a small file.
            Mark::Bundle(curves) => {
                let gap = std::iter::once((f64::NAN, f64::NAN));
                let all = curves.iter().flat_map(|c| c.iter().map(pixel).chain(gap.clone()));
                canvas.curve(all, &class);
            }
            Mark::Line(points) | Mark::Dashed(points) => {
                canvas.curve(points.iter().map(pixel), &class);
            }
            Mark::Dots(points) => {
                for (x, y) in points.iter().map(pixel).filter(|p| p.0.is_finite()) {
                    canvas.circle((x, y), 2.6, &class);
                }
            }
            Mark::Level(level) => {
                let y = frame.y.inside(self.on_axes((1.0, *level)).1);
                canvas.line((frame.x.at(x_range.0), y), (frame.x.at(x_range.1), y), &class);
            }
            Mark::Moment(moment) => {
                let x = frame.x.inside(self.on_axes((*moment, 1.0)).0);
                canvas.line((x, frame.y.at(y_range.0)), (x, frame.y.at(y_range.1)), &class);
            }
        }
    }
}

impl Layer {
    /// Classes of the sample in the legend: pale lines would not be seen there.
    fn sample(&self) -> String {
        match self.mark {
            Mark::Bundle(_) => format!("c thin k{}", self.colour % COLOURS),
            _ => self.class(),
        }
    }

    fn class(&self) -> String {
        let colour = self.colour % COLOURS;
        match self.mark {
            Mark::Bundle(_) => format!("c bundle k{colour}"),
            Mark::Line(_) => format!("c k{colour}"),
            Mark::Dashed(_) => format!("c k{colour} d1"),
            Mark::Dots(_) => format!("f{colour}"),
            Mark::Level(_) | Mark::Moment(_) => format!("c thin k{colour} d2"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithmic_axes_leave_out_what_they_cannot_hold() {
        let line = vec![(0.0, 1.0), (1.0, 10.0), (100.0, 1000.0)];
        let plot = Plot {
            log: (true, true),
            layers: vec![Layer::new("a line", 0, Mark::Line(line))],
            ..Plot::default()
        };
        let ((low, high), (bottom, top)) = plot.ranges();
        assert!(low < 0.0 && high > 2.0 && low > -0.1 && high < 2.1, "{low} {high}");
        // 1 stands at an x of 0, which no logarithmic axis has; its height counts all the same.
        assert!(bottom < 0.0 && top > 3.0);
        let svg = plot.draw().inline();
        assert!(svg.contains(">100<") && svg.contains(">1000<"), "{svg}");
        assert_eq!(svg.matches("<path").count(), 1);
    }

    #[test]
    fn a_population_is_one_element() {
        let curves = vec![vec![(0.0, 0.0), (1.0, 1.0)]; 50];
        let plot = Plot {
            layers: vec![
                Layer::unnamed(1, Mark::Bundle(curves)),
                Layer::unnamed(0, Mark::Level(0.5)),
            ],
            ..Plot::default()
        };
        let svg = plot.draw().inline();
        assert_eq!(svg.matches("<path").count(), 1);
        assert_eq!(svg.matches('M').count(), 50, "each curve begins anew");
    }
}
