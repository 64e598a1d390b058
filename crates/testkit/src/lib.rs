//! Fanfare: testkit.
