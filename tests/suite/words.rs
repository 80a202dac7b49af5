//! The language of messages, help, pages and comments: the field's words, in US spelling, and no comment that says nothing.

use std::fs;
use std::path::Path;

use crate::fixture::{relative, root, walk};
use crate::tidy::sources;

/// Words of our own, and what PyTorch, timm, cargo, DVC and the papers say.
const PRIVATE: &[(&str, &str)] = &[
    ("the way there", "forward pass"),
    ("the way back", "backward pass"),
    ("push back", "backpropagate"),
    ("pushed back", "backpropagated"),
    ("go on", "resume, continue"),
    ("goes on", "resumes, continues"),
    ("going on", "resuming, continuing"),
    ("went on", "resumed, continued"),
    ("bring", "download"),
    ("brings", "downloads"),
    ("brought", "downloaded"),
    ("mistake", "error"),
    ("mistakes", "errors"),
    ("mend", "fix"),
    ("mends", "fixes"),
    ("mended", "fixed"),
    ("departure", "deviation"),
    ("departures", "deviations"),
    ("held out", "validation split"),
    ("held-out", "validation"),
    ("anew", "again"),
    ("at one go", "in one step"),
    ("fitted at once", "full-batch"),
    ("no number any more", "NaN or infinite"),
    ("leaves the numbers", "becomes NaN or infinite"),
    ("longest that the gradient", "maximum gradient norm"),
    ("length of the gradient", "gradient norm"),
    ("bound on gradients", "gradient clipping"),
    ("below a head", "backbone"),
    ("this room", "this module"),
    ("whose word", "who vouches"),
    ("word there is", "who vouches"),
    ("ask the cache", "query the cache"),
    ("stands there", "is there"),
    ("stands in the", "is in the"),
    ("is taken for", "counts as"),
    ("innermost", "channels-last"),
    ("cannot but", "always"),
    ("fit for", "able to"),
];

/// The beginnings of words in British spelling, with a space between.
const BRITISH: &str = "analysed analysing artefact behaviour catalogue centre colour defence favour fibre generalis grey harbour \
    honour initialis judgement labelling learnt licence maximis minimis modelled modelling neighbour normalis \
    optimisa optimise optimising organisa organise practise quantis randomis recognis regularis serialis specialis \
    standardis summaris synchronis travelled utilis visualis whilst";

/// Where a word is right: a file, the word, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "docs/decisions/",
        "",
        "what was decided is told in the words of its day",
    ),
    (
        "tests/suite/cases/check/preprocess-misfits.toml",
        "centre",
        "a mistyped name whose hint is tested",
    ),
    (
        "tests/suite/snapshots/",
        "centre",
        "the same, as it is shown",
    ),
    (
        "tests/suite/snapshots/",
        "quantis",
        "the name of a file in tests/hostile_pickles",
    ),
    (
        "src/imaging/tests.rs",
        "grey",
        "names of files in tests/golden",
    ),
    (
        "src/imaging/tests.rs",
        "colour",
        "names of files in tests/golden",
    ),
    (
        "src/spec/synonyms.rs",
        "optimise",
        "what somebody may have typed",
    ),
    (
        "src/store/names.rs",
        "held-out",
        "the name of a file of the cache",
    ),
    ("tests/suite/words.rs", "", "the lists themselves"),
];

/// Comments that only repeat the name below them, with ` | ` between.
const HOLLOW: &str = "A dataset. | A head. | A metric. | A model. | A text. | All of them. | By what. | How a step is taken. | How \
    it differs. | How it is trained. | How many there are. | How many. | How values are shown. | Its kind. | Its \
    name. | See the module. | Takes events. | The file. | The head. | The kind. | The label. | The metric. | The \
    model. | The name. | The rows. | The value. | The values. | Wall time. | What does not fit. | What happened. | \
    What is computed. | What is drawn. | What is left. | What is meant. | What is minimized. | What is shown. | \
    What is wrong. | What it costs. | What it is called. | What it is. | What it reads. | What it says. | What the \
    lists name. | What there is. | What to do about it. | What to do. | What was asked for. | What was declared. | \
    What was found. | What was written. | Where it came from. | Where it is now. | Where it is. | Where it stands. \
    | Where they came from. | Which one. | Why.";

fn is_excused(file: &str, word: &str) -> bool {
    EXCEPTIONS.iter().any(|(place, excused, _)| {
        file.starts_with(place) && (excused.is_empty() || *excused == word)
    })
}

/// Whether the text holds the words, neither as the end nor as the beginning of longer ones.
fn holds(text: &str, words: &str) -> bool {
    let inside = |one: char| one.is_alphanumeric() || one == '_';
    text.match_indices(words).any(|(at, _)| {
        !text[..at].ends_with(inside) && !text[at + words.len()..].starts_with(inside)
    })
}

/// "X is no Y": the Y. "There is no Y" is English, as are "is no longer" and other comparisons.
fn is_no(text: &str) -> Option<&str> {
    let compares = [
        "longer", "better", "larger", "smaller", "more", "less", "wider", "worse", "finite",
    ];
    let verbs = ["is no ", "are no "].into_iter();
    let mut found = verbs.flat_map(|verb| {
        text.match_indices(verb)
            .map(move |(at, _)| (at, at + verb.len()))
    });
    found.find_map(|(at, behind)| {
        let before = text[..at].trim_end();
        let is_word = before.len() < at || at == 0;
        let next = text[behind..].split(' ').next()?;
        (is_word && !before.ends_with("there") && !compares.contains(&next)).then_some(next)
    })
}

/// The texts of code between quotation marks, line by line, each with its line's number from 1.
fn strings(code: &str) -> Vec<(usize, String)> {
    let mut found = vec![];
    let (mut line, mut at) = (1, 0);
    while let Some(character) = code[at..].chars().next() {
        let rest = &code[at..];
        // How the text that begins here ends, if one does.
        let end = if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            at += rest[1..].find('\'').unwrap_or(0) + 2;
            continue;
        } else if rest.starts_with("r#\"") {
            "\"#"
        } else if character == '"' {
            "\""
        } else {
            line += usize::from(character == '\n');
            at += character.len_utf8();
            continue;
        };
        at += if end == "\"" { 1 } else { 3 };
        let mut length = 0;
        while !code[at + length..].starts_with(end) {
            let mut behind = code[at + length..].chars();
            let next = behind.next().map_or(1, char::len_utf8);
            let is_escape = end == "\"" && code[at + length..].starts_with('\\');
            length += next
                + if is_escape {
                    behind.next().map_or(0, char::len_utf8)
                } else {
                    0
                };
        }
        for text in code[at..at + length].split('\n') {
            found.push((line, text.to_owned()));
            line += 1;
        }
        line -= 1;
        at += length + end.len();
    }
    found
}

/// A line without what is between backticks: names are not words.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// What people read, as `(file, line, text)`: messages, help and templates, and the prose of pages.
fn read_by_people() -> Vec<(String, usize, String)> {
    let mut texts = Vec::new();
    for file in sources().into_iter().filter(|file| !file.is_test) {
        let name = format!("src/{}", file.name);
        let tests = file.text.find("\n#[cfg(test)]\nmod tests {");
        let code = &file.text[..tests.unwrap_or(file.text.len())];
        texts.extend(
            strings(code)
                .into_iter()
                .map(|(number, text)| (name.clone(), number, text)),
        );
        if name.starts_with("src/cli/") {
            let help = file.text.lines().enumerate();
            let help = help.filter(|(_, line)| line.trim_start().starts_with("/// "));
            texts.extend(help.map(|(index, line)| (name.clone(), index + 1, line.to_owned())));
        }
    }
    for path in walk(&root().join("templates")) {
        let text = fs::read_to_string(&path).unwrap();
        let name = relative(&path, root());
        texts.extend(
            text.lines()
                .enumerate()
                .map(|(index, line)| (name.clone(), index + 1, line.to_owned())),
        );
    }
    for page in prose() {
        texts.push(page);
    }
    texts
}

/// The lines of the pages outside code.
fn prose() -> Vec<(String, usize, String)> {
    let mut lines = Vec::new();
    let mut files: Vec<_> = walk(&root().join("docs"));
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "data/README.md",
    ] {
        files.push(root().join(name));
    }
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let mut is_code = false;
        for (index, line) in text.lines().enumerate() {
            if line.starts_with("```") {
                is_code = !is_code;
            } else if !is_code && !line.starts_with("    ") {
                lines.push((relative(&path, root()), index + 1, line.to_owned()));
            }
        }
    }
    // What experiment files say of themselves.
    for path in walk(&root().join("experiments")) {
        let text = fs::read_to_string(&path).unwrap();
        let comments = text.lines().enumerate();
        let comments = comments.filter(|(_, line)| line.trim_start().starts_with('#'));
        lines.extend(
            comments.map(|(index, line)| (relative(&path, root()), index + 1, line.to_owned())),
        );
    }
    lines
}

#[test]
fn people_read_the_words_of_the_field() {
    let mut found = Vec::new();
    for (file, number, text) in read_by_people() {
        let text = without_code(&text).to_lowercase();
        for (word, instead) in PRIVATE {
            if holds(&text, word) && !is_excused(&file, word) {
                found.push(format!("{file}:{number}: `{word}`; say: {instead}"));
            }
        }
        if let Some(what) = is_no(&text).filter(|_| !is_excused(&file, "is no")) {
            found.push(format!(
                "{file}:{number}: `is no {what}`; say what it is, or what was expected"
            ));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn private_words_are_found_and_names_are_not_words() {
    assert!(holds("it goes on after", "goes on") && !holds("it undergoes on", "goes on"));
    assert_eq!(is_no("`two` is no number of a class"), Some("number"));
    assert_eq!(is_no("there is no such file"), None);
    assert_eq!(is_no("it is no longer there"), None);
    assert_eq!(without_code("the key `bring` of"), "the key ` of");
    let code = "say(\"a \\\" b\", '\"', \"c\\\n  d\"); // \"e\"\nlet f = r#\"g \"h\"\"#;";
    let texts: Vec<_> = strings(code)
        .into_iter()
        .map(|(line, text)| format!("{line} {text}"))
        .collect();
    assert_eq!(texts, ["1 a \\\" b", "1 c\\", "2   d", "3 g \"h\""]);
}

#[test]
fn spelling_is_american() {
    let folders = [
        "src",
        "docs",
        "templates",
        "experiments",
        "scripts",
        "tests/suite",
        "benches",
        "reports",
    ];
    let mut files: Vec<_> = folders
        .iter()
        .flat_map(|folder| walk(&root().join(folder)))
        .collect();
    let single = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "data/README.md",
        "test",
        "repro",
        "build.rs",
    ];
    files.extend(single.iter().map(|name| root().join(name)));
    let mut found = Vec::new();
    for path in files {
        let file = relative(&path, root());
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        // Drawings have attributes of their own names.
        if Path::new(&file)
            .extension()
            .is_some_and(|ending| ending == "svg")
        {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            for word in BRITISH.split(' ') {
                if begins_a_word(&line, word) && !is_excused(&file, word) {
                    found.push(format!("{file}:{}: `{word}…`", index + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Whether a word of the line, or a part of a name such as `grey_levels`, begins so.
fn begins_a_word(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(char::is_alphanumeric))
}

#[test]
fn comments_say_more_than_names() {
    let mut found = Vec::new();
    for file in sources() {
        let name = format!("src/{}", file.name);
        for (index, line) in file.text.lines().enumerate() {
            let said = line.trim_start().strip_prefix("/// ");
            if said.is_some_and(|said| HOLLOW.split(" | ").any(|hollow| hollow == said)) {
                found.push(format!("{name}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    assert!(
        found.is_empty(),
        "say a unit, a range, an invariant or nothing:\n{}",
        found.join("\n")
    );
}

#[test]
fn examples_of_the_help_fit_a_terminal_of_80_columns() {
    let mut examples = 0;
    let mut long = Vec::new();
    for path in walk(&root().join("src/cli")) {
        let text = fs::read_to_string(&path).unwrap();
        // A line of an example begins behind a line break that is written as one, or behind a space that is.
        let text = text.replace("\\x20 ", "\\n  ").replace("\\\"", "\"");
        for line in text
            .split("\\n")
            .filter(|line| line.starts_with("  repro "))
        {
            let line = line.split('\n').next().unwrap_or_default();
            let line = line.trim_end_matches(['\\', '"', ')', ']', ';']);
            examples += 1;
            if line.chars().count() > 80 {
                long.push(format!("{}: {line}", relative(&path, root())));
            }
        }
    }
    assert!(examples > 40, "{examples}");
    assert!(long.is_empty(), "{}", long.join("\n"));
}
