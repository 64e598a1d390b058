//! Who may use a topic, and how it is kept: patterns of names, matched in order.
//!
//! Every way in (`/ws`, `/rpc`, REST) asks [`TopicRules::find`] with the topic's name and the caller's, and gets the
//! one [`Rule`] that holds. The first pattern that matches wins; a right that a rule leaves out, and a topic that no
//! rule matches, fall back to the [`Rights`] the rules were made with. Nothing here depends on configuration files,
//! sockets or JSON.
//!
//! Source: `configuration.md`, "Who may use a topic".

pub use crate::hub::Backpressure;
use std::time::Duration;

/// Who holds a right on a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// Everybody, logged in or not.
    Anyone,
    /// Users who are logged in.
    User,
    /// The application's own backend (an API key) and admins.
    Server,
    /// The holder of a subscription token for the topic.
    Token,
}

/// The three rights on a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Who may subscribe.
    pub subscribe: Right,
    /// Who may publish.
    pub publish: Right,
    /// Who may read what was published before.
    pub history: Right,
}

impl Rights {
    /// Everything to anyone: development without rules.
    pub const OPEN: Self = Self { subscribe: Right::Anyone, publish: Right::Anyone, history: Right::Anyone };

    /// Anyone may listen and read back, only the application's backend publishes: production without rules.
    pub const LISTEN_ONLY: Self = Self { publish: Right::Server, ..Self::OPEN };
}

/// What holds for one topic and one caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Who may subscribe.
    pub subscribe: Right,
    /// Who may publish.
    pub publish: Right,
    /// Who may read what was published before.
    pub history: Right,
    /// What happens to slow subscribers; `None`: as the server is set.
    pub backpressure: Option<Backpressure>,
    /// Whether the topics are durable; `None`: they are not.
    pub durable: Option<bool>,
    /// How many events are kept. `None`: as the server is set, or the default of durable topics.
    pub history_size: Option<u64>,
    /// How long events are kept. `None`: as above.
    pub history_ttl: Option<Duration>,
    /// How many bytes of events are kept. `None`: as above.
    pub history_topic_bytes: Option<u64>,
}

impl From<Rights> for Rule {
    fn from(rights: Rights) -> Self {
        let Rights { subscribe, publish, history } = rights;
        Self {
            subscribe,
            publish,
            history,
            backpressure: None,
            durable: None,
            history_size: None,
            history_ttl: None,
            history_topic_bytes: None,
        }
    }
}

/// A pattern of topic names: a name, `prefix*`, either with `{user}` for the caller's name. `{user}` ends the pattern or is
/// followed by `/`, which no name that it stands for has: otherwise one user's pattern would match names of another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The literal text around each `{user}`: one piece more than there are `{user}`s.
    pieces: Vec<String>,
    /// It ended with `*`: more may follow.
    open: bool,
}

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing matches the empty pattern.
    #[error("a pattern must not be empty")]
    Empty,
    /// `*` is no general wildcard.
    #[error("`*` stands only at the end of a pattern")]
    Star,
    /// Only `{user}` is known.
    #[error("only `{{user}}` may stand in braces in a pattern")]
    Braces,
    /// What follows could be the rest of a longer name.
    #[error(
        "`{{user}}` stands only at the end of a pattern or before a `/`: elsewhere it matches names of other users"
    )]
    User,
    /// No topic has a name that long.
    #[error("a pattern is at most 255 bytes long")]
    Long,
}

impl Pattern {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`PatternError`] when the text is empty, over 255 bytes, has `*` before the end, braces other than `{user}`, or
    /// `{user}` before anything but `/` or the end.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > crate::model::MAX_TOPIC_BYTES {
            return Err(PatternError::Long);
        }
        let (body, open) = text.strip_suffix('*').map_or((text, false), |body| (body, true));
        let pieces: Vec<String> = body.split("{user}").map(str::to_owned).collect();
        if pieces.iter().any(|p| p.contains('*')) {
            return Err(PatternError::Star);
        }
        if pieces.iter().any(|p| p.contains(['{', '}'])) {
            return Err(PatternError::Braces);
        }
        let behind = pieces.iter().enumerate().skip(1);
        let ends = |at: usize, piece: &str| piece.is_empty() && !open && at + 1 == pieces.len();
        if behind.into_iter().any(|(at, piece)| !piece.starts_with('/') && !ends(at, piece)) {
            return Err(PatternError::User);
        }
        Ok(Self { pieces, open })
    }

    /// Whether it holds `{user}`.
    pub fn is_personal(&self) -> bool {
        self.pieces.len() > 1
    }

    /// Whether `topic` matches for this caller. A pattern with `{user}` matches nothing for the anonymous, nor for a user
    /// whose name holds a `/`.
    pub fn matches(&self, topic: &str, user: Option<&str>) -> bool {
        let Some((first, rest)) = self.pieces.split_first() else { return false };
        let Some(mut left) = topic.strip_prefix(first.as_str()) else { return false };
        let whole = |user: &&str| !user.is_empty() && !user.contains('/');
        for piece in rest {
            let after = user.filter(whole).and_then(|user| left.strip_prefix(user));
            let Some(after) = after.and_then(|left| left.strip_prefix(piece.as_str())) else { return false };
            left = after;
        }
        self.open || left.is_empty()
    }
}

impl Pattern {
    /// Whether `topic` matches for some caller: what a topic is made with does not depend on who makes it.
    pub fn matches_somebody(&self, topic: &str) -> bool {
        // The user's name goes to the next `/`.
        let after = self.pieces.first().and_then(|first| topic.strip_prefix(first.as_str()));
        self.matches(topic, after.and_then(|after| after.split('/').next()))
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.pieces.join("{user}"))?;
        f.write_str(if self.open { "*" } else { "" })
    }
}

/// The rules of a server, resolved: see the module's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRules {
    rules: Vec<(Pattern, Rule)>,
    fallback: Rule,
}

impl TopicRules {
    /// Rules in order, and what holds where none matches.
    pub fn new(rules: Vec<(Pattern, Rule)>, fallback: Rights) -> Self {
        Self { rules, fallback: fallback.into() }
    }

    /// The rule for a topic and a caller (`None`: anonymous): the first that matches, else the fallback.
    pub fn find(&self, topic: &str, user: Option<&str>) -> &Rule {
        let found = self.rules.iter().find(|(pattern, _)| pattern.matches(topic, user));
        found.map_or(&self.fallback, |(_, rule)| rule)
    }

    /// The rule that says how a topic is kept and sent: as [`Self::find`], but a `{user}` is anybody.
    pub fn find_for_topic(&self, topic: &str) -> &Rule {
        let found = self.rules.iter().find(|(pattern, _)| pattern.matches_somebody(topic));
        found.map_or(&self.fallback, |(_, rule)| rule)
    }

    /// What holds where no rule matches.
    pub fn fallback(&self) -> &Rule {
        &self.fallback
    }

    /// Whether there are no rules at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Patterns with `{user}` whose names, for everybody but that user, are left to the fallback because no later
    /// rule without `{user}` takes them: almost always an oversight.
    pub fn left_open(&self) -> impl Iterator<Item = &Pattern> {
        // A name that only a general later pattern can match: it stands for another user's.
        let other = |p: &Pattern| p.pieces.join("\u{1}");
        self.rules.iter().enumerate().filter_map(move |(i, (pattern, _))| {
            let caught = || self.rules[i..].iter().any(|(later, _)| later.matches(&other(pattern), None));
            (pattern.is_personal() && !caught()).then_some(pattern)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(list: &[(&str, Right)]) -> TopicRules {
        let rule = |right| Rule::from(Rights { subscribe: right, publish: right, history: right });
        let rules = list.iter().map(|(p, right)| (Pattern::parse(p).unwrap(), rule(*right))).collect();
        TopicRules::new(rules, Rights::OPEN)
    }

    #[test]
    fn a_topic_is_kept_by_the_rule_of_whoever_it_belongs_to() {
        let p = |text: &str| Pattern::parse(text).unwrap();
        assert!(p("inbox-{user}").matches_somebody("inbox-ann"));
        assert!(!p("inbox-{user}").matches_somebody("inbox-"));
        assert!(p("{user}/*").matches_somebody("ann/cart"));
        assert!(!p("{user}/x").matches_somebody("ann/y"));
        assert!(!p("inbox-{user}").matches_somebody("inbox-ann/x"));
        assert!(p("{user}/to/{user}").matches_somebody("ann/to/ann"));
        assert!(!p("{user}/to/{user}").matches_somebody("ann/to/bob"));
        assert!(p("pre*").matches_somebody("prefix"));
    }

    #[test]
    fn a_pattern_matches_names_prefixes_and_the_caller() {
        for (pattern, topic, user, want) in [
            ("exact", "exact", None, true),
            ("exact", "exactly", None, false),
            ("exact", "Exact", None, false),
            ("pre*", "pre", None, true),
            ("pre*", "prefix", None, true),
            ("pre*", "pr", None, false),
            ("*", "anything at all", None, true),
            ("inbox-{user}", "inbox-ann", Some("ann"), true),
            ("inbox-{user}", "inbox-ann", Some("an"), false),
            ("inbox-{user}", "inbox-ann", Some("bob"), false),
            ("inbox-{user}", "inbox-ann", None, false),
            ("inbox-{user}", "inbox-", None, false),
            ("{user}/*", "shop:ann/cart", Some("shop:ann"), true),
            ("{user}/*", "shop:ann", Some("shop:ann"), false),
            ("inbox-{user}", "inbox-alice-smith", Some("alice"), false),
            ("inbox-{user}/*", "inbox-alice/x", Some("alice"), true),
            ("inbox-{user}/*", "inbox-alice-smith/x", Some("alice"), false),
            ("inbox-{user}/*", "inbox-shop:zoe/x/y", Some("shop:zoe/x"), false),
            ("inbox-{user}", "inbox-shop:zoe/x", Some("shop:zoe/x"), false),
            ("{user}/{user}", "a/a", Some("a"), true),
            ("{user}/{user}", "a/b", Some("a"), false),
            ("x{user}", "x{user}", Some("ann"), false),
        ] {
            assert_eq!(
                Pattern::parse(pattern).unwrap().matches(topic, user),
                want,
                "{pattern} {topic} {user:?}"
            );
        }
    }

    #[test]
    fn a_pattern_is_checked_and_shown_as_it_was_written() {
        for good in ["a", "*", "a*", "{user}", "a-{user}/*", "ü*"] {
            assert_eq!(Pattern::parse(good).unwrap().to_string(), good);
        }
        let long = "x".repeat(256);
        for (bad, why) in [
            ("", PatternError::Empty),
            ("a*b", PatternError::Star),
            ("a**", PatternError::Star),
            ("a{usr}", PatternError::Braces),
            ("a{", PatternError::Braces),
            ("inbox-{user}-*", PatternError::User),
            ("inbox-{user}*", PatternError::User),
            ("{user}-x", PatternError::User),
            ("{user}{user}", PatternError::User),
            ("{user}/{user}*", PatternError::User),
            (&long, PatternError::Long),
        ] {
            assert_eq!(Pattern::parse(bad).unwrap_err(), why, "{bad}");
        }
    }

    #[test]
    fn the_first_match_wins_and_the_rest_falls_back() {
        let rules =
            rules(&[("first-open*", Right::Anyone), ("first*", Right::Server), ("exact", Right::User)]);
        for (topic, want) in [
            ("first-open-1", Right::Anyone),
            ("first-1", Right::Server),
            ("exact", Right::User),
            ("other", Right::Anyone),
        ] {
            assert_eq!(rules.find(topic, None).publish, want, "{topic}");
        }
        assert!(!rules.is_empty());
    }

    #[test]
    fn production_without_rules_lets_only_the_backend_publish() {
        let rules = TopicRules::new(Vec::new(), Rights::LISTEN_ONLY);
        let rule = rules.find("any", Some("ann"));
        assert_eq!(
            (rule.subscribe, rule.publish, rule.history),
            (Right::Anyone, Right::Server, Right::Anyone)
        );
        assert!(rules.is_empty());
    }

    #[test]
    fn names_of_other_users_that_nothing_catches_are_pointed_out() {
        for (list, want) in [
            (&[("inbox-{user}", Right::User)][..], &["inbox-{user}"][..]),
            (&[("inbox-{user}", Right::User), ("inbox-*", Right::Server)], &[]),
            (&[("inbox-{user}", Right::User), ("*", Right::Server)], &[]),
            (&[("*", Right::Server), ("inbox-{user}", Right::User)], &["inbox-{user}"]),
            (&[("a", Right::User)], &[]),
        ] {
            let rules = rules(list);
            let got: Vec<String> = rules.left_open().map(ToString::to_string).collect();
            assert_eq!(got, want, "{list:?}");
        }
    }
}
