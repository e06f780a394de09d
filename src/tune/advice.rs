//! What is said about one setting.

use super::cores::Cores;

/// How much it matters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// Messages can be lost, or one core does the work of all.
    High,
    /// Messages cost more processor time than they need.
    Medium,
    /// Messages are delayed, or it matters on some machines only.
    Low,
}

impl Severity {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// What a look at one setting found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Finding {
    /// It is right, and how it is.
    Fine(String),
    /// It should be changed.
    Advice(Advice),
    /// It cannot be seen, or this machine does not have it, and why.
    Unknown(String),
}

/// What should be changed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Advice {
    /// How it is.
    pub found: String,
    /// How it should be.
    pub right: String,
    /// A command that shows it.
    pub see: String,
    /// Commands that change it, or what else to do.
    pub by_hand: Vec<String>,
    /// The files that hold it, if writing them changes it.
    pub changes: Vec<Change>,
}

impl From<Advice> for Finding {
    fn from(advice: Advice) -> Self {
        Self::Advice(advice)
    }
}

/// A file under `/proc` or `/sys`, and what to write to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// Its path.
    pub path: String,
    /// What to write.
    pub to: String,
}

impl Change {
    pub(crate) fn new(path: impl Into<String>, to: impl Into<String>) -> Self {
        Self { path: path.into(), to: to.into() }
    }

    /// The command that does it.
    pub(crate) fn command(&self) -> String {
        match self.path.strip_prefix("/proc/sys/") {
            Some(name) => format!("sysctl -w {}={}", name.replace('/', "."), self.to),
            None => format!("echo {} > {}", self.to, self.path),
        }
    }
}

/// What a file of settings says, in one form however the kernel writes it: the selected word of
/// `a [b] c`, cores as a list.
pub(crate) fn meaning(path: &str, content: &str) -> String {
    let content = content.trim();
    if let Some((_, rest)) = content.split_once('[')
        && let Some((word, _)) = rest.split_once(']')
    {
        return word.to_owned();
    }
    let cores = match path.rsplit('/').next() {
        Some("rps_cpus" | "xps_cpus") => Cores::from_mask(content),
        Some("smp_affinity_list") => content.parse().ok(),
        _ => None,
    };
    cores.map_or(content.to_owned(), |cores| cores.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_meaning_in_several_forms() {
        for (path, content, wants) in [
            ("/a/shmem_enabled", "always within_size advise [never] deny force\n", "never"),
            ("/a/rps_cpus", "00000000,00000003", "0-1"),
            ("/a/xps_cpus", "ff", "0-7"),
            ("/a/smp_affinity_list", "0,1,2", "0-2"),
            ("/a/rmem_max", " 212992\n", "212992"),
            ("/a/rps_cpus", "what", "what"),
        ] {
            assert_eq!(meaning(path, content), wants, "{path} {content}");
        }
    }

    #[test]
    fn commands_that_an_operator_would_type() {
        let change = Change::new("/proc/sys/net/core/rmem_max", "4194304");
        assert_eq!(change.command(), "sysctl -w net.core.rmem_max=4194304");
        let change = Change::new("/proc/irq/40/smp_affinity_list", "3");
        assert_eq!(change.command(), "echo 3 > /proc/irq/40/smp_affinity_list");
    }
}
