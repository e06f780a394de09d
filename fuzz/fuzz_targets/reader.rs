#![no_main]

#[path = "../../tests/agreement/reading.rs"]
mod agreement;
mod mutator;
#[path = "../../tests/oracle/mod.rs"]
mod oracle;
#[path = "../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("reader", input));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutator::mutate(data, size, max_size, seed)
});
