//! `repro data fetch`: downloads the files of a published dataset, one after another.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::exit::Failure;
use crate::cli::fetching::{self, Downloader};
use crate::cli::{Context, printed};
use crate::datasets::published::{ByHand, PublishedDataset};
use crate::message::Message;
use crate::spec::suggest;

/// Arguments of `repro data fetch`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro data fetch cifar10                   into data/cifar10; it stays packed\n  repro data fetch fashion-mnist             into data/fashion-mnist-whole\n  repro data fetch cifar10 --to /big/disk    into another folder\n  repro data fetch cifar10 --url https://mirror.example/cifar\n\nWhat breaks off is tried again; after that, or after Ctrl-C, the same command resumes with what is there. The path of the folder is printed on stdout: write it as `root` of the dataset. Archives stay packed: they are read as they are. A file whose digest is not the one that was stated is never put in place, but set aside as NAME.rejected. data/README.md has more."
)]
pub struct Arguments {
    /// The dataset; `repro data list` shows which there are.
    #[arg(value_name = "NAME")]
    name: String,
    /// The folder for the files, taken as typed; the one that `repro data list` shows, in the folder that relative paths start from, if not given.
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Fetch from another address, such as a mirror, which has the files under their names; the digests are checked all the same.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Fetch files although they are there, and put what comes in their place once it is checked.
    #[arg(long)]
    force: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Divide every waiting time by this, for tests.
    #[arg(long, hide = true, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    hurry: u32,
}

/// Downloads the files of a dataset.
pub fn run(
    context: &Context,
    datasets: &[PublishedDataset],
    arguments: &Arguments,
) -> Result<(), Failure> {
    let dataset = find(datasets, &arguments.name)?;
    if let Some(by_hand) = &dataset.by_hand {
        return Err(to_be_brought(dataset, by_hand));
    }
    let folder = arguments
        .to
        .clone()
        .unwrap_or_else(|| context.base.join(&dataset.folder));
    say!(
        "{}: {}, {}\n  license: {}; see {}",
        dataset.name,
        match dataset.files.len() {
            1 => "1 file".to_owned(),
            files => format!("{files} files"),
        },
        fetching::size(dataset.bytes()),
        dataset.license,
        dataset.page
    );
    let downloader = Downloader::new(arguments.force, arguments.hurry);
    let mut records = Vec::new();
    for file in &dataset.files {
        let name = fetching::file_name(file)?;
        let url = match &arguments.url {
            Some(place) => format!("{}/{name}", place.trim_end_matches('/')),
            None => file.url.clone(),
        };
        let target = folder.join(name);
        let stated = fetching::stated(file, "the list of datasets")?;
        let fetched = downloader.download(&url, &target, &stated)?;
        records.push(fetching::record(&url, &target, &stated, &fetched));
    }
    // The key counts from the folder that `repro` runs in, which is not where the command line was typed.
    let root = match &arguments.to {
        Some(folder) => std::path::absolute(folder)?.display().to_string(),
        None => dataset.folder.clone(),
    };
    say!(
        "in an experiment: kind = \"{}\", root = \"{root}\"",
        dataset.kind
    );
    let mut out = printed::stdout(arguments.json);
    if arguments.json {
        let record = json!({
            "dataset": dataset.name,
            "kind": dataset.kind,
            "folder": folder.display().to_string(),
            "files": records,
        });
        serde_json::to_writer_pretty(&mut out, &record).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", folder.display())?;
    }
    Ok(())
}

/// Says which files have to be downloaded by hand, from where and to where.
fn to_be_brought(dataset: &PublishedDataset, by_hand: &ByHand) -> Failure {
    let files = by_hand.files.iter().map(|file| {
        let digest = match (&file.sha256, &file.md5) {
            (Some(known), _) => format!(
                "SHA-256 {}, by {}: {}",
                known.digest,
                known.from.name(),
                known.who
            ),
            (None, Some(md5)) => format!("SHA-256 not known, MD5 {md5}"),
            (None, None) => "its digest is not known".to_owned(),
        };
        let size = fetching::size(file.bytes);
        format!("\n  {}, size {size}\n    {digest}", file.name)
    });
    Failure::Input(Message::new(format!("{} cannot be fetched: {}{}\n  license: {}; see {}", dataset.name, by_hand.why, files.collect::<String>(), dataset.license, dataset.page)).hint(format!("download these files by hand and put them into {}, packed as they are; in an experiment: kind = \"{}\", root = \"{}\"", dataset.folder, dataset.kind, dataset.folder)))
}

fn find<'a>(datasets: &'a [PublishedDataset], name: &str) -> Result<&'a PublishedDataset, Failure> {
    let found = datasets.iter().find(|dataset| dataset.name == name);
    found.ok_or_else(|| {
        let names = datasets.iter().map(|dataset| dataset.name.as_str());
        let hint = suggest::hint(name, names)
            .unwrap_or_else(|| "`repro data list` shows what can be fetched".to_owned());
        Failure::Usage(Message::new(format!("no dataset `{name}` can be fetched")).hint(hint))
    })
}
