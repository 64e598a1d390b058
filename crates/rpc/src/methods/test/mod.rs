//! `test.*`: the seed's methods, and those of the specification's examples.

mod echo;
mod example;
mod panic;
mod sleep;
mod spec;

pub(super) use echo::Echo;
pub(super) use example::Example;
pub(super) use panic::Panic;
pub(super) use sleep::Sleep;
pub(super) use spec::{GetData, NotifyHello, NotifySum, Subtract, Sum, Update};
