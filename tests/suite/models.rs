//! `repro models`: what it reports of checkpoints, and what it makes of them.

use std::fs;
use std::path::Path;

use repro::models::checkpoint::stored_tensors::{Container, StoredTensors};
use serde_json::json;

use crate::fixture::{CliTest, nano_weights, root, with_snapshots};
use crate::hollow::whole;

const MISTAKE: i32 = 2;
const MALFORMED_INPUT: i32 = 3;

/// A folder with a checkpoint, called as asked; one of `tests/golden` by its path from there.
fn with_golden(golden: impl AsRef<Path>, name: &str) -> CliTest {
    let cli = CliTest::new();
    let golden = root().join("tests/golden").join(golden);
    cli.write(name, fs::read(golden).unwrap());
    cli
}

fn header(bytes: &[u8]) -> serde_json::Value {
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    assert_eq!(length % 8, 0, "the data are aligned");
    serde_json::from_slice(&bytes[8..8 + length]).unwrap()
}

#[test]
fn inspect_says_what_the_snapshots_say() {
    let cli = with_golden(whole("guided_diffusion", "adm-nano.zip.pt"), "nano.bin");
    cli.write(
        "nested.pt",
        fs::read(root().join("tests/golden/checkpoints/read-nested.pt")).unwrap(),
    );
    let nano = cli.run(&["models", "inspect", "nano.bin"]).expect_code(0);
    let nested = cli.run(&["models", "inspect", "nested.pt"]).expect_code(0);
    let record = cli
        .run(&["models", "inspect", "nested.pt", "--json"])
        .expect_code(0);
    assert!(
        !nested.stdout.contains('\u{1b}'),
        "nothing of a file steers the terminal"
    );
    with_snapshots(&cli, || {
        insta::assert_snapshot!("models-inspect-nano", nano.stdout);
        insta::assert_snapshot!("models-inspect-nested", nested.stdout);
        insta::assert_snapshot!("models-inspect-nested-json", record.stdout);
    });
}

#[test]
fn inspect_names_what_it_cannot_read() {
    let cli = CliTest::new();
    cli.write("page.pt", "<!DOCTYPE html><title>404</title>");
    cli.write("empty.pt", "");
    let hostile = fs::read(root().join("tests/hostile_pickles/stack-global-builtins-eval.pt"));
    cli.write("hostile.pt", hostile.unwrap());
    for (file, texts) in [
        ("none.pt", &["none.pt cannot be read", "check the path"][..]),
        ("page.pt", &["page.pt is not a checkpoint", "web page"]),
        ("empty.pt", &["empty.pt is empty", "download"]),
        (
            "hostile.pt",
            &[
                "hostile.pt is refused",
                "`builtins.eval`",
                "STACK_GLOBAL at byte 24",
                "state_dict()",
            ],
        ),
    ] {
        for arguments in [
            &["models", "inspect", file][..],
            &["models", "convert", file, "out"],
        ] {
            let output = cli.run(arguments).expect_code(MALFORMED_INPUT);
            assert_eq!(output.stdout, "");
            output.expect_in_stderr(texts);
        }
    }
    assert!(!cli.path("out").exists());
}

#[test]
fn convert_writes_the_same_tensors_in_the_same_bytes() {
    let cli = with_golden(whole("guided_diffusion", "adm-nano.legacy.pt"), "nano.pt");
    let output = cli
        .run(&["models", "convert", "nano.pt", "nano.safetensors"])
        .expect_code(0);
    assert_eq!(output.stdout, "");
    output.expect_in_stderr(&["nano.safetensors: 88 tensors"]);
    let (golden, written) = (
        StoredTensors::open(nano_weights()).unwrap(),
        StoredTensors::open(&cli.path("nano.safetensors")).unwrap(),
    );
    assert_eq!(written.container(), Container::Safetensors);
    assert!(written.descriptions().eq(golden.descriptions()));
    for name in golden.names() {
        assert_eq!(
            written.get(name).unwrap().bytes,
            golden.get(name).unwrap().bytes,
            "{name}"
        );
    }

    let bytes = fs::read(cli.path("nano.safetensors")).unwrap();
    // Other readers read it too.
    assert_eq!(
        safetensors::SafeTensors::deserialize(&bytes).unwrap().len(),
        88
    );
    let digest = blake3::hash(&fs::read(cli.path("nano.pt")).unwrap()).to_hex();
    let metadata = json!({ "format": "pt", "source": "nano.pt", "source_blake3": digest.as_str() });
    assert_eq!(header(&bytes)["__metadata__"], metadata);

    cli.write("elsewhere/nano.pt", fs::read(cli.path("nano.pt")).unwrap());
    cli.run(&[
        "models",
        "convert",
        "elsewhere/nano.pt",
        "again.safetensors",
    ])
    .expect_code(0);
    assert_eq!(fs::read(cli.path("again.safetensors")).unwrap(), bytes);
    let mode = fs::metadata(cli.path("nano.pt")).unwrap().permissions();
    assert_eq!(
        fs::metadata(cli.path("nano.safetensors"))
            .unwrap()
            .permissions(),
        mode
    );
}

#[test]
fn convert_changes_numbers_where_it_is_asked_to() {
    let cli = with_golden("checkpoints/read-types.pt", "types.pt");
    for (dtype, expected) in [("f32", "F32"), ("f16", "F16"), ("bf16", "BF16")] {
        let output = cli.run(&["models", "convert", "types.pt", dtype, "--dtype", dtype]);
        output.expect_code(0);
        let written = StoredTensors::open(&cli.path(dtype)).unwrap();
        for name in ["f64", "f32", "f16", "bf16", "scalar", "empty"] {
            assert_eq!(
                written.get(name).unwrap().dtype.to_string(),
                expected,
                "{name}"
            );
        }
        for name in ["i64", "i32", "i16", "i8", "u8", "bool"] {
            assert_eq!(
                written.get(name).unwrap().dtype.to_string(),
                name.to_uppercase()
            );
        }
        // 3.5, 2.5, 1.5, 0.5, 0.5, 1.5 are exact in every type, so every way leads to the same numbers.
        let [double, half] =
            ["f64", "f16"].map(|name| written.get(name).unwrap().bytes.into_owned());
        assert_eq!(double, half);
    }
    cli.run(&["models", "convert", "types.pt", "x", "--dtype", "f8"])
        .expect_code(MISTAKE)
        .expect_in_stderr(&["f8", "bf16"]);
}

#[test]
fn convert_tells_what_it_leaves_out() {
    let cli = with_golden("checkpoints/read-nested.pt", "nested.pt");
    let output = cli
        .run(&["models", "convert", "nested.pt", "nested.safetensors"])
        .expect_code(0);
    let output = output.expect_in_stderr(&["left out: epoch, the integer 12", r"`net\u{1b}[2J`"]);
    assert!(!output.stderr.contains('\u{1b}'), "{output}");
    let written = StoredTensors::open(&cli.path("nested.safetensors")).unwrap();
    assert!(written.get("state_dict.1.running_mean").is_some());
}

#[test]
fn convert_replaces_nothing_unless_it_is_told_to() {
    let cli = with_golden(whole("guided_diffusion", "adm-nano.zip.pt"), "nano.pt");
    cli.write("there.safetensors", "precious");
    let convert = ["models", "convert", "nano.pt", "there.safetensors"];
    cli.run(&convert)
        .expect_code(MISTAKE)
        .expect_in_stderr(&["there.safetensors is there already", "--force"]);
    assert_eq!(cli.read("there.safetensors"), "precious");
    cli.run(&[&convert[..], &["--force"]].concat())
        .expect_code(0);
    assert!(StoredTensors::open(&cli.path("there.safetensors")).is_ok());

    std::os::unix::fs::symlink("nano.pt", cli.path("link.safetensors")).unwrap();
    for target in ["nano.pt", "./nano.pt", "link.safetensors"] {
        let output = cli.run(&["models", "convert", "nano.pt", target, "--force"]);
        output
            .expect_code(MISTAKE)
            .expect_in_stderr(&["while it is read"]);
    }
    let output = cli.run(&["models", "convert", "nano.pt", "no-folder/out.safetensors"]);
    output
        .expect_code(MALFORMED_INPUT)
        .expect_in_stderr(&["no-folder/out.safetensors cannot be written"]);
    let files: Vec<String> = cli.files(".").into_keys().collect();
    assert_eq!(
        files,
        ["link.safetensors", "nano.pt", "there.safetensors"],
        "nothing is left behind"
    );
}

#[test]
fn what_was_converted_can_be_converted_again() {
    let cli = with_golden("checkpoints/read-views-legacy.pt", "views.pt");
    cli.run(&["models", "convert", "views.pt", "a.safetensors"])
        .expect_code(0);
    cli.run(&["models", "convert", "a.safetensors", "b.safetensors"])
        .expect_code(0);
    let content = |name: &str| {
        let tensors = StoredTensors::open(Path::new(&cli.path(name))).unwrap();
        let names: Vec<String> = tensors.names().map(str::to_owned).collect();
        let bytes = |name: &String| tensors.get(name).unwrap().bytes.into_owned();
        names
            .iter()
            .map(|name| (name.clone(), bytes(name)))
            .collect::<Vec<_>>()
    };
    assert_eq!(content("a.safetensors"), content("b.safetensors"));
    assert_eq!(content("a.safetensors"), content("views.pt"));
}
