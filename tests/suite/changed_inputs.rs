//! Inputs that are damaged or that change between planning and use: nothing is computed from them, and they are named.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use repro::store::ArtifactKind;

use crate::fixture::{CliTest, Output, finish, gzip, nano_weights, tar};
use crate::interruption::signal;
use crate::small::{parts, run};

/// A network that is trained in a moment, and what is made of it. `TIMESTEPS` is put in by [`tiny`].
const TINY: &str = r#"
[experiment]
name = "tiny"

[dataset.fashion]
kind = "fashion-mnist"
root = "fashion"

[model.unet]
kind                  = "guided-diffusion"
weights               = { pretrain = "ddpm" }
image_size            = 8
in_channels           = 1
model_channels        = 32
num_res_blocks        = 1
channel_mult          = [1]
attention_resolutions = []
num_heads             = 1
learn_sigma           = true

[pretrain.ddpm]
dataset    = "fashion"
steps      = 3
batch_size = 2
optimizer  = { kind = "adamw", lr = 1e-2 }
average    = 0.5

[samples.few]
model = "unet"
count = COUNT
steps = 2

[extraction.taps]
model    = "unet"
dataset  = "fashion"
timestep = TIMESTEPS
block    = [1, 2]

[head.probe]
kind     = "linear"
features = "taps"
epochs   = 2

[metric.accuracy]
kind = "accuracy"
of   = "probe"
"#;

/// The experiment with these timesteps, and so many samples.
pub fn tiny(timesteps: &str, count: u32) -> String {
    TINY.replace("TIMESTEPS", timesteps)
        .replace("COUNT", &count.to_string())
}

/// The path of the first file with this ending under a kind of artifact, from the folder of the test.
fn file_of(cli: &CliTest, cache: &str, kind: ArtifactKind, ending: &str) -> String {
    let folder = format!("{cache}/artifacts/{}", kind.name());
    let mut files = cli.files(&folder).into_keys();
    let file = files.find(|path| path.ends_with(ending)).unwrap();
    format!("{folder}/{file}")
}

/// All that two caches hold must be the same, but for when it was made.
#[track_caller]
fn expect_equal(cli: &CliTest, found: &str, expected: &str) {
    let artifacts = |cache: &str| {
        let mut files = cli.files(&format!("{cache}/artifacts"));
        files.retain(|path, _| !path.ends_with("manifest.json"));
        files
    };
    let (found, expected) = (artifacts(found), artifacts(expected));
    assert!(found.keys().eq(expected.keys()), "other files");
    for (path, bytes) in &expected {
        assert!(bytes == &found[path], "{path} differs");
    }
}

#[test]
fn damaged_weights_of_a_training_are_trained_again_and_what_was_made_of_them_is_found() {
    for place in ["header", "data"] {
        let cli = CliTest::with_fashion(12, 8);
        cli.write("tiny.toml", tiny("10", 3));
        run(&cli, "tiny.toml");
        let weights = file_of(&cli, ".repro", ArtifactKind::Pretraining, ".safetensors");
        let mut bytes = fs::read(cli.path(&weights)).unwrap();
        let header = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
        // The sign of a number, or a letter of a name.
        let (at, bit) = if place == "data" {
            (8 + header + 3, 0x80)
        } else {
            (20, 1)
        };
        bytes[at] ^= bit;
        fs::write(cli.path(&weights), &bytes).unwrap();

        // All that was made of the network: samples, two sets of features, two heads, a table.
        let verified = cli.run(&["cache", "verify"]).expect_code(4);
        let derived = |output: &Output| {
            let lines = output.stdout.lines();
            lines
                .filter(|line| line.contains(" was made from "))
                .count()
        };
        assert!(verified.stdout.contains(&weights), "{verified}");
        assert_eq!(derived(&verified), 6, "{verified}");

        cli.write("tiny.toml", tiny("[10, 200]", 4));
        let output = run(&cli, "tiny.toml");
        output.expect_in_stderr(&[
            "set aside",
            "does not have the digest",
            "6 artifacts made from it",
        ]);
        // Those from before are still suspect, and the new ones are not, but for the table of all heads.
        let verified = cli.run(&["cache", "verify"]).expect_code(4);
        assert_eq!(derived(&verified), 7, "{verified}");
        assert!(!verified.stdout.contains("digest"), "{verified}");
        cli.run(&["cache", "verify", "--set-aside"]).expect_code(0);
        run(&cli, "tiny.toml");
        cli.run(&["cache", "verify"]).expect_code(0);

        cli.run(&["run", "tiny.toml", "--device", "cpu", "--cache", "clean"])
            .expect_code(0);
        expect_equal(&cli, ".repro", "clean");
    }
}

#[test]
fn what_a_cache_of_an_older_release_set_aside_is_followed() {
    let cli = CliTest::with_fashion(12, 8);
    cli.write("tiny.toml", tiny("10", 3));
    run(&cli, "tiny.toml");
    let weights = file_of(&cli, ".repro", ArtifactKind::Pretraining, ".safetensors");
    fs::write(cli.path(&weights), b"damaged").unwrap();
    cli.run(&["cache", "verify", "--set-aside"]).expect_code(0);
    let features = cli.files(".repro/artifacts/features");
    assert!(features.is_empty(), "{:?}", features.keys());
    let reasons = cli.files(".repro/quarantine").into_iter();
    let reasons = reasons.filter(|(path, _)| path.ends_with("reason.txt"));
    let derived =
        reasons.filter(|(_, text)| String::from_utf8_lossy(text).contains("was made from"));
    assert_eq!(derived.count(), 6);
}

/// Starts a run and stops it at its first pass, when all inputs were looked at and few were read; goes on after `change`.
fn changed_within_a_run(cli: &CliTest, file: &str, change: impl FnOnce()) -> Output {
    let log = cli.path("log.jsonl");
    let mut command = cli.command(&["run", file, "--device", "cpu", "--json-log", "log.jsonl"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    wait_for(&mut child, &log, "pass-started");
    signal(&child, "STOP");
    change();
    signal(&child, "CONT");
    let output = finish(child.wait_with_output().unwrap());
    fs::remove_file(log).unwrap();
    output
}

fn wait_for(child: &mut Child, log: &Path, event: &str) {
    let started = Instant::now();
    while !fs::read_to_string(log).is_ok_and(|text| text.contains(event)) {
        assert!(
            child.try_wait().unwrap().is_none() && started.elapsed() < Duration::from_mins(2),
            "the run did not come so far"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Two networks that differ in their weights, `one.safetensors` and `two.safetensors`.
const TWO_MODELS: &str = r#"
[experiment]
name = "two-models"

[dataset.photos]
kind = "image-folder"
root = "photos"

[model.one]
kind    = "guided-diffusion"
preset  = "adm-nano"
weights = "one.safetensors"

[model.two]
kind    = "guided-diffusion"
preset  = "adm-nano"
weights = "two.safetensors"

[extraction.taps]
model    = ["one", "two"]
dataset  = "photos"
timestep = 10
block    = 1
pool     = 2
"#;

fn two_models() -> CliTest {
    let cli = CliTest::new();
    cli.image_folder("photos", 30);
    cli.write("two.toml", TWO_MODELS);
    let mut weights = fs::read(nano_weights()).unwrap();
    cli.write("one.safetensors", &weights);
    let last = weights.len() - 1;
    weights[last] ^= 0x80;
    cli.write("two.safetensors", &weights);
    cli
}

#[test]
fn weights_that_change_before_they_are_loaded_are_refused() {
    let cli = two_models();
    let (one, two) = (cli.path("one.safetensors"), cli.path("two.safetensors"));
    let right = fs::read(&two).unwrap();
    let output = changed_within_a_run(&cli, "two.toml", || {
        fs::copy(&one, &two).unwrap();
    });
    output
        .expect_code(1)
        .expect_in_stderr(&["two.safetensors", "planned with"]);
    // Put back, and nothing shows that it was ever another file.
    fs::write(&two, right).unwrap();
    run(&cli, "two.toml");
    cli.run(&["run", "two.toml", "--device", "cpu", "--cache", "clean"])
        .expect_code(0);
    expect_equal(&cli, ".repro", "clean");
}

#[test]
fn images_that_change_before_they_are_read_are_refused_even_where_bad_ones_are_skipped() {
    for policy in ["fail", "skip"] {
        let cli = two_models();
        let text = TWO_MODELS.replace(
            "pool     = 2",
            &format!("pool = 2\non_bad_image = \"{policy}\""),
        );
        cli.write("two.toml", text);
        let names: Vec<String> = cli.files("photos/train/dark").into_keys().collect();
        let path = |name: &String| cli.path(&format!("photos/train/dark/{name}"));
        let right: Vec<Vec<u8>> = names
            .iter()
            .map(|name| fs::read(path(name)).unwrap())
            .collect();
        let other = fs::read(cli.path("photos/test/light/00.png")).unwrap();
        let output = changed_within_a_run(&cli, "two.toml", || {
            for name in &names {
                fs::write(path(name), &other).unwrap();
            }
        });
        output
            .expect_code(1)
            .expect_in_stderr(&["photos/train/dark/", "changed", "planned with"]);
        for (name, bytes) in names.iter().zip(&right) {
            fs::write(path(name), bytes).unwrap();
        }
        run(&cli, "two.toml");
        cli.run(&["run", "two.toml", "--device", "cpu", "--cache", "clean"])
            .expect_code(0);
        expect_equal(&cli, ".repro", "clean");
    }
}

/// An experiment on photographs in an archive that is unpacked into the cache, since it has more than 64 MiB.
const PACKED: &str = r#"
[experiment]
name = "packed"

[dataset.photos]
kind = "image-folder"
root = "photos.tar.gz"

[model.raw]
kind        = "pixels"
image_size  = 8
in_channels = 3

[extraction.taps]
model    = "raw"
dataset  = "photos"
timestep = 0
block    = 1
pool     = POOL
"#;

/// Packs the folder `photos` as `photos.tar.gz`, which unpacks into more than 64 MiB.
pub fn packed(cli: &CliTest) {
    let mut members: Vec<(String, Vec<u8>)> = cli.files("photos").into_iter().collect();
    members.push(("zeros.bin".to_owned(), vec![0; (1 << 26) + (1 << 16)]));
    // What hardly shrinks, so that the archive may unpack into as much.
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    });
    members.push(("noise.bin".to_owned(), noise.take(1 << 20).collect()));
    cli.write("photos.tar.gz", gzip(&tar(&members)));
}

/// The unpacked archive in the cache.
pub fn unpacked(cli: &CliTest, cache: &str) -> String {
    let mut files = cli.files(&format!("{cache}/archives")).into_keys();
    let name = files.find(|name| name.contains("-tar-") && !name.ends_with(".blocks"));
    format!("{cache}/archives/{}", name.unwrap())
}

#[test]
fn a_damaged_copy_of_an_archive_is_unpacked_anew() {
    let cli = CliTest::new();
    cli.image_folder("photos", 5);
    packed(&cli);
    cli.write("packed.toml", PACKED.replace("POOL", "8"));
    run(&cli, "packed.toml");
    let whole = parts(&cli, ".repro");
    let copy = unpacked(&cli, ".repro");
    let right = fs::read(cli.path(&copy)).unwrap();
    let image = fs::read(cli.path("photos/train/dark/02.png")).unwrap();
    let at = right.windows(image.len()).position(|bytes| bytes == image);
    let at = at.unwrap() + image.len() / 2;
    for (what, damage) in [
        (
            "an image",
            Box::new(move |bytes: &mut Vec<u8>| bytes[at] ^= 1) as Box<dyn Fn(&mut Vec<u8>)>,
        ),
        (
            "a header",
            Box::new(move |bytes: &mut Vec<u8>| bytes[20] ^= 1),
        ),
        (
            "its end",
            Box::new(|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2)),
        ),
    ] {
        let mut bytes = right.clone();
        damage(&mut bytes);
        fs::write(cli.path(&copy), &bytes).unwrap();
        let verified = cli.run(&["cache", "verify"]).expect_code(4);
        assert!(verified.stdout.contains(&copy), "{what}: {verified}");
        // Other features of the same images; those that are there are still those of this archive.
        cli.write("packed.toml", PACKED.replace("POOL", "[8, 2]"));
        let output = run(&cli, "packed.toml");
        let output = output.expect_in_stderr(&["set aside", &copy]);
        assert!(!output.stderr.contains("malformed"), "{what}: {output}");
        cli.run(&["cache", "verify"]).expect_code(0);
        let found = parts(&cli, ".repro");
        assert!(
            whole.iter().all(|(path, bytes)| found[path] == *bytes),
            "{what}"
        );
        cli.run(&["run", "packed.toml", "--device", "cpu", "--cache", "clean"])
            .expect_code(0);
        expect_equal(&cli, ".repro", "clean");
        assert!(
            fs::read(cli.path(&unpacked(&cli, ".repro"))).unwrap() == right,
            "{what}"
        );
    }
    cli.run(&["cache", "verify", "--set-aside"]).expect_code(0);
}
