//! How far two behaviours are apart: squared distances that add up over independent causes.
//!
//! Spikes: `Σ_units ∫ (κ * (a − b))² dt`, the distance of van Rossum (Neural Computation 2001) with the
//! postsynaptic response κ as kernel. It is what the next layer sees; a small shift of a spike costs its square,
//! so that squared distances of independent causes add up. Membranes: the sum of squared differences. Both are
//! given as shares of the energy of the signals themselves, and are then added.

use super::behaviour::{Behaviour, LayerBehaviour, Spike};
use crate::measure::psp::kappa;
use crate::translation::Translation;

/// Kernel and grid of a layer's spikes.
#[derive(Clone, Copy, Debug)]
struct Kernel {
    tau_mem: f64,
    tau_syn: f64,
    bin_us: f64,
    bins: usize,
}

impl Kernel {
    /// `∫ (κ * Σ ± δ)²` of one unit's signed spikes.
    fn energy(&self, spikes: &[(f64, f64)]) -> f64 {
        let h = self.bin_us;
        let (keep_i, keep_v) = ((-h / self.tau_syn).exp(), (-h / self.tau_mem).exp());
        let through = kappa(h, self.tau_mem, self.tau_syn);
        let (mut i, mut v, mut sum) = (0.0, 0.0, 0.0);
        let mut next = 0;
        for bin in 1..=self.bins {
            let end = bin as f64 * h;
            v = v * keep_v + i * through;
            i *= keep_i;
            while next < spikes.len() && spikes[next].0 <= end {
                let (time, sign) = spikes[next];
                v += sign * kappa(end - time, self.tau_mem, self.tau_syn);
                i += sign * ((time - end) / self.tau_syn).exp();
                next += 1;
            }
            sum += v * v;
        }
        sum * h
    }

    /// Squared distance of two lists of spikes over all units.
    fn distance(&self, a: &[Spike], b: &[Spike], units: usize) -> f64 {
        let mut signed: Vec<Vec<(f64, f64)>> = vec![Vec::new(); units];
        for (list, sign) in [(a, 1.0), (b, -1.0)] {
            for s in list {
                signed[usize::from(s.unit)].push((f64::from(s.time_us), sign));
            }
        }
        let one = |list: &mut Vec<(f64, f64)>| {
            list.sort_by(|x, y| x.0.total_cmp(&y.0));
            if list.is_empty() { 0.0 } else { self.energy(list) }
        };
        signed.iter_mut().map(one).sum()
    }
}

/// Measures distances in shares of the energy of a reference.
pub(super) struct Ruler {
    kernels: Vec<Kernel>,
    /// Mean energy of a sample by layer: of the spikes and of the membranes; 0 where there are none.
    energy: Vec<[f64; 2]>,
}

/// Squared distance of each sample: the parts added up.
pub(super) type PerSample = Vec<f64>;

impl Ruler {
    /// A ruler for signals like these two.
    pub(super) fn new(translation: &Translation, a: &Behaviour, b: &Behaviour) -> Self {
        let grid = translation.grid();
        let chip_layers = (0..translation.placement().layers()).filter(|l| translation.on_chip(*l));
        let kernels: Vec<Kernel> = chip_layers
            .map(|l| {
                let layer = &translation.layers[l];
                let bin_us = 0.5 * f64::from(grid.dt_us);
                let (tau_mem, tau_syn) = (layer.tau_mem_us, layer.tau_syn_us);
                Kernel { tau_mem, tau_syn, bin_us, bins: 2 * grid.steps }
            })
            .collect();
        let mut ruler = Self { energy: vec![[1.0; 2]; kernels.len()], kernels };
        let nothing = |of: &Behaviour| {
            let mut empty = of.clone();
            for layer in &mut empty.layers {
                layer.spikes.iter_mut().for_each(Vec::clear);
                layer.membrane.fill(0.0);
            }
            empty
        };
        let parts = [ruler.parts(a, &nothing(a)), ruler.parts(b, &nothing(b))];
        for (l, energy) in ruler.energy.iter_mut().enumerate() {
            for (kind, energy) in energy.iter_mut().enumerate() {
                let sum: f64 = parts.iter().flatten().map(|sample| sample[l][kind]).sum();
                *energy = sum / (2 * a.samples.max(1)) as f64;
            }
        }
        ruler
    }

    /// Squared distances in shares of the energy, `[sample][layer][spikes, membranes]`.
    fn parts(&self, a: &Behaviour, b: &Behaviour) -> Vec<Vec<[f64; 2]>> {
        let samples = a.samples.min(b.samples);
        (0..samples)
            .map(|k| (0..self.kernels.len()).map(|l| self.part(a, b, k, l)).collect())
            .collect()
    }

    fn part(&self, a: &Behaviour, b: &Behaviour, k: usize, l: usize) -> [f64; 2] {
        let (a_layer, b_layer) = (&a.layers[l], &b.layers[l]);
        let share = |of: f64, energy: f64| if energy > 0.0 { of / energy } else { 0.0 };
        let spikes = match a_layer.spiking {
            true => self.kernels[l].distance(&a_layer.spikes[k], &b_layer.spikes[k], a_layer.units),
            false => 0.0,
        };
        let size = a.steps * a_layer.units;
        let of = |layer: &LayerBehaviour| {
            layer.membrane.get(k * size..(k + 1) * size).unwrap_or(&[]).to_vec()
        };
        let squares =
            of(a_layer).iter().zip(of(b_layer)).map(|(x, y)| f64::from(x - y).powi(2)).sum();
        [share(spikes, self.energy[l][0]), share(squares, self.energy[l][1])]
    }

    /// Squared distance of every sample.
    pub(super) fn distance(&self, a: &Behaviour, b: &Behaviour) -> PerSample {
        self.parts(a, b).iter().map(|layers| layers.iter().flatten().sum()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_shift_costs_its_square_and_a_lost_spike_its_energy() {
        let kernel = Kernel { tau_mem: 6.0, tau_syn: 6.0, bin_us: 0.25, bins: 400 };
        let at = |time_us: f32| vec![Spike { time_us, unit: 0 }];
        let d = |a: f32, b: f32| kernel.distance(&at(a), &at(b), 1);
        let ratio = d(10.0, 11.0) / d(10.0, 10.5);
        // A little less than four: a microsecond is not small against the kernel's six.
        assert!((3.6..=4.0).contains(&ratio), "{ratio}");
        // ∫ (t e^(−t/τ))² dt = τ³/4.
        let lost = kernel.distance(&at(10.0), &[], 1);
        assert!((lost / (6.0_f64.powi(3) / 4.0) - 1.0).abs() < 0.01, "{lost}");
        assert!(d(10.0, 60.0) > 1.9 * lost && d(10.0, 10.0) == 0.0);
    }
}
