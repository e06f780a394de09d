#![no_main]

#[path = "../../tests/agreement/reading.rs"]
mod agreement;
#[path = "../../tests/oracle/mod.rs"]
mod oracle;
#[path = "../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("binrpc", input));
