//! What a card does before the kernel sees a packet.

use super::{Advice, Card, Change, Finding, Machine};

pub(super) fn rings(machine: &Machine<'_>, card: &Card<'_>) -> Finding {
    let told = |name| card.told(machine.tree, name);
    let (Some(now), Some(max)) = (told("rx"), told("rx-max")) else {
        return Finding::Unknown("the driver does not tell".into());
    };
    let count = |name: &str| machine.tree.number(&card.path(&format!("statistics/{name}")));
    let missed = count("rx_missed_errors").unwrap_or(0) + count("rx_fifo_errors").unwrap_or(0);
    let lost = if missed > 0 { format!("; {missed} packets missed") } else { String::new() };
    let found = format!("{now} packets, of at most {max}{lost}");
    let wanted = max.min(if missed > 0 { RING_AFTER_LOSS } else { RING });
    if now >= wanted {
        return Finding::Fine(found);
    }
    Advice {
        found,
        right: format!("{wanted} packets"),
        see: format!("ethtool -g {}", card.name),
        by_hand: vec![
            format!("ethtool -G {} rx {wanted}", card.name),
            "the link may be down for some seconds".into(),
        ],
        changes: Vec::new(),
    }
    .into()
}

/// At 1 million packets a second a ring of 1,024 holds 1 ms of them.
const RING: i64 = 1024;

/// What a ring should be that was seen to be too small.
const RING_AFTER_LOSS: i64 = 4096;

pub(super) fn coalescing(machine: &Machine<'_>, card: &Card<'_>) -> Finding {
    if card.is_virtual() {
        return Finding::Fine("the host of this virtual machine decides".into());
    }
    let told = |name| card.told(machine.tree, name);
    let (Some(us), Some(frames)) = (told("rx-usecs"), told("rx-frames")) else {
        return Finding::Unknown("the driver does not tell".into());
    };
    if told("adaptive-rx") == Some(1) {
        return Finding::Fine("adaptive".into());
    }
    let found = format!("not adaptive, rx-usecs {us}, rx-frames {frames}");
    let is_for_each = us == 0 && frames <= 1;
    if us <= COALESCING_US_MAX && !is_for_each {
        return Finding::Fine(found);
    }
    Advice {
        found,
        right: "adaptive, or rx-usecs 20".into(),
        see: format!("ethtool -c {}", card.name),
        by_hand: vec![
            format!("ethtool -C {} adaptive-rx on", card.name),
            format!("or: ethtool -C {} adaptive-rx off rx-usecs 20", card.name),
        ],
        changes: Vec::new(),
    }
    .into()
}

/// A message waits this long on its way in, and so does each answer to it.
const COALESCING_US_MAX: i64 = 100;

pub(super) fn irq_deferral(machine: &Machine<'_>, card: &Card<'_>) -> Finding {
    if card.is_virtual() {
        return Finding::Fine("of no use on a virtual card".into());
    }
    let number = |file: &str| machine.tree.number(&card.path(file));
    let (Some(defer), Some(flush)) = (number("napi_defer_hard_irqs"), number("gro_flush_timeout"))
    else {
        return Finding::Unknown("this kernel does not have it".into());
    };
    let found = format!("napi_defer_hard_irqs {defer}, gro_flush_timeout {flush} ns");
    if defer > 0 && flush > 0 {
        return Finding::Fine(found);
    }
    let changes = vec![
        // In this order: deferral without a timer to end it would be wrong for a moment.
        Change::new(card.path("gro_flush_timeout"), FLUSH_NS.to_string()),
        Change::new(card.path("napi_defer_hard_irqs"), DEFERRALS.to_string()),
    ];
    Advice {
        found,
        right: format!("napi_defer_hard_irqs {DEFERRALS}, gro_flush_timeout {FLUSH_NS} ns"),
        see: format!("grep . {}", card.path("{napi_defer_hard_irqs,gro_flush_timeout}")),
        by_hand: changes.iter().map(Change::command).collect(),
        changes,
    }
    .into()
}

// As in the kernel's own commit (6f8b12d661d0, Linux 5.8).
const FLUSH_NS: i64 = 20_000;
const DEFERRALS: i64 = 10;
