//! The `portcullis` program: see `portcullis::cli`.
//!
//! Chooses the allocator; everything else is decided elsewhere.

use mimalloc::MiMalloc;

/// A proxy allocates a few dozen small pieces per request, on the thread that frees them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> std::process::ExitCode {
    portcullis::cli::run()
}
