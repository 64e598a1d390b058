//! Limits: what one connection, user, address or the whole server may use.

use crate::group::settings;
use crate::{ByteSize, Feature};

settings! {
    /// What one connection, user, address or the whole server may use. Where 0 is said to be off, there is no limit.
    pub struct Limits in "limits", cx: {
        /// Open connections of the whole server; one more is refused with 503.
        max_connections: usize = 10_000; unit "connections"; env "MAX_CLIENTS"; positive,
        /// Open connections of one address; one more is refused with 429. An IPv6 /64 counts as one address. 0 is off.
        max_connections_per_ip: usize = 0; unit "connections",
        /// HTTP connections of one address that are open at a time; sockets no longer count once they are upgraded. On one more, only probes are served and anything else is refused with 429. An IPv6 /64 counts as one address; addresses of `server.trusted_proxies` are exempt. 0 is off.
        http_connections_per_ip: usize = 4096; unit "connections",
        /// Open connections of one user. 0 is off.
        max_connections_per_user: usize = 0; unit "connections"; with Feature::Accounts,
        /// Open connections that have yet to log in, where `auth.require` asks for it.
        max_unauthenticated: usize = 500; unit "connections"; positive,
        /// Longest message a client may send, and longest body of a request. A longer frame closes the connection with 1009.
        max_message_bytes: ByteSize = ByteSize::kib(64); positive,
        /// Messages that may wait for one connection before `topics.backpressure` decides.
        queue_messages: usize = 256; unit "messages"; env "MESSAGE_BUFFER_SIZE"; positive,
        /// Bytes that may wait for one connection before `topics.backpressure` decides.
        queue_bytes: ByteSize = ByteSize::mib(1); positive,
        /// Topics one connection may subscribe to.
        max_subscriptions: usize = 1000; unit "topics"; positive,
        /// Topics of the whole server; one more is refused with `LIMIT_EXCEEDED`. A hundredth, rounded down, is kept for API keys and admins.
        max_topics: usize = 100_000; unit "topics"; positive,
        /// Topics made by subscribing or publishing that one user, or one address without a login, may have at a time; one more is refused with `LIMIT_EXCEEDED`. Histories kept for topics that nobody uses count, too: the oldest go first. API keys and admins are exempt. An IPv6 /64 counts as one address. 0 is off.
        topics_per_client: usize = 10_000; unit "topics",
        /// Idempotency keys remembered in all; the oldest go.
        idempotency_keys: usize = 100_000; unit "keys",
        /// Calls in one JSON-RPC batch.
        rpc_batch: usize = 100; unit "calls"; positive,
        /// Longest answer to a JSON-RPC request or batch; the calls beyond it are refused with `LIMIT_EXCEEDED`.
        rpc_answer_bytes: ByteSize = ByteSize::mib(1); positive,
        /// Messages a second that one connection may send. 0 is off.
        messages_per_second: u32 = 1000; unit "messages",
        /// Messages one connection may send at once. 0: as many as in one second.
        messages_burst: u32 = 2000; unit "messages",
        /// The same for all connections of one user. 0 is off.
        messages_per_second_per_user: u32 = 0; unit "messages"; with Feature::Accounts,
        /// The same for all connections of one user. 0: as many as in one second.
        messages_burst_per_user: u32 = 0; unit "messages"; with Feature::Accounts,
        /// The same for all connections of one address. 0 is off.
        messages_per_second_per_ip: u32 = 0; unit "messages",
        /// The same for all connections of one address. 0: as many as in one second.
        messages_burst_per_ip: u32 = 0; unit "messages",
        /// Bytes a second that one connection may send. 0 is off.
        bytes_per_second: ByteSize = ByteSize::bytes(0),
        /// Logins a minute from one address. 0 is off.
        login_per_minute: u32 = 30; unit "requests"; with Feature::Accounts,
        /// Registrations a minute from one address. 0 is off.
        register_per_minute: u32 = 10; unit "requests"; with Feature::Accounts,
        /// Tickets for sockets a minute. 0 is off.
        tickets_per_minute: u32 = 30; unit "requests"; with Feature::Accounts,
        /// Direct messages a second of one user over all connections. 0 is off.
        direct_per_second: u32 = 10; unit "messages"; with Feature::Direct,
        /// Direct messages of one user at once. 0: as many as in one second.
        direct_burst: u32 = 20; unit "messages"; with Feature::Direct,
        /// Broadcasts a second of one user over all connections. 0 is off.
        broadcast_per_second: u32 = 1; unit "messages"; with Feature::Direct,
        /// Broadcasts of one user at once. 0: as many as in one second.
        broadcast_burst: u32 = 5; unit "messages"; with Feature::Direct,
        /// Server commands a second of one user over all connections. 0 is off.
        command_per_second: u32 = 5; unit "commands"; with Feature::Accounts,
        /// Server commands of one user at once. 0: as many as in one second.
        command_burst: u32 = 10; unit "commands"; with Feature::Accounts,
        /// Direct messages that may wait for one user.
        mailbox_messages: usize = 10_000; unit "messages"; positive; with Feature::Direct,
        /// Direct messages of one sender that may wait for one user.
        mailbox_per_sender: usize = 500; unit "messages"; positive; with Feature::Direct,
        /// Largest file that may be uploaded.
        upload_bytes: ByteSize = ByteSize::mib(10); positive; with Feature::Files,
    }
}
