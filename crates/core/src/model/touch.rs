//! What commands have effects on.

use std::borrow::Cow;

/// What a command has effects on. Commands of one connection that touch the same take effect in the order of their frames
/// (`protocol.md` 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touch<'a> {
    /// Nothing that another command changes.
    Nothing,
    /// A subscription to a topic, or the topic's history.
    Topic(Cow<'a, str>),
    /// The log of a topic. Publishes enter it in the order in which they are started, so none waits for the one before it.
    Log(Cow<'a, str>),
    /// A subscription to a feed channel.
    Channel(Cow<'a, str>),
    /// The connection's login or session, which every other command depends on.
    Login,
}

impl Touch<'_> {
    /// The same with a name of its own.
    pub fn into_owned(self) -> Touch<'static> {
        let own = |name: Cow<'_, str>| Cow::Owned(name.into_owned());
        match self {
            Self::Nothing => Touch::Nothing,
            Self::Topic(name) => Touch::Topic(own(name)),
            Self::Log(name) => Touch::Log(own(name)),
            Self::Channel(name) => Touch::Channel(own(name)),
            Self::Login => Touch::Login,
        }
    }

    /// The same, borrowed.
    pub fn by_ref(&self) -> Touch<'_> {
        match self {
            Self::Nothing => Touch::Nothing,
            Self::Topic(name) => Touch::Topic(Cow::Borrowed(name)),
            Self::Log(name) => Touch::Log(Cow::Borrowed(name)),
            Self::Channel(name) => Touch::Channel(Cow::Borrowed(name)),
            Self::Login => Touch::Login,
        }
    }

    /// Whether a command that touches this must wait for an earlier one that touches `earlier`. `started`: the earlier one waits
    /// for its outcome only.
    pub fn waits_for(&self, earlier: &Touch<'_>, started: bool) -> bool {
        match (earlier, self) {
            (Touch::Login, _) | (_, Touch::Login) => true,
            (Touch::Log(a), Touch::Log(b)) => a == b && !started,
            (Touch::Topic(a) | Touch::Log(a), Touch::Topic(b) | Touch::Log(b)) => a == b,
            (Touch::Channel(a), Touch::Channel(b)) => a == b,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Touch;

    #[test]
    fn commands_wait_for_what_touches_the_same() {
        let topic = |name: &'static str| Touch::Topic(name.into());
        let log = |name: &'static str| Touch::Log(name.into());
        let channel = |name: &'static str| Touch::Channel(name.into());
        for (later, earlier, started, waits) in [
            (topic("a"), topic("a"), true, true),
            (topic("a"), topic("b"), false, false),
            (topic("a"), log("a"), true, true),
            (log("a"), topic("a"), true, true),
            (log("a"), log("a"), true, false),
            (log("a"), log("a"), false, true),
            (log("a"), log("b"), false, false),
            (channel("a"), channel("a"), true, true),
            (channel("a"), topic("a"), false, false),
            (Touch::Nothing, topic("a"), false, false),
            (Touch::Nothing, Touch::Login, true, true),
            (Touch::Login, Touch::Nothing, true, true),
            (log("a"), Touch::Login, true, true),
        ] {
            assert_eq!(later.waits_for(&earlier, started), waits, "{later:?} behind {earlier:?}");
            assert_eq!(later.clone().into_owned(), later);
        }
    }
}
