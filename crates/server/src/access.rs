//! Who may use a topic: one check for every way in (`configuration.md` "Who may use a topic").

use fanfare_core::model::{ErrorCode, Refusal};
use fanfare_core::topics::rules::{Right, Rule, TopicRules};

/// On whose behalf a command is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody who is known.
    Anonymous,
}

impl Caller {
    /// The name rules with `{user}` are matched with.
    fn user(&self) -> Option<&str> {
        match self {
            Caller::Anonymous => None,
        }
    }
}

/// The rules in force.
#[derive(Clone, Debug)]
pub struct Access {
    rules: TopicRules,
    /// Making, deleting and listing topics is for the app's backend only.
    restricted: bool,
}

impl Access {
    /// Rules, and whether making, deleting and listing topics is restricted.
    pub fn new(rules: TopicRules, restricted: bool) -> Self {
        Self { rules, restricted }
    }

    /// The rule of a topic's making: how it is kept and sent.
    pub fn options(&self, topic: &str) -> &Rule {
        self.rules.find_for_topic(topic)
    }

    /// Whether a caller may subscribe.
    ///
    /// # Errors
    /// `UNAUTHORIZED` to the anonymous, else `FORBIDDEN`.
    pub fn subscribe(&self, topic: &str, caller: &Caller) -> Result<(), Refusal> {
        judge(self.rules.find(topic, caller.user()).subscribe, caller, "subscribe to")
    }

    /// Whether a caller may publish.
    ///
    /// # Errors
    /// As [`Access::subscribe`].
    pub fn publish(&self, topic: &str, caller: &Caller) -> Result<(), Refusal> {
        judge(self.rules.find(topic, caller.user()).publish, caller, "publish to")
    }

    /// Whether a caller may read what was published before.
    ///
    /// # Errors
    /// As [`Access::subscribe`].
    pub fn history(&self, topic: &str, caller: &Caller) -> Result<(), Refusal> {
        judge(self.rules.find(topic, caller.user()).history, caller, "read the history of")
    }

    /// Whether a caller may make, delete and list topics.
    ///
    /// # Errors
    /// As [`Access::subscribe`].
    pub fn manage(&self, caller: &Caller) -> Result<(), Refusal> {
        let right = if self.restricted { Right::Server } else { Right::Anyone };
        judge(right, caller, "make, delete or list")
    }

    /// Whether statistics may name topics to a caller.
    pub fn shows_topics(&self, caller: &Caller, production: bool) -> bool {
        !production || self.manage(caller).is_ok()
    }
}

fn judge(right: Right, caller: &Caller, what: &str) -> Result<(), Refusal> {
    match (right, caller) {
        (Right::Anyone, _) => Ok(()),
        (Right::User | Right::Server | Right::Token, Caller::Anonymous) => {
            let why = format!("log in, or use a credential that may {what} this topic (topics.rules)");
            Err(Refusal::new(ErrorCode::Unauthorized, why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_core::topics::rules::{Pattern, Rights};

    #[test]
    fn every_way_in_asks_the_same_rules() {
        let rule = |right| Rule::from(Rights { subscribe: Right::Anyone, publish: right, history: right });
        let rules = vec![
            (Pattern::parse("open").unwrap(), rule(Right::Anyone)),
            (Pattern::parse("*").unwrap(), rule(Right::Server)),
        ];
        let access = Access::new(TopicRules::new(rules, Rights::OPEN), true);
        assert!(access.publish("open", &Caller::Anonymous).is_ok());
        assert!(access.subscribe("other", &Caller::Anonymous).is_ok());
        let refusal = access.publish("other", &Caller::Anonymous).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::Unauthorized);
        assert!(access.manage(&Caller::Anonymous).is_err());
    }
}
