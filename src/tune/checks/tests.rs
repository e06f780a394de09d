//! Recorded machines, and one machine on which everything is fine with a line of it changed.

use super::super::{CHECKS, Finding, Plan, Report, Tree, examine};

const TUNED: &str = include_str!("../../../tests/data/machines/two-sockets-tuned.txt");
const WRONG: &str = include_str!("../../../tests/data/machines/two-sockets-spread-wrongly.txt");
const SMALL: &str = include_str!("../../../tests/data/machines/small-virtual-machine.txt");
const POWERSAVE: &str = include_str!("../../../tests/data/machines/conntrack-and-powersave.txt");

fn report(text: &str) -> Report {
    examine(&Tree::from_text(text).unwrap(), &Plan::default()).unwrap()
}

/// Ids with their cards and what is right.
fn advised(text: &str) -> Vec<String> {
    let report = report(text);
    let lines = report.advice().map(|(row, advice)| {
        let card = row.card.as_ref().map_or(String::new(), |card| format!(" {card}"));
        format!("{}{card}: {}", row.check.id, advice.right)
    });
    lines.collect()
}

#[test]
fn two_sockets_spread_wrongly() {
    let wants = [
        "irq-spread ens1f0: spread evenly over cores 8-15,24-31",
        "irq-node ens1f0: spread evenly over cores 8-15,24-31",
        "workers-node: workers on cores of 8-15,24-31",
        "wmem-max: wmem_max at least 268435456",
        "rmem-max: rmem_max at least 4194304",
        "fragments: ipfrag_time at most 2, ipfrag_high_thresh at least 268435456, ip6frag_time at \
         most 2, ip6frag_high_thresh at least 268435456",
        "file-limit: at least 20000",
        "capabilities: it has them",
        "irqbalance: does not run, or leaves these interrupts alone",
        "smt: workers on cores 8-12",
        "huge-pages: advise, before the relay starts",
        "numa-balancing: numa_balancing at most 0",
        "irq-deferral ens1f0: napi_defer_hard_irqs 10, gro_flush_timeout 20000 ns",
    ];
    assert_eq!(advised(WRONG), wants);
    let report = report(WRONG);
    let spread = report.advice().find(|(row, _)| row.check.id == "irq-spread").unwrap().1;
    let changes: Vec<_> =
        spread.changes.iter().map(|change| (change.path.as_str(), change.to.as_str())).collect();
    assert_eq!(changes.len(), 16);
    assert_eq!(changes[0], ("/proc/irq/121/smp_affinity_list", "8"));
    assert_eq!(changes[8], ("/proc/irq/129/smp_affinity_list", "24"));
    assert_eq!(spread.found, "16 queues interrupt 11 cores, 6 of them core 0");
}

#[test]
fn two_sockets_tuned() {
    assert_eq!(advised(TUNED), [""; 0]);
    let report = report(TUNED);
    let unknown = |row: &&super::super::Row| matches!(row.finding, Finding::Unknown(_));
    assert_eq!(report.rows.iter().filter(unknown).count(), 0);
    assert_eq!(report.rows.len(), CHECKS.len());
    let machine = [
        "cores 0-31 (node 0: 0-7,16-23; node 1: 8-15,24-31)",
        "workers on cores 0-5 (process 4100)",
        "ens1f0np0: mlx5_core, node 0, receive queues: 8, interrupts on cores 6-7,22-23",
    ];
    assert_eq!(report.machine, machine);
}

#[test]
fn small_virtual_machine() {
    let wants = [
        "rps eth0: cores 0-1,3",
        "wmem-max: wmem_max at least 268435456",
        "rmem-max: rmem_max at least 4194304",
        "fragments: ipfrag_time at most 2, ipfrag_high_thresh at least 268435456, ip6frag_time at \
         most 2, ip6frag_high_thresh at least 268435456",
        "huge-pages: advise, before the relay starts",
    ];
    assert_eq!(advised(SMALL), wants);
}

#[test]
fn conntrack_and_powersave() {
    let wants = [
        "nic-queues eno1: 8",
        "rps eno1: off",
        "rings eno1: 4096 packets",
        "fragments: ipfrag_time at most 2, ipfrag_high_thresh at least 268435456, ip6frag_time at \
         most 2, ip6frag_high_thresh at least 268435456",
        "conntrack: port 5060 is not tracked",
        "governor: performance",
        "isolation: the relay's CPUAffinity names them: by itself it runs on the others",
        "rfs: rps_sock_flow_entries at most 0",
        "xps eno1: each core sends by one of 2 queues",
        "backlog: netdev_max_backlog at least 8192",
        "budget: netdev_budget at least 600, netdev_budget_usecs at least 4000",
        "huge-pages: advise, before the relay starts",
        "coalescing eno1: adaptive, or rx-usecs 20",
        "irq-deferral eno1: napi_defer_hard_irqs 10, gro_flush_timeout 20000 ns",
        "nohz-full: no worker's core",
        "busy-poll: busy_poll at most 0, busy_read at most 0",
    ];
    assert_eq!(advised(POWERSAVE), wants);
    let report = report(POWERSAVE);
    let xps = report.advice().find(|(row, _)| row.check.id == "xps").unwrap().1;
    assert_eq!(xps.changes[0].to, "00005555");
    assert_eq!(xps.changes[1].to, "0000aaaa");
}

#[test]
fn every_setting_is_advised_on_one_of_the_machines() {
    let all = [WRONG, SMALL, POWERSAVE].map(advised).concat();
    for check in CHECKS {
        let is_of = |line: &String| {
            line.starts_with(&format!("{} ", check.id))
                || line.starts_with(&format!("{}:", check.id))
        };
        assert!(all.iter().any(is_of), "{}", check.id);
    }
}

/// The tuned machine with some files changed: `PATH: CONTENT`; or `-PATH` for all files whose paths
/// begin with it, which are not there.
fn changed(lines: &[&str]) -> String {
    let mut text = TUNED.to_owned();
    for line in lines {
        let gone = match line.strip_prefix('-') {
            Some(start) => start.to_owned(),
            None => format!("{}:", line.split(':').next().unwrap()),
        };
        let mut is_kept = true;
        text = text
            .lines()
            .filter(|line| {
                // Further lines of a file go with it.
                is_kept = if line.starts_with('|') { is_kept } else { !line.starts_with(&gone) };
                is_kept
            })
            .map(|line| format!("{line}\n"))
            .collect();
        if !line.starts_with('-') {
            text = format!("{text}{line}\n");
        }
    }
    text
}

struct Row {
    says: &'static str,
    id: &'static str,
    lines: &'static [&'static str],
    wants: Is,
}

enum Is {
    Fine(&'static str),
    Advice(&'static str, &'static str),
    Unknown(&'static str),
}

use Is::{Advice, Fine, Unknown};

const NET: &str = "/sys/class/net/ens1f0np0";

#[test]
fn one_setting_at_a_time() {
    for Row { says, id, lines, wants } in ROWS {
        let lines: Vec<String> = lines.iter().map(|line| line.replace("NET", NET)).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let report = report(&changed(&lines));
        let finding = &report.rows.iter().find(|row| row.check.id == *id).expect(says).finding;
        match (finding, wants) {
            (Finding::Fine(found), Fine(wants)) => assert_eq!(found, wants, "{says}"),
            (Finding::Unknown(why), Unknown(wants)) => assert_eq!(why, wants, "{says}"),
            (Finding::Advice(advice), Advice(found, right)) => {
                assert_eq!((&*advice.found, &*advice.right), (*found, *right), "{says}");
            }
            _ => panic!("{says}: {finding:?}"),
        }
    }
}

const ROWS: &[Row] = &[
    Row {
        says: "three queues are enough for six workers",
        id: "nic-queues",
        lines: &["/ethtool/ens1f0np0/combined: 3"],
        wants: Fine("3 of at most 63, for 6 workers"),
    },
    Row {
        says: "two are not",
        id: "nic-queues",
        lines: &["/ethtool/ens1f0np0/combined: 2"],
        wants: Advice("2 of at most 63, for 6 workers", "6"),
    },
    Row {
        says: "no more than the card has",
        id: "nic-queues",
        lines: &["/ethtool/ens1f0np0/combined: 2", "/ethtool/ens1f0np0/combined-max: 2"],
        wants: Fine("2 of at most 2, for 6 workers"),
    },
    Row {
        says: "a driver that does not tell its queues",
        id: "nic-queues",
        lines: &["-/ethtool/ens1f0np0/combined"],
        wants: Unknown("the driver does not tell"),
    },
    Row {
        says: "a card with one queue and no other passes packets on",
        id: "rps",
        lines: &[
            "-NET/queues/rx-",
            "NET/queues/rx-0/rps_cpus: 0",
            "/ethtool/ens1f0np0/combined-max: 1",
        ],
        wants: Advice("off, receive queues: 1", "cores 0-5,16-21"),
    },
    Row {
        says: "two queues are too few for six workers",
        id: "rps",
        lines: &[
            "-NET/queues/rx-",
            "NET/queues/rx-0/rps_cpus: 0",
            "NET/queues/rx-1/rps_cpus: 3",
            "/ethtool/ens1f0np0/combined-max: 2",
        ],
        wants: Advice("cores 0-1, receive queues: 2", "cores 0-5,16-21"),
    },
    Row {
        says: "four are enough, and RPS may be on",
        id: "rps",
        lines: &[
            "-NET/queues/rx-",
            "NET/queues/rx-0/rps_cpus: 3",
            "/ethtool/ens1f0np0/combined-max: 4",
        ],
        wants: Fine("cores 0-1, receive queues: 1"),
    },
    Row {
        says: "or off",
        id: "rps",
        lines: &[
            "-NET/queues/rx-",
            "NET/queues/rx-0/rps_cpus: 0",
            "/ethtool/ens1f0np0/combined-max: 3",
        ],
        wants: Fine("off, receive queues: 1"),
    },
    Row {
        says: "a queue for each worker, and RPS is of no use",
        id: "rps",
        lines: &[
            "-NET/queues/rx-",
            "NET/queues/rx-0/rps_cpus: 3",
            "/ethtool/ens1f0np0/combined-max: 6",
        ],
        wants: Advice("cores 0-1, receive queues: 1", "off"),
    },
    Row {
        says: "one other core is no spreading",
        id: "rps",
        lines: &[
            "-NET/queues/rx-",
            "NET/queues/rx-0/rps_cpus: 1",
            "/ethtool/ens1f0np0/combined-max: 1",
        ],
        wants: Advice("cores 0, receive queues: 1", "cores 0-5,16-21"),
    },
    Row {
        says: "an operator's own choice of several cores is kept",
        id: "rps",
        lines: &[
            "-NET/queues/rx-",
            "NET/queues/rx-0/rps_cpus: 3",
            "/ethtool/ens1f0np0/combined-max: 1",
        ],
        wants: Fine("cores 0-1, receive queues: 1"),
    },
    Row {
        says: "with enough queues it is off",
        id: "rps",
        lines: &["NET/queues/rx-3/rps_cpus: 00000100"],
        wants: Advice("cores 8, receive queues: 8", "off"),
    },
    Row {
        says: "a card without queues",
        id: "rps",
        lines: &["-NET/queues/rx-"],
        wants: Fine("nothing to spread"),
    },
    Row {
        says: "one core too busy",
        id: "irq-spread",
        lines: &[
            "/proc/irq/91/effective_affinity_list: 22",
            "/proc/irq/92/effective_affinity_list: 22",
        ],
        wants: Advice(
            "8 queues interrupt 4 cores, 4 of them core 22",
            "spread evenly over cores 6-7,16-23",
        ),
    },
    Row {
        says: "fewer cores than half as many as workers",
        id: "irq-spread",
        lines: &[
            "/proc/irq/93/effective_affinity_list: 6",
            "/proc/irq/94/effective_affinity_list: 7",
            "/proc/irq/97/effective_affinity_list: 6",
            "/proc/irq/98/effective_affinity_list: 7",
        ],
        wants: Advice(
            "8 queues interrupt 2 cores, 4 of them core 7",
            "spread evenly over cores 6-7,16-23",
        ),
    },
    Row {
        says: "where it may go, if the kernel does not say where it goes",
        id: "irq-spread",
        lines: &["-/proc/irq/93/effective", "/proc/irq/93/smp_affinity_list: 22-23"],
        wants: Fine("8 queues interrupt cores 6-7,22-23"),
    },
    Row {
        says: "interrupts without names of queues",
        id: "irq-spread",
        lines: &["-/sys/kernel/irq"],
        wants: Unknown("the queues' interrupts cannot be told from their names"),
    },
    Row {
        says: "the same, for the node",
        id: "irq-node",
        lines: &["-/sys/kernel/irq"],
        wants: Unknown("the queues' interrupts cannot be told from their names"),
    },
    Row {
        says: "one interrupt on the other socket",
        id: "irq-node",
        lines: &["/proc/irq/93/effective_affinity_list: 8"],
        wants: Advice(
            "1 of 8 queues interrupt cores of another node than 0, the card's",
            "spread evenly over cores 6-7,16-23",
        ),
    },
    Row {
        says: "firmware that does not know the node",
        id: "irq-node",
        lines: &["NET/device/numa_node: -1"],
        wants: Unknown("the firmware does not say which node the card is on"),
    },
    Row {
        says: "one node",
        id: "irq-node",
        lines: &["-/sys/devices/system/node/node1"],
        wants: Fine("one memory node"),
    },
    Row {
        says: "one node for the workers, too",
        id: "workers-node",
        lines: &["-/sys/devices/system/node/node1"],
        wants: Fine("one memory node"),
    },
    Row {
        says: "firmware that does not know the node, for the workers",
        id: "workers-node",
        lines: &["NET/device/numa_node: -1"],
        wants: Unknown("the firmware does not say which node a card is on"),
    },
    Row {
        says: "a driver that counts its receive queues by themselves",
        id: "nic-queues",
        lines: &[
            "-/ethtool/ens1f0np0/combined",
            "/ethtool/ens1f0np0/rx-queues: 2",
            "/ethtool/ens1f0np0/rx-queues-max: 4",
        ],
        wants: Advice("2 of at most 4, for 6 workers", "4"),
    },
    Row {
        says: "a worker on the other socket",
        id: "workers-node",
        lines: &["/proc/4100/task/4101/status: Cpus_allowed_list:\t8"],
        wants: Advice(
            "workers on cores 8 are on another node than 0, the card's",
            "workers on cores of 0-7,16-23",
        ),
    },
    Row {
        says: "cards on both sockets",
        id: "workers-node",
        lines: &["/sys/class/net/a/operstate: up", "/sys/class/net/a/device/numa_node: 1"],
        wants: Unknown(
            "the cards are on several nodes: name the one that carries calls with --card",
        ),
    },
    Row {
        says: "two threads of one core, while others are free",
        id: "smt",
        lines: &["/proc/4100/task/4101/status: Cpus_allowed_list:\t17"],
        wants: Advice("workers on 1,17 share cores, while 0,6-7 have none", "workers on cores 0-4"),
    },
    Row {
        says: "a relay whose privilege makes the limits not count",
        id: "wmem-max",
        lines: &["/proc/sys/net/core/wmem_max: 1"],
        wants: Fine("the relay has CAP_NET_ADMIN, so it does not count"),
    },
    Row {
        says: "a relay without it",
        id: "wmem-max",
        lines: &[
            "/proc/sys/net/core/wmem_max: 268435455",
            "/proc/4100/status: CapEff:\t0000000000000400",
        ],
        wants: Advice("wmem_max 268435455", "wmem_max at least 268435456"),
    },
    Row {
        says: "no relay, which may be either",
        id: "rmem-max",
        lines: &["-/proc/4100", "/proc/sys/net/core/rmem_max: 4194303"],
        wants: Advice("rmem_max 4194303", "rmem_max at least 4194304"),
    },
    Row {
        says: "another operating system",
        id: "rmem-max",
        lines: &["-/proc/4100", "-/proc/sys/net/core/rmem_max"],
        wants: Unknown("this kernel does not have it"),
    },
    Row {
        says: "a ring that is short",
        id: "rings",
        lines: &["/ethtool/ens1f0np0/rx: 1023"],
        wants: Advice("1023 packets, of at most 8192", "1024 packets"),
    },
    Row {
        says: "a ring that is long enough and yet lost packets",
        id: "rings",
        lines: &["NET/statistics/rx_fifo_errors: 5", "NET/statistics/rx_missed_errors: 2"],
        wants: Advice("1024 packets, of at most 8192; 7 packets missed", "4096 packets"),
    },
    Row {
        says: "a ring that is as long as it can be",
        id: "rings",
        lines: &["/ethtool/ens1f0np0/rx: 256", "/ethtool/ens1f0np0/rx-max: 256"],
        wants: Fine("256 packets, of at most 256"),
    },
    Row {
        says: "a driver that does not tell its rings",
        id: "rings",
        lines: &["-/ethtool/ens1f0np0/rx"],
        wants: Unknown("the driver does not tell"),
    },
    Row {
        says: "an interrupt for every packet",
        id: "coalescing",
        lines: &[
            "/ethtool/ens1f0np0/adaptive-rx: 0",
            "/ethtool/ens1f0np0/rx-usecs: 0",
            "/ethtool/ens1f0np0/rx-frames: 1",
        ],
        wants: Advice("not adaptive, rx-usecs 0, rx-frames 1", "adaptive, or rx-usecs 20"),
    },
    Row {
        says: "an interrupt 100 us late",
        id: "coalescing",
        lines: &["/ethtool/ens1f0np0/adaptive-rx: 0", "/ethtool/ens1f0np0/rx-usecs: 100"],
        wants: Fine("not adaptive, rx-usecs 100, rx-frames 128"),
    },
    Row {
        says: "an interrupt 101 us late",
        id: "coalescing",
        lines: &["/ethtool/ens1f0np0/adaptive-rx: 0", "/ethtool/ens1f0np0/rx-usecs: 101"],
        wants: Advice("not adaptive, rx-usecs 101, rx-frames 128", "adaptive, or rx-usecs 20"),
    },
    Row {
        says: "frames alone, without a time",
        id: "coalescing",
        lines: &["/ethtool/ens1f0np0/adaptive-rx: 0", "/ethtool/ens1f0np0/rx-usecs: 0"],
        wants: Fine("not adaptive, rx-usecs 0, rx-frames 128"),
    },
    Row {
        says: "a card that cannot delay",
        id: "coalescing",
        lines: &["-/ethtool/ens1f0np0/rx-usecs"],
        wants: Unknown("the driver does not tell"),
    },
    Row {
        says: "half of the deferral",
        id: "irq-deferral",
        lines: &["NET/napi_defer_hard_irqs: 0"],
        wants: Advice(
            "napi_defer_hard_irqs 0, gro_flush_timeout 20000 ns",
            "napi_defer_hard_irqs 10, gro_flush_timeout 20000 ns",
        ),
    },
    Row {
        says: "the other half",
        id: "irq-deferral",
        lines: &["NET/gro_flush_timeout: 0"],
        wants: Advice(
            "napi_defer_hard_irqs 10, gro_flush_timeout 0 ns",
            "napi_defer_hard_irqs 10, gro_flush_timeout 20000 ns",
        ),
    },
    Row {
        says: "a kernel before 5.8",
        id: "irq-deferral",
        lines: &["-NET/napi_defer_hard_irqs"],
        wants: Unknown("this kernel does not have it"),
    },
    Row {
        says: "irqbalance, where no interrupt of a queue is known",
        id: "irqbalance",
        lines: &["/proc/9/comm: irqbalance", "-/sys/kernel/irq"],
        wants: Fine("runs, and no queue's interrupt is known"),
    },
    Row {
        says: "no connection tracking in this kernel",
        id: "conntrack",
        lines: &["-/proc/sys/net/netfilter"],
        wants: Fine("not loaded"),
    },
    Row {
        says: "loaded without a rule",
        id: "conntrack",
        lines: &["/proc/sys/net/netfilter/nf_conntrack_count: 0"],
        wants: Fine("loaded, tracks nothing"),
    },
    Row {
        says: "other connections are tracked, ours are not",
        id: "conntrack",
        lines: &[],
        wants: Fine("12 connections tracked, none of port 5060"),
    },
    Row {
        says: "tracked, and the kernel does not list what",
        id: "conntrack",
        lines: &["-/conntrack"],
        wants: Advice(
            "12 connections tracked; whether of port 5060 cannot be seen",
            "port 5060 is not tracked",
        ),
    },
    Row {
        says: "one core that saves power",
        id: "governor",
        lines: &["/sys/devices/system/cpu/cpu31/cpufreq/scaling_governor: schedutil"],
        wants: Advice("schedutil on 1 of 32 cores", "performance"),
    },
    Row {
        says: "isolated cores with interrupts are in use",
        id: "isolation",
        lines: &["/sys/devices/system/cpu/isolated: 0-7"],
        wants: Fine("cores 0-7, all in use"),
    },
    Row {
        says: "isolated cores without either",
        id: "isolation",
        lines: &["/sys/devices/system/cpu/isolated: 0-9"],
        wants: Advice(
            "cores 8-9 are isolated, and no worker runs there",
            "the relay's CPUAffinity names them: by itself it runs on the others",
        ),
    },
    Row {
        says: "no isolated cores",
        id: "isolation",
        lines: &["/sys/devices/system/cpu/isolated:"],
        wants: Fine("no core is isolated"),
    },
    Row {
        says: "a kernel that cannot isolate",
        id: "isolation",
        lines: &["-/sys/devices/system/cpu/isolated"],
        wants: Unknown("this kernel does not have it"),
    },
    Row {
        says: "cores without a tick, and no worker on them",
        id: "nohz-full",
        lines: &["/sys/devices/system/cpu/nohz_full: 8-15"],
        wants: Fine("no worker's core"),
    },
    Row {
        says: "one of them a worker's",
        id: "nohz-full",
        lines: &["/sys/devices/system/cpu/nohz_full: 5-15"],
        wants: Advice("cores 5 of workers", "no worker's core"),
    },
    Row {
        says: "a worker that has no queue to send by",
        id: "xps",
        lines: &["NET/queues/tx-5/xps_cpus: 00000000"],
        wants: Advice("no queue for the workers on cores 5", "each core sends by one of 8 queues"),
    },
    Row {
        says: "no queue for cores without workers",
        id: "xps",
        lines: &["NET/queues/tx-6/xps_cpus: 00000000"],
        wants: Fine("8 queues, each worker has one"),
    },
    Row {
        says: "a short backlog that nothing passes",
        id: "backlog",
        lines: &["/proc/sys/net/core/netdev_max_backlog: 1000"],
        wants: Fine("no card uses RPS, and nothing was dropped"),
    },
    Row {
        says: "a short backlog that packets pass",
        id: "backlog",
        lines: &["/proc/sys/net/core/netdev_max_backlog: 8191", "NET/queues/rx-0/rps_cpus: 3"],
        wants: Advice("netdev_max_backlog 8191", "netdev_max_backlog at least 8192"),
    },
    Row {
        says: "packets lost in a short backlog",
        id: "backlog",
        lines: &[
            "/proc/net/softnet_stat: 00000001 00000010 00000000 0",
            "/proc/sys/net/core/netdev_max_backlog: 1000",
        ],
        wants: Advice(
            "netdev_max_backlog 1000; 16 packets dropped since the start",
            "netdev_max_backlog at least 8192",
        ),
    },
    Row {
        says: "a budget that ends for one packet in ten thousand",
        id: "budget",
        lines: &[
            "/proc/net/softnet_stat: 00002710 00000000 00000001 0",
            "/proc/sys/net/core/netdev_budget: 300",
        ],
        wants: Advice(
            "netdev_budget 300, netdev_budget_usecs 8000; 1 times ended with packets left, of 10000 packets",
            "netdev_budget at least 600",
        ),
    },
    Row {
        says: "less often",
        id: "budget",
        lines: &[
            "/proc/net/softnet_stat: 00002711 00000000 00000001 0",
            "/proc/sys/net/core/netdev_budget: 300",
        ],
        wants: Fine("1 times ended with packets left, of 10001 packets"),
    },
    Row {
        says: "nothing counted",
        id: "budget",
        lines: &["/proc/net/softnet_stat:"],
        wants: Unknown("/proc/net/softnet_stat is not there"),
    },
    Row {
        says: "the relay with the fewest open files",
        id: "file-limit",
        lines: &[
            "/proc/9/comm: strowger",
            "/proc/9/limits: Max open files            19999                unlimited            files",
        ],
        wants: Advice("19999 open files, process 9", "at least 20000"),
    },
    Row {
        says: "no relay",
        id: "file-limit",
        lines: &["-/proc/4100"],
        wants: Unknown("no relay is running"),
    },
    Row {
        says: "one worker needs no steering",
        id: "capabilities",
        lines: &[
            "-/proc/4100/task",
            "/proc/4100/task/4101/status: Cpus_allowed_list:\t0",
            "/proc/4100/status: CapEff:\t0000000000001000",
        ],
        wants: Fine("all"),
    },
    Row {
        says: "two do",
        id: "capabilities",
        lines: &["/proc/4100/status: CapEff:\t0000008000001000"],
        wants: Advice("process 4100 lacks CAP_PERFMON", "it has them"),
    },
    Row {
        says: "the privilege of before CAP_BPF",
        id: "capabilities",
        lines: &["/proc/4100/status: CapEff:\t0000000000201000"],
        wants: Fine("all"),
    },
    Row {
        says: "no relay, no privileges",
        id: "capabilities",
        lines: &["-/proc/4100"],
        wants: Unknown("no relay is running"),
    },
    Row {
        says: "huge pages for all shared memory",
        id: "huge-pages",
        lines: &[
            "/sys/kernel/mm/transparent_hugepage/shmem_enabled: [always] within_size advise never deny force",
        ],
        wants: Fine("always"),
    },
    Row {
        says: "huge pages refused",
        id: "huge-pages",
        lines: &[
            "/sys/kernel/mm/transparent_hugepage/shmem_enabled: always within_size advise never [deny] force",
        ],
        wants: Advice("deny", "advise, before the relay starts"),
    },
    Row {
        says: "a kernel without them",
        id: "huge-pages",
        lines: &["-/sys/kernel/mm"],
        wants: Unknown("this kernel does not have it"),
    },
    Row {
        says: "a kernel that moves memory about",
        id: "numa-balancing",
        lines: &["/proc/sys/kernel/numa_balancing: 1"],
        wants: Advice("numa_balancing 1", "numa_balancing at most 0"),
    },
    Row {
        says: "on one node there is nothing to move",
        id: "numa-balancing",
        lines: &["/proc/sys/kernel/numa_balancing: 1", "-/sys/devices/system/node/node1"],
        wants: Fine("one memory node"),
    },
    Row {
        says: "half of the settings for fragments",
        id: "fragments",
        lines: &["-/proc/sys/net/ipv6", "/proc/sys/net/ipv4/ipfrag_time: 3"],
        wants: Advice("ipfrag_time 3, ipfrag_high_thresh 268435456", "ipfrag_time at most 2"),
    },
];

#[test]
fn several_ports_and_commands() {
    let text = format!("{POWERSAVE}/conntrack/udp/5080: 1\n");
    let plan = Plan { ports: vec![5060, 5080], ..Plan::default() };
    let report = examine(&Tree::from_text(&text).unwrap(), &plan).unwrap();
    let advice = report.advice().find(|(row, _)| row.check.id == "conntrack").unwrap().1;
    assert_eq!(advice.found, "51200 connections tracked, 48001 of port 5060,5080");
    assert_eq!(
        advice.by_hand[3],
        "nft add rule inet strowger in udp dport '{ 5060,5080 }' notrack"
    );
    assert_eq!(advice.see, "conntrack -L -p udp | grep -c port=5060\\|5080");
}

/// The first thing to do by hand.
#[test]
fn what_to_type() {
    let mut typed: Vec<String> = Vec::new();
    for text in [WRONG, SMALL, POWERSAVE] {
        let report = report(text);
        typed.extend(report.advice().map(|(_, advice)| advice.by_hand[0].clone()));
    }
    typed.sort();
    typed.dedup();
    let affinity = |cores: &str| {
        format!(
            "CPUAffinity={cores} in /etc/systemd/system/strowger.service.d/cores.conf, then \
             systemctl daemon-reload; systemctl restart strowger"
        )
    };
    let wants = [
        "AmbientCapabilities=CAP_NET_ADMIN CAP_BPF CAP_PERFMON in the unit, as in \
         tuning/strowger.service",
        &affinity("8-12"),
        &affinity("8-15"),
        "LimitNOFILE=20000 in the unit, as in tuning/strowger.service",
        "cpupower frequency-set -g performance",
        "echo 20000 > /sys/class/net/eno1/gro_flush_timeout",
        "echo 20000 > /sys/class/net/ens1f0/gro_flush_timeout",
        "echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled",
        "ethtool -C eno1 adaptive-rx on",
        "ethtool -G eno1 rx 4096",
        "ethtool -L eno1 combined 8",
        "for f in /sys/class/net/eno1/queues/rx-*/rps_cpus; do echo 00000000 > $f; done",
        "for f in /sys/class/net/eth0/queues/rx-*/rps_cpus; do echo 0000000b > $f; done",
        "nft add table inet strowger",
        "strowger-irq eno1 8-15",
        "strowger-irq ens1f0 8-15,24-31",
        "sysctl -w kernel.numa_balancing=0",
        "sysctl -w net.core.busy_poll=0",
        "sysctl -w net.core.netdev_budget=600",
        "sysctl -w net.core.netdev_max_backlog=8192",
        "sysctl -w net.core.rmem_max=4194304",
        "sysctl -w net.core.rps_sock_flow_entries=0",
        "sysctl -w net.core.wmem_max=268435456",
        "sysctl -w net.ipv4.ipfrag_time=2",
        "systemctl disable --now irqbalance",
        "take nohz_full= out of the kernel's command line, and restart",
    ];
    assert_eq!(typed, wants);
}

#[test]
fn a_number_of_workers_is_that_many_cores() {
    let plan = Plan { count: Some(2), ..Plan::default() };
    let report = examine(&Tree::from_text(SMALL).unwrap(), &plan).unwrap();
    assert_eq!(report.machine[1], "workers on cores 0-1 (no relay is running)");
}

#[test]
fn one_queue_on_a_smaller_machine() {
    let rps = |text: &str| advised(text).into_iter().find(|line| line.starts_with("rps")).unwrap();
    let three = SMALL.replace("online: 0-3", "online: 0-2").replace("cpulist: 0-3", "cpulist: 0-2");
    assert_eq!(rps(&three), "rps eth0: cores 0-2");
    // The kernel may send its interrupt anywhere.
    let anywhere = SMALL.replace("effective_affinity_list: 2", "effective_affinity_list: 0-3");
    assert_eq!(rps(&anywhere), "rps eth0: cores 0-3");
    let two = three.replace("0-2", "0-1");
    assert!(!advised(&two).iter().any(|line| line.starts_with("rps")), "one core for two workers");
    let one = two.replace("online: 0-1", "online: 0").replace("cpulist: 0-1", "cpulist: 0");
    let report = report(&one);
    let rps = report.rows.iter().find(|row| row.check.id == "rps").unwrap();
    assert_eq!(rps.finding, Finding::Fine("nothing to spread".into()));
}

#[test]
fn a_machine_without_a_card() {
    let report = report("/sys/devices/system/cpu/online: 0\n");
    let machine =
        ["cores 0 ()", "workers on cores 0 (no relay is running)", "no network card is up"];
    assert_eq!(report.machine, machine);
    assert!(report.rows.iter().all(|row| row.card.is_none()));
}
