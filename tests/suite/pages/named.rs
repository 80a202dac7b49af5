//! Whatever a page, a message or a template calls a command, an option or a page is one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::fixture::{CliTest, relative, root, walk};
use crate::tidy::sources;

use super::pages;

/// What `--help` prints of a command, such as `models fetch`; nothing where it is none. Each is run once for all tests.
pub fn help(command: &str) -> String {
    static KNOWN: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let help = known.entry(command.to_owned()).or_insert_with(|| {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        arguments.push("--help");
        let output = CliTest::new().run(&arguments);
        if output.code == Some(0) {
            output.stdout
        } else {
            String::new()
        }
    });
    help.clone()
}

/// The subcommands that a page of help lists.
pub fn subcommands(help: &str) -> Vec<String> {
    let Some((_, listed)) = help.split_once("\nCommands:\n") else {
        return Vec::new();
    };
    let lines = listed.lines().take_while(|line| !line.is_empty());
    // Lines that are indented deeper go on with the description of the one above.
    let names = lines.filter_map(|line| {
        let line = line.strip_prefix("  ")?;
        (!line.starts_with(' ')).then(|| line.split_whitespace().next())?
    });
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// The words of a command line outside quotation marks, up to its end in a shell.
fn words(line: &str) -> Vec<String> {
    let mut quote = None;
    let mut bare = String::new();
    for character in line.chars() {
        match quote {
            Some(open) if open == character => quote = None,
            Some(_) => {}
            None if character == '"' || character == '\'' => {
                quote = Some(character);
                bare.push('Q');
            }
            None if "|&;#>)`".contains(character) => break,
            None => bare.push(character),
        }
    }
    bare.split_whitespace().map(str::to_owned).collect()
}

/// What is wrong with a command line behind `repro `, if anything.
fn unknown(line: &str) -> Option<String> {
    // Two spaces set an explanation apart.
    let line = line.split("   ").next().unwrap_or(line);
    let words = words(line);
    let mut command = String::new();
    let mut listed = subcommands(&help(""));
    for word in &words {
        if listed.contains(word) {
            format!("{command} {word}").trim().clone_into(&mut command);
            listed = subcommands(&help(&command));
        } else {
            let is_word = !word.is_empty() && word.chars().all(|one| one.is_ascii_lowercase());
            if is_word && command.is_empty() {
                return Some(format!("no command `{word}`"));
            }
            break;
        }
    }
    let page = help(&command);
    let flags = words.iter().filter(|word| word.starts_with("--"));
    let mut names = flags.map(|flag| flag.split_once('=').map_or(flag.as_str(), |(name, _)| name));
    let absent = names.find(|flag| {
        let flag = flag.trim_end_matches([',', '.', ':', '}', ']']);
        flag.len() > 2 && flag != "--help" && !page.contains(flag)
    });
    absent.map(|flag| format!("`{command}` has no option `{flag}`"))
}

/// The command lines of a text: what follows `$ ./repro`, four spaces and `./repro`, or a backtick and `repro`.
fn commands(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for begin in [
        "$ ./repro ",
        "    ./repro ",
        "    repro ",
        "`repro ",
        "`./repro ",
        "    $ ./repro ",
    ] {
        for (at, _) in line.match_indices(begin) {
            if at == 0 || begin.starts_with('`') {
                found.push(&line[at + begin.len()..]);
            }
        }
    }
    found
}

#[test]
fn commands_and_options_that_texts_name_exist() {
    let mut texts: Vec<(String, String)> = pages()
        .into_iter()
        .filter(|page| !page.name.contains("/decisions/"))
        .map(|page| (page.name, page.text))
        .collect();
    for file in sources().into_iter().filter(|file| !file.is_test) {
        let code: Vec<&str> = file.code().map(|(_, line)| line).collect();
        texts.push((format!("src/{}", file.name), code.join("\n")));
    }
    let mut found = Vec::new();
    let mut count = 0;
    for (name, text) in &texts {
        for line in text.lines() {
            for command in commands(line) {
                count += 1;
                if let Some(what) = unknown(command) {
                    found.push(format!("{name}: {what}: {line}"));
                }
            }
        }
    }
    assert!(count > 100, "{count}");
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(
        unknown("models fech adm-256-uncond --too"),
        Some("`models` has no option `--too`".to_owned())
    );
    assert_eq!(unknown("fetch"), Some("no command `fetch`".to_owned()));
}

#[test]
fn pages_that_files_name_exist() {
    let mut found = Vec::new();
    let folders = [
        "src",
        "templates",
        "scripts",
        "tests/suite",
        "experiments",
        "benches",
        "docs",
    ];
    let mut files: Vec<_> = folders
        .iter()
        .flat_map(|folder| walk(&root().join(folder)))
        .collect();
    for file in [
        "test",
        "repro",
        "build.rs",
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
    ] {
        files.push(root().join(file));
    }
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        for (at, _) in text.match_indices("docs/") {
            let is_path = |one: char| one.is_ascii_alphanumeric() || "-_/.".contains(one);
            let end = text[at..]
                .find(|one| !is_path(one))
                .unwrap_or(text.len() - at);
            let path = text[at..at + end].trim_end_matches('.');
            let is_whole = !text[..at].ends_with(is_path);
            if is_whole
                && Path::new(path)
                    .extension()
                    .is_some_and(|ending| ending == "md")
                && !root().join(path).exists()
            {
                found.push(format!("{}: {path}", relative(&file, root())));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
