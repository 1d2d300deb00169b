use super::*;
use proptest::prelude::*;

/// Spikes of a batch as `(sample, step, unit)`, sorted.
fn spikes(trains: &SpikeTrains) -> Vec<(usize, usize, u16)> {
    let mut all = Vec::new();
    for sample in 0..trains.samples() {
        for step in 0..trains.steps() {
            all.extend(trains.at(sample, step).iter().map(|&id| (sample, step, id)));
        }
    }
    all.sort_unstable();
    all
}

#[test]
fn latency_code_is_the_first_spike_of_a_driven_leaky_integrator() {
    // v(t) = x (1 − e^{−t/τ}) reaches θ at t = τ ln(x/(x−θ)).
    for x in [0.21_f32, 0.3, 0.5, 1.0] {
        let t = latency_us(x, 0.2, 8.0);
        let v = f64::from(x) * (1.0 - (-f64::from(t) / 8.0).exp());
        assert!((v - 0.2).abs() < 1e-6, "x {x}: membrane {v} at the spike");
    }
    assert!((latency_us(1.0, 0.2, 8.0) - 1.785_148_4).abs() < 1e-6);
}

#[test]
fn values_below_the_threshold_never_fire() {
    assert_eq!(latency_us(0.199_999, 0.2, 8.0), f32::INFINITY);
    assert_eq!(latency_us(f32::NAN, 0.2, 8.0), f32::INFINITY);
    // At the threshold the time is finite, and far beyond any window.
    let at = latency_us(0.2, 0.2, 8.0);
    assert!(at.is_finite() && at > 100.0, "{at}");
}

#[test]
fn latency_table_matches_the_function() {
    let table = latency_table(255, 0.2, 8.0);
    assert_eq!(table.len(), 256);
    assert_eq!(table[255], latency_us(1.0, 0.2, 8.0));
    assert_eq!(table[50], f32::INFINITY);
    assert!(table[51] > 100.0);
    assert!(table[52..].windows(2).all(|w| w[0] > w[1]), "brighter is earlier");
}

#[test]
fn yin_yang_code_has_a_bias_and_copies() {
    let times: Vec<f32> = yin_yang_us([0.0, 0.5, 1.0, 0.25], 5).collect();
    assert_eq!(times.len(), 25);
    assert_eq!(&times[..5], &[2.0, 14.0, 26.0, 8.0, 2.0]);
    assert_eq!(&times[20..], &times[..5]);
}

#[test]
fn grid_drops_what_lies_outside() {
    let grid = Grid { dt_us: 1.7, steps: 20 };
    assert_eq!(grid.step_of(0.0), Some(0));
    assert_eq!(grid.step_of(1.69), Some(0));
    assert_eq!(grid.step_of(33.9), Some(19));
    for outside in [-0.01, 34.1, f32::INFINITY, f32::NAN] {
        assert_eq!(grid.step_of(outside), None, "{outside}");
    }
}

#[test]
fn batch_minimum_moves_the_whole_batch_by_its_first_spike() {
    let none = f32::INFINITY;
    let times = SpikeTimes::from_dense(3, &[3.0, none, 4.9, 5.5, 2.0, none, none, none, none]);
    let grid = Grid { dt_us: 1.0, steps: 3 };
    let mut trains = SpikeTrains::default();
    times.bin(&[0, 1], &grid, Origin::BatchMinimum, &mut trains);
    assert_eq!(spikes(&trains), [(0, 1, 0), (0, 2, 2), (1, 0, 1)]);
    times.bin(&[0], &grid, Origin::BatchMinimum, &mut trains);
    assert_eq!(spikes(&trains), [(0, 0, 0), (0, 1, 2)], "another batch, another origin");
    times.bin(&[2, 1], &grid, Origin::Absolute, &mut trains);
    assert_eq!((trains.samples(), spikes(&trains)), (2, vec![(1, 2, 1)]));
    assert_eq!(times.earliest_us(&[2]), 0.0, "a silent batch has no origin of its own");
}

#[test]
fn slices_and_sums_keep_the_events() {
    let times = SpikeTimes::from_dense(2, &[1.0, 2.0, f32::NAN, 0.5, 3.0, 3.0]);
    let (mut head, tail) = (times.slice(0, 1), times.slice(1, 99));
    assert_eq!((head.samples(), tail.samples(), tail.total()), (1, 2, 3));
    assert_eq!(tail.sample(1), (&[3.0, 3.0][..], &[0_u16, 1][..]), "ties in order of unit");
    head.extend(&tail);
    assert_eq!(head, times);
}

proptest! {
    /// The scan over sorted events gives what a dense double loop over units gives.
    #[test]
    fn binning_equals_the_dense_definition(
        table in proptest::collection::vec(prop_oneof![4 => 0.0_f32..50.0, 1 => Just(f32::INFINITY)], 40),
        chosen in proptest::collection::vec(0_u32..8, 1..12),
        dt_us in 0.1_f32..5.0,
        shift: bool,
    ) {
        let times = SpikeTimes::from_dense(5, &table);
        let grid = Grid { dt_us, steps: 11 };
        let origin = if shift { Origin::BatchMinimum } else { Origin::Absolute };
        let mut trains = SpikeTrains::default();
        times.bin(&chosen, &grid, origin, &mut trains);
        let start = if shift { times.earliest_us(&chosen) } else { 0.0 };
        let mut expected = Vec::new();
        for (row, &s) in chosen.iter().enumerate() {
            for unit in 0..5 {
                if let Some(step) = grid.step_of(table[s as usize * 5 + unit] - start) {
                    expected.push((row, step, unit as u16));
                }
            }
        }
        expected.sort_unstable();
        prop_assert_eq!(trains.samples(), chosen.len());
        prop_assert_eq!(spikes(&trains), expected);
    }
}
