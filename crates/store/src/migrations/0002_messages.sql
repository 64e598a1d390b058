-- Direct messages in the order they arrived. Nothing but the id and the mailbox is indexed: each index costs an append.

CREATE TABLE messages (
    position {ROWID},
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
    envelope {TEXT} NOT NULL
){TABLE};
CREATE INDEX messages_of_mailbox ON messages (to_user, position);
