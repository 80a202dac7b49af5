//! The examples of docs/errors.md: what stands below a code is what `repro check` prints of the file with that table.

use crate::fixture::CliTest;

use super::Page;

/// Codes whose example shows a part of a file, differs in more than one table, or needs other files or arguments; for these only the code and the last line are compared.
const EXCERPTS: &[&str] = &[
    "graph::fine-tuning-misfit",
    "graph::metric-misfit",
    "graph::no-logits",
    "graph::no-noise",
    "graph::no-pairs",
    "graph::tap-misfit",
    "graph::unused-pretrain",
    "include::conflict",
    "include::cycle",
    "include::twice",
    "include::unreadable",
    "profile::unknown",
    "report::bad-file-name",
    "report::no-direction",
    "report::unknown-axis",
    // Told by `plan` and `run`, which need a dataset.
    "run::always-right",
    "run::one-step",
    "spec::missing-section",
    "sweep::too-large",
];

/// A section of the page: its code, and the blocks below it.
struct Section {
    code: String,
    toml: Vec<String>,
    printed: Vec<String>,
}

/// The file that the page begins with, and its sections that have a code.
fn sections() -> (String, Vec<Section>) {
    let page = Page::read("docs/errors.md");
    let mut base = String::new();
    let mut sections = Vec::new();
    for text in page.text.split("\n## ") {
        let title = text.lines().next().unwrap_or_default();
        let part = Page {
            name: format!("docs/errors.md, {title}"),
            text: text.to_owned(),
        };
        let blocks = part.blocks();
        let of = |mark: &str| -> Vec<String> {
            let found = blocks.iter().filter(|block| block.is(mark));
            found.map(|block| block.content.clone()).collect()
        };
        let code = title
            .strip_prefix('`')
            .and_then(|rest| rest.split('`').next());
        match code.filter(|code| code.contains("::")) {
            Some(code) => sections.push(Section {
                code: code.to_owned(),
                toml: of("toml"),
                printed: of("text"),
            }),
            None if base.is_empty() => base = of("toml").concat(),
            None => {}
        }
    }
    (base, sections)
}

/// The tables of a file, each with its header.
fn tables(text: &str) -> Vec<(String, String)> {
    let mut tables: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        if line.starts_with('[') {
            tables.push((line.trim().to_owned(), String::new()));
        }
        if let Some((_, table)) = tables.last_mut() {
            table.push_str(line);
        }
    }
    tables
}

/// What stands before the first dot of a header.
fn section_of(header: &str) -> &str {
    header
        .trim_matches(['[', ']'])
        .split('.')
        .next()
        .unwrap_or_default()
}

/// The file with the tables of an example in the place of its own: of those of the same name, or else of the first of their section.
fn with_example(base: &str, example: &str) -> String {
    let new = tables(example);
    let old = tables(base);
    let place = new
        .iter()
        .find_map(|(header, _)| old.iter().position(|(other, _)| other == header))
        .or_else(|| {
            let section = section_of(&new.first()?.0);
            old.iter()
                .position(|(header, _)| section_of(header) == section)
        });
    let example = format!("{}\n\n", example.trim_end());
    let mut file = String::new();
    for (index, (header, table)) in old.iter().enumerate() {
        if Some(index) == place {
            file.push_str(&example);
        } else if !new.iter().any(|(other, _)| other == header) {
            file.push_str(table);
        }
    }
    if place.is_none() {
        file = format!("{}\n\n{example}", file.trim_end());
    }
    format!("{}\n", file.trim_end())
}

fn trimmed(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

#[test]
fn examples_of_errors_are_what_check_prints() {
    let (base, sections) = sections();
    assert!(sections.len() > 30, "{}", sections.len());
    let cli = CliTest::new();
    let mut found = Vec::new();
    for Section {
        code,
        toml,
        printed,
    } in sections
    {
        let Some(shown) = printed.first() else {
            found.push(format!("{code}: no example"));
            continue;
        };
        let ends_well = shown
            .lines()
            .last()
            .is_some_and(|line| line.starts_with("error: example.toml: "));
        let is_warning = shown.lines().any(|line| line == format!("warning[{code}]"));
        let is_error = shown.lines().any(|line| line == format!("error[{code}]"));
        let is_whole = is_warning || (is_error && ends_well);
        if !is_whole {
            found.push(format!(
                "{code}: the example is of another code, or not of example.toml:\n{shown}"
            ));
        }
        if EXCERPTS.contains(&code.as_str()) {
            continue;
        }
        cli.write("example.toml", with_example(&base, &toml.concat()));
        let output = cli.run(&["check", "example.toml"]);
        let printed = trimmed(&output.stderr);
        if printed != trimmed(shown) {
            found.push(format!(
                "{code}: the page shows\n{shown}\n--- printed\n{printed}"
            ));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}
