//! The steps of a request, one named function each, for counting their instructions: `scripts/instructions` runs this
//! under callgrind, which counts inside these functions only. By itself it measures nothing.
//!
//! A count has no noise of clocks and neighbours, so a change of a few per cent can be seen; but it says nothing of caches,
//! waiting or the kernel. Everything that a step needs is made ready before it, and everything was done once before.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement waits, and may simply stop when something is wrong"
)]

mod installation;

use std::hint::black_box;

use installation::{Installation, install};
use portcullis::benching::{Ask, Entry, Known, Leaves, Memory, Site};

/// How often every step is done; `scripts/instructions` divides by it.
const TIMES: usize = 128;

/// callgrind finds these functions by the name of this module, so they must stay functions.
mod counted {
    use super::{Ask, Entry, Known, Leaves, Memory, Site, TIMES, black_box};

    #[inline(never)]
    pub(crate) fn admission(site: &Site, asks: Vec<Ask>) {
        asks.into_iter().for_each(|ask| site.admit(ask).unwrap());
    }

    #[inline(never)]
    pub(crate) fn route(site: &Site, known: &Known) {
        (0..TIMES).for_each(|_| assert!(site.find_route(black_box(known))));
    }

    #[inline(never)]
    pub(crate) fn route_among_2000(site: &Site, known: &Known) {
        (0..TIMES).for_each(|_| assert!(site.find_route(black_box(known))));
        // Else this and `route` are one function to the linker, and one name to callgrind.
        black_box("among 2000");
    }

    #[inline(never)]
    pub(crate) fn session(site: &Site, known: &Known) {
        (0..TIMES).for_each(|_| assert!(site.find_session(black_box(known))));
    }

    #[inline(never)]
    pub(crate) fn decision_remembered(site: &Site, known: &Known) {
        (0..TIMES).for_each(|_| assert!(site.decide(black_box(known), Memory::Used)));
    }

    #[inline(never)]
    pub(crate) fn decision_fresh(site: &Site, known: &Known) {
        (0..TIMES).for_each(|_| assert!(site.decide(black_box(known), Memory::Bypassed)));
    }

    #[inline(never)]
    pub(crate) fn entry(site: &Site, entries: Vec<Entry>) {
        for (entry, number) in entries.into_iter().zip(0..) {
            black_box(site.seal(entry, number).unwrap());
        }
    }

    #[inline(never)]
    pub(crate) fn tree(leaves: &mut Leaves, line: &[u8]) {
        (0..TIMES).for_each(|_| leaves.add(black_box(line)));
    }

    #[inline(never)]
    pub(crate) fn path_remembered(site: &Site, asks: Vec<Ask>) {
        site.serve(asks, Memory::Used).unwrap();
    }

    #[inline(never)]
    pub(crate) fn path_fresh(site: &Site, asks: Vec<Ask>) {
        site.serve(asks, Memory::Bypassed).unwrap();
    }
}

/// The same request every time: other paths would fill the memory of decisions.
fn asks(installation: &Installation) -> Vec<Ask> {
    installation.asks(std::iter::repeat_n(1, TIMES))
}

fn known(site: &Site) -> Known {
    site.know(site.ask("/documents/1/latest?view=full").unwrap())
        .unwrap()
}

/// Does everything once, so that memories are filled and tables have their size.
fn warm(installation: &Installation, known: &Known) {
    let site = &installation.site;
    for memory in [Memory::Used, Memory::Bypassed] {
        site.serve(asks(installation), memory).unwrap();
        assert!(site.decide(known, memory));
    }
    installation.wait_for_writer(0);
}

fn main() {
    let installation = install(10, 10);
    let site = &installation.site;
    let known = known(site);
    warm(&installation, &known);

    counted::admission(site, asks(&installation));
    counted::route(site, &known);
    counted::session(site, &known);
    counted::decision_remembered(site, &known);
    counted::decision_fresh(site, &known);
    let entry = site.entry(&known);
    let line = site.seal(entry.clone(), 0).unwrap();
    counted::entry(site, vec![entry; TIMES]);
    let mut leaves = Leaves::default();
    // One tile less its last leaves, so that what is counted completes exactly one.
    (0..256 - TIMES).for_each(|_| leaves.add(&line));
    counted::tree(&mut leaves, &line);
    counted::path_remembered(site, asks(&installation));
    installation.wait_for_writer(0);
    counted::path_fresh(site, asks(&installation));
    installation.wait_for_writer(0);

    let large = install(2_000, 10);
    let known = self::known(&large.site);
    counted::route_among_2000(&large.site, &known);
    println!("nothing is measured without callgrind; run scripts/instructions");
}
