//! Scales, ticks, and the frame that a chart is drawn in.

use super::{Anchor, Canvas};

/// A straight map from data to pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// `low` falls on pixel `from`, `high` on pixel `to`.
    pub(super) fn new((low, high): (f64, f64), from: f64, to: f64) -> Self {
        Self { low, high, from, to }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// As [`Self::at`], kept inside the frame.
    pub(super) fn inside(&self, value: f64) -> f64 {
        self.at(value.clamp(self.low, self.high))
    }
}

/// Least and greatest finite value; `(0, 1)` without any, and never an empty range.
pub(super) fn range(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let start = (f64::INFINITY, f64::NEG_INFINITY);
    let finite = values.into_iter().filter(|v| v.is_finite());
    let (low, high) = finite.fold(start, |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    if high - low <= 1e-12 * high.abs().max(low.abs()) {
        let pad = if low == 0.0 { 1.0 } else { 0.1 * low.abs() };
        return (low - pad, high + pad);
    }
    (low, high)
}

/// The range widened by a share of its length on both sides.
pub(super) fn padded((low, high): (f64, f64), share: f64) -> (f64, f64) {
    let pad = share * (high - low);
    (low - pad, high + pad)
}

/// Tick values on a 1-2-5 ladder inside the range, about `count` of them, and their decimals.
pub(super) fn ticks((low, high): (f64, f64), count: usize) -> (Vec<f64>, usize) {
    let rough = (high - low) / count.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let ladder = [1.0, 2.0, 5.0, 10.0];
    let step = ladder.iter().map(|m| m * power).find(|s| *s >= rough * 0.999).unwrap_or(rough);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    let decimals = (-(step.log10() + 1e-9).floor()).clamp(0.0, 9.0) as usize;
    ((first..=last.min(first + 50)).map(|i| i as f64 * step).collect(), decimals)
}

/// Ticks of a logarithmic axis whose range is given as logarithms: place and text. Powers of ten, and 2 and 5 times them
/// where there is room.
pub(super) fn decades((low, high): (f64, f64)) -> Vec<(f64, String)> {
    let steps: &[f64] = if high - low > 3.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let mut out = Vec::new();
    for power in low.floor() as i32..=high.ceil() as i32 {
        for step in steps {
            let place = step.log10() + f64::from(power);
            if place >= low - 1e-9 && place <= high + 1e-9 && out.len() < 50 {
                out.push((
                    place,
                    format!("{:.*}", (-power).max(0) as usize, step * 10_f64.powi(power)),
                ));
            }
        }
    }
    out
}

/// A tick's text, with a true minus sign.
pub(super) fn tick_text(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().any(|b| (b'1'..=b'9').contains(&b)) => format!("−{rest}"),
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

/// The plot area of a chart and its two scales.
pub(super) struct Frame {
    pub(super) x: Scale,
    pub(super) y: Scale,
    x_range: (f64, f64),
    y_range: (f64, f64),
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Frame {
    /// An area from `(left, top)` to `(right, bottom)` pixels that shows these ranges.
    pub(super) fn new(
        (left, top): (f64, f64),
        (right, bottom): (f64, f64),
        x_range: (f64, f64),
        y_range: (f64, f64),
    ) -> Self {
        let x = Scale::new(x_range, left, right);
        let y = Scale::new(y_range, bottom, top);
        Self { x, y, x_range, y_range, left, top, right, bottom }
    }

    /// Horizontal rules with their values.
    pub(super) fn draw_y(&self, canvas: &mut Canvas, label: &str) {
        let count = ((self.bottom - self.top) / 34.0).clamp(1.0, 8.0) as usize;
        let (values, decimals) = ticks(self.y_range, count);
        let texts = values.into_iter().map(|v| (v, tick_text(v, decimals)));
        self.draw_y_at(canvas, label, &texts.collect::<Vec<_>>());
    }

    /// Horizontal rules at given values with given texts.
    pub(super) fn draw_y_at(&self, canvas: &mut Canvas, label: &str, ticks: &[(f64, String)]) {
        for (value, text) in ticks {
            let y = self.y.at(*value);
            canvas.line((self.left, y), (self.right, y), "grid");
            canvas.text((self.left - 7.0, y + 4.0), Anchor::End, "tick", text);
        }
        canvas.text_up((self.left - 46.0, (self.top + self.bottom) / 2.0), label);
    }

    /// The bottom line with ticks and values.
    pub(super) fn draw_x(&self, canvas: &mut Canvas, label: &str) {
        let count = ((self.right - self.left) / 55.0).clamp(2.0, 10.0) as usize;
        let (values, decimals) = ticks(self.x_range, count);
        let texts = values.into_iter().map(|v| (v, tick_text(v, decimals)));
        self.draw_x_at(canvas, label, &texts.collect::<Vec<_>>());
    }

    /// The bottom line with given ticks and texts.
    pub(super) fn draw_x_at(&self, canvas: &mut Canvas, label: &str, ticks: &[(f64, String)]) {
        canvas.line((self.left, self.bottom), (self.right, self.bottom), "axis");
        for (value, text) in ticks {
            let x = self.x.at(*value);
            canvas.line((x, self.bottom), (x, self.bottom + 4.0), "axis");
            canvas.text((x, self.bottom + 17.0), Anchor::Middle, "tick", text);
        }
        let middle = (self.left + self.right) / 2.0;
        canvas.text((middle, self.bottom + 35.0), Anchor::Middle, "name", label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks((0.0, 50.0), 5), (vec![0.0, 10.0, 20.0, 30.0, 40.0, 50.0], 0));
        let (values, decimals) = ticks((0.93, 0.985), 4);
        assert_eq!(decimals, 2);
        let texts: Vec<String> = values.iter().map(|&v| tick_text(v, decimals)).collect();
        assert_eq!(texts, ["0.94", "0.96", "0.98"]);
        assert_eq!(tick_text(-0.0001, 2), "0.00");
        assert_eq!(tick_text(-1.5, 1), "−1.5");
    }

    #[test]
    fn decades_have_plain_texts() {
        let texts = |range| decades(range).into_iter().map(|t| t.1).collect::<Vec<_>>();
        assert_eq!(texts((-1.0, 1.0)), ["0.1", "0.2", "0.5", "1", "2", "5", "10"]);
        assert_eq!(texts((0.0, 4.0)), ["1", "10", "100", "1000", "10000"]);
    }

    #[test]
    fn ranges_are_never_empty() {
        assert_eq!(range([]), (0.0, 1.0));
        assert_eq!(range([f64::NAN, f64::INFINITY]), (0.0, 1.0));
        assert_eq!(range([0.0]), (-1.0, 1.0));
        assert_eq!(range([2.0, 2.0]), (1.8, 2.2));
        assert_eq!(range([3.0, -1.0]), (-1.0, 3.0));
    }
}
