//! See `portcullis::fuzzing::tls_answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis::fuzzing::tls_answer(data));
