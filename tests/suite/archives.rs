//! Experiments on datasets that stay packed as their owners publish them.

use std::fs;

use crate::fixture::{CliTest, gzip, tar};
use crate::small::run;

const CLASSES: [(&str, u8); 4] = [
    ("n01440764", 10),
    ("n02119789", 70),
    ("n02100735", 130),
    ("n03000134", 190),
];

fn experiment(root: &str) -> String {
    format!(
        r#"
[experiment]
name = "packed"

[dataset.imagenet]
kind = "imagenet"
root = "{root}"

[model.raw]
kind        = "pixels"
image_size  = 8
in_channels = 3

[extraction.pixels]
model    = "raw"
dataset  = "imagenet"
timestep = 0
block    = 1
pool     = 8

[head.probe]
kind     = "linear"
features = "pixels"
epochs   = 3
test     = "val"

[metric.accuracy]
kind = "accuracy"
of   = "probe"

[report]
output = "{root}.md"
"#
    )
}

/// A small ImageNet twice: in folders in `folders`, and as its owners pack it in `archives`.
fn imagenet(cli: &CliTest) {
    let image = |shade: u8, number: u8| {
        let pixel = |x: u32, y: u32| {
            let texture = u8::try_from((x * 5 + y * 3 + u32::from(number)) % 40).unwrap();
            image::Rgb([shade + texture, shade, texture])
        };
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbImage::from_fn(20, 16, pixel)
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        bytes.into_inner()
    };
    let (mut classes, mut validation) = (Vec::new(), Vec::new());
    let (mut map, mut truth) = (String::new(), String::new());
    for (number, (wnid, shade)) in (1u8..).zip(CLASSES) {
        let images: Vec<_> = (0..6)
            .map(|index| (format!("{wnid}_{index}.JPEG"), image(shade, index)))
            .collect();
        for (name, content) in &images {
            cli.write(&format!("folders/train/{wnid}/{name}"), content);
        }
        classes.push((format!("{wnid}.tar"), tar(&images)));
        map += &[wnid, " ", &number.to_string(), " name\n"].concat();
        for index in 0..2 {
            let name = format!("ILSVRC2012_val_{:08}.JPEG", validation.len() + 1);
            validation.push((name, image(shade, 20 + index)));
            truth += &[number.to_string(), "\n".to_owned()].concat();
        }
    }
    for (name, content) in &validation {
        cli.write(&format!("folders/val/{name}"), content);
    }
    let kit = "ILSVRC2012_devkit_t12/data";
    let kit = [
        (format!("{kit}/map_clsloc.txt"), map.into_bytes()),
        (
            format!("{kit}/ILSVRC2012_validation_ground_truth.txt"),
            truth.into_bytes(),
        ),
    ];
    for (name, content) in &kit {
        cli.write(&format!("folders/{name}"), content);
    }
    cli.write("archives/ILSVRC2012_img_train.tar", tar(&classes));
    cli.write("archives/ILSVRC2012_img_val.tar", tar(&validation));
    cli.write("archives/ILSVRC2012_devkit_t12.tar.gz", gzip(&tar(&kit)));
}

#[test]
fn packed_imagenet_gives_the_results_of_the_unpacked_one() {
    let cli = CliTest::new();
    imagenet(&cli);
    cli.write("packed.toml", experiment("archives"));
    cli.write("unpacked.toml", experiment("folders"));
    run(&cli, "packed.toml");
    let results = cli.query("SELECT * FROM results");
    assert!(!results.is_empty());
    let packed = cli.read("archives.md");
    // All that the unpacked one needs is there already, under the same fingerprints.
    cli.run(&["plan", "--check", "unpacked.toml"])
        .expect_code(0);
    cli.run(&["report", "unpacked.toml"]).expect_code(0);
    assert_eq!(
        cli.read("folders.md")
            .replace("unpacked.toml", "packed.toml")
            .replace("folders.md", "archives.md")
            .replace("folders.results.csv", "archives.results.csv")
            .replace("folders.provenance.json", "archives.provenance.json"),
        packed
    );
    // And the other way round, without what the first run kept.
    fs::remove_dir_all(cli.path(".repro")).unwrap();
    run(&cli, "unpacked.toml");
    assert_eq!(cli.query("SELECT * FROM results"), results);
    // Nothing was unpacked.
    let names: Vec<_> = cli.files("archives").into_keys().collect();
    assert_eq!(
        names,
        [
            "ILSVRC2012_devkit_t12.tar.gz",
            "ILSVRC2012_img_train.tar",
            "ILSVRC2012_img_val.tar"
        ]
    );
}

#[test]
fn an_archive_that_was_cut_off_is_named_with_the_place_and_the_remedy() {
    let cli = CliTest::new();
    imagenet(&cli);
    cli.write("packed.toml", experiment("archives"));
    let archive = cli.path("archives/ILSVRC2012_img_train.tar");
    let whole = fs::read(&archive).unwrap();
    fs::write(&archive, &whole[..whole.len() - 2048]).unwrap();
    cli.run(&["run", "packed.toml"])
        .expect_code(3)
        .expect_in_stderr(&[
            "dataset `imagenet`: ",
            "ILSVRC2012_img_train.tar is malformed: its header at byte ",
            "but the archive ends after ",
            "hint: download it again",
        ]);
}

#[test]
#[ignore = "needs the photographs of CUB-200-2011, or a cut of them"]
fn the_real_birds_go_through_check_extraction_and_heads_needs_data() {
    let root = std::env::var("REPRO_TEST_CUB")
        .expect("REPRO_TEST_CUB names the archive or the folder of CUB-200-2011");
    let cli = CliTest::new();
    let arguments = ["data", "check", "--kind", "cub", "--root", &root, "--json"];
    let found = cli.run(&arguments).expect_code(0).json();
    let text = found.to_string();
    assert!(text.contains("\"unreadable\":[]"), "{text}");
    cli.write(
        "birds.toml",
        format!(
            r#"
[experiment]
name = "birds"

[dataset.cub]
kind = "cub"
root = "{root}"

[model.unet]
kind    = "guided-diffusion"
preset  = "adm-tiny"
weights = {{ synthetic = 1 }}

[extraction.taps]
model    = "unet"
dataset  = "cub"
timestep = 10
block    = 3
pool     = 4

[head.probe]
kind      = "linear"
features  = "taps"
epochs    = 10
holdout   = 0.1
optimizer = [{{ lr = 1e-4 }}, {{ lr = 1e-3 }}, {{ lr = 1e-2 }}]

[metric.accuracy]
kind   = "accuracy"
of     = "probe"
choose = ["learning_rate"]
"#
        ),
    );
    cli.run(&["run", "birds.toml"]).expect_code(0);
    let rows = cli.query("SELECT value, count FROM results WHERE metric = 'top1'");
    assert_eq!(rows.len(), 1);
    let (value, count) = (&rows[0]["value"], &rows[0]["count"]);
    // Of the first fifty classes 1,389 photographs are for testing: chance is 0.02, with a standard deviation of 0.004.
    assert!(value.as_f64().unwrap() > 0.08, "{value} of {count}");
}
