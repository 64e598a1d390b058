//! Passwords: what may be one, and the slow hash that is stored of it.
//!
//! [`Policy`] judges a new password before anything is computed. [`Hasher`] then makes or checks an Argon2id hash on threads
//! of its own, as many at a time as memory and cores allow. Both look at a password's normal form.

mod argon;
mod hasher;
mod normal;
mod policy;

pub use hasher::{Busy, Cost, CostError, Hasher, Verified};
pub use policy::{MAX_LENGTH, Policy, Weakness};
