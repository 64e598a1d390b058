//! The long variants of tests: the same test with more cases, rounds or time, chosen by `FANFARE_SOAK=1`, which `make soak`
//! sets. Nothing else decides how long a test is; a test is never left out for being short.

/// Whether this is a soak run.
#[must_use]
pub fn is_on() -> bool {
    std::env::var("FANFARE_SOAK").is_ok_and(|on| on == "1")
}

/// `quick` in `cargo test`, `long` in `make soak`: cases, rounds, seconds.
#[must_use]
pub fn pick<T>(quick: T, long: T) -> T {
    if is_on() { long } else { quick }
}
