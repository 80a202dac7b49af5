//! The project that a command is about: the folder that relative paths in experiment files count from, its `repro.toml`, and its cache.
//!
//! It is the nearest folder, from the working folder upwards, that has a file `repro.toml` or a cache in `.repro`; where none has, the
//! working folder. `-C` names it, and nothing is searched for then. See docs/decisions/0048.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::exit::Failure;
use crate::cluster::ExecutorSettings;
use crate::limits;
use crate::machine::device;
use crate::message::Message;
use crate::spec::suggest;
use crate::store::Store;
use crate::text;

/// The file that marks a project and holds its settings.
const FILE: &str = "repro.toml";
/// The cache of a project.
const CACHE: &str = ".repro";
/// The variable that names a cache.
const CACHE_VARIABLE: &str = "REPRO_CACHE";

/// The settings of a project.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    cache: CacheSettings,
    executor: ExecutorSettings,
    remote: RemoteSettings,
    run: RunSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CacheSettings {
    /// The folder of the cache, counted from the project.
    path: Option<PathBuf>,
}

/// Where a project shares its artifacts.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RemoteSettings {
    /// The address of the remote.
    pub(super) url: Option<String>,
    /// What stands before all names of this project in it.
    pub(super) prefix: Option<String>,
    /// Whether it is an error where the remote fails, and not a reason to compute.
    pub(super) required: bool,
    /// Whether a run puts there what it made.
    pub(super) push: bool,
}

/// What options of `repro run` and `repro job` are where they are not given.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RunSettings {
    /// Bytes that the training of heads may take.
    #[serde(deserialize_with = "size")]
    pub(super) memory: Option<u64>,
    /// Where tensors live, as `--device` takes it.
    #[serde(deserialize_with = "device_name")]
    pub(super) device: Option<String>,
    /// How many workers share the device.
    #[serde(deserialize_with = "workers")]
    pub(super) workers: Option<u16>,
    /// Whether nothing more is begun after the first failure.
    pub(super) fail_fast: bool,
}

fn size<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u64>, D::Error> {
    let typed = String::deserialize(value)?;
    let parsed = text::parse_bytes(&typed);
    parsed.map(Some).map_err(serde::de::Error::custom)
}

fn device_name<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    let typed = String::deserialize(value)?;
    match device::parse_device(&typed) {
        Ok(_) => Ok(Some(typed)),
        Err(error) => Err(serde::de::Error::custom(error)),
    }
}

fn workers<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u16>, D::Error> {
    match u16::deserialize(value)? {
        workers @ 1..=super::working::MOST_WORKERS => Ok(Some(workers)),
        other => Err(serde::de::Error::custom(format!(
            "`workers` is {other}, but has to be from 1 to {}",
            super::working::MOST_WORKERS
        ))),
    }
}

/// A project.
#[derive(Debug)]
pub(super) struct Project {
    /// The folder that relative paths count from: `.`, or `..` and so on where it was found upwards.
    pub(super) base: PathBuf,
    /// The folder of the cache.
    pub(super) cache: PathBuf,
    /// Whether it is not the working folder, and nobody named it.
    pub(super) is_above: bool,
    /// Where artifacts are shared.
    pub(super) remote: RemoteSettings,
    /// What options are where they are not given.
    pub(super) run: RunSettings,
    /// Where jobs are submitted, and what each may take.
    pub(super) executor: ExecutorSettings,
}

impl Project {
    /// A folder with a cache of its own and no settings.
    #[cfg(feature = "torch")]
    pub(super) fn own(base: PathBuf) -> Self {
        Self {
            cache: base.join(CACHE),
            base,
            is_above: false,
            remote: RemoteSettings::default(),
            run: RunSettings::default(),
            executor: ExecutorSettings::default(),
        }
    }

    /// The project of the working folder, or the one in `directory`, with the cache that was named or else the one that it says.
    ///
    /// # Errors
    /// A `repro.toml` that cannot be read or has an unknown key or a wrong value.
    pub(super) fn find(
        directory: Option<PathBuf>,
        cache: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let is_named = directory.is_some();
        let base = directory.unwrap_or_else(upwards);
        let file = base.join(FILE);
        let settings = match limits::read_text(&file, limits::SETTINGS) {
            Ok(text) => parse(&file, &text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => Settings::default(),
            Err(error) => {
                return Err(Failure::Usage(
                    format!("cannot read {}: {error}", file.display()).into(),
                ));
            }
        };
        let named = cache.or_else(|| named_by(std::env::var_os(CACHE_VARIABLE)));
        let cache = match (named, settings.cache.path) {
            (Some(named), _) => in_home(named),
            (None, Some(path)) => base.join(in_home(path)),
            (None, None) => base.join(CACHE),
        };
        Ok(Self {
            is_above: !is_named && base != Path::new("."),
            base,
            cache,
            remote: settings.remote,
            run: settings.run,
            executor: settings.executor,
        })
    }
}

/// A variable that is set, and not to nothing.
fn named_by(variable: Option<OsString>) -> Option<PathBuf> {
    variable
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// A path whose `~/` stands for the user's folder; shells leave it alone behind `=`, and in a file.
fn in_home(path: PathBuf) -> PathBuf {
    let below = path.strip_prefix("~").ok();
    let found = below.and_then(|below| Some(std::env::home_dir()?.join(below)));
    found.unwrap_or(path)
}

/// The nearest folder upwards that is a project, counted from the working folder; that folder itself where there is none.
fn upwards() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let steps = here.ancestors().position(is_project);
    match steps {
        None | Some(0) => PathBuf::from("."),
        Some(steps) => std::iter::repeat_n(Component::ParentDir, steps).collect(),
    }
}

/// Whether a folder has a file of settings, or a cache: a folder `.repro` of something else does not count.
fn is_project(folder: &Path) -> bool {
    folder.join(FILE).is_file() || Store::is_at(&folder.join(CACHE))
}

/// A path that was typed in the working folder, counted from the project: what is written into a report is the same wherever the
/// command was given. One that is elsewhere stays as it is.
pub(super) fn from_base(base: &Path, typed: &Path) -> PathBuf {
    let counted = || {
        // A folder that was named by `-C` is a part of the command.
        let mut steps = base.components();
        if !steps.all(|step| step == Component::ParentDir) {
            return None;
        }
        let root = fs::canonicalize(base).ok()?;
        let folder = std::env::current_dir().ok()?.join(typed.parent()?);
        let folder = fs::canonicalize(folder).ok()?;
        let rest = folder.strip_prefix(root).ok()?;
        Some(rest.join(typed.file_name()?))
    };
    counted().unwrap_or_else(|| typed.to_owned())
}

/// Reads the settings; an error names the line, and the key that may have been meant.
fn parse(file: &Path, text: &str) -> Result<Settings, Failure> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        let place = format!("{}:{line}", file.display());
        let reason = error.message().trim();
        // The reader's own words: "unknown field `a`, expected one of `b`, `c`".
        let mut quoted = reason.split('`').skip(1).step_by(2);
        match quoted.next() {
            Some(typed) if reason.starts_with("unknown field") => {
                let known: Vec<&str> = quoted.collect();
                let message = Message::new(format!("{place}: unknown key `{typed}`"));
                let hint = suggest::hint(typed, known.iter().copied());
                Failure::Usage(message.maybe_hint(hint))
            }
            _ => {
                let message = Message::new(format!("{place}: {reason}"));
                Failure::Usage(message.hint(
                    "the keys are `[cache] path`, `[remote] url`, `prefix`, `required` and `push`, and `[run] memory`, `device`, `workers` and `fail_fast`, described in docs/setup.md, and those of `[executor]`, in docs/cluster.md",
                ))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        match parse(Path::new("repro.toml"), text) {
            Err(Failure::Usage(message)) => message.to_string(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn settings_are_read() {
        let text = "[cache]\npath = \"/fast/cache\"\n\n[run]\nmemory = \"8G\"\ndevice = \"cuda:1\"\nworkers = 2\nfail_fast = true\n";
        let settings = parse(Path::new("repro.toml"), text).unwrap();
        assert_eq!(settings.cache.path, Some(PathBuf::from("/fast/cache")));
        let run = RunSettings {
            memory: Some(8 << 30),
            device: Some("cuda:1".to_owned()),
            workers: Some(2),
            fail_fast: true,
        };
        assert_eq!(settings.run, run);
        assert_eq!(
            parse(Path::new("repro.toml"), "# nothing\n").unwrap().run,
            RunSettings::default()
        );
    }

    #[test]
    fn slips_are_named_with_their_line() {
        for (text, says) in [
            (
                "[run]\nmemry = \"8G\"\n",
                "repro.toml:2: unknown key `memry`\n  hint: did you mean `memory`?",
            ),
            (
                "\n[chache]\n",
                "repro.toml:2: unknown key `chache`\n  hint: did you mean `cache`?",
            ),
            (
                "[cache]\nfolder = \"x\"\n",
                "unknown key `folder`\n  hint: one of `path`",
            ),
            ("[remote]\nadress = \"s3://x\"\n", "unknown key `adress`"),
            ("[remote]\npush = 1\n", "repro.toml:2: invalid type"),
            (
                "[run]\nmemory = \"8X\"\n",
                "repro.toml:2: invalid size `8X`",
            ),
            ("[run]\ndevice = \"gpu\"\n", "unknown device `gpu`"),
            ("[run]\nworkers = 0\n", "from 1 to 1024"),
            ("[run]\nworkers = \"2\"\n", "repro.toml:2: invalid type"),
            ("[run\n", "repro.toml:1: "),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(says), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_variable_that_is_empty_names_nothing() {
        assert_eq!(named_by(Some(OsString::new())), None);
        assert_eq!(named_by(Some("x".into())), Some(PathBuf::from("x")));
    }
}
