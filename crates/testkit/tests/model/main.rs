//! The order and completeness of topics over all schedules that the model can reach (`performance.md` "Order").

mod exhaustive;
mod programs;
mod random;
mod sabotage;
mod threads;
