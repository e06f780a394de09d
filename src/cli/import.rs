//! `strowger import`: a kamailio.cfg in, a strowger.toml out, and a table of what became of it.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};
use strowger::import::{Import, Item, import};
use strowger::limits;

use super::client::Trouble;
use super::show;

/// Make a strowger.toml that does what a kamailio.cfg does, and say what could not be carried over
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Example:
  strowger import /etc/kamailio/kamailio.cfg -o strowger.toml
  strowger check --config strowger.toml

The file is written with mode 0600, since it may hold the password of a database. Without -o it goes
to standard output, and the report to standard error.")]
pub(crate) struct ImportArgs {
    /// Kamailio's configuration; what it includes is read too
    #[arg(value_name = "KAMAILIO.CFG")]
    file: PathBuf,
    /// Where to write the configuration
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long, requires = "output")]
    force: bool,
    /// A name that Kamailio is started with (-A), such as `WITH_MYSQL`; may be given several times
    #[arg(short = 'A', long, value_name = "NAME[=VALUE]")]
    define: Vec<String>,
    /// Report as one JSON object
    #[arg(long)]
    json: bool,
}

/// Exit status 0 when a configuration could be made, even if something was not carried over.
pub(crate) fn run(args: &ImportArgs) -> ExitCode {
    let result = read(args).and_then(|imported| {
        if let Some(path) = &args.output {
            write(path, &imported.toml, args.force).map_err(|error| told(path, &error))?;
        }
        Ok(imported)
    });
    match result {
        Ok(imported) => match tell(args, &imported) {
            Ok(()) => ExitCode::SUCCESS,
            Err(trouble) => trouble.tell(),
        },
        Err(problem) if args.json => {
            let _ = show::print(&format!("{:#}", json!({ "ok": false, "problem": problem })));
            ExitCode::FAILURE
        }
        Err(problem) => {
            let _ = writeln!(io::stderr(), "strowger import: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn read(args: &ImportArgs) -> Result<Import, String> {
    let text = text_of(&args.file).map_err(|why| format!("{}: {why}", args.file.display()))?;
    let defined: Vec<_> = args
        .define
        .iter()
        .map(|define| define.split_once('=').unwrap_or((define, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    import(&args.file, &text, &defined, &mut included).map_err(|error| error.to_string())
}

/// As Kamailio does: relative to the file that names it.
fn included(from: &Path, name: &str) -> Result<(PathBuf, String), String> {
    let path = from.parent().unwrap_or(Path::new("")).join(name);
    let text = text_of(&path)?;
    Ok((path, text))
}

/// The text of a file. What is not UTF-8 is in comments, mostly, and becomes a question mark.
fn text_of(path: &Path) -> Result<String, String> {
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("cannot be read ({error})"),
    };
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(cannot)?;
    if !file.metadata().map_err(cannot)?.is_file() {
        return Err("is no file".into());
    }
    let mut bytes = Vec::new();
    file.take(limits::CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > limits::CONFIG_BYTES_MAX {
        return Err(format!("is longer than {} bytes", limits::CONFIG_BYTES_MAX));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The whole file or nothing, readable by its owner alone.
fn write(path: &Path, text: &str, force: bool) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        // A link is refused where a name is taken already, a renaming would take its place.
        .and_then(|()| if force { fs::rename(&new, path) } else { fs::hard_link(&new, path) });
    // After a renaming it is not there any more.
    let _ = fs::remove_file(&new);
    written
}

fn told(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{}: is there already: give another name, or --force", path.display())
        }
        _ => format!("{}: cannot be written ({error})", path.display()),
    }
}

fn tell(args: &ImportArgs, imported: &Import) -> Result<(), Trouble> {
    // A password is not for the eyes of whoever passes by.
    let is_hidden = args.output.is_none() && io::stdout().is_terminal();
    let toml = if is_hidden { &imported.toml_shown } else { &imported.toml };
    if args.json {
        return show::put(&format!("{:#}\n", json_of(args, imported, toml)));
    }
    let mut report = report(imported);
    if is_hidden && imported.has_password() {
        report.push_str(
            "The password of the database is left out on a terminal: write the file with -o.\n",
        );
    }
    if let Some(path) = &args.output {
        let path = path.display();
        let _ = writeln!(report, "{path} written, mode 0600. See what is right with it:");
        let _ = writeln!(report, "  strowger check --config {path}");
        show::put(&report)
    } else {
        // When standard error is gone there is nobody left to tell.
        let _ = io::stderr().write_all(report.as_bytes());
        show::put(toml)
    }
}

fn report(imported: &Import) -> String {
    let mut text = String::new();
    for (title, items) in
        [("Carried over", &imported.carried), ("Not carried over", &imported.left)]
    {
        if items.is_empty() {
            continue;
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        for Item { line, what, then } in items {
            table.add_row([line, what, then]);
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{title} ({})\n{}\n", items.len(), table.trim_fmt());
    }
    text.push_str(
        "Conditions in routes are not followed: every new request goes to the one set. Look through\n\
         what your routes decide before calls go this way.\n",
    );
    text
}

fn json_of(args: &ImportArgs, imported: &Import, toml: &str) -> Value {
    let items = |items: &[Item], then: &str| {
        let items = items
            .iter()
            .map(|item| json!({ "line": item.line, "what": item.what, then: item.then }));
        items.collect::<Value>()
    };
    let mut report = json!({
        "ok": true,
        "output": args.output,
        "carried_over": items(&imported.carried, "key"),
        "not_carried_over": items(&imported.left, "why"),
    });
    if args.output.is_none() {
        report["toml"] = toml.into();
    }
    report
}
