//! Records as they grow, and of processes that are gone.

use super::*;
use std::io::Write as _;

const BEGUN: &str = r#"{"at":"2026-11-28T15:25:48Z","event":"run-started","experiment":"x","device":"cpu","passes":1,"images":20,"heads":2}
{"at":"2026-11-28T15:25:48Z","event":"pass-started","pass":1,"label":"a ← b","images":20,"committed":5,"taps":3}
{"at":"2026-11-28T15:25:49Z","event":"pass-advanced","pass":1,"images":10}
not an event
{"at":"2026-11-28T15:25:50Z","event":"pass-adv"#;
const REST: &str = r#"anced","pass":1,"images":10}
{"at":"2026-11-28T15:25:51Z","event":"pass-finished","pass":1,"images":20,"seconds":3.0}
{"at":"2026-11-28T15:25:52Z","event":"head-finished","label":"h1","train_loss":0.5,"seconds":1.0}
{"at":"2026-11-28T15:25:53Z","event":"node-failed","label":"h2","fingerprint":"ab","error":"NaN"}
{"at":"2026-11-28T15:25:54Z","event":"run-finished","nothing_to_do":false,"stopped":false,"disk_full":false,"again":false,"failed":1,"unmade":0,"seconds":6.0}
"#;

#[test]
fn a_record_is_read_as_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("2026-11-28T152548Z-{}", std::process::id());
    let mut file = File::create(folder.path().join(format!("{name}.jsonl"))).unwrap();
    file.write_all(BEGUN.as_bytes()).unwrap();
    let runs = Runs::default();
    let run = |name: &str| runs.run(folder.path(), name).unwrap();
    let begun = run(&name).unwrap();
    assert!(begun.is_running);
    assert_eq!(begun.state, "running");
    assert_eq!((begun.pieces[0].done, begun.pieces[0].of), (15, 25));
    assert_eq!(begun.last, "2026-11-28T15:25:49Z");
    file.write_all(REST.as_bytes()).unwrap();
    let ended = run(&name).unwrap();
    assert!(!ended.is_running);
    assert_eq!(ended.state, "ended after 6.0 s: 1 failed");
    assert_eq!(ended.pieces[0].state, "done");
    assert_eq!((ended.trained.len(), ended.failed.len()), (1, 1));
    assert_eq!(run(&name).unwrap(), ended);
    assert_eq!(runs.newest(folder.path(), 9).len(), 1);
    for other in ["", "..", "../x", "nothing", "a/b"] {
        assert_eq!(run(other), None, "{other}");
    }
}

#[test]
fn a_run_whose_process_is_gone_is_not_running() {
    let folder = tempfile::tempdir().unwrap();
    // No process has a number as large.
    let name = "2026-11-28T152548Z-4194305";
    fs::write(folder.path().join(format!("{name}.jsonl")), BEGUN).unwrap();
    let run = Runs::default().run(folder.path(), name).unwrap().unwrap();
    assert!(!run.is_running);
    assert!(run.state.starts_with("no end is recorded"), "{}", run.state);
}
