use super::*;
use spikeloop_calibration::parity::{
    Behaviour, Cause, LayerBehaviour, Pictures, Spike, Suspect, Verdict,
};

fn behaviour(shift: f32) -> Behaviour {
    let spikes = vec![Spike { time_us: 3.0 + shift, unit: 1 }];
    let membrane = (0..8).map(|k| k as f32 * 0.1 + shift).collect();
    let layer = LayerBehaviour { units: 2, spiking: true, spikes: vec![spikes], membrane };
    Behaviour { layers: vec![layer], samples: 1, steps: 4 }
}

fn parity() -> Parity {
    let share = |cause, share| Suspect { cause, share, error: 0.02 };
    Parity {
        samples: 1,
        verdict: Verdict {
            suspects: vec![share(Cause::Gain, 0.9), share(Cause::Timing, 0.05)],
            first: Some(Cause::Gain),
            confidence: 1.0,
            distance: 0.1,
            ..Verdict::default()
        },
        divergences: vec![Divergence {
            sample: 0,
            layer: 0,
            unit: 1,
            time_us: 3.0,
            what: Difference::Shifted { by_us: 1.5 },
        }],
        notes: vec!["<less> certain".into()],
        ..Parity::default()
    }
}

#[test]
fn the_page_names_suspect_place_and_remedy() {
    let (parity, other) = (parity(), behaviour(0.0));
    let pictures = Pictures {
        model: other.clone(),
        ideal: other.clone(),
        twin: other,
        chip: behaviour(1.5),
        membrane_over_time: [vec![1.5; 4], vec![1.5; 4], Vec::new()],
    };
    let head = Head { name: "run".into(), chip: "chip/1".into(), dt_ns: 1000, ..Head::default() };
    let page = page(&parity, &pictures, &head);
    for part in ["First suspect: gain", "spike 1.50 µs late", "calibrate the gains", "&lt;less&gt;"]
    {
        assert!(page.contains(part), "{part}");
    }
    let own = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!own.contains("NaN") && !own.contains("http"), "self-contained");
}

#[test]
fn the_table_says_the_same() {
    let text = render(&parity());
    for part in ["First suspect: gain", "90.0 ± 2.0 %", "unit 1, at 3.00 µs", "note: <less>"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(render(&Parity::default()).contains("No suspect"));
}
