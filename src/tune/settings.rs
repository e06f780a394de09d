//! The files that advice may change: reads and writes them, and no others.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

use super::advice::meaning;
use super::apply::Fate;
use crate::limits::MACHINE_FILE_BYTES_MAX;

/// The settings of a machine.
pub(super) struct Settings<'a> {
    pub(super) root: &'a Path,
}

impl Settings<'_> {
    /// The start of the machine.
    pub(super) fn boot(&self) -> Result<String, String> {
        let path = self.root.join("proc/sys/kernel/random/boot_id");
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(text.trim().to_owned())
    }

    /// What a file holds, as it can be written back.
    pub(super) fn read(&self, path: &str) -> Result<String, String> {
        if !is_setting(path) {
            return Err("is no setting of ours".into());
        }
        let mut text = String::new();
        let read = File::open(self.root.join(&path[1..]))
            .and_then(|file| file.take(MACHINE_FILE_BYTES_MAX).read_to_string(&mut text));
        read.map_err(|error| error.to_string())?;
        Ok(if text.contains('[') { meaning(path, &text) } else { text.trim().to_owned() })
    }

    /// Writes a file and looks whether the kernel has taken it.
    pub(super) fn write(&self, path: &str, value: &str) -> Fate {
        let write = || {
            let mut file =
                OpenOptions::new().write(true).truncate(true).open(self.root.join(&path[1..]))?;
            file.write_all(value.as_bytes())
        };
        if let Err(error) = write() {
            return Fate::Failed(error.to_string());
        }
        match self.read(path) {
            Ok(now) if meaning(path, &now) == meaning(path, value) => Fate::Done,
            Ok(now) => Fate::Failed(format!("the kernel made {now:?} of it")),
            Err(why) => Fate::Failed(why),
        }
    }
}

/// Whether this is a file that advice may change.
///
/// The state directory may belong to the user that the relay runs as, and an undo is root's: a record
/// that somebody else wrote must not make it write anything else.
fn is_setting(path: &str) -> bool {
    SETTINGS.iter().any(|pattern| {
        let mut parts = path.split('/');
        let fits = |wanted: &str| {
            let part = parts.next().unwrap_or_default();
            part == wanted || wanted == "*" && !["", ".", ".."].contains(&part)
        };
        pattern.split('/').all(fits) && parts.next().is_none()
    })
}

const SETTINGS: &[&str] = &[
    "/proc/irq/*/smp_affinity_list",
    "/proc/sys/kernel/numa_balancing",
    "/proc/sys/net/core/busy_poll",
    "/proc/sys/net/core/busy_read",
    "/proc/sys/net/core/netdev_budget",
    "/proc/sys/net/core/netdev_budget_usecs",
    "/proc/sys/net/core/netdev_max_backlog",
    "/proc/sys/net/core/rmem_max",
    "/proc/sys/net/core/rps_sock_flow_entries",
    "/proc/sys/net/core/wmem_max",
    "/proc/sys/net/ipv4/ipfrag_high_thresh",
    "/proc/sys/net/ipv4/ipfrag_time",
    "/proc/sys/net/ipv6/ip6frag_high_thresh",
    "/proc/sys/net/ipv6/ip6frag_time",
    "/sys/class/net/*/gro_flush_timeout",
    "/sys/class/net/*/napi_defer_hard_irqs",
    "/sys/class/net/*/queues/*/rps_cpus",
    "/sys/class/net/*/queues/*/xps_cpus",
    "/sys/devices/system/cpu/*/cpufreq/scaling_governor",
    "/sys/kernel/mm/transparent_hugepage/shmem_enabled",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_are_written() {
        for (path, wants) in [
            ("/proc/sys/net/core/rmem_max", true),
            ("/sys/class/net/eth0/queues/rx-0/rps_cpus", true),
            ("/proc/irq/7/smp_affinity_list", true),
            ("/proc/irq/../smp_affinity_list", false),
            ("/proc/irq//smp_affinity_list", false),
            ("/proc/irq/7/8/smp_affinity_list", false),
            ("/proc/sys/net/core/rmem_max/x", false),
            ("/proc/sys/net/core", false),
            ("/proc/sysrq-trigger", false),
            ("proc/irq/7/smp_affinity_list", false),
        ] {
            assert_eq!(is_setting(path), wants, "{path}");
        }
    }
}
