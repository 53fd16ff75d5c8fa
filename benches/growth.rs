//! What a request costs as an installation grows: routes, policies, sessions, log. One command, one table.
//!
//! `cargo bench --bench growth` prints for every size the time of one operation and how it compares with the smallest
//! size of the same kind. Cost that grows with the size shows as a ratio near the ratio of sizes; caches that no longer
//! hold everything show as a small one.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement reads the clock, prints, and may simply stop when something is wrong"
)]

mod installation;

use std::hint::black_box;
use std::time::{Duration, Instant};

use installation::install;
use portcullis::benching::growth::{Crowd, GrownTree, LongLog};
use portcullis::benching::{Known, Memory};

/// Every figure is the best of so many rounds: what disturbs a round makes it slower, never faster.
const ROUNDS: usize = 7;
/// Requests of one round.
const REQUESTS: usize = 2_048;
/// Unwritten entries beyond which a round waits: the log's queue is bounded.
const MOST_UNWRITTEN: usize = 8_192;

fn main() {
    println!("| what grows | size | operation | time, us | ratio |");
    println!("|---|---:|---|---:|---:|");
    installations(
        "routes, 5 policies each",
        &[(10, 50), (100, 500), (2_000, 10_000)],
        |(routes, _)| routes,
    );
    installations(
        "policies, 2,000 routes",
        &[(2_000, 10), (2_000, 1_000), (2_000, 10_000)],
        |(_, policies)| policies,
    );
    installations(
        "policies of one route",
        &[(1, 5), (1, 50), (1, 500)],
        |(_, policies)| policies,
    );
    sessions();
    tree();
    log();
}

/// One operation over growing sizes, each with what the smallest took.
struct Series {
    grows: &'static str,
    operation: &'static str,
    first: Option<f64>,
}

impl Series {
    const fn new(grows: &'static str, operation: &'static str) -> Self {
        let first = None;
        Self {
            grows,
            operation,
            first,
        }
    }

    fn tell(&mut self, size: impl std::fmt::Display, each: Duration) {
        let micros = each.as_secs_f64() * 1e6;
        let ratio = micros / *self.first.get_or_insert(micros);
        println!(
            "| {} | {size} | {} | {micros:.3} | {ratio:.2} |",
            self.grows, self.operation
        );
    }
}

/// The time of one call, the best of the rounds.
fn best(count: usize, mut work: impl FnMut(usize)) -> Duration {
    let count_as_number = u32::try_from(count).unwrap();
    let round = |_| {
        let begun = Instant::now();
        (0..count).for_each(&mut work);
        begun.elapsed() / count_as_number
    };
    (0..ROUNDS).map(round).min().unwrap()
}

/// Routes and policies: the whole path, the look-up of a route, a decision made anew.
fn installations(
    grows: &'static str,
    sizes: &[(usize, usize)],
    shown: impl Fn((usize, usize)) -> usize,
) {
    let mut path = Series::new(grows, "whole path, decision remembered");
    let mut route = Series::new(grows, "route");
    let mut fresh = Series::new(grows, "decision made anew");
    let mut compile = Series::new(grows, "start (not per request)");
    for size in sizes {
        let begun = Instant::now();
        let installation = install(size.0, size.1);
        let label = shown(*size);
        compile.tell(label, begun.elapsed());
        let site = &installation.site;
        let mut served = Duration::MAX;
        for _ in 0..ROUNDS {
            let asks = installation.asks(0..REQUESTS);
            installation.wait_for_writer(MOST_UNWRITTEN);
            let begun = Instant::now();
            site.serve(black_box(asks), Memory::Used).unwrap();
            served = served.min(begun.elapsed() / u32::try_from(REQUESTS).unwrap());
        }
        path.tell(label, served);
        let asks = installation.asks(0..REQUESTS).into_iter();
        let known: Vec<Known> = asks.map(|ask| site.know(ask).unwrap()).collect();
        let found = best(REQUESTS, |at| {
            assert!(site.find_route(black_box(known.get(at).unwrap())));
        });
        route.tell(label, found);
        let decided = best(REQUESTS, |at| {
            assert!(site.decide(black_box(known.get(at).unwrap()), Memory::Bypassed));
        });
        fresh.tell(label, decided);
    }
}

fn sessions() {
    let mut series = Series::new("sessions", "session");
    for count in [10, 1_000, 100_000] {
        let crowd = Crowd::of(count).unwrap();
        // A stride that visits all of them in no order that a cache likes.
        let each = best(100_000, |at| {
            assert!(crowd.find(black_box(at.wrapping_mul(7_919) % count)));
        });
        series.tell(count, each);
    }
}

fn tree() {
    let mut append = Series::new("log entries", "entry into the tree");
    let mut root = Series::new("log entries", "root for a checkpoint");
    let line = [b'x'; 256];
    for entries in [0, 1_000, 1_000_000, 200_000_000] {
        let mut tree = GrownTree::of(entries).unwrap();
        let each = best(65_536, |_| tree.append(black_box(&line)));
        append.tell(entries, each);
        let each = best(100, |_| {
            black_box(tree.root());
        });
        root.tell(entries, each);
    }
}

fn log() {
    let mut newest = Series::new("log entries", "search: newest");
    let mut middle = Series::new("log entries", "search: a page of the middle");
    let each_segment = 1 << 20;
    for entries in [
        1_000,
        2 * each_segment,
        20 * each_segment,
        200 * each_segment,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let log = LongLog::write(folder.path(), entries).unwrap();
        let look = |from_the_middle| {
            best(5, |_| {
                black_box(log.search(from_the_middle).unwrap());
            })
        };
        newest.tell(entries, look(false));
        if entries > each_segment {
            middle.tell(entries, look(true));
        }
    }
}
