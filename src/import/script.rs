//! What a kamailio.cfg says at its top level: modules, their parameters, parameters of the core,
//! routes. What is inside routes is left as tokens, with the calls in them.

use super::lexer::{Place, Token, TokenKind};
use crate::config::DatabaseUrl;

/// `modparam("MODULE", "NAME", VALUE)`
#[derive(Debug)]
pub(super) struct Modparam {
    modules: String,
    pub(super) name: String,
    pub(super) value: Value,
    pub(super) place: Place,
}

/// A value as far as the file alone tells it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    /// Known only at run time, or nothing at all.
    Unknown,
}

/// `NAME = …`
#[derive(Debug)]
pub(super) struct CoreParameter<'t> {
    pub(super) name: &'t str,
    pub(super) value: &'t [Token],
    pub(super) place: Place,
}

#[derive(Debug)]
pub(super) struct Route<'t> {
    /// `request_route`, `failure_route` …
    pub(super) kind: &'t str,
    /// What stands in brackets behind the kind; empty for the main route.
    pub(super) name: &'t str,
    pub(super) body: &'t [Token],
}

#[derive(Debug, Default)]
pub(super) struct Script<'t> {
    /// `loadmodule`, without path and `.so`.
    pub(super) modules: Vec<(&'t str, Place)>,
    pub(super) modparams: Vec<Modparam>,
    pub(super) core: Vec<CoreParameter<'t>>,
    pub(super) routes: Vec<Route<'t>>,
}

const ROUTES: [&str; 8] = [
    "route",
    "request_route",
    "reply_route",
    "failure_route",
    "branch_route",
    "onreply_route",
    "onsend_route",
    "event_route",
];

impl<'t> Script<'t> {
    pub(super) fn read(tokens: &'t [Token]) -> Self {
        let partners = partners(tokens);
        let mut script = Self::default();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let next = tokens.get(at + 1);
            let is_call = next.is_some_and(|next| next.is_sign("("));
            at = match token.text.as_str() {
                _ if token.kind != TokenKind::Word => at + 1,
                "loadmodule" | "loadmodulex" => {
                    let name = at + 1 + usize::from(is_call);
                    if let Some(name) = tokens.get(name) {
                        let text = name.text.rsplit('/').next().unwrap_or("").trim();
                        let module = text.strip_suffix(".so").unwrap_or(text);
                        script.modules.push((module, token.place));
                    }
                    name + 1
                }
                "modparam" | "modparamx" if is_call => {
                    let end = partners[at + 1].unwrap_or(tokens.len());
                    script
                        .modparams
                        .extend(modparam(&tokens[at + 2..end.max(at + 2)], token.place));
                    end + 1
                }
                word if ROUTES.contains(&word) => script.route(tokens, &partners, at),
                name if next.is_some_and(|next| next.is_sign("=")) => {
                    let end = value_end(tokens, &partners, at + 2);
                    let value = &tokens[at + 2..end];
                    script.core.push(CoreParameter { name, value, place: token.place });
                    end
                }
                _ => at + 1,
            };
        }
        script
    }

    /// `route[NAME] { … }`; says where it ends.
    fn route(&mut self, tokens: &'t [Token], partners: &[Option<usize>], at: usize) -> usize {
        let kind = tokens[at].text.as_str();
        let mut begin = at + 1;
        let mut name = "";
        if tokens.get(begin).is_some_and(|token| token.is_sign("[")) {
            name = tokens.get(begin + 1).map_or("", |token| &token.text);
            begin = partners[begin].map_or(begin, |end| end) + 1;
        }
        if !tokens.get(begin).is_some_and(|token| token.is_sign("{")) {
            return at + 1;
        }
        let end = partners[begin].unwrap_or(tokens.len());
        self.routes.push(Route { kind, name, body: &tokens[begin + 1..end] });
        end + 1
    }

    /// Whether a module is loaded.
    pub(super) fn module(&self, name: &str) -> Option<Place> {
        self.modules.iter().find(|(module, _)| *module == name).map(|(_, place)| *place)
    }

    /// The parameters of a module, in the order of the file.
    pub(super) fn modparams_of(&self, module: &str) -> impl Iterator<Item = &Modparam> {
        self.modparams.iter().filter(move |parameter| parameter.is_of(module))
    }

    /// Whether anything in it is Kamailio's.
    pub(super) fn is_empty(&self) -> bool {
        self.modules.is_empty() && self.modparams.is_empty() && self.routes.is_empty()
    }
}

/// How the URLs of Kamailio's databases begin.
const SCHEMES: [&str; 8] =
    ["mysql:", "postgres:", "text:", "unixodbc:", "oracle:", "cassandra:", "mongodb:", "redis:"];

impl Modparam {
    /// Kamailio takes the first argument as a regular expression; people write `"a|b"`.
    fn is_of(&self, module: &str) -> bool {
        let parts = self.modules.trim_matches(['^', '$', '(', ')']).split('|').map(str::trim);
        parts.into_iter().any(|part| match part.strip_suffix(".*") {
            Some(begin) => module.starts_with(begin),
            None => part == module,
        })
    }

    /// A parameter as a terminal may show it.
    pub(super) fn shown(&self, module: &str) -> String {
        let value = match &self.value {
            Value::Number(number) => number.to_string(),
            Value::Unknown => "…".into(),
            Value::Text(text) if text.contains("://") && text.contains('@') => {
                format!("\"{}\"", DatabaseUrl::new(text.as_str()))
            }
            // What is wrong in a URL may have moved the password to where none belongs.
            Value::Text(text) if self.name == "db_url" && !text.starts_with("sqlite:") => {
                let scheme = SCHEMES.iter().find(|scheme| text.starts_with(**scheme));
                format!("\"{}…\"", scheme.unwrap_or(&""))
            }
            Value::Text(text) => format!("{text:?}"),
        };
        format!("modparam({module:?}, {:?}, {value})", self.name)
    }
}

fn modparam(tokens: &[Token], place: Place) -> Option<Modparam> {
    let mut arguments = tokens.split(|token| token.is_sign(","));
    let (modules, name) = (arguments.next()?, arguments.next()?);
    let value = arguments.next().map_or(Value::Unknown, value);
    let text = |argument: &[Token]| match self::value(argument) {
        Value::Text(text) => Some(text.trim().to_owned()),
        _ => None,
    };
    Some(Modparam { modules: text(modules)?, name: text(name)?, value, place })
}

/// A number, a text, or several texts one after the other, which are one.
pub(super) fn value(tokens: &[Token]) -> Value {
    let digits = match tokens {
        [word] if word.kind == TokenKind::Word => Some((word, 1)),
        [sign, word] if sign.is_sign("-") && word.kind == TokenKind::Word => Some((word, -1)),
        _ => None,
    };
    if let Some((word, sign)) = digits {
        let (text, radix) = match word.text.strip_prefix("0x") {
            Some(hex) => (hex, 16),
            None => (word.text.as_str(), 10),
        };
        return match (i64::from_str_radix(text, radix), word.text.as_str()) {
            (Ok(number), _) => Value::Number(number.saturating_mul(sign)),
            (_, "yes" | "on" | "true" | "enable") => Value::Number(1),
            (_, "no" | "off" | "false" | "disable") => Value::Number(0),
            _ => Value::Unknown,
        };
    }
    if tokens.is_empty() || tokens.iter().any(|token| token.kind != TokenKind::Text) {
        return Value::Unknown;
    }
    Value::Text(tokens.iter().map(|token| token.text.as_str()).collect())
}

impl Value {
    /// The number that a script means by it: `"4"` is 4 too.
    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Unknown => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The value of a core parameter ends with its line, but for the words that go on with a listener.
fn value_end(tokens: &[Token], partners: &[Option<usize>], begin: usize) -> usize {
    let Some(first) = tokens.get(begin) else {
        return begin;
    };
    if first.is_sign("{") || first.is_sign("(") {
        return partners[begin].map_or(begin, |end| end) + 1;
    }
    let mut end = begin + 1;
    while let Some(token) = tokens.get(end) {
        let goes_on = ["advertise", "name", "virtual"].iter().any(|word| token.is_word(word));
        let after = &tokens[end - 1];
        if (token.place != after.place && !goes_on) || token.is_sign(";") {
            break;
        }
        // A value that a name stands for has the line of that name, as all that follows it has.
        end += 1;
    }
    end
}

/// For each opening bracket, where its closing one is.
pub(super) fn partners(tokens: &[Token]) -> Vec<Option<usize>> {
    let mut partners = vec![None; tokens.len()];
    let mut open: Vec<(usize, &str)> = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.kind == TokenKind::Sign)
    {
        let opener = match token.text.as_str() {
            sign @ ("(" | "[" | "{") => {
                open.push((at, sign));
                continue;
            }
            ")" => "(",
            "]" => "[",
            "}" => "{",
            _ => continue,
        };
        // A brace closes what was left open inside it; other brackets close only their like.
        while opener == "{" && open.last().is_some_and(|(_, sign)| *sign != "{") {
            open.pop();
        }
        if let Some((begin, _)) = open.pop_if(|(_, sign)| *sign == opener) {
            partners[begin] = Some(at);
        }
    }
    partners
}

/// Tokens as they were written, blanks made one.
pub(super) fn written(tokens: &[Token]) -> String {
    let mut text = String::new();
    for (at, token) in tokens.iter().enumerate() {
        if at > 0 && token.is_apart {
            text.push(' ');
        }
        text.push_str(&token.text);
    }
    text
}
