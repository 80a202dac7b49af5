//! Submissions to a real Slurm on the loopback, with several daemons of nodes, while nodes are killed, the controller is restarted, jobs are
//! preempted, run out of time and of memory, and others use the same cache. The bytes at the end are those of a run on this machine.
//!
//! `./test --slurm` starts the cluster by `tests/slurm/up.sh`, names it by `SLURM_CONF` and `SLURM_DIR`, and stops it afterwards. Each test
//! has nodes of its own: n0 and n1, n2 and n3, n4 and n5, n6 and n7.

mod preemption;
mod users;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fixture::{CliTest, Output, finish, root};
use crate::interruption::six_shards;
use crate::small::{SMALL, TEST, TRAIN, expect_same, parts};

/// Longer than any of these takes on a slow machine.
const PATIENCE: Duration = Duration::from_mins(10);

/// Four tests that look all the time would keep two cores busy, beside which their jobs are to run.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

/// A file of the cluster's own folder.
fn of_cluster(name: &str) -> PathBuf {
    let folder = std::env::var_os("SLURM_DIR").expect("`./test --slurm` sets SLURM_DIR");
    PathBuf::from(folder).join(name)
}

/// A project whose jobs take one core each on two nodes.
fn project(cli: &CliTest, nodes: &str, more: &str) {
    let settings = format!("{}time-limit = \"4m\"\n{more}", executor(nodes));
    cli.write("repro.toml", settings);
}

/// The beginning of `[executor]` for a test with these nodes.
fn executor(nodes: &str) -> String {
    let others = (0..8).map(|node| format!("n{node}"));
    let others: Vec<String> = others
        .filter(|node| !nodes.contains(node.as_str()))
        .collect();
    format!(
        "[executor]\nkind = \"slurm\"\ncpus = 1\nexclude = \"{}\"\n",
        others.join(",")
    )
}

fn slurm(program: &str, arguments: &[&str]) -> Output {
    let output = finish(Command::new(program).args(arguments).output().unwrap());
    assert_eq!(output.code, Some(0), "{program} {arguments:?}: {output}");
    output
}

/// Waits until something is so, releasing what Slurm holds, and says what was the matter where it never is.
#[track_caller]
fn wait_until(cli: &CliTest, id: &str, what: &str, is_so: &dyn Fn(&Value) -> bool) -> Value {
    wait_until_by(cli, &[], id, what, is_so)
}

/// [`wait_until`], with more options of `repro status`.
#[track_caller]
fn wait_until_by(
    cli: &CliTest,
    options: &[&str],
    id: &str,
    what: &str,
    is_so: &dyn Fn(&Value) -> bool,
) -> Value {
    let since = Instant::now();
    loop {
        let shown = |more: &[&str]| cli.run(&[&["status", id][..], options, more].concat());
        let status = shown(&["--json"]).expect_code(0).json();
        if is_so(&status) {
            return status;
        }
        // Slurm holds a job that could not be started, as may happen to any job while a test kills the controller. Whoever looks after the
        // submission does what `repro status` says.
        for number in status["held"].as_array().unwrap() {
            let number = number.as_str().unwrap();
            // It may have been released, or canceled, since.
            let _ = Command::new("scontrol").args(["release", number]).status();
        }
        assert!(
            since.elapsed() < PATIENCE,
            "not {what} after {PATIENCE:?}: {status:#}\n{}",
            shown(&[])
        );
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// Waits until a submission of `small.toml` is done. Another test kills the controller, which then knows nothing of jobs that it was given
/// seconds before: `as_user` gives a command as the user of a submission, and it is continued.
fn wait_until_done(
    cli: &CliTest,
    options: &[&str],
    id: &str,
    as_user: &dyn Fn(&Value, &[&str]) -> Output,
) {
    let rests = |status: &Value| has_ended(status) || !status["live"].as_bool().unwrap();
    let status = wait_until_by(cli, options, id, "done, or out of the queue", &rests);
    if has_ended(&status) {
        return;
    }
    let again = as_user(&status, &["submit", "--continue", id]).expect_code(0);
    if again.stderr.contains("nothing to submit") {
        as_user(&status, &["run", "small.toml"]).expect_code(0);
    } else {
        wait_until_by(cli, options, id, "done", &has_ended);
    }
}

/// Whether everything is in the cache, and the last job has written the report.
fn has_ended(status: &Value) -> bool {
    status["done"] == true && status["last"] == "completed"
}

/// What a run on this machine makes of the same file, with one thread, in the cache `whole`; and its report.
fn whole(
    cli: &CliTest,
    file: &str,
    report: Option<&str>,
) -> (BTreeMap<String, Vec<u8>>, Option<String>) {
    cli.run(&["run", file, "--device", "cpu", "--cache", "whole"])
        .expect_code(0);
    let text = report.map(|report| cli.read(report));
    if let Some(report) = report {
        // With what is beside it, which would belong to nobody.
        fs::remove_dir_all(cli.path(report).parent().unwrap()).unwrap();
    }
    (parts(cli, "whole"), text)
}

fn results(cli: &CliTest, cache: &str) -> String {
    let sql = "SELECT metric, timestep, block, seed, value, low, high FROM results ORDER BY metric, timestep, block, seed";
    cli.run(&["query", sql, "--cache", cache])
        .expect_code(0)
        .stdout
}

/// The number and the node of a task that runs, on another node than `not`.
fn running(status: &Value, not: &str) -> Option<(String, String)> {
    let tasks = status["tasks"].as_array()?.iter();
    let tasks = tasks.filter(|task| task["state"] == "running");
    let mut found = tasks.filter_map(|task| {
        let (number, node) = (task["number"].as_str()?, task["detail"].as_str()?);
        Some((number.to_owned(), node.to_owned()))
    });
    found.find(|(_, node)| node != not && !node.is_empty())
}

/// Every process below another, and itself.
fn tree(process: u32) -> Vec<u32> {
    let mut all = vec![process];
    let tasks = fs::read_dir(format!("/proc/{process}/task"))
        .into_iter()
        .flatten()
        .flatten();
    for task in tasks {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let children = children
            .split_whitespace()
            .filter_map(|child| child.parse().ok());
        all.extend(children.flat_map(tree));
    }
    all
}

/// Kills processes, each by its number, and no others.
fn kill(processes: &[u32]) {
    for process in processes {
        let _ = Command::new("kill")
            .args(["-KILL", &process.to_string()])
            .status();
    }
}

/// The daemon whose number the cluster has written down.
fn daemon(name: &str) -> u32 {
    let text = fs::read_to_string(of_cluster(&format!("run/{name}.pid"))).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// Starts daemons that are not there.
fn start_daemons() {
    let script = root().join("tests/slurm/up.sh");
    let output = finish(Command::new(script).output().unwrap());
    assert_eq!(output.code, Some(0), "{output}");
}

/// The processes of a job: `slurmstepd` on its node, with the script and what that started.
fn processes_of(number: &str) -> Vec<u32> {
    let jobs = slurm("scontrol", &["show", "job", number]).stdout;
    let own = jobs
        .split_whitespace()
        .find_map(|word| word.strip_prefix("JobId="));
    let wanted = format!("slurmstepd: [{}.batch]", own.unwrap());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(process) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).starts_with(&wanted) {
            found.extend(tree(process));
        }
    }
    found
}

#[test]
#[ignore = "needs a Slurm, which `./test --slurm` starts; a minute"]
fn needs_slurm_a_killed_node_a_restarted_controller_and_a_preempted_job() {
    // Half of what the name says: three shards of 1,024 images.
    let cli = CliTest::with_fashion(2500, 500);
    cli.write("six-shards.toml", six_shards());
    // The first attempt of every task dawdles, so that there is time to kill it.
    project(
        &cli,
        "n0 n1",
        "least-time = \"1m\"\ntask-time = \"1m\"\nrate = 2e7\nsetup = ['[[ ${SLURM_RESTART_COUNT:-0} != 0 ]] || sleep 40']\n",
    );
    let (whole, _) = whole(&cli, "six-shards.toml", None);
    cli.run(&["submit", "six-shards.toml"]).expect_code(0);
    let is_running = |status: &Value| running(status, "").is_some();
    let status = wait_until(&cli, "1", "running", &is_running);
    assert!(
        status["tasks"].as_array().unwrap().len() > 1,
        "the pass is cut: {status:#}"
    );

    // The controller is restarted while they run; it knows them again from what it wrote down, which it does every few seconds. What it
    // had not written down it would lose, the last job among it.
    std::thread::sleep(Duration::from_secs(8));
    kill(&[daemon("slurmctld")]);
    start_daemons();

    // A job of a partition of higher priority takes the node of one, which is killed and put back into the queue.
    let status = wait_until(&cli, "1", "running", &is_running);
    let (_, first) = running(&status, "").unwrap();
    let urgent = preemption::take(&first);

    // The node of another is killed with all that runs there.
    let runs_elsewhere = |status: &Value| {
        let found = running(status, &first);
        found.is_some_and(|(number, _)| processes_of(&number).len() > 1)
    };
    let status = wait_until(&cli, "1", "running elsewhere", &runs_elsewhere);
    let (number, node) = running(&status, &first).unwrap();
    let mut victims = vec![daemon(&format!("slurmd.{node}"))];
    let processes = processes_of(&number);
    assert!(processes.len() > 1, "{number} has ended: {processes:?}");
    victims.extend(processes);
    kill(&victims);

    wait_until(&cli, "1", "done", &has_ended);
    expect_same(&cli, ".repro", &whole);
    preemption::expect_preempted(&urgent);
    start_daemons();
}

/// Holds a job of the first submission: what depends on it, the report too, would wait for it forever. `repro status` says so.
fn hold_the_last(cli: &CliTest) {
    let status = cli.run(&["status", "1", "--json"]).expect_code(0).json();
    let task = status["tasks"].as_array().unwrap().last().unwrap();
    let number = task["number"].as_str().unwrap();
    let since = Instant::now();
    loop {
        // The controller may be away, and back without what it was told last.
        let _ = Command::new("scontrol").args(["hold", number]).status();
        let shown = cli.run(&["status", "1"]).expect_code(0);
        let command = shown
            .stdout
            .lines()
            .find(|line| line.contains("scontrol release "));
        if command.is_some_and(|line| line.contains(number)) {
            assert!(shown.stdout.contains("| held "), "{shown}");
            assert!(shown.stdout.contains("\nSlurm holds "), "{shown}");
            return;
        }
        // It may even have lost the job, and whoever waits for the submission continues it.
        if shown.stdout.contains("nothing is in the queue") {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "{number} is not held: {shown}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
#[ignore = "needs a Slurm, which `./test --slurm` starts; two minutes"]
fn needs_slurm_tasks_short_of_memory_and_of_time_are_given_more() {
    let cli = CliTest::with_fashion(TRAIN, TEST);
    cli.write("small.toml", SMALL);
    // The memory of a task is a bound of its address space, which is what cgroups are elsewhere. The first task of all hangs once.
    let setup = r"ulimit -v $((SLURM_MEM_PER_NODE * 1024)); [[ $number != 0 || -e hung || ${task[0]} != pass-* ]] || { touch hung; sleep 600; }";
    project(
        &cli,
        "n2 n3",
        &format!(
            "least-time = \"1m\"\nmemory = \"600M\"\nmost-memory = \"16G\"\nsetup = ['''{setup}''']\n"
        ),
    );
    let (whole, report) = whole(&cli, "small.toml", Some("reports/small.md"));
    cli.run(&["submit", "small.toml"]).expect_code(0);

    hold_the_last(&cli);
    wait_until_done(&cli, &[], "1", &|_, arguments| cli.run(arguments));
    expect_same(&cli, ".repro", &whole);
    assert_eq!(results(&cli, ".repro"), results(&cli, "whole"));
    assert_eq!(Some(cli.read("reports/small.md")), report);
    let record: Value =
        serde_json::from_str(&cli.read(".repro/cluster/1/submission.json")).unwrap();
    let tasks = record["tasks"].as_array().unwrap();
    assert!(
        tasks.iter().any(|task| task["stops"] != 0),
        "none was out of time: {record:#}"
    );
    assert!(
        tasks
            .iter()
            .any(|task| task["memory"] != task["first_memory"]),
        "none was out of memory: {record:#}"
    );
    assert!(record["rounds"].as_array().unwrap().len() > 1);
}
