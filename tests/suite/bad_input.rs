//! Inputs that are missing, damaged or of the wrong kind: an exit code, the file's name and a remedy, never a panic.

use std::fs;
#[cfg(feature = "torch")]
use std::path::Path;

use crate::fixture::{CliTest, Output, gzip};

const EXPERIMENT: &str = r#"
[experiment]
name = "bad-input"

[dataset.data]
kind = "fashion-mnist"
root = "fashion"

[model.unet]
kind    = "guided-diffusion"
preset  = "adm-nano"
weights = { synthetic = 2 }

[extraction.taps]
model    = "unet"
dataset  = "data"
timestep = 90
block    = 1

[head.probe]
kind     = "linear"
features = "taps"
epochs   = 1
"#;

const MISSING_INPUT: i32 = 3;
const CACHE_PROBLEM: i32 = 4;

fn experiment() -> CliTest {
    let cli = CliTest::with_fashion(12, 6);
    cli.write("bad.toml", EXPERIMENT);
    cli
}

/// `plan` and `run` fail alike, and neither by a panic.
#[track_caller]
fn expect_input_error(cli: &CliTest, texts: &[&str]) {
    for command in ["plan", "run"] {
        let output = cli.run(&[command, "bad.toml"]);
        if command == "run" && !cfg!(feature = "torch") {
            continue;
        }
        expect_no_panic(&output);
        output.expect_code(MISSING_INPUT).expect_in_stderr(texts);
    }
}

#[track_caller]
fn expect_no_panic(output: &Output) {
    assert!(!output.stderr.contains("panicked"), "{output}");
    assert!(!output.stderr.contains("internal error"), "{output}");
}

#[test]
fn a_truncated_file_is_named() {
    let cli = experiment();
    let path = cli.path("fashion/train-images-idx3-ubyte.gz");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    expect_input_error(
        &cli,
        &[
            "dataset `data`",
            "fashion/train-images-idx3-ubyte.gz",
            "damaged or cut off",
            "hint: download the file again",
        ],
    );
}

#[test]
fn a_file_that_is_something_else_is_named() {
    let cli = experiment();
    cli.write(
        "fashion/t10k-labels-idx1-ubyte.gz",
        gzip(b"<html>404</html>"),
    );
    expect_input_error(
        &cli,
        &[
            "fashion/t10k-labels-idx1-ubyte.gz",
            "3c 68 74 6d",
            "IDX magic",
            "hint: ",
        ],
    );
    cli.write("fashion/t10k-labels-idx1-ubyte.gz", "not even compressed");
    expect_input_error(&cli, &["fashion/t10k-labels-idx1-ubyte.gz", "hint: "]);
}

#[test]
fn labels_that_do_not_match_the_images_are_counted() {
    let cli = experiment();
    let other = CliTest::with_fashion(11, 6);
    let name = "fashion/train-labels-idx1-ubyte.gz";
    fs::copy(other.path(name), cli.path(name)).unwrap();
    expect_input_error(&cli, &[name, "11 labels", "12 images", "hint: "]);
}

#[test]
fn a_missing_folder_is_named() {
    let cli = experiment();
    fs::rename(cli.path("fashion"), cli.path("elsewhere")).unwrap();
    expect_input_error(
        &cli,
        &[
            "fashion/train-images-idx3-ubyte.gz is missing",
            "hint: `root` must be the folder",
        ],
    );
}

#[test]
fn a_folder_without_images_is_named() {
    let cli = experiment();
    cli.write(
        "bad.toml",
        EXPERIMENT
            .replace("fashion-mnist", "image-folder")
            .replace("\"fashion\"", "\"photos\""),
    );
    expect_input_error(&cli, &["photos", "hint: "]);
    fs::create_dir_all(cli.path("photos/cats")).unwrap();
    expect_input_error(
        &cli,
        &[
            "photos",
            "no class folder with images, only `cats`",
            "ROOT/train/CLASS/FILE",
        ],
    );
}

#[test]
fn a_split_that_is_not_there_is_named() {
    let cli = experiment();
    cli.write("bad.toml", format!("{EXPERIMENT}test = \"val\"\n"));
    let output = cli.run(&["plan", "bad.toml"]);
    expect_no_panic(&output);
    output.expect_code(2).expect_in_stderr(&[
        "head `probe`",
        "`val`",
        "`train`",
        "`test`",
        "help: ",
    ]);
}

#[test]
fn missing_weights_are_named() {
    let cli = experiment();
    cli.write(
        "bad.toml",
        EXPERIMENT.replace("{ synthetic = 2 }", "\"nets/none.safetensors\""),
    );
    // They can be planned for all the same.
    let plan = cli.run(&["plan", "bad.toml"]).expect_code(0);
    assert!(plan.stdout.contains("weights of model `unet`"), "{plan}");
    if cfg!(feature = "torch") {
        let run = cli.run(&["run", "bad.toml"]);
        expect_no_panic(&run);
        let texts = ["weights of model `unet`", "nets/none.safetensors", "hint: "];
        run.expect_code(MISSING_INPUT).expect_in_stderr(&texts);
    }
}

#[test]
fn a_cache_that_cannot_be_made_is_named() {
    let cli = experiment();
    cli.write("file", "");
    for command in ["plan", "run"] {
        if command == "run" && !cfg!(feature = "torch") {
            continue;
        }
        let output = cli.run(&[command, "bad.toml", "--cache", "file/cache"]);
        expect_no_panic(&output);
        // Planning against a cache that is not there is not an error: there is nothing in it.
        if command == "run" {
            output
                .expect_code(CACHE_PROBLEM)
                .expect_in_stderr(&["file"]);
        }
    }
}

#[test]
fn a_cache_of_a_newer_format_is_left_alone() {
    let cli = experiment();
    drop(repro::store::Store::open(cli.path("fresh")).unwrap());
    let format = repro::store::STORE_FORMAT;
    let newer = cli
        .read("fresh/FORMAT")
        .replace(&format.to_string(), &(format + 1).to_string());
    assert_ne!(cli.read("fresh/FORMAT"), newer);
    cli.write(".repro/FORMAT", newer);
    for arguments in [
        &["plan", "bad.toml"][..],
        &["run", "bad.toml"],
        &["list", "artifacts"],
        &["query", "SELECT * FROM results"],
    ] {
        if arguments[0] == "run" && !cfg!(feature = "torch") {
            continue;
        }
        let output = cli.run(arguments);
        expect_no_panic(&output);
        output
            .expect_code(CACHE_PROBLEM)
            .expect_in_stderr(&["FORMAT", "format"]);
    }
    let files: Vec<String> = cli.files(".repro").into_keys().collect();
    assert_eq!(
        files,
        ["FORMAT"],
        "nothing is written to a cache of another format"
    );
}

#[cfg(feature = "torch")]
mod weights {
    use super::*;
    use crate::hollow::whole;
    use safetensors::tensor::{SafeTensors, TensorView};

    /// A golden checkpoint, with some tensors renamed or cut.
    fn write_changed(path: &Path, change: impl Fn(&str, &mut Vec<usize>) -> Option<String>) {
        let bytes = fs::read(crate::fixture::nano_weights()).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let changed = tensors.tensors().into_iter().filter_map(|(name, view)| {
            let mut shape = view.shape().to_vec();
            let name = change(&name, &mut shape)?;
            let length = shape.iter().product::<usize>() * 4;
            Some((
                name,
                TensorView::new(view.dtype(), shape, &view.data()[..length]).unwrap(),
            ))
        });
        fs::write(
            path,
            safetensors::serialize(changed.collect::<Vec<_>>(), None).unwrap(),
        )
        .unwrap();
    }

    fn with_weights() -> CliTest {
        let cli = experiment();
        cli.write(
            "bad.toml",
            EXPERIMENT.replace("{ synthetic = 2 }", "\"net.safetensors\""),
        );
        cli
    }

    #[track_caller]
    fn expect_failure(cli: &CliTest, texts: &[&str]) {
        let output = cli.run(&["run", "bad.toml"]);
        expect_no_panic(&output);
        assert!(matches!(output.code, Some(1 | MISSING_INPUT)), "{output}");
        output.expect_in_stderr(texts);
    }

    #[test]
    fn the_golden_checkpoint_itself_fits() {
        let cli = with_weights();
        write_changed(&cli.path("net.safetensors"), |name, _| {
            Some(name.to_owned())
        });
        cli.run(&["run", "bad.toml"]).expect_code(0);
    }

    #[test]
    fn checkpoints_of_pytorch_fit_and_give_the_same_results() {
        let mut scores = Vec::new();
        for (name, file) in [
            ("net.safetensors", crate::fixture::nano_weights().to_owned()),
            ("net.pt", whole("guided_diffusion", "adm-nano.zip.pt")),
            // What a file is called does not matter.
            ("net.ckpt", whole("guided_diffusion", "adm-nano.legacy.pt")),
        ] {
            let cli = with_weights();
            let text = cli.read("bad.toml").replace("net.safetensors", name);
            cli.write(
                "bad.toml",
                text + "[metric.top]\nkind = \"accuracy\"\nof = \"probe\"\n",
            );
            fs::copy(file, cli.path(name)).unwrap();
            cli.run(&["run", "bad.toml"]).expect_code(0);
            scores.push(cli.query("SELECT id, predicted, rank FROM predictions ORDER BY id"));
        }
        assert!(!scores[0].is_empty());
        assert!(scores.iter().all(|score| *score == scores[0]), "{scores:?}");
    }

    #[test]
    fn a_hostile_checkpoint_is_refused_by_name() {
        let cli = with_weights();
        let hostile = crate::fixture::root().join("tests/hostile_pickles/global-os-system.pt");
        fs::copy(hostile, cli.path("net.safetensors")).unwrap();
        expect_failure(
            &cli,
            &["net.safetensors is refused", "`os.system`", "data.pkl"],
        );
    }

    #[test]
    fn all_missing_and_unused_names_are_listed() {
        let cli = with_weights();
        write_changed(&cli.path("net.safetensors"), |name, _| match name {
            "out.2.bias" => None,
            "time_embed.0.weight" => Some("time_embedding.0.weight".to_owned()),
            name => Some(name.to_owned()),
        });
        let texts = [
            "net.safetensors does not fit",
            "2 missing",
            "`out.2.bias`",
            "`time_embed.0.weight`",
            "1 unused",
            "`time_embedding.0.weight`",
        ];
        expect_failure(&cli, &texts);
    }

    #[test]
    fn a_wrong_shape_is_listed() {
        let cli = with_weights();
        write_changed(&cli.path("net.safetensors"), |name, shape| {
            if name == "time_embed.0.bias" {
                shape[0] -= 1;
            }
            Some(name.to_owned())
        });
        expect_failure(
            &cli,
            &[
                "net.safetensors does not fit",
                "1 of another shape",
                "`time_embed.0.bias` is [127], the network needs [128]",
            ],
        );
    }

    #[test]
    fn a_truncated_checkpoint_is_named() {
        let cli = with_weights();
        let path = cli.path("net.safetensors");
        write_changed(&path, |name, _| Some(name.to_owned()));
        let bytes = fs::read(&path).unwrap();
        for length in [0, 4, 100, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            expect_failure(&cli, &["net.safetensors"]);
        }
        fs::write(&path, "PK\u{3}\u{4} a pickle in a zip").unwrap();
        expect_failure(&cli, &["net.safetensors"]);
    }
}
