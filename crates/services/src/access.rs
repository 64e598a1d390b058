//! Topic permissions: one check for all entry points (`configuration.md` "Who may use a topic").

use fanfare_core::model::{Caller, ErrorCode, Granted, Refusal, Role, Scope, TopicGrant};
use fanfare_core::topics::rules::{Right, Rule, TopicRules};

/// One of the three rights, by the requested operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Subscribe,
    Publish,
    History,
}

/// The permission rules in force.
#[derive(Clone, Debug)]
pub struct Access {
    rules: TopicRules,
    /// Whether creating, deleting and listing topics is reserved to the app's backend.
    restricted: bool,
}

impl Access {
    /// Creates the check from rules, and whether creating, deleting and listing topics is restricted.
    pub fn new(rules: TopicRules, restricted: bool) -> Self {
        Self { rules, restricted }
    }

    /// The rule by which a topic is created: how it is kept and sent.
    pub fn options(&self, topic: &str) -> &Rule {
        self.rules.find_for_topic(topic)
    }

    /// Whether a caller may subscribe. Returns when the right expires, if a token granted it.
    ///
    /// # Errors
    /// `UNAUTHORIZED` for anonymous callers where logging in could help, `INVALID_TOKEN` for a token that grants
    /// nothing here, else `FORBIDDEN`.
    pub fn subscribe(
        &self,
        topic: &str,
        caller: &Caller,
        token: Granted<'_>,
    ) -> Result<Option<u64>, Refusal> {
        self.judge(Act::Subscribe, topic, caller, token)
    }

    /// Whether a caller may publish.
    ///
    /// # Errors
    /// As [`Access::subscribe`].
    pub fn publish(&self, topic: &str, caller: &Caller, token: Granted<'_>) -> Result<(), Refusal> {
        self.judge(Act::Publish, topic, caller, token).map(drop)
    }

    /// Whether a caller may read earlier events.
    ///
    /// # Errors
    /// As [`Access::subscribe`].
    pub fn history(&self, topic: &str, caller: &Caller, token: Granted<'_>) -> Result<(), Refusal> {
        self.judge(Act::History, topic, caller, token).map(drop)
    }

    /// Whether a caller may create, delete and list topics.
    ///
    /// # Errors
    /// `UNAUTHORIZED` for anonymous callers, else `FORBIDDEN`.
    pub fn manage(&self, caller: &Caller) -> Result<(), Refusal> {
        if self.restricted { caller.scope(Scope::Topics) } else { Ok(()) }
    }

    /// Whether statistics may name topics to a caller.
    pub fn shows_topics(&self, caller: &Caller) -> bool {
        self.manage(caller).is_ok()
    }

    /// Whether a caller may look at a topic by name: callers that may use it in some way, or may list all. In
    /// production only the latter, so that names cannot be guessed.
    ///
    /// # Errors
    /// As [`Access::subscribe`].
    pub fn show(&self, topic: &str, caller: &Caller, production: bool) -> Result<(), Refusal> {
        let managed = self.manage(caller);
        if production || managed.is_ok() {
            return managed;
        }
        let judge = |act| self.judge(act, topic, caller, None);
        if judge(Act::History).is_ok() || judge(Act::Publish).is_ok() {
            return Ok(());
        }
        judge(Act::Subscribe).map(drop)
    }

    fn judge(
        &self,
        act: Act,
        topic: &str,
        caller: &Caller,
        token: Granted<'_>,
    ) -> Result<Option<u64>, Refusal> {
        let rule = self.rules.find(topic, caller.name());
        let (right, what) = match act {
            Act::Subscribe => (rule.subscribe, "subscribe to"),
            Act::Publish => (rule.publish, "publish to"),
            Act::History => (rule.history, "read the history of"),
        };
        match (right, caller) {
            (Right::Anyone, _) | (Right::User, Caller::User(_)) => Ok(None),
            (_, Caller::User(principal)) if principal.role == Role::Admin => Ok(None),
            (_, Caller::Server(key)) => {
                let needed = if act == Act::Publish { Scope::Publish } else { Scope::Topics };
                let enough = key.may(needed) || (act != Act::Publish && key.may(Scope::Publish));
                if enough { Ok(None) } else { caller.scope(needed).map(|()| None) }
            }
            (Right::Token, _) => match token {
                Some(grant) => opened(grant?, act, topic, caller).map(Some),
                None => Err(denied(caller, what, "a subscription token in `token` opens it")),
            },
            (Right::User | Right::Server, _) => Err(denied(caller, what, "another credential may")),
        }
    }
}

fn denied(caller: &Caller, what: &str, hint: &str) -> Refusal {
    match caller {
        Caller::Anonymous => {
            let why =
                format!("log in, or use a credential that may {what} this topic (topics.rules): {hint}");
            Refusal::new(ErrorCode::Unauthorized, why)
        }
        _ => Refusal::new(
            ErrorCode::Forbidden,
            format!("you may not {what} this topic (topics.rules): {hint}"),
        ),
    }
}

/// Whether a verified token grants this to its bearer; returns when it expires.
fn opened(grant: &TopicGrant, act: Act, topic: &str, caller: &Caller) -> Result<u64, Refusal> {
    let invalid = |why: &'static str| Err(Refusal::new(ErrorCode::InvalidToken, why).field("token"));
    let bearer = match caller {
        Caller::User(principal) => principal.issuer.as_ref(),
        _ => None,
    };
    if !bearer.is_some_and(|b| *b.name == *grant.issuer && *b.claim == *grant.sub) {
        return invalid(
            "this subscription token is for another user: log in with a token of the same issuer",
        );
    }
    if grant.topic != topic {
        return invalid("this subscription token is for another topic");
    }
    let covers = match act {
        Act::Subscribe => grant.subscribe,
        Act::Publish => grant.publish,
        Act::History => grant.history,
    };
    if covers {
        Ok(grant.expires_at_ms)
    } else {
        invalid("this subscription token's actions do not cover this")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_core::model::{AppKey, IssuerIdentity, Principal};
    use fanfare_core::topics::rules::{Pattern, Rights};
    use std::sync::Arc;

    fn access() -> Access {
        let rule = |right| Rule::from(Rights { subscribe: right, publish: right, history: right });
        let rules = vec![
            (Pattern::parse("open").unwrap(), rule(Right::Anyone)),
            (Pattern::parse("user").unwrap(), rule(Right::User)),
            (Pattern::parse("token").unwrap(), rule(Right::Token)),
            (Pattern::parse("*").unwrap(), rule(Right::Server)),
        ];
        Access::new(TopicRules::new(rules, Rights::OPEN), true)
    }

    fn user(role: Role, issuer: Option<(&str, &str)>) -> Caller {
        Caller::User(Arc::new(Principal {
            user_id: "1".into(),
            username: "ann".into(),
            role,
            session_id: "s".into(),
            device_id: None,
            expires_at_ms: 10,
            issuer: issuer.map(|(name, claim)| IssuerIdentity {
                name: name.into(),
                claim: claim.into(),
                issued_at_s: None,
                token: [0; 32],
            }),
        }))
    }

    fn key(scopes: &[Scope]) -> Caller {
        Caller::Server(Arc::new(AppKey { name: "app".into(), scopes: scopes.to_vec() }))
    }

    #[test]
    fn each_right_by_each_caller() {
        let a = access();
        let (ann, chief) = (user(Role::User, None), user(Role::Admin, None));
        let code = |topic: &str, caller: &Caller| a.publish(topic, caller, None).err().map(|r| r.code);
        for (topic, anonymous, user, admin, publisher) in [
            ("open", None, None, None, None),
            ("user", Some(ErrorCode::Unauthorized), None, None, None),
            ("else", Some(ErrorCode::Unauthorized), Some(ErrorCode::Forbidden), None, None),
            ("token", Some(ErrorCode::Unauthorized), Some(ErrorCode::Forbidden), None, None),
        ] {
            assert_eq!(code(topic, &Caller::Anonymous), anonymous, "{topic}");
            assert_eq!(code(topic, &ann), user, "{topic}");
            assert_eq!(code(topic, &chief), admin, "{topic}");
            assert_eq!(code(topic, &key(&[Scope::Publish])), publisher, "{topic}");
        }
        assert_eq!(code("else", &key(&[Scope::Sessions])), Some(ErrorCode::Forbidden));
        assert!(a.manage(&key(&[Scope::Admin])).is_ok() && a.manage(&ann).is_err());
        assert_eq!(a.manage(&Caller::Anonymous).unwrap_err().code, ErrorCode::Unauthorized);
    }

    #[test]
    fn a_subscription_token_is_for_its_bearer_topic_and_actions() {
        let a = access();
        let grant = TopicGrant {
            issuer: "shop".into(),
            sub: "zoe".into(),
            topic: "token".into(),
            subscribe: true,
            history: false,
            publish: false,
            expires_at_ms: 77,
        };
        let zoe = user(Role::User, Some(("shop", "zoe")));
        assert_eq!(a.subscribe("token", &zoe, Some(Ok(&grant))).unwrap(), Some(77));
        let wrong = |caller: &Caller, grant: &TopicGrant| {
            a.subscribe("token", caller, Some(Ok(grant))).unwrap_err().code == ErrorCode::InvalidToken
        };
        assert!(wrong(&Caller::Anonymous, &grant));
        assert!(wrong(&user(Role::User, None), &grant));
        assert!(wrong(&user(Role::User, Some(("edge", "zoe"))), &grant));
        assert!(wrong(&zoe, &TopicGrant { topic: "other".into(), ..grant.clone() }));
        let history = a.history("token", &zoe, Some(Ok(&grant))).unwrap_err();
        assert_eq!(history.code, ErrorCode::InvalidToken);
    }
}
