//! Which inputs a policy can look at.
//!
//! The decision memory trusts this: what is missed here could make an old answer stand for a new question. So every
//! expression that is not understood counts as reading everything.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::pst::{
    BinaryOp, Clause, EntityOrSlot, Expr, Literal, PrincipalConstraint, Template, UnaryOp, Var,
};

use super::pattern::Pattern;

/// The inputs that a policy, or a part of one, can look at. The action and the target are not listed: every
/// decision is about one of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Who it is, beyond whether it is a person or a service: id, groups, attributes, and the facts of the session.
    pub(crate) caller: bool,
    /// The path itself.
    pub(crate) path: bool,
    /// Only whether the path matches these.
    pub(crate) patterns: BTreeSet<Pattern>,
    pub(crate) host: bool,
    pub(crate) method: bool,
    pub(crate) request_id: bool,
    pub(crate) client: bool,
    pub(crate) country: bool,
    /// Certificate, device, token or grant.
    pub(crate) credentials: bool,
    pub(crate) session: bool,
    /// Weekday, minute or date: fixed within one minute.
    pub(crate) calendar: bool,
    /// The exact time, or the age of the second factor.
    pub(crate) instant: bool,
}

impl Reads {
    /// All there is.
    pub(crate) const fn everything() -> Self {
        Self {
            caller: true,
            path: true,
            patterns: BTreeSet::new(),
            host: true,
            method: true,
            request_id: true,
            client: true,
            country: true,
            credentials: true,
            session: true,
            calendar: true,
            instant: true,
        }
    }

    /// Everything that `self` or `other` reads.
    pub(crate) fn add(&mut self, other: &Self) {
        self.caller |= other.caller;
        self.path |= other.path;
        self.patterns.extend(other.patterns.iter().cloned());
        self.host |= other.host;
        self.method |= other.method;
        self.request_id |= other.request_id;
        self.client |= other.client;
        self.country |= other.country;
        self.credentials |= other.credentials;
        self.session |= other.session;
        self.calendar |= other.calendar;
        self.instant |= other.instant;
    }

    /// `true` when the answer can change although nothing but time has passed.
    pub(crate) const fn is_timed(&self) -> bool {
        self.calendar || self.instant
    }

    /// `true` when it asks anything about the connection's other end.
    pub(crate) const fn asks_client(&self) -> bool {
        self.client || self.country || self.credentials
    }

    /// `true` when it asks anything about the path.
    pub(crate) fn asks_path(&self) -> bool {
        self.path || !self.patterns.is_empty()
    }

    /// What the whole of `policy` reads.
    pub(crate) fn of_policy(policy: &Template) -> Self {
        let mut reads = Self::of_scope(&policy.principal);
        for clause in policy.clauses() {
            match clause {
                Clause::When(expr) | Clause::Unless(expr) => reads.walk(expr),
            }
        }
        reads
    }

    /// What one expression reads.
    pub(crate) fn of(expr: &Expr) -> Self {
        let mut reads = Self::default();
        reads.walk(expr);
        reads
    }

    fn of_scope(principal: &PrincipalConstraint) -> Self {
        let caller = match principal {
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => false,
            PrincipalConstraint::Eq(EntityOrSlot::Entity(_) | EntityOrSlot::Slot(_))
            | PrincipalConstraint::In(EntityOrSlot::Entity(_) | EntityOrSlot::Slot(_))
            | PrincipalConstraint::IsIn(_, EntityOrSlot::Entity(_) | EntityOrSlot::Slot(_)) => true,
        };
        Self {
            caller,
            ..Self::default()
        }
    }

    fn walk(&mut self, expr: &Expr) {
        match expr {
            Expr::Literal(_) | Expr::Var(Var::Action | Var::Resource) => {}
            Expr::Var(Var::Principal) => self.caller = true,
            Expr::GetAttr { .. } => self.attribute(expr, &[]),
            Expr::HasAttr { expr, attrs } => {
                let attrs: Vec<&str> = attrs.iter().map(|attr| attr.as_str()).collect();
                self.has(expr, &attrs);
            }
            Expr::Like { expr, pattern } if is_path(expr) => {
                self.patterns.insert(Pattern::new(pattern));
            }
            Expr::BinaryOp {
                op: BinaryOp::Eq | BinaryOp::NotEq,
                left,
                right,
            } => self.comparison(left, right),
            Expr::BinaryOp { left, right, .. } => {
                self.walk(left);
                self.walk(right);
            }
            Expr::UnaryOp { expr, .. } | Expr::Like { expr, .. } => self.walk(expr),
            Expr::Is { expr, in_expr, .. } => {
                // Whether it is a person or a service is always part of the key.
                if in_expr.is_some() || !matches!(**expr, Expr::Var(Var::Principal)) {
                    self.walk(expr);
                }
                if let Some(inner) = in_expr {
                    self.walk(inner);
                }
            }
            Expr::IfThenElse {
                cond,
                then_expr,
                else_expr,
            } => [cond, then_expr, else_expr]
                .into_iter()
                .for_each(|part| self.walk(part)),
            Expr::Set(items) => items.iter().for_each(|item| self.walk(item)),
            Expr::Record(fields) => fields.values().for_each(|field| self.walk(field)),
            Expr::Var(Var::Context) | Expr::Slot(_) | Expr::Unknown { .. } | _ => {
                self.add(&Self::everything());
            }
        }
    }

    /// `path == "text"` asks less than the path itself.
    fn comparison(&mut self, left: &Expr, right: &Expr) {
        match (left, right) {
            (path, Expr::Literal(Literal::String(text)))
            | (Expr::Literal(Literal::String(text)), path)
                if is_path(path) =>
            {
                self.patterns.insert(Pattern::exactly(text));
            }
            (left, right) => {
                self.walk(left);
                self.walk(right);
            }
        }
    }

    /// `expr has a.b`: presence is less than the value, except that we tell them apart only for the session.
    fn has(&mut self, expr: &Expr, attrs: &[&str]) {
        if matches!(expr, Expr::Var(Var::Context)) && attrs == ["session"] {
            self.caller = true;
            self.session = true;
        } else {
            self.attribute(expr, attrs);
        }
    }

    /// `expr.tail`, where `expr` may be such a chain itself.
    fn attribute(&mut self, expr: &Expr, tail: &[&str]) {
        let mut names: Vec<&str> = tail.iter().rev().copied().collect();
        let mut inner = expr;
        while let Expr::GetAttr { expr, attr } = inner {
            names.push(attr);
            inner = expr;
        }
        names.reverse();
        if matches!(inner, Expr::Var(Var::Context)) {
            self.context(&names);
        } else {
            self.walk(inner);
        }
    }

    fn context(&mut self, names: &[&str]) {
        match names {
            ["request", "path", ..] => self.path = true,
            ["request", "host", ..] => self.host = true,
            ["request", "method", ..] => self.method = true,
            ["request", "id", ..] => self.request_id = true,
            ["client", "ip", ..] => self.client = true,
            ["client", "country", ..] => self.country = true,
            ["client", "mtls", ..] | ["device" | "token" | "grant", ..] => self.credentials = true,
            ["time", "weekday" | "minute" | "date", ..] => self.calendar = true,
            ["time", "now", ..] => self.instant = true,
            ["session", "verified_at", ..] | ["session"] => {
                self.caller = true;
                self.session = true;
                self.instant = true;
            }
            ["session", ..] => {
                self.caller = true;
                self.session = true;
            }
            _ => self.add(&Self::everything()),
        }
    }
}

fn is_path(expr: &Expr) -> bool {
    let Expr::GetAttr { expr, attr } = expr else {
        return false;
    };
    let Expr::GetAttr { expr, attr: outer } = &**expr else {
        return false;
    };
    attr == "path" && outer == "request" && matches!(**expr, Expr::Var(Var::Context))
}

/// The conditions of `policy` as one list of which all must hold, in the order in which Cedar evaluates them.
/// A condition that does not hold keeps Cedar from looking at those after it.
pub(crate) fn conditions(policy: &Template) -> Vec<Arc<Expr>> {
    let mut found = Vec::new();
    for clause in policy.clauses() {
        match clause {
            Clause::When(expr) => split(expr, false, &mut found),
            Clause::Unless(expr) => split(expr, true, &mut found),
        }
    }
    found
}

/// `a && b` is two conditions, and so is `!(a || b)`; both stop at the first that fails.
fn split(expr: &Arc<Expr>, negated: bool, found: &mut Vec<Arc<Expr>>) {
    let joint = if negated { BinaryOp::Or } else { BinaryOp::And };
    if let Expr::BinaryOp { op, left, right } = &**expr
        && *op == joint
    {
        split(left, negated, found);
        split(right, negated, found);
    } else if let Some(inner) = negation(expr) {
        split(inner, !negated, found);
    } else if negated {
        let expr = Arc::clone(expr);
        found.push(Arc::new(Expr::UnaryOp {
            op: UnaryOp::Not,
            expr,
        }));
    } else {
        found.push(Arc::clone(expr));
    }
}

/// What `expr` is the negation of.
pub(crate) fn negation(expr: &Expr) -> Option<&Arc<Expr>> {
    if let Expr::UnaryOp {
        op: UnaryOp::Not,
        expr,
    } = expr
    {
        Some(expr)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::Policy;

    use super::*;

    fn reads(conditions: &str) -> Reads {
        let text = format!("permit(principal, action, resource) {conditions};");
        let policy = Policy::parse(None, text).unwrap();
        let written = Reads::of_policy(policy.to_pst().unwrap().body());
        let evaluated = cedar_policy::pst::Policy::try_from(policy.as_ref().clone()).unwrap();
        assert_eq!(Reads::of_policy(evaluated.body()), written);
        written
    }

    #[test]
    fn a_policy_without_conditions_reads_nothing() {
        assert_eq!(reads(""), Reads::default());
    }

    #[test]
    fn a_path_that_is_only_matched_counts_as_its_patterns() {
        let found =
            reads("when { context.request.path like \"/a/*\" || context.request.path == \"/b\" }");
        assert!(!found.path);
        assert_eq!(found.patterns.len(), 2);
        assert!(reads("when { context.request.path.contains(\"x\") }").path);
        assert!(reads("when { [\"/a\"].contains(context.request.path) }").path);
    }

    #[test]
    fn a_whole_record_counts_as_everything_in_it() {
        assert_eq!(
            reads("when { context.request == context.request }"),
            Reads::everything()
        );
        assert_eq!(reads("when { context has \"time\" }"), Reads::everything());
        assert_eq!(
            reads("when { (if true then context else context).time.minute == 1 }"),
            Reads::everything()
        );
    }

    #[test]
    fn time_is_told_apart_by_how_fast_it_changes() {
        let minute = reads("when { context.time.minute > 3 }");
        assert!(minute.calendar && !minute.instant);
        let now = reads("when { context.time.now < context.time.now }");
        assert!(now.instant);
        assert!(reads("when { context has session && context.session.verified_at < context.session.signed_in_at }").instant);
        assert!(!reads("when { context has session }").is_timed());
    }

    #[test]
    fn every_mention_of_the_caller_counts_except_its_kind() {
        assert!(!reads("when { principal is User }").caller);
        assert!(reads("when { principal is User in Group::\"x\" }").caller);
        assert!(reads("when { principal.contractor }").caller);
        assert!(reads("when { resource.tenant == principal.tenant }").caller);
        assert!(reads("when { context has session }").caller);
    }

    #[test]
    fn conditions_are_split_where_evaluation_can_stop() {
        let text = "permit(principal, action, resource) when { true && !(false || principal has x) } unless { false };";
        let policy = Policy::parse(None, text).unwrap().to_pst().unwrap();
        assert_eq!(conditions(policy.body()).len(), 4);
    }
}
