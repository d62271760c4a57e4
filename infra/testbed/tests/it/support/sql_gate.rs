//! Stands between the fleet API and Postgres, notes every statement, and can stop at one: what comes after
//! it waits for ever, as it does for a process that is killed there.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::{Notify, watch},
    task::JoinSet,
};
use url::Url;

/// Asks whether TLS is spoken; Postgres says no to it here.
const TLS_REQUEST: u32 = 80_877_103;

/// Where a stop is, seen from the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It never reaches Postgres.
    Before,
    /// It is done, and nobody hears of it.
    After,
}

pub struct SqlGate {
    port: u16,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

struct Shared {
    target: SocketAddr,
    seen: Mutex<Vec<String>>,
    stop: Mutex<Option<(String, Side)>>,
    reached: watch::Sender<bool>,
}

impl SqlGate {
    pub async fn before(database_url: &str) -> Result<Self> {
        let port = Url::parse(database_url)?.port().context("no port")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let shared = Arc::new(Shared {
            target: (Ipv4Addr::LOCALHOST, port).into(),
            seen: Mutex::default(),
            stop: Mutex::default(),
            reached: watch::Sender::new(false),
        });
        let (port, ours) = (listener.local_addr()?.port(), Arc::clone(&shared));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let shared = Arc::clone(&ours);
                connections.spawn(async move { drop(carry(near, &shared).await) });
            }
        });
        Ok(Self { port, shared, _task: task })
    }

    /// The database's address by way of the gate.
    pub fn url(&self, database_url: &str) -> String {
        let mut url = Url::parse(database_url).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.into()
    }

    /// What was asked since the last call: each statement once, in the order of its first time.
    pub fn take_seen(&self) -> Vec<String> {
        let mut distinct: Vec<String> = Vec::new();
        for statement in self.shared.seen.lock().unwrap().drain(..) {
            if !distinct.contains(&statement) {
                distinct.push(statement);
            }
        }
        distinct
    }

    /// Stops whoever asks this next.
    pub fn stop_at(&self, statement: &str, side: Side) {
        self.shared.reached.send_replace(false);
        *self.shared.stop.lock().unwrap() = Some((statement.to_owned(), side));
    }

    /// Resolves once somebody has been stopped.
    pub async fn reached(&self) {
        self.shared.reached.subscribe().wait_for(|reached| *reached).await.unwrap();
    }
}

impl Shared {
    /// On which side of this statement to stop, if at all; the first to ask it is stopped, no other.
    fn side(&self, statement: &str) -> Option<Side> {
        self.seen.lock().unwrap().push(statement.to_owned());
        let stop = self.stop.lock().unwrap().take_if(|(wanted, _)| wanted == statement);
        stop.map(|(_, side)| side)
    }
}

async fn carry(near: TcpStream, shared: &Shared) -> Result<()> {
    let far = TcpStream::connect(shared.target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let unheard = Notify::new();
    tokio::select! {
        asked = ask(near_in, far_out, shared, &unheard) => asked,
        () = answer(far_in, near_out, &unheard) => Ok(()),
    }
}

/// Carries answers back until they are to be unheard; then the connection stands, and nothing comes.
async fn answer(mut far: tcp::OwnedReadHalf, mut near: tcp::OwnedWriteHalf, unheard: &Notify) {
    tokio::select! {
        biased;
        () = unheard.notified() => std::future::pending().await,
        _ = tokio::io::copy(&mut far, &mut near) => {}
    }
}

async fn ask(
    mut near: tcp::OwnedReadHalf,
    mut far: tcp::OwnedWriteHalf,
    shared: &Shared,
    unheard: &Notify,
) -> Result<()> {
    // What comes before the start-up, and the start-up itself, have no type.
    loop {
        let start = body(&mut near, None).await?;
        far.write_all(&start).await?;
        if start[4..8] != TLS_REQUEST.to_be_bytes() {
            break;
        }
    }
    let mut prepared = HashMap::new();
    loop {
        let kind = near.read_u8().await?;
        let message = body(&mut near, Some(kind)).await?;
        match statement(&mut prepared, kind, &message[5..]).and_then(|statement| shared.side(&statement)) {
            None => far.write_all(&message).await?,
            Some(side) => {
                if side == Side::After {
                    unheard.notify_one();
                    far.write_all(&message).await?;
                }
                shared.reached.send_replace(true);
                // Until the other end is gone.
                while near.read_u8().await.is_ok() {}
                return Ok(());
            }
        }
    }
}

/// A whole message, with its head.
async fn body(near: &mut tcp::OwnedReadHalf, kind: Option<u8>) -> Result<Vec<u8>> {
    let length = near.read_u32().await?;
    ensure!((4..16 << 20).contains(&length), "this is not Postgres's protocol");
    let mut message: Vec<u8> = kind.into_iter().chain(length.to_be_bytes()).collect();
    let head = message.len();
    message.resize(head + length as usize - 4, 0);
    near.read_exact(&mut message[head..]).await?;
    Ok(message)
}

/// The SQL of a Query (`Q`), or of a Bind (`B`) of what a Parse (`P`) prepared on this connection.
fn statement(prepared: &mut HashMap<String, String>, kind: u8, body: &[u8]) -> Option<String> {
    let mut texts = body.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
    match kind {
        b'Q' => texts.next(),
        b'P' => {
            prepared.insert(texts.next()?, texts.next()?);
            None
        }
        // The portal's name comes first.
        b'B' => prepared.get(&texts.nth(1)?).cloned(),
        _ => None,
    }
}
