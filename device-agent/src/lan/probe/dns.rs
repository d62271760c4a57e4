//! Asks a name server over the pharmacy's side. Whatever it answers, it answers.

use std::{io, net::Ipv4Addr, time::Duration};

use futures::future::select_all;
use tokio::{net::UdpSocket, time::timeout};

const PORT: u16 = 53;
const PATIENCE: Duration = Duration::from_secs(2);
const TRIES: u32 = 2;
/// One question, recursion wanted: the name servers of the root, which every resolver can tell or refuse.
const FLAGS_AND_COUNTS: [u8; 10] = [1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
const ROOT_NS: [u8; 5] = [0, 0, 2, 0, 1];
const IS_ANSWER: u8 = 0x80;

/// True if any of them answers; one of several may be off.
pub async fn any_answers(interface: &str, servers: &[Ipv4Addr]) -> bool {
    let mut asked: Vec<_> = servers.iter().map(|server| Box::pin(answers(interface, *server))).collect();
    while !asked.is_empty() {
        let (does, _, rest) = select_all(asked).await;
        if does {
            return true;
        }
        asked = rest;
    }
    false
}

async fn answers(interface: &str, server: Ipv4Addr) -> bool {
    for _ in 0..TRIES {
        if let Ok(Ok(())) = timeout(PATIENCE, ask(interface, server)).await {
            return true;
        }
    }
    false
}

async fn ask(interface: &str, server: Ipv4Addr) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.connect((server, PORT)).await?;
    let id = rand::random::<[u8; 2]>();
    socket.send(&[&id[..], &FLAGS_AND_COUNTS, &ROOT_NS].concat()).await?;
    let mut answer = [0; 512];
    loop {
        // A port that nobody listens at is told here, as an error.
        let length = socket.recv(&mut answer).await?;
        if length > id.len() && answer[..2] == id && answer[2] & IS_ANSWER != 0 {
            return Ok(());
        }
    }
}
