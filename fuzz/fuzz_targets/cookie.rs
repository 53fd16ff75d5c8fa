//! See `portcullis::fuzzing::cookie`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis::fuzzing::cookie(data));
