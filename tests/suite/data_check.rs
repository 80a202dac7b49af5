//! `repro data check`, `stats` and `counts` on small datasets: what they find, and what they report of what is not there.

use std::fs;

use crate::fixture::CliTest;

/// A folder of images with a duplicate across the splits, one within a split under two classes, and one that does not decode.
fn odd() -> CliTest {
    let cli = CliTest::new();
    let image = |shade: u8, name: &str| {
        let path = cli.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let color = image::Rgb([shade, shade, 255]);
        image::RgbImage::from_pixel(4, 6, color).save(path).unwrap();
    };
    image(1, "odd/train/cat/1.png");
    image(2, "odd/train/cat/2.png");
    image(2, "odd/train/dog/2.png");
    image(1, "odd/test/cat/again.png");
    image(3, "odd/test/dog/3.png");
    cli.write("odd/test/dog/broken.jpg", "no image");
    cli.write(
        "odd.toml",
        "[dataset.odd]\nkind = 'image-folder'\nroot = 'odd'\n[dataset.few]\nkind = 'subset'\nof = 'odd'\nlimit = { test = 1 }\n[dataset.gone]\nkind = 'cub'\nroot = 'nowhere'\n",
    );
    cli
}

#[test]
fn duplicates_and_broken_images_are_found() {
    let cli = odd();
    let output = cli
        .run(&["data", "check", "odd.toml", "odd"])
        .expect_code(3);
    for text in [
        "odd: image-folder in odd",
        "| train |       3 |       2 | 1 of dog       |      1 | 2 of cat      |",
        "Table 5 of the paper has no such dataset",
        "images: 1 of 6 do not decode",
        "test/dog/broken.jpg",
        "duplicates: 2 images more than once, 1 of them in more than one split, 1 in more than one class",
        "warning: an image is in the split for training and in another",
        "train/cat/1.png (train) = test/cat/again.png (test)",
    ] {
        assert!(output.stdout.contains(text), "{text}\n{}", output.stdout);
    }
    output.expect_in_stderr(&["1 image does not decode"]);
    let json = cli
        .run(&[
            "data",
            "check",
            "--kind",
            "image-folder",
            "--root",
            "odd",
            "--json",
        ])
        .expect_code(3)
        .json();
    assert_eq!(json[0]["unreadable"][0]["sample"], "test/dog/broken.jpg");
    assert_eq!(json[0]["duplicates"][0]["across_splits"], true);
    assert_eq!(json[0]["splits"][1]["samples"], 3);
    // Without decoding there is nothing that fails; both commands name the same dataset.
    let quick = cli.run(&["data", "check", "odd.toml", "odd", "--quick", "--json"]);
    let quick = quick.expect_code(0).json();
    assert_eq!(quick[0]["manifest"], json[0]["manifest"]);
    assert!(quick[0]["decoded"].is_null());
}

#[test]
fn what_is_not_there_stops_nothing_else() {
    let cli = odd();
    let output = cli
        .run(&["data", "check", "odd.toml", "--quick"])
        .expect_code(3);
    for text in [
        "few: subset",
        "gone: cub in nowhere\ncannot be opened: ",
        "images.txt is missing",
    ] {
        assert!(output.stdout.contains(text), "{text}\n{}", output.stdout);
    }
    output.expect_in_stderr(&["1 dataset cannot be opened"]);
    cli.run(&["data", "check", "odd.toml", "ood"])
        .expect_code(2)
        .expect_in_stderr(&["odd.toml has no dataset `ood`", "did you mean `odd`?"]);
    cli.run(&["data", "check", "--kind", "cubs", "--root", "x"])
        .expect_code(2)
        .expect_in_stderr(&["did you mean `cub`?"]);
}

#[test]
fn images_are_described() {
    let cli = odd();
    let output = cli
        .run(&["data", "stats", "odd.toml", "odd"])
        .expect_code(0);
    for text in [
        "odd: 6 of 6 images looked at",
        "1 image does not decode and is left out",
        "formats: 5 PNG",
        "gray: 0 of 5",
        "| blue    | 1.0000 |             0.0000 |",
    ] {
        assert!(output.stdout.contains(text), "{text}\n{}", output.stdout);
    }
    let json = cli.run(&["data", "stats", "odd.toml", "odd", "--limit", "2", "--json"]);
    let json = json.expect_code(0).json();
    assert_eq!(json[0]["images"], 2);
    assert_eq!(json[0]["width"]["median"], 4);
    assert_eq!(json[0]["height"]["largest"], 6);
}

#[test]
fn counts_need_no_images_and_stand_beside_the_paper() {
    let cli = odd();
    let root = "cub";
    for (name, text) in [
        ("images.txt", "1 a/1.jpg\n2 a/2.jpg\n"),
        ("image_class_labels.txt", "1 1\n2 1\n"),
        ("train_test_split.txt", "1 1\n2 0\n"),
        ("classes.txt", "1 a\n"),
        ("images/a/2.jpg", "not looked at"),
    ] {
        cli.write(&format!("{root}/{name}"), text);
    }
    let datasets = fs::read_to_string(cli.path("odd.toml")).unwrap();
    cli.write(
        "odd.toml",
        format!("{datasets}[dataset.birds]\nkind = 'cub'\nroot = '{root}'\n"),
    );
    let output = cli.run(&["data", "counts", "odd.toml"]).expect_code(0);
    for text in [
        "| odd | `image-folder` | 2 / – | 3 / – | 3 / – | all are here | not in Table 5 |",
        "| gone | `cub` | – / 200 | – / 5,994 | – / 5,794 | – | not here |",
        "| birds | `cub` | 1 / 200 | 1 / 5,994 | 1 / 5,794 | 1 of 2 are here | differs from Table 5: 1 classes, not 200;",
        "- gone: ./nowhere/images.txt is missing; get ",
    ] {
        assert!(output.stdout.contains(text), "{text}\n{}", output.stdout);
    }
    cli.write(&format!("{root}/classes.txt"), "1\n");
    cli.run(&["data", "counts", "odd.toml"])
        .expect_code(3)
        .expect_in_stderr(&["dataset `birds`: ", "classes.txt is malformed: line 1"]);
}
