//! The relay's process: its limits, its privileges, its memory.

use super::kernel::NET_ADMIN;
use super::{Advice, Change, Finding, Machine};
use crate::tune::advice::meaning;

pub(super) fn file_limit(machine: &Machine<'_>) -> Finding {
    let limits = machine.relays.iter().filter_map(|relay| Some((relay.process, relay.open_files?)));
    let Some((process, least)) = limits.min_by_key(|(_, limit)| *limit) else {
        return Finding::Unknown(NO_RELAY.into());
    };
    if least >= OPEN_FILES {
        return Finding::Fine(format!("{least} open files"));
    }
    Advice {
        found: format!("{least} open files, process {process}"),
        right: format!("at least {OPEN_FILES}"),
        see: format!("grep 'open files' /proc/{process}/limits"),
        by_hand: vec![format!(
            "LimitNOFILE={OPEN_FILES} in the unit, as in tuning/strowger.service"
        )],
        changes: Vec::new(),
    }
    .into()
}

/// A socket for each of 64 workers and 256 listeners, and room for everything else.
const OPEN_FILES: u64 = 20_000;

const NO_RELAY: &str = "no relay is running";

pub(super) fn capabilities(machine: &Machine<'_>) -> Finding {
    let relays = machine.relays.iter().filter_map(|relay| {
        let all = relay.capabilities?;
        let has = |capability: u32| all >> capability & 1 == 1;
        let mut missing = Vec::new();
        if !has(NET_ADMIN) {
            missing.push("CAP_NET_ADMIN");
        }
        // One worker needs no steering; before CAP_BPF it was part of CAP_SYS_ADMIN.
        if relay.workers.len() > 1 && !has(SYS_ADMIN) {
            missing.extend(
                [(BPF, "CAP_BPF"), (PERFMON, "CAP_PERFMON")]
                    .iter()
                    .filter_map(|(capability, name)| (!has(*capability)).then_some(*name)),
            );
        }
        Some((relay.process, missing))
    });
    let Some((process, missing)) = relays.max_by_key(|(_, missing)| missing.len()) else {
        return Finding::Unknown(NO_RELAY.into());
    };
    if missing.is_empty() {
        return Finding::Fine("all".into());
    }
    let missing = missing.join(" ");
    Advice {
        found: format!("process {process} lacks {missing}"),
        right: "it has them".into(),
        see: format!("getpcaps {process}"),
        by_hand: vec![format!(
            "AmbientCapabilities={missing} in the unit, as in tuning/strowger.service"
        )],
        changes: Vec::new(),
    }
    .into()
}

// Numbers of linux/capability.h.
const SYS_ADMIN: u32 = 21;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

pub(super) fn huge_pages(machine: &Machine<'_>) -> Finding {
    let path = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
    let Some(content) = machine.tree.get(path) else {
        return Finding::Unknown("this kernel does not have it".into());
    };
    let now = meaning(path, content);
    if !["never", "deny"].contains(&now.as_str()) {
        return Finding::Fine(now);
    }
    let change = Change::new(path, "advise");
    Advice {
        found: now,
        right: "advise, before the relay starts".into(),
        see: format!("cat {path}"),
        by_hand: vec![change.command()],
        changes: vec![change],
    }
    .into()
}
