//! Fanfare: server.
