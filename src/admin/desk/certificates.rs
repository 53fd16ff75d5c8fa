//! What operators ask about certificates: which are in force, and to renew one now.

use std::fmt;
use std::sync::Arc;

use super::Desk;
use crate::acme::{Keeper, RenewError, Status};
use crate::admin::call::{AdminError, Certificate, CertificateCall, Reply};
use crate::audit::{Action, Actor, SecurityEvent};
use crate::base::Timestamp;
use crate::tls;
use crate::tls::certificates::{Loaded, Origin};

/// The certificates of the running server.
#[derive(Clone)]
pub(crate) struct Certificates {
    pub(crate) in_force: Arc<tls::Certificates>,
    pub(crate) keeper: Arc<Keeper>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

impl Certificates {
    pub(super) async fn perform(
        &self,
        call: CertificateCall,
        actor: Actor,
        desk: &Desk,
    ) -> Result<Reply, AdminError> {
        match call {
            CertificateCall::List => Ok(Reply::Certificates(self.list(desk.clock.now()))),
            CertificateCall::Renew { name } => {
                let event = SecurityEvent::new(desk.ready()?, Action::AdminActed).by(actor);
                let event = event
                    .detail("portcullis.admin.action", "cert renew")
                    .detail(
                        "portcullis.certificate.names",
                        name.as_deref().unwrap_or("all"),
                    );
                desk.audit
                    .record_durably(event)
                    .await
                    .map_err(|error| AdminError::Unavailable(error.to_string()))?;
                let renewed = self.keeper.renew(name.as_deref()).await;
                let certificates = renewed.map_err(|error| match error {
                    RenewError::NotConfigured => AdminError::Unusable(error.to_string()),
                    RenewError::Unknown(_) => AdminError::NotFound(error.to_string()),
                    RenewError::Failed(_) | RenewError::Stopped => {
                        AdminError::Unavailable(error.to_string())
                    }
                })?;
                Ok(Reply::Renewed { certificates })
            }
        }
    }

    /// Those that are looked after first, then files and what our own authority made.
    fn list(&self, now: Timestamp) -> Vec<Certificate> {
        let obtained = self
            .keeper
            .status()
            .into_iter()
            .map(|status| told(status, now));
        let in_force = self.in_force.list();
        let other = in_force
            .iter()
            .filter(|loaded| loaded.origin != Origin::Acme)
            .map(served);
        obtained.chain(other).collect()
    }
}

fn told(status: Status, now: Timestamp) -> Certificate {
    Certificate {
        names: status.names.iter().map(ToString::to_string).collect(),
        source: Origin::Acme.word().to_owned(),
        state: status.state.word().to_owned(),
        not_after: status.not_after.map(Into::into),
        due: Some(status.due.max(now).into()),
        failures: status.failures,
        problem: status.problem,
    }
}

fn served(loaded: &Loaded) -> Certificate {
    Certificate {
        names: loaded.names.iter().map(ToString::to_string).collect(),
        source: loaded.origin.word().to_owned(),
        state: "current".to_owned(),
        not_after: Some(loaded.not_after.into()),
        due: None,
        failures: 0,
        problem: None,
    }
}
