//! `loadtest`: see ../README.md.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "counts and times of a run stay far below 2^52"
)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
