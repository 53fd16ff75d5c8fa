//! The `portcullis` program: see `portcullis::cli`.

fn main() {}
