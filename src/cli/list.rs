//! `strowger list`: the destinations in force.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{RelaySocket, Trouble};
use super::show::{self, all, cell, field};
use super::watch;

/// Show the destinations of the running relay, with the state of each
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Letters: A active, T trying, I inactive, D disabled; P probing asked for (flag 8), N never to be
probed (flag 32), X neither. Full: alive, but it said that it takes no more calls for now.
Not reached: no listener has an address of its family. Unresolved: its name has no address yet.

Example:
  strowger list --set 1")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    socket: RelaySocket,
    /// Only this set
    #[arg(long, value_name = "N")]
    set: Option<u32>,
    /// Show the last changes of state and their reasons instead
    #[arg(long)]
    history: bool,
    /// Show what each destination got, answered and failed, again and again until Ctrl-C
    #[arg(long, conflicts_with = "history")]
    watch: bool,
    /// How often, with --watch
    #[arg(long, value_name = "TIME", default_value = "1s", requires = "watch", value_parser = watch::interval)]
    interval: Duration,
    /// Answer as JSON; with --watch a line each time
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ListArgs) -> ExitCode {
    let pick = |listing| match args.set {
        Some(wanted) => only(wanted, listing),
        None => Ok(listing),
    };
    if args.watch {
        return watch::run(&args.socket, args.json, args.interval, pick);
    }
    if args.history {
        let mut reply = args.socket.ask("strowger.history", &json!({}));
        if let (Some(wanted), Ok(history)) = (args.set, &mut reply)
            && let Some(changes) = history["changes"].as_array_mut()
        {
            changes.retain(|change| change["set"] == wanted);
        }
        return show::reply(reply, args.json, changes);
    }
    let reply = args.socket.ask("strowger.list", &json!({})).and_then(pick);
    show::reply(reply, args.json, text)
}

/// The listing of one set.
fn only(wanted: u32, mut listing: Value) -> Result<Value, Trouble> {
    let has: Vec<_> = all(&listing, "sets").iter().map(|set| field(set, "set")).collect();
    if let Some(sets) = listing["sets"].as_array_mut() {
        sets.retain(|set| set["set"] == wanted);
    }
    if !all(&listing, "sets").is_empty() {
        return Ok(listing);
    }
    let has = match has.as_slice() {
        [] => "no sets are loaded".to_owned(),
        has => format!("the sets are {}", has.join(", ")),
    };
    Err(Trouble(vec![format!("there is no set {wanted}: {has}")]))
}

/// One row for each address, so that each state stands beside what has it.
fn text(listing: &Value) -> String {
    text_for(listing, show::width())
}

/// The same for a terminal of this width; `None` if it is for something else.
fn text_for(listing: &Value, width: Option<u16>) -> String {
    let drained = show::drained(listing["draining"] == true);
    let is_narrow = width.is_some_and(|width| width < WIDE);
    let note = if is_narrow && !all(listing, "sets").is_empty() { NARROW } else { "" };
    format!("{drained}{}{note}", rows(listing, is_narrow))
}

/// Columns of a terminal that has room for all of the table.
const WIDE: u16 = 110;
const NARROW: &str = "\n\nPriority, attributes and origin: in a wider terminal, or with --json";

/// A change on a line: when, from which state to which, and why.
pub(super) fn change(change: &Value) -> String {
    let [time, from, to, reason] = ["time", "from", "to", "reason"].map(|name| field(change, name));
    let time = time.split('.').next().unwrap_or("").replace('T', " ");
    let state = field(change, "state");
    format!("{time}  {from:>2} -> {to:<2}  {state:<9} {reason}")
}

/// One row for each change, those of one destination together.
fn changes(history: &Value) -> String {
    let header = ["set", "destination", "address", "time", "from", "to", "state", "reason"];
    let mut table = show::table(&header);
    let changes = all(history, "changes");
    if changes.is_empty() {
        return "no changes".into();
    }
    let mut before = None;
    for change in changes {
        let of = ["set", "destination", "address"].map(|name| field(change, name));
        let is_first = before.as_ref() != Some(&of);
        let [set, destination, address] =
            of.clone().map(|text| if is_first { text } else { String::new() });
        let state = show::state(&field(change, "state"), "");
        let [time, from, to, reason] =
            ["time", "from", "to", "reason"].map(|name| cell(&field(change, name)));
        table.add_row([
            cell(&set),
            cell(&destination),
            cell(&address),
            time,
            from,
            to,
            state,
            reason,
        ]);
        before = Some(of);
    }
    show::right(&mut table, &[0]);
    show::text(&table)
}

/// A narrow table has the address with the destination, and only what can change by itself.
fn rows(listing: &Value, is_narrow: bool) -> String {
    let mut header = vec!["set", "destination"];
    header.extend((!is_narrow).then_some("address"));
    header.push("state");
    let records = || all(listing, "sets").iter().flat_map(|set| all(set, "records"));
    let mut addresses = records().flat_map(|record| all(record, "addresses"));
    let counts_calls = addresses.any(|address| address["calls"].is_number());
    header.extend(counts_calls.then_some("calls"));
    let shows_latency = all(listing, "sets").iter().any(|set| latency_key(set).is_some());
    header.extend(shows_latency.then_some("latency"));
    if !is_narrow {
        header.extend(["priority", "attributes", "from"]);
    }
    header.push("why");
    let mut table = show::table(&header);
    let mut is_empty = true;
    for set in all(listing, "sets") {
        for record in all(set, "records") {
            is_empty = false;
            let mut row = |address: &str, state, numbers: &Value, why: &str, is_first: bool| {
                let once = |text: String| cell(if is_first { &text } else { "" });
                let uri = field(record, "uri");
                let mut cells = vec![once(field(set, "set"))];
                match (is_narrow, is_first) {
                    (false, _) => cells.extend([once(uri), cell(address)]),
                    (true, true) => cells.push(cell(&watch::place(&uri, address))),
                    (true, false) => cells.push(cell(address)),
                }
                cells.push(state);
                let calls = numbers["calls"].as_u64().map(|calls| calls.to_string());
                cells.extend(counts_calls.then(|| cell(&calls.unwrap_or_default())));
                let latency = latency_key(set).and_then(|key| numbers.pointer(key)?.as_f64());
                let latency = latency.map(|ms| format!("{ms:.1} ms"));
                cells.extend(shows_latency.then(|| cell(&latency.unwrap_or_default())));
                if !is_narrow {
                    let of_record = ["priority", "attributes", "origin"];
                    cells.extend(of_record.map(|of| once(field(record, of))));
                }
                cells.push(cell(why));
                table.add_row(cells);
            };
            let addresses = all(record, "addresses");
            for (at, address) in addresses.iter().enumerate() {
                let letters = field(address, "flags");
                let is_reached = address["reached"] != false;
                let word = if is_reached { field(address, "state") } else { "not reached".into() };
                let state = show::state(&word, &letters);
                let is_told = is_reached && word != "active";
                let why = if is_told { field(address, "reason") } else { share(address) };
                row(&field(address, "address"), state, address, &why, at == 0);
            }
            if addresses.is_empty() {
                let state = show::state("unresolved", &field(record, "flags"));
                row(if is_narrow { "" } else { "-" }, state, &Value::Null, "", true);
            }
        }
    }
    if is_empty {
        return "no destinations".into();
    }
    let numbers = ["set", "calls", "latency", "priority"];
    let at = |name: &&str| header.iter().position(|column| column == name);
    show::right(&mut table, &numbers.iter().filter_map(at).collect::<Vec<_>>());
    show::text(&table)
}

/// Says why an address does not take all of its share, if it does not.
fn share(address: &Value) -> String {
    let reasons = [slow_start(address), overload(address)];
    reasons.into_iter().filter(|reason| !reason.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Returns how much less an overloaded address asks for.
fn overload(address: &Value) -> String {
    let overload = &address["overload"];
    let told = overload["left_ms"].as_u64().map(|ms| {
        let percent = field(overload, "percent");
        format!("overloaded: {percent} % of its new requests are kept from it for {ms} ms more")
    });
    told.unwrap_or_default()
}

/// Returns how much of its share an address takes, if that still grows.
fn slow_start(address: &Value) -> String {
    let slow_start = &address["slow_start"];
    let left_ms = slow_start["left_ms"].as_u64();
    let told = left_ms.map(|ms| {
        let percent = field(slow_start, "share_percent");
        format!("slow start: {percent} % of its share, all of it in {} s", ms.div_ceil(1_000))
    });
    told.unwrap_or_default()
}

/// Where an address has the latency that its set chooses by.
fn latency_key(set: &Value) -> Option<&'static str> {
    match set["algorithm"].as_str()? {
        "fastest" => Some("/answers_in_ms"),
        "latency" => Some("/latency/estimate_ms"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_for_each_change() {
        let change = |address: &str, time: &str, from: Value, to: &str, state: &str| {
            json!({ "set": 1, "destination": "sip:ms", "address": address, "time": time,
                    "from": from, "to": to, "state": state, "reason": "why" })
        };
        let history = json!({ "changes": [
            change("10.0.0.1:5060", "T1", Value::Null, "AP", "active"),
            change("10.0.0.1:5060", "T2", json!("AP"), "IP", "inactive"),
            change("10.0.0.2:5060", "T1", Value::Null, "AX", "active") ] });
        let wants = " set  destination  address        time  from  to  state     reason
   1  sip:ms       10.0.0.1:5060  T1          AP  active    why
                                  T2    AP    IP  inactive  why
   1  sip:ms       10.0.0.2:5060  T1          AX  active    why";
        assert_eq!(changes(&history), wants, "\n{}", changes(&history));
        assert_eq!(changes(&json!({ "changes": [] })), "no changes");
    }

    #[test]
    fn one_line_for_each_address() {
        let address = |socket: &str, state: &str, flags: &str, is_reached: bool| {
            json!({ "address": socket, "state": state, "flags": flags, "reached": is_reached,
                    "reason": format!("{state} because") })
        };
        let listing = json!({ "sets": [
            { "set": 1, "records": [
                { "uri": "sip:10.0.0.1:5060", "priority": 10, "attributes": "weight=50",
                  "origin": "line 1", "flags": "AX",
                  "addresses": [address("10.0.0.1:5060", "full", "AX", true)] },
                { "uri": "sip:ms.example.com", "priority": 0, "attributes": "", "origin": "line 2",
                  "flags": "AP",
                  "addresses": [address("10.0.0.2:5060", "disabled", "DX", true),
                                address("[::2]:5060", "active", "AP", false)] } ] },
            { "set": 20, "records": [
                { "uri": "sip:gone.example.com", "priority": 0, "attributes": "a=\u{1b}[2J",
                  "origin": "added by a command", "flags": "AX", "addresses": [] } ] } ] });
        let wants = " set  destination           address        state             priority  attributes   from                why
   1  sip:10.0.0.1:5060     10.0.0.1:5060  full (AX)               10  weight=50    line 1              full because
   1  sip:ms.example.com    10.0.0.2:5060  disabled (DX)            0               line 2              disabled because
                            [::2]:5060     not reached (AP)
  20  sip:gone.example.com  -              unresolved (AX)          0  a=\\u{1b}[2J  added by a command";
        assert_eq!(text_for(&listing, None), wants, "\n{}", text_for(&listing, None));
        assert_eq!(text_for(&listing, Some(WIDE)), wants);
        let narrow = " set  destination                       state             why
   1  sip:10.0.0.1:5060                 full (AX)         full because
   1  sip:ms.example.com 10.0.0.2:5060  disabled (DX)     disabled because
      [::2]:5060                        not reached (AP)
  20  sip:gone.example.com              unresolved (AX)

Priority, attributes and origin: in a wider terminal, or with --json";
        let told = text_for(&listing, Some(WIDE - 1));
        assert_eq!(told, narrow, "\n{told}");
        // With calls, where they are counted.
        let mut counting = only(1, listing.clone()).unwrap();
        counting["sets"][0]["records"][0]["addresses"][0]["calls"] = json!(17);
        let wants = " set  destination         address        state             calls  priority  attributes  from    why
   1  sip:10.0.0.1:5060   10.0.0.1:5060  full (AX)            17        10  weight=50   line 1  full because
   1  sip:ms.example.com  10.0.0.2:5060  disabled (DX)                   0              line 2  disabled because
                          [::2]:5060     not reached (AP)";
        assert_eq!(text_for(&counting, None), wants, "\n{}", text_for(&counting, None));
        // And with the latency, where it matters.
        counting["sets"][0]["algorithm"] = json!("fastest");
        counting["sets"][0]["records"][1]["addresses"][0]["answers_in_ms"] = json!(12.345);
        let wants = " set  destination         address        state             calls  latency  priority  attributes  from    why
   1  sip:10.0.0.1:5060   10.0.0.1:5060  full (AX)            17                 10  weight=50   line 1  full because
   1  sip:ms.example.com  10.0.0.2:5060  disabled (DX)            12.3 ms         0              line 2  disabled because
                          [::2]:5060     not reached (AP)";
        assert_eq!(text_for(&counting, None), wants, "\n{}", text_for(&counting, None));
        let back = &mut counting["sets"][0]["records"][1]["addresses"][1];
        (back["reached"], back["slow_start"]) =
            (json!(true), json!({ "share_percent": 40, "left_ms": 17_001 }));
        let wants = "active (AP)  slow start: 40 % of its share, all of it in 18 s";
        let told = text_for(&counting, None).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.ends_with(&wants.split_whitespace().collect::<Vec<_>>().join(" ")), "{told}");
        let back = &mut counting["sets"][0]["records"][1]["addresses"][1];
        back["overload"] = json!({ "percent": 30, "left_ms": 412 });
        let told = text_for(&counting, None).split_whitespace().collect::<Vec<_>>().join(" ");
        let wants =
            "in 18 s; overloaded: 30 % of its new requests are kept from it for 412 ms more";
        assert!(told.ends_with(wants), "{told}");
        assert_eq!(text_for(&json!({ "sets": [] }), None), "no destinations");
        let drained = text_for(&json!({ "draining": true, "sets": [] }), None);
        let says = "the relay is drained: new requests get 503; strowger drain --off ends that\n\n";
        assert_eq!(drained, format!("{says}no destinations"));
        assert_eq!(all(&only(20, listing.clone()).unwrap(), "sets").len(), 1);
        let told = |listing| only(9, listing).unwrap_err().to_string();
        assert_eq!(told(listing), "there is no set 9: the sets are 1, 20");
        assert_eq!(told(json!({ "sets": [] })), "there is no set 9: no sets are loaded");
    }
}
