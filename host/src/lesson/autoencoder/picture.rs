//! What the report shows of an auto-encoder: one pattern, what is decoded, and who stands for what.

use super::{Bump, Experiment, Response};
use crate::picture::{Layer, Mark, Plot, Raster, RasterPanel};
use crate::report::{figure, row};
use spikeloop_models::SpikeTrains;

/// Stretches of the ring over which hidden spikes are averaged.
const STRETCHES: usize = 25;

/// Headings and contents, from the patterns of the test.
pub(super) fn all(
    experiment: &Experiment,
    tested: &[(Bump, Response)],
) -> Vec<(&'static str, String)> {
    let Some(first) = tested.first() else { return Vec::new() };
    let caption = "The first pattern of the test. Times are those of the model.";
    let mut sections = vec![("One pattern", figure(caption, &raster(experiment, first).draw()))];
    if experiment.has_centres() {
        let pictures = [
            figure("What the output says, for every pattern", &decoded(experiment, tested).draw()),
            figure("What stands for it in between", &tuning(experiment, tested).draw()),
        ];
        sections.push(("Centres", row(&pictures.concat())));
    }
    sections
}

fn raster(experiment: &Experiment, (bump, response): &(Bump, Response)) -> Raster {
    let dt_us = experiment.rule.dt_ms * 1e3;
    let panel = |name: &str, units: usize, spikes: &[(u32, u16)]| RasterPanel {
        name: name.into(),
        units,
        spikes: spikes
            .iter()
            .map(|(t, id)| ((f64::from(*t) * dt_us) as f32, u32::from(*id)))
            .collect(),
    };
    let units = experiment.ring.units;
    Raster {
        title: "Spikes of one pattern".into(),
        duration_us: bump.inputs.steps() as f64 * dt_us,
        panels: vec![
            panel("input", units, &events(&bump.inputs)),
            panel("hidden", experiment.network.hidden, &response.hidden),
            panel("output", units, &response.outcome.spikes),
            panel("target", units, &events(&bump.targets)),
        ],
    }
}

fn events(trains: &SpikeTrains) -> Vec<(u32, u16)> {
    let steps = 0..trains.steps();
    steps.flat_map(|t| trains.at(0, t).iter().map(move |id| (t as u32, *id))).collect()
}

/// Decoded against true centres.
fn decoded(experiment: &Experiment, tested: &[(Bump, Response)]) -> Plot {
    let around = experiment.ring.units as f64;
    let points =
        tested.iter().filter_map(|(bump, response)| Some((bump.centre, response.decoded?)));
    Plot {
        title: "Decoded centre against true centre".into(),
        x_label: "true centre (neuron)".into(),
        y_label: "decoded centre (neuron)".into(),
        layers: vec![
            Layer::unnamed(1, Mark::Dashed(vec![(0.0, 0.0), (around, around)])),
            Layer::new("patterns", 0, Mark::Dots(points.collect())),
        ],
        ..Plot::default()
    }
}

/// Mean number of spikes of every hidden neuron against the centre.
fn tuning(experiment: &Experiment, tested: &[(Bump, Response)]) -> Plot {
    let (around, hidden) = (experiment.ring.units as f64, experiment.network.hidden);
    let mut counts = vec![[0.0; STRETCHES]; hidden];
    let mut patterns = [0.0; STRETCHES];
    for (bump, response) in tested {
        let at = ((bump.centre / around * STRETCHES as f64) as usize).min(STRETCHES - 1);
        patterns[at] += 1.0;
        response.hidden.iter().for_each(|(_, id)| counts[usize::from(*id)][at] += 1.0);
    }
    let line = |unit: &[f64; STRETCHES]| -> Vec<(f64, f64)> {
        let seen = (0..STRETCHES).filter(|at| patterns[*at] > 0.0);
        seen.map(|at| ((at as f64 + 0.5) * around / STRETCHES as f64, unit[at] / patterns[at]))
            .collect()
    };
    let layers = counts.iter().enumerate().map(|(unit, counts)| {
        let line = line(counts);
        // Colours repeat after six.
        Layer::unnamed(unit, if unit < 6 { Mark::Line(line) } else { Mark::Dashed(line) })
    });
    Plot {
        title: "Spikes of each hidden neuron against the centre".into(),
        x_label: "true centre (neuron)".into(),
        y_label: "spikes a pattern".into(),
        layers: layers.collect(),
        ..Plot::default()
    }
}
