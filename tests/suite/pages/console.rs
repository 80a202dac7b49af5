//! Runs the blocks `console` of a page, and compares what they print with what the page shows.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::fixture::{CliTest, finish, relative, root, walk};

use super::{Block, Page};

/// Where Polars is; `./test` sets it.
const PYTHONPATH: &str = "REPRO_TEST_PYTHONPATH";

/// A command of a page, and the lines that follow it there.
pub struct Example {
    pub command: String,
    pub shown: Vec<String>,
}

/// The commands of a block.
pub fn examples(block: &Block) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut is_open = false;
    for line in block.content.lines() {
        if let (Some(example), true) = (examples.last_mut(), is_open) {
            example.command.push('\n');
            example.command.push_str(line);
            is_open = is_unfinished(&example.command);
        } else if let Some(command) = line.strip_prefix("$ ") {
            is_open = is_unfinished(command);
            examples.push(Example {
                command: command.to_owned(),
                shown: Vec::new(),
            });
        } else if let Some(example) = examples.last_mut() {
            example.shown.push(line.to_owned());
        } else {
            panic!("line {}: a block begins with a command", block.line);
        }
    }
    examples
}

/// Whether a command goes over the end of its line.
fn is_unfinished(command: &str) -> bool {
    let parsed = Command::new("bash").args(["-n", "-c", command]).output();
    command.ends_with('\\') || !parsed.unwrap().status.success()
}

/// Whether lines are what a page shows, where `…` stands for anything.
pub fn agree(shown: &[&str], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first.trim() == "…" => {
            (0..=printed.len()).any(|left_out| agree(rest, &printed[left_out..]))
        }
        Some((first, rest)) => printed
            .split_first()
            .is_some_and(|(line, others)| line_agrees(first, line) && agree(rest, others)),
    }
}

fn line_agrees(shown: &str, printed: &str) -> bool {
    let (shown, printed) = (shown.trim_end(), printed.trim_end());
    let Some((begin, mut rest)) = shown.split_once('…') else {
        return shown == printed;
    };
    let Some(mut left) = printed.strip_prefix(begin) else {
        return false;
    };
    while let Some((piece, behind)) = rest.split_once('…') {
        let Some(at) = left.find(piece) else {
            return false;
        };
        left = &left[at + piece.len()..];
        rest = behind;
    }
    left.ends_with(rest)
}

/// A folder in which pages are followed: the program, experiments, data and reports of the checkout.
pub struct Desk {
    cli: CliTest,
}

impl Desk {
    pub fn new() -> Self {
        let cli = CliTest::new();
        symlink(env!("CARGO_BIN_EXE_repro"), cli.path("repro")).unwrap();
        symlink(root().join("data"), cli.path("data")).unwrap();
        for folder in ["experiments", "reports"] {
            for file in walk(&root().join(folder)) {
                cli.write(&relative(&file, root()), fs::read(&file).unwrap());
            }
        }
        Self { cli }
    }

    /// Follows a page; gives what differs.
    pub fn follow(&self, page: &Page, with_heavy: bool) -> Vec<String> {
        let mut differences = Vec::new();
        for block in page.blocks() {
            self.write(page, &block);
            let packages = std::env::var_os(PYTHONPATH);
            if block.is("python") && packages.is_none() && block.is("console") {
                let why = format!("{PYTHONPATH} is not set; `./test` sets it");
                assert!(std::env::var_os("CI").is_none(), "{why}");
                println!("skipped {}:{}: {why}", page.name, block.line);
                continue;
            }
            if !block.is("console") || block.is("network") || block.is("heavy") && !with_heavy {
                continue;
            }
            for example in examples(&block) {
                let printed = self.run(&example.command, block.is("fails"));
                let shown: Vec<&str> = example.shown.iter().map(String::as_str).collect();
                let lines: Vec<&str> = printed.lines().collect();
                if !agree(&shown, &lines) {
                    differences.push(format!(
                        "{}:{}: $ {}\n--- the page shows\n{}\n--- printed\n{printed}",
                        page.name,
                        block.line,
                        example.command,
                        example.shown.join("\n")
                    ));
                }
            }
        }
        differences
    }

    /// Writes the file that the comment above a block names.
    fn write(&self, page: &Page, block: &Block) {
        let Some(file) = &block.file else {
            return;
        };
        let Some((name, other)) = file.split_once(", from ") else {
            self.cli.write(file, &block.content);
            return;
        };
        let (folder, _) = page.name.rsplit_once('/').unwrap();
        let blocks = Page::read(&format!("{folder}/{other}")).blocks();
        let source = blocks
            .iter()
            .find(|block| block.file.as_deref() == Some(name));
        let source = source.unwrap_or_else(|| panic!("{}: no {name} in {other}", page.name));
        self.cli.write(name, &source.content);
    }

    /// What a command prints on both streams; it must end as the page says.
    #[track_caller]
    pub fn run(&self, command: &str, fails: bool) -> String {
        let mut bash = Command::new("bash");
        bash.args(["-c", &format!("exec 2>&1\n{command}")])
            .current_dir(self.cli.path(""))
            .env("OMP_NUM_THREADS", "1")
            .env("COLUMNS", "100")
            .env_remove("REPRO_CACHE")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null());
        if let Some(packages) = std::env::var_os(PYTHONPATH) {
            bash.env("PYTHONPATH", packages);
        }
        let output = finish(bash.output().unwrap());
        assert_eq!(output.code != Some(0), fails, "$ {command}\n{output}");
        output.stdout
    }
}

#[test]
fn what_differs_is_found() {
    assert!(agree(&["a", "…", "b"], &["a", "b"]));
    assert!(agree(&["a", "…", "b"], &["a", "x", "b", "b"]));
    assert!(!agree(&["a", "…", "b"], &["a", "b", "c"]));
    assert!(!agree(&["a"], &["a", "b"]));
    assert!(agree(&["took … s, … of 3"], &["took 1.5 s, 2 of 3"]));
    assert!(!agree(&["took … s"], &["took 1.5 min"]));
    let block = Block {
        line: 1,
        marks: Vec::new(),
        file: None,
        content: "$ for one in 1 2; do\n  echo $one\ndone\n1\n2\n$ echo \\\n  3\n3\n".to_owned(),
    };
    let commands: Vec<_> = examples(&block)
        .into_iter()
        .map(|example| (example.command, example.shown))
        .collect();
    assert_eq!(commands[0].1, ["1", "2"]);
    assert_eq!(
        commands[1],
        ("echo \\\n  3".to_owned(), vec!["3".to_owned()])
    );
}
