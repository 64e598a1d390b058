//! Tokens inside commands: verified before the command is executed, and looked up during its execution.
//!
//! Verifying may wait (for the store, for an issuer's keys), commands on a shard may not: a frame whose decoded command
//! has a token is set aside, its tokens are verified on the runtime, and then it runs like any other with the results
//! at hand. Text is never searched for tokens: text that is not a command has none.

use crate::identity::Identity;
use fanfare_core::model::{ErrorCode, Grants, Principal, Refusal, TokenUse};
use std::sync::Arc;

/// The tokens of a frame.
pub type Wanted = Vec<(TokenUse, String)>;

/// The verification results for the tokens of a frame.
#[derive(Debug, Default)]
pub struct Verified {
    logins: Vec<(String, Result<Arc<Principal>, Refusal>)>,
    /// The subscription tokens.
    pub grants: Grants,
}

impl Verified {
    /// Whether the result for a token is known.
    pub fn knows(&self, token_use: TokenUse, token: &str) -> bool {
        match token_use {
            TokenUse::Login => self.logins.iter().any(|(known, _)| known == token),
            TokenUse::Topic => self.grants.knows(token),
        }
    }

    /// The user that a token logs in.
    ///
    /// # Errors
    /// Why the token is rejected.
    pub fn login(&self, token: &str) -> Result<Arc<Principal>, Refusal> {
        let found = self.logins.iter().find(|(known, _)| known == token).map(|(_, outcome)| outcome.clone());
        let refusal = found
            .unwrap_or_else(|| Err(Refusal::new(ErrorCode::Unauthorized, "the token is not valid here")));
        refusal.map_err(|refusal| refusal.field("token"))
    }
}

/// Verifies the tokens of a frame.
pub async fn verify(identity: &Identity, wanted: Wanted) -> Verified {
    let mut verified = Verified::default();
    for (token_use, token) in wanted {
        match token_use {
            TokenUse::Login => {
                let outcome = identity.bearer(&token).await;
                verified.logins.push((token, outcome));
            }
            TokenUse::Topic => {
                let outcome = identity.subscription(&token).await;
                verified.grants.add(token, outcome);
            }
        }
    }
    verified
}
