//! What a package ships, and what the documentation shows: manual pages, completions, the unit,
//! configurations. Each is read by the program that it is for.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::cli::{Said, start_alone};
use crate::harness::loopback;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn strowger(arguments: &[&str]) -> Said {
    start_alone(arguments, None, None).wait()
}

fn said_by(program: &str, arguments: &[&str], file: &Path) -> (bool, String) {
    let output = Command::new(program)
        .args(arguments)
        .arg(file)
        .env("MANWIDTH", "80")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|error| panic!("{program} is installed: {error}"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn every_command_has_a_manual_page_that_groff_reads_without_a_warning() {
    let folder = TempDir::new().unwrap();
    let at = folder.path().join("new/folder");
    assert_eq!(strowger(&["generate", at.to_str().unwrap()]).well(), "");
    let help = strowger(&["--help"]).well();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    // Long descriptions have further lines.
    let commands = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let mut pages: Vec<_> = commands
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(|name| format!("strowger-{name}.1"))
        .chain(["strowger.1".into()])
        .collect();
    pages.sort();
    let mut found: Vec<_> = fs::read_dir(at.join("man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, pages);
    assert!(pages.len() > 16, "{pages:?}");

    for page in &pages {
        let (is_well, text) = said_by(
            "groff",
            &["-Kutf8", "-Tutf8", "-man", "-ww", "-z"],
            &at.join("man1").join(page),
        );
        assert!(is_well && text.is_empty(), "{page}: {text}");
        let (_, text) =
            said_by("groff", &["-Kutf8", "-Tutf8", "-man", "-P-cbou"], &at.join("man1").join(page));
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "SEE ALSO"] {
            assert!(text.lines().any(|line| line == section), "{page}: no {section}: {text}");
        }
        assert!(!text.lines().any(|line| line == "EXTRA"), "{page}: {text}");
    }
    let page = |name: &str| {
        said_by("groff", &["-Kutf8", "-Tutf8", "-man", "-P-cbou"], &at.join("man1").join(name)).1
    };
    let exit = "0 when all went well, 1 when something was wrong, 2 when the command line";
    let unfolded = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(unfolded(page("strowger.1")).contains(exit));
    assert!(unfolded(page("strowger-run.1")).contains(exit));
    let tune = page("strowger-tune.1");
    assert_eq!(tune.lines().filter(|line| *line == "EXIT STATUS").count(), 1, "{tune}");
    assert!(
        tune.contains("\n         strowger tune --undo\n"),
        "examples keep their lines: {tune}"
    );
    let run = page("strowger-run.1");
    assert!(run.lines().any(|line| line == "SIGNALS"), "{run}");
}

#[test]
fn shells_read_the_completions_and_complete() {
    let folder = TempDir::new().unwrap();
    assert_eq!(strowger(&["generate", folder.path().to_str().unwrap()]).well(), "");
    for (shell, check, file) in [
        ("bash", "-n", "bash/strowger.bash"),
        ("zsh", "-n", "zsh/_strowger"),
        ("fish", "-n", "fish/strowger.fish"),
    ] {
        let (is_well, text) = said_by(shell, &[check], &folder.path().join(file));
        assert!(is_well && text.is_empty(), "{shell}: {text}");
    }
    let script = "source \"$0\"; COMP_WORDS=(strowger dr); COMP_CWORD=1; \
                  _strowger strowger dr strowger; echo \"${COMPREPLY[@]}\"";
    let bash = folder.path().join("bash/strowger.bash");
    assert_eq!(said_by("bash", &["-c", script], &bash), (true, "drain\n".into()));
    let script = "source $argv[1]; complete -C 'strowger dr'";
    let fish = folder.path().join("fish/strowger.fish");
    let (_, text) = said_by("fish", &["--no-config", "-c", script], &fish);
    assert!(text.starts_with("drain\t"), "{text}");
}

/// `systemd-analyze security` gives it at most 2.0 of 10.
#[test]
fn the_unit_leaves_little_of_the_machine_to_the_relay() {
    let arguments = ["security", "--no-pager", "--offline=true", "--threshold=20"];
    let (is_well, text) = said_by("systemd-analyze", &arguments, &here("tuning/strowger.service"));
    assert!(is_well, "{text}");
    let arguments = ["security", "--no-pager", "--offline=true", "--threshold=5"];
    let (is_well, _) = said_by("systemd-analyze", &arguments, &here("tuning/strowger.service"));
    assert!(!is_well, "the threshold counts");
}

/// Checks it in a folder of its own, as it stands but for paths and servers of other machines.
fn check(text: &str, listen: bool) -> Said {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for name in ["run/strowger", "run/kamailio", "state"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    let text = text
        .replace("/run/", &path("run/"))
        .replace("/var/lib/strowger", &path("state"))
        .replace("/usr/local/bin/on-change", "/bin/true")
        .replace(
            "mysql://kamailioro:PASSWORD@db.example.com/kamailio",
            &format!("sqlite:{}", path("strowger.db")),
        );
    fs::write(path("strowger.toml"), text).unwrap();
    let address = format!("udp:{}:0", loopback::fresh_ip());
    let (file, flags) = (path("strowger.toml"), ["--listen", &address]);
    let flags = if listen { &flags[..] } else { &[] };
    strowger(&[&["check", &file], flags].concat())
}

/// The lines that a comment holds as a default or an example, too.
fn uncommented(text: &str) -> String {
    let is_key = |line: &str| {
        let word = line.split([' ', ']']).next().unwrap_or_default();
        let is_word = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.".contains(&b))
        };
        line.strip_prefix('[').is_some_and(|rest| rest.ends_with(']'))
            || is_word(word) && line[word.len()..].trim_start().starts_with('=')
    };
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if is_key(rest) => rest,
        _ => line,
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn the_shipped_configuration_is_right_as_it_is_and_with_all_that_it_suggests() {
    let text = fs::read_to_string(here("tuning/strowger.toml")).unwrap();
    let said = check(&text, false).well();
    assert!(said.contains("  listeners     udp:127.0.0.1:5060\n"), "{said}");
    assert!(said.contains("strowger run creates it, empty"), "{said}");
    let all = uncommented(&text);
    for key in ["workers = ", "calls_max = ", "[set.2]", "dispatch = ", "fifo = "] {
        assert!(all.lines().any(|line| line.starts_with(key)), "{key}: {all}");
    }
    check(&all, false).well();
}

#[test]
fn every_configuration_in_the_documentation_is_right() {
    let mut checked = 0;
    let mut files: Vec<_> =
        fs::read_dir(here("docs")).unwrap().map(|e| e.unwrap().path()).collect();
    files.extend(["README.md", "tuning/README.md", "tuning/advice.md"].map(here));
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "md")) {
        let text = fs::read_to_string(file).unwrap();
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let said = check(block, !block.contains("\nlisten "));
            assert_eq!(said.code, 0, "{}:\n{block}{}{}", file.display(), said.out, said.err);
            checked += 1;
        }
    }
    assert!(checked >= 5, "{checked}");
}

#[test]
fn init_writes_a_file_for_this_machine_that_is_right_and_says_what_comes_next() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let file = path("strowger.toml");
    let said = strowger(&["init", &file]).well();
    for part in [
        format!("{file} written\n"),
        format!("strowger check {file}"),
        format!("strowger run --config {file}"),
        "strowger add 1 sip:10.0.0.1:5060 --save".into(),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
    let text = fs::read_to_string(&file).unwrap();
    assert!(strowger(&["check", &file]).well().contains("strowger.db"));

    // Never over a file, unless it is wanted.
    fs::write(&file, "mine").unwrap();
    let said = strowger(&["init", &file]).refused();
    assert_eq!(
        said,
        format!("strowger: {file}: is there already: give another name, or --force\n")
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    strowger(&["init", &file, "--force"]).well();
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert_eq!(strowger(&["init", "--stdout"]).well(), text);

    // With a list, which is made too, and read where it is.
    let (file, list) = (path("listed.toml"), path("dispatcher.list"));
    let said = strowger(&["init", &file, "--list", &list, "--listen", "udp:127.0.0.1:5070"]).well();
    assert!(said.contains(&format!("{list} written")), "{said}");
    assert!(said.contains(&format!("edit {list}")), "{said}");
    let said = strowger(&["check", &file]).well();
    assert!(said.contains(&format!("  source        {list}\n")), "{said}");
    assert!(said.contains("  listeners     udp:127.0.0.1:5070\n"), "{said}");
    fs::write(&list, "1 sip:127.0.0.1:5071\n").unwrap();
    strowger(&["init", &file, "--list", &list, "--force"]).well();
    assert!(strowger(&["check", &file]).well().contains("set 1: 1, 1 of them"));

    // Nothing is written that would be refused.
    let file = path("wrong.toml");
    let said = strowger(&["init", &file, "--listen", "192.0.2.1", "--db", "mysql:"]).refused();
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("--listen: ") && said.contains("--db: "), "{said}");
    assert!(!Path::new(&file).exists());

    // A URL may hold a password.
    let file = path("database.toml");
    strowger(&["init", &file, "--db", "mysql://u:p@db.example.com/kamailio"]).well();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(
        fs::read_to_string(&file).unwrap().contains("\"mysql://u:p@db.example.com/kamailio\"\n")
    );
}
