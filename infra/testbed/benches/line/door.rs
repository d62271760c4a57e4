//! The fleet API's door as it is in the world: TLS. In the testbed it is plain HTTP.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// A TLS front of the API. Dropping it ends its connections.
pub struct Door {
    pub port: u16,
    /// The authority that vouches for it.
    pub ca: String,
    _tasks: JoinSet<()>,
}

impl Door {
    /// Certificates of the usual depth: a root, one below it, and the server's.
    pub async fn before(api: SocketAddr) -> Result<Self> {
        let (root_key, middle_key, key) = (KeyPair::generate()?, KeyPair::generate()?, KeyPair::generate()?);
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = authority.self_signed(&root_key)?;
        let root_issuer = Issuer::new(authority.clone(), root_key);
        let middle = authority.signed_by(&middle_key, &root_issuer)?;
        let middle_issuer = Issuer::new(authority, middle_key);
        let own = CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &middle_issuer)?;
        let chain = vec![own.der().clone(), middle.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut tls = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
        // Resumption by ticket, as a load balancer has it.
        tls.ticketer = rustls::crypto::ring::Ticketer::new()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), api));
        Ok(Self { port, ca: root.pem(), _tasks: tasks })
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, api: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((near, _)) = accepted {
                connections.spawn(carry(near, acceptor.clone(), api));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A connection that breaks is the line's doing, and the bench counts what comes of it.
async fn carry(near: TcpStream, acceptor: TlsAcceptor, api: SocketAddr) {
    let (Ok(mut near), Ok(mut far)) = (acceptor.accept(near).await, TcpStream::connect(api).await) else {
        return;
    };
    drop(far.set_nodelay(true));
    drop(copy_bidirectional(&mut near, &mut far).await);
}
