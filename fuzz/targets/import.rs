//! A kamailio.cfg: any text. Every file that it includes is the text itself.
//!
//! The result is a configuration that our own parser accepts, and the report can safely be printed
//! on a terminal.

use std::path::Path;

use strowger::config::{Config, Flags};
use strowger::import::{Item, import};

pub(crate) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut includes = 0;
    let mut fetch = |from: &Path, _: &str| {
        includes += 1;
        if includes < 4 {
            Ok((from.to_owned(), text.to_string()))
        } else {
            Err("enough".to_owned())
        }
    };
    let Ok(imported) = import(Path::new("kamailio.cfg"), &text, &[], &mut fetch) else {
        return;
    };
    for toml in [&imported.toml, &imported.toml_shown] {
        let result = Config::from_text(Path::new("strowger.toml"), toml, &Flags::default());
        assert!(result.is_ok(), "{toml}\n{result:?}");
    }
    for Item { line, what, then } in imported.carried.iter().chain(&imported.left) {
        for told in [line, what, then] {
            assert!(!told.chars().any(char::is_control), "{told:?}");
        }
    }
}
