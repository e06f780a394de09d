//! The words of a kamailio.cfg: one file's text becomes tokens, each with its line.
//!
//! It reads what Kamailio reads, and what becomes of that in web pages and word processors: curly
//! quotes are quotes, blanks that do not break are blanks, long dashes are minus signs.

use std::str::Chars;

/// Where something stands: the number of the file, in the order of their reading, and the line from 1.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) line: usize,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum TokenKind {
    /// A name, a number or an address.
    Word,
    /// What stood in quotes, without them.
    Text,
    /// Any other character.
    Sign,
    /// `#!define …` and its like, with the rest of the line.
    Directive,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) text: String,
    pub(super) place: Place,
    /// Whether a blank stands before it.
    pub(super) is_apart: bool,
}

impl Token {
    pub(super) fn is_sign(&self, sign: &str) -> bool {
        self.kind == TokenKind::Sign && self.text == sign
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text == word
    }
}

/// Reads one file's text from its beginning to its end.
pub(super) struct Lexer<'t> {
    rest: Chars<'t>,
    place: Place,
    is_line_start: bool,
    /// How much is left of the text where a pseudo-variable ends that has parentheses. Inside it quotes
    /// and comment signs are plain characters: `$(rb{re.subst,/"//})`.
    variable_end: usize,
    /// Where a quote or a comment begins that has no end.
    pub(super) without_end: Vec<(Place, &'static str)>,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str, place: Place) -> Self {
        Self {
            rest: text.chars(),
            place,
            is_line_start: true,
            variable_end: usize::MAX,
            without_end: Vec::new(),
        }
    }

    /// The next token; comments and blanks are passed over.
    pub(super) fn next(&mut self) -> Option<Token> {
        let mut is_apart = false;
        loop {
            let rest = self.rest.as_str();
            let c = rest.chars().next()?;
            if is_blank(c) {
                is_apart = true;
                self.step();
            } else if rest.len() > self.variable_end {
                return Some(self.plain(c, is_apart));
            } else if is_directive(rest, self.is_line_start) {
                return Some(self.directive());
            } else if c == '#' || rest.starts_with("//") {
                is_apart = true;
                self.line();
            } else if rest.starts_with("/*") {
                is_apart = true;
                self.block_comment();
            } else {
                if !(is_quote(c) || is_tick(c)) {
                    self.variable_end = variable_end(rest).unwrap_or(usize::MAX);
                    return Some(self.plain(c, is_apart));
                }
                self.is_line_start = false;
                let place = self.place;
                return Some(Token { kind: TokenKind::Text, text: self.quoted(), place, is_apart });
            }
        }
    }

    /// A word or a sign.
    fn plain(&mut self, c: char, is_apart: bool) -> Token {
        self.is_line_start = false;
        let place = self.place;
        let (kind, text) = match c {
            _ if is_word(c) => (TokenKind::Word, self.word()),
            '–' | '—' | '−' | '‐' | '‑' => {
                self.step();
                (TokenKind::Sign, "-".to_owned())
            }
            _ => {
                self.step();
                (TokenKind::Sign, c.to_string())
            }
        };
        Token { kind, text, place, is_apart }
    }

    /// The next line that is a directive. What lies before it is not read: between `#!ifdef` and
    /// `#!endif` there may be anything.
    pub(super) fn next_directive(&mut self) -> Option<Token> {
        while !self.rest.as_str().is_empty() {
            let line = self.rest.as_str().trim_start_matches([' ', '\t']);
            if is_directive(line, true) {
                return Some(self.directive());
            }
            self.line();
        }
        None
    }

    fn step(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.place.line += 1;
            self.is_line_start = true;
        }
        Some(c)
    }

    /// The rest of the line, its end taken and left out.
    fn line(&mut self) -> &'t str {
        let rest = self.rest.as_str();
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        self.rest = after.chars();
        self.place.line += usize::from(line.len() < rest.len());
        self.is_line_start = true;
        line.strip_suffix('\r').unwrap_or(line)
    }

    /// The rest of the line, and those after it while a backslash ends them.
    fn directive(&mut self) -> Token {
        let place = self.place;
        let mut text = self.line().trim_start_matches([' ', '\t']).to_owned();
        while text.ends_with('\\') && !self.rest.as_str().is_empty() {
            text.pop();
            text.push_str(self.line());
        }
        Token {
            kind: TokenKind::Directive,
            text: text[2..].trim().to_owned(),
            place,
            is_apart: true,
        }
    }

    fn block_comment(&mut self) {
        let begin = self.place;
        let rest = self.rest.as_str();
        let end = rest[2..].find("*/").map(|at| at + 4);
        if end.is_none() {
            self.without_end.push((begin, "this comment has no end"));
        }
        let end = end.unwrap_or(rest.len());
        self.place.line += rest[..end].matches('\n').count();
        self.rest = rest[end..].chars();
    }

    fn word(&mut self) -> String {
        let rest = self.rest.as_str();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        self.rest = rest[end..].chars();
        rest[..end].to_owned()
    }

    /// A text in quotes; one without an end is taken to end with its line.
    fn quoted(&mut self) -> String {
        let begin = self.place;
        let start = self.rest.clone();
        let open = self.step().unwrap_or('"');
        let (mut text, mut curly) = (String::new(), 0_u32);
        while let Some(c) = self.step() {
            let rest = self.rest.as_str();
            let is_end = match open {
                '\'' => c == '\'',
                // Both quotes are straight, or a word processor got at the second one only.
                '"' if c == '”' && curly == 0 => ends_argument(rest),
                '"' => c == '"',
                _ if is_tick(open) => is_tick(c),
                _ => is_quote(c),
            };
            if is_end {
                return text;
            }
            match c {
                '“' => curly += 1,
                '”' => curly = curly.saturating_sub(1),
                _ => {}
            }
            match c {
                '\\' if open != '\'' => match self.step() {
                    Some('n') => text.push('\n'),
                    Some('r') => text.push('\r'),
                    Some('t') => text.push('\t'),
                    Some(escaped) => text.push(escaped),
                    None => {}
                },
                '\u{a0}' => text.push(' '),
                '\u{200b}' | '\u{feff}' => {}
                _ => text.push(c),
            }
        }
        self.without_end.push((begin, "this quote has no end"));
        self.rest = start;
        self.place = begin;
        self.step();
        let line = self.line();
        line.trim_end().to_owned()
    }
}

/// How much is left behind the pseudo-variable that begins here, `$(…)` or `$name(…)`. As in Kamailio
/// it ends where its parentheses close, within its line.
fn variable_end(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('$')?.trim_start_matches(is_word);
    if !after.starts_with('(') {
        return None;
    }
    let mut depth = 0_usize;
    for (at, c) in after.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return Some(after.len() - at),
            ')' => depth -= 1,
            '\n' => return None,
            _ => {}
        }
    }
    None
}

/// Whether what follows a quote shows that it was the end of an argument.
fn ends_argument(rest: &str) -> bool {
    let next = rest.chars().find(|c| *c == '\n' || !is_blank(*c));
    next.is_none_or(|c| [',', ')', ';', '\n'].contains(&c))
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || ['\u{200b}', '\u{feff}', '\u{2060}'].contains(&c)
}

fn is_quote(c: char) -> bool {
    ['"', '“', '”', '„', '‟', '«', '»', '″'].contains(&c)
}

fn is_tick(c: char) -> bool {
    ['\'', '‘', '’', '‚', '‛'].contains(&c)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.'
}

/// `#!word`, and `!!word` at the start of a line, where it is no double negation.
fn is_directive(rest: &str, is_line_start: bool) -> bool {
    let mut chars = rest.chars();
    let (first, second, third) = (chars.next(), chars.next(), chars.next());
    let is_begun = first == Some('#') || (first == Some('!') && is_line_start);
    is_begun && second == Some('!') && third.is_some_and(|c| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let mut lexer = Lexer::new(text, Place { file: 0, line: 1 });
        let mut shown = Vec::new();
        while let Some(token) = lexer.next() {
            let (line, text) = (token.place.line, token.text);
            shown.push(match token.kind {
                TokenKind::Word | TokenKind::Sign => format!("{line}:{text}"),
                TokenKind::Text => format!("{line}:{text:?}"),
                TokenKind::Directive => format!("{line}:!{text}"),
            });
        }
        for (place, what) in lexer.without_end {
            shown.push(format!("{}: {what}", place.line));
        }
        shown.join(" ")
    }

    #[test]
    fn words() {
        for (text, wants) in [
            ("a=1 # no\nb // no\nc /* no\nno */ d", "1:a 1:= 1:1 2:b 3:c 4:d"),
            (r#"x("a\"b\n", 'c\n')"#, r#"1:x 1:( 1:"a\"b\n" 1:, 1:"c\\n" 1:)"#),
            ("x(“a”, „b“, ‘c’, ”d”)", r#"1:x 1:( 1:"a" 1:, 1:"b" 1:, 1:"c" 1:, 1:"d" 1:)"#),
            ("x(\"a”, “b\", \"c”)", r#"1:x 1:( 1:"a" 1:, 1:"b" 1:, 1:"c" 1:)"#),
            ("\"it’s “fine”, he said\"", "1:\"it’s “fine”, he said\""),
            ("\u{feff}a\u{a0}=\u{a0}“b\u{a0}c”", "1:a 1:= 1:\"b c\""),
            ("a=–1", "1:a 1:= 1:- 1:1"),
            ("#!define A \"b\" \\\n c\n  #!ifdef X\nd", "1:!define A \"b\"  c 3:!ifdef X 4:d"),
            ("!!define A 1\nif (!!x)", "1:!define A 1 2:if 2:( 2:! 2:! 2:x 2:)"),
            ("#!\n#! no\na", "3:a"),
            ("a(\"b\nc", "1:a 1:( 1:\"b\" 2:c 1: this quote has no end"),
            (
                "$(rb{re.subst,/\"//}) \"a\" # no",
                "1:$ 1:( 1:rb 1:{ 1:re.subst 1:, 1:/ 1:\" 1:/ 1:/ 1:} 1:) 1:\"a\"",
            ),
            (
                "$hdr(a#b) $(ru{s.select,0,'}) 'c' $var(x\n\"d\")",
                "1:$ 1:hdr 1:( 1:a 1:# 1:b 1:) 1:$ 1:( 1:ru 1:{ 1:s.select 1:, 1:0 1:, 1:' 1:} 1:) \
                 1:\"c\" 1:$ 1:var 1:( 1:x 2:\"d\" 2:)",
            ),
            ("a /* b\n", "1:a 1: this comment has no end"),
            ("udp:192.0.2.1:5060", "1:udp 1:: 1:192.0.2.1 1:: 1:5060"),
        ] {
            assert_eq!(read(text), wants, "{text}");
        }
    }
}
