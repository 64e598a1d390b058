//! Appends of direct messages, gathered into batches that clock themselves.
//!
//! Two appenders share one bounded queue: while one waits for its commit the other gathers. A batch is one statement over
//! columns (`UNNEST`), which is one transaction. A row that the engine refuses is found by running the batch's rows one by
//! one, so it fails alone. Answers go out after the commit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Pool};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::connect;
use super::errors::{from_postgres, is_about_data, is_stale, is_transient};
use crate::closed;
use crate::engine::{Health, OnCommit};
use crate::error::{Result, StoreError};
use crate::model::{Appended, NewMessage};

/// Messages in one commit.
const BATCH_ROWS: usize = 1024;
/// Bytes in one commit.
const BATCH_BYTES: usize = 1 << 20;
/// Messages that may wait.
const QUEUE: usize = 8192;
/// How long a caller waits for room in the queue before the store counts as unavailable.
const PATIENCE: Duration = Duration::from_secs(10);
/// Batches under way at once: one gathers and inserts while the other waits for the disk.
const APPENDERS: usize = 2;
/// How long a batch may take; the server's own limit comes first unless the server is gone.
const BATCH: Duration = Duration::from_secs(35);
/// How often a batch that lost against another is run in all.
const ATTEMPTS: u32 = 5;

const INSERT: &str = "INSERT INTO messages (id, from_user, to_user, content, encrypted_key, encryption_nonce, signature,
                                            status, timestamp, seq, envelope)
    SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                         $9::bigint[], $10::bigint[], $11::text[])
    ON CONFLICT (id) DO NOTHING RETURNING id, position";
const KEPT: &str = "SELECT id, position, envelope FROM messages WHERE id = ANY($1::text[])";

/// A message and who waits for it.
struct Append {
    message: NewMessage,
    reply: oneshot::Sender<Result<Appended>>,
}

/// The queue and the tasks behind it.
pub(crate) struct Appends {
    queue: StdMutex<Option<mpsc::Sender<Append>>>,
    tasks: StdMutex<Vec<JoinHandle<()>>>,
}

impl Appends {
    /// Starts the appenders; `pool` is theirs alone and has a connection for each.
    pub(crate) fn start(pool: &Pool, health: &Arc<Health>, on_commit: Option<&OnCommit>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        let start = |_| {
            let appender = Appender {
                waiting: Arc::clone(&waiting),
                pool: pool.clone(),
                health: Arc::clone(health),
                on_commit: on_commit.cloned(),
            };
            let health = Arc::clone(health);
            tokio::spawn(super::vital("an appender", health, appender.run()))
        };
        Self { queue: StdMutex::new(Some(queue)), tasks: StdMutex::new((0..APPENDERS).map(start).collect()) }
    }

    /// Connections that the appenders need.
    pub(crate) const CONNECTIONS: usize = APPENDERS;

    pub(crate) async fn append(&self, message: NewMessage) -> Result<Appended> {
        use mpsc::error::SendTimeoutError::{Closed, Timeout};
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)?;
        message.check()?;
        let (reply, answer) = oneshot::channel();
        match queue.send_timeout(Append { message, reply }, PATIENCE).await {
            Ok(()) => drop(queue),
            Err(Timeout(_)) => {
                return Err(StoreError::Unavailable("the appenders are too far behind".to_owned()));
            }
            Err(Closed(_)) => return Err(closed()),
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Commits what waits and ends the appenders.
    pub(crate) async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            drop(task.await);
        }
    }
}

struct Appender {
    waiting: Arc<Mutex<mpsc::Receiver<Append>>>,
    pool: Pool,
    health: Arc<Health>,
    on_commit: Option<OnCommit>,
}

impl Appender {
    async fn run(self) {
        loop {
            let batch = gather(&mut *self.waiting.lock().await).await;
            if batch.is_empty() {
                return;
            }
            self.commit(batch).await;
        }
    }

    async fn commit(&self, batch: Vec<Append>) {
        let (messages, replies): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|append| (append.message, append.reply)).unzip();
        let begun = Instant::now();
        let answers = self.insert(&messages).await;
        match &answers {
            Ok(_) => self.health.well(),
            Err(error) => self.health.note(error),
        }
        if answers.is_ok()
            && let Some(tell) = &self.on_commit
        {
            tell(begun.elapsed(), messages.len());
        }
        let answers = answers.unwrap_or_else(|error| vec![Err(error); messages.len()]);
        for (reply, answer) in replies.into_iter().zip(answers) {
            // A caller that has gone away does not undo what is committed.
            drop(reply.send(answer));
        }
    }

    /// What became of each message; an error is the whole batch's.
    async fn insert(&self, messages: &[NewMessage]) -> Result<Vec<Result<Appended>>> {
        let mut last = closed();
        for _ in 0..ATTEMPTS {
            let client = connect::take(&self.pool).await?;
            let error = match tokio::time::timeout(BATCH, insert(&client, messages)).await {
                Ok(Ok(answers)) => return Ok(answers.into_iter().map(Ok).collect()),
                Ok(Err(error)) => error,
                Err(_) => {
                    drop(Object::take(client));
                    return Err(StoreError::Unavailable("PostgreSQL gave no answer in time".to_owned()));
                }
            };
            last = from_postgres(&error);
            if is_about_data(&error) {
                return Ok(one_by_one(&client, messages).await);
            }
            if client.is_closed() || is_stale(&error) {
                connect::discard(&self.pool, client);
            } else if !is_transient(&error) {
                return Err(last);
            }
            // An append is idempotent by its id: after a lost connection the batch is simply sent again, and what had
            // been committed comes back as a duplicate of itself.
        }
        Err(last)
    }
}

/// Waits for a first message, then takes what is there until the batch is full. Empty: nobody can send any more.
async fn gather(waiting: &mut mpsc::Receiver<Append>) -> Vec<Append> {
    let mut batch = Vec::with_capacity(64);
    let mut bytes = 0;
    let mut next = waiting.recv().await;
    while let Some(append) = next {
        bytes += append.message.weight();
        batch.push(append);
        let full = batch.len() >= BATCH_ROWS || bytes >= BATCH_BYTES;
        next = if full { None } else { waiting.try_recv().ok() };
    }
    batch
}

async fn one_by_one(client: &Object, messages: &[NewMessage]) -> Vec<Result<Appended>> {
    let mut answers = Vec::with_capacity(messages.len());
    for message in messages {
        let answer = insert(client, std::slice::from_ref(message)).await;
        let answer = answer.map_err(|error| from_postgres(&error));
        answers.push(answer.map(|one| one.first().copied().unwrap_or(Appended::IdConflict)));
    }
    answers
}

async fn insert(client: &Object, messages: &[NewMessage]) -> Result<Vec<Appended>, tokio_postgres::Error> {
    let texts = |of: fn(&NewMessage) -> &str| messages.iter().map(of).collect::<Vec<_>>();
    let maybes = |of: fn(&NewMessage) -> Option<&str>| messages.iter().map(of).collect::<Vec<_>>();
    let timestamps: Vec<i64> = messages.iter().map(|m| m.timestamp).collect();
    let seqs: Vec<Option<i64>> = messages.iter().map(|m| m.seq).collect();
    let statement = client.prepare_cached(INSERT).await?;
    let rows = client
        .query(
            &statement,
            &[
                &texts(|m| &m.id),
                &texts(|m| &m.from_user),
                &texts(|m| &m.to_user),
                &texts(|m| &m.content),
                &maybes(|m| m.encrypted_key.as_deref()),
                &maybes(|m| m.encryption_nonce.as_deref()),
                &maybes(|m| m.signature.as_deref()),
                &texts(|m| &m.status),
                &timestamps,
                &seqs,
                &texts(|m| &m.envelope),
            ],
        )
        .await?;
    let mut new: HashMap<String, i64> = HashMap::with_capacity(rows.len());
    for row in &rows {
        new.insert(row.try_get(0)?, row.try_get(1)?);
    }
    if new.len() == messages.len() {
        let position = |m: &NewMessage| new.get(&m.id).copied().unwrap_or_default();
        return Ok(messages.iter().map(|m| Appended::New { seq: position(m) }).collect());
    }
    sort_out(client, messages, new).await
}

/// Answers a batch in which some ids were there before: of the same message or of another.
async fn sort_out(
    client: &Object,
    messages: &[NewMessage],
    mut new: HashMap<String, i64>,
) -> Result<Vec<Appended>, tokio_postgres::Error> {
    let ids: Vec<&str> = messages.iter().map(|m| m.id.as_str()).collect();
    let statement = client.prepare_cached(KEPT).await?;
    let mut kept: HashMap<String, (i64, String)> = HashMap::new();
    for row in client.query(&statement, &[&ids]).await? {
        kept.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
    }
    let answer = |m: &NewMessage| match (new.remove(&m.id), kept.get(&m.id)) {
        (Some(seq), _) => Appended::New { seq },
        (None, Some((seq, envelope))) if *envelope == m.envelope => Appended::Duplicate { seq: *seq },
        _ => Appended::IdConflict,
    };
    Ok(messages.iter().map(answer).collect())
}
