//! Carries a permitted request to its upstream and brings the answer back.
//!
//! Nothing leaves without a permit and a receipt, and nobody waits for an answer longer than the permission holds.

use std::sync::Arc;

use http::Response;

use super::again;
use super::identity::statements;
use super::record::{Record, admission};
use super::refusal::{Failed, Refusal};
use super::stream::{Opened, Stream};
use super::{Carried, Gateway, Granted};
use crate::audit::AnsweredBy;
use crate::authz::Permit;
use crate::base::{Facts, Peer};
use crate::message::response::Came;
use crate::message::{Body, CleanRequest, security};
use crate::plan::{Plan, RequestContext};
use crate::route::Route;
use crate::upstream::request::Destination;
use crate::upstream::{Forwarded, Group, Report, UpstreamRequest};

impl Gateway {
    /// From the permit to the answer: say who asks, write the admission down, forward, clean the answer.
    pub(super) async fn forward(
        &self,
        request: CleanRequest,
        granted: Granted<'_>,
        cx: &RequestContext,
        record: &mut Record,
    ) -> Result<Carried, Refusal> {
        let RequestContext { facts, plan, .. } = cx;
        let Granted {
            authn,
            permit,
            route,
        } = granted;
        let principal = authn.principal();
        let said = statements(&self.shared.assertions, principal, route, cx)
            .map_err(|_key| Refusal::SignerUnavailable)?;
        let group = Arc::clone(plan.upstream_of(route).ok_or(Refusal::NoRoute)?);
        let destination = Destination {
            group: &group,
            preserve_host: route.preserve_host,
            statements: said,
            ended: principal.map(|principal| principal.session.cancelled.clone()),
        };
        let receipt = record
            .admit(admission(permit, route, &request, facts))
            .await?;
        let opened = Opened::of(&request, granted, facts);
        let asking = route.responses.asking(&request);
        let outgoing = UpstreamRequest::build(
            request.onward(facts.client, &facts.peer, &plan.message),
            permit,
            &receipt,
            destination,
        );
        let forwarded = self
            .exchange(outgoing, (route, &group), (&facts.peer, record))
            .await?;
        log_carried(&forwarded.report, permit, facts);
        let (tunnel, response) = (forwarded.tunnel, forwarded.response);
        let stream = tunnel.zip(opened).map(|(tunnel, opened)| {
            Box::new(Stream {
                tunnel,
                idle: plan.config.server.limits.upgrade_idle_timeout,
                opened,
            })
        });
        let came = Came {
            asking: &asking,
            target: &forwarded.report.target,
        };
        let response = clean(response, route, plan, &came, record);
        Ok(Carried {
            response,
            stream,
            permitted: true,
        })
    }

    /// Waits for the head of the upstream's answer, for as long as the permission holds.
    async fn exchange(
        &self,
        outgoing: UpstreamRequest,
        (route, group): (&Arc<Route>, &Group),
        (peer, record): (&Peer, &mut Record),
    ) -> Result<Forwarded, Refusal> {
        let mut lost = None;
        let mut permission = || {
            let judged = again::judge(record, peer, &self.shared);
            judged.inspect_err(|reason| lost = Some(*reason))
        };
        let outcome = self.pools.forward(outgoing, &mut permission).await;
        if let Some(reason) = lost {
            return Err(Refusal::PermissionLost(reason));
        }
        match outcome {
            Ok(forwarded) => {
                let Report { target, meter, .. } = &forwarded.report;
                record.carried(&group.name, Some(target), Some(Arc::clone(meter)));
                Ok(forwarded)
            }
            Err(error) => {
                record.carried(&group.name, error.target.as_ref(), None);
                Err(Refusal::Upstream(Box::new(Failed {
                    error,
                    route: Arc::clone(route),
                    patience: group.timeouts.first_byte,
                })))
            }
        }
    }
}

/// An upstream's answer with its headers cleaned.
fn clean(
    mut response: Response<Body>,
    route: &Route,
    plan: &Plan,
    came: &Came<'_>,
    record: &mut Record,
) -> Response<Body> {
    let status = response.status();
    record.answered(status.as_u16(), AnsweredBy::Upstream);
    security::from_upstream(
        status,
        response.headers_mut(),
        &plan.message,
        &route.responses,
        came,
    );
    response
}

/// For whoever looks into a slow upstream: how the connection came about and how long the first byte took.
fn log_carried(report: &Report, permit: &Permit, facts: &Facts) {
    tracing::debug!(
        id = %facts.id,
        target = &*report.target,
        connect = ?report.connect,
        first_byte = ?report.first_byte,
        remembered = permit.is_remembered(),
        route = permit.route().map(tracing::field::debug),
        "the upstream answered"
    );
}
