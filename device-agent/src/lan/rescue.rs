//! Going back to earlier settings on the spot. Whoever asks writes a row; the one process that holds the
//! LAN takes it in hand like any other change, so it is journalled, tried, probed and reported like one.

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
    time::Duration,
};

use anyhow::{Context, bail};
use device_model::{
    change_id::ChangeId,
    outcome::{Verdict, code},
};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    lan::{
        desire::Desire,
        ending::Ending,
        history::{self, Event},
        journal,
        state::Wish,
    },
    newest,
    store::{self, Store},
};

const LOCK: &str = "lan.lock";
/// How often it is looked for a request, and for its end.
const LOOK: Duration = Duration::from_millis(500);

/// Held by the one process that may touch the LAN, for as long as it lives.
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "it holds by being open")] File);

impl Hold {
    /// Nothing, while another process has it.
    pub fn take(state_dir: &Path) -> io::Result<Option<Self>> {
        let file = File::options().create(true).truncate(false).write(true).open(state_dir.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Waits until no other process has it.
    pub async fn wait(state_dir: &Path) -> io::Result<Self> {
        let mut hold = Self::take(state_dir)?;
        if hold.is_none() {
            tracing::warn!("another process holds the LAN; waiting for its end");
        }
        loop {
            if let Some(hold) = hold {
                return Ok(hold);
            }
            sleep(LOOK).await;
            hold = Self::take(state_dir)?;
        }
    }
}

/// Hands over what is asked for on the spot, until told to end.
pub async fn listen(store: Store, wishes: newest::Sender<Desire>, stop: CancellationToken) {
    let mut timer = interval(LOOK);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut handed_over = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timer.tick() => {}
        }
        // That the database does not answer is told by those who write.
        if let Ok(Some(desire)) = store.read(requested).await
            && handed_over.as_ref() != Some(desire.change_id())
        {
            handed_over = Some(desire.change_id().clone());
            drop(wishes.send(desire));
        }
    }
}

/// Asks to go back to what ran after that event, and answers how the change is called.
pub fn ask(db: &Connection, to: &Event) -> rusqlite::Result<ChangeId> {
    let name = format!("local-{:016x}", rand::random::<u64>());
    db.execute("insert or replace into lan_request values (1, ?1, ?2)", params![name, to.number])?;
    name.parse().map_err(|_| rusqlite::Error::InvalidQuery)
}

/// What may be gone back to: that event, or else the last time that something other than now ran.
pub fn target(db: &Connection, number: Option<i64>) -> anyhow::Result<Event> {
    let Some(number) = number else {
        let now =
            journal::machine(db)?.context("it is not known what runs: choose an event of the history")?;
        let other =
            |event: &Event| event.profile.lan != now.current.lan || event.profile.share != now.current.share;
        return history::events(db)?.into_iter().find(other).context("nothing else has run on this box");
    };
    history::event(db, number)?.with_context(|| format!("the history has no event {number} that can be read"))
}

/// Waits for the verdict on what was asked for. While no agent holds the LAN, `alone` does.
pub async fn verdict<F>(
    state_dir: &Path,
    change: &ChangeId,
    patience: Duration,
    alone: impl FnOnce(Hold) -> F,
) -> anyhow::Result<Verdict>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let db = store::open_to_read(state_dir)?;
    let until = Instant::now() + patience;
    let mut alone = Some(alone);
    let mut working = JoinSet::new();
    loop {
        if let Some(verdict) = journal::verdict(&db, change)? {
            return Ok(verdict);
        }
        if !waits(&db, change)? {
            bail!("another request has taken the place of this one");
        }
        if Instant::now() >= until {
            bail!("no verdict on {change} yet: whoever holds the LAN goes on with it");
        }
        if alone.is_some()
            && let Some(hold) = Hold::take(state_dir)?
            && let Some(alone) = alone.take()
        {
            working.spawn(alone(hold));
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            Some(over) = working.join_next() => over??,
        }
    }
}

/// What is asked for, if something is.
fn requested(db: &Connection) -> rusqlite::Result<Option<Desire>> {
    let row = db.query_row("select change_id, number from lan_request", [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    });
    let Some((name, number)) = row.optional()? else {
        return Ok(None);
    };
    let Ok(change_id) = name.parse::<ChangeId>() else {
        return Ok(None);
    };
    Ok(Some(match history::event(db, number)? {
        Some(Event { profile, .. }) => {
            Desire::Wish(Box::new(Wish { change_id, profile, window: None, local: true }))
        }
        None => Desire::Unusable(Ending::refused(change_id, code::BAD_SETTINGS, None)),
    }))
}

fn waits(db: &Connection, change: &ChangeId) -> rusqlite::Result<bool> {
    db.prepare("select 1 from lan_request where change_id = ?1")?.exists([change.as_str()])
}
