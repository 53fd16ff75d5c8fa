//! The `portcullis` program: see `portcullis::cli`.

fn main() -> std::process::ExitCode {
    portcullis::cli::run()
}
