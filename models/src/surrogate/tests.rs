use super::*;

fn all() -> Vec<Surrogate> {
    vec![
        Surrogate::SuperSpike { beta: 50.0 },
        Surrogate::SuperSpikeAsymptotic { beta: 100.0 },
        Surrogate::SuperSpikeRescaled { beta: 20.0 },
        Surrogate::SuperSpikeClamped { beta: 20.0 },
        Surrogate::SuperSpikeNormalised { beta: 100.0 },
        Surrogate::Sigmoid { beta: 10.0 },
        Surrogate::PlainSigmoid,
        Surrogate::Triangle { beta: 2.0 },
        Surrogate::TriangleScaled { alpha: 0.3 },
        Surrogate::Boxcar,
        Surrogate::Tanh { k: 3.0 },
        Surrogate::Arctan { alpha: 2.0 },
        Surrogate::Gauss { k: 1.5 },
        Surrogate::Circ { alpha: 0.7 },
        Surrogate::Exponential { p0: 0.01, delta_u: 0.133 },
        Surrogate::Spike,
    ]
}

#[test]
fn primitives_have_the_derivative() {
    let h = 1e-6;
    for surrogate in all().into_iter().filter(|s| s.has_primitive()) {
        for k in -300..300 {
            // Away from the kinks at 0, ±½, ±1.
            let x = f64::from(k) * 0.01 + 0.0037;
            let at = |x: f64| surrogate.primitive(x).unwrap();
            let numeric = (at(x + h) - at(x - h)) / (2.0 * h);
            let exact = surrogate.derivative(x);
            // Second order in h, plus rounding of a primitive of up to 1e8.
            let bound = 1e-6 * exact.abs() + 1e-8 * (1.0 + at(x).abs());
            assert!(
                (numeric - exact).abs() < bound,
                "{surrogate:?} at {x}: {numeric} against {exact}"
            );
        }
    }
}

#[test]
fn peak_and_area_are_as_stated() {
    for surrogate in all() {
        let (Some(peak), Some(area)) = (surrogate.peak(), surrogate.area()) else {
            assert!(matches!(surrogate, Surrogate::SuperSpikeNormalised { .. }));
            continue;
        };
        if peak.is_finite() {
            let highest = (-2000..=2000)
                .map(|k| surrogate.derivative(f64::from(k) * 1e-3))
                .fold(0.0, f64::max);
            assert!(
                (highest - peak).abs() < 1e-9 * peak,
                "{surrogate:?}: {highest} against {peak}"
            );
        }
        if area.is_finite() {
            // The primitive is the area below it; its ends converge as 1/x at the slowest.
            let primitive = |x: f64| surrogate.primitive(x).unwrap();
            let got = primitive(1e7) - primitive(-1e7);
            assert!((got - area).abs() < 1e-5 * area, "{surrogate:?}: {got} against {area}");
        }
    }
}

#[test]
fn extremes_stay_finite() {
    for surrogate in all() {
        if matches!(surrogate, Surrogate::Exponential { .. }) {
            continue;
        }
        for x in [-1e6_f32, -30.0, -1.0, 0.0, 1.0, 30.0, 1e6] {
            let d = surrogate.derivative(x);
            assert!(d.is_finite() && d >= 0.0, "{surrogate:?} at {x}: {d}");
        }
    }
}

#[test]
fn published_values() {
    // SuperSpike, β = 50, half a threshold below: 1/676 of the peak.
    let d = Surrogate::SuperSpike { beta: 50.0 }.derivative(-0.5_f64);
    assert!((d - 1.0 / 676.0).abs() < 1e-15);
    assert!(
        (Surrogate::SuperSpikeRescaled { beta: 20.0 }.derivative(-1.0_f64) - 1.0).abs() < 1e-15
    );
    assert_eq!(Surrogate::SuperSpikeClamped { beta: 20.0 }.derivative(3.0_f64), 1.0);
    assert_eq!(Surrogate::Boxcar.derivative(0.5_f64), 1.0);
    assert_eq!(Surrogate::Boxcar.derivative(-0.5_f64), 0.0);
    assert!(
        (Surrogate::Gauss { k: 1.0 }.derivative(0.0_f64) - 2.0 / std::f64::consts::PI.sqrt()).abs()
            < 1e-9
    );
}

#[test]
fn steepness_must_be_positive() {
    for beta in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Surrogate::SuperSpike { beta }.check().is_err());
    }
    assert!(all().iter().all(|s| s.check().is_ok()));
}
