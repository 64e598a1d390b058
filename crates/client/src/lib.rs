//! Fanfare: client.
