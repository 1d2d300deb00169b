//! The program `spikeloop`. Everything it does stands in the library.

fn main() -> std::process::ExitCode {
    spikeloop::command::run(std::env::args_os()).into()
}
