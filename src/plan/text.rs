//! The plan as people and programs read it.

mod latents;
mod record;
mod remote;
mod trainings;

use std::collections::BTreeSet;
use std::fmt::Write;

use self::latents::render_latents;
use self::remote::render_remote;
use self::trainings::{render_fresh, render_trainings};
use super::Plan;
use super::absent::{self, Absent};
use super::job::{Cost, JobKind, Pass};
use crate::models::Precision;
use crate::text::{bytes, count, plural};

pub use record::PlanRecord;

/// Reasons that the plan gives without being asked for all.
const MOST_REASONS: usize = 12;

/// What all passes cost together.
struct Totals {
    cost: Cost,
    /// Images through networks if every extraction ran alone.
    unfused: u64,
}

impl Totals {
    fn of(passes: &[Pass]) -> Self {
        let mut totals = Self {
            cost: Cost::default(),
            unfused: 0,
        };
        for pass in passes {
            let cost = pass.cost();
            totals.cost.images += cost.images;
            totals.cost.multiply_adds += cost.multiply_adds;
            totals.cost.bytes += cost.bytes;
            totals.unfused += cost.images * pass.taps.len() as u64;
        }
        totals
    }
}

/// One line for each pass.
fn render_passes(passes: &[Pass]) -> String {
    let mut text = String::new();
    for pass in passes {
        let _ = writeln!(text, "  {}", pass_line(pass));
    }
    text
}

fn pass_line(pass: &Pass) -> String {
    let key = &pass.key;
    let timestep = key.timestep;
    // Draws of one model's weights differ in nothing else.
    let draw = pass.model.model.weights().rule_and_seed();
    let draw = draw.filter(|_| pass.model.is_one_of_several);
    let mut line = format!(
        "{}{} ← {}{}{}{}  ",
        pass.model.name,
        draw.map_or_else(String::new, |(_, seed)| format!(" seed={seed}")),
        pass.model
            .autoencoder
            .as_ref()
            .map_or_else(String::new, |one| format!("{} ← ", one.name)),
        pass.dataset.name,
        timestep.map_or_else(String::new, |timestep| format!("  t={timestep}")),
        key.class
            .map_or_else(String::new, |class| format!("  class={class}")),
    );
    if let Some(imported) = pass.model.model.imported() {
        let _ = write!(
            line,
            "{}{}  {} of {}",
            imported.paths(),
            reductions(pass),
            plural(pass.taps.len(), "set"),
            plural(pass.missing_images(), "row"),
        );
        return line + &resumes(pass);
    }
    let _ = write!(
        line,
        "blocks {}{}  {} of {}",
        ranges(pass.taps.iter().map(|tap| tap.block.0)),
        reductions(pass),
        plural(pass.taps.len(), "tap"),
        plural(pass.missing_images(), "image"),
    );
    if let Some(split) = &key.shown.split {
        let _ = write!(line, "  of split {split}");
    }
    let reader = &pass.model.reader().model;
    if key.shown.preprocess != reader.preprocess() {
        let _ = write!(line, "  {}", key.shown.preprocess.name());
    }
    if key.normalization != reader.input().normalization {
        let _ = write!(line, "  {}", key.normalization.name());
    }
    if key.precision != Precision::F32 {
        let _ = write!(line, "  {}", key.precision.name());
    }
    let (draw, seed) = key.draw_and_seed();
    if key.view.name() != "center" || draw != 0 || seed != 0 {
        let _ = write!(line, "  {} draw={draw} seed={seed}", key.view.name());
    }
    line + &resumes(pass)
}

/// What an earlier run has committed of a pass, where it is a part.
fn resumes(pass: &Pass) -> String {
    let (missing, all) = (pass.missing_shards().len(), pass.shards.count());
    if missing == all || missing == 0 {
        return String::new();
    }
    format!("  resumes: {} of {all} shards are committed", all - missing)
}

/// The pools and tokens of a pass, such as `  pools 1,2,4`.
fn reductions(pass: &Pass) -> String {
    let mut text = String::new();
    let pools: Vec<u32> = pass
        .taps
        .iter()
        .filter_map(|tap| tap.reduce.pool())
        .collect();
    if !pools.is_empty() {
        let _ = write!(text, "  pools {}", ranges(pools.into_iter()));
    }
    let tokens: BTreeSet<&str> = pass
        .taps
        .iter()
        .filter_map(|tap| tap.reduce.token(tap.shape))
        .collect();
    if !tokens.is_empty() {
        let tokens: Vec<&str> = tokens.into_iter().collect();
        let _ = write!(text, "  tokens {}", tokens.join(","));
    }
    text
}

/// One line for each job: its name, what it does, what it needs; also what `repro plan --steps` shows after each rule.
pub fn render_jobs(plan: &Plan) -> String {
    let mut text = String::new();
    for job in &plan.jobs {
        let what = if let Some(pass) = Pass::of(plan, job) {
            let shards = plural(pass.shards.count(), "shard");
            format!("{}  {shards}", pass_line(&pass))
        } else {
            let first = job.steps.first().map(|&id| plan.step(id));
            let label = first.map_or("", |step| step.artifact.label.as_str());
            match (job.steps.len(), job.shards) {
                (1, Some(shards)) => format!("{label}  {}", plural(shards, "shard")),
                (1, None) => label.to_owned(),
                (several, _) => {
                    let what = match job.kind {
                        JobKind::Transfer => "artifact",
                        _ => "head",
                    };
                    format!("{} such as {label}", plural(several, what))
                }
            }
        };
        let needs: Vec<&str> = job
            .needs
            .iter()
            .map(|&needed| plan.jobs[needed].name.as_str())
            .collect();
        let needs = match needs.as_slice() {
            [] => String::new(),
            few if few.len() <= 3 => format!("  needs {}", few.join(", ")),
            many => format!("  needs {} jobs", count(many.len())),
        };
        let _ = writeln!(text, "  {}  {what}{needs}", job.name);
    }
    text
}

/// The plan for people; `absent` are the inputs that are not on disk.
pub fn render(plan: &Plan, absent: &[Absent], every_artifact: bool) -> String {
    let mut text = format!("plan for {}\n", plan.name);
    text.push_str(&absent::render(absent));
    text.push_str(&render_remote(plan));
    let (latents, passes): (Vec<Pass>, Vec<Pass>) = plan
        .passes()
        .into_iter()
        .partition(|pass| pass.makes_latents(plan));
    let totals = Totals::of(&passes);
    text.push_str(&render_trainings(plan));
    text.push_str(&render_latents(plan, &latents));
    let _ = writeln!(text, "\nfeatures: {}", counts(plan, "features"));
    if !passes.is_empty() {
        let _ = writeln!(
            text,
            "  {} through the network: {} forwards (one for each extraction alone would be {}), {:.3} T multiply-adds, {} to write",
            plural(passes.len(), "pass"),
            count(totals.cost.images),
            count(totals.unfused),
            totals.cost.multiply_adds as f64 / 1e12,
            bytes(totals.cost.bytes),
        );
        text.push_str(&render_passes(&passes));
    }
    let imports = plan.imports();
    if !imports.is_empty() {
        let _ = writeln!(
            text,
            "  {} of features that were computed elsewhere, {} to write",
            plural(imports.len(), "import"),
            bytes(Totals::of(&imports).cost.bytes),
        );
        text.push_str(&render_passes(&imports));
    }
    let _ = writeln!(text, "heads: {}", counts(plan, "head"));
    let scans = plan.jobs.iter().filter(|job| job.kind == JobKind::Heads);
    let scans = scans.count();
    if scans > 0 {
        let _ = writeln!(
            text,
            "  {} of the features: heads that read the same ones train in one",
            plural(scans, "scan")
        );
    }
    let refits = plan.jobs.iter().filter(|job| job.kind == JobKind::Refit);
    let refits: usize = refits.map(|job| job.steps.len()).sum();
    if refits > 0 {
        let _ = writeln!(
            text,
            "  {} of them on all training samples, once the best of each choice is known",
            count(refits)
        );
    }
    text.push_str(&render_fresh(plan));
    let _ = writeln!(text, "metrics: {}", counts(plan, "metric"));
    if let Some(output) = &plan.report {
        let _ = writeln!(
            text,
            "report: {output}, rendered from the cache and written where it differs"
        );
    }
    if every_artifact {
        text.push_str(&artifacts(plan));
    } else {
        text.push_str(&reasons(plan));
    }
    if plan.is_done() {
        text.push_str("\nnothing to compute: everything is in the cache\n");
    }
    text
}

/// How many artifacts of a kind are wanted, and how many of them the store or a remote has.
fn counts(plan: &Plan, kind: &str) -> String {
    let of_kind = || plan.steps.iter().filter(|step| step.work.kind() == kind);
    let cached = of_kind().filter(|step| step.artifact.state.is_cached());
    let remote = of_kind().filter(|step| step.remote_bytes().is_some());
    let remote = match remote.count() {
        0 => String::new(),
        number => format!(", {} in the remote", count(number)),
    };
    format!(
        "{} wanted, {} cached{remote}",
        count(of_kind().count()),
        count(cached.count())
    )
}

/// Why things have to be made, reasons that are alike in one line.
fn reasons(plan: &Plan) -> String {
    let mut reasons: Vec<(String, usize, &str)> = Vec::new();
    let mut places = std::collections::BTreeMap::new();
    for step in plan.steps.iter().filter(|step| step.is_missing()) {
        let why = record::why(step).unwrap_or_default();
        let reason = format!("{}: {why}", step.work.kind());
        if let Some(&place) = places.get(&reason) {
            let (_, number, _): &mut (String, usize, &str) = &mut reasons[place];
            *number += 1;
        } else {
            places.insert(reason.clone(), reasons.len());
            reasons.push((reason, 1, &step.artifact.label));
        }
    }
    let mut text = String::new();
    if reasons.is_empty() {
        return text;
    }
    text.push_str("\nwhy:\n");
    for (reason, number, example) in reasons.iter().take(MOST_REASONS) {
        let example = match number {
            1 => (*example).to_owned(),
            several => format!("{} such as {example}", count(*several)),
        };
        let _ = writeln!(text, "  {reason} ({example})");
    }
    if reasons.len() > MOST_REASONS {
        let _ = writeln!(
            text,
            "  … {} more reasons; `--artifacts` lists every artifact",
            reasons.len() - MOST_REASONS
        );
    }
    text
}

/// Every artifact, a line each.
fn artifacts(plan: &Plan) -> String {
    let mut text = "\nartifacts:\n".to_owned();
    for step in &plan.steps {
        let why = record::why(step).map_or_else(String::new, |why| format!("  {why}"));
        let _ = writeln!(
            text,
            "  {:<8} {:<8} {}  {}{why}",
            record::state(step),
            step.work.kind(),
            step.artifact.fingerprint.short(),
            step.artifact.label
        );
    }
    text
}

/// Numbers in order, runs written as `1–13`.
fn ranges(numbers: impl Iterator<Item = u32>) -> String {
    let numbers: BTreeSet<u32> = numbers.collect();
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let shown: Vec<String> = runs
        .iter()
        .map(|(first, last)| match last - first {
            0 => first.to_string(),
            1 => format!("{first},{last}"),
            _ => format!("{first}–{last}"),
        })
        .collect();
    shown.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_short() {
        assert_eq!(ranges([3, 1, 2, 7, 9, 10].into_iter()), "1–3,7,9,10");
    }
}
