//! What the scripts of a plan say, as snapshots.

use std::collections::BTreeMap;

use super::*;
use crate::cluster::ExecutorSettings;
use crate::cluster::rounds::{group, tests::submission};

fn quoted(text: &str) -> String {
    if text.contains([' ', '\'']) {
        format!("'{}'", text.replace('\'', r"'\''"))
    } else {
        text.to_owned()
    }
}

fn place() -> Place<'static> {
    Place {
        folder: "/srv/ada/my probes/.repro/cluster/3",
        for_shell: &quoted,
    }
}

fn round(submission: &Submission) -> Round {
    let all: Vec<usize> = (0..submission.tasks.len()).collect();
    Round {
        number: 1,
        at: "2026-11-29T11:00:00Z".to_owned(),
        arrays: group(submission, &all, &BTreeMap::new()),
        after_jobs: vec![],
    }
}

#[test]
fn scripts_of_a_plan() {
    let one = submission();
    let round = round(&one);
    let place = place();
    let mut text = String::new();
    for (name, script) in [
        ("task.sh", task(&one, &place)),
        ("01-pass.sh", array(&one, &round, &round.arrays[0], &place)),
        ("03-heads.sh", array(&one, &round, &round.arrays[2], &place)),
        ("last.sh", last(&one, &round, &place)),
        ("submit.sh", submit(&round)),
    ] {
        let _ = writeln!(text, "===== {name}\n{script}");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn scripts_with_gpus_and_a_container() {
    let mut one = submission();
    let text = "partition = \"gpu\"\naccount = \"vision\"\nqos = \"long\"\nconstraint = \"a100|h100\"\nexclude = \"n7\"\ngpus = 2\ncpus = 8\nat-once = 16\nsetup = [\"module load cuda\"]\nsbatch = [\"--mail-type=FAIL\"]\ncontainer = \"/images/repro.sif\"\ncontainer-options = [\"--bind /data\"]\n";
    one.settings = toml::from_str::<ExecutorSettings>(text).unwrap();
    one.bad_nodes.push("n3".to_owned());
    let round = round(&one);
    let place = place();
    let script = array(&one, &round, &round.arrays[0], &place);
    insta::assert_snapshot!(format!("{script}\n=====\n{}", task(&one, &place)));
    // A metric is computed on the processor.
    let metric = array(&one, &round, &round.arrays[4], &place);
    assert!(!metric.contains("--gres") && metric.contains("options=(--device cpu "));
}
