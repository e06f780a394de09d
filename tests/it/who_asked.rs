//! Whoever changes something is named in the log: by user and process where the kernel tells, else by
//! the socket that the command came by.

use serde_json::Value;

use crate::harness::cli::{ask, start};
use crate::harness::{Ends, Relay, Tools};

#[test]
fn the_log_names_who_asked_at_every_socket() {
    let (tools, ends) = (Tools::new(), Ends::new());
    // Our own command line finds its socket where it always is.
    let config = tools.config().replace("socket = ", "# socket = ");
    let mut relay = Relay::with_list(&ends.list()).config(&config).start();
    let to = "sip:127.0.0.9:5060";
    let command = start(&relay, &["add", "7", to], None);
    let pid = command.pid();
    assert_eq!(command.wait().code, 0);
    relay.wait_log(0, &[&format!("set 7: {to} added by a command of root (pid {pid})")]);
    let command = start(&relay, &["set-state", "dx", "7", to], None);
    let pid = command.pid();
    assert_eq!(command.wait().code, 0);
    let by = format!("by a command of root (pid {pid})");
    relay.wait_log(0, &[&format!("set 7: {to} set to DX {by}")]);
    // Also beside the destination.
    assert!(ask(&relay, &["list", "--set", "7"]).well().contains(&by));

    tools.kamcmd(&["dispatcher.set_state", "ax", "7", to]);
    relay.wait_log(0, &[&format!("set 7: {to} set to AX by a command of root (pid ")]);
    let request = |params: &str| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"dispatcher.set_state\",\"params\":{params},\"id\":1}}"
        )
    };
    tools.datagram(request(&format!("[\"ip\",7,\"{to}\"]")).as_bytes());
    let place = tools.path("client").display().to_string();
    relay.wait_log(0, &[&format!("set 7: {to} set to IP by a command answered at {place}")]);
    tools.post("Content-Type: application/json\r\n", &request(&format!("[\"tp\",7,\"{to}\"]")));
    relay.wait_log(0, &[&format!("set 7: {to} set to TP by a command over HTTP from 127.0.0.1:")]);
    tools.write_fifo(request(&format!("[\"ap\",7,\"{to}\"]")).as_bytes());
    relay.wait_log(0, &[&format!("set 7: {to} set to AP by a command at the FIFO")]);

    tools.kamcmd(&["dispatcher.ping_active", "0"]);
    relay.wait_log(0, &["destinations are no longer probed, by a command of root (pid "]);
    tools.kamcmd(&["dispatcher.ping_active", "1"]);
    relay.wait_log(0, &["destinations are probed again, by a command of root (pid "]);
    ask(&relay, &["remove", "7", to]).well();
    relay.wait_log(0, &[&format!("set 7: {to} removed by a command of root (pid ")]);
    let before = relay.log().len();
    relay.reload(&ends.list());
    relay.wait_log(before, &["reloaded: 0 added, 0 removed, 0 changed; ", "; by SIGHUP"]);
    let before = relay.log().len();
    relay.reload("nonsense\n");
    relay.wait_log(before, &["not reloaded: nothing has changed; asked for by SIGHUP"]);
    relay.stop();
}

#[test]
fn programs_read_fields() {
    let ends = Ends::new();
    let mut relay = Relay::with_list(&ends.list()).with(&["--log-format", "json"]).start();
    let to = "sip:127.0.0.9:5060";
    let said = ask(&relay, &["add", "7", to, "--save"]).well();
    let place =
        format!("line {} of {}", ends.list().lines().count() + 1, relay.list_file().display());
    assert_eq!(said, format!("added to set 7: {to}, saved as {place}\n"));
    let mut fields = |event: &str| -> Value {
        let line = relay.wait_log(0, &[&format!("\"event\":\"{event}\"")]);
        let line: Value = serde_json::from_str(&line).expect("a line of JSON");
        line["fields"].clone()
    };
    let added = fields("added");
    assert_eq!((&added["set"], &added["destination"]), (&7.into(), &to.into()), "{added}");
    assert_eq!((&added["saved"], &added["uid"]), (&place.into(), &0.into()), "{added}");
    let pid = added["pid"].as_u64().expect("a number");
    assert_eq!(added["by"], format!("a command of root (pid {pid})"));
    assert_eq!(ask(&relay, &["set-state", "dx", "7", to]).code, 0);
    ask(&relay, &["reload"]).well();
    let mut fields = |event: &str| -> Value {
        let line = relay.wait_log(0, &[&format!("\"event\":\"{event}\"")]);
        serde_json::from_str::<Value>(&line).expect("a line of JSON")["fields"].clone()
    };
    let set = fields("state_set");
    assert_eq!((&set["flags"], &set["state"]), (&"DX".into(), &"disabled".into()), "{set}");
    let reloaded = fields("reloaded");
    assert_eq!((&reloaded["changed"], &reloaded["added"]), (&0.into(), &0.into()), "{reloaded}");
    assert!(reloaded["message"].as_str().unwrap().starts_with("reloaded: "), "{reloaded}");
    relay.stop();
}
