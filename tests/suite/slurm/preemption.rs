//! Jobs of a partition of higher priority, and what becomes of those whose nodes they take.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{
    PATIENCE, has_ended, of_cluster, processes_of, project, running, slurm, wait_until, whole,
};
use crate::fixture::CliTest;
use crate::interruption::six_shards;
use crate::small::{expect_same, parts};

/// Gives a node to a short job that has priority over ours; its number. All that runs there has to go.
pub(super) fn take(node: &str) -> String {
    let output = slurm(
        "sbatch",
        &[
            "--parsable",
            "--partition=urgent",
            &format!("--nodelist={node}"),
            "--cpus-per-task=2",
            "--output=/dev/null",
            "--chdir=/",
            "--wrap=sleep 3",
        ],
    );
    output.stdout.trim().to_owned()
}

/// Slurm must have preempted a job for this one, and put it back into the queue.
#[track_caller]
pub(super) fn expect_preempted(urgent: &str) {
    let log = fs::read_to_string(of_cluster("log/slurmctld.log")).unwrap();
    let end = format!(" has been requeued to reclaim resources for JobId={urgent}");
    let is_told = log
        .lines()
        .any(|line| line.contains("preempted JobId=") && line.ends_with(&end));
    assert!(is_told, "nothing was preempted for {urgent}: {log}");
}

/// Sends a signal to processes.
fn signal(name: &str, processes: &[u32]) {
    for process in processes {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &process.to_string()])
            .status();
        assert!(sent.unwrap().success(), "{process} is gone");
    }
}

/// Waits until something is so.
#[track_caller]
fn until(what: &str, is_so: &dyn Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "not {what} after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
#[ignore = "needs a Slurm, which `./test --slurm` starts; half a minute"]
fn needs_slurm_a_task_with_notice_of_its_preemption_stops_and_is_requeued() {
    let cli = CliTest::with_fashion(5000, 1000);
    cli.write("six-shards.toml", six_shards());
    // It begins when the test is ready to see it.
    project(
        &cli,
        "n6 n7",
        "partition = \"patient\"\nleast-time = \"4m\"\nnotice = 1\nsetup = ['until [[ -e ready ]]; do sleep 0.1; done']\n",
    );
    let (whole, _) = whole(&cli, "six-shards.toml", None);
    cli.run(&["submit", "six-shards.toml"]).expect_code(0);
    let status = wait_until(&cli, "1", "running", &|status| {
        running(status, "").is_some()
    });
    assert_eq!(status["tasks"].as_array().unwrap().len(), 1, "{status:#}");
    let (number, node) = running(&status, "").unwrap();

    let programs = || -> Vec<u32> {
        let is_program = |process: &u32| {
            fs::read_link(format!("/proc/{process}/exe")).is_ok_and(|exe| exe.ends_with("repro"))
        };
        processes_of(&number)
            .into_iter()
            .filter(is_program)
            .collect()
    };
    cli.write("ready", "");
    until("begun", &|| programs().len() == 1);
    let programs = programs();
    // It is held while it has something left to do, so that it cannot be done before the notice comes. Both taps have a part of a shard.
    until("two parts", &|| parts(&cli, ".repro").len() > 1);
    signal("STOP", &programs);
    let before = parts(&cli, ".repro").len();
    assert!(before < whole.len(), "too late to test anything");
    take(&node);
    let log = ".repro/cluster/1/round-1/logs/01-pass-0.log";
    until("told", &|| cli.read(log).contains("is near"));
    signal("CONT", &programs);

    wait_until(&cli, "1", "done", &has_ended);
    expect_same(&cli, ".repro", &whole);
    let log = cli.read(log);
    // It stopped by itself and kept what it had, went back into the queue, and resumed in the same round.
    for text in [
        "stopped; everything committed is kept",
        "preempted: it gives way to another job",
        "ended with 130",
        ", restart 1,",
        "already committed",
    ] {
        assert!(log.contains(text), "no `{text}` in {log}");
    }
    let record: Value =
        serde_json::from_str(&cli.read(".repro/cluster/1/submission.json")).unwrap();
    assert_eq!(record["rounds"].as_array().unwrap().len(), 1, "{record:#}");
}
