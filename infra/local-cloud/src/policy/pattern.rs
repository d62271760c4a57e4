//! Patterns with `*`, `?` and policy variables, as they stand in Action, Resource and condition values.

use super::Context;

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text(String),
    Variable { name: String, default: Option<String> },
    AnyOne,
    AnyMany,
}

/// A pattern whose variables are filled in: what a variable holds is never a wildcard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Char(char),
    AnyOne,
    AnyMany,
}

impl Pattern {
    /// Policies before version 2012-10-17 have no variables: there `${` is text.
    pub fn parse(text: &str, variables: bool) -> Self {
        let mut tokens = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let closed = if variables && rest.starts_with("${") { rest.find('}') } else { None };
            let (token, length) = match (c, closed) {
                (_, Some(end)) => (variable(&rest[2..end]), end + 1),
                ('*', None) => (Token::AnyMany, 1),
                ('?', None) => (Token::AnyOne, 1),
                (c, None) => {
                    literal.push(c);
                    rest = &rest[c.len_utf8()..];
                    continue;
                }
            };
            if !literal.is_empty() {
                tokens.push(Token::Text(std::mem::take(&mut literal)));
            }
            tokens.push(token);
            rest = &rest[length..];
        }
        if !literal.is_empty() {
            tokens.push(Token::Text(literal));
        }
        Self(tokens)
    }

    /// False when a variable has no value: such a pattern matches nothing.
    pub fn matches(&self, text: &str, context: &Context) -> bool {
        self.pieces(context).is_some_and(|pieces| glob(&pieces, text))
    }

    pub fn matches_ignoring_case(&self, text: &str, context: &Context) -> bool {
        let lower = |piece| match piece {
            Piece::Char(c) => Piece::Char(c.to_ascii_lowercase()),
            wild => wild,
        };
        self.pieces(context).is_some_and(|pieces| {
            glob(&pieces.into_iter().map(lower).collect::<Vec<_>>(), &text.to_ascii_lowercase())
        })
    }

    /// Compares the six parts of an ARN one by one, so that a `*` does not reach over a colon.
    pub fn matches_arn(&self, arn: &str, context: &Context) -> bool {
        let Some(pieces) = self.pieces(context) else {
            return false;
        };
        let mut parts = pieces.splitn(6, |piece| *piece == Piece::Char(':'));
        let mut count = 0;
        let all = arn.splitn(6, ':').all(|text| {
            count += 1;
            parts.next().is_some_and(|part| glob(part, text))
        });
        all && count == 6 && parts.next().is_none()
    }

    /// The pattern as plain text, wildcards included: for the operators that compare exactly.
    pub fn text(&self, context: &Context) -> Option<String> {
        let mut text = String::new();
        for piece in self.pieces(context)? {
            text.push(match piece {
                Piece::Char(c) => c,
                Piece::AnyOne => '?',
                Piece::AnyMany => '*',
            });
        }
        Some(text)
    }

    fn pieces(&self, context: &Context) -> Option<Vec<Piece>> {
        let mut pieces = Vec::new();
        for token in &self.0 {
            match token {
                Token::AnyOne => pieces.push(Piece::AnyOne),
                Token::AnyMany => pieces.push(Piece::AnyMany),
                Token::Text(text) => pieces.extend(text.chars().map(Piece::Char)),
                Token::Variable { name, default } => {
                    let value = context.one(name).or(default.as_deref())?;
                    pieces.extend(value.chars().map(Piece::Char));
                }
            }
        }
        Some(pieces)
    }
}

/// `iot:ClientId`, `aws:username, 'nobody'`; `${*}`, `${?}` and `${$}` are the characters themselves.
fn variable(inside: &str) -> Token {
    match inside {
        "*" | "?" | "$" => Token::Text(inside.to_owned()),
        _ => {
            let (name, default) = match inside.split_once(',') {
                Some((name, default)) => (name, Some(default.trim().trim_matches('\'').to_owned())),
                None => (inside, None),
            };
            Token::Variable { name: name.trim().to_owned(), default }
        }
    }
}

/// Goes back only to the last `*`, so the work is bounded by pattern times text.
fn glob(pattern: &[Piece], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Piece::AnyMany) => {
                star = Some((p, t));
                p += 1;
            }
            Some(Piece::AnyOne) => {
                p += 1;
                t += 1;
            }
            Some(Piece::Char(c)) if *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after, taken)) = star else { return false };
                star = Some((after, taken + 1));
                p = after + 1;
                t = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|piece| *piece == Piece::AnyMany)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern, true).matches(text, &Context::new().with("iot:ClientId", "a*"))
    }

    #[test]
    fn wildcards_match_any_text_and_any_one_character() {
        assert!(matches("*", ""));
        assert!(matches("a*c?e", "abbbcde"));
        assert!(!matches("a*c?e", "abbbce"));
        assert!(matches("a**b", "ab"));
        assert!(!matches("", "a"));
    }

    #[test]
    fn the_value_of_a_variable_is_not_a_wildcard() {
        assert!(matches("topic/${iot:ClientId}/x", "topic/a*/x"));
        assert!(!matches("topic/${iot:ClientId}/x", "topic/ab/x"));
    }

    #[test]
    fn a_variable_without_a_value_matches_nothing_unless_it_has_a_default() {
        assert!(!matches("*${aws:username}*", "anything"));
        assert!(matches("${aws:username, 'nobody'}", "nobody"));
    }

    #[test]
    fn escaped_wildcards_are_characters() {
        assert!(matches("${*}", "*"));
        assert!(!matches("${*}", "x"));
    }

    #[test]
    fn a_star_in_an_arn_part_stays_in_that_part() {
        let arn =
            |pattern: &str, text: &str| Pattern::parse(pattern, true).matches_arn(text, &Context::new());
        assert!(arn("arn:aws:iam::1:role/*", "arn:aws:iam::1:role/a:b"));
        assert!(!arn("arn:aws:*:role/a", "arn:aws:iam::1:role/a"));
        assert!(!arn("arn:aws:iam::1", "arn:aws:iam::1:role/a"));
    }
}
