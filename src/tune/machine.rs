//! What the files say the machine is: cores, nodes, cards with their queues, running relays.

use std::collections::BTreeMap;

use super::cores::Cores;
use super::tree::Tree;

/// What the operator says of the relay, where the machine cannot tell.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The cores that workers are to run on; without, those of the running relay, else all.
    pub cores: Option<Cores>,
    /// How many workers there are to be, if neither is known: the first cores, as the relay does.
    pub count: Option<usize>,
    /// The cards to look at; without, all that are up.
    pub cards: Vec<String>,
    /// The ports that the relay listens on.
    pub ports: Vec<u16>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { cores: None, count: None, cards: Vec::new(), ports: vec![5060] }
    }
}

/// A machine.
#[derive(Debug)]
pub(crate) struct Machine<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) ports: &'a [u16],
    pub(crate) online: Cores,
    /// The cores of each memory node.
    pub(crate) nodes: BTreeMap<u16, Cores>,
    /// The cores that workers run on.
    pub(crate) workers: Cores,
    pub(crate) cards: Vec<Card<'a>>,
    pub(crate) relays: Vec<Relay<'a>>,
}

/// A network card.
#[derive(Debug)]
pub(crate) struct Card<'a> {
    pub(crate) name: &'a str,
    pub(crate) driver: &'a str,
    /// Its memory node, on a machine that has several.
    pub(crate) node: Option<u16>,
    /// The cores of its node.
    pub(crate) near: Cores,
    /// The interrupts of its receive queues, in their order.
    pub(crate) interrupts: Vec<Interrupt>,
    pub(crate) receive_queues: usize,
}

/// An interrupt of a receive queue.
#[derive(Debug)]
pub(crate) struct Interrupt {
    pub(crate) number: u32,
    /// Where it goes now.
    pub(crate) cores: Cores,
}

/// A running relay.
#[derive(Debug)]
pub(crate) struct Relay<'a> {
    pub(crate) process: &'a str,
    pub(crate) workers: Cores,
    pub(crate) capabilities: Option<u64>,
    pub(crate) open_files: Option<u64>,
}

impl<'a> Machine<'a> {
    /// # Errors
    /// The files do not say which cores there are, or a card or core that was named is not there.
    pub(crate) fn new(tree: &'a Tree, plan: &'a Plan) -> Result<Self, String> {
        let list = |path: &str| tree.get(path).and_then(|text| text.parse::<Cores>().ok());
        let online = list("/sys/devices/system/cpu/online")
            .filter(|cores| !cores.is_empty())
            .ok_or("/sys/devices/system/cpu/online does not say which cores there are")?;
        let mut nodes = BTreeMap::new();
        for name in tree.names("/sys/devices/system/node") {
            let number = name.strip_prefix("node").and_then(|number| number.parse().ok());
            let cores = list(&format!("/sys/devices/system/node/{name}/cpulist"));
            if let (Some(number), Some(cores)) = (number, cores) {
                nodes.insert(number, cores);
            }
        }
        let relays = relays(tree);
        let running: Cores = relays.iter().flat_map(|relay| relay.workers.iter()).collect();
        let workers = match &plan.cores {
            Some(cores) if cores.is_empty() || !cores.is_subset(&online) => {
                return Err(format!("cores {cores}: this machine has {online}"));
            }
            Some(cores) => cores.clone(),
            None if running.is_empty() => {
                online.iter().take(plan.count.unwrap_or(online.len())).collect()
            }
            None => running,
        };
        let mut machine =
            Self { tree, ports: &plan.ports, online, nodes, workers, cards: Vec::new(), relays };
        for name in tree.names("/sys/class/net") {
            let is_up = tree.get(&format!("/sys/class/net/{name}/operstate")) == Some("up");
            if if plan.cards.is_empty() {
                is_up
            } else {
                plan.cards.iter().any(|card| card == name)
            } {
                machine.cards.push(machine.card(name));
            }
        }
        for name in &plan.cards {
            if !machine.cards.iter().any(|card| card.name == name) {
                return Err(format!("{name}: this machine has no such network card"));
            }
        }
        Ok(machine)
    }

    /// A line for the cores, one for the workers, and one for each card.
    pub(crate) fn summary(&self) -> Vec<String> {
        let nodes: Vec<String> =
            self.nodes.iter().map(|(node, cores)| format!("node {node}: {cores}")).collect();
        let why = match &self.relays[..] {
            [] => "no relay is running".to_owned(),
            relays => {
                let all: Vec<&str> = relays.iter().map(|relay| relay.process).collect();
                format!("process {}", all.join(", "))
            }
        };
        let mut lines = vec![
            format!("cores {} ({})", self.online, nodes.join("; ")),
            format!("workers on cores {} ({why})", self.workers),
        ];
        if self.cards.is_empty() {
            lines.push("no network card is up".into());
        }
        lines.extend(self.cards.iter().map(|card| {
            let interrupts: Cores =
                card.interrupts.iter().flat_map(|irq| irq.cores.iter()).collect();
            let node = card.node.map_or(String::new(), |node| format!(", node {node}"));
            format!(
                "{}: {}{node}, receive queues: {}, interrupts on cores {interrupts}",
                card.name, card.driver, card.receive_queues
            )
        }));
        lines
    }

    fn card(&self, name: &'a str) -> Card<'a> {
        let tree = self.tree;
        let directory = format!("/sys/class/net/{name}");
        // -1 where the firmware does not say; a node without cores cannot take interrupts.
        let node = tree.get(&format!("{directory}/device/numa_node"));
        let node = node.and_then(|node| node.parse().ok()).filter(|_| self.nodes.len() > 1);
        let near = node.and_then(|node| self.nodes.get(&node)).filter(|cores| !cores.is_empty());
        let queues = tree.names(&format!("{directory}/queues"));
        Card {
            name,
            driver: tree.get(&format!("/ethtool/{name}/driver")).unwrap_or_default(),
            node: node.filter(|_| near.is_some()),
            near: near.unwrap_or(&self.online).both(&self.online),
            interrupts: interrupts(tree, &directory),
            receive_queues: queues.iter().filter(|queue| queue.starts_with("rx-")).count(),
        }
    }
}

impl Card<'_> {
    /// A file of the card.
    pub(crate) fn path(&self, file: &str) -> String {
        format!("/sys/class/net/{}/{file}", self.name)
    }

    /// What the driver tells.
    pub(crate) fn told(&self, tree: &Tree, name: &str) -> Option<i64> {
        tree.number(&format!("/ethtool/{}/{name}", self.name))
    }

    /// Whether it is a device of a virtual machine: its host decides.
    pub(crate) fn is_virtual(&self) -> bool {
        self.driver == "virtio_net"
    }
}

/// The interrupts of a card's receive queues, by the number of the queue.
fn interrupts(tree: &Tree, directory: &str) -> Vec<Interrupt> {
    let mut found = Vec::new();
    for irq in tree.names(&format!("{directory}/device/msi_irqs")) {
        let actions = tree.get(&format!("/sys/kernel/irq/{irq}/actions")).unwrap_or_default();
        let Some(queue) = receive_queue(actions) else { continue };
        // Where the kernel sends it, of the cores that it may choose from.
        let cores = ["effective_affinity_list", "smp_affinity_list"]
            .iter()
            .filter_map(|file| tree.get(&format!("/proc/irq/{irq}/{file}"))?.parse().ok())
            .find(|cores: &Cores| !cores.is_empty());
        if let (Ok(number), Some(cores)) = (irq.parse(), cores) {
            found.push((queue, Interrupt { number, cores }));
        }
    }
    found.sort_by_key(|(queue, interrupt)| (*queue, interrupt.number));
    found.into_iter().map(|(_, interrupt)| interrupt).collect()
}

/// The receive queue whose interrupt has this name; `None` for one of sending or of management.
///
/// Drivers name them as they like: `mlx5_comp3@pci:0000:3b:00.0`, `ice-ens1f0-TxRx-3`,
/// `i40e-eno1-TxRx-3`, `ens5-Tx-Rx-3`, `eth0-rx-3`, `virtio2-input.3`.
fn receive_queue(name: &str) -> Option<u32> {
    let name = name.to_ascii_lowercase();
    let marks = ["_comp", "txrx-", "tx-rx-", "rx-", "input."];
    let rest = marks.iter().find_map(|mark| Some(name.split_once(mark)?.1))?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

fn relays(tree: &Tree) -> Vec<Relay<'_>> {
    let mut relays = Vec::new();
    for process in tree.names("/proc") {
        let directory = format!("/proc/{process}");
        if tree.get(&format!("{directory}/comm")) != Some("strowger") {
            continue;
        }
        let threads = tree.names(&format!("{directory}/task"));
        let cores = threads.iter().filter_map(|thread| {
            let status = tree.get(&format!("{directory}/task/{thread}/status"))?;
            value(status, "Cpus_allowed_list:")?.parse::<Cores>().ok()
        });
        let workers = cores.flat_map(|cores| cores.iter().collect::<Vec<_>>()).collect();
        let status = tree.get(&format!("{directory}/status")).unwrap_or_default();
        let limits = tree.get(&format!("{directory}/limits")).unwrap_or_default();
        let open_files = value(limits, "Max open files").map(|soft| match soft {
            "unlimited" => Some(u64::MAX),
            soft => soft.parse().ok(),
        });
        relays.push(Relay {
            process,
            workers,
            capabilities: value(status, "CapEff:")
                .and_then(|hex| u64::from_str_radix(hex, 16).ok()),
            open_files: open_files.flatten(),
        });
    }
    relays
}

/// The first word after the name of a line.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interrupts() {
        for (name, wants) in [
            ("mlx5_comp3@pci:0000:3b:00.0", Some(3)),
            ("mlx5_async0@pci:0000:3b:00.0", None),
            ("ice-ens1f0-TxRx-12", Some(12)),
            ("ice-0000:3b:00.0:misc", None),
            ("i40e-eno1-TxRx-0", Some(0)),
            ("ens5-Tx-Rx-7", Some(7)),
            ("ena-mgmnt@pci:0000:00:05.0", None),
            ("eth0-rx-1", Some(1)),
            ("eth0-tx-1", None),
            ("virtio2-input.0", Some(0)),
            ("virtio2-output.0", None),
            ("virtio2-config", None),
            ("nvme0q1", None),
            ("", None),
        ] {
            assert_eq!(receive_queue(name), wants, "{name}");
        }
    }

    const TWO_NODES: &str = "\
/sys/devices/system/cpu/online: 0-7
/sys/devices/system/node/node0/cpulist: 0-3
/sys/devices/system/node/node1/cpulist: 4-7
/sys/class/net/eth0/operstate: up
/sys/class/net/eth0/device/numa_node: 1
/sys/class/net/eth0/device/msi_irqs/41: msix
/sys/class/net/eth0/device/msi_irqs/40: msix
/sys/class/net/eth0/device/msi_irqs/39: msix
/sys/kernel/irq/39/actions: ice-eth0-TxRx-1
/sys/kernel/irq/40/actions: ice-eth0-TxRx-0
/sys/kernel/irq/41/actions: ice-0000:3b:00.0:misc
/proc/irq/39/smp_affinity_list: 0-7
/proc/irq/39/effective_affinity_list: 5
/proc/irq/40/smp_affinity_list: 4
/proc/irq/41/smp_affinity_list: 0
/sys/class/net/eth0/queues/rx-0/rps_cpus: 00
/sys/class/net/eth0/queues/rx-1/rps_cpus: 00
/sys/class/net/eth0/queues/tx-0/xps_cpus: 00
/sys/class/net/eth1/operstate: down
/ethtool/eth0/driver: ice
/proc/7/comm: strowger
/proc/7/status: CapEff:\t00000000a0001000
/proc/7/limits: Max open files            1024                 524288               files
/proc/7/task/8/status: Cpus_allowed_list:\t4
/proc/7/task/9/status: Cpus_allowed_list:\t6
/proc/9/comm: irqbalance
";

    #[test]
    fn what_the_files_say() {
        let tree = Tree::from_text(TWO_NODES).unwrap();
        let plan = Plan::default();
        let machine = Machine::new(&tree, &plan).unwrap();
        assert_eq!(machine.online.to_string(), "0-7");
        assert_eq!(machine.nodes.len(), 2);
        assert_eq!(machine.workers.to_string(), "4,6");
        let [relay] = &machine.relays[..] else { panic!("{:?}", machine.relays) };
        assert_eq!((relay.process, relay.open_files), ("7", Some(1024)));
        assert_eq!(relay.capabilities, Some(0xa000_1000));
        let [card] = &machine.cards[..] else { panic!("{:?}", machine.cards) };
        assert_eq!((card.name, card.driver, card.node), ("eth0", "ice", Some(1)));
        assert_eq!(card.receive_queues, 2);
        assert_eq!(card.near.to_string(), "4-7");
        let interrupts: Vec<_> =
            card.interrupts.iter().map(|irq| (irq.number, irq.cores.to_string())).collect();
        assert_eq!(interrupts, [(40, "4".into()), (39, "5".into())]);
        assert!(!card.is_virtual());
    }

    #[test]
    fn what_the_operator_says() {
        let tree = Tree::from_text(TWO_NODES).unwrap();
        let plan =
            Plan { cores: "0-1".parse().ok(), cards: vec!["eth1".into()], ..Plan::default() };
        let machine = Machine::new(&tree, &plan).unwrap();
        assert_eq!(machine.workers.to_string(), "0-1");
        assert_eq!(machine.cards[0].name, "eth1");
        assert_eq!(machine.cards[0].near.to_string(), "0-7");
        for (cores, cards, wants) in [
            ("8", vec![], "cores 8: this machine has 0-7"),
            ("", vec![], "cores : this machine has 0-7"),
            ("0", vec!["eth2".to_owned()], "eth2: this machine has no such network card"),
        ] {
            let plan = Plan { cores: cores.parse().ok(), cards, ..Plan::default() };
            assert_eq!(Machine::new(&tree, &plan).err().as_deref(), Some(wants));
        }
        let nothing = Tree::default();
        assert!(Machine::new(&nothing, &Plan::default()).is_err());
    }

    #[test]
    fn without_a_relay_all_cores_are_workers_and_one_node_is_no_node() {
        let text = "/sys/devices/system/cpu/online: 0-1
/sys/devices/system/node/node0/cpulist: 0-1
/sys/class/net/eth0/operstate: up
/sys/class/net/eth0/device/numa_node: 0
/ethtool/eth0/driver: virtio_net
";
        let tree = Tree::from_text(text).unwrap();
        let plan = Plan::default();
        let machine = Machine::new(&tree, &plan).unwrap();
        assert_eq!(machine.workers.to_string(), "0-1");
        assert_eq!(machine.cards[0].node, None);
        assert!(machine.cards[0].is_virtual());
    }
}
