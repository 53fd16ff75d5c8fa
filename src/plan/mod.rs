//! The configuration, compiled: what one request is served under, from its first step to its last.
//!
//! A [`Plan`] is immutable and is swapped whole. Compiling reports every problem it can find; a failed compile leaves
//! nothing behind, so the plan before it stays in force. Counters and connections that a reload must not reset are
//! carried over by the parts themselves, which get the previous plan to look at.

pub(crate) mod context;
mod policies;

use std::path::Path;
use std::sync::Arc;

use data_encoding::HEXLOWER;

use crate::audit::Revision;
use crate::authn::rules::Rules as AuthnRules;
use crate::authz::Policies;
use crate::authz::cases::Report;
use crate::base::{Authority, Host, MAIN_LISTENER};
use crate::config::{self, Config, Loaded, Problems};
use crate::keys;
use crate::limit::Limits;
use crate::message;
use crate::pages::Brand;
use crate::route::{Route, RouteTable};
use crate::upstream::{Group, Groups};

pub(crate) use context::RequestContext;
pub(crate) use policies::Untested;

/// Everything that a request needs to know about the configuration.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Counted from 1 at the start of the process.
    pub(crate) generation: u64,
    pub(crate) config: Config,
    /// SHA-256 over the files that were read, 16 hexadecimal digits of it, and the same over the policies, those made
    /// from `allow` included.
    pub(crate) revision: Arc<Revision>,
    pub(crate) message: message::Rules,
    pub(crate) limits: Limits,
    pub(crate) routes: RouteTable,
    pub(crate) policies: Policies,
    /// What the policy tests said: all of them passed.
    pub(crate) tested: Report,
    pub(crate) brand: Arc<Brand>,
    upstreams: Groups,
    /// By [`Route::index`].
    behind: Vec<Arc<Group>>,
}

/// A plan, and what should still be looked at.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) plan: Plan,
    pub(crate) warnings: Problems,
}

impl Plan {
    /// Reads the configuration at `path` and everything it refers to.
    ///
    /// # Errors
    /// Every problem found, with the warnings among them. `previous` is what a reload replaces.
    pub(crate) fn load(path: &Path, previous: Option<&Self>) -> Result<Compiled, Problems> {
        let Loaded { config, warnings } = config::load(path)?;
        Self::compile(config, warnings, previous)
    }

    /// Compiles what was read.
    ///
    /// # Errors
    /// As [`Plan::load`].
    pub(crate) fn compile(
        config: Config,
        mut problems: Problems,
        previous: Option<&Self>,
    ) -> Result<Compiled, Problems> {
        let generation = previous.map_or(1, |plan| plan.generation + 1);
        let routes = RouteTable::compile(&config, &mut problems);
        let upstreams = Groups::compile(
            &config.upstreams,
            previous.map(|plan| &plan.upstreams),
            &mut problems,
        );
        let policies = policies::compile(&config, &mut problems);
        let brand = brand(&config, &mut problems);
        problems.settle();
        let (Some(policies), Some(brand), false) = (policies, brand, problems.has_errors()) else {
            return Err(problems);
        };
        let cases = policies::cases(&config, &routes, &mut problems);
        let tested = policies::test(&policies, &cases, &mut problems);
        problems.settle();
        if problems.has_errors() {
            return Err(problems);
        }
        let behind = behind(&routes, &upstreams);
        let plan = Self {
            generation,
            revision: Arc::new(Revision {
                config: digest(config.texts()),
                policies: digest(policies.rules().map(|rule| rule.text())),
            }),
            message: message::Rules::compile(&config),
            limits: Limits::compile(&config, previous.map(|plan| &plan.limits)),
            routes,
            policies,
            tested,
            brand: Arc::new(brand),
            upstreams,
            behind,
            config,
        };
        Ok(Compiled {
            plan,
            warnings: problems,
        })
    }

    /// The servers behind a route of this plan.
    pub(crate) fn upstream_of(&self, route: &Route) -> Option<&Arc<Group>> {
        self.behind.get(route.index)
    }

    /// Every upstream, by name.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.upstreams.iter()
    }

    pub(crate) fn portal(&self) -> &Authority {
        &self.config.server.portal
    }

    pub(crate) fn is_portal(&self, host: &Host) -> bool {
        *host == self.portal().host
    }

    /// `true` for the portal's host and every host that a route has.
    pub(crate) fn serves(&self, host: &Host) -> bool {
        self.is_portal(host) || self.routes.knows(host)
    }

    /// The same among what one listener serves. An app on the portal's host is where the portal is.
    pub(crate) fn serves_on(&self, host: &Host, listener: &str) -> bool {
        if !self.is_portal(host) {
            return self.routes.knows_on(host, listener);
        }
        let further = self.config.listeners.get(listener);
        further.map_or(listener == MAIN_LISTENER, |further| further.portal)
    }

    /// `true` when a TLS handshake for the host may go on. With several listeners each knows only what it serves, so
    /// that one of them cannot be asked what the others have.
    pub(crate) fn shakes_hands(&self, host: &Host, listener: &str) -> bool {
        self.config.listeners.is_empty() || self.serves_on(host, listener)
    }

    /// The port in addresses of a route: the portal's, or that of the first listener where only others serve it.
    pub(crate) fn port_of(&self, route: &Route) -> Option<u16> {
        if route.is_on(MAIN_LISTENER) {
            return self.portal().port;
        }
        let listener = route.listeners.first()?;
        let address = self.config.listeners.get(listener)?.listen.first()?;
        Some(address.port()).filter(|port| *port != 443)
    }

    /// `https://login.example.com`, with the port when it is not 443.
    pub(crate) fn portal_origin(&self) -> String {
        format!("https://{}", self.portal())
    }

    /// What `authn` takes from the configuration.
    pub(crate) fn authn_rules(&self) -> AuthnRules {
        let (auth, session) = (&self.config.auth, &self.config.session);
        AuthnRules {
            portal: self.portal().clone(),
            issuer: self.config.server.branding.name.clone(),
            session: crate::authn::session::rules::SessionRules {
                lifetime: session.lifetime,
                idle: session.idle,
                step_up: session.step_up,
            },
            per_user: session.per_user,
            backoff: crate::store::Backoff {
                after: auth.lockout.after,
                delay: auth.lockout.delay,
                max_delay: auth.lockout.max_delay,
            },
            password: keys::PasswordPolicy {
                min_length: auth.password.min_length,
                max_length: auth.password.max_length,
            },
            recovery_codes: usize::from(auth.recovery_codes),
            enrolment_life: auth.enrolment_life,
            second_step_life: auth.second_step_life,
            handover_life: auth.handover_life,
        }
    }
}

/// One upstream per route, in the routes' order. A route whose upstream could not be compiled has been reported.
fn behind(routes: &RouteTable, upstreams: &Groups) -> Vec<Arc<Group>> {
    routes
        .routes()
        .iter()
        .filter_map(|route| upstreams.find(&route.upstream).cloned())
        .collect()
}

fn brand(config: &Config, problems: &mut Problems) -> Option<Brand> {
    let written = &config.server.branding;
    let mut brand = Brand {
        name: written.name.clone(),
        support: written.support.clone(),
        notice: written.notice.clone(),
        ..Brand::default()
    };
    let parts = [
        ("privacy", written.privacy.as_deref()),
        (
            "accent",
            written.accent.as_ref().map(config::Colour::as_str),
        ),
    ];
    for (key, value) in parts {
        let Some(value) = value else { continue };
        let made = if key == "privacy" {
            brand.with_privacy(value)
        } else {
            brand.with_accent(value)
        };
        match made {
            Ok(made) => brand = made,
            Err(error) => {
                problems
                    .error("PC1130")
                    .message(format!("[server.branding] {key}: {error}"));
                return None;
            }
        }
    }
    Some(brand)
}

fn digest(texts: impl Iterator<Item = impl AsRef<str>>) -> Box<str> {
    let mut all = Vec::new();
    for text in texts {
        all.extend_from_slice(text.as_ref().as_bytes());
        all.push(0);
    }
    let hash = keys::sha256(&all);
    HEXLOWER.encode(hash.get(..8).unwrap_or_default()).into()
}
