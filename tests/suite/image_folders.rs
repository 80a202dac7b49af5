//! Folders of images as people have them: formats, deeper folders, links, archives, and what is said of all that is left out.

use std::fs;
use std::io::Cursor;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use image::{ImageFormat, Rgb, RgbImage};
use repro::spec::Source;
use repro::store::Store;
use repro::{graph, inputs};
use serde_json::Value;

use crate::fixture::{CliTest, Output};

const MISSING_INPUT: i32 = 3;

const EXPERIMENT: &str = r#"
[experiment]
name = "x"
[dataset.d]
kind = "image-folder"
root = "photos"
[model.m]
kind = "pixels"
image_size = 8
in_channels = 3
[extraction.e]
model = "m"
dataset = "d"
block = 1
pool = 4
on_bad_image = "skip"
[head.h]
kind = "linear"
features = "e"
epochs = 1
[metric.a]
kind = "accuracy"
of = "h"
top = [1]
"#;

/// An image with colors, in a format.
fn image(class: u8, format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(8, 6, |x, y| {
        let (x, y) = (u8::try_from(x).unwrap(), u8::try_from(y).unwrap());
        Rgb([x * 20 + class, y * 30, 40 * class])
    });
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn png(class: u8) -> Vec<u8> {
    image(class, ImageFormat::Png)
}

/// A folder `photos` of two classes in two splits.
fn photos() -> CliTest {
    let cli = CliTest::new();
    for (class, name) in [(0, "cat"), (1, "dog")] {
        for (split, images) in [("train", 3), ("test", 2)] {
            for number in 0..images {
                cli.write(&format!("photos/{split}/{name}/{number}.png"), png(class));
            }
        }
    }
    cli
}

fn check(cli: &CliTest, root: &str) -> Output {
    cli.run(&["data", "check", "--kind", "image-folder", "--root", root])
}

/// What `data check` says of a folder, with the codes and messages of its warnings.
#[track_caller]
fn found(cli: &CliTest, root: &str) -> (Value, Vec<(String, String)>) {
    let arguments = [
        "data",
        "check",
        "--kind",
        "image-folder",
        "--root",
        root,
        "--json",
    ];
    let record = cli.run(&arguments).expect_code(0).json()[0].clone();
    let warnings = record["warnings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let warnings = warnings.map(|one| (text(&one["code"]), text(&one["message"])));
    let warnings = warnings.collect();
    (record, warnings)
}

/// How many images a split has.
fn images(record: &Value, split: &str) -> u64 {
    let splits = record["splits"].as_array().unwrap();
    let found = splits.iter().find(|one| one["split"] == split).unwrap();
    found["samples"].as_u64().unwrap()
}

/// An error about a folder, and no other.
#[track_caller]
fn expect_error(cli: &CliTest, root: &str, texts: &[&str]) {
    let output = check(cli, root).expect_code(MISSING_INPUT);
    assert!(!output.stderr.contains("panicked"), "{output}");
    for text in texts {
        assert!(output.stdout.contains(text), "no `{text}` in\n{output}");
    }
}

#[test]
fn a_sound_folder_has_no_warnings() {
    let cli = photos();
    cli.write("photos/train/cat/notes.txt", "x");
    cli.write("photos/README", "x");
    cli.write("photos/train/.DS_Store", "x");
    let (record, warnings) = found(&cli, "photos");
    assert_eq!((images(&record, "train"), images(&record, "test")), (6, 4));
    assert_eq!(warnings, []);
}

#[test]
fn all_formats_are_read_whatever_their_names_say() {
    let cli = photos();
    let plain = image(0, ImageFormat::Png);
    for (name, format) in [
        ("a.webp", ImageFormat::WebP),
        ("b.bmp", ImageFormat::Bmp),
        ("c.tif", ImageFormat::Tiff),
        ("d.TIFF", ImageFormat::Tiff),
        ("e.gif", ImageFormat::Gif),
        ("f.jfif", ImageFormat::Jpeg),
        ("g.jpg", ImageFormat::Bmp),
    ] {
        cli.write(&format!("photos/train/cat/{name}"), image(0, format));
    }
    cli.write("photos/train/cat/h.webp", plain);
    let (record, warnings) = found(&cli, "photos");
    assert_eq!(images(&record, "train"), 14);
    assert_eq!(record["unreadable"], Value::Array(Vec::new()));
    assert_eq!(warnings, []);
}

#[test]
fn deeper_folders_belong_to_the_class_and_classes_do_not_vanish() {
    let cli = photos();
    cli.write("photos/train/cat/session1/day2/x.png", png(0));
    cli.write("photos/train/emu/session1/x.png", png(2));
    cli.write(
        "photos/test/emu/session1/x.webp",
        image(2, ImageFormat::WebP),
    );
    let (record, warnings) = found(&cli, "photos");
    assert_eq!(record["classes"], 3);
    assert_eq!((images(&record, "train"), images(&record, "test")), (8, 5));
    assert_eq!(warnings, []);
}

#[test]
fn what_is_left_out_is_counted_and_named() {
    let cli = photos();
    cli.write("photos/train/cat/x.heic", "not read");
    cli.write("photos/train/cat/deep/y.mp4", "not read");
    cli.write("photos/train/loose.png", png(0));
    cli.write("photos/extra/cat/x.png", png(0));
    fs::create_dir_all(cli.path("photos/train/ant")).unwrap();
    let (_, warnings) = found(&cli, "photos");
    let expected = [
        (
            "data::left-out",
            "1 image of ./photos lies beside the class folders and is left out: `train/loose.png`",
        ),
        (
            "data::left-out",
            "2 files of ./photos are of kinds that are not read and are left out: `train/cat/x.heic`, `train/cat/deep/y.mp4`",
        ),
        (
            "data::left-out",
            "1 folder of ./photos lies beside the splits and is left out: `extra`",
        ),
        (
            "data::empty-class",
            "1 class folder of ./photos has no images: `train/ant`",
        ),
    ];
    let expected = expected.map(|(code, message)| (code.to_owned(), message.to_owned()));
    assert_eq!(warnings, expected);
    let page = check(&cli, "photos").expect_code(0).stdout;
    assert!(page.contains("warning[data::empty-class]: "), "{page}");
}

#[test]
fn classes_of_one_split_alone_and_one_class_only_are_told() {
    let cli = photos();
    cli.write("photos/test/zebra/0.png", png(1));
    let (_, warnings) = found(&cli, "photos");
    assert_eq!(warnings[0].0, "data::class-not-trained");
    assert!(warnings[0].1.contains("`zebra`"), "{warnings:?}");
    fs::remove_dir_all(cli.path("photos/test/zebra")).unwrap();
    for split in ["train", "test"] {
        fs::remove_dir_all(cli.path(&format!("photos/{split}/dog"))).unwrap();
    }
    let (_, warnings) = found(&cli, "photos");
    assert_eq!(warnings[0].0, "data::one-class");
}

#[test]
fn a_split_that_only_the_folder_can_tell_is_an_error_with_its_place() {
    let cli = photos();
    let pretrain = r#"
[model.n]
kind = "guided-diffusion"
preset = "adm-tiny"
weights = { pretrain = "p" }
[pretrain.p]
dataset = "d"
steps = 1
split = "val"
"#;
    let of_head = EXPERIMENT.replace("epochs = 1", "epochs = 1\ntest = \"val\"");
    let of_metric =
        "\n[metric.c]\nkind = \"cka\"\nleft = [\"e\"]\nright = [\"e\"]\nsplit = \"val\"\n";
    for (text, place, node) in [
        (of_head, ":17:7", "head `h`"),
        (format!("{EXPERIMENT}{pretrain}"), ":33:9", "pretrain `p`"),
        (format!("{EXPERIMENT}{of_metric}"), ":26:9", "metric `c`"),
    ] {
        cli.write("x.toml", &text);
        cli.run(&["plan", "x.toml"])
            .expect_code(2)
            .expect_in_stderr(&[
                &format!("error: x.toml{place}"),
                &format!("{node} uses split `val`, but dataset `d` has"),
            ]);
    }
}

#[test]
fn links_are_followed_and_those_that_lead_nowhere_are_named() {
    let cli = photos();
    fs::rename(cli.path("photos/train/cat"), cli.path("photos/cats")).unwrap();
    symlink("../cats", cli.path("photos/train/cat")).unwrap();
    symlink("0.png", cli.path("photos/cats/again.png")).unwrap();
    symlink("loop", cli.path("photos/cats/loop")).unwrap();
    let (record, warnings) = found(&cli, "photos");
    assert_eq!(images(&record, "train"), 7);
    assert!(
        warnings[0]
            .1
            .contains("`train/cat/loop: a link to `loop`, which leads in a circle`"),
        "{warnings:?}"
    );
    // A link that is called like an image is a bad image.
    symlink("/nowhere/x.png", cli.path("photos/cats/gone.png")).unwrap();
    let output = check(&cli, "photos").expect_code(MISSING_INPUT).stdout;
    assert!(output.contains("1 of 12 do not decode"), "{output}");
    assert!(
        output.contains("train/cat/gone.png") && output.contains("a link to `/nowhere/x.png`"),
        "{output}"
    );
    fs::remove_file(cli.path("photos/cats/gone.png")).unwrap();
    // One that leads back would be walked for ever.
    symlink("..", cli.path("photos/cats/back")).unwrap();
    expect_error(
        &cli,
        "photos",
        &[
            "photos/train/cat/back is malformed",
            "a folder that it lies in",
            "hint: remove the link",
        ],
    );
}

#[test]
fn an_archive_with_links_is_what_the_folder_is() {
    let cli = photos();
    fs::rename(cli.path("photos/train/cat"), cli.path("photos/cats")).unwrap();
    symlink("../cats", cli.path("photos/train/cat")).unwrap();
    symlink("0.png", cli.path("photos/cats/again.png")).unwrap();
    let mut archive = tar::Builder::new(fs::File::create(cli.path("photos.tar")).unwrap());
    archive.follow_symlinks(false);
    for folder in ["train", "test", "cats"] {
        let path = cli.path("photos").join(folder);
        archive.append_dir_all(folder, path).unwrap();
    }
    archive.into_inner().unwrap();
    let (unpacked, _) = found(&cli, "photos");
    let (packed, _) = found(&cli, "photos.tar");
    assert_eq!(images(&packed, "train"), 7);
    assert_eq!(packed["manifest"], unpacked["manifest"]);
}

#[test]
fn only_names_that_matter_have_to_be_utf_8() {
    let cli = photos();
    let name = |bytes: &[u8]| {
        cli.path("photos/train/cat")
            .join(std::ffi::OsStr::from_bytes(bytes))
    };
    fs::write(name(b"caf\xe9.txt"), "x").unwrap();
    found(&cli, "photos");
    fs::write(name(b"caf\xe9.png"), png(0)).unwrap();
    expect_error(&cli, "photos", &["its name is not UTF-8"]);
}

#[test]
fn other_layouts_are_told_with_what_was_found() {
    let cli = CliTest::new();
    let write = |names: &[&str]| {
        let _ = fs::remove_dir_all(cli.path("d"));
        for name in names {
            cli.write(&format!("d/{name}"), png(0));
        }
    };
    for (names, texts) in [
        (
            &["train/x.png", "train/y.png", "test/z.png"][..],
            &[
                "./d/test is malformed: it holds 1 image and no class folder",
                "test/CLASS/FILE",
            ][..],
        ),
        (
            &["Train/cat/x.png", "Test/cat/y.png"],
            &["`Test` and `Train` look like splits", "rename"],
        ),
        (
            &["training/cat/x.png", "bus/x.png"],
            &["`training` looks like a split", "rename"],
        ),
        (
            &["photos/train/cat/x.png", "photos/test/cat/y.png"],
            &[
                "its only folder `photos` holds `test` and `train`",
                "set `root` to `./d/photos`",
            ],
        ),
        (
            &["train/x.png", "bus/y.png"],
            &["`train` counts as a split", "train/train, train/bus"],
        ),
        (
            &["x.png", "y.png"],
            &[
                "no class folder with images, and 2 images",
                "ROOT/CLASS/FILE",
            ],
        ),
        (
            &["train/cat/0", "train/cat/1"],
            &["do not end as those of images do", "`train/cat/0`", ".webp"],
        ),
        (&["labels.npy"], &["1 file of another kind: `labels.npy`"]),
    ] {
        write(names);
        expect_error(&cli, "d", texts);
    }
}

#[test]
fn archives_of_other_kinds_are_told() {
    let cli = CliTest::new();
    for (name, beginning, texts) in [
        (
            "a.zip",
            &b"PK\x03\x04rest"[..],
            &["it is a zip archive", ".tar.gz"][..],
        ),
        (
            "a.tar.xz",
            b"\xfd7zXZ\0rest",
            &["packed with xz", "unpack it"],
        ),
        (
            "a.tar.bz2",
            b"BZh91AY&SY",
            &["packed with bzip2", "unpack it"],
        ),
        (
            "a.tar.zst",
            b"\x28\xb5\x2f\xfdrest",
            &["packed with zstd", "unpack it"],
        ),
        (
            "a.7z",
            b"7z\xbc\xaf\x27\x1crest",
            &["a 7z archive", "unpack it"],
        ),
        (
            "a.rar",
            b"Rar!\x1a\x07\0rest",
            &["a rar archive", "unpack it"],
        ),
        (
            "a.tar",
            b"<!DOCTYPE html>",
            &["a web page", "download it again"],
        ),
        (
            "a.tgz",
            b"version https://git-lfs.github.com/spec/v1\n",
            &["a pointer of Git LFS", "git lfs pull"],
        ),
    ] {
        cli.write(name, beginning);
        expect_error(&cli, name, texts);
    }
}

#[test]
fn cifar_for_python_and_a_folder_too_deep_are_told() {
    let cli = CliTest::new();
    let check = |root: &str, texts: &[&str]| {
        let output = cli.run(&["data", "check", "--kind", "cifar10", "--root", root]);
        let output = output.expect_code(MISSING_INPUT).stdout;
        for text in texts {
            assert!(output.contains(text), "no `{text}` in\n{output}");
        }
    };
    cli.write("py/cifar-10-batches-py/data_batch_1", "x");
    check("py", &["for Python", "`repro data fetch cifar10`"]);
    check("py/cifar-10-batches-py", &["for Python"]);
    cli.write("bin/cifar-10-batches-bin/data_batch_1.bin", "x");
    check("bin/cifar-10-batches-bin", &["the folder above"]);
}

#[test]
fn tables_of_other_kinds_are_told() {
    let cli = CliTest::new();
    let check = |files: &str, texts: &[&str]| {
        cli.write(
            "t.toml",
            format!("[dataset.d]\nkind = \"table\"\nfiles = {files}\n"),
        );
        let output = cli.run(&["data", "check", "t.toml"]);
        let output = output.expect_code(MISSING_INPUT).stdout;
        for text in texts {
            assert!(output.contains(text), "no `{text}` in\n{output}");
        }
    };
    cli.write(
        "lfs.parquet",
        "version https://git-lfs.github.com/spec/v1\nsize 4294890\n",
    );
    check("\"lfs.parquet\"", &["a pointer of Git LFS"]);
    cli.write("page.parquet", "<!DOCTYPE html><title>Sign in</title>");
    check("\"page.parquet\"", &["a web page", "not a Parquet file"]);
    cli.write("cut.parquet", "PAR1 and then nothing more");
    check("\"cut.parquet\"", &["it is cut off"]);
    cli.write("empty.parquet", "");
    check("\"empty.parquet\"", &["it is empty"]);
    cli.write("hf/train-00000.parquet", "x");
    cli.write("hf/test-00000.parquet", "x");
    check(
        "\"hf\"",
        &[
            "hf is malformed: it is a folder",
            "write `files = { train = \"./hf/train*.parquet\", test = \"./hf/test*.parquet\" }`",
        ],
    );
}

#[test]
fn colors_for_a_gray_network_are_told() {
    let cli = photos();
    let warnings = |text: String| {
        let experiment = graph::build(&Source::new("x.toml".to_owned(), text));
        let store = Store::open_read_only(cli.path(".repro")).unwrap();
        let inputs = inputs::open(&experiment.ok().unwrap(), &cli.path(""), &store, &|_| {});
        inputs.unwrap().warnings()
    };
    assert_eq!(warnings(EXPERIMENT.to_owned()), []);
    let gray = warnings(EXPERIMENT.replace("in_channels = 3", "in_channels = 1"));
    assert_eq!(gray.len(), 1, "{gray:?}");
    assert_eq!(gray[0].code, "data::colors-dropped");
    assert!(
        gray[0]
            .message
            .starts_with("dataset `d`: its images have colors, and model `m`"),
        "{gray:?}"
    );
    cli.write("photos/train/cat/x.heic", "x");
    let left_out = warnings(EXPERIMENT.to_owned());
    assert!(
        left_out[0].message.starts_with("dataset `d`: 1 file of "),
        "{left_out:?}"
    );
}

#[cfg(feature = "torch")]
mod runs {
    use super::*;

    #[test]
    fn bad_images_that_are_left_out_are_named_without_the_key_that_is_set() {
        let cli = photos();
        cli.write("x.toml", EXPERIMENT);
        cli.write("photos/train/cat/0.png", "x");
        let output = cli.run(&["run", "x.toml"]).expect_code(0);
        let output = output.expect_in_stderr(&["train/cat/0.png"]);
        let mut skipped = output
            .stderr
            .lines()
            .filter(|line| line.contains("skipped"));
        assert!(
            skipped.all(|line| !line.contains("on_bad_image")),
            "{output}"
        );
    }

    #[test]
    fn a_split_of_bad_images_alone_is_told() {
        let cli = photos();
        cli.write("x.toml", EXPERIMENT);
        for image in ["cat/0", "cat/1", "dog/0", "dog/1"] {
            cli.write(&format!("photos/test/{image}.png"), "x");
        }
        let output = cli.run(&["run", "x.toml"]).expect_code(1);
        output.expect_in_stderr(&[
            "no image of split `test` decodes",
            "hint: `repro data check`",
        ]);
    }
}
