//! Properties over random experiments: the planner's invariants, and no panic on any text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

use repro::datasets::SplitCount;
use repro::graph::{self, Experiment};
use repro::plan::{DatasetFacts, Facts, Pass, Plan, Work, job_name, plan, render};
use repro::spec::Source;
use repro::store::{Entry, Fingerprint, Listing, Partial};

const BLOCKS: u32 = 5;
/// Two shards at 32 pixels.
const SAMPLES: usize = 1500;

#[derive(Debug, Clone)]
struct Extraction {
    model: &'static str,
    timesteps: BTreeSet<u32>,
    blocks: BTreeSet<u32>,
    pools: BTreeSet<u32>,
    views: Vec<&'static str>,
    batch_size: Option<u32>,
}

fn extraction() -> impl Strategy<Value = Extraction> {
    let of_few =
        |values: Vec<u32>, most: usize| btree_set(proptest::sample::select(values), 1..=most);
    (
        proptest::sample::select(vec!["first", "second"]),
        of_few(vec![0, 10, 90, 999], 3),
        of_few((1..=BLOCKS).collect(), 4),
        of_few(vec![1, 2, 4], 2),
        subsequence(vec!["center", "flip"], 1..=2),
        proptest::option::of(1u32..200),
    )
        .prop_map(
            |(model, timesteps, blocks, pools, views, batch_size)| Extraction {
                model,
                timesteps,
                blocks,
                pools,
                views,
                batch_size,
            },
        )
}

fn text_of(extractions: &[Extraction]) -> String {
    let mut text = "[experiment]\nname = \"random\"\n[dataset.data]\nkind = \"fashion-mnist\"\nroot = \"nowhere\"\n".to_owned();
    for (name, seed) in [("first", 1), ("second", 2)] {
        let _ = writeln!(
            text,
            "[model.{name}]\nkind = \"guided-diffusion\"\npreset = \"adm-nano\"\nweights = {{ synthetic = {seed} }}"
        );
    }
    for (number, extraction) in extractions.iter().enumerate() {
        let Extraction {
            model,
            timesteps,
            blocks,
            pools,
            views,
            batch_size,
        } = extraction;
        let (timesteps, blocks, pools) = (
            timesteps.iter().collect::<Vec<_>>(),
            blocks.iter().collect::<Vec<_>>(),
            pools.iter().collect::<Vec<_>>(),
        );
        let _ = writeln!(
            text,
            "[extraction.e{number}]\nmodel = \"{model}\"\ndataset = \"data\"\ntimestep = {timesteps:?}\nblock = {blocks:?}\npool = {pools:?}\nview = {views:?}"
        );
        if let Some(size) = batch_size {
            let _ = writeln!(text, "batch_size = {size}");
        }
        let _ = writeln!(
            text,
            "[head.h{number}]\nkind = \"linear\"\nfeatures = \"e{number}\""
        );
    }
    text
}

fn experiment(text: &str) -> Experiment {
    graph::build(&Source::new("random.toml", text))
        .unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false, 100)))
}

fn facts() -> Facts {
    let split = |split: &str, samples| SplitCount {
        split: split.to_owned(),
        samples,
    };
    let dataset = DatasetFacts {
        digest: "0".repeat(64),
        samples: SAMPLES,
        splits: vec![split("train", 1000), split("test", 500)],
        classes: vec!["a".to_owned(), "b".to_owned()],
    };
    Facts {
        datasets: vec![Some(dataset)],
        moments: BTreeMap::new(),
        weights: vec![
            Some("synthetic:1".to_owned()),
            Some("synthetic:2".to_owned()),
        ],
    }
}

/// The plan, and the passes after each rule.
fn planned(
    experiment: &Experiment,
    listing: &Listing,
) -> (Plan, BTreeMap<&'static str, Vec<Pass>>) {
    let mut steps = BTreeMap::new();
    let plan = plan(experiment, &facts(), listing, &mut |rule, plan| {
        steps.insert(rule, plan.passes());
    });
    (plan.unwrap(), steps)
}

/// What a store lists that has some of a plan's artifacts, and one part of some others.
fn listing(plan: &Plan, chosen: &[Index], begun: &[Index]) -> Listing {
    let artifacts: Vec<_> = plan.steps.iter().map(|step| &step.artifact).collect();
    let mut listing = Listing::default();
    for index in begun {
        let artifact = index.get(&artifacts);
        let partial = Partial {
            kind: artifact.recipe.kind(),
            parts: [0].into(),
        };
        listing.partial.insert(artifact.fingerprint, partial);
    }
    for index in chosen {
        let artifact = index.get(&artifacts);
        listing.partial.remove(&artifact.fingerprint);
        let entry = Entry {
            kind: artifact.recipe.kind(),
            label: artifact.label.clone(),
            recipe: artifact.recipe.clone(),
            rows: 1,
            bytes: 1,
            made_at: String::new(),
            wall_seconds: 0.0,
            device: String::new(),
            instructions: None,
        };
        listing.artifacts.insert(artifact.fingerprint, entry);
    }
    listing
}

fn taps(passes: &[Pass]) -> Vec<Fingerprint> {
    passes
        .iter()
        .flat_map(|pass| pass.taps.iter().map(|tap| tap.artifact.fingerprint))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn planning_keeps_its_promises(
        extractions in vec(extraction(), 1..=3),
        chosen in vec(any::<Index>(), 0..12),
        begun in vec(any::<Index>(), 0..4),
    ) {
        let text = text_of(&extractions);
        let experiment = experiment(&text);
        let (fresh, steps) = planned(&experiment, &Listing::default());
        let listing = listing(&fresh, &chosen, &begun);
        let (plan, _) = planned(&experiment, &listing);

        // The wanted features are those that were typed: one for each distinct combination.
        let combinations: BTreeSet<_> = extractions.iter().flat_map(|extraction| {
            let Extraction { model, timesteps, blocks, pools, views, .. } = extraction;
            timesteps.iter().flat_map(move |timestep| blocks.iter().flat_map(move |block| pools.iter().flat_map(move |pool| {
                views.iter().map(move |view| (*model, *timestep, *block, *pool, *view))
            })))
        }).collect();
        prop_assert_eq!(taps(&fresh.passes()).len(), combinations.len());
        prop_assert_eq!(fresh.artifacts(), plan.artifacts(), "the store decides what runs, never what is wanted");
        let features = |plan: &Plan| plan.features.iter().map(|extract| extract.fingerprint).collect::<Vec<_>>();
        prop_assert_eq!(features(&fresh), features(&plan));

        for plan in [&fresh, &plan] {
            let all = taps(&plan.passes());
            let distinct: BTreeSet<_> = all.iter().copied().collect();
            prop_assert_eq!(all.len(), distinct.len(), "a tap stands in one pass, once");
            let cached: BTreeSet<_> = plan.steps.iter().filter(|step| !step.is_missing()).map(|step| step.artifact.fingerprint).collect();
            prop_assert!(cached.is_disjoint(&distinct), "what is cached is not run");
            let extracted: BTreeSet<_> = plan.steps.iter().filter(|step| matches!(step.work, Work::Extract(_))).map(|step| step.artifact.fingerprint).collect();
            let everything: BTreeSet<_> = distinct.union(&cached).copied().filter(|one| extracted.contains(one)).collect();
            prop_assert_eq!(everything, features(plan).into_iter().collect::<BTreeSet<_>>());
            let names: BTreeSet<_> = plan.jobs.iter().map(|job| &job.name).collect();
            prop_assert_eq!(names.len(), plan.jobs.len(), "no two jobs could be one");
            let mut made = BTreeSet::new();
            for (index, job) in plan.jobs.iter().enumerate() {
                prop_assert!(job.needs.iter().all(|&needed| needed < index), "a job stands behind those that it needs");
                for &id in &job.steps {
                    prop_assert!(plan.step(id).is_missing());
                    prop_assert!(made.insert(id), "a step is made by one job");
                    prop_assert_eq!(&job_name(plan.step(id)).unwrap(), &job.name);
                    // What a step reads is in the store, or made by a job that its own needs.
                    for input in &plan.step(id).inputs {
                        let is_made_before = job.needs.iter().any(|&needed| plan.jobs[needed].steps.contains(input));
                        prop_assert!(is_made_before || !plan.step(*input).is_missing());
                    }
                }
            }
            prop_assert_eq!(made.len(), plan.steps.iter().filter(|step| step.is_missing()).count());
            for pass in &plan.passes() {
                let deepest = pass.taps.iter().map(|tap| tap.block.0).max();
                prop_assert_eq!(pass.deepest().map(|block| block.0), deepest);
                prop_assert!(deepest.is_some_and(|block| (1..=BLOCKS).contains(&block)));
                // The cost is that of the deepest tap alone, and no cheaper.
                let blocks = pass.model.model.blocks();
                let cost = blocks.iter().find(|block| Some(block.index) == pass.deepest()).map(|block| block.multiply_adds);
                prop_assert_eq!(Some(pass.multiply_adds), cost);
                prop_assert_eq!(pass.shards.count(), 2);
            }
        }
        for step in &plan.steps {
            prop_assert_eq!(step.is_missing(), !listing.artifacts.contains_key(&step.artifact.fingerprint));
        }
        // The name of a job does not change while others finish.
        let names: BTreeSet<_> = fresh.jobs.iter().map(|job| &job.name).collect();
        prop_assert!(plan.jobs.iter().all(|job| names.contains(&job.name)));
        for pass in &plan.passes() {
            let begun = pass.taps.iter().all(|tap| listing.partial.contains_key(&tap.artifact.fingerprint));
            prop_assert_eq!(pass.missing_shards().len(), if begun { 1 } else { 2 }, "a pass runs the shards that a tap lacks");
        }

        // The rules do what they say, one after another.
        prop_assert_eq!(taps(&steps["lower"]).len(), combinations.len());
        prop_assert!(steps["fuse"].len() <= steps["prune"].len());

        // The same experiment, typed again and planned again, gives the same text.
        let again = planned(&self::experiment(&text), &listing).0;
        prop_assert_eq!(render(&again, &[], true), render(&plan, &[], true));
    }

    #[test]
    fn fingerprints_follow_the_meaning_and_not_the_text(extractions in vec(extraction(), 1..=2), names in "[a-z]{1,8}") {
        let text = text_of(&extractions);
        let plain = planned(&experiment(&text), &Listing::default()).0;
        let renamed = text.replace("[extraction.e0]", &format!("# a comment\n\n[extraction.{names}]")).replace("\"e0\"", &format!("\"{names}\""));
        let renamed = planned(&experiment(&renamed), &Listing::default()).0;
        prop_assert_eq!(plain.artifacts(), renamed.artifacts());
    }
}

fn check(text: &str) {
    if let Err(mistakes) = graph::build(&Source::new("fuzz.toml", text)) {
        assert!(!mistakes.is_empty());
        assert!(!mistakes.render(false, 100).is_empty());
        assert!(!mistakes.render(true, 20).is_empty());
        assert_eq!(mistakes.records().len(), mistakes.len());
    }
}

fn quickstart() -> String {
    let path = crate::fixture::root().join("experiments/quickstart.toml");
    std::fs::read_to_string(path).unwrap()
}

/// Lines and words that are likely to go wrong.
fn scrap() -> impl Strategy<Value = String> {
    let words = [
        "[experiment]",
        "[[report.table]]",
        "[dataset.small]",
        "kind = \"subset\"",
        "of = \"small\"",
        "block = \"all\"",
        "timestep = []",
        "timestep = [[1]]",
        "zip = [\"timestep\", \"block\"]",
        "zip = 3",
        "cases = []",
        "cases = [{}]",
        "cases = [{ block = [1, 2] }]",
        "= 1",
        "\"",
        "'''",
        "\u{0}",
        "ß = 1",
        "9223372036854775807",
        "99999999999999999999",
        "-1",
        "nan",
        "1979-05-27",
        "{ synthetic = -1 }",
        "limit = { train = 0 }",
        "root = \"\"",
        "pool = 0",
        "block = 0",
        "seeds = [4294967296]",
        "lr = inf",
        "a.b.c = 1",
        "{",
        "]",
        "\r",
    ];
    proptest::sample::select(words.map(str::to_owned).to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_check_panic(text in "\\PC{0,200}", lines in vec(scrap(), 0..8)) {
        check(&text);
        check(&format!("{}\n{text}", lines.join("\n")));
    }

    #[test]
    fn no_change_of_a_good_file_makes_check_panic(changes in vec((any::<Index>(), 0usize..6, scrap(), any::<Index>()), 1..5)) {
        let mut lines: Vec<String> = quickstart().lines().map(str::to_owned).collect();
        for (place, change, scrap, other) in &changes {
            let (line, other) = (place.index(lines.len()), other.index(lines.len()));
            match change {
                0 => drop(lines.remove(line)),
                1 => lines.insert(line, scrap.clone()),
                2 => lines.swap(line, other),
                3 => lines[line] = lines[other].clone(),
                4 => {
                    let (key, _) = lines[line].split_once('=').unwrap_or((&lines[line], ""));
                    lines[line] = format!("{key}= {scrap}");
                }
                _ => {
                    let cut: String = lines[line].chars().take(other.min(20)).collect();
                    lines[line] = cut;
                }
            }
            if lines.is_empty() {
                break;
            }
        }
        check(&lines.join("\n"));
    }
}
