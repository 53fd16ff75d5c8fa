//! stub
use crate::authn::Principal;
use crate::base::Reason;
use crate::message::{Body, CleanRequest};
use crate::plan::{Plan, RequestContext};
use http::{Method, Response};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Portal;
pub(crate) struct OwnPage {
    pub(crate) response: Response<Body>,
    pub(crate) principal: Option<Arc<Principal>>,
    pub(crate) reason: Reason,
}
impl Portal {
    pub(crate) fn new(
        _a: Arc<crate::authn::Authenticator>,
        _b: Arc<crate::audit::AuditLog>,
        _c: Arc<crate::gateway::identity::Assertions>,
        _d: Arc<crate::telemetry::Metrics>,
    ) -> Self {
        Self
    }
    pub(crate) fn owns(request: &CleanRequest, plan: &Plan) -> bool {
        plan.is_portal(request.host())
    }
    pub(crate) async fn serve(&self, _request: CleanRequest, _cx: &RequestContext) -> OwnPage {
        OwnPage {
            response: Response::new(Body::Empty),
            principal: None,
            reason: Reason::OwnPage,
        }
    }
    pub(crate) fn to_sign_in(
        &self,
        _address: &str,
        _cx: &RequestContext,
    ) -> Option<Response<Body>> {
        None
    }
    pub(crate) fn confirm_address(
        &self,
        address: &str,
        _method: &Method,
        _cx: &RequestContext,
    ) -> String {
        address.to_owned()
    }
}
