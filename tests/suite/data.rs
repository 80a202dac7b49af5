//! `repro data` against a server on this machine, and experiments on what it downloads.

use std::fs;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::fetch::{direct, file};
use crate::fixture::{CliTest, Output, finish, with_snapshots};
use crate::http_server::{Reply, Server};

const ONE: &str = "\"one\"";

/// A list with one dataset of these files at a server that nobody runs, their digests stated.
fn list(kind: &str, files: &[(&str, &[u8])]) -> String {
    let head = format!(
        "[[dataset]]\nname = 'small'\ntitle = 'a small one'\nkind = '{kind}'\npage = 'https://example.org'\nlicense = 'MIT'\nfolder = 'data/small'\n"
    );
    let files = files.iter().map(|(name, content)| {
        format!(
            "[[dataset.file]]\nurl = 'http://127.0.0.1:1/{name}'\nbytes = {}\n[dataset.file.sha256]\ndigest = '{:x}'\nfrom = 'owner'\nwho = 'its README'\n",
            content.len(),
            Sha256::digest(content)
        )
    });
    std::iter::once(head).chain(files).collect()
}

/// Fetches the dataset of `list.toml`, twenty times as hasty as usual.
fn command(cli: &CliTest, server: &Server, arguments: &[&str]) -> Command {
    let url = server.url("there");
    let all = [
        "data",
        "--datasets",
        "list.toml",
        "fetch",
        "small",
        "--hurry",
        "20",
        "--url",
        &url,
    ];
    direct(cli, &[&all, arguments].concat())
}

fn fetch(cli: &CliTest, server: &Server, arguments: &[&str]) -> Output {
    finish(command(cli, server, arguments).output().unwrap())
}

fn names(cli: &CliTest) -> Vec<String> {
    cli.files("data/small").into_keys().collect()
}

#[test]
fn all_files_of_a_dataset_are_brought_once() {
    let (one, two) = (file(300_000, 31), file(1000, 32));
    let cli = CliTest::new();
    cli.write(
        "list.toml",
        list("cifar10", &[("one.gz", &one), ("two.gz", &two)]),
    );
    let served = (one.clone(), two.clone());
    let server = Server::start(move |asked| match asked.path.as_str() {
        // The first file breaks off once.
        "/there/one.gz" if asked.number == 0 => Reply::file(&served.0, ONE, asked).cut(100_000),
        "/there/one.gz" => Reply::file(&served.0, ONE, asked),
        "/there/two.gz" => Reply::file(&served.1, ONE, asked),
        _ => Reply::new(404, b""),
    });
    let output = fetch(&cli, &server, &[]).expect_code(0);
    assert_eq!(output.stdout, "./data/small\n");
    output.expect_in_stderr(&[
        "small: 2 files, 293.9 KiB\n  license: MIT; see https://example.org",
        "broke off at 97.7 KiB",
        "two.gz is in place: 1000 B",
        "is the stated one (by owner: its README)",
        "in an experiment: kind = \"cifar10\", root = \"data/small\"",
    ]);
    assert_eq!(server.from(), [None, Some(100_000), None]);
    assert_eq!(server.sent(), one.len() + two.len());
    assert_eq!(names(&cli), ["fetched.toml", "one.gz", "two.gz"]);
    let files = cli.files("data/small");
    assert!(files["one.gz"] == one && files["two.gz"] == two);

    let record = fetch(&cli, &server, &["--json"]).expect_code(0).json();
    assert_eq!(record["dataset"], "small");
    assert_eq!(record["files"][1]["how"], "found");
    assert_eq!(record["files"][1]["proof"], "stated");
    assert_eq!(server.asked().len(), 3, "nothing is fetched twice");

    // One that went missing is downloaded alone, and all of them into another folder.
    fs::remove_file(cli.path("data/small/two.gz")).unwrap();
    fetch(&cli, &server, &[]).expect_code(0);
    assert_eq!(server.asked().len(), 4);
    let there = cli.path("there");
    let to = there.to_str().unwrap();
    fetch(&cli, &server, &["--to", to])
        .expect_code(0)
        .expect_in_stderr(&[&format!("root = \"{to}\"")]);
    assert_eq!(server.asked().len(), 6);
    fetch(&cli, &server, &["--force"]).expect_code(0);
    assert_eq!(server.asked().len(), 8);
}

#[test]
fn a_file_that_is_not_the_stated_one_is_never_put_in_place() {
    let (one, two) = (file(1000, 33), file(1000, 34));
    let cli = CliTest::new();
    cli.write(
        "list.toml",
        list("cifar10", &[("one.gz", &one), ("two.gz", &two)]),
    );
    // The server has the first file under both names.
    let served = one.clone();
    let server = Server::start(move |asked| Reply::file(&served, ONE, asked));
    let output = fetch(&cli, &server, &[]).expect_code(3);
    assert_eq!(output.stdout, "");
    output.expect_in_stderr(&[
        "one.gz is in place",
        "SHA-256 expected: ",
        "by owner: its README",
        "set aside as ./data/small/two.gz.rejected",
    ]);
    assert_eq!(names(&cli), ["fetched.toml", "one.gz", "two.gz.rejected"]);
}

#[test]
fn a_mirror_of_the_real_dataset_is_held_to_its_size() {
    let server = Server::start(|asked| Reply::file(b"something else", ONE, asked));
    let cli = CliTest::new();
    let url = server.url("");
    finish(
        direct(&cli, &["data", "fetch", "cifar10", "--url", &url])
            .output()
            .unwrap(),
    )
    .expect_code(3)
    .expect_in_stderr(&[
        "14 bytes",
        "170,052,171",
        "TensorFlow Datasets",
        "look at the address",
    ]);
    assert_eq!(server.asked()[0].path, "/cifar-10-binary.tar.gz");
    assert_eq!(cli.files("data").len(), 0);
}

#[test]
fn what_can_be_fetched_is_listed_and_other_names_are_not_known() {
    let cli = CliTest::new();
    let list = cli.run(&["data", "list"]).expect_code(0);
    with_snapshots(&cli, || insta::assert_snapshot!("data-list", list.stdout));
    let records = cli.run(&["data", "list", "--json"]).expect_code(0).json();
    let files = |record: &serde_json::Value| record["files"].as_array().unwrap().len();
    let counts: Vec<_> = records.as_array().unwrap().iter().map(files).collect();
    assert_eq!(counts, [4, 1, 1, 1, 3, 2, 4, 1, 3]);
    assert_eq!(records[1]["files"][0]["file"], "cifar-10-binary.tar.gz");
    cli.write("broken.toml", "[[dataset]]\nname = 3");
    for (arguments, says) in [
        (&["data", "fetch", "cifar"][..], "did you mean `cifar10`?"),
        (
            &["data", "fetch", "x"],
            "hint: one of `fashion-mnist`, `cifar10`, `cub`",
        ),
        (&["data", "fetch"], "NAME"),
        (
            &["data", "fetch", "cifar10", "--url", "here"],
            "here/cifar-10-binary.tar.gz",
        ),
        (
            &["data", "list", "--datasets", "broken.toml"],
            "broken.toml",
        ),
    ] {
        cli.run(arguments).expect_code(2).expect_in_stderr(&[says]);
    }
    assert!(!cli.path("data").exists(), "nothing is made");
}

#[test]
fn what_no_program_can_fetch_is_named_with_where_it_is_to_be_had() {
    let cli = CliTest::new();
    for (name, says) in [
        (
            "imagenet",
            &[
                "imagenet cannot be fetched: image-net.org asks to sign in",
                "ILSVRC2012_img_train.tar, size 137.7 GiB\n    SHA-256 b08200a27a8e",
                "ILSVRC2012_devkit_t12.tar.gz, size not known\n    SHA-256 not known, MD5 fa75699e",
                "hint: download these files by hand and put them into data/imagenet, packed as they are",
                "kind = \"imagenet\", root = \"data/imagenet\"",
            ][..],
        ),
        (
            "cars",
            &["dead", "cars_test_annos_withlabels.mat, size 181.4 KiB"],
        ),
        (
            "nabirds",
            &["terms", "nabirds.tar.gz, size not known", "MD5 df21a9e4"],
        ),
    ] {
        let output = cli.run(&["data", "fetch", name]).expect_code(3);
        assert_eq!(output.stdout, "", "stdout is for data");
        output.expect_in_stderr(says);
    }
    assert!(!cli.path("data").exists(), "nothing is made");
}

const EXPERIMENT: &str = r#"
[experiment]
name = "small"

[dataset.photos]
kind = "cifar10"
root = "data/small"

[model.unet]
kind    = "guided-diffusion"
preset  = "adm-nano"
weights = { synthetic = 2 }

[extraction.taps]
model    = "unet"
dataset  = "photos"
timestep = 90
block    = 1

[head.probe]
kind     = "linear"
features = "taps"
epochs   = 1

[metric.top1]
kind = "accuracy"
of   = "probe"
"#;

/// CIFAR-10 with four records a batch.
fn small_cifar() -> Vec<(String, Vec<u8>)> {
    let batches = (1..6).map(|number| format!("data_batch_{number}.bin"));
    let batches = batches.chain(["test_batch.bin".to_owned()]);
    let mut files: Vec<_> = (40..)
        .zip(batches)
        .map(|(seed, name)| {
            let mut records = file(4 * 3073, seed);
            for (label, record) in (0u8..).zip(records.chunks_exact_mut(3073)) {
                record[0] = label;
            }
            (name, records)
        })
        .collect();
    files.push((
        "batches.meta.txt".to_owned(),
        b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n".to_vec(),
    ));
    files
}

fn pack(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        let path = format!("cifar-10-batches-bin/{name}");
        archive
            .append_data(&mut header, path, bytes.as_slice())
            .unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

#[test]
fn an_archive_is_fetched_and_read_as_it_is_and_unpacked_it_is_the_same_dataset() {
    let files = small_cifar();
    let archive = pack(&files);
    let cli = CliTest::new();
    let name = "cifar-10-binary.tar.gz";
    cli.write("list.toml", list("cifar10", &[(name, &archive)]));
    cli.write("small.toml", EXPERIMENT);
    let missing = cli.run(&["plan", "small.toml"]).expect_code(3);
    missing.expect_in_stderr(&["dataset `photos`", name, "repro data fetch cifar10"]);

    let served = archive.clone();
    let server = Server::start(move |asked| Reply::file(&served, ONE, asked));
    fetch(&cli, &server, &[]).expect_code(0);
    let plan = cli.run(&["plan", "small.toml"]).expect_code(0);
    assert!(plan.stdout.contains("24 forwards"), "{plan}");
    if cfg!(feature = "torch") {
        cli.run(&["run", "small.toml"]).expect_code(0);
        let rows = cli.query("SELECT count(*) AS n FROM results");
        assert!(rows[0]["n"].as_u64() > Some(0), "{rows:?}");
    }

    fs::remove_file(cli.path(&format!("data/small/{name}"))).unwrap();
    for (name, bytes) in &files {
        cli.write(&format!("data/small/cifar-10-batches-bin/{name}"), bytes);
    }
    let unpacked = cli.run(&["plan", "small.toml"]).expect_code(0);
    if cfg!(feature = "torch") {
        assert!(unpacked.stdout.contains("nothing to compute"), "{unpacked}");
    } else {
        assert_eq!(unpacked.stdout, plan.stdout);
    }

    cli.write("data/small/cifar-10-batches-bin/test_batch.bin", [11; 3073]);
    cli.run(&["plan", "small.toml"]).expect_code(3).expect_in_stderr(&[
        "cifar-10-batches-bin/test_batch.bin is malformed: it has 1 records, but `data_batch_1.bin` has 4",
        "hint: unpack",
    ]);
}
