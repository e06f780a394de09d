//! How packets are spread over cores by queues, on the way in and out.

use super::{
    Advice, Card, Change, Cores, Finding, Machine, Want, interrupt_cores, interrupt_cores_needed,
    sysctls,
};

pub(super) fn nic_queues(machine: &Machine<'_>, card: &Card<'_>) -> Finding {
    let Some((kind, now, max)) = told_queues(machine, card) else {
        return Finding::Unknown("the driver does not tell".into());
    };
    let cores = interrupt_cores(machine, card).len();
    let workers = machine.workers.len();
    let found = format!("{now} of at most {max}, for {workers} workers");
    if now >= max.min(cores).min(interrupt_cores_needed(machine)) {
        return Finding::Fine(found);
    }
    let right = max.min(cores).min(workers);
    Advice {
        found,
        right: format!("{right}"),
        see: format!("ethtool -l {}", card.name),
        by_hand: vec![
            format!("ethtool -L {} {kind} {right}", card.name),
            "the link may be down for some seconds, and interrupts are spread anew".into(),
        ],
        changes: Vec::new(),
    }
    .into()
}

/// How the driver counts its queues, how many there are, and how many there can be.
fn told_queues(machine: &Machine<'_>, card: &Card<'_>) -> Option<(&'static str, usize, usize)> {
    let told = |name: &str| card.told(machine.tree, name)?.try_into().ok();
    [("combined", "combined"), ("rx", "rx-queues")]
        .iter()
        .find_map(|(kind, name)| Some((*kind, told(name)?, told(&format!("{name}-max"))?)))
}

/// RPS helps a card with too few queues, and costs one that has enough. In between either is right.
pub(super) fn rps(machine: &Machine<'_>, card: &Card<'_>) -> Finding {
    if card.receive_queues == 0 || card.near.len() == 1 {
        return Finding::Fine("nothing to spread".into());
    }
    let max = told_queues(machine, card).map_or(0, |(_, _, max)| max);
    let queues = card.receive_queues.max(max);
    let masks: Vec<(String, Cores)> = rps_masks(machine, card);
    let used: Cores = masks.iter().flat_map(|(_, cores)| cores.iter()).collect();
    let state = if used.is_empty() { "off".into() } else { format!("cores {used}") };
    let found = format!("{state}, receive queues: {}", card.receive_queues);
    let wanted = if queues < interrupt_cores_needed(machine).min(card.near.len()) {
        // Several cores for each queue are an operator's own choice.
        if masks.iter().all(|(_, cores)| cores.len() > 1) {
            return Finding::Fine(found);
        }
        let busy: Cores = card.interrupts.iter().flat_map(|irq| irq.cores.iter()).collect();
        let rest = card.near.without(&busy);
        // On a small machine the core of the interrupt has time left.
        if card.near.len() < 4 || rest.is_empty() { card.near.clone() } else { rest }
    } else if queues < machine.workers.len() || used.is_empty() {
        return Finding::Fine(found);
    } else {
        Cores::default()
    };
    let mask = wanted.to_mask();
    let changes: Vec<Change> =
        masks.iter().map(|(path, _)| Change::new(path.as_str(), mask.as_str())).collect();
    let right = if wanted.is_empty() { "off".into() } else { format!("cores {wanted}") };
    Advice {
        found,
        right,
        see: format!("grep . {}", card.path("queues/rx-*/rps_cpus")),
        by_hand: vec![format!(
            "for f in {}; do echo {mask} > $f; done",
            card.path("queues/rx-*/rps_cpus")
        )],
        changes,
    }
    .into()
}

pub(super) fn has_rps(machine: &Machine<'_>, card: &Card<'_>) -> bool {
    rps_masks(machine, card).iter().any(|(_, cores)| !cores.is_empty())
}

fn rps_masks(machine: &Machine<'_>, card: &Card<'_>) -> Vec<(String, Cores)> {
    masks(machine, card, "rx-", "rps_cpus")
}

/// The files of a card's queues that hold cores, in the order of their numbers.
fn masks(machine: &Machine<'_>, card: &Card<'_>, kind: &str, file: &str) -> Vec<(String, Cores)> {
    let directory = card.path("queues");
    let mut numbers: Vec<u32> = machine
        .tree
        .names(&directory)
        .iter()
        .filter_map(|name| name.strip_prefix(kind)?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let masks = numbers.iter().filter_map(|number| {
        let path = format!("{directory}/{kind}{number}/{file}");
        let cores = Cores::from_mask(machine.tree.get(&path)?)?;
        Some((path, cores))
    });
    masks.collect()
}

pub(super) fn rfs(machine: &Machine<'_>) -> Finding {
    sysctls(machine, &[("net.core.rps_sock_flow_entries", Want::Most(0))])
}

pub(super) fn xps(machine: &Machine<'_>, card: &Card<'_>) -> Finding {
    let masks = masks(machine, card, "tx-", "xps_cpus");
    if masks.len() < 2 {
        return Finding::Fine("one queue to send by".into());
    }
    let covered: Cores = masks.iter().flat_map(|(_, cores)| cores.iter()).collect();
    let left = machine.workers.without(&covered);
    if left.is_empty() {
        return Finding::Fine(format!("{} queues, each worker has one", masks.len()));
    }
    let queues = masks.len();
    let changes: Vec<Change> = masks
        .iter()
        .enumerate()
        .map(|(queue, (path, _))| {
            let every = machine.online.iter().enumerate().filter(|(at, _)| at % queues == queue);
            let cores: Cores = every.map(|(_, core)| core).collect();
            Change::new(path.as_str(), cores.to_mask())
        })
        .collect();
    Advice {
        found: format!("no queue for the workers on cores {left}"),
        right: format!("each core sends by one of {queues} queues"),
        see: format!("grep . {}", card.path("queues/tx-*/xps_cpus")),
        by_hand: vec![format!("strowger-irq {} {}", card.name, interrupt_cores(machine, card))],
        changes,
    }
    .into()
}
