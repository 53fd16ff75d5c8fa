//! See `portcullis::fuzzing::answer_fields`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis::fuzzing::answer_fields(data));
