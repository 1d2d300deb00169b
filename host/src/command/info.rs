//! `spikeloop info`: what a chip says it is.

use super::table::{pairs, table};
use super::{ChipArgs, CommandError, Context, output};
use crate::exit_code::ExitCode;
use serde::Serialize;
use spikeloop_hal::{Capabilities, Law, ParameterSpec, Selector, Unit};

/// Arguments of `info`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which chip.
    #[command(flatten)]
    pub chip: ChipArgs,
    /// Print the identity only, in one line
    #[arg(short, long)]
    pub identity: bool,
    /// Write every drawn value of an emulated chip to a file; emu:chip=FILE is the same chip again
    #[arg(long, value_name = "FILE")]
    pub save: Option<std::path::PathBuf>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    chip: &'a Selector,
    identity: String,
    firmware: String,
    capabilities: &'a Capabilities,
}

/// Opens the chip and prints its capabilities.
///
/// # Errors
/// Those of choosing and opening a chip.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    let (selector, chip) = args.chip.open(context)?;
    let caps = chip.capabilities();
    if let Some(path) = &args.save {
        save(&selector, path)?;
    }
    if context.json {
        output::json(&Report {
            chip: &selector,
            identity: caps.identity.to_string(),
            firmware: version(caps.identity.firmware),
            capabilities: caps,
        })?;
    } else if args.identity {
        output::text(&format!("{}\n", caps.identity))?;
    } else {
        output::text(&render(&selector, caps))?;
    }
    Ok(ExitCode::Ok)
}

/// Writes the drawn values of an emulated chip.
fn save(selector: &Selector, path: &std::path::Path) -> Result<(), CommandError> {
    let Some(truth) = crate::run_report::truth(selector) else {
        return Err(CommandError::Usage(format!(
            "--save: {selector} is no emulated chip of this process; only of those (emu:...) every value is known"
        )));
    };
    truth.save(path).map_err(spikeloop_hal::Error::from)?;
    tracing::info!("saved; use it as emu:chip={}", path.display());
    Ok(())
}

/// `major.minor.patch`.
#[must_use]
pub fn version(firmware: u32) -> String {
    format!("{}.{}.{}", firmware >> 16, (firmware >> 8) & 0xff, firmware & 0xff)
}

fn render(selector: &Selector, caps: &Capabilities) -> String {
    let recurrent = if caps.recurrent { ", recurrent" } else { "" };
    let buffers = &caps.buffers;
    let mut text = pairs([
        ("chip", caps.identity.to_string()),
        ("selector", selector.to_string()),
        ("firmware", format!("{}, protocol {}", version(caps.identity.firmware), caps.protocol)),
        ("size", format!("{} inputs x {} neurons{recurrent}", caps.inputs, caps.neurons)),
        ("weights", format!("{} to {}", caps.weight_min, caps.weight_max)),
        ("time", time(caps)),
        ("converter", converter(caps)),
        (
            "one run",
            format!(
                "up to {} trials, {} input events, {} spikes a trial, {} bytes of samples",
                buffers.trials,
                buffers.stimulus_events,
                buffers.spikes_per_trial,
                buffers.trace_bytes
            ),
        ),
        (
            "in flight",
            format!(
                "{} runs, frames of up to {} bytes",
                buffers.runs_in_flight, buffers.frame_body
            ),
        ),
    ]);
    if !caps.parameters.is_empty() {
        let rows: Vec<_> = caps.parameters.iter().map(parameter).collect();
        text.push('\n');
        let head = ["PARAMETER", "CODES", "DEFAULT", "DESIGN VALUE", "RANGE"];
        text.push_str(&table(head, &rows, &[1, 2, 3, 4]));
    }
    text
}

fn time(caps: &Capabilities) -> String {
    let longest = caps.microseconds(caps.max_duration);
    format!("tick {} ns, trials of up to {} us", caps.tick_ns, number(longest))
}

fn converter(caps: &Capabilities) -> String {
    let Some(adc) = &caps.adc else { return "none: spikes only".into() };
    format!(
        "{} bits, reliable from {} to {}, one sample in {} us",
        adc.bits,
        adc.reliable_min,
        adc.reliable_max,
        number(caps.microseconds(adc.min_period))
    )
}

fn parameter(spec: &ParameterSpec) -> [String; 5] {
    let unit = match spec.unit {
        Unit::Lsb => "LSB",
        Unit::Microseconds => "us",
        Unit::LsbPerMicrosecondPerCode => "LSB/us/code",
        Unit::LsbPerMicrosecond => "LSB/us",
        _ => "",
    };
    let ends = [spec.value(spec.code_min), spec.value(spec.code_max)].map(f64::from);
    let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
    // A reciprocal law has no value at code 0: the slowest the circuit can be is not known.
    let open = matches!(spec.law, Law::Reciprocal { .. }) && spec.code_min == 0;
    let high = if open { format!("> {}", number(high)) } else { number(high) };
    [
        spec.parameter.name().to_owned(),
        format!("{} to {}", spec.code_min, spec.code_max),
        spec.code_default.to_string(),
        format!("{} {unit}", number(f64::from(spec.value(spec.code_default)))),
        format!("{} to {high} {unit}", number(low)),
    ]
}

/// Four significant digits, without trailing zeros.
fn number(value: f64) -> String {
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    let decimals = (3 - magnitude).clamp(0, 6) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases =
            [(0.0, "0"), (1.0, "1"), (12.5, "12.5"), (3.26159, "3.262"), (65536.0, "65536")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        assert_eq!(number(-0.00125), "-0.00125");
        assert_eq!(version(0x0001_0203), "1.2.3");
    }
}
