//! Values of the command line: addresses, times, shares.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Where servers and sinks are unless it is said otherwise.
pub(super) const SERVERS: &str = "127.0.0.1:5081-5082";

/// Reads `ADDR:PORT` or `ADDR:FIRST-LAST`.
pub(super) fn addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    let wants = || {
        format!(
            "{text:?} is no address: write 127.0.0.1:5081, or 127.0.0.1:5081-5084 for four, or [::1]:5081"
        )
    };
    let (first, last) = match text.rsplit_once(':') {
        Some((ip, ports)) if ports.contains('-') => {
            let (first, last) = ports.split_once('-').ok_or_else(wants)?;
            (format!("{ip}:{first}"), Some(last))
        }
        _ => (text.to_owned(), None),
    };
    let first: SocketAddr = first.parse().map_err(|_| wants())?;
    let last: u16 = last.map_or(Ok(first.port()), |last| last.parse().map_err(|_| wants()))?;
    if last < first.port() {
        return Err(format!("{text:?} has its last port before its first"));
    }
    if first.ip().is_unspecified() {
        return Err(format!(
            "{text:?} names no address that others can answer to: write one of this machine"
        ));
    }
    Ok((first.port()..=last).map(|port| SocketAddr::new(first.ip(), port)).collect())
}

/// Reads `30s`, `500ms`, or `1.5` seconds.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let wants = || format!("{text:?} is no time: write 30s, 500ms, 2m, or a number of seconds");
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| wants()),
        Err(_) => humantime::parse_duration(text).map_err(|_| wants()),
    }
}

/// Reads `5%` or `0.05`.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number.trim_end(), 100.0),
        None => (text, 1.0),
    };
    let share = number.parse::<f64>().ok().map(|number| number / unit);
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| format!("{text:?} is no share: write 5%, or 0.05"))
}

/// Reads a rate above 0.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| *rate > 0.0 && rate.is_finite());
    rate.ok_or_else(|| format!("{text:?} is no rate: write a number of calls a second, as 1000"))
}

/// The address of this machine that reaches this one.
pub(super) fn local_for(target: SocketAddr) -> Result<IpAddr, String> {
    let any: IpAddr = if target.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let found = UdpSocket::bind((any, 0)).and_then(|socket| {
        // Nothing is sent: the kernel only looks for a route.
        socket.connect(target)?;
        socket.local_addr()
    });
    match found {
        Ok(local) => Ok(local.ip()),
        Err(error) => {
            Err(format!("no route to {target}: {error}; --from names the address to send from"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_ranges() {
        let texts = |text| {
            let list = addresses(text)?;
            Ok::<_, String>(list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(texts("127.0.0.1:5081").unwrap(), "127.0.0.1:5081");
        assert_eq!(texts("[::1]:5081-5083").unwrap(), "[::1]:5081 [::1]:5082 [::1]:5083");
        assert_eq!(texts("127.0.0.1:5081-5081").unwrap(), "127.0.0.1:5081");
        for (text, wants) in [
            ("127.0.0.1", "is no address"),
            ("5081", "is no address"),
            ("127.0.0.1:5-x", "is no address"),
            ("::1:5081-5083", "is no address"),
            ("127.0.0.1:70000", "is no address"),
            ("127.0.0.1:5084-5081", "last port before"),
            ("0.0.0.0:5081", "names no address"),
        ] {
            let error = texts(text).unwrap_err();
            assert!(error.contains(wants), "{text}: {error}");
        }
    }

    #[test]
    fn times_shares_and_rates() {
        assert_eq!(time("1.5"), Ok(Duration::from_millis(1_500)));
        assert_eq!(time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(time("2m"), Ok(Duration::from_mins(2)));
        assert!(time("-1").is_err() && time("soon").is_err() && time("").is_err());
        assert_eq!(share("5%"), Ok(0.05));
        assert_eq!(share("0.25"), Ok(0.25));
        assert!(share("101%").is_err() && share("-1%").is_err() && share("x").is_err());
        assert_eq!(rate("0.5"), Ok(0.5));
        assert!(rate("0").is_err() && rate("inf").is_err() && rate("NaN").is_err());
    }

    #[test]
    fn the_address_that_reaches_loopback() {
        for ip in ["127.0.0.1", "::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(local_for(SocketAddr::new(ip, 9)), Ok(ip));
        }
    }
}
