//! NetworkManager over D-Bus: a connection for each task, and no call without an end.

use std::{collections::HashMap, time::Duration};

use device_model::outcome::code;
use futures::StreamExt;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;
use zbus::{
    Connection, DynamicType, MatchRule, MessageStream, OwnedObjectPath, OwnedVariant, Type,
    connection::Builder, message,
};

use crate::lan::Fault;

pub const NAME: &str = "org.freedesktop.NetworkManager";
pub const ROOT: &str = "/org/freedesktop/NetworkManager";
pub const SETTINGS: &str = "/org/freedesktop/NetworkManager/Settings";
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Settings as they go over the bus: group, key, value.
pub type Groups = HashMap<String, HashMap<String, OwnedVariant>>;

pub struct Bus(Connection);

impl Bus {
    /// Fails if NetworkManager is not there: it is not waited for here.
    pub async fn connect() -> Result<Self, Fault> {
        let building = Builder::system().method_timeout(CALL_TIMEOUT).build();
        let connection = timeout(CALL_TIMEOUT, building).await.map_err(|_| fault("connect", "no answer"))?;
        let bus = Self(connection.map_err(|error| fault("connect to the system bus", error))?);
        let there: bool = bus.ask_bus("NameHasOwner", NAME).await?;
        if !there {
            return Err(Fault::new(code::APPLY_FAILED, "NetworkManager is not on the system bus"));
        }
        Ok(bus)
    }

    pub async fn call<B, R>(&self, path: &str, interface: &str, method: &str, body: &B) -> Result<R, Fault>
    where
        B: Serialize + DynamicType,
        R: DeserializeOwned + Type,
    {
        let answer = self.0.call_method(Some(NAME), path, Some(interface), method, body).await;
        let answer = answer.map_err(|error| fault(method, error))?;
        answer.body().deserialize().map_err(|error| fault(method, error))
    }

    pub async fn property<T>(&self, path: &str, interface: &str, name: &str) -> Result<T, Fault>
    where
        T: TryFrom<OwnedVariant, Error: std::fmt::Display>,
    {
        let properties = "org.freedesktop.DBus.Properties";
        let value: OwnedVariant = self.call(path, properties, "Get", &(interface, name)).await?;
        value.try_into().map_err(|error| fault(name, error))
    }

    /// Does it as long as this NetworkManager lives: one that died and came back knows of no trial.
    pub async fn while_there<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let rule = MatchRule::builder()
            .msg_type(message::Type::Signal)
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .arg(0, NAME)
            .build();
        let mut changes = self.signals(rule).await?;
        let gone = Fault::new(code::INTERRUPTED, "NetworkManager went away during the trial");
        let is_there: bool = self.ask_bus("NameHasOwner", NAME).await?;
        if !is_there {
            return Err(gone);
        }
        tokio::select! {
            done = work => done,
            _ = changes.next() => Err(gone),
        }
    }

    /// What an object tells of its own accord, from now on.
    pub async fn signals_of(
        &self,
        path: &str,
        interface: &str,
        member: &str,
    ) -> Result<MessageStream, Fault> {
        let rule = MatchRule::builder().msg_type(message::Type::Signal).sender(NAME);
        let rule = rule.path(path).interface(interface).member(member).build();
        self.signals(rule).await
    }

    async fn signals(&self, rule: zbus::Result<MatchRule<'_>>) -> Result<MessageStream, Fault> {
        let rule = rule.map_err(|error| fault("listen", error))?.to_owned();
        let listening = MessageStream::for_match_rule(rule, &self.0, None);
        let listening = timeout(CALL_TIMEOUT, listening).await.map_err(|_| fault("listen", "no answer"))?;
        listening.map_err(|error| fault("listen", error))
    }

    async fn ask_bus<R: DeserializeOwned + Type>(&self, method: &str, name: &str) -> Result<R, Fault> {
        let bus = "org.freedesktop.DBus";
        let answer = self.0.call_method(Some(bus), "/org/freedesktop/DBus", Some(bus), method, &name).await;
        let answer = answer.map_err(|error| fault(method, error))?;
        answer.body().deserialize().map_err(|error| fault(method, error))
    }
}

/// A path that stands for "none".
pub fn is_none(path: &OwnedObjectPath) -> bool {
    path.as_str() == "/"
}

fn fault(what: &str, error: impl std::fmt::Display) -> Fault {
    Fault::new(code::APPLY_FAILED, &format!("NetworkManager, {what}: {error}"))
}
