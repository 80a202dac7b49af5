//! One import: features that were computed elsewhere, out of their files into the store, by the same shards as those of a pass.
//!
//! Files are compared with the digests that were planned with, their rows matched with the samples and looked at for values that are not
//! finite, before the first part is written.

use std::ops::Range;
use std::time::Instant;

use super::shard::Shard;
use super::{Listed, commit, tap_request};
use crate::checked_file::CheckedFile;
use crate::exec::NodeError;
use crate::exec::context::Run;
use crate::exec::event::Event;
use crate::exec::jobs::claimed::{Claimed, Cut};
use crate::models::checkpoint::weights::WeightError;
use crate::models::extractor::{TapRequest, reduced_rows};
use crate::models::imported::{Described, FeatureFile, Imported, Place, assign};
use crate::plan::{Pass, Tap};
use crate::store::Fingerprint;

/// Imports features, or some of their shards, and commits every set whose parts are all in place then.
///
/// - `shards`: those that are asked for; all where there is none
/// - `joins`: whether another worker of this process has begun it, and reports it
pub(in crate::exec::jobs) fn run_import(
    run: &Run<'_>,
    pass: &Pass,
    shards: Option<Range<usize>>,
    joins: bool,
) -> Result<(), NodeError> {
    let started = Instant::now();
    let imported = pass.model.model.imported();
    let imported = imported.ok_or_else(|| NodeError::bug("an import of a network's features"))?;
    let label = format!("{} ← {}", pass.model.name, pass.dataset.name);
    let cut = Cut {
        name: &pass.name,
        label: label.clone(),
        shards: pass.shards,
        wanted: shards,
        joins,
    };
    let artifacts: Vec<_> = pass.taps.iter().map(|tap| &tap.artifact).collect();
    let claimed = Claimed::begin(run, cut, &artifacts)?;
    let rows = claimed.missing_images();
    let places = claimed.places().into_iter();
    let taps: Vec<Tap> = places.map(|place| pass.taps[place].clone()).collect();
    let dataset = run.inputs.images(&pass.dataset, run.store, 0..0)?;
    let listed = Listed::of(pass, &dataset)?;
    let files = opened(run, imported, &pass.model.weights)?;
    let described: Vec<Described> = files
        .iter()
        .zip(&imported.files)
        .map(|((_, file), declared)| file.described(declared.split.clone()))
        .collect();
    let places = assign(&pass.dataset.name, listed.manifest, imported, &described)?;
    for (_, file) in &files {
        file.check_finite()?;
    }
    while let Some(index) = claimed.next()? {
        let mut shard = Shard::new(index, pass.shards.rows_of(index), &taps);
        let order = listed.order.get(shard.rows.clone()).unwrap_or_default();
        fill(&mut shard, &files, (&places, order), (imported, &taps))?;
        for (checked, _) in &files {
            // Numbers are read in place: what was written into a file meanwhile must not reach the store.
            let unchanged = checked.unchanged();
            unchanged.map_err(|error| WeightError::check(checked.path(), error))?;
        }
        commit(pass, (&taps, &listed), &claimed, &shard)?;
    }
    if run.stop.is_given() {
        return Err(NodeError::Stopped);
    }
    let seconds = started.elapsed().as_secs_f64();
    claimed.finish(seconds)?;
    if !joins {
        (run.emit)(Event::ImportFinished {
            label,
            rows,
            seconds,
        });
    }
    Ok(())
}

/// The files, if they are still those that the experiment was planned with.
fn opened(
    run: &Run<'_>,
    imported: &Imported,
    identity: &str,
) -> Result<Vec<(CheckedFile, FeatureFile)>, NodeError> {
    let unplanned = || NodeError::bug("features in files were planned without their digests");
    let digests = Imported::digests(identity).ok_or_else(unplanned)?;
    if digests.len() != imported.files.len() {
        return Err(unplanned());
    }
    let mut files = Vec::new();
    for (file, digest) in imported.files.iter().zip(digests) {
        let path = run.base.join(&file.path);
        let digest: Fingerprint = digest.parse().map_err(|_| unplanned())?;
        let checked = run.store.open_input(&path, &digest.0);
        let checked = checked.map_err(|error| WeightError::check(&path, error))?;
        let file = FeatureFile::open(&checked, imported)?;
        files.push((checked, file));
    }
    Ok(files)
}

/// Reads the rows of a shard and makes of them what each tap asks for.
fn fill(
    shard: &mut Shard,
    files: &[(CheckedFile, FeatureFile)],
    (places, order): (&[Place], &[usize]),
    (imported, taps): (&Imported, &[Tap]),
) -> Result<(), NodeError> {
    let mut rows = Vec::new();
    for &sample in order {
        let place = places.get(sample).copied();
        let file = place.and_then(|place| Some((&files.get(place.file)?.1, place.row)));
        let (file, row) = file.ok_or_else(|| NodeError::bug("a sample without a row"))?;
        file.read(row, &mut rows)?;
    }
    let requests: Vec<TapRequest> = taps.iter().map(tap_request).collect();
    let features = reduced_rows(&rows, imported.shape, &requests);
    let features = features.ok_or_else(|| NodeError::bug("a row that cannot be reduced so"))?;
    shard.values = features;
    Ok(())
}
