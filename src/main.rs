//! The `portcullis` program: see `portcullis::cli`.

/// Requests allocate and free small pieces all the time; `benches/README.md` has what glibc's allocator costs instead.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    portcullis::cli::run()
}
