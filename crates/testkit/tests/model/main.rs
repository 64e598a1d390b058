//! The order and completeness of topics over all schedules that the model can reach (`performance.md` "Order").

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests are tests too")]

mod exhaustive;
mod feeds;
mod followed;
mod oracle;
mod programs;
mod random;
mod sabotage;
mod shard;
mod threads;
mod worker;
