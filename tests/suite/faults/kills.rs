//! Runs that are killed by SIGKILL, again and again, at operations on files and at times that a generator with a seed draws: whatever is
//! committed is right at each moment, and the last run leaves the bytes of one that was never killed.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use repro::random::Stream;

use super::disk::Disk;
use super::stages::{self, RUN, Stage, Whole, expect_tidy, expect_whole, forget, left, run_on};
use crate::fixture::{CliTest, finish};

/// Kills of one cache before a run may end.
const IN_A_ROW: u64 = 3;

/// How often runs of a stage were killed, and how.
#[derive(Debug, Default, Clone, Copy)]
struct Killed {
    at_operations: usize,
    in_writes: usize,
    at_times: usize,
    /// Caches that were run to an end.
    caches: usize,
}

impl Killed {
    fn all(self) -> usize {
        self.at_operations + self.in_writes + self.at_times
    }
}

/// Kills runs of a stage so often, in caches of their own for every few of them.
fn kill(stage: &Stage, times: usize, seed: u64) -> Killed {
    let cli = stage.folder();
    let whole = stage.whole(&cli);
    expect_tidy(&cli, stage.name);
    let mut stream = Stream::new(seed, &format!("kills of {}", stage.name));
    let mut killed = Killed::default();
    while killed.all() < times {
        forget(&cli);
        let mut places = Vec::new();
        for round in 0..IN_A_ROW {
            if killed.all() == times {
                break;
            }
            // What resumes has less to do, so later kills come earlier.
            let most = |count: usize| stream_bound(count, round);
            let (place, count) = match stream.next_below(4) {
                0 => (
                    Place::Time(stream.next_below(most_millis(&whole, round))),
                    2,
                ),
                1 => {
                    let at = stream.next_below(most(whole.count("write")));
                    (Place::Disk(Disk::with(&format!("torn@{at}"), "write")), 1)
                }
                _ => {
                    let at = stream.next_below(most(whole.operations.len()));
                    (Place::Disk(Disk::with(&format!("kill@{at}"), "")), 0)
                }
            };
            places.push(format!("{place:?}"));
            let shown = format!("{}, seed {seed}: {}", stage.name, places.join(", "));
            if !is_killed(&cli, &place, &shown) {
                break;
            }
            match count {
                0 => killed.at_operations += 1,
                1 => killed.in_writes += 1,
                _ => killed.at_times += 1,
            }
            // What has its name is whole, and is what it has to be.
            for (path, bytes) in left(&cli) {
                let right = whole.files.get(&path);
                assert!(right == Some(&bytes), "{shown}: {path} is not right");
            }
        }
        let shown = format!("{}, seed {seed}: {}", stage.name, places.join(", "));
        let last = run_on(&Disk::default(), &cli);
        assert_eq!(last.code, Some(0), "{shown}: {last}");
        expect_whole(&cli, &whole, &shown);
        expect_tidy(&cli, &shown);
        killed.caches += 1;
    }
    println!(
        "| {} | {} | {} | {} | {} |",
        stage.name, killed.at_operations, killed.in_writes, killed.at_times, killed.caches
    );
    killed
}

/// The bound of a number that is drawn: smaller for each kill in a row.
fn stream_bound(count: usize, round: u64) -> u64 {
    (count as u64 / (round + 1)).max(1)
}

fn most_millis(whole: &Whole, round: u64) -> u64 {
    stream_bound(usize::try_from(whole.took.as_millis()).unwrap(), round)
}

/// Where a run is killed.
#[derive(Debug)]
enum Place {
    /// At an operation on a file.
    Disk(Disk),
    /// So many milliseconds after its start.
    Time(u64),
}

/// Runs, and kills; whether it was killed before it ended.
fn is_killed(cli: &CliTest, place: &Place, shown: &str) -> bool {
    let ended = match place {
        Place::Disk(disk) => disk.command(cli, &RUN).output().unwrap(),
        Place::Time(millis) => {
            let mut command = Disk::default().command(cli, &RUN);
            let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            std::thread::sleep(Duration::from_millis(*millis));
            child.kill().unwrap();
            child.wait_with_output().unwrap()
        }
    };
    let is_killed = ended.status.signal() == Some(9);
    let output = finish(ended);
    assert!(is_killed || output.code == Some(0), "{shown}: {output}");
    is_killed
}

#[test]
fn a_pass_that_is_killed_ends_as_the_same_bytes() {
    assert_eq!(kill(&stages::PASS, 2, 1).all(), 2);
}

#[test]
fn heads_that_are_killed_end_as_the_same_bytes() {
    assert_eq!(kill(&stages::HEADS, 2, 1).all(), 2);
}

#[test]
fn a_training_that_is_killed_ends_as_the_same_bytes() {
    assert_eq!(kill(&stages::PRETRAINING, 2, 1).all(), 2);
}

#[test]
fn fine_tuning_that_is_killed_ends_as_the_same_bytes() {
    assert_eq!(kill(&stages::FINE_TUNING, 2, 1).all(), 2);
}

#[test]
fn sampling_that_is_killed_ends_as_the_same_bytes() {
    assert_eq!(kill(&stages::SAMPLING, 2, 1).all(), 2);
}

/// Kills runs of all stages so often each, and prints the table of the page.
fn kill_all(times: usize, seed: u64) {
    println!("| stage | at an operation | within a write | at a time | caches run to their end |");
    println!("| :--- | ---: | ---: | ---: | ---: |");
    for stage in stages::ALL {
        assert_eq!(kill(stage, times, seed).all(), times);
    }
}

#[test]
#[ignore = "half a minute: 24 kills over all stages"]
fn every_stage_bears_kills() {
    kill_all(4, 2);
}

#[test]
#[ignore = "ten minutes: 600 kills over all stages; with `--nocapture` it prints the table of docs/reliability.md"]
fn nightly_every_stage_bears_hundreds_of_kills() {
    kill_all(100, 3);
}
