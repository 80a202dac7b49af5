//! What the program is built of: with and without libtorch, the libraries that both builds have are the same ones.
//!
//! A feature that only one of them asks of a library makes that library, and all that stand on it, compile twice. Where it is below
//! Polars that is a quarter of an hour.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::fixture::root;

/// Every library that a build has, with the features that are asked of it. One may be built in several ways, as for a macro and for the
/// program.
type Libraries = BTreeMap<String, BTreeSet<String>>;

fn libraries(features: &[&str]) -> Libraries {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["tree", "--locked", "--offline", "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{p}\t{f}"])
        .args(features)
        .current_dir(root());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let mut libraries = Libraries::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (package, features) = line.split_once('\t').unwrap();
        // What is shown a second time ends so.
        let features = features.trim_end_matches("(*)").trim();
        let features = features
            .split(',')
            .map(str::to_owned)
            .collect::<BTreeSet<_>>();
        let features = features.into_iter().collect::<Vec<_>>().join(",");
        libraries
            .entry(package.to_owned())
            .or_default()
            .insert(features);
    }
    libraries.retain(|package, _| !package.starts_with("repro v"));
    assert!(libraries.len() > 100, "{libraries:?}");
    libraries
}

#[test]
fn builds_with_and_without_torch_ask_the_same_features_of_their_libraries() {
    let with = libraries(&[]);
    let without = libraries(&["--no-default-features"]);
    assert!(with.keys().any(|package| package.starts_with("tch v")));
    assert!(!without.keys().any(|package| package.starts_with("tch v")));
    assert!(
        without
            .keys()
            .any(|package| package.starts_with("polars v"))
    );
    let differing: Vec<String> = without
        .iter()
        .filter_map(|(package, features)| {
            let others = with.get(package)?;
            let is_same = others == features;
            (!is_same).then(|| format!("{package}: {others:?} with torch, {features:?} without"))
        })
        .collect();
    assert!(
        differing.is_empty(),
        "ask the same of them by a direct dependency in Cargo.toml, as of `digest` and `getrandom`:\n{}",
        differing.join("\n")
    );
}
