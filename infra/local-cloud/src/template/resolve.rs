//! The intrinsic functions: Ref, Sub, `GetAtt`, Join and their kin.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

use super::{Pseudo, TemplateError};

/// A stack here has no name of its own.
pub const STACK: &str = "local";

/// A resource's logical id and its properties.
pub type Declared = (String, Map<String, Value>);

/// A template with the values of its parameters.
#[derive(Debug, Clone)]
pub struct Resolver {
    pub(super) template: Value,
    pub(super) parameters: BTreeMap<String, Value>,
    pub(super) account_id: String,
    pub(super) region: String,
    /// What is known of resources beyond what the template says, by `LogicalId.Attribute`.
    pub(super) attributes: BTreeMap<String, String>,
}

impl Resolver {
    pub fn new(
        template: Value,
        given: &BTreeMap<String, String>,
        pseudo: &Pseudo,
    ) -> Result<Self, TemplateError> {
        let mut parameters = BTreeMap::new();
        let declared = template.get("Parameters").and_then(Value::as_object).cloned().unwrap_or_default();
        if let Some(unknown) = given.keys().find(|name| !declared.contains_key(*name)) {
            return fault(format!("there is no parameter {unknown}"));
        }
        for (name, parameter) in &declared {
            let value =
                given.get(name).cloned().map(Value::String).or_else(|| parameter.get("Default").cloned());
            let Some(value) = value else { continue };
            if let Some(allowed) = parameter.get("AllowedValues").and_then(Value::as_array)
                && !allowed.iter().any(|one| text_of(one) == text_of(&value))
            {
                return fault(format!("the parameter {name} has a value that is not allowed"));
            }
            let kind = parameter.get("Type").and_then(Value::as_str).unwrap_or("String");
            let value = match value {
                Value::String(text) if kind.starts_with("List<") || kind == "CommaDelimitedList" => {
                    text.split(',').map(|one| Value::from(one.trim())).collect()
                }
                value => value,
            };
            parameters.insert(name.clone(), value);
        }
        let Pseudo { account_id, region } = pseudo.clone();
        Ok(Self { template, parameters, account_id, region, attributes: BTreeMap::new() })
    }

    /// The resources of a type whose condition holds, with their properties unresolved.
    pub fn of_type(&self, kind: &str) -> Result<Vec<Declared>, TemplateError> {
        let mut found = Vec::new();
        for (id, resource) in self.section("Resources") {
            if resource.get("Type").and_then(Value::as_str) != Some(kind) {
                continue;
            }
            let holds = match resource.get("Condition").and_then(Value::as_str) {
                Some(name) => self.condition(name)?,
                None => true,
            };
            if holds {
                let properties = resource.get("Properties").and_then(Value::as_object);
                found.push((id.clone(), properties.cloned().unwrap_or_default()));
            }
        }
        Ok(found)
    }

    /// A property, resolved; None when it is missing or `AWS::NoValue`.
    pub fn property(
        &self,
        properties: &Map<String, Value>,
        name: &str,
    ) -> Result<Option<Value>, TemplateError> {
        match properties.get(name) {
            Some(value) => self.resolve(value),
            None => Ok(None),
        }
    }

    /// A property that is text, or else the name that the stack would make up.
    pub fn name(
        &self,
        id: &str,
        properties: &Map<String, Value>,
        name: &str,
    ) -> Result<String, TemplateError> {
        let given = self.property(properties, name)?;
        Ok(given.map_or_else(|| format!("{STACK}-{id}"), |value| text_of(&value)))
    }

    pub fn arn(&self, service: &str, region: bool, resource: &str) -> String {
        let region = if region { self.region.as_str() } else { "" };
        format!("arn:aws:{service}:{region}:{}:{resource}", self.account_id)
    }

    pub fn outputs(
        &self,
        made: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, TemplateError> {
        let mut resolver = self.clone();
        resolver.attributes.clone_from(made);
        let mut outputs = BTreeMap::new();
        for (name, output) in self.section("Outputs") {
            let holds = match output.get("Condition").and_then(Value::as_str) {
                Some(condition) => self.condition(condition)?,
                None => true,
            };
            // What refers to a resource of another kind has no value here.
            if let Some(value) = output.get("Value").filter(|_| holds)
                && let Ok(Some(value)) = resolver.resolve(value)
            {
                outputs.insert(name.clone(), text_of(&value));
            }
        }
        Ok(outputs)
    }

    /// A value with its functions carried out; None is `AWS::NoValue`.
    pub fn resolve(&self, value: &Value) -> Result<Option<Value>, TemplateError> {
        match value {
            Value::Array(list) => {
                let list = list.iter().filter_map(|one| self.resolve(one).transpose());
                Ok(Some(Value::Array(list.collect::<Result<_, _>>()?)))
            }
            Value::Object(map) => {
                if let Some((name, argument)) = map.iter().next().filter(|_| map.len() == 1)
                    && (name == "Ref" || name.starts_with("Fn::"))
                {
                    return self.function(name, argument);
                }
                let mut resolved = Map::new();
                for (key, value) in map {
                    if let Some(value) = self.resolve(value)? {
                        resolved.insert(key.clone(), value);
                    }
                }
                Ok(Some(Value::Object(resolved)))
            }
            plain => Ok(Some(plain.clone())),
        }
    }

    fn function(&self, name: &str, argument: &Value) -> Result<Option<Value>, TemplateError> {
        let value = match name {
            "Ref" => return self.reference(argument.as_str().unwrap_or_default()),
            "Fn::GetAtt" => {
                let [resource, attribute] = self.pair(name, argument)?;
                self.attribute(&text_of(&resource), &text_of(&attribute))?.into()
            }
            "Fn::Sub" => self.substitute(argument)?.into(),
            "Fn::Join" => {
                let [separator, list] = self.pair(name, argument)?;
                let list = list.as_array().cloned().unwrap_or_default();
                list.iter().map(text_of).collect::<Vec<_>>().join(&text_of(&separator)).into()
            }
            "Fn::Split" => {
                let [separator, text] = self.pair(name, argument)?;
                text_of(&text).split(&text_of(&separator)).map(Value::from).collect()
            }
            "Fn::Select" => {
                let [index, list] = self.pair(name, argument)?;
                let index: usize = text_of(&index).parse().unwrap_or(usize::MAX);
                match list.get(index) {
                    Some(value) => value.clone(),
                    None => return fault("Fn::Select reaches beyond its list".to_owned()),
                }
            }
            "Fn::If" => {
                let Some([condition, then, otherwise]) = argument.as_array().map(Vec::as_slice) else {
                    return fault("Fn::If takes three values".to_owned());
                };
                let holds = self.condition(condition.as_str().unwrap_or_default())?;
                return self.resolve(if holds { then } else { otherwise });
            }
            "Fn::FindInMap" => {
                let path: Vec<String> = self.list(name, argument)?.iter().map(text_of).collect();
                let [map, first, second] = path.as_slice() else {
                    return fault("Fn::FindInMap takes three values".to_owned());
                };
                match self.template["Mappings"].get(map).and_then(|m| m.get(first)?.get(second)) {
                    Some(value) => value.clone(),
                    None => return fault(format!("the mapping {map} has no {first}, {second}")),
                }
            }
            "Fn::Base64" => {
                BASE64_STANDARD.encode(text_of(&self.resolve(argument)?.unwrap_or_default())).into()
            }
            "Fn::GetAZs" => ["a", "c", "d"].iter().map(|zone| format!("{}{zone}", self.region)).collect(),
            _ => return fault(format!("the function {name} is not known here")),
        };
        Ok(Some(value))
    }

    fn list(&self, name: &str, argument: &Value) -> Result<Vec<Value>, TemplateError> {
        match self.resolve(argument)? {
            Some(Value::Array(list)) => Ok(list),
            _ => fault(format!("{name} takes a list")),
        }
    }

    fn pair(&self, name: &str, argument: &Value) -> Result<[Value; 2], TemplateError> {
        let list = self.list(name, argument)?;
        <[Value; 2]>::try_from(list).or_else(|_| fault(format!("{name} takes two values")))
    }

    /// `${Name}` and `${Name.Attribute}`; `${!Name}` is the text `${Name}` (a policy variable, say).
    fn substitute(&self, argument: &Value) -> Result<String, TemplateError> {
        let (text, own) = match argument {
            Value::String(text) => (text.clone(), Map::new()),
            Value::Array(list) => match list.as_slice() {
                [Value::String(text), Value::Object(own)] => (text.clone(), own.clone()),
                _ => return fault("Fn::Sub takes a text and a map".to_owned()),
            },
            _ => return fault("Fn::Sub takes a text".to_owned()),
        };
        let mut done = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, after)) = after.split_once('}') else {
                return fault("Fn::Sub has a ${ without its }".to_owned());
            };
            done.push_str(before);
            rest = after;
            if let Some(literal) = name.strip_prefix('!') {
                done.extend(["${", literal, "}"]);
            } else if let Some(value) = own.get(name) {
                done.push_str(&text_of(&self.resolve(value)?.unwrap_or_default()));
            } else if let Some((id, attribute)) = name.split_once('.') {
                done.push_str(&self.attribute(id, attribute)?);
            } else {
                done.push_str(&text_of(&self.reference(name)?.unwrap_or_default()));
            }
        }
        done.push_str(rest);
        Ok(done)
    }

    fn condition(&self, name: &str) -> Result<bool, TemplateError> {
        match self.template["Conditions"].get(name) {
            Some(condition) => self.holds(condition),
            None => fault(format!("there is no condition {name}")),
        }
    }

    fn holds(&self, condition: &Value) -> Result<bool, TemplateError> {
        let one = condition.as_object().and_then(|map| map.iter().next());
        let Some((name, argument)) = one else {
            return fault("a condition must be a function".to_owned());
        };
        let all = || argument.as_array().into_iter().flatten().map(|one| self.holds(one));
        match name.as_str() {
            "Condition" => self.condition(argument.as_str().unwrap_or_default()),
            "Fn::Equals" => self.pair(name, argument).map(|[left, right]| text_of(&left) == text_of(&right)),
            "Fn::Not" => Ok(!all().collect::<Result<Vec<_>, _>>()?.contains(&true)),
            "Fn::And" => Ok(!all().collect::<Result<Vec<_>, _>>()?.contains(&false)),
            "Fn::Or" => Ok(all().collect::<Result<Vec<_>, _>>()?.contains(&true)),
            _ => fault(format!("the condition function {name} is not known here")),
        }
    }

    fn section(&self, name: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.template.get(name).and_then(Value::as_object).into_iter().flatten()
    }
}

pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

pub fn fault<T>(text: String) -> Result<T, TemplateError> {
    Err(TemplateError(text))
}
