//! The `mnemoscope` program: a window, or one of the commands beside it.

fn main() -> std::process::ExitCode {
    mnemoscope::nn::kernel::pool::keep_candle_on_one_thread();
    mnemoscope::cli::main()
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
