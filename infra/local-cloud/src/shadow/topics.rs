//! The reserved topics of the shadow service, read and written.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Get,
    Update,
    Delete,
}

impl Operation {
    pub fn verb(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// A request topic: `$aws/things/{thing}/shadow[/name/{name}]/{get|update|delete}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowTopic<'a> {
    pub thing: &'a str,
    /// Empty for the classic shadow.
    pub name: &'a str,
    pub operation: Operation,
}

impl<'a> ShadowTopic<'a> {
    /// None for any topic that asks nothing of the shadow service, its own answers among them.
    pub fn parse(topic: &'a str) -> Option<Self> {
        let rest = topic.strip_prefix("$aws/things/")?;
        let (thing, rest) = rest.split_once("/shadow/")?;
        let (name, verb) = match rest.strip_prefix("name/") {
            Some(rest) => rest.split_once('/')?,
            None => ("", rest),
        };
        let operation = match verb {
            "get" => Operation::Get,
            "update" => Operation::Update,
            "delete" => Operation::Delete,
            _ => return None,
        };
        let named = rest.starts_with("name/");
        (valid_thing(thing) && (!named || valid_shadow(name))).then_some(Self { thing, name, operation })
    }
}

/// The topic of an answer: `suffix` is `update/accepted`, `get/rejected`, ...
pub fn answer(thing: &str, name: &str, suffix: &str) -> String {
    if name.is_empty() {
        format!("$aws/things/{thing}/shadow/{suffix}")
    } else {
        format!("$aws/things/{thing}/shadow/name/{name}/{suffix}")
    }
}

pub fn valid_thing(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-');
    (1..=128).contains(&name.len()) && name.chars().all(allowed)
}

pub fn valid_shadow(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-' | '$');
    (1..=64).contains(&name.len()) && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_topics_are_told_from_answers() {
        let named = ShadowTopic::parse("$aws/things/t-1/shadow/name/lan/update").unwrap();
        assert_eq!((named.thing, named.name, named.operation), ("t-1", "lan", Operation::Update));
        let classic = ShadowTopic::parse("$aws/things/t-1/shadow/get").unwrap();
        assert_eq!((classic.name, classic.operation), ("", Operation::Get));
        for other in [
            "$aws/things/t-1/shadow/name/lan/update/accepted",
            "$aws/things/t-1/shadow/update/delta",
            "$aws/things/a/b/shadow/get",
            "$aws/things/t-1/shadow/name//get",
            "things/t-1/shadow/get",
        ] {
            assert_eq!(ShadowTopic::parse(other), None, "{other}");
        }
        assert_eq!(answer("t", "lan", "update/delta"), "$aws/things/t/shadow/name/lan/update/delta");
    }
}
