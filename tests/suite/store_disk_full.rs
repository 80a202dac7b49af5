//! A full disk: a clear error, nothing half-written, and a run that resumes once there is room.
//!
//! The test mounts a file system of 256 KiB, in a user namespace of its own, which not every machine allows; where it
//! is not allowed the test says so and passes.

use std::path::Path;
use std::process::Command;

use repro::store::names::artifact_path;
use repro::store::{
    ArtifactKind, ArtifactWriter, Begin, FeaturePart, FeatureValues, Made, Recipe, Store,
    StoreError, wait_quietly,
};

/// The variable in which the child finds where the small file system is mounted.
const SMALL: &str = "REPRO_TEST_SMALL_DISK";

#[test]
fn a_full_disk_is_reported_and_survived() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size=256k tmpfs "$1" || exit 77; shift; exec "$@""#;
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", script, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store_disk_full::child_on_a_small_disk",
            "--ignored",
            "--nocapture",
        ])
        .env(SMALL, folder.path())
        .output();
    let text = |output: &std::process::Output| {
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    match output {
        Ok(output) if output.status.success() && text(&output).contains("1 passed") => {}
        Ok(output) if output.status.code() == Some(77) || text(&output).contains("unshare: ") => {
            println!(
                "skipped: this machine does not let a user mount a small file system: {}",
                text(&output)
            );
        }
        Ok(output) => panic!("{}", text(&output)),
        Err(error) => println!("skipped: cannot run unshare: {error}"),
    }
}

fn write(writer: &mut ArtifactWriter, part: u32, rows: usize) -> Result<(), StoreError> {
    let texts = vec!["x".to_owned(); rows];
    let numbers = vec![0; rows];
    let values = FeatureValues::F32(vec![1.0; rows * 100]);
    let content = FeaturePart {
        ids: &texts,
        splits: &texts,
        labels: Some(&numbers),
        views: &texts,
        draws: &numbers,
        width: 100,
        values,
    };
    writer.write_features(part, content)
}

fn begin(store: &Store, recipe: &Recipe) -> Box<ArtifactWriter> {
    match store.begin(recipe, "features", &mut wait_quietly).unwrap() {
        Begin::Writer(writer) => writer,
        Begin::AlreadyThere(_) => panic!("it cannot be complete"),
    }
}

#[test]
#[ignore = "run by the other test, where the disk is small"]
fn child_on_a_small_disk() {
    let Some(root) = std::env::var_os(SMALL) else {
        return;
    };
    let root = Path::new(&root).join("store");
    let store = Store::open(&root).unwrap();
    let recipe = Recipe::new(ArtifactKind::Features, 1, &[("timestep", 90)]).unwrap();
    let mut writer = begin(&store, &recipe);
    writer.committed_parts(&[100, 1000]).unwrap();
    write(&mut writer, 0, 100).unwrap();
    let error = write(&mut writer, 1, 1000).unwrap_err();
    let StoreError::DiskFull {
        path,
        needed,
        available,
    } = &error
    else {
        panic!("{error}")
    };
    assert!(path.ends_with("part-00001.arrow"), "{error}");
    assert!(
        needed.unwrap() > 400_000 && available.unwrap() < 256 * 1024,
        "{error}"
    );
    assert!(error.to_string().contains("free some space"), "{error}");
    let error = writer
        .write_bytes("head.safetensors", &vec![0; 300_000])
        .unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::DiskFull {
                needed: Some(300_000),
                ..
            }
        ),
        "{error}"
    );
    assert!(matches!(
        writer.finish(Made::default()),
        Err(StoreError::Incomplete { .. })
    ));

    let names: Vec<_> = std::fs::read_dir(store.root().join(artifact_path(
        recipe.kind().name(),
        &recipe.fingerprint().to_string(),
    )))
    .unwrap()
    .map(|entry| entry.unwrap().file_name())
    .collect();
    assert_eq!(
        names,
        ["part-00000.arrow"],
        "nothing half-written stays behind"
    );
    let mut writer = begin(&store, &recipe);
    assert_eq!(
        writer.committed_parts(&[100, 200]).unwrap().parts,
        [0].into()
    );
    write(&mut writer, 1, 200).unwrap();
    writer.finish(Made::default()).unwrap();
    assert_eq!(store.features(&recipe.fingerprint()).unwrap().rows(), 300);
}
