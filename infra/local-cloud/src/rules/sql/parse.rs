//! From text to a statement: tokens, then a descent by precedence.

use serde_json::{Value, json};

use super::{Expr, Item, Op, Sql, SqlError};
use crate::mqtt::topic;

/// Deeper parentheses than anyone writes would only serve to exhaust the stack.
const MAX_DEPTH: usize = 32;
/// Parts of one expression: a chain is nested as deep as it is long.
const MAX_PARTS: usize = 256;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(Value),
    Sign(&'static str),
}

const SIGNS: [&str; 19] =
    ["<>", "!=", "<=", ">=", "=", "<", ">", "(", ")", "[", "]", ",", ".", "*", "+", "-", "/", "%", ";"];

pub fn statement(text: &str) -> Result<Sql, SqlError> {
    let mut parser = Parser::new(text)?;
    parser.keyword("select")?;
    let mut items = vec![parser.item()?];
    while parser.sign(",") {
        items.push(parser.item()?);
    }
    parser.keyword("from")?;
    let Some(Token::Text(from)) = parser.take() else {
        return Err(fault("FROM needs a topic filter in quotes"));
    };
    if !topic::valid_filter(&from) {
        return Err(fault("FROM is not a topic filter"));
    }
    let condition = if parser.word("where") { Some(parser.expression()?) } else { None };
    parser.sign(";");
    parser.end()?;
    Ok(Sql { items, from, condition })
}

pub fn expression(text: &str) -> Result<Expr, SqlError> {
    let mut parser = Parser::new(text)?;
    let expression = parser.expression()?;
    parser.end()?;
    Ok(expression)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    /// Of the expression that is being read.
    parts: usize,
}

impl Parser {
    fn new(text: &str) -> Result<Self, SqlError> {
        Ok(Self { tokens: tokens(text)?, at: 0, depth: 0, parts: 0 })
    }

    fn item(&mut self) -> Result<Item, SqlError> {
        let plain_star = self.peek() == Some(&Token::Sign("*"));
        if plain_star {
            self.at += 1;
            return Ok(Item::Everything);
        }
        let start = self.at;
        let value = self.expression()?;
        let name = if self.word("as") {
            match self.take() {
                Some(Token::Word(name) | Token::Text(name)) => name,
                _ => return Err(fault("AS needs a name")),
            }
        } else {
            match &value {
                Expr::Field(name) | Expr::Inside(_, name) => name.clone(),
                _ => self.tokens[start..self.at].iter().map(Token::text).collect(),
            }
        };
        Ok(Item::Field { value, name })
    }

    fn expression(&mut self) -> Result<Expr, SqlError> {
        if self.depth == 0 {
            self.parts = 0;
        }
        self.descend()?;
        let expression = self.binary(0);
        self.depth -= 1;
        expression
    }

    fn descend(&mut self) -> Result<(), SqlError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(fault("the expression is nested too deeply")) } else { Ok(()) }
    }

    fn part(&mut self) -> Result<(), SqlError> {
        self.parts += 1;
        if self.parts > MAX_PARTS { Err(fault("the expression has too many parts")) } else { Ok(()) }
    }

    /// `level` 0 binds loosest.
    fn binary(&mut self, level: usize) -> Result<Expr, SqlError> {
        if level == LEVELS.len() {
            return self.unary();
        }
        let mut left = self.binary(level + 1)?;
        'more: loop {
            for (sign, op) in LEVELS[level] {
                if self.sign(sign) || self.word(sign) {
                    self.part()?;
                    let right = self.binary(level + 1)?;
                    left = Expr::Binary(Box::new(left), *op, Box::new(right));
                    continue 'more;
                }
            }
            return Ok(left);
        }
    }

    fn unary(&mut self) -> Result<Expr, SqlError> {
        let (not, negative) = (self.word("not"), self.sign("-"));
        if !not && !negative {
            let atom = self.atom()?;
            return self.inside(atom);
        }
        self.descend()?;
        // NOT takes in a comparison, a minus only what stands next to it.
        let inner = if not { self.binary(2)? } else { self.unary()? };
        self.depth -= 1;
        let inner = if not && negative { Expr::Negative(Box::new(inner)) } else { inner };
        Ok(if not { Expr::Not(Box::new(inner)) } else { Expr::Negative(Box::new(inner)) })
    }

    fn atom(&mut self) -> Result<Expr, SqlError> {
        match self.take() {
            Some(Token::Number(number)) => Ok(Expr::Literal(number)),
            Some(Token::Text(text)) => Ok(Expr::Literal(json!(text))),
            Some(Token::Sign("*")) => Ok(Expr::Payload),
            Some(Token::Sign("(")) => {
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Some(Token::Word(word)) => match word.to_ascii_lowercase().as_str() {
                "true" => Ok(Expr::Literal(json!(true))),
                "false" => Ok(Expr::Literal(json!(false))),
                "null" => Ok(Expr::Literal(Value::Null)),
                "select" | "from" | "where" | "as" | "and" | "or" => {
                    Err(fault(&format!("unexpected {word}")))
                }
                name if self.sign("(") => self.call(name.to_owned()),
                _ => Ok(Expr::Field(word)),
            },
            Some(token) => Err(fault(&format!("unexpected {}", token.text()))),
            None => Err(fault("the statement ends too early")),
        }
    }

    fn call(&mut self, name: String) -> Result<Expr, SqlError> {
        let mut arguments = Vec::new();
        if !self.sign(")") {
            arguments.push(self.expression()?);
            while self.sign(",") {
                arguments.push(self.expression()?);
            }
            self.expect(")")?;
        }
        Ok(Expr::Call(name, arguments))
    }

    /// `.name` and `[0]` after a value.
    fn inside(&mut self, mut value: Expr) -> Result<Expr, SqlError> {
        loop {
            self.part()?;
            if self.sign(".") {
                match self.take() {
                    Some(Token::Word(name)) => value = Expr::Inside(Box::new(value), name),
                    _ => return Err(fault("a name is missing after the dot")),
                }
            } else if self.sign("[") {
                match self.take() {
                    Some(Token::Number(index)) if index.is_u64() => {
                        value = Expr::Inside(Box::new(value), index.to_string());
                    }
                    _ => return Err(fault("an index is missing")),
                }
                self.expect("]")?;
            } else {
                return Ok(value);
            }
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += 1;
        token
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(next)) if *next == sign);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(next)) if next.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), SqlError> {
        if self.sign(sign) { Ok(()) } else { Err(fault(&format!("{sign} is missing"))) }
    }

    fn keyword(&mut self, word: &str) -> Result<(), SqlError> {
        if self.word(word) {
            Ok(())
        } else {
            Err(fault(&format!("{} is missing", word.to_ascii_uppercase())))
        }
    }

    fn end(&self) -> Result<(), SqlError> {
        match self.peek() {
            None => Ok(()),
            Some(token) => Err(fault(&format!("unexpected {}", token.text()))),
        }
    }
}

const LEVELS: [&[(&str, Op)]; 5] = [
    &[("or", Op::Or)],
    &[("and", Op::And)],
    &[
        ("=", Op::Equal),
        ("<>", Op::Differs),
        ("!=", Op::Differs),
        ("<=", Op::AtMost),
        (">=", Op::AtLeast),
        ("<", Op::Less),
        (">", Op::More),
    ],
    &[("+", Op::Plus), ("-", Op::Minus)],
    &[("*", Op::Times), ("/", Op::Over), ("%", Op::Modulo)],
];

impl Token {
    fn text(&self) -> String {
        match self {
            Self::Word(text) | Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Sign(sign) => (*sign).to_owned(),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, SqlError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = if first == '\'' || first == '"' {
            let (inside, after) =
                rest[1..].split_once(first).ok_or_else(|| fault("a quote is not closed"))?;
            (Token::Text(inside.to_owned()), after)
        } else if first.is_ascii_digit() {
            let (digits, after) = split(rest, |c| c.is_ascii_digit() || c == '.');
            let number = digits.parse::<serde_json::Number>().map_err(|_| fault("a number is malformed"))?;
            (Token::Number(Value::Number(number)), after)
        } else if first.is_alphabetic() || matches!(first, '_' | '$') {
            let (word, after) = split(rest, |c| c.is_alphanumeric() || matches!(c, '_' | '$' | '-'));
            (Token::Word(word.to_owned()), after)
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| fault(&format!("unexpected {first}")))?;
            (Token::Sign(sign), &rest[sign.len()..])
        };
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

fn fault(what: &str) -> SqlError {
    SqlError(what.to_owned())
}
