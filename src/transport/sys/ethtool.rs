//! What a network card's driver answers: rings, queues, interrupt moderation. It is in no file.
//!
//! The requests are those of `linux/ethtool.h` that only read; they need no privilege.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

/// A structure of `linux/ethtool.h`: `N` words of 32 bits, the first of which is the request.
type Words<const N: usize> = [u32; N];

const GET_DRIVER: u32 = 0x03;
const GET_COALESCING: u32 = 0x0e;
const GET_RINGS: u32 = 0x10;
const GET_CHANNELS: u32 = 0x3c;

// struct ethtool_drvinfo is 196 bytes: the request, driver[32] and more. coalesce has 23 words,
// ringparam 9, channels 9.
const DRIVER_WORDS: usize = 49;
const COALESCING_WORDS: usize = 23;
const RINGS_WORDS: usize = 9;
const CHANNELS_WORDS: usize = 9;

/// Returns what the driver of an interface tells, as names and values. What it does not tell is
/// missing.
///
/// # Errors
/// No socket can be made to ask by.
pub(crate) fn ethtool(interface: &str) -> io::Result<Vec<(&'static str, String)>> {
    // Any socket is a way to the interfaces of its network namespace.
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    let mut facts = Vec::new();
    if let Some(words) = ask::<DRIVER_WORDS>(&socket, interface, GET_DRIVER) {
        let name: Vec<u8> = words[1..9].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        facts.push(("driver", String::from_utf8_lossy(name).into_owned()));
    }
    let mut number = |name, value: u32| facts.push((name, value.to_string()));
    if let Some(words) = ask::<RINGS_WORDS>(&socket, interface, GET_RINGS) {
        number("rx-max", words[1]);
        number("rx", words[5]);
    }
    if let Some(words) = ask::<CHANNELS_WORDS>(&socket, interface, GET_CHANNELS) {
        // Queues for receiving and sending together, or, of some drivers, each by itself.
        if words[4] > 0 {
            number("combined-max", words[4]);
            number("combined", words[8]);
        } else {
            number("rx-queues-max", words[1]);
            number("rx-queues", words[5]);
        }
    }
    if let Some(words) = ask::<COALESCING_WORDS>(&socket, interface, GET_COALESCING) {
        number("rx-usecs", words[1]);
        number("rx-frames", words[2]);
        number("adaptive-rx", words[10]);
    }
    Ok(facts)
}

/// Asks one thing. `None` if the driver does not answer it.
fn ask<const N: usize>(socket: &UdpSocket, interface: &str, request: u32) -> Option<Words<N>> {
    let mut words: Words<N> = [0; N];
    words[0] = request;
    // SAFETY: an ifreq is made of integers and a pointer, for which zero is valid.
    let mut about: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = about.ifr_name.len() - 1;
    if interface.len() > room {
        return None;
    }
    for (to, byte) in about.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = byte.cast_signed() as libc::c_char;
    }
    about.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
    // SAFETY: the kernel reads the name, which ends in a zero, and reads and writes no more bytes at
    // `ifru_data` than the structure of the request has. `words` has as many and lives until the call
    // is over; any bytes are valid for it.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut about) };
    (result == 0).then_some(words)
}

/// `SIOCETHTOOL` of `linux/sockios.h`.
const SIOCETHTOOL: libc::Ioctl = 0x8946;

#[cfg(test)]
mod tests {
    use super::*;

    /// A pair of virtual cards in a network namespace of this thread; needs root.
    #[test]
    fn what_a_driver_tells() {
        let told = std::thread::spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            let words =
                "link add fifteen-letters numrxqueues 3 numtxqueues 1 type veth peer name b";
            let status = std::process::Command::new("ip").args(words.split(' ')).status().unwrap();
            assert!(status.success());
            // One letter more is another name, though the kernel would read the first fifteen.
            assert_eq!(ethtool("fifteen-letterss").unwrap(), []);
            ethtool("fifteen-letters").unwrap()
        });
        let wants = [("driver", "veth"), ("rx-queues-max", "3"), ("rx-queues", "3")];
        assert_eq!(told.join().unwrap(), wants.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn what_has_nothing_to_tell() {
        // Loopback has no rings, queues or interrupts.
        assert!(ethtool("lo").unwrap().iter().all(|(name, _)| *name == "driver"));
        assert_eq!(ethtool("no-such-card").unwrap(), []);
    }
}
