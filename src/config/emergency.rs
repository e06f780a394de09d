//! `[dispatch.emergency]`: which calls pass limits.

use super::document::{Document, Section};
use super::relay::read_prefixes;
use crate::limits;
use crate::proxy::{Emergency, is_separator};

const KEYS: &[&str] = &["numbers", "resource_priority", "resource_priority_from", "per_source"];

pub(super) fn read(document: &mut Document, section: &Section, emergency: &mut Emergency) {
    section.only(document, KEYS, &[]);
    if let Some(numbers) = read_texts(document, section, "numbers", "[\"112\"]", number) {
        emergency.numbers = numbers;
    }
    let key = "resource_priority";
    if let Some(values) = read_texts(document, section, key, "[\"esnet.0\"]", resource_priority) {
        emergency.resource_priority = values;
    }
    let from = "resource_priority_from";
    if let Some(prefixes) = read_prefixes(document, section, from) {
        emergency.resource_priority_from = prefixes;
    }
    match (section.get(key), section.get(from)) {
        (Some(_), None) => {
            let what = section.what("resource_priority: it does not say whose");
            let right = "add resource_priority_from, the addresses that may send it";
            document.wrong(&section.place(key), what, right);
        }
        (None, Some(_)) => {
            let what = section
                .what("resource_priority_from: there is no resource_priority that it is about");
            document.wrong(&section.place(from), what, "add resource_priority, too");
        }
        _ => {}
    }
    let rates = 0..=u64::from(limits::EMERGENCY_PER_SOURCE_MAX);
    let unit = ", 0 if none may pass a limit";
    if let Some(value) = section.integer(document, "per_source", &rates, unit) {
        emergency.per_source = value as u32;
    }
}

/// Reads a list of texts, each as `read` returns it.
fn read_texts(
    document: &mut Document,
    section: &Section,
    key: &str,
    example: &str,
    read: impl Fn(&str) -> Result<String, (String, String)>,
) -> Option<Vec<String>> {
    let texts = section.strings(document, key, example)?;
    if texts.len() > limits::EMERGENCY_NUMBERS_MAX {
        let what = section.what(&format!("{key}: {} of them", texts.len()));
        let right = format!("write at most {}", limits::EMERGENCY_NUMBERS_MAX);
        document.wrong(&section.place(key), what, right);
    }
    let mut values = Vec::with_capacity(texts.len());
    for (text, place) in texts {
        match read(text) {
            Ok(value) => values.push(value),
            Err((what, right)) => {
                document.wrong(&place, section.what(&format!("{key}: {what}")), right);
            }
        }
    }
    Some(values)
}

/// Returns a number without its separators.
fn number(text: &str) -> Result<String, (String, String)> {
    let number: String =
        text.chars().filter(|c| !c.is_ascii() || !is_separator(*c as u8)).collect();
    let digits = number.strip_prefix('+').unwrap_or(&number);
    let is_good = !digits.is_empty()
        && number.len() <= limits::EMERGENCY_NUMBER_LEN_MAX
        && digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'*' | b'#'));
    if is_good {
        return Ok(number);
    }
    let right = format!(
        "write 1 to {} of the characters 0 to 9, * and #, a + before them if callers write one",
        limits::EMERGENCY_NUMBER_LEN_MAX
    );
    Err((format!("{text:?} is not a number"), right))
}

// r-value = namespace "." r-priority
fn resource_priority(text: &str) -> Result<String, (String, String)> {
    let is_token = |text: &str| {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-!%*_+`'~".contains(&byte);
        !text.is_empty() && text.bytes().all(is_good)
    };
    let parts = text.split_once('.').filter(|(space, value)| is_token(space) && is_token(value));
    if parts.is_some() && text.len() <= limits::EMERGENCY_NUMBER_LEN_MAX {
        return Ok(text.to_owned());
    }
    let right = "write NAMESPACE.PRIORITY, such as \"esnet.0\"".to_owned();
    Err((format!("{text:?} is not a value of Resource-Priority"), right))
}
