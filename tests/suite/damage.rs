//! Images that do not decode and caches that were damaged: named, counted, set aside and made again.

use std::fs;

use repro::store::ArtifactKind;

use crate::fixture::CliTest;
use crate::small::{SMALL, run, small};

/// An experiment on a folder of photographs, one of which does not decode.
fn with_bad_image(on_bad_image: &str) -> CliTest {
    let cli = CliTest::new();
    cli.image_folder("photos", 6);
    cli.write("photos/test/light/03.png", "this is no PNG");
    let text = SMALL
        .replace("fashion-mnist", "image-folder")
        .replace("root = \"fashion\"", "root = \"photos\"");
    cli.write(
        "photos.toml",
        text.replace(
            "pool     = 2",
            &format!("pool     = 2\non_bad_image = \"{on_bad_image}\""),
        ),
    );
    cli
}

#[test]
fn a_bad_image_fails_its_nodes_and_is_named() {
    let cli = with_bad_image("fail");
    let output = cli.run(&["run", "photos.toml"]).expect_code(1);
    let output = output.expect_in_stderr(&["test/light/03.png", "does not decode"]);
    assert!(!output.stderr.contains("panicked"), "{output}");
    assert!(
        !cli.path("reports/small.md").exists(),
        "no report on what is not there"
    );
    assert_eq!(cli.query("SELECT * FROM results").len(), 0);
}

#[test]
fn a_skipped_image_is_counted_and_listed() {
    let cli = with_bad_image("skip");
    let output = cli.run(&["run", "photos.toml"]).expect_code(0);
    let output = output.expect_in_stderr(&["skipped", "test/light/03.png"]);
    assert!(!output.stderr.contains("panicked"), "{output}");
    // 2 classes × 6 images, one of which is not there.
    let results = cli.query("SELECT count FROM results");
    assert!(
        results.len() == 16 && results.iter().all(|result| result["count"] == 11),
        "{results:?}"
    );
    let report = cli.read("reports/small.md");
    assert!(report.contains("test/light/03.png"), "{report}");
    // Whoever reads the features meets it as what it is.
    let fingerprint = cli.query("SELECT fingerprint FROM artifacts WHERE kind = 'features' LIMIT 1")[0]["fingerprint"].clone();
    let table = format!("features_{}", &fingerprint.as_str().unwrap()[..12]);
    let rows = cli.query(&format!("SELECT id FROM {table} WHERE split = 'skipped'"));
    assert_eq!(rows, [serde_json::json!({ "id": "test/light/03.png" })]);
    // Nothing is left to do, and what was skipped stays known.
    assert!(run(&cli, "photos.toml").stderr.contains("nothing to do"));
}

#[test]
fn features_made_with_skipped_images_do_not_pass_as_whole() {
    let cli = with_bad_image("skip");
    run(&cli, "photos.toml");
    let strict = cli
        .read("photos.toml")
        .replace("\"skip\"", "\"fail\"")
        .replace("epochs   = 2", "epochs   = 3");
    cli.write("photos.toml", strict);
    let output = cli.run(&["run", "photos.toml"]).expect_code(1);
    output.expect_in_stderr(&["test/light/03.png", "on_bad_image = \"skip\""]);
}

/// The path of the first file with this ending under a kind of artifact.
fn file_of(cli: &CliTest, kind: ArtifactKind, ending: &str) -> String {
    let folder = format!(".repro/artifacts/{}", kind.name());
    let file = cli
        .files(&folder)
        .into_keys()
        .find(|path| path.ends_with(ending))
        .unwrap();
    format!("{folder}/{file}")
}

/// What was made from damaged features, when nobody knew of the damage, is named until it is made again.
#[track_caller]
fn expect_the_rest_to_be_made_again(cli: &CliTest) {
    let output = cli.run(&["cache", "verify"]).expect_code(4);
    let mut lines = output.stdout.lines();
    assert!(
        lines.all(|line| line.contains(" was made from ")),
        "{output}"
    );
    cli.run(&["cache", "verify", "--set-aside"]).expect_code(0);
    run(cli, "small.toml");
    cli.run(&["cache", "verify"]).expect_code(0);
}

#[test]
fn a_flipped_bit_is_found_and_mended() {
    let cli = small();
    run(&cli, "small.toml");
    let part = file_of(&cli, ArtifactKind::Features, "part-00000.arrow");
    let good = fs::read(cli.path(&part)).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(cli.path(&part), &bad).unwrap();
    let output = cli.run(&["cache", "verify"]).expect_code(4);
    // The part, and what was made from it: a head for each seed, and a table.
    let (damaged, derived): (Vec<&str>, Vec<&str>) = output
        .stdout
        .lines()
        .partition(|line| !line.contains(" was made from "));
    assert!(
        damaged.len() == 1 && damaged[0].contains(&part) && derived.len() == 3,
        "{output}"
    );
    assert!(
        output.stderr.contains("4 problems in the cache"),
        "{output}"
    );

    // Something that reads the part: a head that is not there yet.
    cli.write("small.toml", SMALL.replace("epochs   = 2", "epochs   = 3"));
    let mut output = cli.run(&["run", "small.toml"]);
    if output.code != Some(0) {
        // The first run may find the damage; the next one must be whole.
        assert!(output.code == Some(1) || output.code == Some(4), "{output}");
        assert!(
            output.stderr.contains("does not have the digest"),
            "{output}"
        );
        output = cli.run(&["run", "small.toml"]);
    }
    output.expect_code(0);
    assert!(
        fs::read(cli.path(&part)).unwrap() == good,
        "made again with the same bytes"
    );
    assert!(
        cli.files(".repro/quarantine")
            .values()
            .any(|bytes| *bytes == bad),
        "the damaged part is kept as evidence"
    );
    expect_the_rest_to_be_made_again(&cli);
}

#[test]
fn damaged_and_deleted_artifacts_are_made_again() {
    let cli = small();
    run(&cli, "small.toml");
    let before = cli.files(".repro/artifacts");
    let part = file_of(&cli, ArtifactKind::Features, "part-00000.arrow");
    let predictions = file_of(&cli, ArtifactKind::Head, "predictions.parquet");
    let results = file_of(&cli, ArtifactKind::Metric, "manifest.json");
    let cut = fs::read(cli.path(&part)).unwrap();
    fs::write(cli.path(&part), &cut[..cut.len() / 2]).unwrap();
    fs::remove_file(cli.path(&predictions)).unwrap();
    fs::remove_dir_all(cli.path(&results).parent().unwrap()).unwrap();
    cli.run(&["cache", "verify"]).expect_code(4);
    cli.run(&["plan", "--check", "small.toml"]).expect_code(1);

    let output = run(&cli, "small.toml");
    assert!(output.stderr.contains("set aside"), "{output}");
    assert!(
        output.stderr.contains(part.split('/').nth(4).unwrap()),
        "it is named: {output}"
    );
    let after = cli.files(".repro/artifacts");
    assert!(
        after.keys().eq(before.keys()),
        "{:?}\n{:?}",
        before.keys(),
        after.keys()
    );
    // Manifests say when they were made; everything else has the bytes that it had.
    for (path, bytes) in before
        .iter()
        .filter(|(path, _)| !path.ends_with("manifest.json"))
    {
        assert!(bytes == &after[path], "{path} differs");
    }
    expect_the_rest_to_be_made_again(&cli);
    for (path, bytes) in cli.files(".repro/artifacts") {
        let is_same = path.ends_with("manifest.json") || before[&path] == bytes;
        assert!(is_same, "{path} differs");
    }
    assert!(run(&cli, "small.toml").stderr.contains("nothing to do"));
}
