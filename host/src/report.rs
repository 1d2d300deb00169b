//! The report of a run: one HTML file with everything inside, which opens without a network.
//!
//! [`ReportData`] is plain numbers and text; every part is optional and its section then absent.
//! [`ReportData::html`] gives the page. A robustness study uses the same type: a page that has
//! only a header, figures and [`ReportData::robustness`].
//!
//! ```
//! use spikeloop::report::{KeyFigure, ReportData};
//!
//! let mut report = ReportData::new("Yin-Yang in the loop");
//! report.figures.push(KeyFigure::new("test accuracy", "95.3 %", "1000 samples"));
//! assert!(report.html().contains("95.3 %"));
//! ```

mod data;
mod page;
mod sections;

pub(crate) use page::Section;
pub(crate) use sections::{figure, row, table};

pub use data::{
    ArrayMap, EpochPoint, HealthRow, Identity, KeyFigure, MismatchView, ParameterSpread,
    ReportData, Robustness, RobustnessLine, RobustnessPoint, SampleView, Table, WeightView,
};

#[cfg(test)]
mod tests;
