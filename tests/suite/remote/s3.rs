//! A remote in a bucket of a real S3 server on this machine, behind a connection that is slow, breaks, and is refused at times.
//!
//! The server is moto, from Python's registry; `./test` installs it. It ends with the test.

mod proxy;

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use repro::store::{ArtifactKind, Begin, Made, Recipe, Store, wait_quietly};

use self::proxy::{Proxy, Weather};
use super::{become_another_machine, events, expect_nothing_computed, manifests};
use crate::fixture::{CliTest, Output, finish};
use crate::small::{run, small};

/// Where moto is; `./test` sets it.
const PYTHONPATH: &str = "REPRO_TEST_S3_PYTHONPATH";

/// Begins to serve, says at which port, and ends when nobody holds its input any more.
const SERVE: &str = "
import logging, sys, urllib.request
logging.disable(logging.CRITICAL)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
port = server.get_host_and_port()[1]
bucket = urllib.request.Request(f'http://127.0.0.1:{port}/bucket', method='PUT')
urllib.request.urlopen(bucket).read()
print(port, flush=True)
sys.stdin.read()
";

/// A server with an empty bucket called `bucket`.
struct S3 {
    server: Child,
    port: u16,
}

impl S3 {
    /// Starts it; `None` where moto is not installed.
    fn start() -> Option<Self> {
        let Some(packages) = std::env::var_os(PYTHONPATH) else {
            let why = format!("{PYTHONPATH} is not set; `./test` sets it");
            assert!(std::env::var_os("CI").is_none(), "{why}");
            println!("skipped: {why}");
            return None;
        };
        let mut server = Command::new("python3")
            .args(["-c", SERVE])
            .env("PYTHONPATH", packages)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut told = BufReader::new(server.stdout.take().unwrap());
        told.read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("moto did not start");
        Some(Self { server, port })
    }

    /// The way to it in some weather.
    fn through(&self, weather: Weather) -> Proxy {
        Proxy::start(self.port, weather)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The program with credentials for the server behind a port.
fn command(cli: &CliTest, port: u16, arguments: &[&str]) -> Command {
    let mut command = cli.command(arguments);
    command
        .env("AWS_ACCESS_KEY_ID", "an-access-key-id")
        .env("AWS_SECRET_ACCESS_KEY", "a-secret-access-key")
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "us-east-1");
    command
}

fn with(cli: &CliTest, port: u16, arguments: &[&str]) -> Output {
    finish(command(cli, port, arguments).output().unwrap())
}

/// A cache with one artifact of 20 MiB in a single file, which takes several pieces, and some small ones.
fn filled(cli: &CliTest, cache: &str) {
    let store = Store::open(cli.path(cache)).unwrap();
    let make = |name: &str, bytes: usize| {
        let recipe = Recipe::new(ArtifactKind::Head, 1, &name).unwrap();
        let begun = store.begin(&recipe, name, &mut wait_quietly).unwrap();
        let Begin::Writer(mut writer) = begun else {
            panic!("{name} is there");
        };
        let pattern = |index: usize| u8::try_from((index * index / 7) % 251).unwrap();
        let content: Vec<u8> = (0..bytes).map(pattern).collect();
        writer.write_bytes("content.bin", &content).unwrap();
        writer.write_bytes("empty.bin", b"").unwrap();
        writer.finish(Made::default()).unwrap();
    };
    make("large", 20 << 20);
    for number in 0..10 {
        make(&format!("small {number}"), 10_000 + number);
    }
}

#[test]
fn a_bucket_takes_and_gives_over_a_bad_connection() {
    let Some(s3) = S3::start() else {
        return;
    };
    let cli = small();
    run(&cli, "small.toml");
    let reports = cli.files("reports");
    let bad = s3.through(Weather {
        seed: 1,
        broken: 3,
        cut_after: 8_000,
        refused: 8,
        ..Weather::default()
    });
    let url = "s3://bucket/team";
    let pushed = with(&cli, bad.port(), &["cache", "push", url]).expect_code(0);
    assert!(
        pushed
            .stderr
            .contains("13 artifacts put into s3://bucket/team"),
        "{pushed}"
    );
    let again = with(&cli, s3.port, &["cache", "push", url]).expect_code(0);
    assert!(again.stderr.contains("13 there already"), "{again}");
    become_another_machine(&cli);
    let usual = [
        "run",
        "small.toml",
        "--device",
        "cpu",
        "--json-log",
        "log.jsonl",
    ];
    let arguments = [&usual[..], &["--remote", url]].concat();
    with(&cli, bad.port(), &arguments).expect_code(0);
    expect_nothing_computed(&events(&cli));
    assert_eq!(cli.files("reports"), reports);
    let weather = (bad.cuts(), bad.refusals());
    assert!(weather.0 > 0 && weather.1 > 0, "{weather:?}");
    with(&cli, bad.port(), &["cache", "pull", url]).expect_code(0);
    assert_eq!(manifests(&cli)["features"], 4);
    cli.run(&["cache", "verify"]).expect_code(0);
    // A bucket that is not there is no empty one.
    let none = with(
        &cli,
        s3.port,
        &[
            "cache",
            "pull",
            "s3://other/x",
            "small.toml",
            "--cache",
            "none",
        ],
    );
    assert!(none.stderr.contains("NoSuchBucket"), "{none}");
}

#[test]
#[ignore = "a file of several pieces over slow and broken connections: 20 seconds"]
fn a_large_file_goes_in_pieces_and_two_push_at_once() {
    let Some(s3) = S3::start() else {
        return;
    };
    let cli = CliTest::new();
    filled(&cli, "one");
    filled(&cli, "two");
    let bad = s3.through(Weather {
        seed: 2,
        broken: 4,
        cut_after: 6 << 20,
        refused: 10,
        pace: Some(40 << 20),
    });
    let push = |cache: &str| {
        let arguments = ["cache", "push", "s3://bucket", "--cache", cache];
        command(&cli, bad.port(), &arguments).spawn().unwrap()
    };
    let mut pushers = [push("one"), push("two")];
    for pusher in &mut pushers {
        assert!(pusher.wait().unwrap().success());
    }
    let cut = s3.through(Weather {
        seed: 3,
        broken: 1,
        cut_after: 3 << 20,
        ..Weather::default()
    });
    let pull = ["cache", "pull", "s3://bucket", "--cache", "three"];
    let pulled = with(&cli, cut.port(), &pull).expect_code(0);
    assert!(pulled.stderr.contains("11 artifacts from"), "{pulled}");
    assert!(cut.cuts() > 2);
    cli.run(&["cache", "verify", "--cache", "three"])
        .expect_code(0);
    assert_eq!(cli.files("one/artifacts"), cli.files("three/artifacts"));
}

#[test]
#[ignore = "kills uploads and downloads at 24 places: one minute"]
fn transfers_that_are_killed_end_right_when_they_are_begun_again() {
    let Some(s3) = S3::start() else {
        return;
    };
    let cli = CliTest::new();
    filled(&cli, "here");
    let slow = s3.through(Weather {
        seed: 4,
        pace: Some(12 << 20),
        ..Weather::default()
    });
    let url = "s3://bucket/killed";
    let push = ["cache", "push", url, "--cache", "here"];
    let pull = ["cache", "pull", url, "--cache", "there"];
    let mut random = proxy::Random::new(7);
    for arguments in [&push, &pull] {
        let mut killed = 0;
        for _ in 0..12 {
            let mut child = command(&cli, slow.port(), arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // At that pace the first cannot be through before it is killed; later ones have less to do.
            std::thread::sleep(Duration::from_millis(random.below(800)));
            let _ = child.kill();
            killed += usize::from(child.wait().unwrap().signal().is_some());
            // What is there, is whole.
            let check = ["cache", "verify", "--cache", "there"];
            if cli.path("there").exists() {
                cli.run(&check).expect_code(0);
            }
        }
        assert!(killed > 0, "{killed} of {arguments:?}");
        with(&cli, slow.port(), arguments).expect_code(0);
    }
    assert_eq!(cli.files("here/artifacts"), cli.files("there/artifacts"));
    assert!(cli.files("there/arriving").is_empty());
}
