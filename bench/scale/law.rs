//! The law of how much more several workers do than one.

/// Returns the share of the work that only one worker can do at a time, if `workers` of them do
/// `speedup` times what one does: Amdahl's law, `S(n) = n / (1 + share * (n - 1))`. It is 0 if they
/// do as much as that many machines would.
pub(crate) fn serial_share(workers: usize, speedup: f64) -> f64 {
    let n = workers as f64;
    ((n / speedup - 1.0) / (n - 1.0)).max(0.0)
}

/// Returns the speedup of so many workers by the same law.
pub(crate) fn speedup(workers: usize, share: f64) -> f64 {
    let n = workers as f64;
    n / (1.0 + share * (n - 1.0))
}
