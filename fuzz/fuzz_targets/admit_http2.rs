//! See `portcullis::fuzzing::admit_http2`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis::fuzzing::admit_http2(data));
