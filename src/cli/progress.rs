//! Readers of the event stream: bars on a terminal, plain lines elsewhere, a JSON log, the run record.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::exec::event::Event;
use crate::text::{count, duration, plural};

/// Shows what happens on stderr: bars on a terminal, lines elsewhere.
pub(super) struct Display {
    bars: bool,
    state: Mutex<State>,
}

struct State {
    bar: Option<ProgressBar>,
    /// What the bar is about.
    title: String,
    /// When the last plain progress line was printed.
    said: Instant,
    done: usize,
    of: usize,
    begun: Instant,
    /// Passes of the run; none where one job runs by itself.
    passes: usize,
}

impl Display {
    /// A display for this process's stderr.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            bars: std::io::stderr().is_terminal(),
            state: Mutex::new(State {
                bar: None,
                title: String::new(),
                said: now,
                done: 0,
                of: 0,
                begun: now,
                passes: 0,
            }),
        }
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
            } => {
                state.passes = *passes;
                if *passes + *heads > 0 {
                    state.say(&format!(
                        "{experiment} on {device}: {} over {} images, {} to train",
                        plural(*passes, "pass"),
                        count(*images),
                        plural(*heads, "head")
                    ));
                }
            }
            Event::DatasetOpened {
                dataset, samples, ..
            } => state.say(&format!("{dataset}: {}", plural(*samples, "image"))),
            Event::Waiting { label, holder } => {
                state.say(&format!("waiting for {holder}, which makes {label}"));
            }
            Event::SetAside { what } => state.say(&format!("warning: set aside: {what}")),
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
                let title = format!(
                    "pretrain {label}: {} of {}{resumed}",
                    plural(steps, "step"),
                    plural(*batch_size as usize, "image")
                );
                self.begin(&mut state, &title, steps - *done as usize, "steps");
            }
            Event::PretrainAdvanced { loss, .. } => {
                let loss = loss.map_or_else(String::new, |loss| format!(", loss {loss:.4}"));
                if let Some(bar) = &state.bar {
                    bar.set_message(format!("{}{loss}", state.title));
                }
                self.advance(&mut state, 1, &format!("steps{loss}"));
            }
            Event::PretrainFinished {
                label,
                images,
                loss,
                seconds,
            } => {
                let rate = *images as f64 / seconds.max(1e-9);
                let loss = loss.map_or_else(String::new, |loss| format!(", loss {loss:.4}"));
                let line = format!(
                    "pretrain {label} done in {}, {rate:.1} images/s{loss}",
                    duration(*seconds)
                );
                state.finish(&line);
            }
            Event::SamplesStarted {
                label,
                committed,
                forwards,
                ..
            } => {
                let resumed = committed_already(*committed);
                let title = format!("samples {label}{resumed}");
                self.begin(&mut state, &title, *forwards, "forwards");
            }
            Event::SamplesAdvanced { images } => self.advance(&mut state, *images, "forwards"),
            Event::SamplesFinished {
                label,
                images,
                seconds,
            } => {
                let line = format!(
                    "samples {label}: {} in {}",
                    plural(*images, "image"),
                    duration(*seconds)
                );
                state.finish(&line);
            }
            Event::PassStarted {
                pass,
                label,
                images,
                committed,
                taps,
            } => {
                let resumed = committed_already(*committed);
                let title = format!(
                    "{} {label}: {}{resumed}",
                    state.name_of_pass(*pass),
                    plural(*taps, "tap")
                );
                self.begin(&mut state, &title, *images, "images");
            }
            Event::PassAdvanced { images, .. } => self.advance(&mut state, *images, "images"),
            Event::PassFinished {
                pass,
                images,
                seconds,
                ..
            } => {
                let rate = *images as f64 / seconds.max(1e-9);
                let line = format!(
                    "{} done: {} in {}, {rate:.1} images/s",
                    state.name_of_pass(*pass),
                    plural(*images, "image"),
                    duration(*seconds)
                );
                state.finish(&line);
            }
            Event::BatchHalved { images, .. } => state.say(&format!(
                "warning: memory ran out; going on with {} at once",
                plural(*images, "image")
            )),
            Event::ImageSkipped { id, reason } => {
                state.say(&format!("warning: skipped {id}: {reason}"));
            }
            Event::HeadsStarted { heads } => self.begin(&mut state, "heads", *heads, "heads"),
            Event::HeadsAdvanced {
                heads,
                epoch,
                epochs,
                ..
            } => {
                if let Some(bar) = &state.bar {
                    let heads = plural(*heads, "head");
                    bar.set_message(format!("heads ({heads} at epoch {epoch} of {epochs})"));
                }
            }
            Event::ImagesSeen {
                epoch,
                epochs,
                images,
                of,
                ..
            } => {
                let seen = format!("{} of {} images", count(*images), count(*of));
                let line = format!("epoch {epoch} of {epochs}, {seen}");
                if let Some(bar) = &state.bar {
                    bar.set_message(format!("heads ({line})"));
                } else if !self.bars && state.said.elapsed() >= Duration::from_secs(10) {
                    state.said = Instant::now();
                    state.say(&format!("  {line}"));
                }
            }
            Event::HeadFinished { .. } => self.advance(&mut state, 1, "heads"),
            Event::HeadsFinished { heads, seconds } => {
                let line = format!(
                    "{} trained in {}",
                    plural(*heads, "head"),
                    duration(*seconds)
                );
                state.finish(&line);
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
            Event::ReportWritten { path, files } => state.say(&format!(
                "{path} is written, with {}",
                plural(*files, "figure")
            )),
            Event::RunFinished {
                nothing_to_do,
                stopped,
                again,
                failed,
                unmade,
                seconds,
            } => {
                state.clear();
                if *nothing_to_do {
                    state.say(
                        "nothing to do: everything is in the cache and every output is up to date",
                    );
                } else if *again {
                    state.say("what was damaged is set aside and made again");
                } else if *failed > 0 {
                    state.say(&format!(
                        "{} failed; {} missing because of it; everything else is done",
                        plural(*failed, "node"),
                        plural(*unmade, "artifact")
                    ));
                } else if !stopped {
                    state.say(&format!("done in {}", duration(*seconds)));
                }
            }
            Event::ShardCommitted { .. } | Event::MetricFinished { .. } => {}
        }
    }

    fn begin(&self, state: &mut State, title: &str, length: usize, unit: &'static str) {
        state.clear();
        state.done = 0;
        state.of = length;
        state.begun = Instant::now();
        state.said = Instant::now();
        if !self.bars {
            state.say(title);
            return;
        }
        let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::stderr());
        let template = format!(
            "{{msg}}\n  {{bar:32}} {{human_pos}}/{{human_len}} {unit}  {{per_sec}}  {{eta}} left"
        );
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        bar.set_message(title.to_owned());
        title.clone_into(&mut state.title);
        bar.enable_steady_tick(Duration::from_millis(500));
        state.bar = Some(bar);
    }

    fn advance(&self, state: &mut State, step: usize, unit: &str) {
        state.done += step;
        if let Some(bar) = &state.bar {
            bar.inc(step as u64);
        } else if !self.bars && state.said.elapsed() >= Duration::from_secs(10) {
            state.said = Instant::now();
            let seconds = state.begun.elapsed().as_secs_f64();
            let rate = state.done as f64 / seconds.max(1e-9);
            let left = state.of.saturating_sub(state.done) as f64 / rate.max(1e-9);
            let line = format!(
                "  {} of {} {unit}, {rate:.1}/s, {} left",
                count(state.done),
                count(state.of),
                duration(left)
            );
            state.say(&line);
        }
    }
}

/// What is said where images of an earlier run are kept.
fn committed_already(images: usize) -> String {
    match images {
        0 => String::new(),
        images => format!(", {} already committed", count(images)),
    }
}

impl State {
    /// `pass 2/3`; just `pass` where one job runs by itself.
    fn name_of_pass(&self, pass: usize) -> String {
        match self.passes {
            0 => "pass".to_owned(),
            passes => format!("pass {pass}/{passes}"),
        }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn finish(&mut self, line: &str) {
        self.clear();
        self.say(line);
    }
}

/// One event and its time, one JSON object a line.
pub(super) struct JsonLog {
    file: Mutex<BufWriter<File>>,
    clock: fn() -> String,
}

#[derive(Serialize)]
struct Entry<'a> {
    at: String,
    #[serde(flatten)]
    event: &'a Event,
}

impl JsonLog {
    /// A log that begins anew in a file.
    pub(super) fn create(path: &Path, clock: fn() -> String) -> std::io::Result<Self> {
        Ok(Self {
            file: Mutex::new(BufWriter::new(File::create(path)?)),
            clock,
        })
    }

    /// Writes one event. A log that cannot be written does not stop the work.
    pub(super) fn write(&self, event: &Event) {
        let Ok(mut file) = self.file.lock() else {
            return;
        };
        let entry = Entry {
            at: (self.clock)(),
            event,
        };
        if let Ok(line) = serde_json::to_string(&entry) {
            let _ = writeln!(file, "{line}").and_then(|()| file.flush());
        }
    }
}
