//! The pages as they are read: what they link to is there, what they show is what the program prints, and what they name exists.
//!
//! A fenced block `console` holds commands, each after `$ `, and what they print. It is run by `bash`, in a folder of its own with the
//! experiments, data and reports of the checkout. `…` alone in a line stands for any lines, within a line for any text. Words behind
//! `console` say more: `heavy` is run by the walk alone, `network` is not run, `python` needs Polars, `fails` ends with an error.
//! `<!-- file: NAME -->` before a block writes it into that file; `<!-- file: NAME, from PAGE -->` takes it from another page.

mod console;
mod errors;
mod named;
mod walk;

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::fixture::{relative, root, walk as files_below};

/// Columns of a line of prose.
const COLUMNS: usize = 140;

/// A fenced block.
pub struct Block {
    /// Line of its fence, from 1.
    pub line: usize,
    /// The words behind the fence.
    pub marks: Vec<String>,
    /// The comment in the line above the fence, where it names a file.
    pub file: Option<String>,
    /// The lines between the fences.
    pub content: String,
}

impl Block {
    /// Whether one of the words behind the fence is this one.
    pub fn is(&self, mark: &str) -> bool {
        self.marks.iter().any(|one| one == mark)
    }
}

/// A Markdown file of the checkout.
pub struct Page {
    /// Its path from the checkout.
    pub name: String,
    /// All of it.
    pub text: String,
}

impl Page {
    /// Reads a page by its path from the checkout.
    #[track_caller]
    pub fn read(name: &str) -> Self {
        let text = fs::read_to_string(root().join(name));
        Self {
            name: name.to_owned(),
            text: text.unwrap_or_else(|error| panic!("{name}: {error}")),
        }
    }

    /// Its fenced blocks, in order.
    pub fn blocks(&self) -> Vec<Block> {
        let lines: Vec<&str> = self.text.lines().collect();
        let mut blocks = Vec::new();
        let mut at = 0;
        while at < lines.len() {
            if let Some(marks) = lines[at].strip_prefix("```") {
                let end = (at + 1..lines.len()).find(|&line| lines[line] == "```");
                let end = end.unwrap_or_else(|| panic!("{}:{}: no end", self.name, at + 1));
                let above = at.checked_sub(1).map_or("", |line| lines[line]);
                let file = above.strip_prefix("<!-- file: ");
                blocks.push(Block {
                    line: at + 1,
                    marks: marks.split_whitespace().map(str::to_owned).collect(),
                    file: file
                        .and_then(|rest| rest.strip_suffix(" -->"))
                        .map(str::to_owned),
                    content: lines[at + 1..end]
                        .iter()
                        .flat_map(|line| [line, "\n"])
                        .collect(),
                });
                at = end;
            }
            at += 1;
        }
        blocks
    }

    /// The lines outside code, with their numbers: no fenced blocks, no indented ones.
    pub fn prose(&self) -> Vec<(usize, &str)> {
        let mut is_code = false;
        let mut lines = Vec::new();
        for (index, line) in self.text.lines().enumerate() {
            if line.starts_with("```") {
                is_code = !is_code;
            } else if !is_code && !line.starts_with("    ") {
                lines.push((index + 1, line));
            }
        }
        lines
    }
}

/// The pages that people write: those at the top, below `docs`, and beside what they describe.
pub fn pages() -> Vec<Page> {
    let top = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
    ];
    let mut names: Vec<String> = top.map(str::to_owned).to_vec();
    for file in [
        "data/README.md",
        "data/models/fashion-28.md",
        "fuzz/README.md",
    ] {
        names.push(file.to_owned());
    }
    for path in files_below(&root().join("docs")) {
        if path.extension().is_some_and(|ending| ending == "md") {
            names.push(relative(&path, root()));
        }
    }
    assert!(names.len() > 60, "the pages are not where they were");
    names.iter().map(|name| Page::read(name)).collect()
}

/// What stands in round brackets behind square ones, in a line of prose without its code.
fn links(line: &str) -> Vec<&str> {
    let pieces = line.split("](").skip(1);
    pieces
        .filter_map(|piece| piece.split_once(')'))
        .map(|(target, _)| target)
        .collect()
}

/// The name by which a heading is linked to, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = |character: &char| character.is_alphanumeric() || " -_".contains(*character);
    text.chars()
        .filter(kept)
        .map(|character| if character == ' ' { '-' } else { character })
        .collect()
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

/// What is wrong with a link, if anything.
fn broken(page: &Page, target: &str) -> Option<String> {
    if target.contains("://") || target.contains("{{") {
        return None;
    }
    let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
    let file = if path.is_empty() {
        PathBuf::from(&page.name)
    } else {
        let folder = Path::new(&page.name).parent().unwrap_or(Path::new(""));
        plain(&folder.join(path))
    };
    if !root().join(&file).exists() {
        return Some(format!("there is no {}", file.display()));
    }
    if fragment.is_empty() {
        return None;
    }
    let linked = Page::read(file.to_str()?);
    let mut headings = linked
        .prose()
        .into_iter()
        .filter(|(_, line)| line.starts_with('#'));
    let is_there = headings.any(|(_, line)| anchor(line) == fragment);
    (!is_there).then(|| format!("{} has no heading `{fragment}`", file.display()))
}

#[test]
fn links_lead_somewhere() {
    let mut found = Vec::new();
    for page in pages() {
        for (number, line) in page.prose() {
            for target in links(line) {
                if let Some(what) = broken(&page, target) {
                    found.push(format!("{}:{number}: {what}", page.name));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_broken_link_is_found() {
    let page = Page {
        name: "docs/README.md".to_owned(),
        text: String::new(),
    };
    assert_eq!(broken(&page, "../README.md#a-short-tour"), None);
    assert_eq!(broken(&page, "https://example.org/#nothing"), None);
    assert!(broken(&page, "../README.md#a-long-tour").is_some());
    assert!(broken(&page, "README.rst").is_some());
    assert_eq!(
        anchor("## `repro query`: what it reads"),
        "repro-query-what-it-reads"
    );
}

#[test]
fn every_page_is_in_the_index() {
    let index = Page::read("docs/README.md");
    let linked: Vec<String> = index
        .prose()
        .into_iter()
        .flat_map(|(_, line)| links(line))
        .map(|target| format!("docs/{target}"))
        .collect();
    let missing: Vec<String> = pages()
        .into_iter()
        .map(|page| page.name)
        .filter(|name| name.starts_with("docs/") && !name.starts_with("docs/decisions/"))
        .filter(|name| name != "docs/README.md" && !linked.contains(name))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/README.md does not link {missing:?}"
    );
}

#[test]
fn lines_of_prose_are_no_wider_than_others() {
    let mut found = Vec::new();
    for page in pages() {
        let mut is_made = false;
        for (number, line) in page.prose() {
            // What the program prints between these two lines is wrapped by nobody.
            if line.ends_with(" reference -->") {
                is_made = line.starts_with("<!-- begin");
            }
            // A table has one line a row, and a link cannot be broken.
            let may_be_wide = is_made || line.starts_with('|') || line.contains("](");
            if !may_be_wide && line.chars().count() > COLUMNS {
                found.push(format!("{}:{number}", page.name));
            }
        }
    }
    assert!(
        found.is_empty(),
        "above {COLUMNS} columns:\n{}",
        found.join("\n")
    );
}

#[test]
fn blocks_of_toml_can_be_read() {
    // Those of docs/errors.md have errors on purpose.
    for page in pages()
        .into_iter()
        .filter(|page| page.name != "docs/errors.md")
    {
        for block in page.blocks().iter().filter(|block| block.is("toml")) {
            let read = toml::from_str::<toml::Table>(&block.content);
            assert!(
                read.is_ok(),
                "{}:{}: {:?}",
                page.name,
                block.line,
                read.err()
            );
        }
    }
}
