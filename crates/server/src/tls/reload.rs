//! Reloading the certificate without a restart: at SIGHUP, and when a check once a minute finds other files.
//!
//! The pair is read and checked first. A valid one serves every handshake from then on; an invalid one changes nothing
//! and is logged once, until the files change again or SIGHUP requests a reload.

use super::Tls;
use fanfare_config::ConfigError;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Interval between two checks of the files.
const LOOK: Duration = Duration::from_secs(60);
/// Checks between two warnings of the same expiry.
const LOOKS_A_DAY: u32 = 24 * 60;

/// The contents of the files when they were last tried.
type Seen = Option<(Vec<u8>, Vec<u8>)>;

/// Handles SIGHUP from now on; the future reloads the certificate until it is dropped. A server without one handles the
/// signal too, which would end it otherwise, and logs that there is nothing to do.
///
/// # Errors
/// If the signal handler cannot be installed.
pub fn reload(tls: Option<Tls>) -> std::io::Result<impl Future<Output = ()>> {
    Ok(renewing(tls, signal(SignalKind::hangup())?))
}

async fn renewing(tls: Option<Tls>, mut hangup: Signal) {
    let Some(tls) = tls else {
        while hangup.recv().await.is_some() {
            tracing::warn!("SIGHUP reloads the certificate, and this server has none; nothing was changed");
        }
        return std::future::pending().await;
    };
    let mut every = interval_at(Instant::now() + LOOK, LOOK);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = tls.files.bytes().ok();
    let mut looks = 0_u32;
    loop {
        let asked = tokio::select! {
            signal = hangup.recv() => { if signal.is_none() { std::future::pending::<()>().await } true }
            _ = every.tick() => false,
        };
        looks = looks.wrapping_add(1);
        let (look, remind) = (tls.clone(), looks.is_multiple_of(LOOKS_A_DAY));
        let looked = tokio::task::spawn_blocking(move || {
            look.renew(&mut seen, asked);
            if remind && let Ok(certificate) = look.files.read() {
                certificate.warn_of_end();
            }
            seen
        });
        seen = match looked.await {
            Ok(seen) => seen,
            Err(error) => {
                tracing::error!(%error, "the certificate files could not be read");
                None
            }
        };
    }
}

impl Tls {
    /// Tries the files if they are new or a reload was requested (`asked`).
    fn renew(&self, seen: &mut Seen, asked: bool) {
        let now = self.files.bytes();
        if !asked && now.as_ref().ok() == seen.as_ref() {
            return;
        }
        *seen = now.as_ref().ok().cloned();
        match self.swap() {
            Ok(()) => tracing::info!("tls.cert was reloaded; new connections get it"),
            Err(error) => tracing::error!(%error, "the new certificate is invalid; the old one stays in use"),
        }
    }

    fn swap(&self) -> Result<(), ConfigError> {
        let certificate = self.files.read()?;
        certificate.warn();
        *self.current.0.write() = certificate.certified;
        Ok(())
    }
}
