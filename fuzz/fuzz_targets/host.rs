//! See `portcullis::fuzzing::host`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis::fuzzing::host(data));
