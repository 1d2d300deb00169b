//! The published neuron: leaky integrate-and-fire, forward Euler, exponential current.
//!
//! One step, in this order:
//!
//! ```text
//! U ← U + (dt/τ_m) (I − U)          held at 0 while refractory
//! U > 1 and not refractory: spike, U ← 0, refractory for the set time
//! I ← I e^(−dt/τ_s)
//! I ← I + Σ w                       over the spikes that arrive
//! ```

use std::collections::VecDeque;

use super::Activity;
use super::config::SuperSpikeConfig;
use super::synapses::Synapses;
use crate::kernel::aligned::Aligned;
use crate::kernel::kernel;
use crate::kernel::rows::{gather, padded};
use crate::real::Real;

/// One layer of neurons.
#[derive(Clone, Debug)]
struct Population<F> {
    units: usize,
    membrane: Aligned<F>,
    current: Aligned<F>,
    /// Steps for which the membrane is still held.
    held: Aligned<F>,
}

kernel! {
    /// Membranes, spikes and decay of the currents; `true` if any unit spiked, whose `held` is then
    /// `hold + 1`. Padding stays at 0.
    fn euler[F: Real](
        membrane: &mut [F], current: &mut [F], held: &mut [F], follow: F, decay: F, hold: F, tiny: F,
    ) -> bool {
        let mut highest = F::zero();
        for ((u, i), h) in membrane.iter_mut().zip(current).zip(held) {
            let x = *u + follow * (*i - *u);
            let free = *h <= F::zero();
            let x = if free { x } else { F::zero() };
            let spike = x > F::one();
            *h = if spike { hold + F::one() } else if free { F::zero() } else { *h - F::one() };
            *u = if spike { F::zero() } else { x };
            highest = if spike { F::one() } else { highest };
            let y = *i * decay;
            *i = if y.abs() < tiny { F::zero() } else { y };
        }
        highest > F::zero()
    }
}

impl<F: Real> Population<F> {
    fn new(units: usize) -> Self {
        let zeros = || Aligned::zeros(padded(units));
        Self { units, membrane: zeros(), current: zeros(), held: zeros() }
    }

    fn clear(&mut self) {
        for state in [&mut self.membrane, &mut self.current, &mut self.held] {
            state.fill(F::zero());
        }
    }
}

/// The own forward pass: one population a layer of weights, and the spikes on their way.
#[derive(Clone, Debug)]
pub struct EulerNet<F> {
    populations: Vec<Population<F>>,
    /// `travelling[layer]`: spikes of the sources of a layer, one list a step, the oldest in front.
    travelling: Vec<VecDeque<Vec<u16>>>,
    follow: F,
    decay: F,
    hold: F,
}

impl<F: Real> EulerNet<F> {
    /// `sizes`: units of the input and of every layer, as for the learner.
    #[must_use]
    pub fn new(config: &SuperSpikeConfig, sizes: &[usize]) -> Self {
        let delays = [config.input_delay_ms, config.hidden_delay_ms];
        let mut net = Self {
            populations: sizes.iter().skip(1).map(|units| Population::new(*units)).collect(),
            travelling: (1..sizes.len())
                .map(|layer| {
                    let delay = config.steps(delays[(layer - 1).min(1)]).max(layer.min(2) - 1);
                    VecDeque::from(vec![Vec::new(); delay + 1])
                })
                .collect(),
            follow: F::of(config.follow()),
            decay: F::of(config.decay(config.tau_syn_ms)),
            hold: F::of(config.steps(config.refractory_ms) as f64),
        };
        net.reset();
        net
    }

    /// Everything at rest, nothing on its way.
    pub fn reset(&mut self) {
        self.populations.iter_mut().for_each(Population::clear);
        self.travelling.iter_mut().flatten().for_each(Vec::clear);
    }

    /// One step; `inputs` spike in it. Fills all of `activity` but the errors.
    pub fn step(&mut self, layers: &[Synapses<F>], inputs: &[u16], activity: &mut Activity<F>) {
        let tiny = F::of(super::trace::TINY);
        for (k, (population, layer)) in self.populations.iter_mut().zip(layers).enumerate() {
            let Population { units, membrane, current, held } = population;
            let spiked = euler(membrane, current, held, self.follow, self.decay, self.hold, tiny);
            let spikes = &mut activity.spikes[k];
            spikes.clear();
            if spiked {
                let fresh = self.hold + F::one();
                let found = (0..*units).filter(|i| held[*i] == fresh);
                spikes.extend(found.map(|i| i as u16));
                for i in spikes.iter() {
                    held[usize::from(*i)] = self.hold;
                }
            }
            activity.membranes[k][..*units].copy_from_slice(&membrane[..*units]);
            let sources = if k == 0 { inputs } else { &activity.spikes[k - 1] };
            // The newest list is the last; the one that arrives is then in front.
            let way = &mut self.travelling[k];
            if let Some(newest) = way.back_mut() {
                newest.clear();
                newest.extend_from_slice(sources);
            }
            way.rotate_left(1);
            let place = way.len() - 1;
            // After the rotation the list that was in front stands last and is free to be refilled.
            let arrived = &mut activity.arrivals[k];
            arrived.clear();
            arrived.extend_from_slice(&way[place]);
            gather(current, &layer.weights, arrived);
        }
    }

    /// Names and values of the state, in a fixed order: membranes, currents, refractory counters; the
    /// spikes on their way are lists of `[steps ago, id]`.
    #[must_use]
    pub fn state(&self) -> Vec<(String, Vec<f64>)> {
        let mut state = Vec::new();
        for (k, p) in self.populations.iter().enumerate() {
            for (name, values) in
                [("membrane", &p.membrane), ("current", &p.current), ("held", &p.held)]
            {
                let values = values[..p.units].iter().map(|x| x.wide()).collect();
                state.push((format!("neurons.{k}.{name}"), values));
            }
            let way = self.travelling[k].iter().enumerate();
            let spikes = way
                .flat_map(|(at, ids)| ids.iter().flat_map(move |id| [at as f64, f64::from(*id)]));
            state.push((format!("neurons.{k}.travelling"), spikes.collect()));
        }
        state
    }

    /// Puts one array of [`state`](Self::state) back; `false` if it does not fit.
    pub fn restore(&mut self, name: &str, values: &[f64]) -> bool {
        let mut parts = name.split('.').skip(1);
        let index = parts.next().and_then(|k| k.parse::<usize>().ok());
        let (Some(k), Some(what)) = (index, parts.next()) else { return false };
        let Some(p) = self.populations.get_mut(k) else { return false };
        let target = match what {
            "membrane" => &mut p.membrane,
            "current" => &mut p.current,
            "held" => &mut p.held,
            "travelling" => return refill(&mut self.travelling[k], values),
            _ => return false,
        };
        if values.len() != p.units {
            return false;
        }
        for (x, value) in target.iter_mut().zip(values) {
            *x = F::of(*value);
        }
        true
    }
}

fn refill(way: &mut VecDeque<Vec<u16>>, values: &[f64]) -> bool {
    way.iter_mut().for_each(Vec::clear);
    let pairs = values.chunks_exact(2);
    let whole = pairs.remainder().is_empty();
    whole
        && pairs.into_iter().all(|pair| match way.get_mut(pair[0] as usize) {
            Some(list) => {
                list.push(pair[1] as u16);
                true
            }
            None => false,
        })
}
