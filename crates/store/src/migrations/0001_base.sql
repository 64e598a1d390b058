-- The tables of accounts, logins, the audit log and what the server keeps. {TEXT}, {BYTES}, {REAL}, {ROWID} and {TABLE}
-- stand for each engine's own words (see migrate.rs); everything else both read as it is.

CREATE TABLE settings (
    name {TEXT} NOT NULL PRIMARY KEY,
    value {TEXT} NOT NULL
){TABLE};

CREATE TABLE origins (
    origin {TEXT} NOT NULL PRIMARY KEY,
    first_seen BIGINT NOT NULL
){TABLE};

CREATE TABLE users (
    id {TEXT} NOT NULL PRIMARY KEY,
    username {TEXT} NOT NULL UNIQUE,
    role {TEXT} NOT NULL,
    password {TEXT},
    display_name {TEXT},
    email {TEXT},
    disabled BIGINT NOT NULL,
    issuer {TEXT},
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
){TABLE};

CREATE TABLE user_keys (
    user_id {TEXT} NOT NULL REFERENCES users (id),
    device_id {TEXT} NOT NULL,
    ik {BYTES} NOT NULL UNIQUE,
    ek {BYTES} NOT NULL UNIQUE,
    key_binding {BYTES},
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, device_id)
){TABLE};

CREATE TABLE key_log (
    user_id {TEXT} NOT NULL REFERENCES users (id),
    n BIGINT NOT NULL,
    action {TEXT} NOT NULL,
    device_id {TEXT} NOT NULL,
    ik {BYTES} NOT NULL,
    ek {BYTES} NOT NULL,
    binding {BYTES},
    prev_hash {BYTES} NOT NULL,
    rotation {BYTES},
    at BIGINT NOT NULL,
    PRIMARY KEY (user_id, n)
){TABLE};

CREATE TABLE auth_sessions (
    id {TEXT} NOT NULL PRIMARY KEY,
    user_id {TEXT} NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ip {TEXT},
    user_agent {TEXT},
    method {TEXT} NOT NULL,
    ended_at BIGINT,
    end_reason {TEXT}
){TABLE};
CREATE INDEX auth_sessions_of_user ON auth_sessions (user_id);
CREATE INDEX auth_sessions_ended ON auth_sessions (ended_at);

CREATE TABLE refresh_tokens (
    hash {BYTES} NOT NULL PRIMARY KEY,
    session_id {TEXT} NOT NULL REFERENCES auth_sessions (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
){TABLE};
CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE used_once (
    kind {TEXT} NOT NULL,
    key {BYTES} NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (kind, key)
){TABLE};
CREATE INDEX used_once_expiry ON used_once (expires_at);

CREATE TABLE api_keys (
    name {TEXT} NOT NULL PRIMARY KEY,
    hash {BYTES} NOT NULL UNIQUE,
    scopes {TEXT} NOT NULL,
    created_at BIGINT NOT NULL
){TABLE};

CREATE TABLE topics (
    name {TEXT} NOT NULL PRIMARY KEY,
    backpressure {TEXT},
    history_size BIGINT,
    history_ttl_ms BIGINT,
    created_at BIGINT NOT NULL
){TABLE};

CREATE TABLE sessions (
    id {ROWID},
    user_id {TEXT} NOT NULL,
    session_code {TEXT} NOT NULL,
    connected_at BIGINT NOT NULL,
    disconnected_at BIGINT NOT NULL,
    messages_sent BIGINT NOT NULL,
    messages_received BIGINT NOT NULL,
    ip_address {TEXT},
    user_agent {TEXT},
    close_code BIGINT
){TABLE};
CREATE INDEX sessions_of_user ON sessions (user_id, connected_at);

CREATE TABLE metrics (
    at BIGINT NOT NULL,
    node {TEXT} NOT NULL,
    name {TEXT} NOT NULL,
    value {REAL} NOT NULL,
    PRIMARY KEY (at, node, name)
){TABLE};
CREATE INDEX metrics_by_name ON metrics (name, at);

CREATE TABLE audit (
    node {TEXT} NOT NULL,
    seq BIGINT NOT NULL,
    ts {TEXT} NOT NULL,
    event {TEXT} NOT NULL,
    outcome {TEXT} NOT NULL,
    severity {TEXT} NOT NULL,
    user_id {TEXT},
    session {TEXT},
    ip {TEXT},
    user_agent {TEXT},
    request_id {TEXT},
    origin {TEXT},
    reason {TEXT},
    detail {TEXT} NOT NULL,
    hash {BYTES} NOT NULL,
    PRIMARY KEY (node, seq)
){TABLE};
CREATE INDEX audit_by_time ON audit (ts);

CREATE TABLE audit_checkpoint (
    node {TEXT} NOT NULL,
    seq BIGINT NOT NULL,
    hash {BYTES} NOT NULL,
    time {TEXT} NOT NULL,
    sig {BYTES} NOT NULL,
    PRIMARY KEY (node, seq)
){TABLE};
