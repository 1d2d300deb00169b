//! The program `spikeloop` as the tests start it: the same one line as the real one, in a package
//! whose tests are told where it was built.

fn main() -> std::process::ExitCode {
    spikeloop::command::run(std::env::args_os()).into()
}
