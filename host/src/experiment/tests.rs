use super::*;
use crate::config;

fn shipped(name: &str, set: &[&str]) -> Experiment {
    let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
    config::load(name, &set).unwrap()
}

fn refused(name: &str, set: &[&str]) -> String {
    shipped(name, set).check().unwrap_err().to_string()
}

#[test]
fn an_encoder_stands_before_the_hidden_layers_and_draws_its_own_weights() {
    let experiment = shipped("braille", &[]);
    experiment.check().unwrap();
    let network = experiment.network(5, 27).unwrap();
    let units: Vec<usize> = network.layers.iter().map(|l| l.spec.units).collect();
    assert_eq!(units, [128, 200, 27]);
    let recurrent: Vec<bool> = network.layers.iter().map(|l| l.recurrent.is_some()).collect();
    assert_eq!(recurrent, [false, true, false]);
    assert_eq!(network.layers[1].spec.initial_membrane, -1e-3);
    assert_eq!([0, 2].map(|l| network.layers[l].spec.initial_membrane), [0.0, 0.0]);
    // Gains and biases ~ N(0, 1); recurrent weights ~ N(0, 0.03/√200).
    let deviation = |values: Vec<f32>| {
        let n = values.len() as f32;
        (values.iter().map(|v| v * v).sum::<f32>() / n).sqrt()
    };
    let drawn = network.layers[0].weights.iter().copied().filter(|w| *w != 0.0);
    assert!((deviation(drawn.collect()) - 1.0).abs() < 0.2);
    let own = network.layers[1].recurrent.as_ref().unwrap().iter().copied().collect();
    assert!((deviation(own) / (0.03 / 200_f32.sqrt()) - 1.0).abs() < 0.05);
}

#[test]
fn a_readout_has_its_own_time_constant_and_start() {
    let network = shipped("randman", &[]).network(20, 10).unwrap();
    let readout = &network.layers[1].spec;
    assert_eq!((readout.tau_mem_us.at(0), readout.initial_membrane), (200e3, -1e-2));
    assert_eq!(network.layers[0].spec.tau_mem_us.at(0), 20e3);
}

#[test]
fn what_runs_in_software_alone_says_so() {
    let chip = "chip.selector='emu:preset=bss2-cal'";
    for (name, set) in [
        ("braille", vec![chip]),
        ("digits", vec!["learning.method=escape-noise"]),
        ("digits", vec!["learning.method=smooth-spikes"]),
    ] {
        assert!(refused(name, &set).contains("software"), "{name}");
    }
    let software = ["learning.method=escape-noise", "chip.selector=software"];
    shipped("digits", &software).check().unwrap();
}

#[test]
fn sections_of_other_methods_and_wrong_values_are_named() {
    let noise = "learning.noise={beta=5.0}";
    assert!(refused("randman", &[noise]).contains("learning.noise belongs to"));
    let method = "learning.method=escape-noise";
    assert!(refused("randman", &[method, "learning.noise={draws=0}"]).contains("noise.draws"));
    let method = "learning.method=smooth-spikes";
    assert!(refused("randman", &[method, "learning.smooth={to=-1.0}"]).contains("smooth.to"));
}

#[test]
fn inputs_and_encoder_must_fit() {
    let braille = shipped("braille", &[]);
    braille.check_inputs(true).unwrap();
    assert!(braille.check_inputs(false).unwrap_err().to_string().contains("leave the encoder out"));
    let randman = shipped("randman", &[]);
    randman.check_inputs(false).unwrap();
    assert!(randman.check_inputs(true).unwrap_err().to_string().contains("encoder = {"));
}
