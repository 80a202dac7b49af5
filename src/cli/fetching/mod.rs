//! What the commands that fetch share: one file downloaded with its progress shown, and what there is to say of it afterwards.

mod progress;

use std::path::Path;

use serde_json::{Value, json};

use self::progress::Display;
use super::exit::Failure;
use super::process;
use super::say;
use crate::bug::Bug;
use crate::exec::StopSignal;
use crate::fetch::{self, Fetched, How, Patience, Proof, Published, Request, Stated};
use crate::text::bytes;

/// Downloads files for one call of the program.
pub(super) struct Downloader {
    stop: &'static StopSignal,
    patience: Patience,
    force: bool,
}

impl Downloader {
    /// `force` fetches what is there as well; every waiting time is divided by `hurry`.
    pub(super) fn new(force: bool, hurry: u32) -> Self {
        let patience = Patience::default();
        Self {
            stop: process::stop_signal("at once; what came is kept"),
            patience: Patience {
                connect: patience.connect / hurry,
                silence: patience.silence / hurry,
                pause: patience.pause / hurry,
                ..patience
            },
            force,
        }
    }

    /// Downloads one file and says on stderr how it comes, what there is now, and what speaks for it.
    pub(super) fn download(
        &self,
        url: &str,
        target: &Path,
        stated: &Stated,
    ) -> Result<Fetched, Failure> {
        let display = Display::new();
        let request = Request {
            url,
            target,
            stated: stated.clone(),
            force: self.force,
            patience: self.patience,
            clock: process::clock,
        };
        let outcome = fetch::fetch(&request, &|event| display.show(event), &|| {
            self.stop.is_given()
        });
        display.clear();
        let fetched = outcome?;
        say::always(&last_words(target, &stated.by, &fetched));
        Ok(fetched)
    }
}

/// The name of a file in a list that is built into the program.
pub(super) fn file_name(published: &Published) -> Result<String, Failure> {
    published.file_name().ok_or_else(|| {
        let url = &published.url;
        Bug::new(format!("{url} does not end in the name of a file")).into()
    })
}

/// What a list states of a file.
pub(super) fn stated(published: &Published, list: &str) -> Result<Stated, Failure> {
    let stated = published.stated(list);
    stated.map_err(|error| Bug::new(error.to_string()).into())
}

/// A file that is in place, for programs that read.
pub(super) fn record(url: &str, target: &Path, stated: &Stated, fetched: &Fetched) -> Value {
    let (proof, recorded_at) = match &fetched.proof {
        Proof::Stated => ("stated", None),
        Proof::Recorded { at } => ("recorded", Some(at)),
        Proof::FirstUse => ("none", None),
    };
    json!({
        "path": target.display().to_string(),
        "url": fetch::without_credentials(url),
        "bytes": fetched.bytes,
        "sha256": fetched.sha256,
        "how": fetched.how,
        "proof": proof,
        "recorded_at": recorded_at,
        "stated_by": stated.sha256.map(|_| &stated.by),
    })
}

/// What a list says of a file, for programs that read.
pub(super) fn published_record(published: &Published) -> Value {
    let known = published.sha256.as_ref();
    json!({
        "url": published.url,
        "file": published.file_name(),
        "bytes": published.bytes,
        "sha256": known.map(|known| &known.digest),
        "sha256_from": known.map(|known| known.from.name()),
        "sha256_who": known.map(|known| &known.who),
    })
}

/// The size of a file in a listing.
pub(super) fn size(known: Option<u64>) -> String {
    known.map_or_else(|| "not known".to_owned(), bytes)
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
