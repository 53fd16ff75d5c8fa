//! The launcher: the apps that a person may open, as policy sees it while the page is made.

use askama::Template;

use super::frame::Frame;

/// What opening an app would give right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    Open,
    /// A fresh second factor is asked for on the way.
    NeedsConfirm,
    /// Refused, and the route lets us say why.
    Locked {
        why: String,
    },
}

/// One app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) title: String,
    /// One line; may be empty.
    pub(crate) description: String,
    /// Host and path as people know them, such as `grafana.example.com`.
    pub(crate) address: String,
    /// Where the tile leads; for a locked one, to the page that explains.
    pub(crate) href: String,
    pub(crate) access: Access,
}

impl Tile {
    /// The letter on the tile, a sign to the eye only.
    fn initial(&self) -> String {
        self.title
            .chars()
            .take(1)
            .flat_map(char::to_uppercase)
            .collect()
    }
}

/// The launcher page.
#[derive(Debug, Clone, Template)]
#[template(path = "apps.html")]
pub(crate) struct Apps {
    pub(crate) frame: Frame,
    pub(crate) greeting: String,
    /// What was searched for; empty shows all.
    pub(crate) query: String,
    /// Those that match the query, in the order to show.
    pub(crate) tiles: Vec<Tile>,
    /// Apps before the search.
    pub(crate) total: usize,
    /// The person's groups, for the page without apps.
    pub(crate) groups: Vec<String>,
    /// One sentence to tell, such as the recovery codes left.
    pub(crate) notice: Option<String>,
}
