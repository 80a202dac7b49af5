//! Credentials are in nothing that a command prints or leaves.

use std::process::Command;

use super::run_with;
use crate::fixture::{CliTest, Output, finish};
use crate::http_server::{Reply, Server};
use crate::small::{run, small};

const SECRET: &str = "wJalrXUtnFEMI-verysecret";
const KEY: &str = "AKIAVERYSECRETID";
const TOKEN: &str = "session-verysecret-token";

/// The program with credentials for a store at an address.
fn with_credentials(cli: &CliTest, endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = cli.command(arguments);
    command
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_SESSION_TOKEN", TOKEN)
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "us-east-1");
    command
}

/// No file below the folder, and neither stream, has a secret.
#[track_caller]
fn expect_no_secret(cli: &CliTest, output: &Output) {
    for secret in [SECRET, KEY, TOKEN] {
        assert!(
            !output.stdout.contains(secret) && !output.stderr.contains(secret),
            "{output}"
        );
        for (path, bytes) in cli.files("") {
            let is_there = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!is_there, "{path} holds {secret}");
        }
    }
}

#[test]
fn a_refusal_that_repeats_the_credentials_is_told_without_them() {
    let cli = small();
    let body = format!(
        "<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>{KEY}</AWSAccessKeyId><Hint>{SECRET} {TOKEN}</Hint></Error>"
    );
    let server = Server::start(move |_| Reply::new(403, body.as_bytes()));
    let endpoint = server.url("").trim_end_matches('/').to_owned();
    let with = |arguments: &[&str]| {
        let mut command = with_credentials(&cli, &endpoint, arguments);
        finish(command.output().unwrap())
    };
    let usual = [
        "run",
        "small.toml",
        "--device",
        "cpu",
        "--json-log",
        "log.jsonl",
    ];
    let output = with(&[&usual[..], &["--verbose", "--remote", "s3://bucket/x"]].concat());
    assert!(
        output.stderr.contains("warning: the remote s3://bucket/x"),
        "{output}"
    );
    let output = output.expect_code(0);
    assert!(
        server
            .asked()
            .iter()
            .any(|asked| asked.path.starts_with("/bucket/x/"))
    );
    expect_no_secret(&cli, &output);
    for command in [
        &["cache", "push", "s3://bucket/x"][..],
        &["cache", "pull", "s3://bucket/x"],
    ] {
        let output = with(command).expect_code(4);
        assert!(output.stderr.contains("SignatureDoesNotMatch"), "{output}");
        expect_no_secret(&cli, &output);
    }
}

#[test]
fn an_address_with_a_password_or_a_query_is_refused_and_not_repeated() {
    let cli = small();
    for url in [
        format!("s3://me:{SECRET}@bucket/x"),
        format!("https://{SECRET}@host/x"),
        format!("https://host/x?sig={SECRET}"),
    ] {
        let typed = run_with(&cli, &["--remote", &url]).expect_code(2);
        assert!(typed.stderr.contains("environment"), "{typed}");
        assert!(!typed.stderr.contains(SECRET), "{typed}");
        for command in ["push", "pull", "sync"] {
            let output = cli.run(&["cache", command, &url]).expect_code(2);
            assert!(!output.stderr.contains(SECRET), "{output}");
        }
        cli.write("repro.toml", format!("[remote]\nurl = \"{url}\"\n"));
        for command in [&["plan", "small.toml"][..], &["cache", "pull"]] {
            let output = cli.run(command).expect_code(2);
            assert!(!output.stderr.contains(SECRET), "{output}");
        }
        cli.write("repro.toml", "");
    }
    let output = run(&cli, "small.toml");
    expect_no_secret(&cli, &output);
}
