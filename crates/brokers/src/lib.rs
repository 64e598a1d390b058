//! Fanfare: brokers.
