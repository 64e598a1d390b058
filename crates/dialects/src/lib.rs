//! Fanfare: dialects.
