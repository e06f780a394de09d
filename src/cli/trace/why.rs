//! What the relay said of a message that it received: as it was decided then, and what it would say of
//! it now.

use serde_json::Value;

use super::super::client::shown;
use super::super::show::{all, field};

/// Describes the decision, a line each; nothing for a message that needs no words.
pub(super) fn lines(told: &Value, width: usize) -> Vec<String> {
    let counter = field(told, "counter");
    // A response's way is the arrow.
    if counter.is_empty() || counter == "forwarded.response" {
        return Vec::new();
    }
    let because = field(told, "because");
    let because = if because.is_empty() { because } else { format!(", because {because}") };
    let mut text = vec![format!("decided then: {counter}{because}")];
    let now = &told["now"];
    if now.is_object() {
        let count = now["candidates_all"].as_u64().unwrap_or_default();
        text.push(format!(
            "explain says now: set {}, {}, {count} {}",
            field(now, "set"),
            field(now, "algorithm"),
            if count == 1 { "destination" } else { "destinations" },
        ));
        if !counter.starts_with("forwarded") {
            let because = all(now, "because").iter().filter_map(Value::as_str);
            text.extend(because.map(|sentence| format!("  {sentence}")));
        }
        for candidate in all(now, "candidates") {
            text.push(format!("  {}", of_candidate(candidate)));
        }
        let hidden = count.saturating_sub(all(now, "candidates").len() as u64);
        if hidden > 0 {
            text.push(format!("  and {hidden} more: strowger list"));
        }
    }
    text.iter().flat_map(|text| wrapped(&shown(text), width)).collect()
}

fn of_candidate(candidate: &Value) -> String {
    let is_taken = candidate["is_taken"] == true;
    let state = field(candidate, "state");
    let reasons = ["excluded", "passed_over"].map(|name| field(candidate, name));
    let reason = match reasons.iter().find(|reason| !reason.is_empty()) {
        _ if is_taken => ", this one".to_owned(),
        // The state says it.
        Some(reason) if *reason == state => String::new(),
        Some(reason) => format!(", {reason}"),
        None => ", may be chosen".to_owned(),
    };
    let mark = if is_taken { "->" } else { "  " };
    format!("{mark} {} {state}{reason}", field(candidate, "uri"))
}

/// Breaks a line at spaces, and indents what follows by two more.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let own = text.len() - text.trim_start().len();
    let mut lines = Vec::new();
    let mut line = " ".repeat(INDENT + own);
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(INDENT + own + 2)));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    lines.push(line);
    lines
}

/// Where the columns of a ladder begin.
const INDENT: usize = 11;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_decision_then_and_what_is_known_now() {
        let told = json!({
            "counter": "forwarded.chosen", "because": "it is new",
            "now": { "set": 1, "algorithm": "round-robin", "because": ["it is remembered"],
                     "candidates_all": 4, "candidates": [
                { "uri": "sip:10.0.0.1:5060", "state": "active", "is_taken": true },
                { "uri": "sip:10.0.0.2:5060", "state": "inactive", "excluded": "inactive" },
                { "uri": "sip:10.0.0.3:5060", "state": "active", "passed_over": "overloaded" },
            ] },
        });
        let wants = "           decided then: forwarded.chosen, because it is new
           explain says now: set 1, round-robin, 4 destinations
             -> sip:10.0.0.1:5060 active, this one
                sip:10.0.0.2:5060 inactive
                sip:10.0.0.3:5060 active, overloaded
             and 1 more: strowger list";
        assert_eq!(lines(&told, 82).join("\n"), wants);
    }

    #[test]
    fn long_lines_are_broken_and_responses_need_none() {
        let told = json!({ "counter": "dropped.x", "because": "word ".repeat(20) });
        let lines = lines(&told, 60);
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= 60), "{lines:#?}");
        assert!(lines[1].starts_with("             word"), "{lines:#?}");
        assert!(super::lines(&json!({ "counter": "forwarded.response" }), 80).is_empty());
        assert!(super::lines(&Value::Null, 80).is_empty());
    }
}
