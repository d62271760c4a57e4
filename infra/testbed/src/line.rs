//! A box's line to the cloud, as TCP forwards to its three doors: it can be cut, go silent, be slow, and
//! it counts what goes over it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::JoinSet,
    time::sleep,
};
use url::Url;

use crate::{cloud::Cloud, process::Program};

/// A line that is slow passes this much at a time, so that it stays even.
const CHUNK: usize = 16 * 1024;

/// How the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Up,
    /// So many bytes a second each way and connection.
    Slow(u32),
    /// Nothing passes and nothing ends, as with a modem that lost its cell.
    Silent,
    /// Connections end and new ones are refused.
    Down,
}

/// What went over one of the line's forwards, in bytes of TCP payload.
#[derive(Debug, Default)]
pub struct Count {
    pub connections: AtomicU64,
    pub sent: AtomicU64,
    pub received: AtomicU64,
    /// Connections on which the box waits for an answer, as it changes.
    pub waiting: watch::Sender<u64>,
    /// Connections that ended so, whoever ended them: the line, the box or the far end.
    pub interrupted: AtomicU64,
}

/// A line with one forward to each door. Dropping it ends its connections.
pub struct Line {
    pub api: Forward,
    pub mqtt: Forward,
    pub credentials: Forward,
    condition: watch::Sender<Condition>,
    _tasks: JoinSet<()>,
}

/// Where one door is to be found at the box's end of the line.
pub struct Forward {
    pub port: u16,
    pub count: Arc<Count>,
}

impl Count {
    /// Both ways.
    pub fn bytes(&self) -> u64 {
        self.sent.load(Ordering::Relaxed) + self.received.load(Ordering::Relaxed)
    }
}

impl Line {
    /// A line from this machine's loopback.
    pub async fn to(cloud: &Cloud, fleet_api: &str) -> Result<Self> {
        let local = || async { Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?) };
        Self::from(cloud, fleet_api, local).await
    }

    /// A line whose near end is wherever `listen` opens its ports, e.g. in another network namespace.
    pub async fn from<F>(cloud: &Cloud, fleet_api: &str, listen: impl Fn() -> F) -> Result<Self>
    where
        F: Future<Output = Result<TcpListener>>,
    {
        let (condition, watched) = watch::channel(Condition::Up);
        let mut tasks = JoinSet::new();
        let mut open = async |target: SocketAddr| {
            let listener = listen().await?;
            let count = Arc::new(Count::default());
            let port = listener.local_addr()?.port();
            tasks.spawn(forward(listener, target, Arc::clone(&count), watched.clone()));
            anyhow::Ok(Forward { port, count })
        };
        Ok(Self {
            api: open(loopback(&Url::parse(fleet_api)?)?).await?,
            mqtt: open((Ipv4Addr::LOCALHOST, cloud.mqtt_port).into()).await?,
            credentials: open(loopback(&Url::parse(&cloud.credential_provider)?)?).await?,
            condition,
            _tasks: tasks,
        })
    }

    pub fn set(&self, condition: Condition) {
        self.condition.send_replace(condition);
    }

    /// The agent of a box at the near end of this line.
    pub fn reached_by(&self, agent: &Program) -> Program {
        agent
            .clone()
            .env("RECEHUB_FLEET_API", format!("http://127.0.0.1:{}", self.api.port))
            .env("RECEHUB_MQTT_PORT", self.mqtt.port)
            .env("RECEHUB_CREDENTIALS_URL", format!("https://localhost:{}", self.credentials.port))
    }
}

fn loopback(url: &Url) -> Result<SocketAddr> {
    let port = url.port_or_known_default().context("a door without a port")?;
    Ok((Ipv4Addr::LOCALHOST, port).into())
}

async fn forward(
    listener: TcpListener,
    target: SocketAddr,
    count: Arc<Count>,
    condition: watch::Receiver<Condition>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((near, _)) = accepted else { continue };
                if *condition.borrow() == Condition::Down {
                    continue;
                }
                count.connections.fetch_add(1, Ordering::Relaxed);
                connections.spawn(carry(near, target, Arc::clone(&count), condition.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection until either end, or the line, ends it.
async fn carry(
    near: TcpStream,
    target: SocketAddr,
    count: Arc<Count>,
    mut condition: watch::Receiver<Condition>,
) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    for stream in [&near, &far] {
        drop(stream.set_nodelay(true));
    }
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let asking = Asking { count: &count, unanswered: AtomicBool::new(false) };
    let (sent, received) = (condition.clone(), condition.clone());
    let upwards = async {
        pump(near_in, far_out, sent, |bytes| {
            asking.asked();
            count.sent.fetch_add(bytes, Ordering::Relaxed);
        })
        .await;
        asking.ended();
    };
    let downwards = async {
        pump(far_in, near_out, received, |bytes| {
            asking.answered();
            count.received.fetch_add(bytes, Ordering::Relaxed);
        })
        .await;
        asking.ended();
    };
    tokio::select! {
        _ = async { tokio::join!(upwards, downwards) } => {}
        _ = condition.wait_for(|now| *now == Condition::Down) => asking.ended(),
    }
}

/// Whether the box waits for an answer on a connection, as the counts tell it.
struct Asking<'a> {
    count: &'a Count,
    unanswered: AtomicBool,
}

impl Asking<'_> {
    fn asked(&self) {
        if !self.unanswered.swap(true, Ordering::Relaxed) {
            self.count.waiting.send_modify(|waiting| *waiting += 1);
        }
    }

    /// True if there was something to answer.
    fn answered(&self) -> bool {
        let was = self.unanswered.swap(false, Ordering::Relaxed);
        if was {
            self.count.waiting.send_modify(|waiting| *waiting -= 1);
        }
        was
    }

    fn ended(&self) {
        if self.answered() {
            self.count.interrupted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.answered();
    }
}

async fn pump(
    mut from: tcp::OwnedReadHalf,
    mut into: tcp::OwnedWriteHalf,
    mut condition: watch::Receiver<Condition>,
    passes: impl Fn(u64),
) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let Ok(now) = condition.wait_for(|now| *now != Condition::Silent).await.map(|now| *now) else {
            break;
        };
        passes(read as u64);
        if let Condition::Slow(rate) = now {
            let bytes = u32::try_from(read).unwrap_or(u32::MAX);
            sleep(Duration::from_secs_f64(f64::from(bytes) / f64::from(rate))).await;
        }
        if into.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    drop(into.shutdown().await);
}
