//! What machine this is.

use std::fs;

use super::Machine;

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let read = |file| fs::read_to_string(file).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let named = cpu.lines().filter_map(|line| line.split_once(':'));
        let mut named = named.filter(|(name, _)| name.trim() == "model name");
        Self {
            processor: named.next().map_or("unknown", |(_, value)| value.trim()).to_owned(),
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine() {
        let machine = Machine::this();
        assert!(machine.processors > 0);
        assert!(machine.kernel.starts_with(|c: char| c.is_ascii_digit()), "{machine:?}");
    }
}
