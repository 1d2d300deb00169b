use super::*;

/// Three units that fired 0, 2 and 4 times, batch of 2: values by hand.
#[test]
fn values_and_slopes_by_hand() {
    let counts = [0.0, 2.0, 4.0];
    let third = 1.0 / 3.0;
    let cases: [(Regulariser, f64, [f64; 3]); 7] = [
        (Regulariser::SpikeCountSquared { strength: 6.0 }, 20.0, [0.0, 4.0, 8.0]),
        (Regulariser::SpikeCountMean { strength: 6.0 }, 6.0, [1.0; 3]),
        (Regulariser::SpikeTotal { strength: 0.5 }, 3.0, [0.5; 3]),
        // Sums of the batch 1, 2, 3: (1 + 4 + 9) ρ/3, shared by two samples.
        (Regulariser::BatchCountSquared { strength: 3.0 }, 7.0, [2.0, 4.0, 6.0]),
        (Regulariser::LowerBound { strength: 6.0, bound: 1.0 }, 1.0, [-2.0, 0.0, 0.0]),
        // Population mean 2, one above the bound.
        (Regulariser::UpperBoundPopulation { strength: 2.0, bound: 1.0 }, 1.0, [2.0 * third; 3]),
        (Regulariser::UpperBoundTotal { strength: 2.0, bound: 5.0 }, 1.0, [2.0; 3]),
    ];
    for (regulariser, value, slopes) in cases {
        let mut got = [0.0; 3];
        let share = regulariser.on_counts(&counts, 2, Some(&[1.0, 2.0, 3.0]), &mut got);
        assert!((share - value).abs() < 1e-12, "{regulariser:?}: {share} against {value}");
        for (got, slope) in got.iter().zip(slopes) {
            assert!((got - slope).abs() < 1e-12, "{regulariser:?}: {got} against {slope}");
        }
    }
}

#[test]
fn bounds_that_are_kept_cost_nothing() {
    let mut slopes = [0.0; 2];
    for quiet in [
        Regulariser::LowerBound { strength: 100.0, bound: 1e-3 },
        Regulariser::UpperBoundPopulation { strength: 0.1, bound: 4.0 },
        Regulariser::UpperBoundTotal { strength: 0.1, bound: 10.0 },
    ] {
        assert_eq!(quiet.on_counts(&[1.0, 2.0], 1, None, &mut slopes), 0.0);
    }
    assert_eq!(slopes, [0.0; 2]);
}

#[test]
fn strengths_must_not_be_negative() {
    assert!(Regulariser::SpikeTotal { strength: -1.0 }.check().is_err());
    assert!(Regulariser::LowerBound { strength: 1.0, bound: f64::NAN }.check().is_err());
    assert!(Regulariser::WeightSquared { strength: 0.1 }.check().is_ok());
}
