//! `repro run --watch`: what is changed while it runs is run again, errors included, until Ctrl-C.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use crate::fixture::{CliTest, finish};
use crate::interruption::signal;
use crate::small::{FASHION, RAW, TEST, TRAIN, experiment};

/// The longest that a change may take to be run.
const PATIENCE: Duration = Duration::from_mins(2);

const PROBE: &str = r#"
[extraction.taps]
model   = "raw"
dataset = "fashion"
block   = 1
pool    = [7]

[head.probe]
kind     = "ridge"
features = "taps"

[metric.accuracy]
kind = "accuracy"
of   = "probe"

[report]
output   = "probe.md"
template = "probe.md.jinja"

[[report.table]]
kind    = "grid"
metric  = "top1"
rows    = "pool"
columns = "head"
"#;

/// A program that watches, and what it has said.
struct Watching {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Watching {
    fn start(cli: &CliTest, arguments: &[&str]) -> Self {
        let mut command = cli.command(arguments);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            lines,
            said: Vec::new(),
        }
    }

    /// Waits until it watches again, and gives what it has said since it did.
    #[track_caller]
    fn watches(&mut self) -> String {
        let started = Instant::now();
        let mut said = Vec::new();
        loop {
            let left = PATIENCE.saturating_sub(started.elapsed());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let _ = self.child.kill();
                panic!("it does not watch again: {:?}, {said:?}", self.said);
            };
            let is_watching = line.starts_with("watching ");
            self.said.push(line.clone());
            said.push(line);
            if is_watching {
                return said.join("\n");
            }
        }
    }
}

#[test]
fn changes_are_run_until_it_is_stopped() {
    let cli = CliTest::with_fashion(TRAIN, TEST);
    cli.write(
        "probe.toml",
        "include = [\"parts/data.toml\"]\n".to_owned() + &experiment("probe", &[RAW, PROBE]),
    );
    cli.write("parts/data.toml", FASHION);
    cli.write("probe.md.jinja", "# First\n{{ table(1) }}\n");
    let mut watching = Watching::start(&cli, &["run", "probe.toml", "--watch"]);

    let said = watching.watches();
    assert!(said.contains("probe.md is written"), "{said}");
    assert!(said.ends_with("watching 3 files; Ctrl-C ends"), "{said}");

    // One more set of features: only that is computed.
    let file = cli.read("probe.toml").replace("[7]", "[4, 7]");
    cli.write("probe.toml", &file);
    let said = watching.watches();
    assert!(
        said.starts_with("probe.toml changed; running again"),
        "{said}"
    );
    assert!(said.contains("1 pass over 60 images, 1 head"), "{said}");

    // An error does not end it, and the includes are watched all the same.
    cli.write("parts/data.toml", FASHION.replace("root", "rot"));
    let said = watching.watches();
    assert!(said.starts_with("parts/data.toml changed"), "{said}");
    assert!(said.contains("error"), "{said}");
    cli.write("parts/data.toml", FASHION);
    let said = watching.watches();
    assert!(said.contains("nothing to do"), "{said}");

    // A file that cannot be parsed says nothing of its includes; they stay watched.
    cli.write("probe.toml", "include = [");
    let said = watching.watches();
    assert!(said.contains("error"), "{said}");
    assert!(said.ends_with("watching 3 files; Ctrl-C ends"), "{said}");
    cli.write("probe.toml", &file);
    watching.watches();

    cli.write("probe.md.jinja", "# Second\n{{ table(1) }}\n");
    let said = watching.watches();
    assert!(said.contains("probe.md.jinja changed"), "{said}");
    assert!(cli.read("probe.md").contains("# Second"));

    signal(&watching.child, "INT");
    let rest: Vec<String> = watching.lines.iter().collect();
    let rest = rest.join("\n");
    assert!(rest.contains("stopped watching"), "{rest}");
    finish(watching.child.wait_with_output().unwrap()).expect_code(130);
    cli.run(&["cache", "verify"]).expect_code(0);
}

#[test]
fn a_file_that_was_never_there_is_not_waited_for() {
    let cli = CliTest::new();
    cli.run(&["run", "prbe.toml", "--watch"])
        .expect_code(2)
        .expect_in_stderr(&["cannot read the experiment file prbe.toml"]);
}
