//! `repro submit`, `status` and `cancel` with stand-ins for Slurm's programs, which run tasks where they are. The real Slurm is in
//! `slurm.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::fixture::{CliTest, Output, finish};
use crate::interruption::{signal, six_shards, start_and_wait_for_parts};
use crate::small::{SMALL, expect_same, parts, run, small};

/// Takes a script, gives it the next number, and runs its tasks at once; the last job of a round is left to the test.
const SBATCH: &str = r#"#!/usr/bin/env bash
script=$(readlink -f -- "${@: -1}")
echo "$*" >>"$FAKE/calls"
number=$(($(cat "$FAKE/number" 2>/dev/null || echo 100) + 1))
echo "$number" >"$FAKE/number"
log=$(sed -n 's/^#SBATCH --output="\?\([^"]*\)"\?$/\1/p' "$script")
end=$(sed -n 's/^#SBATCH --array=0-\([0-9]*\).*/\1/p' "$script")
if [[ -n $end && ! -e $FAKE/idle ]]; then
    for task in $(seq 0 "$end"); do
        SLURM_JOB_ID=$number SLURM_ARRAY_TASK_ID=$task SLURM_CPUS_PER_TASK=1 SLURMD_NODENAME=n$task \
            bash -c "$(sed -n 's/^#SBATCH --chdir="\?\([^"]*\)"\?$/cd "\1"/p' "$script"); source '$script'" \
            >>"${log//%a/$task}" 2>&1
    done
fi
echo "$number"
"#;

/// Prints the file `queue`; says as Slurm does that it has forgotten jobs where there is none.
const SQUEUE: &str = r#"#!/usr/bin/env bash
cat "$FAKE/queue" 2>/dev/null || { echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1; }
"#;

const SCANCEL: &str = "#!/usr/bin/env bash\necho \"$*\" >>\"$FAKE/canceled\"\n";

/// The small experiment, with the programs of a cluster.
struct Cluster {
    cli: CliTest,
}

impl Cluster {
    fn new(settings: &str) -> Self {
        let cli = small();
        cli.write("repro.toml", settings);
        let scripts = [("sbatch", SBATCH), ("squeue", SQUEUE), ("scancel", SCANCEL)];
        for (name, text) in scripts {
            cli.write(&format!("bin/{name}"), text);
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(cli.path(&format!("bin/{name}")), mode).unwrap();
        }
        fs::create_dir(cli.path("fake")).unwrap();
        Self { cli }
    }

    fn on_cluster(&self, command: &mut Command) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{}:{path}", self.cli.path("bin").display()))
            .env("FAKE", self.cli.path("fake"))
            .stdin(Stdio::null());
        finish(command.output().unwrap())
    }

    fn repro(&self, arguments: &[&str]) -> Output {
        self.on_cluster(&mut self.cli.command(arguments))
    }

    /// Runs the last job of a round, as the cluster does once all others have ended.
    fn last(&self, round: u32) -> Output {
        let folder = format!(".repro/cluster/1/round-{round}");
        let mut command = Command::new("bash");
        command
            .arg(self.cli.path(&format!("{folder}/last.sh")))
            .current_dir(self.cli.path("."))
            .env("REPRO_SHARE", crate::fixture::root())
            .env("SLURM_JOB_NAME", "repro-1-last");
        self.on_cluster(&mut command)
    }

    fn status(&self) -> Value {
        self.repro(&["status", "--json"]).expect_code(0).json()
    }
}

fn states(status: &Value) -> Vec<&str> {
    let tasks = status["tasks"].as_array().unwrap().iter();
    tasks.map(|task| task["state"].as_str().unwrap()).collect()
}

#[test]
fn what_is_submitted_leaves_what_a_run_leaves() {
    let cluster = Cluster::new("[executor]\nkind = \"slurm\"\ncpus = 1\n");
    let cli = &cluster.cli;
    cli.run(&["run", "small.toml", "--cache", "whole"])
        .expect_code(0);
    let report = cli.read("reports/small.md");
    fs::remove_dir_all(cli.path("reports")).unwrap();

    let output = cluster.repro(&["submit", "small.toml"]).expect_code(0);
    assert!(
        output
            .stdout
            .contains("submission 1, round 1: 7 tasks in 5 arrays"),
        "{output}"
    );
    let calls = cli.read("fake/calls");
    // The heads of either pass wait for it alone, and the metric for all heads.
    let expected = [
        "--parsable 02-pass.sh",
        "--parsable --dependency=afterany:101 03-heads.sh",
        "--parsable --dependency=afterany:102 04-heads.sh",
        "--parsable --dependency=afterany:103:104 05-metric.sh",
        "--parsable --dependency=afterany:101:102:103:104:105 last.sh",
    ];
    for call in expected {
        assert!(calls.contains(call), "{calls}");
    }
    let status = cluster.status();
    assert_eq!(states(&status), ["done"; 7]);
    cluster.last(1).expect_code(0);
    assert_eq!(cli.read("reports/small.md"), report);
    expect_same(cli, ".repro", &parts(cli, "whole"));
    let shown = cluster.repro(&["status"]).expect_code(0);
    assert!(
        shown.stdout.contains("everything is in the cache"),
        "{shown}"
    );
    cluster
        .repro(&["submit", "small.toml"])
        .expect_code(0)
        .expect_in_stderr(&["nothing to submit: everything is in the cache"]);
}

#[test]
fn a_task_that_fails_is_told_with_its_log_and_tried_again() {
    // The first task of all is short of memory, as libtorch says it.
    let setup = r#"[[ $number != 0 || -e short ]] || { touch short; echo "RuntimeError: [enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory"; exit 1; }"#;
    let settings = format!(
        "[executor]\nkind = \"slurm\"\ncpus = 1\nmemory = \"1G\"\nsetup = ['''{setup}''']\n"
    );
    let cluster = Cluster::new(&settings);
    let cli = &cluster.cli;
    cluster.repro(&["submit", "small.toml"]).expect_code(0);
    let status = cluster.status();
    assert_eq!(
        states(&status)
            .iter()
            .filter(|state| **state == "failed")
            .count(),
        1,
        "{status}"
    );
    assert!(states(&status).contains(&"waits"), "{status}");
    let shown = cluster.repro(&["status"]).expect_code(0).stdout;
    for text in [
        "out of memory on n0",
        "  | RuntimeError: [enforce fail",
        "waits for pass-",
        "nothing is in the queue",
    ] {
        assert!(shown.contains(text), "no `{text}` in {shown}");
    }
    // The last job sees what is missing, and submits it with twice the memory.
    let output = cluster.last(1).expect_code(0);
    assert!(output.stdout.contains("submission 1, round 2"), "{output}");
    let script = cli.read(".repro/cluster/1/round-2/01-pass.sh");
    assert!(script.contains("#SBATCH --mem=2048M\n"), "{script}");
    assert_eq!(states(&cluster.status()), ["done"; 7]);
    cluster.last(2).expect_code(0);
    assert!(cli.path("reports/small.md").is_file());
}

#[test]
fn what_is_in_the_queue_is_shown_and_canceled() {
    let cluster = Cluster::new("");
    let cli = &cluster.cli;
    cluster
        .repro(&["submit", "small.toml"])
        .expect_code(2)
        .expect_in_stderr(&["nothing says which cluster takes the jobs", "--slurm"]);
    cluster
        .repro(&["status"])
        .expect_code(2)
        .expect_in_stderr(&["nothing was submitted with the cache"]);
    // What is in the way of the report is said before anything is submitted.
    cli.write("reports/small.md", "mine");
    cluster
        .repro(&["submit", "small.toml", "--slurm"])
        .expect_code(2)
        .expect_in_stderr(&["reports/small.md is there"]);
    fs::remove_file(cli.path("reports/small.md")).unwrap();
    cli.write("fake/idle", "");
    cluster
        .repro(&["submit", "small.toml", "--slurm", "--max-jobs", "3"])
        .expect_code(0);
    let calls = cli.read("fake/calls");
    assert_eq!(
        calls.lines().count(),
        3,
        "two passes and the last job: {calls}"
    );
    cli.write(
        "fake/queue",
        "101_0|RUNNING|n0|None\n102_0|PENDING||Resources\n103|PENDING||Dependency\n",
    );
    let status = cluster.status();
    assert_eq!(states(&status)[..3], ["running", "queued", "later"]);
    assert_eq!(status["tasks"][1]["detail"], "Resources");
    cluster
        .repro(&["submit", "--continue", "1"])
        .expect_code(2)
        .expect_in_stderr(&["round 1 of submission 1 is in the queue"]);
    cluster
        .repro(&["cancel"])
        .expect_code(0)
        .expect_in_stderr(&["canceled 3 jobs"]);
    assert_eq!(cli.read("fake/canceled"), "101 102 103\n");
    // A last job that was on its way already submits nothing.
    cli.write("fake/queue", "");
    cluster.last(1).expect_code(130);
    assert_eq!(cli.read("fake/calls").lines().count(), 3);
    // Whoever wants more says so.
    fs::remove_file(cli.path("fake/idle")).unwrap();
    cluster.repro(&["submit", "--continue", "1"]).expect_code(0);
    assert_eq!(states(&cluster.status())[..3], ["done", "done", "later"]);
}

#[test]
fn what_a_remote_has_is_downloaded_by_small_tasks() {
    let settings = "[remote]\nurl = \"team\"\n\n[executor]\nkind = \"slurm\"\ncpus = 1\ngpus = 1\n";
    let cluster = Cluster::new(settings);
    let cli = &cluster.cli;
    cli.run(&["run", "small.toml", "--cache", "whole"])
        .expect_code(0);
    cli.run(&["cache", "push", "team", "small.toml", "--cache", "whole"])
        .expect_code(0);
    fs::remove_dir_all(cli.path("reports")).unwrap();

    // Other heads on the same features.
    cli.write("longer.toml", SMALL.replace("epochs   = 2", "epochs   = 3"));
    cli.write("fake/idle", "");
    let output = cluster.repro(&["submit", "longer.toml"]).expect_code(0);
    assert!(
        output
            .stdout
            .contains("submission 1, round 1: 7 tasks in 4 arrays"),
        "{output}"
    );
    let folder = ".repro/cluster/1/round-1";
    let script = cli.read(&format!("{folder}/01-transfer.sh"));
    assert!(
        script.contains("#SBATCH --mem=4096M\n") && !script.contains("--gres"),
        "{script}"
    );
    assert!(
        cli.read(&format!("{folder}/02-heads.sh"))
            .contains("--gres")
    );
    let calls = cli.read("fake/calls");
    assert!(
        calls.contains("--dependency=afterany:101 02-heads.sh"),
        "{calls}"
    );
    let status = cluster.status();
    assert!(!states(&status).contains(&"done"), "{status}");

    // A machine that does not reach the remote does not compute in its place, with less than that takes.
    let transfer = status["tasks"][0]["job"].as_str().unwrap();
    let job = ["job", "longer.toml", transfer, "--device", "cpu"];
    cli.run(&[&job[..], &["--no-remote"]].concat())
        .expect_code(4)
        .expect_in_stderr(&["no remote has what transfer-", "by the name pass-"]);
    for task in status["tasks"].as_array().unwrap() {
        let name = task["job"].as_str().unwrap();
        cli.run(&["job", "longer.toml", name, "--device", "cpu"])
            .expect_code(0);
    }
    let status = cluster.status();
    assert_eq!(states(&status), ["done"; 7], "{status}");
    cluster.last(1).expect_code(0);
    assert!(cli.path("reports/small.md").is_file());
    assert!(parts(cli, ".repro") == parts(cli, "whole"));
}

#[test]
fn scripts_are_written_and_run_without_slurm() {
    let cli = small();
    let output = cli
        .run(&[
            "submit",
            "small.toml",
            "--slurm",
            "--dry-run",
            "--cpus",
            "1",
        ])
        .expect_code(0)
        .expect_in_stderr(&["nothing was submitted; `bash "]);
    assert!(output.stdout.contains("01-pass"), "{output}");
    let folder = cli.path(".repro/cluster/1/round-1");
    let bash = |script: &str, task: &str| {
        let mut command = Command::new("bash");
        command
            .arg(folder.join(script))
            .arg(task)
            .current_dir(cli.path("."))
            .env("REPRO_SHARE", crate::fixture::root())
            .env("OMP_NUM_THREADS", "1");
        finish(command.output().unwrap())
    };
    // What needs something says so by a code of its own.
    let early = bash("03-heads.sh", "0").expect_code(75);
    assert!(
        early
            .stdout
            .contains("waits: what it needs is not in the cache yet"),
        "{early}"
    );
    for (script, tasks) in [
        ("01-pass.sh", 1),
        ("02-pass.sh", 1),
        ("03-heads.sh", 2),
        ("04-heads.sh", 2),
        ("05-metric.sh", 1),
    ] {
        for task in 0..tasks {
            bash(script, &task.to_string()).expect_code(0);
        }
    }
    cli.run(&["plan", "small.toml", "--check"]).expect_code(0);
    run(&cli, "small.toml");
}

#[test]
fn a_task_that_is_told_to_stop_keeps_what_it_has() {
    let cli = CliTest::with_fashion(5000, 1000);
    cli.write("six-shards.toml", six_shards());
    let arguments = [
        "submit",
        "six-shards.toml",
        "--slurm",
        "--dry-run",
        "--cpus",
        "1",
    ];
    cli.run(&arguments).expect_code(0);
    let mut command = Command::new("bash");
    command
        .arg(cli.path(".repro/cluster/1/round-1/01-pass.sh"))
        .arg("0")
        .current_dir(cli.path("."))
        .env("REPRO_SHARE", crate::fixture::root())
        .env("OMP_NUM_THREADS", "1");
    // As Slurm does ahead of the time limit: the script alone is signaled.
    let child = start_and_wait_for_parts(command, &cli, ".repro", 1);
    signal(&child, "USR1");
    let output = finish(child.wait_with_output().unwrap()).expect_code(130);
    for text in ["the time limit is near", "repro-task: ended with 130"] {
        assert!(output.stdout.contains(text), "no `{text}` in {output}");
    }
    assert!(
        output
            .stderr
            .contains("stopped; everything committed is kept"),
        "{output}"
    );
    assert!(
        parts(&cli, ".repro").len() < 12,
        "it came too late to test anything: {output}"
    );
}
