//! All integration tests of `repro`, as one binary: each binary would link libtorch and polars again.
//!
//! Start with [`fixture`], which runs the real program in a folder of its own; [`cases`] holds snapshots of `repro check` and `repro plan`
//! over `tests/suite/cases`; [`run`], [`archives`], [`baselines`], [`calibration`], [`cka`], [`pretraining`], [`samples`], [`fine_tuning`],
//! [`test_view`], [`joined`], [`latents`], [`interruption`], [`watch`] and [`damage`] run small experiments; [`compose`] overrides
//! experiments; [`fgvc`] runs a shipped one on small [`stand_ins`] of its datasets, and [`paper`] all that are about the paper; [`querying`] and [`results`] ask
//! for what they leave, and [`query_reads`] asks for what it must not read, and [`template_queries`] asks in reports; [`view`] and
//! [`view_reload`] ask for pages, and [`figures_as_png`] has other programs draw; [`network`] counts connections;
//! [`golden_onnx`] runs ONNX files; [`image_folders`], [`npz`] and
//! [`foreign_checkpoints`] hold files of other people's making; [`others_files`] and [`hostile_text`] hold what must not be written, and
//! what must not be obeyed; [`project`] is run in subfolders, and [`terminal`] on terminals of 80 and 60 columns; [`coverage`] measures
//! intervals and tests; [`fetch`] and [`data`] download files from [`http_server`]; [`schema`] validates the files that are shipped;
//! [`init`] writes experiments to start from; [`python_package`] and [`wheel`] hold what is installed by pip; [`props`] plans random ones;
//! [`faults`] kills runs, lets disks fail and flips bytes;
//! [`tidying`] removes what nobody needs, and [`remote`] shares what is there; [`runs`] compares what was run, [`selection`] makes a part, [`audit`] computes again, and [`rehearsal`] plans at ImageNet's size; [`tidy`] reads the source tree, [`words`] its language, and [`pages`] follows the documentation.
//! `INSTA_UPDATE=always cargo test --release --test suite` writes the snapshots again.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test speaks and fails this way, helpers included"
)]

#[cfg(feature = "torch")]
mod archives;
#[cfg(feature = "torch")]
mod audit;
mod bad_input;
#[cfg(feature = "torch")]
mod baselines;
#[cfg(feature = "torch")]
mod calibration;
mod cases;
#[cfg(feature = "torch")]
mod changed_inputs;
mod checkpoints;
mod circles;
#[cfg(feature = "torch")]
mod cka;
mod cli;
mod compose;
#[cfg(feature = "torch")]
mod corruption;
mod coverage;
#[cfg(feature = "torch")]
mod damage;
mod data;
mod data_check;
mod diff;
#[cfg(feature = "torch")]
mod distributions;
#[cfg(feature = "torch")]
mod dit_files;
#[cfg(feature = "torch")]
mod failed_heads;
#[cfg(feature = "torch")]
mod faults;
mod fetch;
mod fgvc;
#[cfg(feature = "torch")]
mod figures_as_png;
#[cfg(feature = "torch")]
mod fine_tuning;
#[cfg_attr(
    not(feature = "torch"),
    expect(dead_code, reason = "without libtorch nothing is run")
)]
mod fixture;
#[cfg(feature = "torch")]
mod foreign_checkpoints;
mod fuzz;
#[cfg(feature = "torch")]
mod golden_arrays;
#[cfg(feature = "torch")]
mod golden_autoencoder;
#[cfg(feature = "torch")]
mod golden_condition;
#[cfg(feature = "torch")]
mod golden_dit;
#[cfg(feature = "torch")]
mod golden_guidance;
#[cfg(feature = "torch")]
mod golden_guided_diffusion;
#[cfg(feature = "torch")]
mod golden_heads;
#[cfg(feature = "torch")]
mod golden_inception;
#[cfg(feature = "torch")]
mod golden_mage;
#[cfg(feature = "torch")]
mod golden_momentum;
#[cfg(feature = "onnx")]
mod golden_onnx;
#[cfg(feature = "torch")]
mod golden_resnet;
#[cfg(feature = "torch")]
mod golden_sampling;
#[cfg(feature = "torch")]
mod golden_stable_diffusion;
mod golden_tokenizer;
#[cfg(feature = "torch")]
mod golden_tuning;
#[cfg(feature = "torch")]
mod golden_unet_encoder;
#[cfg(feature = "torch")]
mod golden_vit;
#[cfg(feature = "torch")]
mod heads;
#[cfg(feature = "torch")]
mod heads_killed;
#[cfg(feature = "torch")]
mod heads_memory;
#[cfg(feature = "torch")]
mod heads_sanity;
mod hollow;
#[cfg(feature = "torch")]
mod hostile_text;
mod http_server;
mod image_folders;
#[cfg(feature = "torch")]
mod imported;
mod init;
#[cfg(feature = "torch")]
mod interruption;
#[cfg(feature = "torch")]
mod joined;
#[cfg(feature = "torch")]
mod latents;
mod libraries;
mod limits;
#[cfg(feature = "torch")]
mod long_runs;
mod models;
#[cfg(feature = "torch")]
mod network;
#[cfg(feature = "torch")]
mod networks;
#[cfg(feature = "torch")]
mod npz;
#[cfg(feature = "torch")]
mod others_files;
#[cfg(feature = "torch")]
mod pages;
mod paper;
mod plan_scale;
#[cfg(feature = "torch")]
mod pretraining;
#[cfg(feature = "torch")]
mod project;
mod props;
#[cfg(feature = "torch")]
mod python;
mod python_package;
#[cfg(feature = "torch")]
mod query_reads;
#[cfg(feature = "torch")]
mod querying;
mod rehearsal;
#[cfg(feature = "torch")]
mod remote;
#[cfg(feature = "torch")]
mod results;
#[cfg(feature = "torch")]
mod right_values;
#[cfg(feature = "torch")]
mod run;
#[cfg(feature = "torch")]
mod runs;
#[cfg(feature = "torch")]
mod samples;
#[cfg(feature = "torch")]
mod sampling;
mod schema;
#[cfg(feature = "torch")]
mod selection;
#[cfg(feature = "torch")]
mod shipped;
#[cfg(feature = "torch")]
mod slurm;
#[cfg(feature = "torch")]
mod small;
#[cfg(feature = "torch")]
mod stable_diffusion;
mod stand_ins;
mod store_disk_full;
mod store_processes;
#[cfg(feature = "torch")]
mod submit;
#[cfg(feature = "torch")]
mod template_queries;
#[cfg(feature = "torch")]
mod terminal;
#[cfg(feature = "torch")]
mod test_view;
mod tidy;
#[cfg(feature = "torch")]
mod tidying;
#[cfg(feature = "torch")]
mod view;
#[cfg(feature = "torch")]
mod view_reload;
#[cfg(feature = "torch")]
mod watch;
#[cfg(feature = "torch")]
mod wheel;
#[cfg(feature = "torch")]
mod without_data;
mod words;
#[cfg(feature = "torch")]
mod workers;
