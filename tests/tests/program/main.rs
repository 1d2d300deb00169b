//! The program as a user meets it: command line, exit codes, interruptions, bad input.

mod bad_input;
mod calibrate_cli;
mod command_line;
mod doctor;
mod kill;
mod resume;
