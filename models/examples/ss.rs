#![allow(clippy::all, clippy::unwrap_used, clippy::print_stdout, missing_docs)]
use spikeloop_models::SpikeTrains;
use spikeloop_models::method::superspike::*;
fn ras(path: &str, steps: usize, units: usize) -> SpikeTrains {
    let text = std::fs::read_to_string(path).unwrap();
    let mut ev: Vec<(usize, u16)> = text
        .lines()
        .filter(|l| !l.starts_with('#') && !l.trim().is_empty())
        .map(|l| {
            let mut p = l.split_whitespace();
            let t: f64 = p.next().unwrap().parse().unwrap();
            ((t * 10000.0).round() as usize, p.next().unwrap().parse().unwrap())
        })
        .collect();
    ev.sort();
    let mut s = SpikeTrains::new(steps, units);
    let mut k = 0;
    for t in 0..steps {
        while k < ev.len() && ev[k].0 == t {
            s.push(ev[k].1);
            k += 1;
        }
        s.end_step();
    }
    s
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let dir = format!("/work/shared/data/ssbm/{}", a[1]);
    let fb = match a[2].as_str() {
        "s" | "n" => Feedback::Symmetric,
        "r" => Feedback::Random,
        _ => Feedback::Uniform,
    };
    let hidden: usize = a[3].parse().unwrap();
    let rate: f64 = a[4].parse().unwrap();
    let rho: f64 = a[5].parse().unwrap();
    let seed: u64 = a[6].parse().unwrap();
    let trials: usize = a[7].parse().unwrap();
    let rest = a.len() > 8 && a[8] == "rest";
    let (steps, outs) = match a[1].as_str() {
        "poisson" => (5000, 1),
        "auryn" => (35000, 100),
        _ => panic!(),
    };
    let inputs = ras(&format!("{dir}/input.ras"), steps, 100);
    let targets = ras(&format!("{dir}/target.ras"), steps, outs);
    let want: Vec<(u32, u16)> =
        (0..steps).flat_map(|t| targets.at(0, t).iter().map(move |i| (t as u32, *i))).collect();
    let c = SuperSpikeConfig { rate, rho, feedback: fb, ..Default::default() };
    let sizes: Vec<usize> = if hidden == 0 { vec![100, outs] } else { vec![100, hidden, outs] };
    let mut l = SuperSpike::<f32>::new(c.clone(), &sizes, seed).unwrap();
    let mut net = EulerNet::new(&c, &sizes);
    let mut first = None;
    let mut perfect = vec![];
    let t0 = std::time::Instant::now();
    let mut costs = vec![];
    for trial in 1..=trials {
        if rest {
            l.rest();
            net.reset();
        }
        let o = l.trial(&mut net, &inputs, Teacher::Spikes(&targets)).unwrap();
        let ok = on_target(&o.spikes, &want, 20);
        perfect.push(ok);
        costs.push(o.cost);
        if ok && first.is_none() {
            first = Some(trial);
            if a[1] == "poisson" {
                println!("first {trial}");
            }
        }
        let every = (trials / 12).max(1);
        if trial % every == 0 {
            println!(
                "{trial} cost {:.4} out {} hid {} {:.1}s",
                costs[trial.saturating_sub(every)..].iter().sum::<f64>() / every as f64,
                o.spikes.len(),
                o.hidden_spikes,
                t0.elapsed().as_secs_f64()
            );
        }
    }
    let n = perfect.len();
    let tail = perfect[n.saturating_sub(100)..].iter().filter(|x| **x).count();
    println!(
        "RESULT {:?} first {:?} last100 {} lastcost {:.4}",
        &a[1..],
        first,
        tail,
        costs[n.saturating_sub(10)..].iter().sum::<f64>() / 10f64.min(n as f64)
    );
}
