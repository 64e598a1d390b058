-- Event logs: a head row per log, and the entries of all logs numbered without holes within each. The mailboxes of direct
-- messages become logs; `messages` keeps what is asked of a message beside its entry, under the log and number of the entry.

CREATE TABLE logs (
    id {ROWID},
    space {TEXT} NOT NULL,
    name {TEXT} NOT NULL,
    epoch BIGINT NOT NULL,
    head BIGINT NOT NULL,
    first_seq BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    clock BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (space, name)
){TABLE};

CREATE TABLE log_entries (
    log BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    time BIGINT NOT NULL,
    node BIGINT NOT NULL,
    client_id {TEXT},
    by_user {TEXT},
    key {BYTES},
    payload {BYTES} NOT NULL,
    PRIMARY KEY (log, seq)
){CLUSTERED};
CREATE UNIQUE INDEX log_entries_key ON log_entries (log, key) WHERE key IS NOT NULL;

INSERT INTO logs (space, name, epoch, head, first_seq, bytes, clock, created_at)
SELECT 'inbox', to_user, 1, COUNT(*), 1, SUM(octet_length(envelope) + octet_length(from_user) + 96), 0, 0
FROM messages GROUP BY to_user ORDER BY MIN(position);

CREATE TABLE direct_messages (
    log BIGINT NOT NULL,
    entry BIGINT NOT NULL,
    id {TEXT} NOT NULL UNIQUE,
    from_user {TEXT} NOT NULL,
    to_user {TEXT} NOT NULL,
    content {TEXT} NOT NULL,
    encrypted_key {TEXT},
    encryption_nonce {TEXT},
    signature {TEXT},
    status {TEXT} NOT NULL,
    timestamp BIGINT NOT NULL,
    seq BIGINT,
    PRIMARY KEY (log, entry)
){TABLE};

INSERT INTO direct_messages
SELECT l.id, ROW_NUMBER() OVER (PARTITION BY m.to_user ORDER BY m.position), m.id, m.from_user, m.to_user, m.content,
       m.encrypted_key, m.encryption_nonce, m.signature, m.status, m.timestamp, m.seq
FROM messages m JOIN logs l ON l.space = 'inbox' AND l.name = m.to_user;

-- The time of an entry never falls within its log: the latest of the messages so far. A time that no clock shows is 0.
INSERT INTO log_entries (log, seq, time, node, by_user, payload)
SELECT d.log, d.entry,
       MAX(CASE WHEN d.timestamp BETWEEN 0 AND 8000000000000 THEN d.timestamp ELSE 0 END)
           OVER (PARTITION BY d.log ORDER BY d.entry) * 1048576 + d.entry,
       0, d.from_user, {UTF8 m.envelope}
FROM direct_messages d JOIN messages m ON m.id = d.id;

UPDATE logs SET clock = (SELECT MAX(e.time) FROM log_entries e WHERE e.log = logs.id),
                created_at = (SELECT MIN(e.time) / 1048576 FROM log_entries e WHERE e.log = logs.id);

DROP TABLE messages;
ALTER TABLE direct_messages RENAME TO messages;
