//! The processor: which cores workers run on, and how those run.

use super::{Advice, Change, Cores, Finding, Machine, Want, sysctls};

pub(super) fn workers_node(machine: &Machine<'_>) -> Finding {
    if machine.nodes.len() < 2 {
        return Finding::Fine("one memory node".into());
    }
    let nodes: Vec<u16> = machine.cards.iter().filter_map(|card| card.node).collect();
    let Some(node) = nodes.first().copied() else {
        return Finding::Unknown("the firmware does not say which node a card is on".into());
    };
    if nodes.iter().any(|other| *other != node) {
        return Finding::Unknown(
            "the cards are on several nodes: name the one that carries calls with --card".into(),
        );
    }
    let Some(near) = machine.nodes.get(&node) else {
        return Finding::Unknown(format!("node {node} is not there"));
    };
    let far = machine.workers.without(near);
    if far.is_empty() {
        return Finding::Fine(format!("all workers are on node {node}, the card's"));
    }
    Advice {
        found: format!("workers on cores {far} are on another node than {node}, the card's"),
        right: format!("workers on cores of {near}"),
        see: "ps -L -o psr,comm -C strowger".into(),
        by_hand: by_affinity(&best(machine, near)),
        changes: Vec::new(),
    }
    .into()
}

/// The cores of a node that workers should have: no siblings, and of three cores one is left for the
/// interrupts of two.
fn best(machine: &Machine<'_>, near: &Cores) -> Cores {
    let whole: Vec<u16> = near.iter().filter(|core| is_first_sibling(machine, *core)).collect();
    let most = (whole.len() * 2 / 3).max(1).min(machine.workers.len());
    whole.into_iter().take(most).collect()
}

fn by_affinity(cores: &Cores) -> Vec<String> {
    vec![format!(
        "CPUAffinity={cores} in /etc/systemd/system/strowger.service.d/cores.conf, then \
         systemctl daemon-reload; systemctl restart strowger"
    )]
}

fn siblings(machine: &Machine<'_>, core: u16) -> Cores {
    let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    let listed = machine.tree.get(&path).and_then(|text| text.parse().ok());
    listed.unwrap_or_else(|| [core].into_iter().collect())
}

fn is_first_sibling(machine: &Machine<'_>, core: u16) -> bool {
    siblings(machine, core).first() == Some(core)
}

pub(super) fn smt(machine: &Machine<'_>) -> Finding {
    let shared: Cores = machine
        .workers
        .iter()
        .filter(|core| siblings(machine, *core).both(&machine.workers).len() > 1)
        .collect();
    if shared.is_empty() {
        return Finding::Fine("each worker has a core of its own".into());
    }
    // The cards' node, or the one that there is.
    let near = machine.cards.first().map_or(&machine.online, |card| &card.near);
    let free: Cores = near
        .iter()
        .filter(|core| is_first_sibling(machine, *core))
        .filter(|core| siblings(machine, *core).both(&machine.workers).is_empty())
        .collect();
    if free.is_empty() {
        return Finding::Fine("workers share cores, and no core is free".into());
    }
    let right = best(machine, near);
    Advice {
        found: format!("workers on {shared} share cores, while {free} have none"),
        right: format!("workers on cores {right}"),
        see: "grep . /sys/devices/system/cpu/cpu*/topology/thread_siblings_list".into(),
        by_hand: by_affinity(&right),
        changes: Vec::new(),
    }
    .into()
}

pub(super) fn isolation(machine: &Machine<'_>) -> Finding {
    let path = "/sys/devices/system/cpu/isolated";
    let Some(isolated) = machine.tree.get(path).and_then(|text| text.parse::<Cores>().ok()) else {
        return Finding::Unknown("this kernel does not have it".into());
    };
    let interrupted: Cores = machine
        .cards
        .iter()
        .flat_map(|card| card.interrupts.iter().flat_map(|irq| irq.cores.iter()))
        .collect();
    let idle = isolated.without(&machine.workers).without(&interrupted);
    if idle.is_empty() {
        return Finding::Fine(if isolated.is_empty() {
            "no core is isolated".into()
        } else {
            format!("cores {isolated}, all in use")
        });
    }
    Advice {
        found: format!("cores {idle} are isolated, and no worker runs there"),
        right: "the relay's CPUAffinity names them: by itself it runs on the others".into(),
        see: format!("cat {path}"),
        by_hand: by_affinity(&isolated),
        changes: Vec::new(),
    }
    .into()
}

pub(super) fn nohz_full(machine: &Machine<'_>) -> Finding {
    let path = "/sys/devices/system/cpu/nohz_full";
    // The kernel writes "(null)" if it could have some and has none.
    let cores = machine.tree.get(path).and_then(|text| text.parse::<Cores>().ok());
    let cores = cores.unwrap_or_default().both(&machine.workers);
    if cores.is_empty() {
        return Finding::Fine("no worker's core".into());
    }
    Advice {
        found: format!("cores {cores} of workers"),
        right: "no worker's core".into(),
        see: format!("cat {path}"),
        by_hand: vec!["take nohz_full= out of the kernel's command line, and restart".into()],
        changes: Vec::new(),
    }
    .into()
}

pub(super) fn governor(machine: &Machine<'_>) -> Finding {
    let files: Vec<(String, &str)> = machine
        .online
        .iter()
        .filter_map(|core| {
            let path = format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor");
            let governor = machine.tree.get(&path)?;
            Some((path, governor))
        })
        .collect();
    if files.is_empty() {
        return Finding::Unknown("the firmware or the host decides".into());
    }
    let wrong: Vec<_> = files.iter().filter(|(_, governor)| *governor != "performance").collect();
    let Some((_, one)) = wrong.first() else {
        return Finding::Fine("performance".into());
    };
    Advice {
        found: format!("{one} on {} of {} cores", wrong.len(), files.len()),
        right: "performance".into(),
        see: "grep . /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor".into(),
        by_hand: vec!["cpupower frequency-set -g performance".into()],
        changes: wrong.iter().map(|(path, _)| Change::new(path.as_str(), "performance")).collect(),
    }
    .into()
}

pub(super) fn numa_balancing(machine: &Machine<'_>) -> Finding {
    if machine.nodes.len() < 2 {
        return Finding::Fine("one memory node".into());
    }
    sysctls(machine, &[("kernel.numa_balancing", Want::Most(0))])
}
