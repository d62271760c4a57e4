//! The thread that owns the database's connection, and the jobs it is given: what waits together to be
//! written is committed together, and a job that fails undoes only itself.

use std::sync::mpsc;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::store::{
    StoreError,
    opening::{Place, is_corrupt},
};

/// More jobs than this are not put into one transaction.
const BATCH: usize = 128;

/// How a job stands to the others that wait with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Changes nothing and comes first.
    Read,
    /// Is committed together with the others.
    Write,
    /// Comes when the others are done.
    Alone,
}

pub trait Job: Send {
    fn kind(&self) -> Kind;
    /// True if its work may stay. It is the disk that fails and not the job: all of them fail.
    fn work(&mut self, connection: &Connection) -> rusqlite::Result<bool>;
    fn answer(self: Box<Self>, committed: Result<(), &rusqlite::Error>);
}

pub struct Task<T, W> {
    work: Option<W>,
    kind: Kind,
    result: Option<rusqlite::Result<T>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W> Task<T, W> {
    pub fn new(work: W, kind: Kind, answer: oneshot::Sender<Result<T, StoreError>>) -> Self {
        Self { work: Some(work), kind, result: None, answer }
    }
}

impl<T, W> Job for Task<T, W>
where
    T: Send,
    W: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn kind(&self) -> Kind {
        self.kind
    }

    fn work(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        match self.work.take().map(|work| work(connection)) {
            // SQLite may have ended the transaction by itself then.
            Some(Err(error)) if is_of_the_disk(&error) => Err(error),
            result => {
                self.result = result;
                Ok(matches!(self.result, Some(Ok(_))))
            }
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), &rusqlite::Error>) {
        let failed = |error: &rusqlite::Error| {
            let said = error.to_string();
            if is_corrupt(error) { StoreError::Corrupt(said) } else { StoreError::Sqlite(said) }
        };
        let result = match (self.result, committed) {
            (Some(Err(error)), _) => Err(failed(&error)),
            (_, Err(error)) => Err(failed(error)),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Gone),
        };
        // Who asked may have been cancelled; the work is done all the same.
        drop(self.answer.send(result));
    }
}

/// The one thread that owns the connection.
pub struct Keeper {
    place: Place,
    /// None: the disk failed under it, and the next job opens it anew.
    connection: Option<Connection>,
    broken: CancellationToken,
}

impl Keeper {
    pub fn new(place: Place, connection: Connection, broken: CancellationToken) -> Self {
        Self { place, connection: Some(connection), broken }
    }

    /// Works until nobody can send a job any more.
    pub fn serve(&mut self, waiting: &mpsc::Receiver<Box<dyn Job>>) {
        let mut next = None;
        while let Some(first) = next.take().or_else(|| waiting.recv().ok()) {
            let mut batch = Vec::new();
            let mut came = Some(first);
            while let Some(job) = came.take() {
                match job.kind() {
                    Kind::Read => self.finish(vec![job]),
                    Kind::Alone if !batch.is_empty() => {
                        next = Some(job);
                        break;
                    }
                    kind => {
                        batch.push(job);
                        if kind == Kind::Alone || batch.len() == BATCH {
                            break;
                        }
                    }
                }
                came = waiting.try_recv().ok();
            }
            if !batch.is_empty() {
                self.finish(batch);
            }
        }
    }

    fn finish(&mut self, mut batch: Vec<Box<dyn Job>>) {
        let done = self.commit(&mut batch);
        for job in batch {
            job.answer(done.as_ref().copied());
        }
    }

    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.place.connect()?,
        };
        let done = match batch {
            [job] if job.kind() != Kind::Write => job.work(&connection).map(drop),
            _ => commit_together(&connection, batch),
        };
        let Err(error) = &done else {
            self.connection = Some(connection);
            return done;
        };
        drop(connection.execute_batch("rollback"));
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => {
                self.place.give_up();
                self.connection = Some(connection);
            }
            // A disk that became read-only may come back as another mount: everything is opened anew.
            Some(ErrorCode::ReadOnly | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
                tracing::error!(%error, "the database cannot be written; it is opened anew");
            }
            _ if is_corrupt(error) => {
                self.place.mark();
                self.broken.cancel();
                self.connection = Some(connection);
            }
            _ => self.connection = Some(connection),
        }
        done
    }
}

/// No fault of the job's own: whoever writes next fares no better.
fn is_of_the_disk(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
        )
    )
}

fn commit_together(connection: &Connection, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    // At once for writing: whoever reads first and then finds another process in the way is not waited for.
    connection.execute_batch("begin immediate")?;
    for job in batch {
        connection.execute_batch("savepoint job")?;
        if !job.work(connection)? {
            connection.execute_batch("rollback to job")?;
        }
        connection.execute_batch("release job")?;
    }
    connection.execute_batch("commit")
}
