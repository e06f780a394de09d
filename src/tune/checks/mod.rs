//! One function for each setting, and the table of them.

mod card;
mod cores;
mod interrupts;
mod kernel;
mod process;
mod queues;
#[cfg(test)]
mod tests;

use super::advice::{Advice, Change, Finding, Severity};
use super::cores::Cores;
use super::machine::{Card, Machine};

/// A setting that is looked at.
#[derive(Debug)]
pub struct Check {
    /// The name that the operator uses, and the section of `tuning/advice.md`.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What it costs to leave it; a figure only where somebody measured it.
    pub cost: &'static str,
    pub(crate) look: Look,
}

/// How one looks at it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Look {
    Machine(fn(&Machine<'_>) -> Finding),
    Card(fn(&Machine<'_>, &Card<'_>) -> Finding),
}

use Look::Card as OfCard;
use Look::Machine as OfMachine;
use Severity::{High, Low, Medium};

/// Every setting.
pub const CHECKS: &[Check] = &[
    Check {
        id: "nic-queues",
        severity: High,
        cost: "the kernel's part of receiving runs on fewer cores than the workers need",
        look: OfCard(queues::nic_queues),
    },
    Check {
        id: "rps",
        severity: High,
        cost: "with one queue, one core does the kernel's part of receiving for all workers; with \
               enough queues, passing packets on to other cores only costs time",
        look: OfCard(queues::rps),
    },
    Check {
        id: "irq-spread",
        severity: High,
        cost: "the core that serves most queues is full while others have nothing to do",
        look: OfCard(interrupts::irq_spread),
    },
    Check {
        id: "irq-node",
        severity: High,
        cost: "every packet is read from the memory of the other socket",
        look: OfCard(interrupts::irq_node),
    },
    Check {
        id: "workers-node",
        severity: High,
        cost: "every packet crosses to the other socket's caches, and every answer back",
        look: OfMachine(cores::workers_node),
    },
    Check {
        id: "wmem-max",
        severity: High,
        cost: "one neighbour that does not answer can block everything that is sent",
        look: OfMachine(kernel::wmem_max),
    },
    Check {
        id: "rmem-max",
        severity: High,
        cost: "datagrams of a burst are lost when the receive buffer is full",
        look: OfMachine(kernel::rmem_max),
    },
    Check {
        id: "rings",
        severity: High,
        cost: "the card drops what arrives while its core is busy for a moment",
        look: OfCard(card::rings),
    },
    Check {
        id: "fragments",
        severity: High,
        cost: "a few thousand forged first fragments keep every large INVITE from arriving for 30 s",
        look: OfMachine(kernel::fragments),
    },
    Check {
        id: "file-limit",
        severity: High,
        cost: "a relay with many listeners and workers cannot start or reload",
        look: OfMachine(process::file_limit),
    },
    Check {
        id: "capabilities",
        severity: High,
        cost: "without BPF a trunk's calls stay on one worker; without CAP_NET_ADMIN buffers are \
               limited by rmem_max and wmem_max",
        look: OfMachine(process::capabilities),
    },
    Check {
        id: "irqbalance",
        severity: Medium,
        cost: "interrupts are moved to other cores, also to those of the workers",
        look: OfMachine(interrupts::irqbalance),
    },
    Check {
        id: "conntrack",
        severity: Medium,
        cost: "about 350 ns a packet (4.8 against 1.8 million packets a second dropped by one core of \
               a Xeon E5-1650 v4), and a full table drops new calls",
        look: OfMachine(kernel::conntrack),
    },
    Check {
        id: "governor",
        severity: Medium,
        cost: "cores slow down between bursts and take time to speed up",
        look: OfMachine(cores::governor),
    },
    Check {
        id: "isolation",
        severity: Medium,
        cost: "isolated cores that no worker uses do nothing",
        look: OfMachine(cores::isolation),
    },
    Check {
        id: "smt",
        severity: Medium,
        cost: "two workers share one core's units while another core is free",
        look: OfMachine(cores::smt),
    },
    Check {
        id: "rfs",
        severity: Medium,
        cost: "the kernel moves a trunk's packets after the worker that read last, which changes with \
               every call",
        look: OfMachine(queues::rfs),
    },
    Check {
        id: "xps",
        severity: Medium,
        cost: "workers wait for each other's lock on a send queue",
        look: OfCard(queues::xps),
    },
    Check {
        id: "backlog",
        severity: Medium,
        cost: "packets that one core passes to another are dropped in a burst",
        look: OfMachine(kernel::backlog),
    },
    Check {
        id: "budget",
        severity: Medium,
        cost: "the kernel stops receiving with packets left, and the card's ring fills",
        look: OfMachine(kernel::budget),
    },
    Check {
        id: "huge-pages",
        severity: Medium,
        cost: "in a flood of new INVITEs the pin table takes 5.3-6.0 % of the relay's time instead of \
               3.2-3.5 % (bench/where)",
        look: OfMachine(process::huge_pages),
    },
    Check {
        id: "numa-balancing",
        severity: Low,
        cost: "the kernel unmaps the workers' memory again and again to see who uses it",
        look: OfMachine(cores::numa_balancing),
    },
    Check {
        id: "coalescing",
        severity: Low,
        cost: "every message waits for the interrupt, or every packet causes one",
        look: OfCard(card::coalescing),
    },
    Check {
        id: "irq-deferral",
        severity: Low,
        cost: "more interrupts than needed: 20 us of deferral took the 99th percentile of memcached at \
               200,000 queries a second from 416 to 149 us, and the processor's share from 28 to 26 %",
        look: OfCard(card::irq_deferral),
    },
    Check {
        id: "nohz-full",
        severity: Low,
        cost: "every system call of a worker costs more, and it makes many",
        look: OfMachine(cores::nohz_full),
    },
    Check {
        id: "busy-poll",
        severity: Low,
        cost: "a waiting worker spins in the kernel; `relay.poll` is made for that",
        look: OfMachine(kernel::busy_poll),
    },
];

/// Interrupt cores that these workers need: one for two.
///
/// The kernel's part of receiving takes 0.35-0.55 us a datagram and steering up to 0.35 more; a
/// worker's part, with sending, is 1.3 to 2 us.
fn interrupt_cores_needed(machine: &Machine<'_>) -> usize {
    machine.workers.len().div_ceil(2)
}

/// Where a card's interrupts belong: on cores of its node without a worker, and if there are none, on
/// all cores of its node.
fn interrupt_cores(machine: &Machine<'_>, card: &Card<'_>) -> Cores {
    let free = card.near.without(&machine.workers);
    if free.is_empty() { card.near.clone() } else { free }
}

/// The sysctls of a check, and what they should be.
fn sysctls(machine: &Machine<'_>, wanted: &[(&str, Want)]) -> Finding {
    let mut known = Vec::new();
    let mut advice = Advice::default();
    let mut right = Vec::new();
    for (name, want) in wanted {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        let Some(value) = machine.tree.number(&path) else { continue };
        let short = name.rsplit('.').next().unwrap_or(name);
        known.push(format!("{short} {value}"));
        let (is_right, to) = match *want {
            Want::Least(least) => (value >= least, least),
            Want::Most(most) => (value <= most, most),
        };
        if !is_right {
            let word = if matches!(want, Want::Least(_)) { "at least" } else { "at most" };
            right.push(format!("{short} {word} {to}"));
            advice.changes.push(Change::new(path, to.to_string()));
        }
    }
    if known.is_empty() {
        return Finding::Unknown("this kernel does not have it".into());
    }
    if advice.changes.is_empty() {
        return Finding::Fine(known.join(", "));
    }
    let names: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
    advice.found = known.join(", ");
    advice.right = right.join(", ");
    advice.see = format!("sysctl {}", names.join(" "));
    advice.by_hand = advice.changes.iter().map(Change::command).collect();
    advice.by_hand.push("to keep it: tuning/90-strowger.conf in /etc/sysctl.d".into());
    advice.into()
}

#[derive(Clone, Copy, Debug)]
enum Want {
    Least(i64),
    Most(i64),
}
