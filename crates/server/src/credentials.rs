//! Tokens inside commands: verified off the shard before the command is carried out, and looked up when it is.
//!
//! Verifying may wait (for the store, for an issuer's keys) and commands do not: so a frame whose decoded command has a token is set
//! aside, its tokens are verified on the runtime, and then it runs as any other with the outcomes at hand. Text is never searched
//! for tokens: what is no command has none.

use crate::access::{Granted, Principal, TopicGrant};
use crate::identity::Identity;
use fanfare_core::model::{ErrorCode, Refusal, TokenUse};
use std::sync::Arc;

/// The tokens of a frame.
pub(crate) type Wanted = Vec<(TokenUse, String)>;

/// What became of the tokens of a frame.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    logins: Vec<(String, Result<Arc<Principal>, Refusal>)>,
    topics: Vec<(String, Result<TopicGrant, Refusal>)>,
}

impl Verified {
    /// Whether the outcome of a token is known.
    pub(crate) fn knows(&self, token_use: TokenUse, token: &str) -> bool {
        match token_use {
            TokenUse::Login => self.logins.iter().any(|(known, _)| known == token),
            TokenUse::Topic => self.topics.iter().any(|(known, _)| known == token),
        }
    }

    /// Who a token logs in.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn login(&self, token: &str) -> Result<Arc<Principal>, Refusal> {
        let found = self.logins.iter().find(|(known, _)| known == token).map(|(_, outcome)| outcome.clone());
        let refusal = found
            .unwrap_or_else(|| Err(Refusal::new(ErrorCode::Unauthorized, "the token is not valid here")));
        refusal.map_err(|refusal| refusal.field("token"))
    }

    /// What a subscription token that came with a command opens.
    pub(crate) fn granted(&self, token: Option<&str>) -> Granted<'_> {
        let token = token?;
        let found = self.topics.iter().find(|(known, _)| known == token);
        Some(found.map_or_else(
            || {
                Err(Refusal::new(ErrorCode::InvalidToken, "the subscription token is not valid")
                    .field("token"))
            },
            |(_, outcome)| outcome.as_ref().map_err(Clone::clone),
        ))
    }
}

/// Verifies what a frame carries.
pub(crate) async fn verify(identity: &Identity, wanted: Wanted) -> Verified {
    let mut verified = Verified::default();
    for (token_use, token) in wanted {
        match token_use {
            TokenUse::Login => {
                let outcome = identity.bearer(&token).await;
                verified.logins.push((token, outcome));
            }
            TokenUse::Topic => {
                let outcome = identity.subscription(&token).await;
                verified.topics.push((token, outcome));
            }
        }
    }
    verified
}
