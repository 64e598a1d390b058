//! `feed.*`: the commands of seed 002 as methods.

mod list;
mod subscribe;
mod unsubscribe;

pub(super) use list::List;
pub(super) use subscribe::Subscribe;
pub(super) use unsubscribe::Unsubscribe;
