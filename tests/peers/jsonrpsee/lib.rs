//! Empty: the checks are in `tests/client.rs`.
