//! Plans of large sweeps: what planning allocates grows with the number of nodes, and not with its square.
//!
//! Counted and not timed: the bytes and the number of allocations are the same on every machine. Times are in docs/reference/performance.md.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Write;

use repro::datasets::SplitCount;
use repro::graph;
use repro::plan::{DatasetFacts, Facts, plan, render};
use repro::spec::Source;
use repro::store::Listing;

/// Counts what the thread that asks allocates.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: all it does beside counting is to hand on to the system's allocator. The counter is a `Cell` of numbers without a destructor,
// so that touching it allocates nothing.
#[expect(unsafe_code, reason = "an allocator is made of unsafe functions")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED.try_with(|counter| {
            let (calls, bytes) = counter.get();
            counter.set((calls + 1, bytes + layout.size() as u64));
        });
        // SAFETY: the caller keeps the contract of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What some work allocates on this thread: calls and bytes.
fn allocated(work: impl FnOnce()) -> (u64, u64) {
    let before = ALLOCATED.get();
    work();
    let after = ALLOCATED.get();
    (after.0 - before.0, after.1 - before.1)
}

/// An experiment with so many timesteps, and one extraction, two heads and four results for each of them and of three blocks.
pub fn experiment(timesteps: usize) -> String {
    let mut text = "[experiment]\nname = \"large\"\nseeds = [0, 1]\n\
        [dataset.data]\nkind = \"fashion-mnist\"\nroot = \"nowhere\"\n\
        [model.unet]\nkind = \"guided-diffusion\"\npreset = \"adm-nano\"\nweights = { synthetic = 1 }\n\
        [extraction.taps]\nmodel = \"unet\"\ndataset = \"data\"\nblock = [1, 2, 3]\ntimestep = ["
        .to_owned();
    for timestep in 0..timesteps {
        let _ = write!(text, "{timestep}, ");
    }
    text.push_str(
        "]\n[head.probe]\nkind = \"linear\"\nfeatures = \"taps\"\n[metric.accuracy]\nkind = \"accuracy\"\nof = \"probe\"\n",
    );
    text
}

/// The extractions, heads and metrics of such an experiment.
const fn nodes(timesteps: usize) -> usize {
    timesteps * 3 * (1 + 2) + 1
}

fn facts() -> Facts {
    let split = |split: &str| SplitCount {
        split: split.to_owned(),
        samples: 100,
    };
    Facts {
        datasets: vec![Some(DatasetFacts {
            digest: "0".repeat(64),
            samples: 200,
            splits: vec![split("train"), split("test")],
            classes: vec!["a".to_owned(), "b".to_owned()],
        })],
        weights: vec![Some("synthetic:1".to_owned())],
        moments: std::collections::BTreeMap::new(),
    }
}

/// Checks, plans and prints; gives the number of steps.
fn planned(timesteps: usize) -> usize {
    let source = Source::new("large.toml", experiment(timesteps));
    let experiment = graph::build(&source).unwrap();
    let plan = plan(&experiment, &facts(), &Listing::default(), &mut |_, _| {}).unwrap();
    assert!(render(&plan, &[], true).lines().count() > plan.steps.len());
    plan.steps.len()
}

#[test]
fn what_planning_allocates_grows_with_the_nodes() {
    const FEW: usize = 25;
    const MANY: usize = 200;
    // Tables that are made once are made before.
    planned(1);
    let few = allocated(|| assert_eq!(planned(FEW), nodes(FEW)));
    let many = allocated(|| assert_eq!(planned(MANY), nodes(MANY)));
    // Eight times the nodes: sorted maps and growing lists cost a little more than eight times, squares would cost 64 times.
    for (few, many, what) in [(few.0, many.0, "calls"), (few.1, many.1, "bytes")] {
        assert!(
            many <= few * 10,
            "{many} {what} for eight times as many nodes as {few}"
        );
    }
}
