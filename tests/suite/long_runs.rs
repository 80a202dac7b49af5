//! What must not end a long run: a log that nobody can write to or read, signals that are to be ignored, few open files, one file
//! that cannot be read, a full disk, a cache that is read-only, and other runs on the same features.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output as Ended, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{CliTest, finish, walk};
use crate::interruption::{signal, six_shards, start_and_wait_for_parts};
use crate::small::{FASHION, RAW, experiment, run, small};

/// Pixels as features, and heads on them; `seeds` and `keys` of the head are a test's own.
fn pixels(name: &str, seeds: &str, keys: &str) -> String {
    let extraction = "
[extraction.pixels]
model    = \"raw\"
dataset  = \"fashion\"
timestep = 0
block    = 1
pool     = 4
";
    let head = format!("\n[head.probe]\nkind = \"linear\"\nfeatures = \"pixels\"\n{keys}\n");
    let text = experiment(name, &[FASHION, RAW, extraction, &head]);
    text.replacen("\n[dataset", &format!("seeds = {seeds}\n\n[dataset"), 1)
}

/// A shell's command, run in the folder, with the program as `$R`.
fn shell(cli: &CliTest, script: &str) -> Command {
    let mut program = cli.command(&[]);
    let path = program.get_program().to_owned();
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .current_dir(program.get_current_dir().unwrap())
        .env("OMP_NUM_THREADS", "1")
        .env("R", path)
        .env_remove("REPRO_CACHE")
        .stdin(Stdio::null());
    program.stdin(Stdio::null());
    command
}

/// Runs a script in namespaces of its own, in which it may mount; `None` where this machine does not let a user do that.
fn mounting(cli: &CliTest, script: &str) -> Option<Ended> {
    let probe = Command::new("unshare")
        .args(["-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"])
        .output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        println!("skipped: this machine does not let a user mount a file system");
        return None;
    }
    let inner = shell(cli, script);
    let mut command = Command::new("unshare");
    command
        .args(["-rm", "sh", "-c", script])
        .current_dir(inner.get_current_dir().unwrap());
    for (name, value) in inner.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    Some(command.stdin(Stdio::null()).output().unwrap())
}

#[test]
fn a_log_that_cannot_be_written_or_read_stops_nothing() {
    let cli = small();
    for (cache, redirect) in [
        ("full", "2> /dev/full"),
        ("gone", "2>&1 > /dev/null | head -c 1 > /dev/null"),
        ("closed", "2>&-"),
    ] {
        let script = format!(
            "{{ \"$R\" run small.toml --cache {cache}; echo $? > {cache}.code; }} {redirect}"
        );
        shell(&cli, &script).output().unwrap();
        assert_eq!(cli.read(&format!("{cache}.code")).trim(), "0", "{cache}");
        cli.run(&["plan", "--check", "small.toml", "--cache", cache])
            .expect_code(0);
    }
    // Mistakes have their codes with nobody to read of them.
    cli.write("wrong.toml", "[experiment]\n");
    for arguments in [
        "check wrong.toml",
        "run wrong.toml",
        "plan wrong.toml",
        "nonsense",
    ] {
        let script = format!("\"$R\" {arguments} 2> /dev/full");
        let ended = shell(&cli, &script).output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{arguments}");
    }
}

#[test]
fn a_terminal_that_is_closed_stops_nothing() {
    if Command::new("script").arg("--version").output().is_err() {
        println!("skipped: there is no `script`, which gives programs a terminal");
        return;
    }
    let cli = CliTest::with_fashion(5000, 1000);
    cli.write("six-shards.toml", six_shards());
    let script = "trap '' HUP; \"$R\" run six-shards.toml --cache c; echo $? > code";
    let mut terminal = shell(&cli, "exec script -qfc \"$S\" typescript > /dev/null");
    let terminal = terminal.env("S", script).env("SHELL", "/bin/sh");
    let child = start_and_wait_for_parts(
        std::mem::replace(terminal, Command::new("true")),
        &cli,
        "c",
        1,
    );
    signal(&child, "KILL");
    drop(child);
    let started = Instant::now();
    while !cli.path("code").exists() {
        assert!(started.elapsed() < Duration::from_mins(3), "no end");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(cli.read("code").trim(), "0");
}

#[test]
fn answers_that_nobody_reads_end_quietly_and_those_without_room_with_a_code() {
    let cli = small();
    run(&cli, "small.toml");
    for arguments in [
        "query 'SELECT * FROM results'",
        "query --json 'SELECT * FROM results'",
        "list artifacts",
        "list kinds",
        "list kinds --markdown",
        "plan small.toml --steps --jobs --artifacts",
        "plan small.toml --json",
        "check small.toml",
        "completions bash",
        "doctor",
        "cache verify",
        "data check small.toml",
        "--help",
    ] {
        // Closed before the first byte.
        let script = format!("{{ sleep 0.3; \"$R\" {arguments}; echo $? > code; }} 2> err | true");
        shell(&cli, &script).output().unwrap();
        assert_eq!(
            cli.read("code").trim(),
            "0",
            "{arguments}: {}",
            cli.read("err")
        );
        let said = cli.read("err");
        assert!(
            said.is_empty() || said.starts_with("warning["),
            "{arguments}: {said}"
        );
        let ended = shell(&cli, &format!("\"$R\" {arguments} > /dev/full"))
            .output()
            .unwrap();
        let ended = finish(ended).expect_code(3);
        ended.expect_in_stderr(&["cannot write the output", "No space left"]);
    }
    // The exit code is the answer, read or not.
    cli.write("other.toml", pixels("other", "[0]", "epochs = 1"));
    let script =
        "{ sleep 0.3; \"$R\" plan --check other.toml; echo $? > code; } 2> /dev/null | true";
    shell(&cli, script).output().unwrap();
    assert_eq!(cli.read("code").trim(), "1");
}

#[test]
fn absurd_numbers_of_threads_are_refused_by_name() {
    let cli = CliTest::new();
    for (name, value) in [
        ("RAYON_NUM_THREADS", "100000"),
        ("POLARS_MAX_THREADS", "0"),
        ("POLARS_MAX_THREADS", "many"),
    ] {
        let mut command = cli.command(&["list", "kinds"]);
        let ended = finish(command.env(name, value).output().unwrap()).expect_code(2);
        ended.expect_in_stderr(&[name, value, "1024"]);
    }
    let mut command = cli.command(&["list", "kinds"]);
    finish(command.env("RAYON_NUM_THREADS", "0").output().unwrap()).expect_code(0);
}

/// Waits for the end of a program, which has to come soon.
fn soon(mut child: Child) -> Ended {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_mins(2), "no end");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn ignored_signals_stay_ignored_and_a_second_one_ends_at_once() {
    let cli = CliTest::with_fashion(5000, 1000);
    cli.write("six-shards.toml", six_shards());
    let ignoring = "trap '' HUP INT; exec \"$R\" run six-shards.toml --cache ignored";
    let child = start_and_wait_for_parts(shell(&cli, ignoring), &cli, "ignored", 1);
    signal(&child, "HUP");
    signal(&child, "INT");
    let ended = finish(soon(child)).expect_code(0);
    assert!(!ended.stderr.contains("stopping"), "{ended}");

    // A signal that was not ignored counts beside one that was.
    let hang_up = "trap '' HUP; exec \"$R\" run six-shards.toml --cache twice";
    let child = start_and_wait_for_parts(shell(&cli, hang_up), &cli, "twice", 1);
    signal(&child, "HUP");
    signal(&child, "INT");
    signal(&child, "INT");
    let ended = soon(child);
    assert_eq!(ended.status.signal(), None, "{ended:?}");
    finish(ended).expect_code(130);
    cli.run(&["run", "six-shards.toml", "--cache", "twice"])
        .expect_code(0);
    cli.run(&["cache", "verify", "--cache", "twice"])
        .expect_code(0);
}

#[test]
fn more_heads_than_open_files_train_together() {
    const HEADS: usize = 300;
    let cli = CliTest::with_fashion(60, 20);
    let seeds: Vec<String> = (0..HEADS).map(|seed| seed.to_string()).collect();
    cli.write(
        "many.toml",
        pixels("many", &format!("[{}]", seeds.join(", ")), "epochs = 1"),
    );
    // Both limits, so that it cannot be raised.
    let script = "ulimit -n 128; exec \"$R\" run many.toml";
    let ended = finish(shell(&cli, script).output().unwrap()).expect_code(0);
    assert!(ended.stderr.contains("300 heads"), "{ended}");
    let count = cli.query("SELECT count(*) AS n FROM artifacts WHERE kind = 'head'");
    assert_eq!(count[0]["n"], HEADS);
    let locks = fs::read_dir(cli.path(".repro/locks")).unwrap().count();
    assert!(locks <= 17, "{locks} files of locks");

    // The lower limit is raised to the higher one.
    let script = "ulimit -Sn 64; \"$R\" doctor > /dev/null & P=$!
for I in $(seq 300); do grep 'open files' /proc/$P/limits; sleep 0.01; done 2> /dev/null; wait";
    let ended = finish(shell(&cli, script).output().unwrap());
    let lines = ended.stdout.lines();
    let mut limits = lines.filter_map(|line| line.split_whitespace().nth(3));
    assert!(limits.any(|limit| limit != "64"), "{ended}");
}

#[test]
fn one_file_that_cannot_be_read_stops_only_what_needs_it() {
    let cli = small();
    run(&cli, "small.toml");
    cli.write("other.toml", pixels("other", "[0]", "epochs = 1"));
    run(&cli, "other.toml");
    let files = walk(&cli.path(".repro/artifacts/head"));
    let heads: Vec<_> = files
        .iter()
        .filter(|path| path.ends_with("manifest.json"))
        .collect();
    let other = cli.run(&["list", "artifacts", "--json"]).json();
    let other = other.as_array().unwrap().iter().find(|artifact| {
        artifact["kind"] == "head" && artifact["label"].as_str().unwrap().contains("pixels")
    });
    let other = other.unwrap()["fingerprint"].as_str().unwrap().to_owned();
    let of_other = |path: &std::path::Path| path.to_string_lossy().contains(&other);
    // A folder in the place of a manifest, a link to itself in that of a table.
    let manifest = heads.iter().find(|path| of_other(path)).unwrap();
    fs::remove_file(manifest).unwrap();
    fs::create_dir(manifest).unwrap();
    let victim = heads.iter().find(|path| !of_other(path)).unwrap();
    let curves = victim.with_file_name("curves.parquet");
    fs::remove_file(&curves).unwrap();
    std::os::unix::fs::symlink("curves.parquet", &curves).unwrap();
    let metric = walk(&cli.path(".repro/artifacts/metric"));
    let results = metric.iter().find(|path| path.ends_with("results.parquet"));
    let mut bytes = fs::read(results.unwrap()).unwrap();
    bytes[100] ^= 1;
    fs::write(results.unwrap(), bytes).unwrap();

    // All three are told, and nothing of the others is in the way.
    let verified = cli.run(&["cache", "verify"]).expect_code(4);
    assert_eq!(verified.stdout.lines().count(), 3, "{verified}");
    for file in [manifest.as_path(), &curves, results.unwrap()] {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(verified.stdout.contains(name), "{name}: {verified}");
    }
    let plan = cli.run(&["plan", "--check", "other.toml"]);
    plan.expect_code(1);
    cli.run(&["list", "artifacts"]).expect_code(0);
    cli.run(&["cache", "verify", "--set-aside"]).expect_code(0);
    run(&cli, "small.toml");
    run(&cli, "other.toml");
    cli.run(&["cache", "verify"]).expect_code(0);
}

#[test]
fn a_full_disk_is_one_message_with_the_code_of_the_cache() {
    let cli = small();
    let script = "mkdir -p disk && mount -t tmpfs -o size=180k tmpfs disk || exit 77
\"$R\" run small.toml --cache disk/cache; echo \"code $?\"
mount -o remount,size=64m disk
\"$R\" run small.toml --cache disk/cache; echo \"code $?\"
\"$R\" cache verify --cache disk/cache; echo \"code $?\"";
    let Some(ended) = mounting(&cli, script) else {
        return;
    };
    let ended = finish(ended);
    let codes: Vec<&str> = ended
        .stdout
        .lines()
        .filter(|line| line.starts_with("code"))
        .collect();
    assert_eq!(codes, ["code 4", "code 0", "code 0"], "{ended}");
    assert_eq!(ended.stderr.matches("no room for").count(), 1, "{ended}");
    ended.expect_in_stderr(&["the disk of the cache is full", "free some space"]);
}

#[test]
fn a_read_only_cache_in_which_everything_is_there_is_no_obstacle() {
    let cli = small();
    run(&cli, "small.toml");
    cli.write("other.toml", pixels("other", "[0]", "epochs = 1"));
    let script = "mount --bind .repro .repro && mount -o remount,bind,ro .repro || exit 77
\"$R\" run small.toml; echo \"code $?\"
\"$R\" run other.toml; echo \"code $?\"";
    let Some(ended) = mounting(&cli, script) else {
        return;
    };
    let ended = finish(ended);
    assert_eq!(ended.stdout, "code 0\ncode 4\n", "{ended}");
    ended.expect_in_stderr(&["nothing to do", "cannot use .", "Read-only file system"]);
}

#[test]
fn what_is_damaged_is_set_aside_on_another_file_system() {
    let cli = small();
    run(&cli, "small.toml");
    let script = "mount -t tmpfs tmpfs .repro/quarantine || exit 77
F=$(find .repro/artifacts/features -name part-00000.arrow | head -1)
printf X | dd of=$F bs=1 seek=3000 conv=notrunc 2> /dev/null
\"$R\" cache verify --set-aside; echo \"code $?\"
find .repro/quarantine -name part-00000.arrow | wc -l; test -e $F; echo $?
\"$R\" run small.toml; echo \"code $?\"";
    let Some(ended) = mounting(&cli, script) else {
        return;
    };
    let ended = finish(ended);
    // The part, and what was made from it.
    let is_named =
        |line: &&str| line.contains("does not have the digest") || line.contains("was made from");
    let (named, lines): (Vec<&str>, Vec<&str>) = ended.stdout.lines().partition(is_named);
    assert_eq!(named.len(), 4, "{ended}");
    assert_eq!(lines, ["code 0", "1", "1", "code 0"], "{ended}");
}

#[test]
fn a_group_s_limit_of_memory_is_seen() {
    let cli = CliTest::new();
    let script = "mount -t tmpfs tmpfs /sys/fs/cgroup || exit 77
for F in /sys/fs/cgroup /sys/fs/cgroup/memory; do
  mkdir -p $F; echo 300000000 > $F/memory.max; echo 100000000 > $F/memory.current
done
echo '100000 100000' > /sys/fs/cgroup/cpu.max
\"$R\" doctor";
    let Some(ended) = mounting(&cli, script) else {
        return;
    };
    let ended = finish(ended);
    assert!(
        ended.stdout.contains("the control group leaves 0.2 GB"),
        "{ended}"
    );
    assert!(ended.stdout.contains("1 threads"), "{ended}");
}

/// The folders of checkpoints below a cache.
fn folders_of_checkpoints(cli: &CliTest, cache: &str) -> usize {
    let mut folders: Vec<_> = walk(&cli.path(&format!("{cache}/checkpoints")))
        .iter()
        .filter(|path| {
            path.extension()
                .is_some_and(|ending| ending == "safetensors")
        })
        .map(|path| path.parent().unwrap().to_owned())
        .collect();
    folders.dedup();
    folders.len()
}

#[test]
fn runs_on_the_same_features_leave_each_other_s_checkpoints_alone() {
    let cli = CliTest::with_fashion(300, 100);
    let names = ["a", "b", "c", "d"];
    for (number, name) in names.iter().enumerate() {
        let keys = format!(
            "epochs = {}\noptimizer = {{ kind = \"adam\", lr = 1e-{} }}",
            40 + 10 * number,
            number + 2
        );
        cli.write(&format!("{name}.toml"), pixels(name, "[0, 1]", &keys));
    }
    let start = |name: &str| {
        let file = format!("{name}.toml");
        let mut command =
            cli.command(&["run", &file, "--checkpoint-every", "0", "--device", "cpu"]);
        let log = File::create(cli.path(&format!("{name}.log"))).unwrap();
        command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
    };
    let children: Vec<Child> = names.iter().map(|name| start(name)).collect();
    for (name, child) in names.iter().zip(children) {
        let ended = child.wait_with_output().unwrap();
        assert!(
            ended.status.success(),
            "{name}: {}",
            cli.read(&format!("{name}.log"))
        );
    }
    assert_eq!(folders_of_checkpoints(&cli, ".repro"), 0);
    cli.run(&["cache", "verify"]).expect_code(0);
}

#[test]
fn a_killed_run_goes_on_from_its_own_checkpoints_after_another_has_ended() {
    let cli = CliTest::with_fashion(300, 100);
    cli.write("long.toml", pixels("long", "[0, 1]", "epochs = 1000"));
    cli.write("short.toml", pixels("short", "[7]", "epochs = 20"));
    let arguments = [
        "run",
        "long.toml",
        "--device",
        "cpu",
        "--checkpoint-every",
        "0",
    ];
    let mut command = cli.command(&arguments);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while folders_of_checkpoints(&cli, ".repro") == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended too soon");
        assert!(started.elapsed() < Duration::from_mins(2), "no checkpoint");
        std::thread::sleep(Duration::from_millis(2));
    }
    signal(&child, "KILL");
    child.wait().unwrap();
    cli.run(&["run", "short.toml", "--checkpoint-every", "0"])
        .expect_code(0);
    assert_eq!(folders_of_checkpoints(&cli, ".repro"), 1);
    // One of the two heads alone finds what was left of both.
    cli.write("long.toml", pixels("long", "[1]", "epochs = 1000"));
    let log = ["--json-log", "log.jsonl"];
    cli.run(&[&arguments[..], &log].concat()).expect_code(0);
    let text = cli.read("log.jsonl");
    let first = text
        .lines()
        .find(|line| line.contains("\"heads-advanced\""));
    let first: serde_json::Value = serde_json::from_str(first.unwrap()).unwrap();
    assert!(first["epoch"].as_u64().unwrap() > 1, "{first}");
}

#[test]
fn what_killed_runs_leave_is_counted_and_removed() {
    let cli = CliTest::with_fashion(300, 100);
    cli.write("long.toml", pixels("long", "[0]", "epochs = 400"));
    let arguments = [
        "run",
        "long.toml",
        "--device",
        "cpu",
        "--checkpoint-every",
        "0",
    ];
    let mut command = cli.command(&arguments);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while folders_of_checkpoints(&cli, ".repro") == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended too soon");
        std::thread::sleep(Duration::from_millis(2));
    }
    signal(&child, "KILL");
    child.wait().unwrap();
    // As writers that are killed leave them.
    let left = [
        ".repro/archives/.tmp-birds-1.tar-a1b2c3",
        ".repro/checkpoints/.tmp-step-00000007-a1b2c3",
        ".repro/artifacts/features/00/0011/.tmp-part-00000.arrow-a1b2c3",
        ".repro/locks/job-pass/00000.lock",
    ];
    for path in left {
        cli.write(path, "1234");
    }
    let training = fs::read_dir(cli.path(".repro/checkpoints")).unwrap();
    let training = training
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir());
    let inner = training.unwrap().join(".tmp-step-00000007-a1b2c3");
    fs::write(&inner, "1234").unwrap();
    let doctor = cli.run(&["doctor"]);
    assert!(
        doctor
            .stdout
            .contains("of runs that were killed, or that are under way"),
        "{doctor}"
    );
    cli.run(&arguments).expect_code(0);
    for path in left {
        assert!(!cli.path(path).exists(), "{path}");
    }
    assert!(!inner.exists());
    assert_eq!(cli.files(".repro/quarantine").len(), 0);
    assert_eq!(cli.files(".repro/checkpoints").len(), 0);
    let doctor = cli.run(&["doctor"]);
    assert!(
        doctor.stdout.contains("none of runs that were killed"),
        "{doctor}"
    );
}
