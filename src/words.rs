//! Words for operators: what they probably meant to type, which machine limit to raise, and texts that are
//! not too long.

use std::io;

/// Returns the known word that `word` was probably meant to be.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let word = plain(word);
    let distance_max = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&word, &plain(known)), known))
        .filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Returns `did you mean "…"?`, or else every word that would be right.
pub(crate) fn did_you_mean(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("write {}", one_of(known)),
    }
}

/// Returns `"a"`, or `one of "a", "b"`.
fn one_of(words: &[&str]) -> String {
    let list = words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    if words.len() == 1 { list } else { format!("one of {list}") }
}

/// Returns what to do about an error caused by a limit of the machine.
pub(crate) fn remedy(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error()? {
        libc::EMFILE => Some("allow the relay more open files (ulimit -n, LimitNOFILE=)"),
        libc::ENFILE => Some("allow the machine more open files (sysctl fs.file-max)"),
        libc::EAGAIN => Some("allow the relay more threads (ulimit -u, TasksMax=)"),
        libc::ENOMEM => Some("allow the relay more memory (ulimit -v, MemoryMax=)"),
        _ => None,
    }
}

/// Formats an error of the machine, with what to do about it.
pub(crate) fn with_remedy(error: &io::Error) -> String {
    match remedy(error) {
        Some(remedy) => format!("{error}: {remedy}"),
        None => error.to_string(),
    }
}

/// Returns the text, or its beginning and dots if it has more than `chars_max` characters.
pub(crate) fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_too_long_is_shortened() {
        for (text, wants) in [("", ""), ("äöü", "äöü"), ("äöüx", "äöü..."), ("abcdef", "abc...")]
        {
            assert_eq!(shortened(text, 3), wants);
        }
    }

    #[test]
    fn the_nearest_word() {
        let known = ["round-robin", "record_route", "set"];
        for (word, wants) in [
            ("round-robn", Some("round-robin")),
            ("Round_Robin", Some("round-robin")),
            ("record-route", Some("record_route")),
            ("sett", Some("set")),
            ("weighted", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), wants, "{word}");
        }
    }
}
