//! `[rate_limit.NAME]`, `[group.NAME]`, `[tenant.NAME]` and `[policy]`: what rules refer to.

use std::path::PathBuf;

use super::source::{At, Spanned};
use super::table::table;
use super::types::{Rate, Subject, Timezone};
use super::words::words;

table! {
    /// A rate that routes can refer to. Beyond it requests are answered 429 with Retry-After.
    RateLimit ["rate_limit.NAME"] {
        /// Requests per time.
        rate: Rate = required, reload;
        /// Requests that may come at once; the rate's count when absent.
        burst: Option<u32> = none, reload;
        /// Whose requests are counted together.
        by: By = "principal", reload;
    }
}

impl RateLimit {
    /// Requests that may come at once.
    pub(crate) fn burst(&self) -> u32 {
        self.burst.unwrap_or(self.rate.count)
    }
}

words! {
    /// Whose requests are counted together.
    By {
        /// Those of one person; before sign-in, of one address.
        Principal = "principal",
        /// Those of one address (IPv6: one /64).
        Address = "client.address",
        /// All of the route.
        Route = "route",
    }
}

table! {
    /// A group whose members are written here, besides those added with `portcullis user group add`.
    Group ["group.NAME"] {
        /// `"user:EMAIL"` or `"group:NAME"`.
        members: Vec<Spanned<Subject>> = [], reload;
    }
    derived {
        /// Where the table's name stands.
        at: At;
    }
}

table! {
    /// A company or department whose apps and people belong together: `Tenant::"NAME"` in policies.
    ///
    /// Without such a table there is one tenant, `default`.
    Tenant ["tenant.NAME"] {
        /// Name that people read; the table's name when absent.
        title: Option<String> = none, reload;
        /// The clock that policies see in `context.time`; that of `[server]` when absent.
        timezone: Option<Timezone> = none, reload;
    }
}

table! {
    /// Where the rules are.
    PolicyFiles ["policy"] {
        /// Folder with `*.cedar` files.
        dir: Spanned<PathBuf> = "policies", reload;
        /// Folder with test cases; `tests` in `dir` when absent. A failing case refuses a reload.
        tests: Option<Spanned<PathBuf>> = none, reload;
    }
}
