//! Call-IDs as SIP stacks write them: identifiers with clocks and counters in them, random texts, and
//! numbers, with and without a host.

/// Returns the Call-ID of the call with this number. Consecutive calls come from different stacks, and
/// the calls of one stack are as far apart as those of a busy machine.
pub(crate) fn call_id(number: u64) -> String {
    let (kind, call) = (number % KINDS, number / KINDS);
    let mut random = Random(number);
    // Some callers, each with an address of its own.
    let host = format!("203.0.113.{}", 10 + random.below(8));
    match kind {
        // A random UUID: Asterisk with chan_pjsip.
        0 => {
            let (high, low) = (random.next(), random.next());
            format!(
                "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
                high >> 32,
                high >> 16 & 0xffff,
                high & 0xfff,
                0x8000 | low >> 50,
                low & 0xffff_ffff_ffff
            )
        }
        // A UUID of the time in 100 ns, about a thousand a second from one machine: FreeSWITCH.
        1 => {
            let time = 0x01ef_1a2b_3c4d_5e6f + call * 10_000 + random.below(10_000);
            format!(
                "{:08x}-{:04x}-12{:02x}-b1a4-525400123456",
                time & 0xffff_ffff,
                time >> 32 & 0xffff,
                time >> 48 & 0xff
            )
        }
        // Random hex digits, and address and port: Asterisk with chan_sip.
        2 => format!("{:016x}{:016x}@{host}:5060", random.next(), random.next()),
        // A counter, a time, and what the machine has kept since its start: gateways with Cisco IOS.
        3 => format!(
            "{:08X}-{:04X}11EE-{:04X}C0DE-7F3A2B19@{host}",
            0x5a10_0000 + call * 17,
            (call / 1_000) & 0xffff,
            call & 0xffff
        ),
        // A counter and a process: SIPp.
        4 => format!("{}-26512@{host}", call + 1),
        // Fixed parts around random hex digits: Oracle's border controllers.
        5 => format!(
            "SD{}01-{:016x}{:016x}-06a30g1",
            random.text(6, b"abcdefghijklmnopqrstuvwxyz0123456789"),
            random.next(),
            random.next()
        ),
        // Random letters and digits: softphones with PJSIP.
        6 => random.text(32, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-"),
        // Decimal numbers: desk phones.
        _ => format!("{}_{}@192.168.1.{}", random.below(4), random.next() >> 32, random.below(254)),
    }
}

/// How many kinds there are, each with the same number of calls.
const KINDS: u64 = 8;

/// `SplitMix64`: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // The seeds are consecutive numbers: mixed once, each begins a sequence of its own.
        self.0 = mix(self.0.wrapping_add(0x9e37_79b9_7f4a_7c15));
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn text(&mut self, len: usize, alphabet: &[u8]) -> String {
        let mut text = String::with_capacity(len);
        for _ in 0..len {
            let at = self.below(alphabet.len() as u64) as usize;
            text.push(char::from(alphabet[at]));
        }
        text
    }
}

fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
