//! See `portcullis::fuzzing::route_path`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis::fuzzing::route_path(data));
