//! Which cores a card interrupts.

use std::collections::BTreeMap;

use super::{
    Advice, Card, Change, Cores, Finding, Machine, interrupt_cores, interrupt_cores_needed,
};

pub(super) fn irq_node(machine: &Machine<'_>, card: &Card<'_>) -> Finding {
    if machine.nodes.len() < 2 {
        return Finding::Fine("one memory node".into());
    }
    let Some(node) = card.node else {
        return Finding::Unknown("the firmware does not say which node the card is on".into());
    };
    if card.interrupts.is_empty() {
        return unknown();
    }
    let far = card.interrupts.iter().filter(|irq| !irq.cores.is_subset(&card.near)).count();
    let all = card.interrupts.len();
    if far == 0 {
        return Finding::Fine(format!("all {all} queues interrupt cores of node {node}"));
    }
    advise(
        machine,
        card,
        format!("{far} of {all} queues interrupt cores of another node than {node}, the card's"),
    )
}

pub(super) fn irq_spread(machine: &Machine<'_>, card: &Card<'_>) -> Finding {
    let all = card.interrupts.len();
    if all == 0 {
        return unknown();
    }
    let mut counts = BTreeMap::new();
    for irq in &card.interrupts {
        // One that may go to several cores goes to one at a time; the kernel prefers the first.
        *counts.entry(irq.cores.first()).or_insert(0_usize) += 1;
    }
    let used = counts.len();
    let cores: Cores = counts.keys().copied().flatten().collect();
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    let (Some(core), busiest) = most.unwrap_or_default() else { return unknown() };
    let found = format!("{all} queues interrupt {used} cores, {busiest} of them core {core}");
    let needed = interrupt_cores_needed(machine).min(interrupt_cores(machine, card).len()).min(all);
    if used >= needed && busiest <= all.div_ceil(used) {
        return Finding::Fine(format!("{all} queues interrupt cores {cores}"));
    }
    advise(machine, card, found)
}

fn unknown() -> Finding {
    Finding::Unknown("the queues' interrupts cannot be told from their names".into())
}

/// The queues take turns on the cores where they belong.
fn advise(machine: &Machine<'_>, card: &Card<'_>, found: String) -> Finding {
    let cores = interrupt_cores(machine, card);
    let changes = card.interrupts.iter().zip(cores.iter().cycle()).map(|(irq, core)| {
        Change::new(format!("/proc/irq/{}/smp_affinity_list", irq.number), core.to_string())
    });
    Advice {
        found,
        right: format!("spread evenly over cores {cores}"),
        see: format!("strowger-irq --show {}", card.name),
        by_hand: vec![format!("strowger-irq {} {cores}", card.name)],
        changes: changes.collect(),
    }
    .into()
}

pub(super) fn irqbalance(machine: &Machine<'_>) -> Finding {
    let is_running =
        machine.tree.names("/proc").iter().any(|process| {
            machine.tree.get(&format!("/proc/{process}/comm")) == Some("irqbalance")
        });
    if !is_running {
        return Finding::Fine("does not run".into());
    }
    if machine.cards.iter().all(|card| card.interrupts.is_empty()) {
        return Finding::Fine("runs, and no queue's interrupt is known".into());
    }
    Advice {
        found: "runs".into(),
        right: "does not run, or leaves these interrupts alone".into(),
        see: "systemctl status irqbalance".into(),
        by_hand: vec![
            "systemctl disable --now irqbalance".into(),
            "or IRQBALANCE_ARGS=\"--banmod=DRIVER\" in /etc/default/irqbalance".into(),
        ],
        changes: Vec::new(),
    }
    .into()
}
