//! Several workers, and single jobs of a plan: the same bytes as one worker leaves, also when one of them is killed.
//!
//! Bytes are those of one number of threads: libtorch's sums depend on how many share them. So all of these run with one thread a worker.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

use crate::fixture::{CliTest, Output, finish};
use crate::interruption::{self, signal, start_and_wait_for_parts};
use crate::small::{SMALL, TEST, TRAIN, expect_same, parts};

/// A command of the program with one thread for each worker.
fn command(cli: &CliTest, arguments: &[&str]) -> Command {
    let mut command = cli.command(arguments);
    command
        .env("OMP_NUM_THREADS", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[track_caller]
fn run(cli: &CliTest, arguments: &[&str]) -> Output {
    let child = command(cli, arguments).spawn().unwrap();
    finish(child.wait_with_output().unwrap())
}

/// Six shards of two taps, and what one worker makes of them, in the cache `one`.
fn six_shards() -> (CliTest, BTreeMap<String, Vec<u8>>) {
    let cli = CliTest::with_fashion(5000, 1000);
    cli.write("six-shards.toml", interruption::six_shards());
    run(&cli, &["run", "six-shards.toml", "--cache", "one"]).expect_code(0);
    let whole = parts(&cli, "one");
    assert_eq!(whole.len(), 2 * 6);
    (cli, whole)
}

/// The jobs of a plan: name, kind, and the names of those that it needs.
fn jobs(cli: &CliTest, file: &str, cache: &str) -> Vec<(String, String, Vec<String>)> {
    let planned = cli
        .run(&["plan", file, "--json", "--cache", cache])
        .expect_code(0);
    let plan: serde_json::Value = serde_json::from_str(&planned.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let jobs = plan["jobs"].as_array().unwrap().iter();
    jobs.map(|job| {
        let needs = job["needs"].as_array().unwrap().iter().map(text);
        (text(&job["name"]), text(&job["kind"]), needs.collect())
    })
    .collect()
}

#[test]
fn two_workers_share_a_pass_and_leave_the_same_bytes() {
    let (cli, whole) = six_shards();
    let output = run(
        &cli,
        &["run", "six-shards.toml", "--cache", "two", "--workers", "2"],
    );
    output.expect_code(0).expect_in_stderr(&["2 × cpu"]);
    expect_same(&cli, "two", &whole);
    // Every part says what computed it.
    for (path, text) in cli.files("two/artifacts/features") {
        if path.ends_with("manifest.json") {
            let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let parts = manifest["files"].as_array().unwrap();
            assert_eq!(parts.len(), 6);
            assert!(parts.iter().all(|part| part["device"] == "cpu"), "{path}");
        }
    }
}

#[test]
fn several_gpus_share_a_pass_and_take_heads_where_they_fit() {
    let (cli, whole) = six_shards();
    let on_gpus = |memory: &str, arguments: &[&str]| {
        let mut command = command(&cli, arguments);
        command.env("REPRO_PRETENDED_GPUS", memory);
        finish(command.spawn().unwrap().wait_with_output().unwrap())
    };
    // The one without room for the features of a head shares the passes all the same.
    for (cache, memory) in [("equal", "8G,8G"), ("small", "1kB,8G"), ("none", "1kB,1kB")] {
        let arguments = [
            "run",
            "six-shards.toml",
            "--devices",
            "cuda:0,cuda:1",
            "--cache",
            cache,
        ];
        on_gpus(memory, &arguments).expect_code(0);
        expect_same(&cli, cache, &whole);
        // Every other artifact is the same as well.
        let heads = |cache: &str| {
            let files = cli.files(&format!("{cache}/artifacts/head")).into_iter();
            let files = files.filter(|(path, _)| !path.ends_with("manifest.json"));
            files.collect::<BTreeMap<String, Vec<u8>>>()
        };
        assert!(heads(cache) == heads("one"), "{cache}");
    }
    let third = [
        "run",
        "six-shards.toml",
        "--device",
        "cuda:2",
        "--cache",
        "third",
    ];
    on_gpus("8G,8G", &third)
        .expect_code(2)
        .expect_in_stderr(&["2 GPUs are visible"]);
    on_gpus("much", &third)
        .expect_code(2)
        .expect_in_stderr(&["the environment variable REPRO_PRETENDED_GPUS is `much`"]);
}

#[test]
fn two_workers_that_are_killed_go_on_as_one() {
    let (cli, whole) = six_shards();
    let arguments = [
        "run",
        "six-shards.toml",
        "--cache",
        "killed",
        "--workers",
        "2",
    ];
    let child = start_and_wait_for_parts(command(&cli, &arguments), &cli, "killed", 1);
    signal(&child, "KILL");
    child.wait_with_output().unwrap();
    assert!(parts(&cli, "killed").len() < whole.len());
    run(&cli, &["run", "six-shards.toml", "--cache", "killed"]).expect_code(0);
    expect_same(&cli, "killed", &whole);
}

#[test]
fn jobs_by_shards_make_one_artifact_also_when_one_of_them_is_killed() {
    let (cli, whole) = six_shards();
    let planned = jobs(&cli, "six-shards.toml", "jobs");
    let [(pass, kind, needs)] = planned.as_slice() else {
        panic!("{planned:?}");
    };
    assert_eq!((kind.as_str(), needs.len()), ("pass", 0));
    let job = |shards: &'static str| -> Child {
        let arguments = [
            "job",
            "six-shards.toml",
            pass,
            "--cache",
            "jobs",
            "--shards",
            shards,
        ];
        command(&cli, &arguments).spawn().unwrap()
    };
    // Two at once, on shards that overlap; one is killed before it can be done.
    let (first, second) = (job("0..4"), job("2..6"));
    signal(&second, "KILL");
    second.wait_with_output().unwrap();
    finish(first.wait_with_output().unwrap()).expect_code(0);
    finish(job("2..6").wait_with_output().unwrap()).expect_code(0);
    expect_same(&cli, "jobs", &whole);
    // Once more it is known that everything is there.
    let again = finish(job("0..1").wait_with_output().unwrap()).expect_code(0);
    assert!(again.stderr.contains("nothing to do"), "{again}");
}

#[test]
fn a_plan_can_be_driven_job_by_job() {
    let cli = CliTest::with_fashion(TRAIN, TEST);
    cli.write("small.toml", SMALL);
    run(&cli, &["run", "small.toml", "--cache", "one"]).expect_code(0);
    let planned = jobs(&cli, "small.toml", "jobs");
    let kinds: Vec<&str> = planned.iter().map(|(_, kind, _)| kind.as_str()).collect();
    // Two timesteps, four sets of features with two heads each, one metric.
    assert_eq!(
        kinds,
        ["pass", "pass", "heads", "heads", "heads", "heads", "metric"]
    );
    let job = |name: &str| run(&cli, &["job", "small.toml", name, "--cache", "jobs"]);
    // What is needed is somebody else's job.
    let (metric, _, needs) = planned.last().unwrap();
    assert_eq!(needs.len(), 4);
    job(metric)
        .expect_code(75)
        .expect_in_stderr(&["needs heads-", "which is not done yet"]);
    for (name, _, _) in &planned {
        job(name).expect_code(0);
        // The names stay what they are while others finish.
        job(name)
            .expect_code(0)
            .expect_in_stderr(&["nothing to do"]);
    }
    assert!(jobs(&cli, "small.toml", "jobs").is_empty());
    expect_same(&cli, "jobs", &parts(&cli, "one"));
    let results = |cache: &str| {
        let sql = "SELECT metric, timestep, block, seed, value FROM results ORDER BY metric, timestep, block, seed";
        let output = cli.run(&["query", sql, "--cache", cache]);
        output.expect_code(0).stdout
    };
    assert_eq!(results("jobs"), results("one"));
    run(&cli, &["job", "small.toml", "pass-0", "--cache", "jobs"])
        .expect_code(2)
        .expect_in_stderr(&["unknown job `pass-0`"]);
}
