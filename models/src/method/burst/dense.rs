//! A weight matrix whose rows are padded to whole vectors.

use crate::kernel::aligned::Aligned;
use crate::kernel::kernel;
use crate::kernel::rows::{backproject, padded};
use crate::real::Real;

/// `[pre, post]`; the padding is zero and stays zero.
#[derive(Clone, Debug)]
pub(super) struct Dense<F> {
    rows: usize,
    columns: usize,
    values: Aligned<F>,
}

impl<F: Real> Dense<F> {
    /// Filled by `next`, in the order of the rows.
    pub(super) fn of(rows: usize, columns: usize, mut next: impl FnMut() -> F) -> Self {
        let mut matrix = Self { rows, columns, values: Aligned::zeros(rows * padded(columns)) };
        for row in matrix.rows_mut() {
            row.fill_with(&mut next);
        }
        matrix
    }

    fn rows_mut(&mut self) -> impl Iterator<Item = &mut [F]> {
        let columns = self.columns;
        self.values.chunks_exact_mut(padded(columns)).map(move |row| &mut row[..columns])
    }

    /// The rows, without padding.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[F]> {
        self.values.chunks_exact(padded(self.columns)).map(|row| &row[..self.columns])
    }

    /// Number of rows and columns.
    pub(super) fn shape(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// `out[post] += Σ_pre x[pre] w[pre, post]`; `out` is padded.
    pub(super) fn multiply(&self, out: &mut [F], x: &[F]) {
        backproject(out, &self.values, x);
    }

    /// `w[pre, post] += x[pre] d[post]`; `d` is padded with zeros.
    pub(super) fn add_outer(&mut self, x: &[F], d: &[F]) {
        outer(&mut self.values, x, d);
    }

    /// `w ← factor w`.
    pub(super) fn scale(&mut self, factor: F) {
        for w in self.values.iter_mut() {
            *w *= factor;
        }
    }

    /// Sets the marked weights, counted without padding, to zero.
    pub(super) fn silence(&mut self, marked: &[bool]) {
        let columns = self.columns;
        for (row, marks) in self.rows_mut().zip(marks_of(marked, columns)) {
            for (w, mark) in row.iter_mut().zip(marks) {
                if *mark {
                    *w = F::zero();
                }
            }
        }
    }

    /// Copies values without padding in; `false`, and nothing done, if their number is wrong.
    pub(super) fn load(&mut self, values: &[F]) -> bool {
        let columns = self.columns;
        let fits = values.len() == self.rows * columns;
        if fits {
            for (row, from) in self.rows_mut().zip(values.chunks_exact(columns)) {
                row.copy_from_slice(from);
            }
        }
        fits
    }
}

fn marks_of(marked: &[bool], columns: usize) -> std::slice::ChunksExact<'_, bool> {
    marked.chunks_exact(columns)
}

kernel! {
    /// `rows[i, ·] += x[i] d[·]`, rows of `d.len()`.
    fn outer[F: Real](rows: &mut [F], x: &[F], d: &[F]) {
        for (row, x) in rows.chunks_exact_mut(d.len()).zip(x) {
            for (w, d) in row.iter_mut().zip(d) {
                *w += *x * *d;
            }
        }
    }
}
