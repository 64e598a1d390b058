//! Dead letters: an invalid record is written, unchanged and with its coordinates in headers, to `<topic>.dlq`, and its
//! broker has acknowledged it before the position advances. A missing topic is created. One letter at a time, because
//! they are rare.

use super::partition::{Item, Partition};
use super::settings;
use super::shared::Shared;
use crate::config::KafkaConfig;
use crate::mapping::Bad;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// Why a letter was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Permanent: the partition stops, for this reason.
    ForGood(&'static str),
    /// Temporary: Kafka is not reachable.
    ForNow,
}

/// A letter's result, written by the producer's callback.
type Outcome = Arc<Mutex<Option<Result<(), KafkaError>>>>;

struct Delivered;

impl ClientContext for Delivered {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "Kafka dead letters: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "Kafka dead letters: {reason}");
    }
}

impl ProducerContext for Delivered {
    type DeliveryOpaque = Box<Outcome>;

    fn delivery(&self, result: &DeliveryResult<'_>, outcome: Self::DeliveryOpaque) {
        *outcome.lock() = Some(result.as_ref().map(drop).map_err(|(err, _)| err.clone()));
    }
}

/// The writer; its producer is created with the first letter.
pub(crate) struct DeadLetters {
    config: ClientConfig,
    producer: Mutex<Option<BaseProducer<Delivered>>>,
}

impl DeadLetters {
    pub(crate) fn new(config: &KafkaConfig) -> Self {
        Self { config: settings::producer(config), producer: Mutex::new(None) }
    }

    /// Writes an invalid record and waits for the acknowledgement.
    ///
    /// # Errors
    /// Whether another try can succeed.
    pub(crate) fn write(
        &self,
        shared: &Shared,
        partition: &Partition,
        item: &Item,
        bad: Bad,
    ) -> Result<(), Failed> {
        let topic = format!("{}.dlq", partition.topic);
        let mut made = false;
        for _ in 0..4 {
            match self.send(&topic, partition, item, bad) {
                Ok(()) => return Ok(()),
                Err(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
                    if !made {
                        self.make(shared, &topic)?;
                        made = true;
                    }
                    // The producer learns of the topic from the metadata that it requests with the next try.
                    *self.producer.lock() = None;
                }
                Err(
                    Code::MessageSizeTooLarge
                    | Code::TopicAuthorizationFailed
                    | Code::ClusterAuthorizationFailed
                    | Code::InvalidTopic
                    | Code::PolicyViolation,
                ) => return Err(Failed::ForGood("dead_letter_refused")),
                Err(code) => {
                    shared.complain(&format!("{topic} rejects a dead letter: {code}"));
                    return Err(Failed::ForNow);
                }
            }
        }
        Err(Failed::ForNow)
    }

    fn send(&self, topic: &str, partition: &Partition, item: &Item, bad: Bad) -> Result<(), Code> {
        let mut slot = self.producer.lock();
        let producer = match &*slot {
            Some(producer) => producer,
            None => slot.insert(
                BaseProducer::from_config_and_context(&self.config, Delivered).map_err(|_| Code::Fail)?,
            ),
        };
        let outcome: Outcome = Arc::default();
        let headers = headers(partition, item, bad);
        let mut letter: BaseRecord<'_, [u8], [u8], Box<Outcome>> =
            BaseRecord::with_opaque_to(topic, Box::new(Arc::clone(&outcome))).headers(headers);
        if let Some(key) = item.original.as_ref().and_then(|was| was.key.as_deref()) {
            letter = letter.key(key);
        }
        if let Some(value) = item.original.as_ref().and_then(|was| was.value.as_deref()) {
            letter = letter.payload(value);
        }
        producer.send(letter).map_err(|(err, _)| err.rdkafka_error_code().unwrap_or(Code::Fail))?;
        let deadline = Instant::now() + Duration::from_secs(8);
        loop {
            producer.poll(Duration::from_millis(50));
            if let Some(result) = outcome.lock().take() {
                return result.map_err(|err| err.rdkafka_error_code().unwrap_or(Code::Fail));
            }
            if Instant::now() > deadline {
                producer.purge(PurgeConfig::default().queue().inflight());
                *slot = None;
                return Err(Code::MessageTimedOut);
            }
        }
    }

    fn make(&self, shared: &Shared, topic: &str) -> Result<(), Failed> {
        let admin =
            AdminClient::<DefaultClientContext>::from_config_and_context(&self.config, DefaultClientContext)
                .map_err(|_| Failed::ForNow)?;
        // One partition keeps the order of the letters; -1 leaves the replication to the brokers. A letter may be as
        // large as any record of the feed's topic.
        let wanted = [NewTopic::new(topic, 1, TopicReplication::Fixed(-1))
            .set("max.message.bytes", settings::LETTER_BYTES)];
        let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(5)));
        let result = block_on(admin.create_topics(&wanted, &options));
        let why = match result.map(|mut each| each.pop()) {
            Ok(Some(Ok(_)) | Some(Err((_, Code::TopicAlreadyExists)))) => return Ok(()),
            Ok(Some(Err((_, code)))) => code,
            Ok(None) => Code::Fail,
            Err(err) => err.rdkafka_error_code().unwrap_or(Code::OperationTimedOut),
        };
        shared.complain(&format!("{topic} cannot be created: {why}"));
        let passing = matches!(
            why,
            Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::NotController
                | Code::TimedOutQueue
        );
        Err(if passing { Failed::ForNow } else { Failed::ForGood("dead_letter_topic") })
    }
}

fn headers(partition: &Partition, item: &Item, bad: Bad) -> OwnedHeaders {
    let number = partition.number.to_string();
    let offset = item.offset.to_string();
    let was = item.original.as_ref().map(|was| was.headers.as_slice()).unwrap_or_default();
    let mut headers = OwnedHeaders::new();
    for (key, value) in was {
        headers = headers.insert(Header { key, value: value.as_ref() });
    }
    for (key, value) in [
        ("fanfare-topic", &*partition.topic),
        ("fanfare-partition", &number),
        ("fanfare-offset", &offset),
        ("fanfare-reason", bad.word()),
    ] {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    headers
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks this thread on a future; the thread belongs to no runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
