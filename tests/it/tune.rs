//! `strowger tune` and the files of `tuning/`: on recorded machines, on directories with copies of proc
//! and sys, and on real settings in a network namespace of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use strowger::tune::{CHECKS, Plan, Tree, examine};
use tempfile::TempDir;

use crate::harness::cli::{Said, start_alone};
use crate::harness::netns::Namespace;
use crate::harness::relay::binary;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn machine(name: &str) -> PathBuf {
    here("tests/data/machines").join(name).with_extension("txt")
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn tune(arguments: &[&str]) -> Said {
    start_alone(&[&["tune"], arguments].concat(), None, None).wait()
}

/// The recorded machine as files in a directory of its own.
fn unpacked(name: &str) -> TempDir {
    let mut files = vec![("/proc/sys/kernel/random/boot_id".to_owned(), "b2f0".to_owned())];
    for line in text(&machine(name)).lines() {
        if let Some(more) = line.strip_prefix('|') {
            let content = &mut files.last_mut().expect("a file before it").1;
            content.push('\n');
            content.push_str(more);
        } else if line.starts_with('/') {
            let (path, content) = line.split_once(':').expect("a path and its content");
            files.push((path.to_owned(), content.trim().to_owned()));
        }
    }
    let folder = TempDir::new().expect("a temporary folder");
    for (path, content) in files {
        let path = folder.path().join(&path[1..]);
        fs::create_dir_all(path.parent().expect("a file")).expect("a writable folder");
        fs::write(path, content + "\n").expect("a writable folder");
    }
    folder
}

/// Every file below a directory that is a setting.
fn settings(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.join("proc"), root.join("sys")];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a readable folder");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else {
            let content = text(&path);
            // A kernel's file lists the words and marks one; a copy of it holds what was written.
            let word = content.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
            let content = word.map_or(content.trim(), |(word, _)| word).to_owned();
            found.insert(path, content);
        }
    }
    found
}

/// The settings that are not as they were.
fn differ(root: &Path, before: &BTreeMap<PathBuf, String>) -> Vec<PathBuf> {
    let now = settings(root);
    let differ = now.into_iter().filter(|(path, content)| before.get(path) != Some(content));
    differ.map(|(path, _)| path).collect()
}

#[test]
fn a_table_of_eighty_columns_and_an_exit_status() {
    let record = machine("conntrack-and-powersave");
    let said = tune(&["--root", record.to_str().expect("a path in UTF-8")]);
    assert_eq!((said.code, said.err.as_str()), (1, ""));
    let table: Vec<&str> = said
        .out
        .lines()
        .skip_while(|line| !line.contains("severity"))
        .take_while(|line| !line.is_empty())
        .collect();
    let column = |name: &str| table[0].find(name).expect("a column");
    let (severity, found, right) = (column("severity"), column("found"), column("right"));
    for line in &table {
        assert!(line.len() <= 80, "{line}");
        for at in [severity, found, right] {
            // Before each column there is nothing, in every line.
            assert!(line.len() <= at || line[at - 1..at] == *" ", "{at}: {line}");
        }
    }
    let row = table.iter().find(|line| line.starts_with(" governor")).expect("a row");
    assert!(
        row[severity..].starts_with("medium") && row[right..].starts_with("performance"),
        "{row}"
    );
    assert!(said.out.contains("\n  do   sysctl -w net.core.rps_sock_flow_entries=0\n"));
    assert!(said.out.contains("16 to change; strowger tune --apply does 10 of them"));

    let tuned = machine("two-sockets-tuned");
    let said = tune(&["--root", tuned.to_str().expect("a path in UTF-8")]).well();
    assert!(said.ends_with("\nEverything is fine.\n"), "{said}");
    for (arguments, wants) in [
        (&["--root", "/no/such/file"][..], "/no/such/file"),
        (
            &["--root", "/no/such/file"],
            "name a directory, or a file that tune --record has written",
        ),
        (&["--root", "/etc/hostname"], "write /PATH: CONTENT"),
        (&["--cores", "9999"], "write cores as a list"),
        (&["--card", "nosuch0"], "no such network card"),
        (&["--apply", "rmem"], "no advice has the id rmem; there are nic-queues, "),
        (
            &["--root", tuned.to_str().expect("a path in UTF-8"), "--undo"],
            "a record cannot be written to",
        ),
        (&["--config", "/no/such/file"], "/no/such/file"),
    ] {
        let said = tune(arguments);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{arguments:?}");
        assert!(said.err.contains(wants), "{arguments:?}: {}", said.err);
    }
    let full = fs::File::options().write(true).open("/dev/full").expect("a device");
    let mut command = Command::new(binary());
    let status = command.arg("tune").stdout(full).status().expect("our own binary");
    assert_eq!(status.code(), Some(2));
}

#[test]
fn json_has_everything_that_the_table_has() {
    let record = machine("two-sockets-spread-wrongly");
    let said =
        tune(&["--json", "--cores", "8-12", "--root", record.to_str().expect("a path in UTF-8")]);
    assert_eq!(said.code, 1);
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(json["ok"], false);
    assert_eq!(json["machine"][1], "workers on cores 8-12 (process 4100)");
    let spread = &json["advice"][0];
    assert_eq!((&spread["id"], &spread["card"]), (&"irq-spread".into(), &"ens1f0".into()));
    assert_eq!(spread["severity"], "high");
    assert_eq!(spread["by_hand"][0], "strowger-irq ens1f0 13-15,24-31");
    assert_eq!(spread["changes"][0]["path"], "/proc/irq/121/smp_affinity_list");
    assert_eq!(spread["changes"][0]["to"], "13");
    assert!(spread["cost"].is_string() && spread["found"].is_string() && spread["see"].is_string());
    assert_eq!(json["fine"][0]["id"], "nic-queues");
    let ids = |name: &str| json[name].as_array().expect("a list").len();
    assert_eq!(ids("advice") + ids("fine") + ids("unknown"), CHECKS.len());
}

#[test]
fn what_was_applied_is_fine_and_an_undo_brings_everything_back() {
    let folder = unpacked("conntrack-and-powersave");
    let root = folder.path().to_str().expect("a path in UTF-8");
    let before = settings(folder.path());
    let one = tune(&["--root", root, "--apply", "rfs"]).well();
    assert!(one.contains("/proc/sys/net/core/rps_sock_flow_entries  32768  0"), "{one}");
    assert_eq!(differ(folder.path(), &before).len(), 1);

    let all = tune(&["--root", root, "--apply"]).well();
    assert!(all.ends_with("\nonly by hand: nic-queues eno1, rings eno1, conntrack, isolation, coalescing eno1, nohz-full\n"), "{all}");
    let said = tune(&["--root", root, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let left: Vec<&str> = json["advice"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|a| a["id"].as_str())
        .collect();
    assert_eq!(left, ["nic-queues", "rings", "conntrack", "isolation", "coalescing", "nohz-full"]);

    let json = tune(&["--root", root, "--undo", "--json"]).json();
    let written = json["written"].as_array().expect("a list");
    assert!(written.iter().all(|one| one["result"] == "written"), "{json}");
    let left = differ(folder.path(), &before);
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(tune(&["--root", root, "--undo"]).well(), "nothing was applied\n");
}

#[test]
fn an_undo_after_a_restart_or_a_later_change_writes_nothing_stale() {
    let folder = unpacked("small-virtual-machine");
    let root = folder.path().to_str().expect("a path in UTF-8");
    let rmem = folder.path().join("proc/sys/net/core/rmem_max");
    tune(&["--root", root, "--apply", "rmem-max", "wmem-max"]).well();
    fs::write(&rmem, "8000000\n").expect("a writable folder");
    let said = tune(&["--root", root, "--undo"]);
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("left") && said.out.contains("changed by somebody since"),
        "{}",
        said.out
    );
    assert_eq!(text(&rmem), "8000000\n");
    assert_eq!(text(&folder.path().join("proc/sys/net/core/wmem_max")), "212992");

    tune(&["--root", root, "--apply", "wmem-max"]).well();
    fs::write(folder.path().join("proc/sys/kernel/random/boot_id"), "c3a1\n")
        .expect("a writable folder");
    let said = tune(&["--root", root, "--undo"]).well();
    assert_eq!(said, "the machine was restarted since, which has undone everything\n");
    assert_eq!(text(&folder.path().join("proc/sys/net/core/wmem_max")), "268435456");
}

/// The settings of fragments are those of a network namespace, so nobody else notices.
#[test]
fn real_settings_are_changed_and_restored() {
    let namespace = Namespace::new("tune");
    let state = TempDir::new().expect("a temporary folder");
    let names = [
        "ipv4/ipfrag_time",
        "ipv4/ipfrag_high_thresh",
        "ipv6/ip6frag_time",
        "ipv6/ip6frag_high_thresh",
    ];
    let values = || {
        let said =
            inside(&namespace, &state, "cat", &names.map(|name| format!("/proc/sys/net/{name}")));
        String::from_utf8(said.stdout).expect("numbers")
    };
    let before = values();
    let strowger = binary();
    let said = |words: &[&str]| {
        let output = inside(&namespace, &state, &strowger, words);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, out) = said(&["tune", "--apply", "fragments"]);
    assert_eq!((code, out.matches("written").count()), (Some(0), 4), "{out}");
    assert_eq!(values(), "2\n268435456\n2\n268435456\n");
    assert!(state.path().join("tune.json").exists());
    let (code, out) = said(&["tune", "--undo"]);
    assert_eq!((code, out.matches("written").count()), (Some(0), 4), "{out}");
    assert_eq!(values(), before);
    assert!(!state.path().join("tune.json").exists());
}

fn inside(
    namespace: &Namespace,
    state: &TempDir,
    program: &str,
    words: &[impl AsRef<std::ffi::OsStr>],
) -> Output {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace.name(), program]).args(words);
    command.env("STATE_DIRECTORY", state.path()).output().expect("ip is installed")
}

#[test]
fn a_record_of_this_machine_says_the_same_as_this_machine() {
    let folder = TempDir::new().expect("a temporary folder");
    let record = folder.path().join("machine.txt");
    let record = record.to_str().expect("a path in UTF-8");
    tune(&["--record", record]).well();
    let said = tune(&["--root", record]);
    assert!(said.code == 0 || said.code == 1, "{}", said.err);
    let online = text(Path::new("/sys/devices/system/cpu/online"));
    assert!(said.out.starts_with(&format!("cores {}", online.trim())), "{}", said.out);
    let again = tune(&["--record", record]);
    assert!(again.code == 2 && again.err.contains("File exists"), "{}", again.err);
}

#[test]
fn a_running_relay_is_found() {
    let relay = crate::harness::Relay::with_list("1 sip:127.0.0.1:5071\n").workers(1).start();
    let said = tune(&["--json"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let workers = json["machine"][1].as_str().expect("a line");
    let process = relay.pid().to_string();
    // Other tests have relays, too.
    assert!(workers.split([' ', ',', ')']).any(|word| word == process), "{workers}");
    relay.stop();
}

#[test]
fn each_advice_has_its_section_and_each_section_its_advice() {
    let text = text(&here("tuning/advice.md"));
    let sections: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let ids: BTreeSet<&str> = CHECKS.iter().map(|check| check.id).collect();
    assert_eq!(sections, ids);
    assert_eq!(ids.len(), CHECKS.len());
}

/// `90-strowger.conf` holds exactly the sysctls that are advised on a machine where all are wrong; those
/// that are advised only where counters say so are comments.
#[test]
fn the_file_of_sysctls_and_the_advice_agree() {
    let text = text(&here("tuning/90-strowger.conf"));
    let setting = |line: &str| {
        let (name, value) = line.split_once(" = ")?;
        Some((format!("/proc/sys/{}", name.replace('.', "/")), value.to_owned()))
    };
    let set: BTreeMap<_, _> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(setting).collect();
    let mut all = set.clone();
    all.extend(
        text.lines()
            .filter_map(|line| line.strip_prefix('#'))
            .filter(|line| !line.starts_with(' '))
            .filter_map(setting),
    );
    assert_eq!((set.len(), all.len()), (10, 13));
    let machine = |counters: &str, is_right: bool| {
        let mut text = format!(
            "/sys/devices/system/cpu/online: 0-1\n/proc/net/softnet_stat: {counters}\n\
             /sys/devices/system/node/node0/cpulist: 0\n/sys/devices/system/node/node1/cpulist: 1\n",
        );
        for (path, value) in &all {
            let wrong = if value == "0" || path.ends_with("_time") { "100" } else { "1" };
            text += &[path.as_str(), ": ", if is_right { value.as_str() } else { wrong }, "\n"]
                .concat();
        }
        let tree = Tree::from_text(&text).expect("a record");
        let report = examine(&tree, &Plan::default()).expect("a machine");
        let changes = report.advice().flat_map(|(_, advice)| advice.changes.clone());
        changes.map(|change| (change.path, change.to)).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(machine("1 0 0", false), set);
    assert_eq!(machine("1 1 1", false), all);
    assert_eq!(machine("1 1 1", true), BTreeMap::new());
}

#[test]
fn the_configuration_says_what_the_machine_cannot() {
    let folder = TempDir::new().expect("a temporary folder");
    let config = folder.path().join("strowger.toml");
    fs::write(&config, "[relay]\nlisten = [\"udp:127.0.0.1:5080\"]\nworkers = 3\n")
        .expect("a writable folder");
    let config = config.to_str().expect("a path in UTF-8");
    let record = machine("small-virtual-machine");
    let record = record.to_str().expect("a path in UTF-8");
    let said = tune(&["--root", record, "--config", config]);
    assert!(said.out.contains("workers on cores 0-2 (no relay is running)"), "{}", said.out);
    let record = machine("conntrack-and-powersave");
    let record = record.to_str().expect("a path in UTF-8");
    for (arguments, wants) in [
        (&["--config", config][..], "whether of port 5080 cannot"),
        (&["--config", config, "--port", "5060"], "48000 of port 5060"),
    ] {
        let said = tune(&[&["--json", "--root", record], arguments].concat());
        assert!(said.out.contains(wants), "{arguments:?}: {}", said.out);
    }
}

/// The script does by hand what `tune --apply` does, so that `tune` is content, and takes it back.
#[test]
fn the_script_and_the_advice_agree() {
    let folder = unpacked("two-sockets-spread-wrongly");
    let other = unpacked("two-sockets-spread-wrongly");
    let before = settings(folder.path());
    fs::create_dir(folder.path().join("run")).expect("a writable folder");
    let script = |words: &[&str]| {
        let mut command = Command::new(here("tuning/strowger-irq"));
        let output = command.args(words).env("STROWGER_ROOT", folder.path()).output();
        let output = output.expect("bash is installed");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), said(&output.stdout) + &said(&output.stderr))
    };
    // The files of a copy do not follow each other, as the kernel's do.
    let follow = |root: &Path| {
        for irq in 121..=136 {
            let directory = root.join(format!("proc/irq/{irq}"));
            fs::copy(
                directory.join("smp_affinity_list"),
                directory.join("effective_affinity_list"),
            )
            .expect("a copy");
        }
    };
    assert_eq!(script(&["ens1f0", "8-15,24-31"]), (Some(0), String::new()));
    let root = other.path().to_str().expect("a path in UTF-8");
    tune(&["--root", root, "--apply", "irq-spread", "irq-node"]).well();
    let irqs = |root: &Path| {
        (121..=136)
            .map(|irq| {
                text(&root.join(format!("proc/irq/{irq}/smp_affinity_list"))).trim().to_owned()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(irqs(folder.path()), irqs(other.path()));
    let queue = |number: u32| {
        text(&folder.path().join(format!("sys/class/net/ens1f0/queues/tx-{number}/xps_cpus")))
    };
    assert_eq!((queue(0), queue(15)), ("00010001\n".into(), "80008000\n".into()));
    // Once more, elsewhere, and with RPS; an undo brings back what was there at first.
    assert_eq!(script(&["ens1f0", "8", "--rps", "31"]).0, Some(0));
    assert_eq!(
        text(&folder.path().join("sys/class/net/ens1f0/queues/rx-3/rps_cpus")),
        "80000000\n"
    );
    assert_eq!(script(&["--undo", "ens1f0"]), (Some(0), String::new()));
    let left = differ(folder.path(), &before);
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(script(&["--undo", "ens1f0"]).0, Some(1));

    script(&["ens1f0", "8-15,24-31"]);
    follow(folder.path());
    let root = folder.path().to_str().expect("a path in UTF-8");
    let json: serde_json::Value =
        serde_json::from_str(&tune(&["--root", root, "--json"]).out).expect("JSON");
    let fine = json["fine"].as_array().expect("a list").iter();
    let fine: Vec<&str> = fine.filter_map(|row| row["id"].as_str()).collect();
    assert!(["irq-spread", "irq-node", "xps"].iter().all(|id| fine.contains(id)), "{fine:?}");
    let (code, table) = script(&["--show", "ens1f0"]);
    assert_eq!((code, table.lines().nth(1)), (Some(0), Some("    0       121  8")));

    for (words, code, wants) in [
        (&["ens1f0"][..], 2, "strowger-irq CARD CORES"),
        (&["ens1f0", "8", "9"], 2, "strowger-irq CARD CORES"),
        (&["ens9", "8"], 1, "ens9: there is no such network card"),
        (&["../net/ens1f0", "8"], 1, "there is no such network card"),
        (&["ens1f0", "32"], 1, "core 32 is not there"),
        (&["ens1f0", "a"], 1, "write cores as a list"),
    ] {
        let (status, said) = script(words);
        assert!(status == Some(code) && said.contains(wants), "{words:?}: {status:?} {said}");
    }
}

#[test]
fn the_script_is_free_of_what_shellcheck_finds() {
    let said = Command::new("shellcheck").arg(here("tuning/strowger-irq")).output();
    let said = said.expect("shellcheck is installed");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
}

#[test]
fn systemd_understands_the_unit_and_its_drop_in() {
    let folder = TempDir::new().expect("a temporary folder");
    let unit = text(&here("tuning/strowger.service"));
    let drop_in = text(&here("tuning/strowger.service.d/cores.conf"));
    let verify = |drop_in: &str| {
        let unit = unit.replace("=strowger ", &format!("={} ", binary()));
        fs::write(folder.path().join("strowger.service"), unit).expect("a writable folder");
        let directory = folder.path().join("strowger.service.d");
        fs::create_dir_all(&directory).expect("a writable folder");
        fs::write(directory.join("cores.conf"), drop_in).expect("a writable folder");
        let mut command = Command::new("systemd-analyze");
        let said = command
            .args(["verify", "--man=no"])
            .arg(folder.path().join("strowger.service"))
            .output();
        let said = said.expect("systemd is installed");
        (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned())
    };
    assert_eq!(verify(&drop_in), (Some(0), String::new()));
    // With its command, which is a comment for who has another way.
    let script = here("tuning/strowger-irq");
    let with = drop_in.replace(
        "#ExecStartPre=+/usr/local/sbin/strowger-irq",
        &format!("ExecStartPre=+{}", script.display()),
    );
    assert_ne!(with, drop_in);
    assert_eq!(verify(&with), (Some(0), String::new()));
    let (_, said) = verify(&drop_in.replace("CPUAffinity=0-5", "CPUAffinity=zero"));
    assert!(said.contains("Failed to parse CPU affinity"), "it reads the drop-in: {said}");
}
