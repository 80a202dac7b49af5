//! The rules of the source tree that no compiler holds, so that nobody has to remember them. See ARCHITECTURE.md.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use repro::cli::exit_codes;
use repro::graph;

use crate::cases;
use crate::fixture::{CliTest, relative, root, walk};

/// No file of `src` is longer.
const MOST_LINES: usize = 600;
/// Files above this many lines are listed by name, so that one more is a decision and not an accident.
const MANY_LINES: usize = 400;
const LONG_FILES: &[&str] = &[];

/// A file of `src`.
pub struct File {
    /// Its path from `src`, with `/`.
    pub name: String,
    /// All of it.
    pub text: String,
    /// Whether it is compiled for tests alone.
    pub is_test: bool,
}

impl File {
    /// The lines outside tests and comments, with their numbers.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self
            .text
            .find("\n#[cfg(test)]\nmod tests {")
            .unwrap_or(self.text.len());
        let lines = self.text[..tests].lines().enumerate();
        lines
            .map(|(index, line)| (index + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// Every file of `src`.
pub fn sources() -> Vec<File> {
    let src = root().join("src");
    let mut files = Vec::new();
    for path in walk(&src) {
        if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(File {
                name: relative(&path, &src),
                text: fs::read_to_string(&path).unwrap(),
                is_test: false,
            });
        }
    }
    assert!(files.len() > 50, "the source tree is not where it was");
    // What stands behind `#[cfg(test)] mod …;` in the module above it.
    let mut tests = Vec::new();
    for file in &files {
        let Some(folder) = file.name.strip_suffix("mod.rs") else {
            continue;
        };
        for declared in file.text.split("#[cfg(test)]\n").skip(1) {
            let line = declared.lines().next().unwrap_or_default();
            if let Some(module) = line
                .split("mod ")
                .nth(1)
                .and_then(|rest| rest.strip_suffix(';'))
            {
                tests.extend([format!("{folder}{module}.rs"), format!("{folder}{module}/")]);
            }
        }
    }
    for file in &mut files {
        file.is_test = tests.iter().any(|test| file.name.starts_with(test));
    }
    files
}

fn within(file: &File, places: &[&str]) -> bool {
    places.iter().any(|place| file.name.starts_with(place))
}

/// Fails and names every line of the files that holds one of the words.
#[track_caller]
fn forbid(files: impl Iterator<Item = File>, words: &[&str], rule: &str) {
    let mut found = Vec::new();
    for file in files {
        for (number, line) in file.code() {
            if let Some(word) = words.iter().find(|word| holds_word(line, word)) {
                found.push(format!("src/{}:{number}: `{word}`", file.name));
            }
        }
    }
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

/// Whether a line holds the word, and not as the end of a longer one.
fn holds_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
    })
}

#[test]
fn words_are_found_and_comments_and_tests_are_not_code() {
    assert!(holds_word("let x = tch::Tensor::new();", "tch::"));
    assert!(!holds_word("let x = batch::Tensor::new();", "tch::"));
    let text = "//! tch::\nuse tch::x;\n/// tch::\n\n#[cfg(test)]\nmod tests {\nuse tch::y;\n}\n"
        .to_owned();
    let file = File {
        name: String::new(),
        text,
        is_test: false,
    };
    let lines: Vec<_> = file
        .code()
        .map(|(number, line)| (number, line.to_owned()))
        .collect();
    assert_eq!(lines, [(2, "use tch::x;".to_owned())]);
}

#[test]
fn hints_are_laid_out_in_one_place() {
    let mut found = Vec::new();
    for file in sources() {
        if file.is_test || file.name == "message.rs" {
            continue;
        }
        let lines = file.code();
        let baked =
            lines.filter(|(_, line)| line.contains("hint: {") || line.contains(r"\n  hint:"));
        found.extend(baked.map(|(number, _)| format!("src/{}:{number}", file.name)));
    }
    assert!(
        found.is_empty(),
        "a hint is no part of a message; see src/message.rs:\n{}",
        found.join("\n")
    );
}

#[test]
fn spec_graph_and_plan_are_pure() {
    let words = [
        "std::fs",
        "fs::",
        "File::",
        "std::env",
        "env::var",
        "SystemTime",
        "Instant",
        "tch::",
        "std::process",
        "std::net",
        "std::thread",
    ];
    let files = sources()
        .into_iter()
        .filter(|file| within(file, &["spec/", "graph/", "plan/", "cluster/"]));
    forbid(
        files,
        &words,
        "spec, graph, plan and cluster know no files, clock, environment or tensors",
    );
}

#[test]
fn statistics_stand_on_the_ground_floor() {
    // All of the rooms, by their folders, and what else numbers need nothing of.
    let mut words: BTreeSet<String> = sources()
        .iter()
        .filter_map(|file| Some(file.name.split_once('/')?.0.to_owned()))
        .filter(|room| room != "statistics")
        .map(|room| format!("crate::{room}"))
        .collect();
    assert!(words.contains("crate::metrics") && words.contains("crate::report"));
    words.extend(["tch::", "std::fs", "fs::", "File::", "Instant"].map(str::to_owned));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let files = sources()
        .into_iter()
        .filter(|file| within(file, &["statistics/"]));
    forbid(files, &words, "statistics are functions of numbers");
}

#[test]
fn libtorch_is_named_in_few_rooms() {
    let files = sources().into_iter().filter(|file| {
        !within(
            file,
            &["models/", "diffusion/", "heads/", "trainer/", "machine/"],
        )
    });
    forbid(
        files,
        &["tch::", "use tch"],
        "only models, diffusion, heads, the trainer and machine name libtorch",
    );
}

#[test]
fn the_report_computes_nothing() {
    let files = sources()
        .into_iter()
        .filter(|file| within(file, &["report/", "report.rs"]));
    forbid(
        files,
        &[
            "tch",
            "crate::exec",
            "crate::collect",
            "crate::trainer",
            "crate::models::extractor",
        ],
        "the report reads the store and computes nothing",
    );
}

#[test]
fn only_the_store_and_the_report_write_files() {
    let words = [
        "File::create",
        "fs::write",
        "OpenOptions",
        "fs::rename",
        "fs::remove",
        "crate::atomic_file",
    ];
    // What `fetch` writes are files of the user's folder, whole or set aside; it knows no store. A converted checkpoint is
    // a file of the user's, at a place of the user's choice, and the page and its files are what a run is for. A lock holds a name.
    let rooms = [
        "atomic_file.rs",
        "atomic_file/",
        "lock_file.rs",
        "store/",
        "fetch/",
        "cli/",
        "doctor/",
        "collect/files.rs",
        "models/checkpoint/conversion/",
    ];
    let files = sources()
        .into_iter()
        .filter(|file| !within(file, &rooms) && !file.is_test);
    forbid(files, &words, "only the store writes artifacts");
    let files = sources()
        .into_iter()
        .filter(|file| file.name != "atomic_file.rs" && !file.is_test);
    // `doctor` asks whether a folder takes a file at all, and keeps none.
    forbid(
        files,
        &["NamedTempFile", ".persist(", ".persist_noclobber("],
        "files that appear whole are written by atomic_file.rs",
    );
    let files = sources()
        .into_iter()
        .filter(|file| within(file, &["fetch/"]));
    forbid(
        files,
        &["crate::store", "artifacts/"],
        "what is fetched is no artifact",
    );
    let files = sources()
        .into_iter()
        .filter(|file| within(file, &["cli/", "doctor/"]));
    forbid(
        files,
        &["fs::rename"],
        "the command line touches no artifact",
    );
    let files = sources()
        .into_iter()
        .filter(|file| !within(file, &["store/"]) && !file.is_test);
    forbid(
        files,
        &["artifacts/"],
        "where artifacts are is the store's to say",
    );
}

/// Where the store opens files, and why none of these is a file of an artifact that was not compared: `checked_file.rs` compares;
/// `part_reader.rs` opens parts that prove themselves, before there is a manifest; `manifest.rs` reads what has the digests; the memo
/// hashes what users name; `verify.rs` hashes; `scratch.rs` and `summary.rs` read records and `elsewhere.rs` manifests with digests of their
/// own; `root.rs` reads `FORMAT`, `clean.rs` the lock of the store, `checkpoints.rs` the list of heads, which only decides what is resumed, and
/// `uses.rs` what runs wanted, which only decides what may be removed.
const OPENERS: [&str; 11] = [
    "store/checkpoints.rs",
    "store/clean.rs",
    "store/elsewhere.rs",
    "store/manifest.rs",
    "store/memo/",
    "store/part_reader.rs",
    "store/root.rs",
    "store/scratch.rs",
    "store/summary.rs",
    "store/uses.rs",
    "store/verify.rs",
];

#[test]
fn bytes_of_artifacts_are_read_by_one_way() {
    let files = sources()
        .into_iter()
        .filter(|file| within(file, &["store/"]) && !within(file, &OPENERS) && !file.is_test)
        .filter(|file| !file.name.contains("tests"));
    forbid(
        files,
        &["File::open", "fs::read(", "fs::read_to_string", "Mmap::map"],
        "files of artifacts are opened by `Store::open_file`, which compares them",
    );
    let files = sources()
        .into_iter()
        .filter(|file| !within(file, &["store/"]) && !file.is_test);
    forbid(
        files,
        &[".artifact_folder("],
        "the store gives no paths of what it holds",
    );
}

#[test]
fn only_fetch_and_remotes_talk_to_the_network() {
    let files = sources()
        .into_iter()
        .filter(|file| !within(file, &["fetch/", "remote/", "view/http.rs"]));
    forbid(
        files,
        &[
            "reqwest",
            "tokio",
            "object_store",
            "std::net",
            "TcpStream",
            "UdpSocket",
        ],
        "only fetch and remotes talk to the network",
    );
    let files = sources()
        .into_iter()
        .filter(|file| within(file, &["remote/"]));
    forbid(
        files,
        &[
            "crate::models",
            "crate::datasets",
            "crate::plan",
            "crate::exec",
            "crate::cli",
        ],
        "a remote does not know what an artifact is for",
    );
    let files = sources()
        .into_iter()
        .filter(|file| within(file, &["fetch/"]));
    forbid(
        files,
        &[
            "crate::models",
            "crate::datasets",
            "crate::exec",
            "crate::cli",
        ],
        "fetch does not know what is in a file",
    );
}

#[test]
fn the_view_listens_on_the_loopback_and_connects_to_nobody() {
    let is_server = |file: &File| file.name == "view/http.rs";
    let server = sources().into_iter().filter(is_server);
    forbid(
        server,
        &[
            "reqwest",
            "tokio",
            "UdpSocket",
            "connect(",
            "connect_timeout",
            "ToSocketAddrs",
            "SocketAddr",
            "Ipv6Addr",
            "UNSPECIFIED",
            "0.0.0.0",
        ],
        "the view opens no connection, and listens on no other address",
    );
    let server = sources().into_iter().find(is_server).unwrap();
    let code: String = server.code().map(|(_, line)| line).collect();
    let all = code.matches("TcpListener::bind(").count();
    let loopback = "TcpListener::bind((Ipv4Addr::LOCALHOST, port))";
    assert_eq!((all, code.matches(loopback).count()), (1, 1));
}

#[test]
fn every_file_begins_with_what_it_is() {
    let silent: Vec<String> = sources()
        .into_iter()
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.name)
        .collect();
    assert!(
        silent.is_empty(),
        "these files begin without `//!`: {silent:?}"
    );
}

#[test]
fn files_stay_short() {
    let lengths = sources()
        .into_iter()
        .filter(|file| !file.is_test)
        .map(|file| (file.text.lines().count(), file.name));
    let long: Vec<_> = lengths.filter(|(lines, _)| *lines > MANY_LINES).collect();
    let too_long: Vec<_> = long
        .iter()
        .filter(|(lines, _)| *lines > MOST_LINES)
        .collect();
    assert!(
        too_long.is_empty(),
        "above {MOST_LINES} lines: {too_long:?}"
    );
    let names: Vec<_> = long.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(
        names, LONG_FILES,
        "above {MANY_LINES} lines: {long:?}; split them, or list them here"
    );
}

#[test]
fn every_kind_is_listed() {
    let files = sources();
    for folder in [
        "datasets/kinds",
        "models/kinds",
        "heads",
        "metrics",
        "report/tables",
        "report/figures",
    ] {
        let listing = &files
            .iter()
            .find(|file| file.name == format!("{folder}/mod.rs"))
            .unwrap()
            .text;
        let kinds: BTreeSet<String> = files
            .iter()
            .filter(|file| file.text.contains("\npub const KIND: "))
            .filter_map(|file| {
                let inside = file.name.strip_prefix(&format!("{folder}/"))?;
                let module = inside
                    .strip_suffix("/mod.rs")
                    .or_else(|| inside.strip_suffix(".rs"))?;
                (!module.contains('/')).then(|| module.to_owned())
            })
            .collect();
        assert!(!kinds.is_empty(), "no kinds in {folder}");
        for kind in kinds {
            let declared = [format!("\nmod {kind};"), format!("\npub mod {kind};")]
                .iter()
                .any(|line| listing.contains(line));
            assert!(
                declared && listing.contains(&format!("&{kind}::KIND")),
                "{kind} is not in ALL of src/{folder}/mod.rs"
            );
        }
    }
}

#[test]
fn nothing_is_left_unfinished() {
    let words = ["TODO", "FIXME", "XXX"];
    for file in sources() {
        for (number, line) in file.text.lines().enumerate() {
            let found = words.iter().find(|word| holds_word(line, word));
            assert!(found.is_none(), "src/{}:{}: {line}", file.name, number + 1);
        }
    }
}

/// Every `"room::some-error"` in a text, quotes or backticks around it.
fn codes(text: &str, quote: char) -> BTreeSet<String> {
    let rooms = [
        "toml::",
        "spec::",
        "include::",
        "profile::",
        "sweep::",
        "graph::",
        "report::",
        "run::",
        "data::",
    ];
    let pieces = text.split(quote).filter(|piece| {
        let name = rooms.iter().find_map(|room| piece.strip_prefix(room));
        name.is_some_and(|name| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|character| character.is_ascii_lowercase() || character == '-')
        })
    });
    pieces.map(str::to_owned).collect()
}

#[test]
fn every_diagnostic_is_documented() {
    let used: BTreeSet<String> = sources()
        .iter()
        .flat_map(|file| {
            file.code()
                .flat_map(|(_, line)| codes(line, '"'))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(
        used.contains("spec::unknown-key") && used.len() > 10,
        "{used:?}"
    );
    let page = fs::read_to_string(root().join("docs/errors.md")).expect("docs/errors.md");
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let documented: BTreeSet<String> = headings.flat_map(|line| codes(line, '`')).collect();
    let missing: Vec<_> = used.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&used).collect();
    assert!(
        missing.is_empty(),
        "docs/errors.md has no heading for {missing:?}"
    );
    assert!(
        stale.is_empty(),
        "docs/errors.md has headings for what no file reports: {stale:?}"
    );
}

#[test]
fn exit_codes_are_documented_as_they_are() {
    let page = fs::read_to_string(root().join("docs/errors.md")).expect("docs/errors.md");
    let rows = page.lines().filter_map(|line| {
        let (code, meaning) = line.strip_prefix("| ")?.split_once(" | ")?;
        Some((code.parse::<u8>().ok()?, meaning.replace('`', "")))
    });
    let rows: Vec<_> = rows.collect();
    let codes: Vec<u8> = rows.iter().map(|(code, _)| *code).collect();
    let expected: Vec<u8> = exit_codes().iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, expected, "the table of exit codes in docs/errors.md");
    for ((code, stated), (_, meaning)) in rows.iter().zip(exit_codes()) {
        let begins = stated.to_lowercase().starts_with(meaning);
        assert!(begins, "{code}: `{stated}` does not begin with `{meaning}`");
    }
}

#[test]
fn every_diagnostic_has_a_case() {
    let used: BTreeSet<String> = sources()
        .iter()
        .flat_map(|file| codes(&file.text, '"'))
        .collect();
    let mut seen = BTreeSet::new();
    for case in walk(&root().join("tests/suite/cases/check")) {
        for source in cases::sources(&case) {
            let found = match graph::build(&source) {
                Ok(experiment) => experiment.warnings,
                Err(errors) => errors,
            };
            let records = found.records().into_iter();
            seen.extend(records.map(|record| record.code.to_owned()));
        }
    }
    assert!(seen.is_subset(&used), "{seen:?}");
    // What needs datasets has its tests in cases.rs and image_folders.rs.
    let of_file = |code: &&String| !code.starts_with("run::") && !code.starts_with("data::");
    let without_case: Vec<_> = used.difference(&seen).filter(of_file).collect();
    assert!(
        without_case.is_empty(),
        "no case in tests/suite/cases/check shows {without_case:?}"
    );
}

#[test]
fn the_reference_page_is_what_the_program_says() {
    let page = fs::read_to_string(root().join("docs/experiment-files.md"))
        .expect("docs/experiment-files.md");
    let (_, rest) = page
        .split_once("<!-- begin reference -->\n")
        .expect("a line `<!-- begin reference -->`");
    let (reference, _) = rest
        .split_once("<!-- end reference -->")
        .expect("a line `<!-- end reference -->`");
    let output = CliTest::new()
        .run(&["list", "kinds", "--markdown"])
        .expect_code(0);
    assert_eq!(
        reference.trim(),
        output.stdout.trim(),
        "write the output of `repro list kinds --markdown` between the two lines"
    );
}

#[test]
fn every_shipped_experiment_is_without_errors() {
    let experiments = walk(&root().join("experiments"));
    assert!(!experiments.is_empty());
    // What others include is no experiment by itself.
    let is_part = |path: &Path| {
        path.parent()
            .is_some_and(|folder| folder.ends_with("parts"))
    };
    let files = experiments.iter();
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let files = files.filter(|path| !is_part(path));
    let files = files.map(|path| path.to_str().unwrap());
    let arguments: Vec<&str> = ["check"].into_iter().chain(files).collect();
    CliTest::new().run(&arguments).expect_code(0);
}

#[test]
fn no_text_names_a_folder_of_one_machine() {
    // Put together here, so that this file does not find itself.
    let folders = ["home", "work", "root", "Users"].map(|folder| format!("/{folder}/"));
    let names = [
        "src",
        "docs",
        "experiments",
        "reports",
        "templates",
        "tests",
        "python",
        "scripts",
        "data/models",
        ".cargo",
        ".ci",
    ];
    let mut files: Vec<_> = names
        .iter()
        .flat_map(|name| walk(&root().join(name)))
        .collect();
    let top = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    // Where the checkout is one of several of a repository, `.git` is a file, and no part of the tree.
    files.extend(top.filter(|path| path.is_file() && !path.ends_with(".git")));
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            let found = folders.iter().find(|folder| names_folder(line, folder));
            assert!(
                found.is_none(),
                "{}:{}: {line}",
                relative(&file, root()),
                number + 1
            );
        }
    }
}

/// Whether a path in the line begins with this folder; a folder of that name deeper in a path does not.
fn names_folder(line: &str, folder: &str) -> bool {
    let inside = |before: char| before.is_alphanumeric() || "._-*~}/:)>]".contains(before);
    line.match_indices(folder)
        .any(|(at, _)| !line[..at].ends_with(inside))
}
