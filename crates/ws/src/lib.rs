//! Fanfare: ws.
