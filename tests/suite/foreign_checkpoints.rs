//! Files of weights as other people save them: with a prefix before each name, in 64 bits, an optimizer's, of another network, and what
//! is not a checkpoint at all. All of it is told before anything is computed.

use std::fs;

use repro::models::checkpoint::stored_tensors::StoredTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::fixture::{CliTest, Output, nano_weights, root};

const MISSING_INPUT: i32 = 3;

/// The golden weights of `adm-nano`, each tensor renamed, in one of two types, several times over.
/// Gives a tensor, by its number and its name, the name that it has in the file.
type Rename<'a> = &'a dyn Fn(usize, &str) -> String;

fn checkpoint(cli: &CliTest, name: &str, dtype: Dtype, rename: &[Rename<'_>]) {
    let golden = StoredTensors::open(nano_weights()).unwrap();
    let mut tensors = Vec::new();
    for rename in rename {
        for (number, (name, _, shape)) in golden.descriptions().enumerate() {
            let stored = golden.get(name).unwrap();
            let bytes: Vec<u8> = match dtype {
                Dtype::F64 => {
                    let values = stored.bytes.as_chunks::<4>().0.iter();
                    let values = values.map(|bytes| f64::from(f32::from_le_bytes(*bytes)));
                    values.flat_map(f64::to_le_bytes).collect()
                }
                _ => stored.bytes.to_vec(),
            };
            tensors.push((rename(number, name), shape.to_vec(), bytes));
        }
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(dtype, shape.clone(), bytes).unwrap();
        (name, view)
    });
    cli.write(name, safetensors::serialize(views, None).unwrap());
}

fn prefixed(prefix: &str) -> impl Fn(usize, &str) -> String {
    move |_, name| format!("{prefix}{name}")
}

/// An experiment with one model for each of some lines of `weights`, and maybe more keys.
fn experiment(models: &[&str]) -> String {
    let mut text = String::from(
        "[experiment]\nname = \"x\"\n[dataset.fashion]\nkind = \"fashion-mnist\"\nroot = \"fashion\"\n",
    );
    for (number, keys) in models.iter().enumerate() {
        text.extend([
            format!("[model.m{number}]\nkind = \"guided-diffusion\"\npreset = \"adm-nano\"\n{keys}\n"),
            format!(
                "[extraction.e{number}]\nmodel = \"m{number}\"\ndataset = \"fashion\"\ntimestep = 10\nblock = 1\n"
            ),
        ]);
    }
    text
}

fn with_experiment(models: &[&str]) -> CliTest {
    let cli = CliTest::with_fashion(12, 6);
    cli.write("x.toml", experiment(models));
    cli
}

/// `plan` and `run` say the same, in few lines, and compute nothing.
#[track_caller]
fn expect_refused(cli: &CliTest, texts: &[&str]) -> Output {
    let mut last = None;
    for command in ["plan", "run"] {
        let output = cli.run(&[command, "x.toml"]).expect_code(MISSING_INPUT);
        let output = output.expect_in_stderr(texts);
        // Three groups of ten names at most, with a line above and one below each.
        assert!(output.stderr.lines().count() < 40, "{output}");
        assert!(
            cli.files(".repro/artifacts").is_empty(),
            "nothing is computed"
        );
        last = Some(output);
    }
    last.unwrap()
}

fn inspected(cli: &CliTest, file: &str) -> String {
    let output = cli.run(&["models", "inspect", file]).expect_code(0);
    output.stdout.lines().nth(2).unwrap().to_owned()
}

#[test]
fn a_prefix_before_all_names_is_told_in_one_line() {
    let cli = with_experiment(&["weights = \"net.safetensors\""]);
    for prefix in [
        "module.",
        "model.",
        "state_dict.",
        "ema.",
        "teacher.backbone.",
        "_orig_mod.",
    ] {
        checkpoint(&cli, "net.safetensors", Dtype::F32, &[&prefixed(prefix)]);
        let output = expect_refused(
            &cli,
            &[
                &format!("the names of the tensors begin with `{prefix}`"),
                &format!("hint: write `prefix = \"{prefix}\"` in the model"),
            ],
        );
        assert!(!output.stderr.contains("missing"), "{output}");
        let says = inspected(&cli, "net.safetensors");
        assert_eq!(says, format!("fits adm-nano with prefix `{prefix}`"));
    }
}

#[test]
fn numbers_of_64_bits_are_told_with_the_command_that_mends_them() {
    let cli = with_experiment(&["weights = \"net.safetensors\""]);
    checkpoint(&cli, "net.safetensors", Dtype::F64, &[&prefixed("")]);
    let output = expect_refused(
        &cli,
        &[
            "its numbers are f64",
            "`repro models convert ./net.safetensors OUT.safetensors --dtype f32` writes a file that fits",
        ],
    );
    assert!(output.stderr.lines().count() < 6, "{output}");
    let says = inspected(&cli, "net.safetensors");
    assert!(
        says.starts_with("fits adm-nano; its numbers are f64"),
        "{says}"
    );
    let convert = [
        "models",
        "convert",
        "net.safetensors",
        "single.safetensors",
        "--dtype",
        "f32",
    ];
    cli.run(&convert).expect_code(0);
    assert_eq!(
        inspected(&cli, "single.safetensors"),
        "fits adm-nano by names and shapes (kind guided-diffusion)"
    );
}

#[test]
fn the_state_of_an_optimizer_is_told() {
    let cli = with_experiment(&["weights = \"optimizer.safetensors\""]);
    let state = |number: usize, _: &str| format!("state.{number}.exp_avg");
    checkpoint(&cli, "optimizer.safetensors", Dtype::F32, &[&state]);
    let output = expect_refused(
        &cli,
        &["it is the state of an optimizer", "hint: name the file"],
    );
    assert!(output.stderr.lines().count() < 6, "{output}");
    assert_eq!(
        inspected(&cli, "optimizer.safetensors"),
        "is the state of an optimizer, and not of a network"
    );
}

#[test]
fn weights_of_another_preset_are_told_with_its_name_and_few_tensors() {
    let cli = with_experiment(&["weights = \"net.safetensors\""]);
    let shipped = root().join("data/models/fashion-28.safetensors");
    fs::copy(shipped, cli.path("net.safetensors")).unwrap();
    let output = expect_refused(
        &cli,
        &[
            "does not fit the network",
            "missing:",
            "more",
            "hint: it fits `fashion-28`",
        ],
    );
    let listed = output
        .stderr
        .lines()
        .filter(|line| line.starts_with("    "));
    assert!(listed.count() <= 4 * 11, "{output}");
}

#[test]
fn what_is_not_a_checkpoint_is_told_in_one_line() {
    let cli = with_experiment(&["weights = \"net.pt\""]);
    for (content, says) in [
        (
            &b"<!DOCTYPE html><title>Sign in</title>"[..],
            "it is a web page",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "it is a pointer of Git LFS",
        ),
        (b"\x89PNG\r\n\x1a\n and so on", "it is a PNG image"),
        (b"7z\xbc\xaf\x27\x1c and so on", "it is a 7z archive"),
        (b"\x89HDF\r\n\x1a\n and so on", "it is an HDF5 file"),
    ] {
        cli.write("net.pt", content);
        let says = format!("weights of model `m0`: ./net.pt is not a checkpoint: {says}");
        let output = expect_refused(&cli, &[&says]);
        assert!(output.stderr.lines().count() < 5, "{output}");
    }
    fs::create_dir(cli.path("folder")).unwrap();
    let output = cli
        .run(&["models", "inspect", "folder"])
        .expect_code(MISSING_INPUT);
    output.expect_in_stderr(&["folder is not a checkpoint: it is a folder"]);
}

#[test]
fn the_weights_of_every_model_are_looked_at_before_the_first_pass_and_each_is_told_once() {
    let cli = with_experiment(&["weights = { synthetic = 5 }", "weights = \"page.pt\""]);
    cli.write("page.pt", "<!DOCTYPE html><title>Sign in</title>");
    // Four passes of the second model.
    let text = cli.read("x.toml");
    let (first, second) = text.split_once("[model.m1]").unwrap();
    let second = second.replace("timestep = 10", "timestep = [10, 20, 30, 40]");
    cli.write("x.toml", format!("{first}[model.m1]{second}"));
    let output = expect_refused(
        &cli,
        &["weights of model `m1`: ./page.pt is not a checkpoint"],
    );
    assert_eq!(output.stderr.matches("page.pt").count(), 1, "{output}");
}

#[test]
fn a_prefix_beside_weights_that_are_in_no_file_is_refused() {
    let cli = with_experiment(&["weights = { synthetic = 5 }\nprefix = \"module.\""]);
    let output = cli.run(&["check", "x.toml"]).expect_code(2);
    output.expect_in_stderr(&["graph::model-misfit", "`prefix` of"]);
}

#[cfg(feature = "torch")]
mod runs {
    use super::*;

    /// The one value of each feature set, by the model's name.
    fn digests(cli: &CliTest) -> Vec<(String, String)> {
        let rows = cli.query(
            "SELECT label, fingerprint FROM artifacts WHERE kind = 'features' ORDER BY label",
        );
        let text = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap().to_owned();
        let rows = rows.iter();
        rows.map(|row| (text(row, "label"), text(row, "fingerprint")))
            .collect()
    }

    #[test]
    fn a_declared_prefix_chooses_among_the_tensors_of_one_file() {
        let cli = with_experiment(&[
            "weights = \"plain.safetensors\"",
            "weights = \"two.safetensors\"\nprefix = \"model.\"",
            "weights = \"two.safetensors\"\nprefix = \"ema.\"",
        ]);
        checkpoint(&cli, "plain.safetensors", Dtype::F32, &[&prefixed("")]);
        // The tensors of `ema` are those of the file in its order, and so others of the same shapes have changed places.
        checkpoint(
            &cli,
            "two.safetensors",
            Dtype::F32,
            &[&prefixed("model."), &prefixed("ema.")],
        );
        let mut bytes = fs::read(cli.path("two.safetensors")).unwrap();
        let header = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
        let about: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
        let place = &about["ema.input_blocks.0.0.weight"]["data_offsets"][0];
        let place = 8 + header + usize::try_from(place.as_u64().unwrap()).unwrap();
        bytes[place..place + 4].copy_from_slice(&3f32.to_le_bytes());
        cli.write("two.safetensors", &bytes);
        cli.run(&["run", "x.toml"]).expect_code(0);
        let found = digests(&cli);
        assert_eq!(found.len(), 3, "{found:?}");
        let value = |fingerprint: &str| {
            let sql = format!(
                "SELECT feature FROM features_{} ORDER BY id",
                &fingerprint[..12]
            );
            cli.query(&sql)
        };
        let values: Vec<_> = found.iter().map(|(_, one)| value(one)).collect();
        assert_eq!(values[0], values[1], "the same weights under a prefix");
        assert_ne!(values[1], values[2], "other weights of the same file");
        // All of it is there the second time.
        let again = cli.run(&["run", "x.toml"]).expect_code(0);
        again.expect_in_stderr(&["nothing to do"]);
    }
}
