//! What `repro run` and `repro job` share: workers, limits, and where events go.

#[cfg(feature = "torch")]
use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::exit::Failure;
use super::project::RunSettings;

/// More workers than any device has use for.
pub(super) const MOST_WORKERS: u16 = 1024;

/// Arguments of subcommands that work.
#[derive(Debug, Clone, Args)]
pub struct Working {
    /// Where tensors live: `auto`, `cpu`, `cuda` or `cuda:N`; `auto` if neither given nor in `repro.toml`.
    #[arg(long, value_name = "DEVICE", conflicts_with = "devices")]
    device: Option<String>,
    /// Several devices, one worker on each, such as `cuda:0,cuda:1`; a device that is named twice gets two.
    #[arg(long, value_name = "DEVICES", value_delimiter = ',')]
    devices: Vec<String>,
    /// How many workers share the device; 1 if neither given nor in `repro.toml`. On the CPU the threads are divided among them. Results do not depend on it beyond rounding.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_WORKERS)),
        conflicts_with = "devices"
    )]
    workers: Option<u16>,
    /// How much memory the training of heads may take, such as `8G`; half of what is available if neither given nor in `repro.toml`. `8G` and `8GiB` are 8 × 2^30 bytes, `8GB` are 8 × 10^9. Results do not depend on it.
    #[arg(long, value_name = "SIZE", value_parser = crate::text::parse_bytes)]
    memory: Option<u64>,
    /// How many seconds of training heads may be lost when the program is killed, beside the epoch that it is in; 0 keeps a checkpoint after every epoch. Results do not depend on it.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = crate::text::parse_seconds)]
    checkpoint_every: f64,
    /// Write every event as a line of JSON. A log that is there is continued.
    #[arg(long, value_name = "FILE")]
    json_log: Option<PathBuf>,
    /// Replace files that are there and were not written for this experiment: the report, what stands beside it, and the log. Computes nothing again.
    #[arg(long)]
    pub(super) force: bool,
}

impl Working {
    /// Takes the project's settings for what was not given.
    pub(super) fn or(&mut self, settings: &RunSettings) {
        self.memory = self.memory.or(settings.memory);
        if self.devices.is_empty() {
            self.device = self.device.take().or_else(|| settings.device.clone());
            self.workers = self.workers.or(settings.workers);
        }
    }

    /// Says that this build cannot run anything.
    #[cfg(not(feature = "torch"))]
    pub(super) fn refuse(&self) -> Failure {
        let _ = (&self.device, &self.devices, self.workers, &self.json_log);
        let _ = (self.memory, self.checkpoint_every, self.force);
        Failure::Usage(
            "this build has no libtorch (feature `torch`), so it can check, plan, query and report, but not run".into(),
        )
    }
}

/// Versions of what takes part in a run.
#[cfg(feature = "torch")]
pub(super) fn versions() -> BTreeMap<String, String> {
    [
        ("repro", env!("CARGO_PKG_VERSION").to_owned()),
        ("libtorch", crate::machine::device::libtorch_version()),
    ]
    .into_iter()
    .map(|(component, version)| (component.to_owned(), version))
    .collect()
}

/// How work ends where the disk of the cache is full; which file found no room was told.
#[cfg(feature = "torch")]
pub(super) fn disk_full() -> Failure {
    Failure::Cache(
        crate::message::Message::new(
            "the disk of the cache is full, see above; nothing more was begun",
        )
        .hint("free some space, or raise the quota; the same command resumes from here"),
    )
}

#[cfg(feature = "torch")]
mod with_torch {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::{Failure, Working};
    use crate::cli::process::clock;
    use crate::cli::progress::{Display, JsonLog, LogError};
    use crate::exec::event::Event;
    use crate::exec::schedule::Worker;
    use crate::machine::device::{self, Device, DeviceChoice, DeviceError};
    use crate::machine::threads;
    use crate::message::Message;
    use crate::store::Store;

    /// What OpenMP's threads do while they wait; read by the library when it is loaded.
    const WAIT_POLICY: &str = "OMP_WAIT_POLICY";
    /// How often they look before they sleep; `./repro` and the command of the wheel set it, so that they sleep soon.
    const SPIN_COUNT: &str = "GOMP_SPINCOUNT";

    impl Working {
        /// Bytes that the training of heads may take.
        pub(in crate::cli) fn memory(&self) -> u64 {
            let half = || crate::machine::memory::available() / 2;
            self.memory.unwrap_or_else(half)
        }

        /// Seconds between the checkpoints of heads.
        pub(in crate::cli) fn checkpoint_seconds(&self) -> f64 {
            self.checkpoint_every
        }

        fn choices(&self) -> Result<Vec<DeviceChoice>, Failure> {
            let names: Vec<&str> = if self.devices.is_empty() {
                let device = self.device.as_deref().unwrap_or("auto");
                vec![device; usize::from(self.workers.unwrap_or(1))]
            } else {
                self.devices.iter().map(String::as_str).collect()
            };
            let parsed = names.into_iter().map(device::parse_device);
            parsed
                .collect::<Result<_, _>>()
                .map_err(|error| Failure::Usage(error.to_string().into()))
        }

        /// Several workers on the CPU wait for each other's cores, not in a loop of their own: starts the program once more, in the same
        /// process, where OpenMP was not told so. To be called before anything is done.
        ///
        /// # Errors
        /// Devices that do not exist.
        pub(in crate::cli) fn settle(&self) -> Result<(), Failure> {
            let on_cpu = self.choices()?.into_iter();
            let on_cpu = on_cpu.filter(|choice| !matches!(choice, DeviceChoice::Cuda(_)));
            let is_told = |name| std::env::var_os(name).is_some();
            if on_cpu.count() < 2 || is_told(WAIT_POLICY) || is_told(SPIN_COUNT) {
                return Ok(());
            }
            if let Ok(program) = std::env::current_exe() {
                // Comes back only where the program cannot be started; then threads spin, and nothing else is different.
                let _ = Command::new(program)
                    .args(std::env::args_os().skip(1))
                    .env(WAIT_POLICY, "passive")
                    .exec();
            }
            Ok(())
        }

        /// The workers; loads CUDA where it is asked for.
        ///
        /// # Errors
        /// Devices that cannot be had.
        pub(in crate::cli) fn workers(&self) -> Result<Vec<Worker>, Failure> {
            device::load_cuda_backend();
            let resolved = |choice: DeviceChoice| {
                let device = choice.resolve()?;
                Ok((device, choice.memory(device)))
            };
            let choices = self.choices()?.into_iter();
            let devices = choices
                .map(resolved)
                .collect::<Result<Vec<(Device, Option<u64>)>, DeviceError>>()
                .map_err(|error| Failure::Usage(error.to_string().into()))?;
            let on_cpu = devices.iter().filter(|(device, _)| *device == Device::Cpu);
            threads::set(threads::allowed());
            let threads = threads::current() / on_cpu.count().max(1);
            let worker = |(device, memory)| Worker {
                device,
                threads: threads.max(1),
                memory,
            };
            Ok(devices.into_iter().map(worker).collect())
        }

        /// Where events go: the terminal, the log that was asked for, and where there is something to do a record in the cache.
        ///
        /// # Errors
        /// A log that cannot be written.
        pub(in crate::cli) fn listeners(
            &self,
            store: &Store,
            is_recorded: bool,
        ) -> Result<Listeners, Failure> {
            let log = self.json_log.as_deref();
            let log = log
                .map(|path| JsonLog::continued(path, self.force, clock))
                .transpose()?;
            let record = is_recorded.then(|| {
                let name = clock().replace(':', "");
                let name = format!("{name}-{}.jsonl", std::process::id());
                JsonLog::create(&store.runs_folder().join(name), clock)
            });
            Ok(Listeners {
                display: Display::new(),
                log,
                // A cache that cannot take the record says so by what matters more.
                record: record.and_then(Result::ok),
            })
        }
    }

    /// Who hears of events.
    pub(in crate::cli) struct Listeners {
        display: Display,
        log: Option<JsonLog>,
        record: Option<JsonLog>,
    }

    impl Listeners {
        /// Tells all of them.
        pub(in crate::cli) fn tell(&self, event: &Event) {
            self.display.show(event);
            for log in self.log.iter().chain(&self.record) {
                log.write(event);
            }
        }

        /// What the passes of the run cost, in multiply-adds, in their order.
        pub(in crate::cli) fn expect(&self, passes: &[u64]) {
            self.display.expect(passes);
        }

        /// How a run ends that the user stopped.
        pub(in crate::cli) fn stopped(&self) -> Failure {
            self.display.stopped()
        }

        /// How the program ends, with what became of the log that was asked for: told here where something else went wrong, too.
        ///
        /// # Errors
        /// Those of `ended`; else a log that ends early.
        pub(in crate::cli) fn conclude(&self, ended: Result<(), Failure>) -> Result<(), Failure> {
            let Some(failure) = self.log.as_ref().and_then(JsonLog::failure) else {
                return ended;
            };
            match ended {
                Ok(()) => Err(Failure::Input(Message::new(failure).hint(
                    "everything else is done, and the record in `runs` of the cache is whole",
                ))),
                Err(other) => {
                    say!("warning: {failure}");
                    Err(other)
                }
            }
        }
    }

    impl From<LogError> for Failure {
        fn from(error: LogError) -> Self {
            let message = Message::new(error.to_string());
            match error {
                LogError::Taken { .. } => Self::Usage(message.hint(
                    "choose another name for the log, or replace what is there with --force",
                )),
                LogError::Io { .. } => Self::Input(message),
            }
        }
    }

    /// Whether some worker computes on the processor.
    pub(in crate::cli) fn has_cpu(workers: &[Worker]) -> bool {
        workers.iter().any(|worker| worker.device == Device::Cpu)
    }

    /// The devices of workers, for people: `cpu`, `2 × cpu`, `cuda:0, cuda:1`.
    pub(in crate::cli) fn names(workers: &[Worker]) -> String {
        let mut counted: Vec<(String, usize)> = Vec::new();
        for worker in workers {
            let name = device::name(worker.device);
            match counted.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += 1,
                None => counted.push((name, 1)),
            }
        }
        let shown = counted.into_iter().map(|(name, count)| match count {
            1 => name,
            several => format!("{several} × {name}"),
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(feature = "torch")]
pub(super) use with_torch::{Listeners, has_cpu, names};
