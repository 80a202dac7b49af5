//! Images in archives of NumPy arrays: the same features, distances and heads as of the files that they were.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::fixture::{CliTest, arrays, root, walk};
use crate::small::run;

/// A folder of images, the same images as an archive, and others.
const JUDGED: &str = r#"
[experiment]
name = "judged"

[dataset.photos]
kind = "image-folder"
root = "photos"

[dataset.others]
kind = "image-folder"
root = "others"

[dataset.batch]
kind = "npz"
file = "test.npz"

[model.raw]
kind        = "pixels"
image_size  = 8
in_channels = 3

[extraction.photos]
model   = "raw"
dataset = "photos"
block   = 1
pool    = 2

[extraction.others]
model   = "raw"
dataset = "others"
block   = 1
pool    = 2

[extraction.batch]
model   = "raw"
dataset = "batch"
block   = 1
pool    = 2

[metric.fid]
kind      = "fid"
of        = ["photos", "others"]
reference = ["photos", "batch"]
groups    = 0

[metric.kid]
kind      = "kid"
of        = ["photos", "others"]
reference = ["photos", "batch"]

[metric.prdc]
kind      = "precision-recall"
of        = ["photos", "others"]
reference = ["photos", "batch"]
"#;

/// The images of a split as guided-diffusion writes samples, with moments beside them as in published reference batches.
fn batch(cli: &CliTest, split: &str) -> Vec<u8> {
    let mut files: Vec<PathBuf> = walk(&cli.path(&format!("photos/{split}")));
    files.sort();
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for file in &files {
        let image = image::open(file).unwrap().to_rgb8();
        assert_eq!(image.dimensions(), (40, 36));
        pixels.extend(image.into_raw());
        let label = i64::from(file.parent().unwrap().ends_with("light"));
        labels.extend(label.to_le_bytes());
    }
    let count = files.len();
    arrays::archive(&[
        (
            "arr_0.npy",
            arrays::array("|u1", &format!("({count}, 36, 40, 3)"), false, &pixels),
        ),
        (
            "arr_1.npy",
            arrays::array("<i8", &format!("({count},)"), false, &labels),
        ),
        ("mu.npy", arrays::npy("(2,)", false, &[0.5, 1.5])),
    ])
}

#[test]
fn a_batch_of_the_same_images_is_as_far_from_others_as_their_folder() {
    let cli = CliTest::new();
    cli.image_folder("photos", 12);
    cli.write("test.npz", batch(&cli, "test"));
    cli.image_folder("others", 20);
    cli.write("judged.toml", JUDGED);
    run(&cli, "judged.toml");
    for metric in ["fid", "kid", "precision", "recall", "density", "coverage"] {
        let value = |of: &str, reference: &str| {
            let sql = format!(
                "SELECT value, reference_images FROM results WHERE metric = '{metric}' AND dataset = '{of}' AND reference = '{reference}'"
            );
            let rows = cli.query(&sql);
            assert_eq!(rows.len(), 1, "{metric} of {of} against {reference}");
            assert_eq!(rows[0]["reference_images"], json!(24));
            rows[0]["value"].as_f64().unwrap()
        };
        let (folder, batch) = (value("others", "photos"), value("others", "batch"));
        let same = value("photos", "batch");
        // Sums of distances are taken in the order of the images, which is that of their names; the others are counts.
        let rounding = if ["fid", "kid"].contains(&metric) {
            1e-9
        } else {
            0.0
        };
        assert!(
            (folder - batch).abs() <= rounding,
            "{metric}: {folder} {batch}"
        );
        match metric {
            "fid" => assert!(same.abs() < 1e-9 && batch > 1e-6, "{same} {batch}"),
            "precision" | "recall" | "coverage" => assert!(same >= 1.0, "{metric}: {same}"),
            _ => {}
        }
    }
    // What is planned again is there.
    cli.run(&["run", "judged.toml", "--device", "cpu"])
        .expect_code(0)
        .expect_in_stderr(&["everything is in the cache"]);
    let checked = cli.run(&["data", "check", "judged.toml", "batch"]);
    let stdout = checked.expect_code(0).stdout;
    assert!(stdout.contains("| test  |      24 |       2 |"), "{stdout}");
}

/// A head that is trained on one archive and tested on itself.
const PROBED: &str = r#"
[experiment]
name = "probed"

[dataset.batch]
kind  = "npz"
file  = "train.npz"
split = "train"

[model.raw]
kind        = "pixels"
image_size  = 8
in_channels = 3

[extraction.batch]
model   = "raw"
dataset = "batch"
block   = 1
pool    = 2

[head.probe]
kind     = "linear"
features = "batch"
epochs   = 20
test     = "train"

[metric.accuracy]
kind = "accuracy"
of   = "probe"
"#;

#[test]
fn heads_read_the_labels_of_an_archive_and_need_them() {
    let cli = CliTest::new();
    cli.image_folder("photos", 12);
    let whole = batch(&cli, "train");
    cli.write("train.npz", &whole);
    cli.write("probed.toml", PROBED);
    run(&cli, "probed.toml");
    let rows = cli.query("SELECT value, split FROM results WHERE metric = 'top1'");
    assert_eq!(rows, [json!({"value": 1.0, "split": "train"})]);
    // Under another name nobody takes them for labels.
    let at = whole
        .windows(9)
        .enumerate()
        .filter(|(_, bytes)| bytes == b"arr_1.npy")
        .map(|(at, _)| at);
    let mut nameless = whole.clone();
    for at in at {
        nameless[at + 4] = b'9';
    }
    fs::write(cli.path("train.npz"), nameless).unwrap();
    let plan = cli.run(&["plan", "probed.toml"]).expect_code(2);
    plan.expect_in_stderr(&[
        "probed.toml:21",
        "head `probe` needs classes, which the images of dataset `batch` do not have",
        "`labels` of an `npz` dataset",
    ]);
    cli.write(
        "probed.toml",
        PROBED.replace(
            "split = \"train\"\n",
            "split = \"train\"\nlabels = \"arr_9\"\n",
        ),
    );
    cli.run(&["plan", "probed.toml"]).expect_code(0);
    cli.write("train.npz", "no archive");
    let plan = cli.run(&["plan", "probed.toml"]).expect_code(3);
    plan.expect_in_stderr(&[
        "train.npz is malformed: it does not begin as an archive of arrays does",
    ]);
}

#[test]
fn what_numpy_writes_is_read() {
    let cli = CliTest::new();
    for name in ["samples", "compressed", "gray", "fortran", "floats"] {
        let file = format!("tests/golden/npz/{name}.npz");
        cli.write(&format!("{name}.npz"), fs::read(root().join(file)).unwrap());
    }
    let ids = |name: &str| {
        let text = format!("[dataset.d]\nkind = \"npz\"\nfile = \"{name}.npz\"\n");
        cli.write("d.toml", text);
        cli.run(&["data", "ids", "d.toml", "d"])
    };
    let samples = ids("samples").expect_code(0).stdout;
    let lines: Vec<&str> = samples.lines().collect();
    assert_eq!(
        lines[1..],
        [
            "test/00000,test,7",
            "test/00001,test,0",
            "test/00002,test,3"
        ]
    );
    assert_eq!(ids("compressed").expect_code(0).stdout, samples);
    assert_eq!(ids("gray").expect_code(0).stdout.lines().count(), 1 + 2);
    ids("fortran").expect_code(3).expect_in_stderr(&["Fortran"]);
    ids("floats")
        .expect_code(3)
        .expect_in_stderr(&["floats of 64 bits"]);
}
