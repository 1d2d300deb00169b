//! A number for every bin and unit: currents into neurons, outputs of a readout.

use ndarray::Array2;

use crate::kernel::aligned::Aligned;
use crate::kernel::rows::padded;
use crate::real::Real;

/// `[time, unit]`; rows are padded with zeros for the loops over units.
#[derive(Clone, Debug)]
pub struct Series<F> {
    steps: usize,
    units: usize,
    values: Aligned<F>,
}

impl<F: Real> Series<F> {
    /// Zeros.
    #[must_use]
    pub fn zeros(steps: usize, units: usize) -> Self {
        Self { steps, units, values: Aligned::zeros(steps * padded(units)) }
    }

    /// The numbers of `values` `[time, unit]`, rounded to `F`.
    #[must_use]
    pub fn of(values: &Array2<f64>) -> Self {
        let mut series = Self::zeros(values.nrows(), values.ncols());
        for (t, row) in values.outer_iter().enumerate() {
            for (to, from) in series.row_mut(t).iter_mut().zip(row) {
                *to = F::of(*from);
            }
        }
        series
    }

    /// Number of bins.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Number of units.
    #[must_use]
    pub fn units(&self) -> usize {
        self.units
    }

    /// The units of bin `t`.
    #[must_use]
    pub fn row(&self, t: usize) -> &[F] {
        &self.values[t * padded(self.units)..][..self.units]
    }

    /// The units of bin `t`.
    pub fn row_mut(&mut self, t: usize) -> &mut [F] {
        let (stride, units) = (padded(self.units), self.units);
        &mut self.values[t * stride..][..units]
    }

    /// The units of bin `t` with padding.
    pub(crate) fn padded_row(&self, t: usize) -> &[F] {
        let stride = padded(self.units);
        &self.values[t * stride..][..stride]
    }

    /// The units of bin `t` with padding.
    pub(crate) fn padded_row_mut(&mut self, t: usize) -> &mut [F] {
        let stride = padded(self.units);
        &mut self.values[t * stride..][..stride]
    }

    /// Whether every number is one.
    #[must_use]
    pub fn finite(&self) -> bool {
        self.values.iter().all(|x| x.is_finite())
    }

    /// As an array, for pictures and files.
    #[must_use]
    pub fn to_array(&self) -> Array2<f64> {
        Array2::from_shape_fn((self.steps, self.units), |(t, k)| self.row(t)[k].wide())
    }
}
