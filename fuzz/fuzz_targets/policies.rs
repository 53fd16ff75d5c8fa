//! See `portcullis::fuzzing::policies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis::fuzzing::policies(data));
