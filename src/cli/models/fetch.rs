//! `repro models fetch`: brings the published weights of a preset.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::progress::Display;
use crate::cli::exit::Failure;
use crate::cli::{Context, process, table};
use crate::fetch::{self, Digest, Fetched, How, Patience, Proof, Request, Stated};
use crate::models::presets::{self, Checkpoint, Preset, PresetError};
use crate::spec::suggest;
use crate::text::bytes;

/// Where weights go, from the folder that relative paths start from.
const FOLDER: &str = "data/weights";

/// Arguments of `repro models fetch`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro models fetch                                  what can be fetched, and who vouches for it\n  repro models fetch adm-256-uncond                   into data/weights\n  repro models fetch adm-256-uncond --to /big/disk    into another folder\n  repro models fetch adm-256-uncond --url https://mirror.example/256x256_diffusion_uncond.pt\n\nWhat breaks off is tried again; after that, or after Ctrl-C, the same command goes on with what is there. The path of the file is printed on stdout. A file whose digest is not the one that was stated or recorded is never put in place, but set aside as NAME.rejected. data/README.md has more."
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

/// Brings a file, or lists what there is to bring.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let Some(name) = &arguments.name else {
        return list(arguments.json);
    };
    let preset = find(name)?;
    let Some(checkpoint) = &preset.checkpoint else {
        return Err(Failure::Mistakes(format!(
            "no weights are published for preset `{name}` ({})\n  hint: write `weights = {{ synthetic = 7 }}` in the experiment; `repro models fetch` lists what can be fetched",
            preset.title
        )));
    };
    let Some(file) = fetch::file_name(&checkpoint.url) else {
        return Err(Failure::Mistakes(format!(
            "{} does not end in the name of a file; this is a bug",
            checkpoint.url
        )));
    };
    let folder = arguments
        .to
        .clone()
        .unwrap_or_else(|| context.base.join(FOLDER));
    let target = folder.join(file);
    let stated = stated(checkpoint, arguments.sha256)?;
    let stop = process::stop_signal("at once; what came is kept");
    let display = Display::new();
    let request = Request {
        url: arguments.url.as_deref().unwrap_or(&checkpoint.url),
        target: &target,
        stated: stated.clone(),
        force: arguments.force,
        patience: patience(arguments.hurry),
        clock: process::clock,
    };
    let outcome = fetch::fetch(&request, &|event| display.show(event), &|| stop.is_given());
    display.clear();
    let fetched = outcome?;
    display.say(&last_words(&target, &stated.by, &fetched));
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let record = record(&preset, &request, &fetched);
        serde_json::to_writer_pretty(&mut out, &record).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", target.display())?;
    }
    Ok(())
}

fn broken(error: &PresetError) -> Failure {
    Failure::Mistakes(error.to_string())
}

fn find(name: &str) -> Result<Preset, Failure> {
    let presets = presets::all().map_err(|error| broken(&error))?;
    let names: Vec<String> = presets.iter().map(|preset| preset.name.clone()).collect();
    let found = presets.into_iter().find(|preset| preset.name == name);
    found.ok_or_else(|| {
        let hint = suggest::hint(name, names.iter().map(String::as_str))
            .unwrap_or_else(|| "`repro models fetch` lists what can be fetched".to_owned());
        Failure::Mistakes(format!("there is no preset `{name}`\n  hint: {hint}"))
    })
}

/// What is known of the file beforehand: by the list of presets, or by the user.
fn stated(checkpoint: &Checkpoint, given: Option<Digest>) -> Result<Stated, Failure> {
    let Some(known) = &checkpoint.sha256 else {
        let by = given.map_or("by the list of presets", |_| "as given with --sha256");
        return Ok(Stated {
            bytes: checkpoint.bytes,
            sha256: given,
            by: by.to_owned(),
        });
    };
    let digest = known.digest.parse::<Digest>();
    let digest = digest.map_err(|error| Failure::Mistakes(format!("{error}; this is a bug")))?;
    let by = format!("by {}: {}", known.from.name(), known.who);
    if let Some(given) = given.filter(|given| *given != digest) {
        return Err(Failure::Mistakes(format!(
            "--sha256 names {given}, but {digest} is known for this file ({by})"
        )));
    }
    Ok(Stated {
        bytes: checkpoint.bytes,
        sha256: Some(digest),
        by,
    })
}

fn patience(hurry: u32) -> Patience {
    let patience = Patience::default();
    Patience {
        connect: patience.connect / hurry,
        silence: patience.silence / hurry,
        pause: patience.pause / hurry,
        ..patience
    }
}

/// What there is now, and what speaks for it.
fn last_words(target: &Path, by: &str, fetched: &Fetched) -> String {
    let how = match fetched.how {
        How::Fetched => "is in place",
        How::Found => "is there already",
    };
    let digest = fetched.sha256;
    let proof = match &fetched.proof {
        Proof::Stated => format!("SHA-256 {digest} is the stated one ({by})"),
        Proof::Recorded { at } => format!(
            "SHA-256 {digest} is the one recorded on {at} in {}; nobody else has stated it",
            fetch::RECORD
        ),
        Proof::FirstUse => format!(
            "nobody has stated its SHA-256, so nothing shows that it is the right file;\n  {digest} is in {} now, and what is fetched later is compared with it",
            fetch::RECORD
        ),
    };
    format!(
        "{} {how}: {}\n  {proof}",
        target.display(),
        bytes(fetched.bytes)
    )
}

fn record(preset: &Preset, request: &Request<'_>, fetched: &Fetched) -> Value {
    let (proof, recorded_at) = match &fetched.proof {
        Proof::Stated => ("stated", None),
        Proof::Recorded { at } => ("recorded", Some(at)),
        Proof::FirstUse => ("none", None),
    };
    json!({
        "preset": preset.name,
        "path": request.target.display().to_string(),
        "url": request.url,
        "bytes": fetched.bytes,
        "sha256": fetched.sha256,
        "how": fetched.how,
        "proof": proof,
        "recorded_at": recorded_at,
        "stated_by": request.stated.sha256.map(|_| &request.stated.by),
    })
}

/// Shows what can be fetched.
fn list(json: bool) -> Result<(), Failure> {
    let presets = presets::all().map_err(|error| broken(&error))?;
    let published = presets.iter().filter_map(|preset| {
        let checkpoint = preset.checkpoint.as_ref()?;
        Some((preset, checkpoint))
    });
    let mut out = std::io::stdout().lock();
    if json {
        let records: Vec<Value> = published
            .map(|(preset, checkpoint)| {
                let stated = checkpoint.sha256.as_ref();
                json!({
                    "preset": preset.name,
                    "title": preset.title,
                    "url": checkpoint.url,
                    "file": fetch::file_name(&checkpoint.url),
                    "bytes": checkpoint.bytes,
                    "sha256": stated.map(|stated| &stated.digest),
                    "sha256_from": stated.map(|stated| stated.from.name()),
                    "sha256_who": stated.map(|stated| &stated.who),
                })
            })
            .collect();
        serde_json::to_writer_pretty(&mut out, &records).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    let unknown = || "not known".to_owned();
    let rows: Vec<Vec<String>> = published
        .map(|(preset, checkpoint)| {
            let digest = checkpoint.sha256.as_ref().map_or_else(
                || "not known; recorded at the first fetch".to_owned(),
                |stated| {
                    let beginning = stated.digest.get(..12).unwrap_or_default();
                    format!("{beginning}…, by {}", stated.from.name())
                },
            );
            vec![
                preset.name.clone(),
                preset.title.clone(),
                fetch::file_name(&checkpoint.url).unwrap_or_default(),
                checkpoint.bytes.map_or_else(unknown, bytes),
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
