//! One sample through the whole network.

use super::config::LearningConfig;
use super::loss::loss;
use super::measured::Measured;
use super::network::FirstSpikeNetwork;
use super::pass::Pass;

/// What the network said to a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Answer {
    /// The earliest output, the first one of equals; none if no output spikes.
    pub predicted: Option<u16>,
    /// Loss, penalty on output times included.
    pub loss: f64,
    /// Time of the earliest output spike; infinite = none.
    pub first_output: f64,
    /// Mean time of the spikes of hidden neurons; not a number without any.
    pub hidden_mean: f64,
    /// Number of spikes of hidden neurons.
    pub hidden_spikes: u32,
}

impl Answer {
    /// Whether the label was predicted.
    #[must_use]
    pub fn is_correct(&self, label: u16) -> bool {
        self.predicted == Some(label)
    }
}

/// States of all layers for one sample; the memory is used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct SampleState {
    /// One per layer with weights.
    pub(crate) layers: Vec<Pass>,
    /// Derivatives of the loss by the pulse times, `[layer][pulse]`.
    pub(crate) pulses: Vec<Vec<f64>>,
    pub(crate) answer: Answer,
    /// Whether the weights learn from this sample.
    pub(crate) teaches: bool,
}

impl SampleState {
    /// Spike times of all layers, solved or `measured` (with the place of the sample in it), the
    /// loss, and its derivatives by the output times.
    pub(crate) fn forward(
        &mut self,
        network: &FirstSpikeNetwork,
        config: &LearningConfig,
        (times, ids): (&[f32], &[u16]),
        label: u16,
        measured: Option<(&Measured, usize)>,
    ) {
        self.layers.resize_with(network.layers.len(), Pass::default);
        let (kernel, threshold) = (&network.config.kernel, network.config.threshold);
        let (mut spikes, mut sum) = (0, 0.0);
        let delay = measured.map_or(0.0, |(measured, _)| measured.delay);
        for (l, dense) in network.layers.iter().enumerate() {
            let (below, rest) = self.layers.split_at_mut(l);
            let Some(pass) = rest.first_mut() else { continue };
            let found = measured.map(|(m, sample)| (m.of(l, sample, dense.post), m.least_slope));
            match below.last() {
                None => {
                    let inputs = times.iter().zip(ids).map(|(t, id)| (f64::from(*t), *id));
                    pass.run(dense, kernel, threshold, inputs, found);
                }
                Some(below) => {
                    for t in below.times.iter().filter(|t| t.is_finite()) {
                        spikes += 1;
                        sum += *t;
                    }
                    let arrivals = below.times.iter().enumerate();
                    let inputs = arrivals.map(|(k, t)| (*t + delay, k as u16));
                    pass.run(dense, kernel, threshold, inputs, found);
                }
            }
        }
        let Some(output) = self.layers.last_mut() else { return };
        let mut first = (f64::INFINITY, None);
        for (k, &t) in output.times.iter().enumerate() {
            if t < first.0 {
                first = (t, Some(k as u16));
            }
        }
        self.answer = Answer {
            predicted: first.1,
            loss: loss(&output.times, label, config, &mut output.delta),
            first_output: first.0,
            hidden_mean: sum / f64::from(spikes),
            hidden_spikes: spikes,
        };
    }

    /// Derivatives of the loss by all hidden spike times and pulse times; after [`Self::forward`].
    pub(crate) fn backward(&mut self, network: &FirstSpikeNetwork, clip: f64) {
        self.pulses.resize_with(network.layers.len(), Vec::new);
        for (l, dense) in network.layers.iter().enumerate().rev() {
            let gradient = &mut self.pulses[l];
            gradient.clear();
            gradient.resize(dense.pulses.len(), 0.0);
            let (below, rest) = self.layers.split_at_mut(l);
            let Some(pass) = rest.first() else { continue };
            let mut below = below.last_mut();
            for (i, row) in pass.rows.iter().map(|row| usize::from(*row)).enumerate() {
                if let Some(pulse) = row.checked_sub(dense.pre) {
                    gradient[pulse] = pass.input_gradient(dense, i, clip);
                } else if let Some(below) = &mut below {
                    below.delta[row] = pass.input_gradient(dense, i, clip);
                }
            }
        }
    }
}
