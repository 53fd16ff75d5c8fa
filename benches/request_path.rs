//! What one request costs without a network: admission, route, session, decision, journal, entry.
//!
//! `path/*` is the time that the thread which serves the request spends; `cpu/*` is the processor time of the whole
//! process, so the audit log's writer, which seals, hashes and appends in its own thread, is in it. `size/*` repeats the
//! path in installations of growing size. Building the request from bytes is hyper's work and not in any figure.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement reads the clock, waits, and may simply stop when something is wrong"
)]

mod installation;

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{
    BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime,
};
use installation::{Installation, install};
use portcullis::benching::{Leaves, Memory};

/// Requests made ready before the clock runs, then served one after the other.
const AT_ONCE: usize = 512;
/// Beyond this many unwritten entries the measurement waits for the writer: the queue is bounded.
const MOST_UNWRITTEN: usize = 16_384;

/// Serves requests and says how long that took.
trait Timed {
    fn serve(&self, count: u64, memory: Memory) -> Duration;
    fn serve_in_all(&self, count: u64, memory: Memory) -> Duration;
}

impl Timed for Installation {
    /// Serves `count` requests; gives what `spent` says that took. Making the requests and waiting for the writer
    /// count only where `spent` looks at the whole process.
    fn serve(&self, count: u64, memory: Memory) -> Duration {
        let mut left = usize::try_from(count).unwrap();
        let mut took = Duration::ZERO;
        while left > 0 {
            let asks = self.asks(0..left.min(AT_ONCE));
            left -= asks.len();
            self.wait_for_writer(MOST_UNWRITTEN);
            let begun = Instant::now();
            self.site.serve(black_box(asks), memory).unwrap();
            took += begun.elapsed();
        }
        took
    }

    /// The same in processor time of all threads, the making of the requests taken off.
    fn serve_in_all(&self, count: u64, memory: Memory) -> Duration {
        let mut left = usize::try_from(count).unwrap();
        let mut took = Duration::ZERO;
        while left > 0 {
            let asks = self.asks(0..left.min(AT_ONCE));
            left -= asks.len();
            let begun = processor_time();
            self.site.serve(black_box(asks), memory).unwrap();
            self.wait_for_writer(0);
            took += processor_time().saturating_sub(begun);
        }
        took
    }
}

/// Time that all threads of this process have spent on a processor; the kernel counts it in nanoseconds.
fn processor_time() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let spent = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(tasks.flatten().filter_map(spent).sum())
}

fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    installation: &Installation,
    memory: Memory,
) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|count| installation.serve(count, memory))
    });
}

fn one_request(criterion: &mut Criterion) {
    let installation = install(10, 10);
    let mut group = criterion.benchmark_group("path");
    measure(&mut group, "remembered", &installation, Memory::Used);
    measure(&mut group, "fresh", &installation, Memory::Bypassed);
    group.finish();
    let mut group = criterion.benchmark_group("cpu");
    group.bench_function("remembered", |bencher| {
        bencher.iter_custom(|count| installation.serve_in_all(count, Memory::Used));
    });
    group.finish();
}

/// The steps by themselves, those of the log's writer included. What they leave out is the slot and the journal.
fn steps(criterion: &mut Criterion) {
    let installation = install(10, 10);
    let site = &installation.site;
    let ask = || site.ask("/documents/1/latest?view=full").unwrap();
    let known = site.know(ask()).unwrap();
    let mut group = criterion.benchmark_group("step");
    group.bench_function("admission", |bencher| {
        bencher.iter_batched(ask, |ask| site.admit(ask).unwrap(), BatchSize::SmallInput);
    });
    group.bench_function("route", |bencher| {
        bencher.iter(|| site.find_route(black_box(&known)));
    });
    group.bench_function("session", |bencher| {
        bencher.iter(|| site.find_session(black_box(&known)));
    });
    group.bench_function("decision, remembered", |bencher| {
        bencher.iter(|| site.decide(black_box(&known), Memory::Used));
    });
    group.bench_function("decision, fresh", |bencher| {
        bencher.iter(|| site.decide(black_box(&known), Memory::Bypassed));
    });
    let entry = site.entry(&known);
    let line = site.seal(entry.clone(), 0).unwrap();
    group.bench_function("entry", |bencher| {
        let entry = || entry.clone();
        bencher.iter_batched(
            entry,
            |entry| site.seal(entry, 1).unwrap(),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("tree", |bencher| {
        let mut leaves = Leaves::default();
        bencher.iter(|| leaves.add(black_box(&line)));
    });
    group.finish();
}

fn growing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("size");
    for (routes, policies) in [(10, 50), (2_000, 10), (2_000, 10_000)] {
        let installation = install(routes, policies);
        let size = format!("{routes}-routes-{policies}-policies");
        measure(
            &mut group,
            &format!("remembered/{size}"),
            &installation,
            Memory::Used,
        );
        measure(
            &mut group,
            &format!("fresh/{size}"),
            &installation,
            Memory::Bypassed,
        );
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = one_request, steps, growing
}
criterion_main!(benches);
