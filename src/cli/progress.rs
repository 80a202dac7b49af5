//! Readers of the event stream: bars on a terminal, plain lines elsewhere, a JSON log, the run record.

mod bars;
mod log;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use self::bars::Bars;
use self::state::{Kept, State, committed_already};
use super::exit::Failure;
use super::meter::Unit;
use super::say::{self, Level};
use crate::exec::event::{Event, Working};
use crate::text::{self, count, duration, operations, plural, rate};

pub(super) use log::{JsonLog, LogError};

/// Shows what happens on stderr: a bar for each piece of work on a terminal, lines elsewhere.
pub(super) struct Display {
    state: Mutex<State>,
}

impl Display {
    /// A display for this process's stderr.
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                bars: Bars::new(),
                passes: 0,
                ahead: BTreeMap::new(),
                behind: (0.0, 0.0),
                under_way: BTreeMap::new(),
                holders: BTreeSet::new(),
                kept: Kept::default(),
            }),
        }
    }

    /// Tells what the passes of a run cost, in multiply-adds, in their order: what is left of the run is estimated from that.
    pub(super) fn expect(&self, passes: &[u64]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ahead = (1..).zip(passes.iter().copied()).collect();
    }

    /// How a run ends that the user stopped: with what it has committed.
    pub(super) fn stopped(&self) -> Failure {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept {
            shards,
            heads,
            trains,
        } = state.kept;
        let kept: Vec<String> = [(shards, "shard"), (heads, "head")]
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| plural(number, what))
            .collect();
        let text = match (kept.as_slice(), trains) {
            ([], false) => {
                "stopped; this run has committed nothing yet, run the same command again".to_owned()
            }
            ([], true) => return Failure::Stopped,
            (kept, _) => format!(
                "stopped; everything committed is kept ({} by this run), run the same command again to resume",
                kept.join(" and ")
            ),
        };
        Failure::StoppedWith(text.into())
    }

    /// Shows one event.
    pub(super) fn show(&self, event: &Event) {
        // A poisoned lock means that showing failed before; the work itself is not to suffer from it.
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        match event {
            Event::RunStarted {
                experiment,
                device,
                passes,
                images,
                heads,
                sampled_images,
                sampling_operations,
                expected_sampling_seconds,
            } => {
                state.passes = *passes;
                let mut parts = Vec::new();
                if *passes + *heads > 0 {
                    parts.push(format!(
                        "{} over {} images, {} to train",
                        plural(*passes, "pass"),
                        count(*images),
                        plural(*heads, "head")
                    ));
                }
                if *sampled_images > 0 {
                    let time = expected_sampling_seconds.map_or_else(String::new, |seconds| {
                        format!(", about {} on one device", duration(seconds))
                    });
                    parts.push(format!(
                        "{} images out of noise ({}{time})",
                        count(*sampled_images),
                        operations(*sampling_operations)
                    ));
                }
                if !parts.is_empty() {
                    state.say(&format!("{experiment} on {device}: {}", parts.join(", ")));
                }
            }
            // Warnings are printed before anything is computed; the others are for records alone.
            Event::Warned { .. } | Event::RunOrigin { .. } | Event::Wanted { .. } => {}
            Event::DatasetOpened {
                dataset, samples, ..
            } => state.say(&format!("{dataset}: {}", plural(*samples, "image"))),
            Event::Waiting { label, holder } => {
                // Another run on the same experiment makes one artifact after the other; one line says it.
                if state.holders.insert(holder.clone()) || say::level() == Level::Verbose {
                    state.say(&format!("waiting for {holder}, which makes {label}"));
                }
            }
            Event::SetAside { what } => state.say(&format!("warning: set aside: {what}")),
            Event::Transferred {
                job,
                remote,
                artifacts,
                bytes,
                seconds,
            } => state.event(&format!(
                "{job}: {} from {remote}, {} in {}",
                plural(*artifacts, "artifact"),
                text::bytes(*bytes),
                duration(*seconds)
            )),
            Event::NotBrought { label, error } => {
                state.say(&format!("warning: {label} is computed here, since it cannot be downloaded: {error}"));
            }
            Event::Pushed {
                remote,
                artifacts,
                bytes,
            } => state.say(&format!(
                "{} put into {remote}, {}",
                plural(*artifacts, "artifact"),
                text::bytes(*bytes)
            )),
            Event::FitNotConverged {
                label,
                iterations,
                gradient,
                tolerance,
            } => state.say(&format!(
                "warning: {label} did not converge: after {} the gradient is {gradient:.1e}, and `tolerance` is {tolerance:e}; raise `max_iterations`, or set `standardize = true`",
                plural(*iterations, "iteration")
            )),
            Event::PretrainStarted {
                label,
                steps,
                done,
                batch_size,
            } => {
                let resumed = if *done > 0 {
                    format!(", resumes after {}", count(*done as usize))
                } else {
                    String::new()
                };
                let steps = *steps as usize;
                let name = format!("pretrain {label}");
                let title = format!(
                    "{name}: {} of {}{resumed}",
                    plural(steps, "step"),
                    plural(*batch_size as usize, "image")
                );
                let work = Working::Pretrain(label.clone());
                state.kept.trains = true;
                let amounts = (*done as usize, steps);
                state.bars.begin(work, (name, title), amounts, "steps");
            }
            Event::PretrainAdvanced { label, loss, .. } => {
                let loss = loss.map(|loss| format!(", loss {loss:.4}"));
                let work = Working::Pretrain(label.clone());
                state.bars.advance(&work, 1, loss.as_deref());
            }
            Event::PretrainFinished {
                label,
                images,
                loss,
                seconds,
            } => {
                // Nothing was left to do of one that ended behind its last checkpoint.
                let rate = match *images {
                    0 => String::new(),
                    images => format!(", {} images/s", rate(images as f64 / seconds.max(1e-9))),
                };
                let loss = loss.map_or_else(String::new, |loss| format!(", loss {loss:.4}"));
                let line = format!(
                    "pretrain {label} done in {}{rate}{loss}",
                    duration(*seconds)
                );
                state.finish(&Working::Pretrain(label.clone()), &line);
            }
            Event::SamplesStarted {
                label,
                images,
                committed,
                forwards,
            } => {
                let name = format!("samples {label}");
                let title = format!("{name}{}", committed_already(*committed));
                let work = Working::Samples(label.clone());
                let names = (name, title);
                let steps = forwards / (*images).max(1);
                let unit = Unit::Pieces("images", steps.max(1) as u64);
                state.bars.begin_by(work, names, (0, *forwards), unit);
            }
            Event::SamplesAdvanced { label, images } => {
                let work = Working::Samples(label.clone());
                state.bars.advance(&work, *images, None);
            }
            Event::SamplesFinished {
                label,
                images,
                seconds,
            } => {
                let line = format!(
                    "samples {label}: {} in {}, {} images/s",
                    plural(*images, "image"),
                    duration(*seconds),
                    rate(*images as f64 / seconds.max(1e-9))
                );
                state.finish(&Working::Samples(label.clone()), &line);
            }
            Event::PassStarted {
                pass,
                label,
                images,
                committed,
                taps,
            } => {
                let resumed = committed_already(*committed);
                let name = state.name_of_pass(*pass);
                let title = format!("{name} {label}: {}{resumed}", plural(*taps, "tap"));
                let work = Working::Pass(*pass);
                let amounts = (*committed, committed + images);
                state.bars.begin(work, (name, title), amounts, "images");
                if let Some(cost) = state.ahead.remove(pass) {
                    state.under_way.insert(*pass, cost);
                }
            }
            Event::PassAdvanced { pass, images } => {
                let rest = state.rest_of_passes();
                let work = Working::Pass(*pass);
                state.bars.advance(&work, *images, rest.as_deref());
            }
            Event::PassFinished {
                pass,
                images,
                seconds,
                ..
            } => {
                if let Some(cost) = state.under_way.remove(pass) {
                    state.behind.0 += cost as f64;
                    state.behind.1 += seconds;
                }
                let rate = rate(*images as f64 / seconds.max(1e-9));
                let line = format!(
                    "{} done: {} in {}, {rate} images/s",
                    state.name_of_pass(*pass),
                    plural(*images, "image"),
                    duration(*seconds)
                );
                state.finish(&Working::Pass(*pass), &line);
            }
            Event::ImportFinished {
                label,
                rows,
                seconds,
            } => state.say(&format!(
                "imported {label}: {} in {}",
                plural(*rows, "row"),
                duration(*seconds)
            )),
            Event::BatchHalved { job, images } => state.say(&format!(
                "warning: memory ran out; {job} continues with {} at once",
                plural(*images, "image")
            )),
            Event::Abandoned { work } => {
                if let Working::Pass(pass) = work {
                    state.under_way.remove(pass);
                }
                state.bars.end(work);
            }
            Event::ImageSkipped { id, reason } => {
                state.say(&format!("warning: skipped {id}: {reason}"));
            }
            Event::HeadsStarted { heads } => {
                let names = ("heads".to_owned(), "heads".to_owned());
                state.kept.trains = true;
                state.bars.begin(Working::Heads, names, (0, *heads), "heads");
            }
            Event::HeadsAdvanced {
                heads,
                epoch,
                epochs,
                ..
            } => {
                let heads = plural(*heads, "head");
                let remark = format!(" ({heads} at epoch {epoch} of {epochs})");
                state.bars.advance(&Working::Heads, 0, Some(&remark));
            }
            Event::ImagesSeen {
                epoch,
                epochs,
                images,
                of,
                ..
            } => {
                let seen = format!("{} of {} images", count(*images), count(*of));
                let remark = format!(" (epoch {epoch} of {epochs}, {seen})");
                state.bars.advance(&Working::Heads, 0, Some(&remark));
            }
            Event::HeadFinished { label, seconds, .. } => {
                state.kept.heads += 1;
                state.bars.advance(&Working::Heads, 1, None);
                state.event(&format!("head {label} done in {}", duration(*seconds)));
            }
            Event::HeadsFinished { heads, seconds } => {
                let line = format!(
                    "{} trained in {}",
                    plural(*heads, "head"),
                    duration(*seconds)
                );
                state.finish(&Working::Heads, &line);
            }
            Event::NodeFailed {
                label,
                fingerprint,
                error,
            } => {
                let artifact = if fingerprint.is_empty() {
                    String::new()
                } else {
                    format!(" ({fingerprint})")
                };
                state.say(&format!("error: {label}{artifact}: {error}"));
            }
            Event::ReportWritten { path, files } => {
                let line = format!("{path} is written, with {}", plural(*files, "figure"));
                state.bars.above(|| say::always(&line));
            }
            Event::RunFinished {
                nothing_to_do,
                stopped,
                disk_full,
                again,
                failed,
                unmade,
                seconds,
            } => {
                state.bars.end_all();
                if *nothing_to_do {
                    state.say(
                        "nothing to do: everything is in the cache and every output is up to date",
                    );
                } else if *again {
                    state.say("what was damaged, or could not be downloaded, is made now");
                } else if *failed > 0 && !disk_full {
                    state.say(&format!(
                        "{} failed; {} missing because of it; everything else is done",
                        plural(*failed, "node"),
                        plural(*unmade, "artifact")
                    ));
                } else if !stopped && !disk_full {
                    state.say(&format!("done in {}", duration(*seconds)));
                }
            }
            Event::MetricOverSome { label, scored, of } => state.say(&format!(
                "warning: metric `{label}` is kept for {scored} of {of}: the others were not made"
            )),
            Event::ShardCommitted { job, shard } => {
                state.kept.shards += 1;
                state.event(&format!("{job}: shard {shard} is committed"));
            }
            Event::MetricFinished { label, results } => {
                state.event(&format!("metric {label}: {}", plural(*results, "result")));
            }
        }
    }
}
