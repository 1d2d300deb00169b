//! Line chart: curves over a common axis, with error bars or bands.

use super::axes::{Frame, padded, range};
use super::{COLOURS, Canvas, Picture};

/// How the uncertainty of a series is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    /// A vertical bar at each point.
    #[default]
    Bars,
    /// A band around the line.
    Band,
}

/// One curve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Text in the legend.
    pub name: String,
    /// Points `(x, y)`; one that is not finite interrupts the line.
    pub points: Vec<(f64, f64)>,
    /// Half-width of the uncertainty of each point; empty for none.
    pub error: Vec<f64>,
    /// How the uncertainty is shown.
    pub spread: Spread,
    /// Whether each point gets a dot.
    pub dots: bool,
}

/// Curves over a common axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LineChart {
    /// What the picture shows, for those who cannot see it.
    pub title: String,
    /// Name of the horizontal axis, with its unit.
    pub x_label: String,
    /// Name of the vertical axis, with its unit.
    pub y_label: String,
    /// The curves, in order of colour and dash.
    pub series: Vec<Series>,
    /// Range of the vertical axis; by default what the data need.
    pub y_range: Option<(f64, f64)>,
    /// Whether the chart is one of three in a row instead of one of two.
    pub compact: bool,
}

/// Size of a chart, and of a compact one.
const SIZES: [(f64, f64); 2] = [(560.0, 320.0), (360.0, 250.0)];

impl LineChart {
    /// Draws the chart.
    #[must_use]
    pub fn draw(&self) -> Picture {
        let mut canvas = Canvas::default();
        let (width, height) = SIZES[usize::from(self.compact)];
        let entries: Vec<(String, String, bool)> = (self.series.iter().enumerate())
            .map(|(i, s)| (s.name.clone(), stroke(i), false))
            .collect();
        let used = canvas.legend((64.0, 18.0), width - 8.0, &entries);
        let xs = self.series.iter().flat_map(|s| s.points.iter().map(|p| p.0));
        let frame = Frame::new(
            (64.0, 14.0 + used),
            (width - 16.0, height - 46.0),
            padded(range(xs), 0.02),
            self.y_range.unwrap_or_else(|| padded(range(self.heights()), 0.06)),
        );
        frame.draw_y(&mut canvas, &self.y_label);
        frame.draw_x(&mut canvas, &self.x_label);
        for (index, series) in self.series.iter().enumerate() {
            series.draw(&mut canvas, &frame, index);
        }
        canvas.finish(width, height, &self.title)
    }

    /// All that the vertical axis must hold: the points and the ends of their errors.
    fn heights(&self) -> impl Iterator<Item = f64> {
        self.series.iter().flat_map(|s| {
            s.points.iter().enumerate().flat_map(|(i, p)| {
                let error = s.error_of(i);
                [p.1 - error, p.1 + error]
            })
        })
    }
}

/// Classes of the stroke of series `index`: colours repeat after [`COLOURS`], dashes after 4.
fn stroke(index: usize) -> String {
    let dash = ["", " d1", " d2", " d3"][index % 4];
    format!("c k{}{dash}", index % COLOURS)
}

impl Series {
    fn error_of(&self, index: usize) -> f64 {
        self.error.get(index).copied().filter(|e| e.is_finite()).unwrap_or(0.0)
    }

    fn draw(&self, canvas: &mut Canvas, frame: &Frame, index: usize) {
        let colour = index % COLOURS;
        let finite = |p: &&(usize, &(f64, f64))| p.1.0.is_finite() && p.1.1.is_finite();
        let all: Vec<(usize, &(f64, f64))> = self.points.iter().enumerate().collect();
        let edge = |sign: f64| {
            let point = move |&&(i, p): &&(usize, &(f64, f64))| {
                (frame.x.at(p.0), frame.y.inside(p.1 + sign * self.error_of(i)))
            };
            all.iter().filter(finite).map(move |p| point(&p)).collect::<Vec<_>>()
        };
        if !self.error.is_empty() {
            let (upper, mut lower) = (edge(1.0), edge(-1.0));
            match self.spread {
                Spread::Band => {
                    lower.reverse();
                    let class = format!("band f{colour}");
                    canvas.curve(upper.into_iter().chain(lower), &class);
                }
                Spread::Bars => {
                    for (up, down) in upper.into_iter().zip(lower) {
                        error_bar(canvas, up, down, &format!("c thin k{colour}"));
                    }
                }
            }
        }
        let pixel = |p: &(f64, f64)| (frame.x.at(p.0), frame.y.inside(p.1));
        let points = self.points.iter();
        canvas.curve(
            points.map(|p| if p.1.is_finite() { pixel(p) } else { (f64::NAN, 0.0) }),
            &stroke(index),
        );
        if self.dots || self.points.len() == 1 {
            for (_, p) in all.iter().filter(finite) {
                canvas.circle(pixel(p), 3.2, &format!("f{colour}"));
            }
        }
    }
}

fn error_bar(canvas: &mut Canvas, up: (f64, f64), down: (f64, f64), class: &str) {
    canvas.line(up, down, class);
    for (x, y) in [up, down] {
        canvas.line((x - 4.0, y), (x + 4.0, y), class);
    }
}
