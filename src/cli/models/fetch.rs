//! `repro models fetch`: downloads the published weights of a preset.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use crate::cli::exit::Failure;
use crate::cli::fetching::{self, Downloader};
use crate::cli::{Context, printed, table};
use crate::fetch::{Digest, Published, Stated};
use crate::message::Message;
use crate::models::{self, Preset, WEIGHTS_FOLDER};

/// Arguments of `repro models fetch`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro models fetch                                  what can be fetched\n  repro models fetch adm-256-uncond                   into data/weights\n  repro models fetch adm-256-uncond --to /big/disk    into another folder\n  repro models fetch adm-256-uncond --url https://mirror.example/model.pt\n\nWhat breaks off is tried again; after that, or after Ctrl-C, the same command resumes with what is there. The path of the file is printed on stdout. A file whose digest is not the one that was stated or recorded is never put in place, but set aside as NAME.rejected. data/README.md has more."
)]
pub struct Arguments {
    /// The preset; without one, what can be fetched is listed.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The folder for the file, taken as typed; `data/weights` in the folder that relative paths start from if not given.
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Fetch from another address, such as a mirror; the digest is checked all the same.
    #[arg(long, value_name = "URL", requires = "name")]
    url: Option<String>,
    /// The digest that the file must have, where you know it and `repro` does not.
    #[arg(long, value_name = "SHA256", requires = "name")]
    sha256: Option<Digest>,
    /// Fetch it although it is there, and put what comes in its place once it is checked.
    #[arg(long, requires = "name")]
    force: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Divide every waiting time by this, for tests.
    #[arg(long, hide = true, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    hurry: u32,
}

/// Downloads a file, or lists what can be downloaded.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let Some(name) = &arguments.name else {
        return list(arguments.json);
    };
    let preset = find(name)?;
    let Some(checkpoint) = &preset.checkpoint else {
        return Err(Failure::Usage(Message::new(format!("no weights are published for preset `{name}` ({})", preset.title)).hint("write `weights = { synthetic = 7 }` in the experiment; `repro models fetch` lists what can be fetched")));
    };
    let file = fetching::file_name(checkpoint)?;
    let folder = arguments
        .to
        .clone()
        .unwrap_or_else(|| context.base.join(WEIGHTS_FOLDER));
    let target = folder.join(file);
    let stated = stated(checkpoint, arguments.sha256)?;
    let url = arguments.url.as_deref().unwrap_or(&checkpoint.url);
    let fetched =
        Downloader::new(arguments.force, arguments.hurry).download(url, &target, &stated)?;
    let mut out = printed::stdout(arguments.json);
    if arguments.json {
        let mut record = fetching::record(url, &target, &stated, &fetched);
        record["preset"] = name.as_str().into();
        serde_json::to_writer_pretty(&mut out, &record).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", target.display())?;
    }
    Ok(())
}

fn find(name: &str) -> Result<Preset, Failure> {
    models::preset(name).ok_or_else(|| {
        let hint = models::preset_hint(name)
            .unwrap_or_else(|| "`repro models fetch` lists what can be fetched".to_owned());
        Failure::Usage(Message::new(format!("unknown preset `{name}`")).hint(hint))
    })
}

/// What is known of the file beforehand: by the list of presets, or by the user.
fn stated(checkpoint: &Published, given: Option<Digest>) -> Result<Stated, Failure> {
    let known = fetching::stated(checkpoint, "the list of presets")?;
    match (known.sha256, given) {
        (None, Some(_)) => Ok(Stated {
            sha256: given,
            by: "as given with --sha256".to_owned(),
            ..known
        }),
        (Some(digest), Some(given)) if digest != given => Err(Failure::Usage(
            format!(
                "--sha256 names {given}, but {digest} is known for this file ({})",
                known.by
            )
            .into(),
        )),
        (_, None) | (Some(_), Some(_)) => Ok(known),
    }
}

/// Shows what can be fetched.
fn list(json: bool) -> Result<(), Failure> {
    let presets = models::presets().into_iter();
    let published: Vec<(String, String, Published)> = presets
        .filter_map(|preset| Some((preset.name, preset.title, preset.checkpoint?)))
        .collect();
    let mut out = printed::stdout(json);
    if json {
        let records: Vec<Value> = published
            .iter()
            .map(|(name, title, checkpoint)| {
                let mut record = fetching::published_record(checkpoint);
                record["preset"] = name.as_str().into();
                record["title"] = title.as_str().into();
                record
            })
            .collect();
        serde_json::to_writer_pretty(&mut out, &records).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = published
        .into_iter()
        .map(|(name, title, checkpoint)| {
            let digest = checkpoint.sha256.as_ref().map_or_else(
                || "not known; recorded at the first fetch".to_owned(),
                |stated| {
                    let beginning = stated.digest.get(..12).unwrap_or_default();
                    format!("{beginning}…, by {}", stated.from.name())
                },
            );
            vec![
                name,
                title,
                checkpoint.file_name().unwrap_or_default(),
                fetching::size(checkpoint.bytes),
                digest,
            ]
        })
        .collect();
    writeln!(
        out,
        "{}",
        table::render(&["preset", "trained on", "file", "size", "SHA-256"], &rows)
    )?;
    Ok(())
}
