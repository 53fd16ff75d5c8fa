//! The policies of one plan: compiled whole or not at all.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use std::time::Duration;

use cedar_policy::{Authorizer, Entities, EntityUid, RestrictedExpression};
use jiff::tz::TimeZone;

use crate::base::PolicyId;
use crate::base::recent::Recent;
use crate::config::{Problems, Source};

use super::entities::Known;
use super::groups::Groups;
use super::memory::Remembered;
use super::routes::{self, RouteFacts};
use super::rule::Rule;
use super::slices::Slices;
use super::study::Index;
use super::{lint, load};

/// Decisions that a worker keeps, over all callers and routes. An entry is about 200 bytes, and at most 700.
const REMEMBERED: usize = 32_768;
/// Callers whose entities a worker keeps.
const CALLERS: usize = 16_384;
/// Callers joined with a target and an action. An entry is about 1 KiB, more for callers in many groups.
const ENTITIES: usize = 4_096;

/// What policies are compiled from.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    pub(crate) files: &'a [Source],
    pub(crate) routes: &'a [RouteFacts],
    pub(crate) groups: &'a Groups,
    pub(crate) names: &'a lint::Names,
    /// The age a step-up asks for on the console when the policy does not say.
    pub(crate) step_up: Duration,
    /// The clock of the console.
    pub(crate) zone: &'a TimeZone,
}

/// Every rule, sliced per route, with the memory of what they decided.
#[derive(Debug)]
pub(crate) struct Policies {
    pub(super) rules: BTreeMap<PolicyId, Rule>,
    pub(super) routes: Vec<RouteFacts>,
    pub(super) slices: Slices,
    pub(super) groups: Groups,
    pub(super) authorizer: Authorizer,
    pub(super) callers: Recent<usize, Arc<Known>>,
    /// Caller, target and action together, as Cedar wants them.
    pub(super) entities: Recent<(u64, u32, EntityUid), Arc<Entities>>,
    /// Client addresses as Cedar's `ip(...)`.
    pub(super) addresses: Recent<IpAddr, RestrictedExpression>,
    pub(super) memory: Recent<Vec<u8>, Remembered>,
    versions: AtomicU64,
}

impl Policies {
    /// Reports every problem it can find; `None` when one of them is an error.
    pub(crate) fn compile(inputs: &Inputs<'_>, problems: &mut Problems) -> Option<Self> {
        let before = problems.errors();
        let mut rules = load::parse(inputs.files, problems);
        let written = rules.len();
        rules.extend(routes::generated(inputs.routes, problems));
        let unique = unique(rules, written, problems);
        if !load::validate(&unique, problems) {
            return None;
        }
        let index = Index::new(&unique);
        if let Some(index) = &index {
            lint::check((&unique, index), inputs.routes, inputs.names, problems);
        }
        if problems.errors() > before {
            return None;
        }
        let of_console = (inputs.zone, inputs.step_up);
        let sliced =
            index.and_then(|index| Slices::compile(inputs.routes, (&unique, &index), of_console));
        let Some(slices) = sliced else {
            problems
                .error("PC2107")
                .message("the policies validate, but cannot be sorted by route");
            return None;
        };
        Some(Self {
            rules: unique
                .into_iter()
                .map(|rule| (rule.id.clone(), rule))
                .collect(),
            routes: inputs.routes.to_vec(),
            slices,
            groups: inputs.groups.clone(),
            authorizer: Authorizer::new(),
            callers: Recent::new(CALLERS),
            entities: Recent::new(ENTITIES),
            addresses: Recent::new(ENTITIES),
            memory: Recent::new(REMEMBERED),
            versions: AtomicU64::new(1),
        })
    }

    /// Every rule, by id.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.values()
    }

    pub(crate) fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.get(id)
    }

    pub(crate) fn routes(&self) -> &[RouteFacts] {
        &self.routes
    }

    /// A number no other caller of this plan has.
    pub(super) fn next_version(&self) -> u64 {
        self.versions.fetch_add(1, Ordering::Relaxed)
    }
}

/// Drops written rules whose id is that of a generated one.
fn unique(rules: Vec<Rule>, written: usize, problems: &mut Problems) -> Vec<Rule> {
    let generated: std::collections::BTreeSet<PolicyId> = rules
        .iter()
        .skip(written)
        .map(|rule| rule.id.clone())
        .collect();
    let mut kept = Vec::with_capacity(rules.len());
    for (position, rule) in rules.into_iter().enumerate() {
        if position < written && generated.contains(&rule.id) {
            let problem = problems.error("PC2103");
            problem
                .message(format!(
                    "`{}` is the id of the policy made from that route",
                    rule.id
                ))
                .help("give this policy an id of its own");
            if let Some(at) = rule.at() {
                problem.at(at);
            }
        } else {
            kept.push(rule);
        }
    }
    kept
}
