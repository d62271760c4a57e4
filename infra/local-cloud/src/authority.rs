//! What a certificate may do: the IoT policies attached to it, with the variables of its connection.

use std::sync::Arc;

use crate::policy::{Context, Document, Request, evaluate};
use crate::state::{Store, StoreResult};

/// Names of the account that ARNs are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: String,
    pub region: String,
}

impl Account {
    /// `arn:aws:iot:{region}:{account}:{rest}`
    pub fn arn(&self, rest: &str) -> String {
        format!("arn:aws:iot:{}:{}:{rest}", self.region, self.id)
    }

    pub fn certificate_arn(&self, id: &str) -> String {
        self.arn(&format!("cert/{id}"))
    }
}

/// The permissions of one certificate, as seen from one connection or one HTTP request.
pub struct Permissions {
    store: Store,
    account: Account,
    certificate: String,
    client_id: Option<String>,
    source_ip: String,
    /// What of the database the rest was read at.
    epoch: u64,
    documents: Vec<Arc<Document>>,
    context: Context,
}

impl Permissions {
    /// Of an MQTT connection (`client_id` is known) or an HTTP request (it is not).
    pub fn of(
        store: Store,
        account: Account,
        certificate: &str,
        client_id: Option<&str>,
        source_ip: &str,
    ) -> StoreResult<Self> {
        let mut permissions = Self {
            epoch: 0,
            documents: Vec::new(),
            context: Context::new(),
            store,
            account,
            certificate: certificate.to_owned(),
            client_id: client_id.map(str::to_owned),
            source_ip: source_ip.to_owned(),
        };
        permissions.read()?;
        Ok(permissions)
    }

    /// Whether `action` on the ARN `arn:aws:iot:{region}:{account}:{resource}` is allowed. What fails to be read is not.
    pub fn allow(&mut self, action: &str, resource: &str) -> bool {
        if self.epoch != self.store.permissions_epoch()
            && let Err(error) = self.read()
        {
            tracing::error!(error = %error, "permissions could not be read");
            return false;
        }
        let resource = self.account.arn(resource);
        let request = Request { action, resource: &resource, context: &self.context };
        evaluate(self.documents.iter().map(Arc::as_ref), &request).is_allowed()
    }

    fn read(&mut self) -> StoreResult<()> {
        self.epoch = self.store.permissions_epoch();
        self.documents.clear();
        let arn = self.account.certificate_arn(&self.certificate);
        let active =
            self.store.certificate(&self.certificate)?.is_some_and(|certificate| certificate.active());
        if active {
            self.documents = self.store.policy_documents_of(&arn)?;
        }
        self.context = self.read_context(&arn)?;
        Ok(())
    }

    fn read_context(&self, arn: &str) -> StoreResult<Context> {
        let mut context = Context::new()
            .with("iot:CertificateId", self.certificate.as_str())
            .with("iot:SourceIp", self.source_ip.as_str())
            .with("aws:SourceIp", self.source_ip.as_str());
        let Some(client_id) = &self.client_id else { return Ok(context) };
        context.set("iot:ClientId", client_id.as_str());
        // The thing of a connection is the certificate's only one, or else the one of its things that the client id names.
        let attached = self.store.attachments_of_principal(arn)?;
        let attached = attached.iter().find(|it| it.exclusive || it.thing == *client_id);
        context.set("iot:Connection.Thing.IsAttached", attached.is_some().to_string());
        if let Some(it) = attached
            && let Some(thing) = self.store.thing(&it.thing)?
        {
            context.set("iot:Connection.Thing.ThingName", thing.name);
            if let Some(thing_type) = thing.thing_type {
                context.set("iot:Connection.Thing.ThingTypeName", thing_type);
            }
            for (name, value) in thing.attributes {
                context.set(&format!("iot:Connection.Thing.Attributes[{name}]"), value);
            }
        }
        Ok(context)
    }
}
