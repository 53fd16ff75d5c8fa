//! When the authority would have a certificate renewed (ARI, RFC 9773); many authorities do not say.

use std::time::Duration;

use instant_acme::CertificateIdentifier;
use rustls::pki_types::CertificateDer;

use super::Keeper;
use crate::acme::{AcmeError, ward};
use crate::base::Timestamp;
use crate::config::Acme;
use crate::tasks::Tasks;

/// Until an authority that suggests no time for renewal is asked again.
const NO_WINDOW: Duration = Duration::from_hours(24);

impl Keeper {
    /// Asks when the authority would have a certificate renewed (RFC 9773); many do not say.
    pub(super) async fn ask_window(&self, id: &str, settings: &Acme, tasks: &Tasks) {
        let leaf = {
            let board = self.board.lock();
            let held = board.wards.get(id).and_then(|ward| ward.held.as_ref());
            held.and_then(|held| held.key.cert.first().cloned())
        };
        let window = match leaf {
            Some(leaf) => self.window(&leaf, settings, tasks).await,
            None => None,
        };
        let now = self.parts.clock.now();
        if let Some(ward) = self.board.lock().wards.get_mut(id) {
            let (window, again) = window.map_or((None, NO_WINDOW), |(window, again)| {
                (Some(window), ward::until_asked_again(again))
            });
            // A suggestion that cannot be had for once is no reason to forget the one before.
            ward.window = window.or(ward.window);
            ward.ask_window_at = Some(now.plus(again));
        }
    }

    async fn window(
        &self,
        leaf: &CertificateDer<'static>,
        settings: &Acme,
        tasks: &Tasks,
    ) -> Option<((Timestamp, Timestamp), Duration)> {
        let id = CertificateIdentifier::try_from(leaf).ok()?;
        let account = self.account(settings, tasks).await;
        let asked = match account {
            Ok(account) => account.renewal_info(&id).await.map_err(AcmeError::from),
            Err(error) => Err(error),
        };
        match asked {
            Ok((info, again)) => {
                let window = info.suggested_window;
                let at = |time: i128| {
                    Timestamp::from_micros(i64::try_from(time / 1000).unwrap_or(i64::MAX))
                };
                let (start, end) = (
                    window.start.unix_timestamp_nanos(),
                    window.end.unix_timestamp_nanos(),
                );
                (start < end).then_some(((at(start), at(end)), again))
            }
            Err(error) => {
                tracing::debug!(
                    error = error.told(),
                    "the authority suggests no time for renewal"
                );
                None
            }
        }
    }
}
