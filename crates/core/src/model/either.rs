//! Outcomes that may have to be waited for.

use super::Refusal;
use std::future::Future;
use std::pin::Pin;

/// A result, or a future of it.
pub enum Either<T> {
    /// The result.
    Now(T),
    /// Resolves to the result. The work has begun and does not depend on the future being polled.
    Later(Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send>>),
}

impl<T> Either<T> {
    /// The same with another type of result.
    #[must_use]
    pub fn map<U>(self, with: impl FnOnce(T) -> U + Send + 'static) -> Either<U>
    where
        T: 'static,
    {
        match self {
            Either::Now(value) => Either::Now(with(value)),
            Either::Later(wait) => Either::Later(Box::pin(async move { wait.await.map(with) })),
        }
    }

    /// The same with another type of result, which not every value has.
    ///
    /// # Errors
    /// Of `with`, where the value is there.
    pub fn and_then<U>(
        self,
        with: impl FnOnce(T) -> Result<U, Refusal> + Send + 'static,
    ) -> Result<Either<U>, Refusal>
    where
        T: 'static,
    {
        Ok(match self {
            Either::Now(value) => Either::Now(with(value)?),
            Either::Later(wait) => Either::Later(Box::pin(async move { with(wait.await?) })),
        })
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// Of the future.
    pub async fn resolve(self) -> Result<T, Refusal> {
        match self {
            Self::Now(value) => Ok(value),
            Self::Later(wait) => wait.await,
        }
    }
}

impl<T> std::fmt::Debug for Either<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Now(_) => "Now",
            Self::Later(_) => "Later",
        })
    }
}
