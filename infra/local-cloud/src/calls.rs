//! How often each service was used since the start: what an account would be billed for.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use serde::Serialize;

use crate::faults::Service;

/// Clones share the counts.
#[derive(Clone, Default)]
pub struct Calls(Arc<Mutex<BTreeMap<Call, u64>>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Call {
    /// Control plane.
    Iot,
    /// Shadows and messages over HTTP.
    IotData,
    Sts,
    S3,
    Credentials,
    MqttConnect,
    /// Messages from clients.
    MqttIn,
    /// Messages to clients.
    MqttOut,
}

impl Calls {
    pub fn note(&self, call: Call) {
        *self.0.lock().entry(call).or_default() += 1;
    }

    pub fn counted(&self) -> BTreeMap<Call, u64> {
        self.0.lock().clone()
    }
}

impl From<Service> for Call {
    fn from(service: Service) -> Self {
        match service {
            Service::Iot => Self::Iot,
            Service::IotData => Self::IotData,
            Service::Sts => Self::Sts,
            Service::S3 => Self::S3,
            Service::Mqtt => Self::MqttConnect,
            Service::Credentials => Self::Credentials,
        }
    }
}
