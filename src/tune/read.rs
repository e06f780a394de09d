//! Reads the files of a machine: of this one, or copies of them below another directory.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;

use super::tree::Tree;
use crate::limits::{CONNTRACK_BYTES_MAX, MACHINE_FILE_BYTES_MAX, MACHINE_FILES_MAX};
use crate::transport::sys;

impl Tree {
    /// Reads this machine.
    ///
    /// # Errors
    /// `/proc` or `/sys` cannot be read, or there is more in them than a machine has.
    pub fn of_this_machine(ports: &[u16]) -> io::Result<Self> {
        let mut tree = Self::of_directory(Path::new("/"))?;
        for card in cards(Path::new("/")) {
            for (name, value) in sys::ethtool(&card)? {
                tree.insert(&format!("/ethtool/{card}/{name}"), &value);
            }
        }
        // Not every kernel lists them, and only root may look; then it stays unknown.
        if let Ok(list) = File::open("/proc/net/nf_conntrack") {
            for (count, port) in count_tracked(list, ports)?.iter().zip(ports) {
                tree.insert(&format!("/conntrack/udp/{port}"), &count.to_string());
            }
        }
        Ok(tree)
    }

    /// Reads what is below a directory, which has `proc`, `sys`, and `ethtool` and `conntrack` for what
    /// is in no file.
    ///
    /// # Errors
    /// It has no `proc/sys`, or more files than a machine has.
    pub fn of_directory(root: &Path) -> io::Result<Self> {
        fs::read_dir(root.join("proc/sys"))?;
        let mut reader = Reader { root, tree: Self::default(), left: MACHINE_FILES_MAX };
        for pattern in MACHINE_FILES {
            reader.take(pattern)?;
        }
        for card in cards(root) {
            reader.card(&card)?;
        }
        reader.processes()?;
        Ok(reader.tree)
    }
}

/// Of which every machine has one, or one for each core or node.
const MACHINE_FILES: &[&str] = &[
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/numa_balancing",
    "/proc/sys/net/core/rmem_max",
    "/proc/sys/net/core/wmem_max",
    "/proc/sys/net/core/netdev_max_backlog",
    "/proc/sys/net/core/netdev_budget",
    "/proc/sys/net/core/netdev_budget_usecs",
    "/proc/sys/net/core/busy_read",
    "/proc/sys/net/core/busy_poll",
    "/proc/sys/net/core/rps_sock_flow_entries",
    "/proc/sys/net/ipv4/ipfrag_time",
    "/proc/sys/net/ipv4/ipfrag_high_thresh",
    "/proc/sys/net/ipv6/ip6frag_time",
    "/proc/sys/net/ipv6/ip6frag_high_thresh",
    "/proc/sys/net/netfilter/nf_conntrack_count",
    "/proc/net/softnet_stat",
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/cpu/isolated",
    "/sys/devices/system/cpu/nohz_full",
    "/sys/devices/system/cpu/cpu*/topology/thread_siblings_list",
    "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    "/sys/devices/system/node/node*/cpulist",
    "/sys/kernel/mm/transparent_hugepage/shmem_enabled",
    "/conntrack/udp/*",
];

/// Of each network card, below its directory.
const CARD_FILES: &[&str] = &[
    "operstate",
    "napi_defer_hard_irqs",
    "gro_flush_timeout",
    "queues/rx-*/rps_cpus",
    "queues/tx-*/xps_cpus",
    "statistics/rx_missed_errors",
    "statistics/rx_fifo_errors",
];

/// The interfaces behind which there is a device: not loopback, bridges or tunnels.
fn cards(root: &Path) -> Vec<String> {
    let directory = root.join("sys/class/net");
    let mut names = names(&directory);
    names.retain(|name| directory.join(name).join("device").is_dir());
    names
}

/// The names in a directory in order; none if it cannot be read.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

struct Reader<'a> {
    root: &'a Path,
    tree: Tree,
    left: usize,
}

impl Reader<'_> {
    /// Reads the files of a pattern, in which one `*` may stand at the end of a name.
    fn take(&mut self, pattern: &str) -> io::Result<()> {
        let Some((start, rest)) = pattern.split_once('*') else {
            return self.file(pattern, pattern);
        };
        let (directory, prefix) = start.rsplit_once('/').unwrap_or_default();
        for name in names(&self.root.join(&directory[1..])) {
            if name.starts_with(prefix) {
                self.take(&format!("{directory}/{name}{rest}"))?;
            }
        }
        Ok(())
    }

    /// Keeps a file under a path, if it is there and can be read.
    fn file(&mut self, path: &str, from: &str) -> io::Result<()> {
        if let Some(text) = self.text(from)? {
            self.tree.insert(path, &text);
        }
        Ok(())
    }

    /// What a file holds. Not every file of `/sys` can be read, and a process may be gone.
    fn text(&mut self, path: &str) -> io::Result<Option<String>> {
        let Ok(file) = File::open(self.root.join(&path[1..])) else { return Ok(None) };
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            io::Error::other(format!("there are more than {MACHINE_FILES_MAX} files to read"))
        })?;
        let mut bytes = Vec::new();
        let is_read = file.take(MACHINE_FILE_BYTES_MAX).read_to_end(&mut bytes).is_ok();
        Ok(is_read.then(|| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn card(&mut self, card: &str) -> io::Result<()> {
        let directory = format!("/sys/class/net/{card}");
        for file in CARD_FILES {
            self.take(&format!("{directory}/{file}"))?;
        }
        self.take(&format!("/ethtool/{card}/*"))?;
        // A virtio device has no node and no interrupts; the PCI device that it is on has them.
        let pci = [format!("{directory}/device"), format!("{directory}/device/..")]
            .into_iter()
            .find(|device| self.root.join(&device[1..]).join("msi_irqs").is_dir());
        let Some(pci) = pci else { return Ok(()) };
        self.file(&format!("{directory}/device/numa_node"), &format!("{pci}/numa_node"))?;
        for irq in names(&self.root.join(&pci[1..]).join("msi_irqs")) {
            let listed = format!("msi_irqs/{irq}");
            self.file(&format!("{directory}/device/{listed}"), &format!("{pci}/{listed}"))?;
            self.take(&format!("/sys/kernel/irq/{irq}/actions"))?;
            self.take(&format!("/proc/irq/{irq}/smp_affinity_list"))?;
            self.take(&format!("/proc/irq/{irq}/effective_affinity_list"))?;
        }
        Ok(())
    }

    /// Of all processes, those that matter: relays, and what moves interrupts about.
    fn processes(&mut self) -> io::Result<()> {
        for process in names(&self.root.join("proc")) {
            if !process.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let directory = format!("/proc/{process}");
            // Not counted as files of the machine: there may be any number of processes.
            let comm = fs::read_to_string(self.root.join(&directory[1..]).join("comm"));
            match comm.as_deref().map(str::trim) {
                Ok("irqbalance") => self.take(&format!("{directory}/comm"))?,
                Ok("strowger") => self.relay(&directory)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Of a relay, only the lines that matter: the rest is nobody's business.
    fn relay(&mut self, directory: &str) -> io::Result<()> {
        let threads = names(&self.root.join(&directory[1..]).join("task"));
        let mut is_relay = false;
        for thread in threads {
            let thread = format!("{directory}/task/{thread}");
            let name = self.text(&format!("{thread}/comm"))?;
            if name.is_some_and(|name| name.starts_with("worker-")) {
                self.take(&format!("{thread}/comm"))?;
                self.lines(&format!("{thread}/status"), &["Cpus_allowed_list:"])?;
                is_relay = true;
            }
        }
        if is_relay {
            self.take(&format!("{directory}/comm"))?;
            self.lines(&format!("{directory}/status"), &["CapEff:"])?;
            self.lines(&format!("{directory}/limits"), &["Max open files"])?;
        }
        Ok(())
    }

    fn lines(&mut self, path: &str, begin: &[&str]) -> io::Result<()> {
        if let Some(text) = self.text(path)? {
            let is_wanted = |line: &&str| begin.iter().any(|begin| line.starts_with(begin));
            let lines: Vec<&str> = text.lines().filter(is_wanted).collect();
            self.tree.insert(path, &lines.join("\n"));
        }
        Ok(())
    }
}

/// Counts the tracked connections of each port. Whose they are is not kept.
fn count_tracked(list: impl Read, ports: &[u16]) -> io::Result<Vec<u64>> {
    let mut counts = vec![0; ports.len()];
    for line in BufReader::new(list.take(CONNTRACK_BYTES_MAX)).lines() {
        let line = line?;
        for (count, port) in counts.iter_mut().zip(ports) {
            *count += u64::from(is_tracked(&line, *port));
        }
    }
    Ok(counts)
}

/// Whether a line of `/proc/net/nf_conntrack` is a UDP flow of this port.
fn is_tracked(line: &str, port: u16) -> bool {
    let mut words = line.split_ascii_whitespace();
    let is_ours = |word: &str| {
        let port_of = word.strip_prefix("sport=").or_else(|| word.strip_prefix("dport="));
        port_of.is_some_and(|text| text.parse() == Ok(port))
    };
    words.nth(2) == Some("udp") && words.any(is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, content: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    #[test]
    fn only_what_matters_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let card = "sys/devices/pci/virtio2/net/eth0";
        for (path, content) in [
            ("proc/sys/net/core/rmem_max", "212992\n"),
            ("proc/sys/kernel/hostname", "secret\n"),
            ("sys/devices/system/cpu/cpu10/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/cpufreq/boost", "1\n"),
            ("sys/class/net/lo/operstate", "unknown\n"),
            (&format!("{card}/operstate"), "up\n"),
            (&format!("{card}/address"), "02:00:00:00:00:01\n"),
            (&format!("{card}/queues/rx-0/rps_cpus"), "0\n"),
            ("sys/devices/pci/numa_node", "-1\n"),
            ("sys/devices/pci/msi_irqs/38", "msix\n"),
            ("sys/kernel/irq/38/actions", "virtio2-input.0\n"),
            ("sys/kernel/irq/39/actions", "nvme0q1\n"),
            ("proc/irq/38/smp_affinity_list", "0-1\n"),
            ("ethtool/eth0/rx", "256\n"),
            ("conntrack/udp/5060", "3\n"),
            ("proc/7/comm", "strowger\n"),
            ("proc/7/status", "Name:\tstrowger\nCapEff:\t0000000000000000\n"),
            ("proc/7/limits", "Limit   Soft\nMax open files  1024\n"),
            ("proc/7/task/7/comm", "strowger\n"),
            ("proc/7/task/8/comm", "worker-0\n"),
            ("proc/7/task/8/status", "Name:\tworker-0\nCpus_allowed_list:\t1\n"),
            // A command of ours is no relay.
            ("proc/9/comm", "strowger\n"),
            ("proc/9/task/9/comm", "strowger\n"),
            ("proc/10/comm", "irqbalance\n"),
            ("proc/11/comm", "bash\n"),
        ] {
            write(root, path, content);
        }
        fs::create_dir_all(root.join("sys/class/net")).unwrap();
        std::os::unix::fs::symlink(root.join(card), root.join("sys/class/net/eth0")).unwrap();
        std::os::unix::fs::symlink(
            root.join("sys/devices/pci/virtio2"),
            root.join(card).join("device"),
        )
        .unwrap();
        let tree = Tree::of_directory(root).unwrap();
        let wants = "/conntrack/udp/5060: 3
/ethtool/eth0/rx: 256
/proc/10/comm: irqbalance
/proc/7/comm: strowger
/proc/7/limits: Max open files  1024
/proc/7/status: CapEff:\t0000000000000000
/proc/7/task/8/comm: worker-0
/proc/7/task/8/status: Cpus_allowed_list:\t1
/proc/irq/38/smp_affinity_list: 0-1
/proc/sys/net/core/rmem_max: 212992
/sys/class/net/eth0/device/msi_irqs/38: msix
/sys/class/net/eth0/device/numa_node: -1
/sys/class/net/eth0/operstate: up
/sys/class/net/eth0/queues/rx-0/rps_cpus: 0
/sys/devices/system/cpu/cpu10/cpufreq/scaling_governor: powersave
/sys/kernel/irq/38/actions: virtio2-input.0
";
        assert_eq!(tree.to_string(), wants);
        assert!(Tree::of_directory(&root.join("sys")).is_err());
    }

    #[test]
    fn files_have_an_end() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "proc/net/softnet_stat", &"0".repeat(1 << 20));
        fs::create_dir_all(folder.path().join("proc/sys")).unwrap();
        let tree = Tree::of_directory(folder.path()).unwrap();
        let len = tree.get("/proc/net/softnet_stat").unwrap().len();
        assert_eq!(len as u64, MACHINE_FILE_BYTES_MAX);
        let mut reader = Reader { root: folder.path(), tree: Tree::default(), left: 1 };
        assert!(reader.take("/proc/net/softnet_stat").is_ok());
        assert!(reader.take("/proc/net/softnet_stat").is_err());
        assert!(reader.take("/proc/net/absent").is_ok());
    }

    #[test]
    fn flows_of_our_port() {
        let line = "ipv4     2 udp      17 29 src=192.0.2.7 dst=192.0.2.1 sport=5060 dport=5080 \
                    src=192.0.2.1 dst=192.0.2.7 sport=5080 dport=5060 mark=0 use=2";
        assert!(!is_tracked("", 5060));
        assert!(!is_tracked(&line.replace("udp ", "tcp "), 5060));
        // The third word is the protocol: with the layer above it in words and in numbers.
        assert!(is_tracked(line, 5060) && is_tracked(line, 5080) && !is_tracked(line, 506));
        let list =
            format!("{line}\n{}\n{}\n", line.replace("udp ", "tcp "), line.replace("5080", "5090"));
        assert_eq!(count_tracked(list.as_bytes(), &[5080, 5060, 5070]).unwrap(), [1, 2, 0]);
        let long = format!("{line}\n").repeat(CONNTRACK_BYTES_MAX as usize / (line.len() + 1) + 10);
        let most = CONNTRACK_BYTES_MAX.div_ceil(line.len() as u64 + 1);
        assert!(count_tracked(long.as_bytes(), &[5060]).unwrap()[0] <= most);
    }
}
