//! Passwords: the policy for new ones, and the slow hash that is stored.
//!
//! [`Policy`] checks a new password before anything is computed. [`Hasher`] then creates or checks an Argon2id hash on
//! threads of its own, as many at a time as memory and cores allow. Both work on a password's normal form.

mod argon;
mod hasher;
mod normal;
mod policy;

pub use hasher::{Busy, Cost, CostError, Hasher, Verified};
pub use policy::{MAX_LENGTH, Policy, Weakness};
