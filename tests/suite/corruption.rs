//! Every kind of file that a cache holds, damaged in every way, under every command: the bytes and pages are right, or the file is
//! named.
//!
//! A new kind of file goes into [`kinds`], a new way to damage one into [`Damage`], a new command into [`COMMANDS`].

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::changed_inputs::{packed, tiny, unpacked};
use crate::fixture::{CliTest, Output, relative, walk};

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// A bit near the beginning.
    FlipHeader,
    /// A bit in the middle.
    FlipData,
    Truncate,
    Empty,
    Missing,
    /// A folder in its place.
    Folder,
    /// Nobody may read it; without effect where the tests run as root.
    Unreadable,
}

const ALL: [Damage; 7] = [
    Damage::FlipHeader,
    Damage::FlipData,
    Damage::Truncate,
    Damage::Empty,
    Damage::Missing,
    Damage::Folder,
    Damage::Unreadable,
];

impl Damage {
    /// Damages a file, which is a hard link to a sound one.
    fn apply(self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        let flipped = |mut bytes: Vec<u8>, at: usize| {
            bytes[at] ^= 1;
            bytes
        };
        let (length, middle) = (bytes.len(), bytes.len() / 2);
        match self {
            Self::FlipHeader => fs::write(path, flipped(bytes, 20.min(length - 1))).unwrap(),
            Self::FlipData => fs::write(path, flipped(bytes, middle)).unwrap(),
            Self::Truncate => {
                bytes.truncate(middle);
                fs::write(path, bytes).unwrap();
            }
            Self::Empty => fs::write(path, b"").unwrap(),
            Self::Missing => {}
            Self::Folder => fs::create_dir(path).unwrap(),
            Self::Unreadable => {
                fs::write(path, bytes).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
            }
        }
    }
}

/// A kind of file.
struct Kind {
    /// What it is called here.
    name: &'static str,
    /// Its folder and its ending in a cache; the first such file is damaged.
    place: (&'static str, &'static str),
    /// Whether `cache verify` looks at it. What it does not look at is small, carries its own digest, or is made again.
    verified: bool,
}

const fn kind(name: &'static str, place: (&'static str, &'static str), verified: bool) -> Kind {
    Kind {
        name,
        place,
        verified,
    }
}

/// Every kind of file that can reach a number.
fn kinds() -> Vec<Kind> {
    vec![
        kind(
            "weights",
            ("artifacts/pretraining", "weights.safetensors"),
            true,
        ),
        kind("curve", ("artifacts/pretraining", "curve.parquet"), true),
        kind(
            "training's manifest",
            ("artifacts/pretraining", "manifest.json"),
            true,
        ),
        kind("samples", ("artifacts/samples", ".arrow"), true),
        kind(
            "samples' manifest",
            ("artifacts/samples", "manifest.json"),
            true,
        ),
        kind("features", ("artifacts/features", ".arrow"), true),
        kind(
            "features' manifest",
            ("artifacts/features", "manifest.json"),
            true,
        ),
        kind("head", ("artifacts/head", "head.safetensors"), true),
        kind("curves", ("artifacts/head", "curves.parquet"), true),
        kind(
            "predictions",
            ("artifacts/head", "predictions.parquet"),
            true,
        ),
        kind("selection", ("artifacts/head", "selection.parquet"), true),
        kind("head's manifest", ("artifacts/head", "manifest.json"), true),
        kind("results", ("artifacts/metric", "results.parquet"), true),
        kind(
            "metric's manifest",
            ("artifacts/metric", "manifest.json"),
            true,
        ),
        kind("checkpoint", ("checkpoints", ".safetensors"), false),
        kind("unpacked archive", ("archives", ""), true),
        kind("digests of an archive", ("archives", ".blocks"), true),
    ]
}

/// The damaged file of a kind in a cache, from the folder of the test.
fn file_of(cli: &CliTest, kind: &Kind, cache: &str) -> String {
    let (folder, ending) = kind.place;
    if ending.is_empty() {
        return unpacked(cli, cache);
    }
    let mut files = cli.files(&format!("{cache}/{folder}")).into_keys();
    let file = files.find(|path| path.ends_with(ending));
    let file = file.unwrap_or_else(|| panic!("the cache has no {}", kind.name));
    format!("{cache}/{folder}/{file}")
}

/// What a command gave, with the page that it wrote.
struct Told {
    output: Output,
    report: BTreeMap<String, Vec<u8>>,
}

/// A command, and what is asked of it.
struct Command {
    arguments: &'static [&'static str],
    /// Whether it looks at every byte, so that it must not find a damaged cache sound.
    verifies: bool,
    /// Whether it may make again what is damaged, and then leaves the artifacts of the sound cache.
    makes: bool,
}

const COMMANDS: [Command; 7] = [
    Command {
        arguments: &["cache", "verify"],
        verifies: true,
        makes: false,
    },
    Command {
        arguments: &["plan", "tiny.toml"],
        verifies: false,
        makes: false,
    },
    Command {
        arguments: &[
            "query",
            "SELECT head, block, seed, metric, value FROM results ORDER BY head, block, seed, metric, value",
        ],
        verifies: false,
        makes: false,
    },
    Command {
        arguments: &[
            "query",
            "SELECT id, label, predicted FROM predictions ORDER BY id, label, predicted",
        ],
        verifies: false,
        makes: false,
    },
    Command {
        arguments: &["report", "tiny.toml"],
        verifies: false,
        makes: false,
    },
    Command {
        arguments: &["run", "tiny.toml", "--device", "cpu"],
        verifies: false,
        makes: true,
    },
    Command {
        arguments: &["run", "more.toml", "--device", "cpu"],
        verifies: false,
        makes: true,
    },
];

const PHOTOS: &str = r#"
[dataset.photos]
kind = "image-folder"
root = "photos.tar.gz"

[model.raw]
kind        = "pixels"
image_size  = 8
in_channels = 3

[extraction.pixels]
model    = "raw"
dataset  = "photos"
timestep = 0
block    = 1
pool     = 8

[head.held-out]
kind     = "linear"
features = "pixels"
epochs   = 2
holdout  = 0.3

[metric.of-photos]
kind = "accuracy"
of   = "held-out"

[report]
output = "report.md"

[[report.table]]
kind    = "grid"
metric  = "top1"
rows    = "head"
columns = "block"
over    = ["epochs", "pool", "timestep"]

[[report.figure]]
kind = "loss"
file = "loss.svg"
of   = "ddpm"

[[report.figure]]
kind = "sheet"
file = "few.svg"
of   = "few"
"#;

/// A longer training of the same network, which resumes from the checkpoint of the shorter one.
const LONGER: &str = r#"
[model.longer]
kind                  = "guided-diffusion"
weights               = { pretrain = "longer" }
image_size            = 8
in_channels           = 1
model_channels        = 32
num_res_blocks        = 1
channel_mult          = [1]
attention_resolutions = []
num_heads             = 1
learn_sigma           = true

[pretrain.longer]
dataset    = "fashion"
steps      = 4
batch_size = 2
optimizer  = { kind = "adamw", lr = 1e-2 }
average    = 0.5
"#;

/// The experiment, and one that reads all that it leaves.
pub fn experiments() -> (String, String) {
    let first = format!("{}{PHOTOS}", tiny("10", 3));
    let more = format!("{}{PHOTOS}", tiny("[10, 200]", 4))
        .replace("epochs   = 2", "epochs   = [2, 3]")
        .replace("pool     = 8", "pool     = [8, 2]");
    (first, more + LONGER)
}

/// Copies a cache by hard links: no file of it is ever written to again.
pub fn link(cli: &CliTest, from: &str, to: &str) {
    let from = cli.path(from);
    for path in walk(&from) {
        let target = cli.path(to).join(relative(&path, &from));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::hard_link(&path, &target).unwrap();
    }
}

/// The files of a report that hold its numbers, by their names: tables and figures. The page also tells how long things took.
pub fn pages(cli: &CliTest) -> Vec<String> {
    let entries = fs::read_dir(cli.path("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_page = |name: &String| name.contains(".svg") || name.contains(".csv");
    names.filter(is_page).collect()
}

/// Runs a command in a cache; the page of a report before is gone.
fn tell(cli: &CliTest, command: &Command, cache: &str) -> Told {
    for name in pages(cli) {
        fs::remove_file(cli.path(&name)).unwrap();
    }
    let mut arguments = command.arguments.to_vec();
    arguments.extend(["--cache", cache]);
    let output = cli.run(&arguments);
    let report = pages(cli).into_iter().map(|name| {
        let bytes = fs::read(cli.path(&name)).unwrap();
        (name, bytes)
    });
    let report = report.collect();
    Told { output, report }
}

/// All artifacts of a cache, but for when they were made.
pub fn artifacts(cli: &CliTest, cache: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = cli.files(&format!("{cache}/artifacts"));
    files.retain(|path, _| !path.ends_with("manifest.json"));
    files
}

/// Damages one file of each kind in some ways, and tries commands on copies of their own; `is_tried` says which, by the numbers of the kind and
/// of the command. Returns how many it tried.
fn try_all(damages: &[Damage], is_tried: impl Fn(usize, usize) -> bool) -> usize {
    let cli = CliTest::with_fashion(12, 8);
    cli.image_folder("photos", 4);
    packed(&cli);
    fs::remove_dir_all(cli.path("photos")).unwrap();
    let (first, more) = experiments();
    cli.write("tiny.toml", first);
    cli.write("more.toml", more);
    cli.run(&["run", "tiny.toml", "--device", "cpu", "--cache", "sound"])
        .expect_code(0);
    // What each command gives in a sound cache.
    let expected = COMMANDS.iter().enumerate().map(|(number, command)| {
        let cache = format!("expected-{number}");
        link(&cli, "sound", &cache);
        let told = tell(&cli, command, &cache);
        assert_eq!(told.output.code, Some(0), "{}", told.output);
        let all = artifacts(&cli, &cache);
        (told, all)
    });
    let expected: Vec<_> = expected.collect();
    let mut tried = 0;
    for (kind_number, kind) in kinds().iter().enumerate() {
        for damage in damages {
            for (number, (command, (right, all))) in COMMANDS.iter().zip(&expected).enumerate() {
                if !is_tried(kind_number, number) {
                    continue;
                }
                link(&cli, "sound", "damaged");
                let file = file_of(&cli, kind, "damaged");
                damage.apply(&cli.path(&file));
                // Where the tests run as root, everything can be read.
                let is_damaged =
                    *damage != Damage::Unreadable || fs::read(cli.path(&file)).is_err();
                let told = tell(&cli, command, "damaged");
                let what = format!(
                    "{} {damage:?}, {:?}: {}",
                    kind.name, command.arguments, told.output
                );
                let output = &told.output;
                assert!(!output.stderr.contains("panicked"), "{what}");
                let both = format!("{}{}", output.stdout, output.stderr);
                let folder = file.rsplit('/').nth(1).unwrap();
                let is_named =
                    both.contains(&file) || (folder.len() == 64 && both.contains(&folder[..12]));
                match output.code {
                    Some(0) => {
                        let must_tell = command.verifies && kind.verified && is_damaged;
                        // Without its manifest an artifact does not exist, and archives are unpacked when they are asked for.
                        let is_gone = *damage == Damage::Missing
                            && (file.ends_with("manifest.json") || file.contains("/archives/"));
                        assert!(!must_tell || is_gone, "{what}");
                        assert!(
                            told.report == right.report || is_named || is_gone,
                            "another page: {what}"
                        );
                        if command.arguments[0] == "query" {
                            let same = output.stdout == right.output.stdout;
                            assert!(same || is_named || is_gone, "another answer: {what}");
                        }
                        if command.makes {
                            let found = artifacts(&cli, "damaged");
                            // Nobody need have read the damaged artifact itself.
                            let of_others = |path: &&String| !path.contains(folder);
                            let keys = found.keys().filter(of_others);
                            let expected = all.keys().filter(of_others);
                            assert!(keys.eq(expected), "other artifacts: {what}");
                            let same = |(path, bytes): (&String, &Vec<u8>)| {
                                path.contains(folder) || found[path] == *bytes
                            };
                            assert!(all.iter().all(same), "other bytes: {what}");
                        }
                    }
                    Some(1..=4) => assert!(is_named, "not named: {what}"),
                    _ => panic!("{what}"),
                }
                fs::remove_dir_all(cli.path("damaged")).unwrap();
                tried += 1;
            }
        }
    }
    tried
}

/// Each kind of file under the check of the cache and two other commands, so that each command meets every third kind or so.
#[test]
fn a_flipped_bit_in_any_file_is_mended_or_named() {
    let others = COMMANDS.len() - 1;
    let tried = try_all(&[Damage::FlipData], |kind, command| {
        command == 0
            || (command - 1) % others == kind % others
            || (command + 2) % others == kind % others
    });
    assert_eq!(tried, kinds().len() * 3);
}

#[test]
#[ignore = "minutes: every damage of every file under every command"]
fn nightly_any_damage_of_any_file_is_mended_or_named_by_every_command() {
    let tried = try_all(&ALL, |_, _| true);
    assert_eq!(tried, kinds().len() * ALL.len() * COMMANDS.len());
}
