//! Models that read latents: an autoencoder makes them once for each image, whatever reads them.

use std::collections::{BTreeMap, BTreeSet};

use repro::diffusion::NoiseOf;
use repro::models::extractor::{Features, Images, TapRequest};
use repro::models::{self, BlockIndex, Precision, Reduce, WeightsSource, find_block};
use tch::Device;

use crate::fixture::{CliTest, finish, root};
use crate::interruption::{signal, start_and_wait_for_parts};
use crate::small::parts;

const MODELS: &str = r#"
[experiment]
name = "latents"

[dataset.fashion]
kind = "fashion-mnist"
root = "fashion"

[model.dit]
kind        = "dit"
preset      = "dit-tiny"
weights     = { synthetic = 1 }
autoencoder = "vae"

[model.vae]
kind    = "autoencoder"
preset  = "vae-tiny"
weights = { synthetic = 2 }
size    = 128
"#;

const PROBE: &str = r#"
[head.probe]
kind     = "linear"
features = "taps"
epochs   = 2

[metric.accuracy]
kind = "accuracy"
of   = "probe"
"#;

fn extraction(timesteps: &str, more: &str) -> String {
    format!(
        "[extraction.taps]\nmodel = \"dit\"\ndataset = \"fashion\"\ntimestep = {timesteps}\nblock = [2, 4]\n{more}\n"
    )
}

/// A folder with few images and the experiment at some timesteps.
fn folder(timesteps: &str, more: &str) -> CliTest {
    let cli = CliTest::with_fashion(14, 6);
    write(&cli, timesteps, more);
    cli
}

fn write(cli: &CliTest, timesteps: &str, more: &str) {
    let extraction = extraction(timesteps, more);
    cli.write("latents.toml", format!("{MODELS}{extraction}{PROBE}"));
}

/// The artifacts of features in a cache: the width of a row by the manifest's folder.
fn artifacts(cli: &CliTest, cache: &str) -> BTreeMap<String, serde_json::Value> {
    let files = cli
        .files(&format!("{cache}/artifacts/features"))
        .into_iter();
    let manifests = files.filter(|(path, _)| path.ends_with("manifest.json"));
    manifests
        .map(|(path, text)| (path, serde_json::from_slice(&text).unwrap()))
        .collect()
}

/// The files of latents, with their bytes: what has no timestep.
fn latents(cli: &CliTest, cache: &str) -> BTreeMap<String, Vec<u8>> {
    let all = artifacts(cli, cache);
    let of_latents = all.iter().filter(|(_, manifest)| {
        let recipe = &manifest["recipe"];
        recipe.to_string().contains("autoencoder") && !recipe.to_string().contains("timestep")
    });
    let folders: Vec<&str> = of_latents
        .map(|(path, _)| path.trim_end_matches("manifest.json"))
        .collect();
    assert_eq!(folders.len(), 1, "{all:?}");
    let files = cli
        .files(&format!("{cache}/artifacts/features"))
        .into_iter();
    files
        .filter(|(path, _)| path.starts_with(folders[0]) && path.strip_suffix(".arrow").is_some())
        .collect()
}

/// The timesteps and blocks that have results.
fn places(cli: &CliTest) -> BTreeSet<String> {
    let rows = cli.query("select timestep, block from results where metric = 'top1'");
    rows.iter().map(ToString::to_string).collect()
}

#[test]
fn latents_are_made_once_and_another_timestep_reads_them_again() {
    let cli = folder("[0, 90]", "");
    let plan = cli.run(&["plan", "latents.toml"]).expect_code(0);
    for said in [
        "latents: 1 wanted, 0 cached\n",
        "1 pass through an autoencoder: 20 forwards",
        "once for each image, whatever reads them",
        "dit ← vae ← fashion  t=90  class=null  blocks 2,4  tokens mean  2 taps of 20 images",
        "features: 4 wanted, 0 cached",
    ] {
        assert!(plan.stdout.contains(said), "{said}: {plan}");
    }
    let arguments = ["run", "latents.toml", "--device", "cpu"];
    cli.run(&arguments).expect_code(0);
    let before = cli.times();
    let kept = latents(&cli, ".repro");
    assert_eq!(artifacts(&cli, ".repro").len(), 1 + 4);
    write(&cli, "[0, 90, 250]", "");
    let plan = cli.run(&["plan", "latents.toml"]).expect_code(0);
    assert!(
        plan.stdout.contains("latents: 1 wanted, 1 cached\n"),
        "{plan}"
    );
    assert!(!plan.stdout.contains("through an autoencoder"), "{plan}");
    cli.run(&arguments).expect_code(0);
    assert_eq!(artifacts(&cli, ".repro").len(), 1 + 6);
    let after = cli.times();
    for path in kept.keys() {
        let path = format!(".repro/artifacts/features/{path}");
        assert_eq!(before[&path], after[&path], "{path}");
    }
    assert_eq!(places(&cli).len(), 3 * 2);
}

#[test]
fn features_are_those_of_the_noisy_latents_in_the_store() {
    let cli = folder("90", "token = \"patches\"\nseed = 3");
    cli.run(&["run", "latents.toml", "--device", "cpu"])
        .expect_code(0);
    let store = repro::store::Store::open(cli.path(".repro")).unwrap();
    let (mut of_latents, mut of_blocks) = (None, Vec::new());
    for (_, manifest) in artifacts(&cli, ".repro") {
        let fingerprint = manifest["fingerprint"].as_str().unwrap().parse().unwrap();
        let reader = store.features(&fingerprint).unwrap();
        match reader.width() {
            1024 => of_latents = Some(reader),
            width => {
                assert_eq!(width, 64 * 8 * 8);
                of_blocks.push(reader);
            }
        }
    }
    let latents = of_latents.unwrap();
    let latents = &latents.parts()[0];
    let model = models::preset("dit-tiny").unwrap().model;
    let model = model.with_weights(WeightsSource::Synthetic(1));
    let coefficients = model.coefficients(90).unwrap();
    let mut pixels = latents.values_f32().unwrap().to_vec();
    let mut noise = vec![0.0; 1024];
    for (latent, id) in pixels.chunks_mut(1024).zip(latents.ids()) {
        let of = NoiseOf {
            seed: 3,
            sample: id,
            view: "center",
            timestep: 90,
            draw: 0,
        };
        coefficients.add_noise_of(of, latent, &mut noise);
    }
    let network = model.load(root(), Device::Cpu, Precision::F32).unwrap();
    let taps = [2, 4].map(|block| {
        let block = find_block(&*model, BlockIndex(block)).unwrap();
        TapRequest::of(block, Reduce::PatchMap)
    });
    let images = Images {
        pixels: &pixels,
        count: 20,
        timestep: Some(90),
        classes: None,
    };
    let expected = network.features(images, &taps).map(Features::read).unwrap();
    assert_eq!(of_blocks.len(), 2);
    for reader in of_blocks {
        let part = &reader.parts()[0];
        assert!(part.ids().eq(latents.ids()));
        let found = part.values_f32().unwrap();
        let nearest = expected.iter().map(|expected| {
            assert_eq!(found.len(), expected.len());
            let pairs = found.iter().zip(expected);
            pairs
                .map(|(one, other)| (one - other).abs())
                .fold(0.0, f32::max)
        });
        // Batches of other sizes round otherwise.
        assert!(nearest.fold(f32::MAX, f32::min) < 1e-4);
    }
}

#[test]
fn an_extraction_of_the_autoencoder_itself_is_the_same_artifact() {
    let cli = folder("90", "");
    cli.run(&["run", "latents.toml", "--device", "cpu"])
        .expect_code(0);
    let own = format!(
        "{MODELS}\n[extraction.own]\nmodel = \"vae\"\ndataset = \"fashion\"\nblock = 18\npool = \"none\"\n"
    );
    cli.write("own.toml", own);
    let plan = cli.run(&["plan", "own.toml"]).expect_code(0);
    assert!(plan.stdout.contains("nothing to compute"), "{plan}");
}

#[test]
fn a_killed_run_goes_on_to_the_same_bytes_and_keeps_its_latents() {
    let timesteps = "[0, 50, 90, 150, 250, 500, 750, 999]";
    let cli = folder(timesteps, "");
    let run = |cache: &str| {
        let arguments = ["run", "latents.toml", "--device", "cpu", "--cache", cache];
        cli.command(&arguments)
    };
    finish(run("whole").output().unwrap()).expect_code(0);
    let whole = parts(&cli, "whole");
    // The latents come first, and are in place when anything else is.
    let child = start_and_wait_for_parts(run("killed"), &cli, "killed", 2);
    signal(&child, "KILL");
    let output = finish(child.wait_with_output().unwrap());
    let committed = parts(&cli, "killed");
    assert!(committed.len() < whole.len(), "killed too late: {output}");
    let kept = latents(&cli, "killed");
    finish(run("killed").output().unwrap()).expect_code(0);
    assert_eq!(latents(&cli, "killed"), kept);
    assert_eq!(parts(&cli, "killed"), whole);
}

#[test]
fn workers_and_jobs_wait_for_the_latents() {
    let cli = folder("[0, 90]", "");
    let arguments = ["run", "latents.toml", "--device", "cpu", "--cache", "one"];
    cli.run(&arguments).expect_code(0);
    let whole = parts(&cli, "one");
    let arguments = [
        "run",
        "latents.toml",
        "--device",
        "cpu",
        "--workers",
        "2",
        "--cache",
        "two",
    ];
    let mut command = cli.command(&arguments);
    let output = finish(command.env("OMP_NUM_THREADS", "2").output().unwrap());
    output.expect_code(0);
    assert!(parts(&cli, "two").keys().eq(whole.keys()));
    let plan = cli.run(&["plan", "latents.toml", "--json", "--cache", "jobs"]);
    let plan = plan.expect_code(0).json();
    let jobs = plan["jobs"].as_array().unwrap();
    let passes: Vec<_> = jobs.iter().filter(|job| job["kind"] == "pass").collect();
    assert_eq!(passes.len(), 3);
    let first = passes[0]["name"].as_str().unwrap();
    assert!(passes[0]["needs"].as_array().unwrap().is_empty());
    for pass in &passes[1..] {
        assert_eq!(pass["needs"], serde_json::json!([first]));
    }
    for pass in passes {
        let name = pass["name"].as_str().unwrap();
        let arguments = [
            "job",
            "latents.toml",
            name,
            "--device",
            "cpu",
            "--cache",
            "jobs",
        ];
        cli.run(&arguments).expect_code(0);
    }
    assert_eq!(parts(&cli, "jobs"), whole);
}

#[test]
fn an_image_that_does_not_decode_is_left_out_of_both() {
    let cli = CliTest::new();
    cli.image_folder("images", 4);
    cli.write("images/train/dark/00.png", b"no image");
    let dataset = MODELS.replace(
        "kind = \"fashion-mnist\"\nroot = \"fashion\"",
        "kind = \"image-folder\"\nroot = \"images\"",
    );
    let text = |more: &str| format!("{dataset}{}{PROBE}", extraction("90", more));
    cli.write("latents.toml", text(""));
    cli.run(&["run", "latents.toml", "--device", "cpu"])
        .expect_code(1)
        .expect_in_stderr(&["does not decode"]);
    cli.write("latents.toml", text("on_bad_image = \"skip\""));
    cli.run(&["run", "latents.toml", "--device", "cpu"])
        .expect_code(0);
    assert_eq!(places(&cli).len(), 2);
}

#[test]
fn samples_are_decoded_and_do_not_depend_on_how_many_are_made() {
    let cli = CliTest::new();
    let models = MODELS.replace(
        "[dataset.fashion]\nkind = \"fashion-mnist\"\nroot = \"fashion\"\n",
        "",
    );
    let text = |count: u32| {
        format!(
            "{models}\n[samples.made]\nmodel = \"dit\"\ncount = {count}\nsteps = 3\nmethod = \"ancestral\"\nclasses = [3, 7]\nguidance = 4.0\nformat = \"raw\"\n"
        )
    };
    let made = |count: u32, cache: &str| {
        cli.write("made.toml", text(count));
        cli.run(&["run", "made.toml", "--device", "cpu", "--cache", cache])
            .expect_code(0);
        let files = cli.files(&format!("{cache}/artifacts/samples")).into_iter();
        let manifests = files.filter(|(path, _)| path.ends_with("manifest.json"));
        let manifests: Vec<serde_json::Value> = manifests
            .map(|(_, text)| serde_json::from_slice(&text).unwrap())
            .collect();
        assert_eq!(manifests.len(), 1);
        let recipe = &manifests[0]["recipe"];
        assert!(recipe.to_string().contains("autoencoder"), "{recipe}");
        let fingerprint = manifests[0]["fingerprint"].as_str().unwrap();
        let store = repro::store::Store::open(cli.path(cache)).unwrap();
        let reader = store.images(&fingerprint.parse().unwrap(), 0..2).unwrap();
        [0, 1].map(|row| reader.image(row).unwrap().to_vec())
    };
    let (three, two) = (made(3, "three"), made(2, "two"));
    for (one, other) in three.iter().zip(&two) {
        assert_eq!(one.len(), 3 * 128 * 128);
        let differing = one
            .iter()
            .zip(other)
            .filter(|(one, other)| one.abs_diff(**other) > 1);
        assert_eq!(differing.count(), 0);
    }
    assert_ne!(three[0], three[1]);
}

#[test]
fn heads_with_fresh_noise_read_latents_in_the_store() {
    let cli = folder("90", "");
    let arguments = ["run", "latents.toml", "--device", "cpu"];
    cli.run(&arguments).expect_code(0);
    // The features are there; the network runs again on the latents, which are not made again.
    let text = cli
        .read("latents.toml")
        .replace("epochs   = 2", "epochs   = 3\nonline   = true");
    cli.write("latents.toml", text);
    let before = cli.times();
    let kept = latents(&cli, ".repro");
    cli.run(&arguments).expect_code(0);
    let after = cli.times();
    for path in kept.keys() {
        let path = format!(".repro/artifacts/features/{path}");
        assert_eq!(before[&path], after[&path], "{path}");
    }
    assert_eq!(places(&cli).len(), 2);
    // Without the latents they are made first.
    for path in kept.keys() {
        let folder = path.rsplit_once('/').unwrap().0;
        let _ = std::fs::remove_dir_all(cli.path(&format!(".repro/artifacts/features/{folder}")));
    }
    let text = cli
        .read("latents.toml")
        .replace("epochs   = 3", "epochs   = 4");
    cli.write("latents.toml", text);
    cli.run(&arguments).expect_code(0);
    assert_eq!(latents(&cli, ".repro"), kept);
}
