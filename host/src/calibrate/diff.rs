//! Two calibrations of one chip, neuron by neuron: who moved by more than the measurements are unsure of?

use serde::Serialize;
use spikeloop_calibration::Calibration;
use spikeloop_calibration::result::ParameterResult;
use spikeloop_calibration::targets::symbol;

/// Standard errors beyond which a neuron counts as moved. Of 512 neurons that did not move 1.4 lie beyond by chance.
const MOVED: f64 = 3.0;
/// Movers that are named.
const NAMED: usize = 5;

/// One neuron.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mover {
    /// Which.
    pub neuron: usize,
    /// Value in the second calibration minus that in the first.
    pub change: f64,
    /// Standard error of the change.
    pub sigma: f64,
}

/// How one parameter changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Its name.
    pub name: &'static str,
    /// Unit of all values.
    pub unit: &'static str,
    /// Neurons with a good value in both.
    pub compared: usize,
    /// Neurons whose code is another.
    pub recoded: usize,
    /// Neurons that moved by more than three standard errors.
    pub moved: usize,
    /// Mean change.
    pub mean: f64,
    /// Standard deviation of the change over the neurons.
    pub deviation: f64,
    /// Standard deviation that the uncertainties alone explain.
    pub expected: f64,
    /// The neurons that moved furthest, in standard errors.
    pub largest: Vec<Mover>,
}

/// Everything that changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff {
    /// Chip and time of the first.
    pub before: (String, String),
    /// Chip and time of the second.
    pub after: (String, String),
    /// Whether both are of one chip.
    pub same_chip: bool,
    /// Whether both were made with one firmware.
    pub same_firmware: bool,
    /// Parameters that both have.
    pub parameters: Vec<Change>,
    /// Parameters that only one of them has.
    pub only_in_one: Vec<&'static str>,
    /// Neurons that can be used in the first and not in the second.
    pub lost: Vec<usize>,
    /// Neurons that can be used in the second and not in the first.
    pub gained: Vec<usize>,
}

impl Diff {
    /// Compares `after` with `before`, over the neurons that both have.
    #[must_use]
    pub fn new(before: &Calibration, after: &Calibration) -> Self {
        let (a, b) = (&before.provenance, &after.provenance);
        let pairs =
            before.parameters.iter().filter_map(|p| Some((p, after.parameter(p.parameter)?)));
        let other = |one: &Calibration, two: &Calibration| -> Vec<&'static str> {
            let missing = one.parameters.iter().filter(|p| two.parameter(p.parameter).is_none());
            missing.map(|p| p.parameter.name()).collect()
        };
        let usable: Vec<(bool, bool)> = before.usable().into_iter().zip(after.usable()).collect();
        let those = |which: (bool, bool)| -> Vec<usize> {
            (0..usable.len()).filter(|n| usable[*n] == which).collect()
        };
        Self {
            before: (a.chip.clone(), a.time.clone()),
            after: (b.chip.clone(), b.time.clone()),
            same_chip: a.chip == b.chip,
            same_firmware: a.firmware == b.firmware,
            parameters: pairs.map(|(p, q)| Change::new(p, q)).collect(),
            only_in_one: [other(before, after), other(after, before)].concat(),
            lost: those((true, false)),
            gained: those((false, true)),
        }
    }
}

impl Change {
    fn new(before: &ParameterResult, after: &ParameterResult) -> Self {
        let movers: Vec<Mover> = before
            .after
            .iter()
            .zip(&after.after)
            .enumerate()
            .filter(|(_, (a, b))| a.is_good() && b.is_good())
            .map(|(neuron, (a, b))| {
                // What both measurements have in common does not make them differ.
                let own = |e: &spikeloop_calibration::Estimate, shared: f64| {
                    (e.sigma * e.sigma - (shared * e.value).powi(2)).max(0.0)
                };
                let variance = own(a, before.shared_error) + own(b, after.shared_error);
                Mover { neuron, change: b.value - a.value, sigma: variance.sqrt() }
            })
            .collect();
        let count = movers.len().max(1) as f64;
        let mean = movers.iter().map(|m| m.change).sum::<f64>() / count;
        let squares: f64 = movers.iter().map(|m| (m.change - mean).powi(2)).sum();
        let expected: f64 = movers.iter().map(|m| m.sigma * m.sigma).sum();
        let mut largest: Vec<Mover> = movers.iter().copied().filter(Mover::moved).collect();
        let moved = largest.len();
        largest.sort_by(|a, b| (b.change.abs() / b.sigma).total_cmp(&(a.change.abs() / a.sigma)));
        largest.truncate(NAMED);
        Self {
            name: before.parameter.name(),
            unit: symbol(before.unit),
            compared: movers.len(),
            recoded: before.codes.iter().zip(&after.codes).filter(|(a, b)| a != b).count(),
            moved,
            mean,
            deviation: (squares / (count - 1.0).max(1.0)).sqrt(),
            expected: (expected / count).sqrt(),
            largest,
        }
    }
}

impl Mover {
    fn moved(&self) -> bool {
        self.change.abs() > MOVED * self.sigma
    }
}
