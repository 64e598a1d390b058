//! Methods without effects: the seed's `test.*`, and those of the specification's examples, to test any server built on
//! this crate.

mod echo;
mod example;
mod panic;
mod sleep;
mod spec;

use echo::Echo;
use example::Example;
use panic::Panic;
use sleep::Sleep;
use spec::{GetData, NotifyHello, NotifySum, Subtract, Sum, Update};

use crate::registry::RegistryBuilder;

impl RegistryBuilder {
    /// Adds `test.echo` and `test.example`, which every server has (seed 000).
    #[must_use]
    pub fn basic_test_methods(self) -> Self {
        self.method(Echo).method(Example)
    }

    /// Adds the methods of `rpc.test_methods`: those of the specification's examples, one that panics and one that waits.
    #[must_use]
    pub fn test_methods(self) -> Self {
        self.method(Subtract)
            .method(Sum)
            .method(Update)
            .method(GetData)
            .method(NotifyHello)
            .method(NotifySum)
            .method(Panic)
            .async_method(Sleep)
    }
}
