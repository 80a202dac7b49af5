//! A stranger's walk through the pages: each guide by itself, and all of them in a row.

use super::console::Desk;
use super::named::{help, subcommands};
use super::{Page, links};

/// README, the tour and the guides, in the order of the index; then the concepts.
fn walk() -> Vec<Page> {
    let mut names = vec!["README.md".to_owned(), "docs/tour.md".to_owned()];
    let index = Page::read("docs/README.md");
    let linked = index.prose().into_iter().flat_map(|(_, line)| links(line));
    let inside = |target: &&str| {
        target.starts_with("guides/") || target.starts_with("concepts/") || *target == "cluster.md"
    };
    names.extend(linked.filter(inside).map(|target| format!("docs/{target}")));
    names.iter().map(|name| Page::read(name)).collect()
}

#[test]
fn each_page_shows_what_the_program_prints() {
    let differences: Vec<String> = walk()
        .iter()
        .filter(|page| page.blocks().iter().any(|block| block.is("console")))
        .flat_map(|page| Desk::new().follow(page, false))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

/// Every command and its subcommands have a page of help.
#[test]
fn every_command_has_a_page_of_help() {
    let mut commands = vec![String::new()];
    let mut seen = 0;
    while let Some(command) = commands.pop() {
        let page = help(&command);
        assert!(page.contains("Usage:"), "repro {command}");
        seen += 1;
        commands.extend(
            subcommands(&page)
                .into_iter()
                .map(|name| format!("{command} {name}").trim().to_owned()),
        );
    }
    assert!(seen > 25, "{seen}");
}

#[test]
#[ignore = "a quarter of an hour: runs the quickstart from an empty cache; see .ci/nightly"]
fn nightly_a_stranger_walks_through_all_pages_in_one_folder() {
    let desk = Desk::new();
    let mut differences = Vec::new();
    for page in walk() {
        differences.extend(desk.follow(&page, true));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}
