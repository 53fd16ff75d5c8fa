//! See `portcullis::fuzzing::ocsp_answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis::fuzzing::ocsp_answer(data));
