//! What is wrong with settings as typed: a code with parameters at a field, so that each surface
//! can word it in its reader's language. The English wording stands here, for the API.

use std::fmt;

use serde::{Serialize, ser::SerializeMap};
use serde_json::{Value, json};

/// One thing that is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: `address`, `dns[1]`, `routes[0].via`; below a parent `lan.address`.
    pub field: String,
    pub code: FaultCode,
}

/// Everything that is wrong with a draft, in the order of its fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct Faults(Vec<Fault>);

/// What can be wrong with a field. The names are stable: clients match on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultCode {
    /// The field is needed and was not given.
    Required,
    /// The field has no meaning next to the others, e.g. an address with DHCP.
    NotAllowedHere,
    /// No such field is known; a typing error must not be ignored in silence.
    UnknownField,
    /// The text is none of the values that this field takes.
    UnknownValue {
        allowed: &'static str,
    },
    NotAnIpv4Address,
    /// Not `address/prefix`.
    NotACidr,
    /// The prefix length is not one that a pharmacy's network can have.
    PrefixOutOfRange {
        min: u8,
        max: u8,
    },
    /// Not in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16 (RFC 1918).
    NotPrivate,
    /// The first address of the subnet names the subnet itself.
    NetworkAddress,
    /// The last address of the subnet is its broadcast address.
    BroadcastAddress,
    OutsideSubnet,
    /// The box's own address where another host's is needed.
    OwnAddress,
    /// The network is in use on the box's own cellular line.
    OverlapsWan,
    /// 0.0.0.0/0 would lead the box's own line through the pharmacy.
    DefaultRoute,
    /// A network has bits set outside its prefix.
    HostBits,
    Duplicate,
    OutOfRange {
        min: i64,
        max: i64,
    },
    TooMany {
        max: usize,
    },
    TooLong {
        max: usize,
    },
    BadCharacter,
    /// The file server gives the name a meaning of its own.
    ReservedName,
    /// The end is not after the beginning.
    NotAfterStart,
    /// The value has already gone by.
    InThePast,
    NotATime,
    /// Not a date with a time as in RFC 3339.
    NotATimestamp,
    // JSON of another kind than the field takes.
    NotText,
    /// Not a whole number.
    NotANumber,
    NotABoolean,
    NotAList,
    NotAnObject,
}

impl FaultCode {
    /// The stable name of the fault, as it stands in `problem+json`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Required => "REQUIRED",
            Self::NotAllowedHere => "NOT_ALLOWED_HERE",
            Self::UnknownField => "UNKNOWN_FIELD",
            Self::UnknownValue { .. } => "UNKNOWN_VALUE",
            Self::NotAnIpv4Address => "NOT_AN_IPV4_ADDRESS",
            Self::NotACidr => "NOT_A_CIDR",
            Self::PrefixOutOfRange { .. } => "PREFIX_OUT_OF_RANGE",
            Self::NotPrivate => "NOT_PRIVATE",
            Self::NetworkAddress => "NETWORK_ADDRESS",
            Self::BroadcastAddress => "BROADCAST_ADDRESS",
            Self::OutsideSubnet => "OUTSIDE_SUBNET",
            Self::OwnAddress => "OWN_ADDRESS",
            Self::OverlapsWan => "OVERLAPS_WAN",
            Self::DefaultRoute => "DEFAULT_ROUTE",
            Self::HostBits => "HOST_BITS",
            Self::Duplicate => "DUPLICATE",
            Self::OutOfRange { .. } => "OUT_OF_RANGE",
            Self::TooMany { .. } => "TOO_MANY",
            Self::TooLong { .. } => "TOO_LONG",
            Self::BadCharacter => "BAD_CHARACTER",
            Self::ReservedName => "RESERVED_NAME",
            Self::NotAfterStart => "NOT_AFTER_START",
            Self::InThePast => "IN_THE_PAST",
            Self::NotATime => "NOT_A_TIME",
            Self::NotATimestamp => "NOT_A_TIMESTAMP",
            Self::NotText => "NOT_TEXT",
            Self::NotANumber => "NOT_A_NUMBER",
            Self::NotABoolean => "NOT_A_BOOLEAN",
            Self::NotAList => "NOT_A_LIST",
            Self::NotAnObject => "NOT_AN_OBJECT",
        }
    }

    /// What its words have places for: `min`, `max`, `allowed`.
    pub fn parameters(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::UnknownValue { allowed } => vec![("allowed", json!(allowed))],
            Self::PrefixOutOfRange { min, max } => vec![("min", json!(min)), ("max", json!(max))],
            Self::OutOfRange { min, max } => vec![("min", json!(min)), ("max", json!(max))],
            Self::TooMany { max } | Self::TooLong { max } => vec![("max", json!(max))],
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required => f.write_str("is required"),
            Self::NotAllowedHere => f.write_str("may not be given with these other settings"),
            Self::UnknownField => f.write_str("is not a field that is known here"),
            Self::UnknownValue { allowed } => write!(f, "must be one of {allowed}"),
            Self::NotAnIpv4Address => f.write_str("is not an IPv4 address"),
            Self::NotACidr => f.write_str("is not an address with a prefix length, e.g. 192.168.10.9/24"),
            Self::PrefixOutOfRange { min, max } => write!(f, "must have a prefix length of {min} to {max}"),
            Self::NotPrivate => f.write_str("must be a private address (RFC 1918)"),
            Self::NetworkAddress => f.write_str("is the network's own address, not a host's"),
            Self::BroadcastAddress => f.write_str("is the network's broadcast address, not a host's"),
            Self::OutsideSubnet => f.write_str("must be in the subnet of the address"),
            Self::OwnAddress => f.write_str("must be another host, not the box itself"),
            Self::OverlapsWan => f.write_str("overlaps a network of the box's cellular line"),
            Self::DefaultRoute => {
                f.write_str("must not be the default route, which belongs to the cellular line")
            }
            Self::HostBits => f.write_str("has bits set outside its prefix"),
            Self::Duplicate => f.write_str("is given twice"),
            Self::OutOfRange { min, max } => write!(f, "must be {min} to {max}"),
            Self::TooMany { max } => write!(f, "may have at most {max} entries"),
            Self::TooLong { max } => write!(f, "may have at most {max} characters"),
            Self::BadCharacter => f.write_str("holds a character that is not allowed"),
            Self::ReservedName => f.write_str("is a name that the file server keeps for itself"),
            Self::NotAfterStart => f.write_str("must be after the beginning"),
            Self::InThePast => f.write_str("has already gone by"),
            Self::NotATime => f.write_str("is not a time such as 01:30"),
            Self::NotATimestamp => f.write_str("is not a date and time such as 2026-11-22T15:00:00Z"),
            Self::NotText => f.write_str("must be text"),
            Self::NotANumber => f.write_str("must be a whole number"),
            Self::NotABoolean => f.write_str("must be true or false"),
            Self::NotAList => f.write_str("must be a list"),
            Self::NotAnObject => f.write_str("must be an object"),
        }
    }
}

impl Faults {
    pub fn add(&mut self, field: impl Into<String>, code: FaultCode) {
        self.0.push(Fault { field: field.into(), code });
    }

    /// Takes the value, or writes its fault down and goes on.
    pub fn take<T>(&mut self, field: &str, result: Result<T, FaultCode>) -> Option<T> {
        result.map_err(|code| self.add(field, code)).ok()
    }

    /// Adds what another check found.
    pub fn extend(&mut self, other: Faults) {
        self.0.extend(other.0);
    }

    /// The same faults, with their fields below `parent`.
    #[must_use]
    pub fn under(self, parent: &str) -> Self {
        let nested = |fault: Fault| Fault {
            field: if fault.field.is_empty() {
                parent.to_owned()
            } else {
                format!("{parent}.{}", fault.field)
            },
            ..fault
        };
        Self(self.0.into_iter().map(nested).collect())
    }

    /// Adds what a judge found in a draft that these faults were left out of: where a value could not
    /// even be read, he had nothing to judge.
    pub fn extend_elsewhere(&mut self, judged: Faults) {
        let read = judged.0.into_iter().filter(|fault| !self.covers(&fault.field)).collect::<Vec<_>>();
        self.0.extend(read);
    }

    /// Without the fields that nobody knows, which one side may have before the other.
    #[must_use]
    pub fn without_unknown_fields(self) -> Self {
        Self(self.0.into_iter().filter(|fault| fault.code != FaultCode::UnknownField).collect())
    }

    /// The value, if nothing was wrong.
    pub fn unless_any<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }

    /// True if this field, or what it is a part of, could not be read.
    fn covers(&self, field: &str) -> bool {
        self.0.iter().filter(|fault| fault.code != FaultCode::UnknownField).any(|fault| {
            let rest = field.strip_prefix(fault.field.as_str());
            fault.field.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// True if this very field has a fault.
    pub fn at(&self, field: &str) -> bool {
        self.0.iter().any(|fault| fault.field == field)
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{} {}", fault.field, fault.code)?;
        }
        Ok(())
    }
}

/// Reads as `{"field": "address", "code": "PREFIX_OUT_OF_RANGE", "min": 8, "max": 30, "detail": "must …"}`.
impl Serialize for Fault {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entry = serializer.serialize_map(None)?;
        entry.serialize_entry("field", &self.field)?;
        entry.serialize_entry("code", self.code.name())?;
        for (name, value) in self.code.parameters() {
            entry.serialize_entry(name, &value)?;
        }
        entry.serialize_entry("detail", &self.code.to_string())?;
        entry.end()
    }
}

impl Serialize for Faults {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
