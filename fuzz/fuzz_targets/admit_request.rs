//! See `portcullis::fuzzing::admit_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis::fuzzing::admit_request(data));
