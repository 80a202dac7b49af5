//! `repro init`: an experiment to start from, in a folder of the user's.

mod files;
mod template;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::exit::Failure;
use super::printed;
use crate::limits;
use crate::text::plural;

pub(super) use files::write;
#[cfg(feature = "torch")]
pub(super) use template::DEMO;
pub(super) use template::GARMENTS;

/// Arguments of `repro init`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro init demo\n      the quickstart, with its images and weights, in the new folder `demo`\n  repro init --template image-folder\n      an experiment on your own images, in the current folder\n\nWith the experiment come a .gitignore, a repro.toml for settings and a GitHub workflow that checks pull requests. Files that are there stay as they are."
)]
pub struct Arguments {
    /// The folder; made if it is not there. The current one if not given.
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    folder: PathBuf,
    /// What to start from.
    #[arg(long, value_enum, default_value_t = Template::Quickstart)]
    template: Template,
    /// Replace files that are there.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Template {
    /// The quickstart: linear probes on every block of a small diffusion network; its images and weights are copied, 13 MB.
    Quickstart,
    /// Features of your own images, in class folders, by a published diffusion network that is downloaded.
    ImageFolder,
    /// Two networks compared under the same probe; runs at once on the quickstart's images and weights.
    TwoNetworks,
}

impl Template {
    fn files(self) -> Vec<&'static template::File> {
        let own: &[&[template::File]] = match self {
            Self::Quickstart => &[&template::QUICKSTART, &GARMENTS],
            Self::ImageFolder => &[&template::IMAGE_FOLDER],
            Self::TwoNetworks => &[&template::TWO_NETWORKS, &GARMENTS],
        };
        let all = own.iter().copied().chain([&template::EVERYWHERE[..]]);
        all.flatten().collect()
    }

    /// The two commands that follow.
    fn next(self) -> [&'static str; 2] {
        match self {
            Self::Quickstart => [
                "repro plan experiments/quickstart.toml",
                "repro run experiments/quickstart.toml",
            ],
            // The images are not there yet, and the head of the file says what else is missing.
            Self::ImageFolder => [
                "repro data check experiments/image-folder.toml",
                "repro plan experiments/image-folder.toml",
            ],
            Self::TwoNetworks => [
                "repro plan experiments/two-networks.toml",
                "repro run experiments/two-networks.toml",
            ],
        }
    }
}

/// Writes the files of the template, and says which. `start` is the folder that a relative one counts from.
pub fn run(start: &Path, arguments: &Arguments) -> Result<(), Failure> {
    let folder = from(start, &arguments.folder);
    let template = arguments.template;
    let written = write(&folder, &template.files(), arguments.force)?;
    let mut out = printed::stdout(false);
    let shown = folder.display();
    if written.new.is_empty() {
        writeln!(out, "{shown}: all files are there already")?;
    } else {
        writeln!(out, "{shown}: wrote {}", plural(written.new.len(), "file"))?;
    }
    for path in &written.new {
        writeln!(out, "  {path}")?;
    }
    for path in &written.kept {
        let advice = if lists_cache(&folder.join(path)) {
            ""
        } else {
            "; add a line `.repro/`, the cache"
        };
        writeln!(out, "kept {path} as it is{advice}")?;
    }
    if matches!(template, Template::ImageFolder) {
        writeln!(
            out,
            "put your images into data/photos/CLASS/FILE; experiments/image-folder.toml says what else it needs"
        )?;
    }
    writeln!(out, "next:")?;
    if let Some(folder) = to_enter(&folder) {
        writeln!(out, "  cd {folder}")?;
    }
    for command in template.next() {
        writeln!(out, "  {command}")?;
    }
    Ok(())
}

/// Whether a `.gitignore` has a line for the cache.
fn lists_cache(file: &Path) -> bool {
    let text = limits::read_text(file, limits::LIST_FILE).unwrap_or_default();
    text.lines()
        .any(|line| line.trim().trim_matches('/') == ".repro")
}

/// A folder that was typed, from the one that it counts from.
pub(super) fn from(start: &Path, folder: &Path) -> PathBuf {
    // Without a `./` that nobody typed.
    if start == Path::new(".") {
        folder.to_owned()
    } else {
        start.join(folder)
    }
}

/// The folder as a shell reads it; `None` for the current one.
pub(super) fn to_enter(folder: &Path) -> Option<String> {
    let text = folder.display().to_string();
    if folder.components().all(|part| part.as_os_str() == ".") {
        return None;
    }
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+".contains(character);
    if text.chars().all(is_plain) {
        Some(text)
    } else {
        Some(format!("'{}'", text.replace('\'', r"'\''")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_written_as_a_shell_reads_it() {
        for (folder, expected) in [
            (".", None),
            ("./.", None),
            ("demo", Some("demo")),
            ("./a/b", Some("./a/b")),
            ("it's mine", Some(r"'it'\''s mine'")),
            ("$HOME", Some("'$HOME'")),
        ] {
            assert_eq!(to_enter(Path::new(folder)).as_deref(), expected, "{folder}");
        }
    }

    #[test]
    fn no_template_names_a_file_twice() {
        for template in Template::value_variants() {
            let mut paths: Vec<_> = template.files().iter().map(|file| file.path).collect();
            let count = paths.len();
            paths.sort_unstable();
            paths.dedup();
            assert_eq!(paths.len(), count, "{template:?}");
        }
    }
}
