//! The whole of a kamailio.cfg as one row of tokens: files that it includes are in their places,
//! defined names are replaced, and what a `#!ifdef` leaves out is left out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::lexer::{Lexer, Place, Token, TokenKind};
use crate::limits;

/// Gets the text of a file that another one includes: the including file, and the name as written.
pub type Fetch<'f> = dyn FnMut(&Path, &str) -> Result<(PathBuf, String), String> + 'f;

pub(super) struct Reader<'f, 'r> {
    fetch: &'f mut Fetch<'r>,
    /// The files in the order of their reading, as places count them.
    pub(super) files: Vec<PathBuf>,
    pub(super) tokens: Vec<Token>,
    /// What could not be followed: where, what, and why.
    pub(super) problems: Vec<(Place, String, String)>,
    defined: HashMap<String, Vec<Token>>,
    /// `#!subst` and `#!substdef`: what is replaced in every text, and by what.
    replaced: Vec<(String, String)>,
    bytes: usize,
    from_names: usize,
}

impl<'f, 'r> Reader<'f, 'r> {
    pub(super) fn new(fetch: &'f mut Fetch<'r>, defined: &[(String, String)]) -> Self {
        let mut reader = Self {
            fetch,
            files: Vec::new(),
            tokens: Vec::new(),
            problems: Vec::new(),
            defined: HashMap::new(),
            replaced: Vec::new(),
            bytes: 0,
            from_names: 0,
        };
        for (name, value) in defined {
            let value = tokens_of(value, Place::default());
            reader.defined.insert(name.clone(), value);
        }
        reader
    }

    /// Reads a file, and those that it includes.
    pub(super) fn read(&mut self, path: &Path, text: &str, depth: usize) {
        let file = self.files.len();
        self.files.push(path.to_owned());
        self.bytes += text.len();
        let mut lexer = Lexer::new(text, Place { file, line: 1 });
        while let Some(token) = lexer.next() {
            match token.kind {
                TokenKind::Directive => self.directive(&token, &mut lexer, depth),
                TokenKind::Word
                    if ["include_file", "import_file"].contains(&token.text.as_str()) =>
                {
                    if let Some(name) = lexer.next() {
                        self.include(&token, &name.text, depth);
                    }
                }
                TokenKind::Word if self.defined.contains_key(&token.text) => {
                    self.replace(&token, 0);
                }
                _ => self.push(token),
            }
        }
        for (place, what) in lexer.without_end {
            let why = "Kamailio would not take this file either: end it where it ends";
            self.problems.push((place, what.into(), why.into()));
        }
    }

    fn push(&mut self, mut token: Token) {
        if token.kind != TokenKind::Sign {
            for (from, to) in &self.replaced {
                let grown = token.text.matches(from.as_str()).count() * to.len();
                if grown > 0 && self.bytes + grown <= limits::IMPORT_BYTES_MAX {
                    self.bytes += grown;
                    token.text = token.text.replace(from.as_str(), to);
                }
            }
        }
        self.tokens.push(token);
    }

    /// Puts what a name was defined as in its place. That may hold names too, and itself.
    fn replace(&mut self, name: &Token, depth: usize) {
        let value = self.defined.get(&name.text).cloned().unwrap_or_default();
        for (at, token) in value.into_iter().enumerate() {
            self.from_names += 1;
            if self.from_names > limits::IMPORT_DEFINED_MAX {
                return;
            }
            let is_apart = if at == 0 { name.is_apart } else { token.is_apart };
            let token = Token { place: name.place, is_apart, ..token };
            let is_name = token.kind == TokenKind::Word && token.text != name.text;
            if is_name && depth < limits::IMPORT_DEPTH_MAX && self.defined.contains_key(&token.text)
            {
                self.replace(&token, depth + 1);
            } else {
                self.push(token);
            }
        }
    }

    fn directive(&mut self, token: &Token, lexer: &mut Lexer, depth: usize) {
        let (word, rest) = split_word(&token.text);
        match word {
            "ifdef" if !self.defined.contains_key(split_word(rest).0) => skip(lexer, true),
            "ifndef" if self.defined.contains_key(split_word(rest).0) => skip(lexer, true),
            "ifexp" => {
                let why = "expressions are not worked out: its lines up to #!else or #!endif are left out";
                self.problem(token, why);
                skip(lexer, true);
            }
            // The part before it was read.
            "else" => skip(lexer, false),
            "define" | "trydef" | "redefine" => {
                let (name, value) = split_word(rest);
                if word != "trydef" || !self.defined.contains_key(name) {
                    self.define(name, value, token.place);
                }
            }
            "undef" => _ = self.defined.remove(split_word(rest).0),
            "subst" | "substdef" | "substdefs" => self.substitute(token, word, rest),
            "defenv" | "defenvs" | "trydefenv" | "trydefenvs" | "defexp" | "defexps" => {
                self.problem(
                    token,
                    "its value is known only where Kamailio runs: give it with --define",
                );
            }
            "include_file" | "import_file" => {
                let name = tokens_of(rest, token.place).into_iter().next();
                let include = Token { text: word.into(), ..token.clone() };
                self.include(&include, &name.map(|name| name.text).unwrap_or_default(), depth);
            }
            // ifdef and ifndef that hold, endif, KAMAILIO and the like.
            _ => {}
        }
    }

    fn define(&mut self, name: &str, value: &str, place: Place) {
        self.defined.insert(name.to_owned(), tokens_of(value, place));
    }

    /// `!name!value!flags`, the first character being whatever divides them.
    fn substitute(&mut self, token: &Token, word: &str, rest: &str) {
        let text = tokens_of(rest, token.place).into_iter().next().map(|token| token.text);
        let text = text.unwrap_or_default();
        let mut parts = text.chars().next().map(|by| text[by.len_utf8()..].split(by));
        let parts = parts.as_mut().and_then(|parts| Some((parts.next()?, parts.next()?)));
        match parts {
            Some((from, to))
                if is_plain(from) && self.replaced.len() < limits::IMPORT_REPLACED_MAX =>
            {
                self.replaced.push((from.to_owned(), to.to_owned()));
                match word {
                    "substdef" => self.define(from, to, token.place),
                    "substdefs" => {
                        let value =
                            Token { kind: TokenKind::Text, text: to.to_owned(), ..token.clone() };
                        self.defined.insert(from.to_owned(), vec![value]);
                    }
                    _ => {}
                }
            }
            _ => {
                self.problem(
                    token,
                    "only plain words are replaced: put the value where it belongs",
                );
            }
        }
    }

    fn include(&mut self, token: &Token, name: &str, depth: usize) {
        let is_full = self.files.len() >= limits::IMPORT_FILES_MAX
            || self.bytes >= limits::IMPORT_BYTES_MAX
            || depth >= limits::IMPORT_DEPTH_MAX;
        let from = &self.files[token.place.file];
        let fetched = if is_full {
            Err("too many files, or one that includes itself".to_owned())
        } else {
            (self.fetch)(from, name)
        };
        match fetched {
            Ok((path, text)) => self.read(&path, &text, depth + 1),
            // Kamailio goes on without it too.
            Err(why) if token.text == "import_file" && !is_full => {
                let why = format!("{why}; Kamailio goes on without it, and so does this");
                self.problems.push((token.place, format!("import_file {name:?}"), why));
            }
            Err(why) => {
                self.problems.push((token.place, format!("{} {name:?}", token.text), why));
            }
        }
    }

    fn problem(&mut self, token: &Token, why: &str) {
        // What is defined may be a password: only the name is told.
        let mut words = token.text.split_whitespace();
        let word = words.next().unwrap_or("");
        let name = words.next().filter(|_| word.starts_with("if")).unwrap_or("…");
        self.problems.push((token.place, format!("#!{word} {name}"), why.into()));
    }
}

/// Whether it is no regular expression, but for dots that stand for themselves.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && !text.contains(['*', '+', '?', '[', ']', '(', ')', '|', '^', '$', '\\', '{'])
}

/// Passes over what a condition leaves out, up to its end or, when wanted, its `#!else`.
fn skip(lexer: &mut Lexer, to_else: bool) {
    let mut depth = 0_usize;
    while let Some(token) = lexer.next_directive() {
        match split_word(&token.text).0 {
            "ifdef" | "ifndef" | "ifexp" => depth += 1,
            "else" if depth == 0 && to_else => return,
            "endif" if depth == 0 => return,
            "endif" => depth -= 1,
            _ => {}
        }
    }
}

fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once([' ', '\t', '\u{a0}']).unwrap_or((text, ""));
    (word, rest.trim())
}

fn tokens_of(text: &str, place: Place) -> Vec<Token> {
    let mut lexer = Lexer::new(text, place);
    let tokens = std::iter::from_fn(|| lexer.next());
    tokens.map(|token| Token { place, ..token }).collect()
}
