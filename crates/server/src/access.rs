//! Who calls, and who may use a topic: one check for every way in (`configuration.md` "Who may use a topic").

use crate::config::Scope;
use fanfare_core::model::{ErrorCode, Refusal, Requester, network};
use fanfare_core::topics::rules::{Right, Rule, TopicRules};
use fanfare_store::Role;
use std::net::IpAddr;
use std::sync::Arc;

/// On whose behalf a command is carried out.
#[derive(Clone, Debug, Default)]
pub enum Caller {
    /// Nobody who is known.
    #[default]
    Anonymous,
    /// Somebody who is logged in.
    User(Arc<Principal>),
    /// The application's own backend, by an API key.
    Server(Arc<AppKey>),
}

/// Somebody who is logged in, as one credential proves it.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The user's id.
    pub user_id: Arc<str>,
    /// The user's name; `issuer:claim` for users of an issuer.
    pub username: Arc<str>,
    /// What the user may do beyond the own things.
    pub role: Role,
    /// The login the credential belongs to: a row of `auth_sessions`, or one made up for an issuer's user.
    pub session_id: Arc<str>,
    /// The device that proved its key.
    pub device_id: Option<Arc<str>>,
    /// When the credential ends, in milliseconds since 1970.
    pub expires_at_ms: u64,
    /// Who vouched for the user, when it was not this server.
    pub issuer: Option<IssuerIdentity>,
}

/// A user as an issuer knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerIdentity {
    /// The issuer's name in `auth.issuers`.
    pub name: Arc<str>,
    /// The claim that names the user there.
    pub claim: Arc<str>,
    /// When the token was made, in seconds since 1970, if it says so.
    pub issued_at_s: Option<u64>,
    /// The SHA-256 of what is signed of the token: the name under which it is ended.
    pub token: [u8; 32],
}

/// An API key that was presented.
#[derive(Debug)]
pub struct AppKey {
    /// Its name.
    pub name: Arc<str>,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

impl AppKey {
    /// Whether it may do this; `admin` may everything.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|s| *s == scope || *s == Scope::Admin)
    }
}

impl Caller {
    /// The name rules with `{user}` are matched with.
    fn name(&self) -> Option<&str> {
        match self {
            Caller::User(principal) => Some(&principal.username),
            Caller::Anonymous | Caller::Server(_) => None,
        }
    }

    /// The same as topics know it; `address` stands for those who are not known.
    pub fn requester(&self, address: IpAddr) -> Requester<'_> {
        match self {
            Caller::Anonymous => Requester::Anonymous(network(address)),
            Caller::User(principal) if principal.role == Role::Admin => Requester::Admin(&principal.user_id),
            Caller::User(principal) => Requester::User(&principal.user_id),
            Caller::Server(_) => Requester::Backend,
        }
    }

    /// Who is logged in.
    ///
    /// # Errors
    /// `UNAUTHORIZED` to the anonymous, `FORBIDDEN` to API keys.
    pub fn principal(&self) -> Result<&Arc<Principal>, Refusal> {
        match self {
            Caller::User(principal) => Ok(principal),
            Caller::Anonymous => {
                Err(Refusal::new(ErrorCode::Unauthorized, "log in first: this needs a user"))
            }
            Caller::Server(_) => {
                Err(Refusal::new(ErrorCode::Forbidden, "an API key has no account: this needs a user"))
            }
        }
    }

    /// Whether the caller is an admin, or a key with the scope `admin`.
    ///
    /// # Errors
    /// `UNAUTHORIZED` to the anonymous, else `FORBIDDEN`.
    pub fn admin(&self) -> Result<(), Refusal> {
        self.scope(Scope::Admin)
    }

    /// Whether the caller is an admin, or a key with this scope.
    ///
    /// # Errors
    /// As [`Caller::admin`].
    pub fn scope(&self, scope: Scope) -> Result<(), Refusal> {
        match self {
            Caller::Anonymous => {
                Err(Refusal::new(ErrorCode::Unauthorized, "this needs an API key or a login as admin"))
            }
            Caller::User(principal) if principal.role == Role::Admin => Ok(()),
            Caller::User(_) => Err(Refusal::new(ErrorCode::Forbidden, "this needs the role admin")),
            Caller::Server(key) if key.may(scope) => Ok(()),
            Caller::Server(key) => {
                let why = format!("the API key {:?} has not the scope this needs", key.name);
                Err(Refusal::new(ErrorCode::Forbidden, why))
            }
        }
    }

    /// Whose `Idempotency-Key`s are told apart; `None` to the anonymous.
    pub fn key_scope(&self) -> Option<String> {
        match self {
            Caller::Anonymous => None,
            Caller::User(principal) => Some(format!("user {}", principal.user_id)),
            Caller::Server(key) => Some(format!("key {}", key.name)),
        }
    }
}

/// What a subscription token that was verified opens (`http-api.md` "Subscription token").
#[derive(Clone, Debug)]
pub struct TopicGrant {
    /// The issuer's name.
    pub issuer: String,
    /// The issuer's own name of the user.
    pub sub: String,
    /// The topic.
    pub topic: String,
    /// Opens subscribing.
    pub subscribe: bool,
    /// Opens reading back.
    pub history: bool,
    /// Opens publishing.
    pub publish: bool,
    /// When it ends, in milliseconds since 1970.
    pub expires_at_ms: u64,
}

/// What becomes of a subscription token that came with a command.
pub type Granted<'a> = Option<Result<&'a TopicGrant, Refusal>>;

/// One of the three rights, by what it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Subscribe,
    Publish,
    History,
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

    /// Whether a caller may subscribe. Answers when the right ends, if a token opened it.
    ///
    /// # Errors
    /// `UNAUTHORIZED` to the anonymous where logging in could help, `INVALID_TOKEN` for a token that opens nothing here, else
    /// `FORBIDDEN`.
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

    /// Whether a caller may read what was published before.
    ///
    /// # Errors
    /// As [`Access::subscribe`].
    pub fn history(&self, topic: &str, caller: &Caller, token: Granted<'_>) -> Result<(), Refusal> {
        self.judge(Act::History, topic, caller, token).map(drop)
    }

    /// Whether a caller may make, delete and list topics.
    ///
    /// # Errors
    /// `UNAUTHORIZED` to the anonymous, else `FORBIDDEN`.
    pub fn manage(&self, caller: &Caller) -> Result<(), Refusal> {
        if self.restricted { caller.scope(Scope::Topics) } else { Ok(()) }
    }

    /// Whether statistics may name topics to a caller.
    pub fn shows_topics(&self, caller: &Caller) -> bool {
        self.manage(caller).is_ok()
    }

    /// Whether a caller may look at a topic whose name it has: who may use it in some way, or may list all. In production
    /// only the latter: there, names are not to be guessed.
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

/// Whether a verified token opens this, for its bearer: when it ends.
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
    use fanfare_core::topics::rules::{Pattern, Rights};

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
        for (topic, nobody, user, admin, publisher) in [
            ("open", None, None, None, None),
            ("user", Some(ErrorCode::Unauthorized), None, None, None),
            ("else", Some(ErrorCode::Unauthorized), Some(ErrorCode::Forbidden), None, None),
            ("token", Some(ErrorCode::Unauthorized), Some(ErrorCode::Forbidden), None, None),
        ] {
            assert_eq!(code(topic, &Caller::Anonymous), nobody, "{topic}");
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
