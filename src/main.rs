//! The `mnemoscope` program: a window, or one of the commands beside it.

fn main() -> std::process::ExitCode {
    mnemoscope::cli::main()
}
