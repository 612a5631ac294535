#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals_tests::fuzzing::pack(data));
