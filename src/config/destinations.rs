//! `[destinations]`: where destinations come from, and how they are taken.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::document::{Document, Later, Section};
use super::{DatabaseUrl, values};

const KEYS: &[&str] = &[
    "source",
    "table",
    "version_table",
    "setid_col",
    "destination_col",
    "flags_col",
    "priority_col",
    "attrs_col",
    "db_extra_attrs",
    "load_mode",
    "removed_percent_max",
    "write_back",
    "name_servers",
];

const LATER: Later = &[
    ("ds_hash_size", "leave it out: calls are not counted per destination"),
    ("use_default", "leave it out: no destination is a last resort"),
    ("dst_avp", NO_FAILOVER),
    ("grp_avp", NO_FAILOVER),
    ("cnt_avp", NO_FAILOVER),
    ("xavp_dst", NO_FAILOVER),
    ("flags", NO_FAILOVER),
];

const NO_FAILOVER: &str = "leave it out: a request goes to one destination";

/// What Kamailio's module calls the same.
const KAMAILIO: &[(&str, &str)] = &[
    ("db_url", "write source = \"mysql://USER:PASSWORD@HOST/DATABASE\""),
    ("list_file", "write source = \"list:PATH\""),
    ("table_name", "write table = \"dispatcher\""),
    ("ds_db_extra_attrs", "write db_extra_attrs = \"ATTRIBUTE=COLUMN;…\""),
    ("ds_load_mode", "write load_mode = \"skip\" for 0, \"all\" for 1"),
    ("ds_ping_interval", "write interval_ms under [dispatch.probing], in milliseconds"),
    ("ds_ping_method", "write method under [dispatch.probing]"),
    ("ds_ping_from", "write from under [dispatch.probing]"),
    ("ds_probing_mode", "write mode under [dispatch.probing]"),
    ("ds_probing_threshold", "write failures under [dispatch.probing]"),
    ("ds_inactive_threshold", "write successes under [dispatch.probing]"),
    ("ds_ping_reply_codes", "write accept = [404, \"5xx\"] under [dispatch.probing]"),
    ("reload_delta", "leave it out: reloads wait for one another"),
    ("ds_dns_mode", "leave it out: names are asked for again by themselves"),
    ("ds_dns_interval", "leave it out: names are asked for again by themselves"),
    ("ds_dns_ttl", "leave it out: names are asked for again by themselves"),
];

/// Words of `load_mode`.
const LOAD_MODES: &[(&str, LoadMode)] = &[("all", LoadMode::All), ("skip", LoadMode::Skip)];

/// `[destinations]`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DestinationsConfig {
    /// `source`
    pub source: Source,
    /// `table`, `version_table` and the names of the columns; of a database only.
    pub table: TableNames,
    /// `db_extra_attrs`: attribute and the column that holds its value, Kamailio's `ds_db_extra_attrs`.
    pub extra_attributes: Vec<(String, String)>,
    /// `load_mode`
    pub load_mode: LoadMode,
    /// `removed_percent_max`: a reload after which a set would have lost more than this share of its
    /// destinations is refused unless forced. 0 to 100 %, 50 % by default.
    pub removed_percent_max: u8,
    /// `write_back`: what is added or removed by a command is written to the source too.
    pub write_back: bool,
    /// `name_servers`: asked in place of those of `/etc/resolv.conf` when there are any.
    pub name_servers: Vec<SocketAddr>,
}

/// Where destinations come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// `list:PATH`, Kamailio's `dispatcher.list`.
    List(PathBuf),
    /// `sqlite:PATH`
    Sqlite(PathBuf),
    /// `mysql://USER:PASSWORD@HOST[:PORT]/DATABASE`, `MariaDB` too.
    Mysql(DatabaseUrl),
    /// `postgres://USER:PASSWORD@HOST[:PORT]/DATABASE`
    Postgres(DatabaseUrl),
}

/// The names of a table and its columns, as Kamailio's module parameters have them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TableNames {
    /// `table`: `dispatcher` by default.
    pub table: String,
    /// `version_table`: `version` by default.
    pub version_table: String,
    /// `setid_col`
    pub set: String,
    /// `destination_col`
    pub destination: String,
    /// `flags_col`
    pub flags: String,
    /// `priority_col`
    pub priority: String,
    /// `attrs_col`
    pub attributes: String,
}

/// What a mistake in one record does to the others.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LoadMode {
    /// `"all"`: the load is refused as a whole.
    #[default]
    All,
    /// `"skip"`: that record is left out, and named.
    Skip,
}

/// Reads `[destinations]`; says too whether its `source` was read.
pub(super) fn read(document: &mut Document, section: &Section) -> (DestinationsConfig, bool) {
    section.only_here(document, KEYS, LATER, KAMAILIO);
    let mut read = DestinationsConfig::default();
    let mut has_source = false;
    if let Some((text, place)) = section.string(document, "source") {
        match values::source(text) {
            Ok(source) => {
                read.source = source;
                has_source = true;
            }
            Err((what, right)) => document.wrong(&place, section.what(&what), right),
        }
    }
    let names = &mut read.table;
    for (key, name) in [
        ("table", &mut names.table),
        ("version_table", &mut names.version_table),
        ("setid_col", &mut names.set),
        ("destination_col", &mut names.destination),
        ("flags_col", &mut names.flags),
        ("priority_col", &mut names.priority),
        ("attrs_col", &mut names.attributes),
    ] {
        let Some((text, place)) = section.string(document, key) else { continue };
        if values::is_sql_name(text) {
            text.clone_into(name);
        } else {
            let what = section.what(&format!("{key}: {text:?} is not a name"));
            document.wrong(&place, what, "write letters, digits and _, at most 63");
        }
    }
    if let Some((text, place)) = section.string(document, "db_extra_attrs") {
        match values::extra_attributes(text) {
            Ok(pairs) => read.extra_attributes = pairs,
            Err((what, right)) => {
                document.wrong(&place, section.what(&format!("db_extra_attrs: {what}")), right);
            }
        }
    }
    if let Some(mode) = section.word(document, "load_mode", LOAD_MODES, &[]) {
        read.load_mode = mode;
    }
    if let Some(percent) = section.integer(document, "removed_percent_max", &(0..=100), " %") {
        read.removed_percent_max = percent as u8;
    }
    if let Some(on) = section.boolean(document, "write_back") {
        read.write_back = on;
    }
    let example = "[\"192.0.2.53\"]";
    for (text, place) in section.strings(document, "name_servers", example).into_iter().flatten() {
        match values::name_server(text) {
            Ok(address) => read.name_servers.push(address),
            Err((what, right)) => {
                document.wrong(&place, section.what(&format!("name_servers: {what}")), right);
            }
        }
    }
    (read, has_source)
}

impl Default for DestinationsConfig {
    fn default() -> Self {
        Self {
            source: Source::List(PathBuf::new()),
            table: TableNames::default(),
            extra_attributes: Vec::new(),
            load_mode: LoadMode::default(),
            removed_percent_max: 50,
            write_back: false,
            name_servers: Vec::new(),
        }
    }
}

impl Default for TableNames {
    fn default() -> Self {
        Self {
            table: "dispatcher".into(),
            version_table: "version".into(),
            set: "setid".into(),
            destination: "destination".into(),
            flags: "flags".into(),
            priority: "priority".into(),
            attributes: "attrs".into(),
        }
    }
}

impl Source {
    /// A relative path is relative to the directory of the file that names it.
    pub(super) fn relative_to(&mut self, directory: &Path) {
        if let Self::List(path) | Self::Sqlite(path) = self {
            *path = directory.join(&path);
        }
    }

    /// Whether a database holds it.
    pub fn is_database(&self) -> bool {
        !matches!(self, Self::List(_))
    }
}

/// As problems and logs call it: never with a password.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(path) => write!(f, "{}", path.display()),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Mysql(url) | Self::Postgres(url) => write!(f, "{url}"),
        }
    }
}
