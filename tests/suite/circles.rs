//! No circles between files of different rooms: what a file names by `use` or by a path, followed on, never leads back to it by way of
//! another folder of `src`.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::{File, sources};

/// Whether an item stands behind `#[cfg(test)]` is not looked at, so files that only tests name are left out.
#[test]
fn files_of_different_rooms_do_not_name_each_other_in_circles() {
    let files: Vec<File> = sources()
        .into_iter()
        .filter(|file| !file.is_test && !["lib.rs", "main.rs"].contains(&file.name.as_str()))
        .filter(|file| !file.name.contains("tests"))
        .collect();
    let modules: BTreeMap<Vec<String>, &str> = files
        .iter()
        .map(|file| (module(&file.name), file.name.as_str()))
        .collect();
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in &files {
        let own = module(&file.name);
        let found = paths(file)
            .into_iter()
            .filter_map(|path| absolute(&own, &path, &modules))
            .filter_map(|path| defining(&path, &modules))
            .filter(|other| *other != file.name);
        named.insert(&file.name, found.collect());
    }
    let edges: usize = named.values().map(BTreeSet::len).sum();
    assert!(edges > 500, "only {edges} names were found in all files");

    let reached: BTreeMap<&str, BTreeSet<&str>> = named
        .keys()
        .map(|&file| (file, reachable(file, &named)))
        .collect();
    let mut circles = BTreeSet::new();
    for (file, others) in &reached {
        for other in others {
            if room(file) < room(other) && reached[other].contains(file) {
                circles.insert(format!("src/{file} and src/{other}"));
            }
        }
    }
    assert!(circles.is_empty(), "these lead to each other: {circles:#?}");
}

#[test]
fn paths_are_found_in_trees_of_use_and_in_code() {
    let file = File {
        name: "plan/text.rs".to_owned(),
        text: "use super::job::{Cost, kinds::{A, B as C}};\nuse std::fmt;\nlet x = crate::text::count(1);\n// use crate::no;\n"
            .to_owned(),
        is_test: false,
    };
    let found: Vec<String> = paths(&file).iter().map(|path| path.join("::")).collect();
    assert_eq!(
        found,
        [
            "super::job::Cost",
            "super::job::kinds::A",
            "super::job::kinds::B",
            "std::fmt",
            "crate::text::count"
        ]
    );
}

/// The first folder of a file, or its name on the ground floor; `inputs.rs` and what is in `inputs/` are one room.
fn room(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or(file);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The path of the module that is a file.
fn module(file: &str) -> Vec<String> {
    let name = file.strip_suffix(".rs").unwrap_or(file);
    let name = name.strip_suffix("/mod").unwrap_or(name);
    name.split('/').map(str::to_owned).collect()
}

/// Every path that a file names.
fn paths(file: &File) -> Vec<Vec<String>> {
    let lines: Vec<&str> = file.code().map(|(_, line)| line).collect();
    let code = lines.join("\n");
    let mut found = Vec::new();
    let mut rest = String::new();
    for (index, statement) in code.split("use ").enumerate() {
        // The first piece stands before any `use`; each other one ends with its semicolon.
        let (tree, behind) = match (index, statement.split_once(';')) {
            (1.., Some((tree, behind))) => (tree, behind),
            _ => ("", statement),
        };
        if !tree.is_empty() {
            expand("", tree, &mut found);
        }
        rest.push_str(behind);
        rest.push('\n');
    }
    let is_part = |character: char| character.is_alphanumeric() || "_:".contains(character);
    for word in rest.split(|character| !is_part(character)) {
        if ["crate::", "super::", "self::"]
            .iter()
            .any(|start| word.starts_with(start))
        {
            found.push(word.to_owned());
        }
    }
    let split = |path: String| path.split("::").map(str::to_owned).collect();
    found.into_iter().map(split).collect()
}

/// The paths of a tree such as `a::{b::c, d as e}`.
fn expand(before: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, body)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        if !path.is_empty() {
            found.push(format!("{before}{path}"));
        }
        return;
    };
    let body = body.rsplit_once('}').map_or(body, |(body, _)| body);
    let before = format!("{before}{}", head.trim());
    let (mut depth, mut begun) = (0, 0);
    for (at, character) in body.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&before, &body[begun..at], found);
                begun = at + 1;
            }
            _ => {}
        }
    }
    expand(&before, &body[begun..], found);
}

/// A path from the root of the crate; `None` for one of another crate.
fn absolute(
    own: &[String],
    path: &[String],
    modules: &BTreeMap<Vec<String>, &str>,
) -> Option<Vec<String>> {
    let mut from = own.to_vec();
    let mut rest = path;
    match rest.first()?.as_str() {
        "crate" => return Some(rest[1..].to_vec()),
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|part| part == "super") {
                from.pop();
                rest = &rest[1..];
            }
        }
        first => {
            let inside = [own, &[first.to_owned()]].concat();
            if !modules.contains_key(&inside) {
                return None;
            }
        }
    }
    from.extend(rest.iter().cloned());
    Some(from)
}

/// The file of the innermost module that a path leads through.
fn defining<'a>(path: &[String], modules: &BTreeMap<Vec<String>, &'a str>) -> Option<&'a str> {
    (1..=path.len())
        .rev()
        .find_map(|length| modules.get(&path[..length]).copied())
}

/// All files that a file leads to.
fn reachable<'a>(from: &'a str, named: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(file) = waiting.pop() {
        for &next in named.get(file).into_iter().flatten() {
            if reached.insert(next) {
                waiting.push(next);
            }
        }
    }
    reached
}
