//! Numbers for people.

/// A count with commas: 1,234,567.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate, to the nearest whole, or to a tenth below 100.
pub(super) fn rate(per_second: f64) -> String {
    if per_second < 100.0 && per_second.fract() > 0.05 {
        format!("{per_second:.1}")
    } else {
        count(per_second.round() as u64)
    }
}

/// A time: 950 us, 1.23 ms, 4.56 s.
pub(super) fn time(us: f64) -> String {
    match us {
        ..100.0 => format!("{us:.1} us"),
        ..1_000.0 => format!("{us:.0} us"),
        ..10_000.0 => format!("{:.2} ms", us / 1e3),
        ..100_000.0 => format!("{:.1} ms", us / 1e3),
        ..1_000_000.0 => format!("{:.0} ms", us / 1e3),
        _ => format!("{:.2} s", us / 1e6),
    }
}

/// A share in percent.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".into();
    }
    let share = 100.0 * part as f64 / whole as f64;
    // What is not nothing does not look like nothing, nor what is not all like all.
    match share {
        _ if part == 0 => "0 %".into(),
        _ if part == whole => "100 %".into(),
        ..0.01 => "< 0.01 %".into(),
        99.99.. => "> 99.99 %".into(),
        _ => format!("{share:.2} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let counts = [0, 999, 1_000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
        let rates = [0.5, 99.96, 2.0, 100.4, 12_345.6].map(rate);
        assert_eq!(rates, ["0.5", "100.0", "2", "100", "12,346"]);
        let times = [12.34, 123.4, 1_234.0, 12_340.0, 123_400.0, 1_234_000.0].map(time);
        assert_eq!(times, ["12.3 us", "123 us", "1.23 ms", "12.3 ms", "123 ms", "1.23 s"]);
    }

    #[test]
    fn shares() {
        let shares = [(0, 9), (9, 9), (1, 3), (1, 1_000_000), (999_999, 1_000_000), (0, 0)]
            .map(|(p, w)| percent(p, w));
        assert_eq!(shares, ["0 %", "100 %", "33.33 %", "< 0.01 %", "> 99.99 %", "-"]);
    }
}
