//! `strowger generate`: manual pages and shell completions, made from the command line itself. The
//! packages install them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::Cli;
use super::client::Trouble;

/// Write the manual pages (man1) and the completions for bash, fish and zsh into a folder
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct GenerateArgs {
    /// Folder for bash, fish, man1 and zsh; made if it does not exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn run(args: &GenerateArgs) -> ExitCode {
    match write_all(&args.folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Trouble(vec![format!("{}: {error}", args.folder.display())]).tell(),
    }
}

fn write_all(folder: &Path) -> io::Result<()> {
    let sub = |name: &str| {
        let path = folder.join(name);
        fs::create_dir_all(&path).map(|()| path)
    };
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(
            shell,
            &mut Cli::command(),
            "strowger",
            sub(&shell.to_string())?,
        )?;
    }
    let pages = sub("man1")?;
    // Not built with `help` and its copies of all subcommands, which would be pages of their own.
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let shown = root.get_subcommands().filter(|command| !command.is_hide_set());
    for command in std::iter::once(&root).chain(shown) {
        let man = Man::new(command.clone()).manual("Strowger").source(SOURCE);
        write_page(&mut File::create(pages.join(man.get_filename()))?, &man, command, &root)?;
    }
    Ok(())
}

const SOURCE: &str = concat!("strowger ", env!("CARGO_PKG_VERSION"));

/// Writes the page of one command. Its own last section, EXTRA, would run examples together.
fn write_page(out: &mut File, man: &Man, command: &Command, root: &Command) -> io::Result<()> {
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    if command.has_subcommands() {
        man.render_subcommands_section(out)?;
    }
    let mut paragraphs = paragraphs(command);
    if !paragraphs.iter().any(|paragraph| paragraph.starts_with(EXIT_STATUS)) {
        paragraphs.extend(self::paragraphs(root));
    }
    let mut page = Roff::new();
    for paragraph in paragraphs {
        section(&mut page, &paragraph);
    }
    if command.has_subcommands() {
        page.control("SH", ["FILES"]);
        for (path, what) in FILES {
            page.control("TP", []).text([bold(path)]).text([roman(what)]);
        }
    }
    page.control("SH", ["SEE ALSO"]);
    let others: &[&str] = match command.get_name() {
        "strowger" => &["systemctl", "kamctl"],
        _ => &["strowger"],
    };
    let others: Vec<_> =
        others.iter().map(|name| format!("{name}({})", section_of(name))).collect();
    page.text([roman(others.join(", "))]);
    out.write_all(page.render().as_bytes())
}

/// What follows the options in the help, by its blank lines.
fn paragraphs(command: &Command) -> Vec<String> {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    text.split("\n\n").filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// A paragraph as a section: named by its first words if a colon ends them, with indented lines as
/// they are.
fn section(page: &mut Roff, paragraph: &str) {
    let named = TITLES.iter().find_map(|(words, title)| {
        paragraph.strip_prefix(words).map(|text| (*title, text.trim_start_matches(' ')))
    });
    let (title, text) = named.unwrap_or(("NOTES", paragraph));
    page.control("SH", [title]);
    let mut is_kept = false;
    for line in text.lines().filter(|line| !line.is_empty()) {
        if line.starts_with("  ") != is_kept {
            is_kept = !is_kept;
            page.control(if is_kept { "nf" } else { "fi" }, []);
        }
        page.text([roman(line)]);
    }
    if is_kept {
        page.control("fi", []);
    }
}

fn section_of(name: &str) -> u8 {
    if name == "kamctl" { 8 } else { 1 }
}

const EXIT_STATUS: &str = "Exit status:";

/// How a paragraph of the help begins, and the section that it is in a manual page.
const TITLES: [(&str, &str); 4] = [
    (EXIT_STATUS, "EXIT STATUS"),
    ("Example:", "EXAMPLES"),
    ("Examples:", "EXAMPLES"),
    ("Signals:", "SIGNALS"),
];

const FILES: [(&str, &str); 3] = [
    ("/etc/strowger/strowger.toml", "The configuration that the service of the package reads."),
    ("/var/lib/strowger", "Its state: the key, its database, the socket of the command line."),
    (
        "/usr/share/doc/strowger",
        "What each key of the configuration means, and how to operate the relay.",
    ),
];
