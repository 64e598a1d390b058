-- When a user's role or lock was last changed: how a server that has the user's sockets finds out.

ALTER TABLE users ADD COLUMN changed_at BIGINT;
CREATE INDEX users_changed ON users (changed_at);
