//! A remote that a web server gives out: ranges, broken connections, servers without ranges. The server gives what is in a folder that
//! was pushed to.

use std::fs;
use std::path::PathBuf;

use super::{become_another_machine, events, expect_nothing_computed, manifests, run_with};
use crate::fixture::CliTest;
use crate::http_server::{Asked, Reply, Server};
use crate::small::{run, small};

/// The small experiment, computed and pushed into `shared`.
fn pushed() -> CliTest {
    let cli = small();
    run(&cli, "small.toml");
    cli.run(&["cache", "push", "shared"]).expect_code(0);
    cli
}

/// A server that gives the files of a folder, as `change` has them.
fn serving(folder: PathBuf, change: impl Fn(&Asked, Reply) -> Reply + Send + 'static) -> Server {
    Server::start(move |asked| {
        let path = folder.join(asked.path.trim_start_matches('/'));
        match fs::read(path) {
            Ok(bytes) => change(asked, Reply::file(&bytes, "\"one\"", asked)),
            Err(_) => Reply::new(404, b"there is nothing"),
        }
    })
}

/// Whether an answer is about the weights of a head.
fn is_weights(asked: &Asked) -> bool {
    asked.path.ends_with("head.safetensors")
}

#[test]
fn a_run_takes_what_a_web_server_gives() {
    let cli = pushed();
    let reports = cli.files("reports");
    become_another_machine(&cli);
    let server = serving(cli.path(""), |_, reply| reply);
    let url = server.url("shared");
    run_with(&cli, &["--remote", &url]).expect_code(0);
    expect_nothing_computed(&events(&cli));
    assert_eq!(cli.files("reports"), reports);
    // It cannot be asked for all that it has, and takes nothing.
    let all = cli.run(&["cache", "pull", &url]).expect_code(2);
    assert!(all.stderr.contains("does not list"), "{all}");
    let push = cli.run(&["cache", "push", &url]).expect_code(2);
    assert!(push.stderr.contains("nothing can be put into"), "{push}");
}

#[test]
fn a_download_goes_on_where_the_connection_broke() {
    let cli = pushed();
    become_another_machine(&cli);
    // Every answer about weights ends after 1,000 bytes.
    let server = serving(cli.path("shared"), |asked, reply| {
        if is_weights(asked) {
            reply.cut(1_000)
        } else {
            reply
        }
    });
    let url = server.url("");
    cli.run(&["cache", "pull", &url, "small.toml"])
        .expect_code(0);
    cli.run(&["cache", "verify"]).expect_code(0);
    assert_eq!(manifests(&cli)["head"], 8);
    let asked = server.asked();
    let ranges = asked.iter().filter(|asked| is_weights(asked));
    let later: Vec<u64> = ranges
        .filter_map(|asked| asked.from)
        .filter(|&from| from > 0)
        .collect();
    assert!(
        !later.is_empty() && later.iter().all(|from| from % 1_000 == 0),
        "{later:?}"
    );
}

#[test]
fn a_server_without_ranges_gives_whole_files() {
    let cli = pushed();
    become_another_machine(&cli);
    let folder = cli.path("shared");
    let server = Server::start(move |asked| {
        match fs::read(folder.join(asked.path.trim_start_matches('/'))) {
            Ok(bytes) => Reply::new(200, &bytes),
            Err(_) => Reply::new(404, b"there is nothing"),
        }
    });
    run_with(&cli, &["--remote", &server.url("")]).expect_code(0);
    expect_nothing_computed(&events(&cli));
    cli.run(&["cache", "verify"]).expect_code(0);
}

#[test]
fn what_has_come_before_a_failure_is_not_fetched_again() {
    let cli = pushed();
    become_another_machine(&cli);
    let given = serving(cli.path("shared"), |asked, reply| {
        // Some bytes, then nothing but refusals.
        if is_weights(asked) {
            match asked.from {
                Some(0) | None => reply.cut(500),
                Some(_) => Reply::new(404, b"gone"),
            }
        } else {
            reply
        }
    });
    cli.run(&["cache", "pull", &given.url(""), "small.toml"])
        .expect_code(4);
    drop(given);
    assert!(!manifests(&cli).contains_key("head"));
    let begun = cli.files(".repro/arriving");
    let begun = begun
        .iter()
        .filter(|(path, _)| path.ends_with("head.safetensors"));
    assert!(
        begun
            .map(|(_, bytes)| bytes.len())
            .any(|bytes| bytes == 500)
    );
    let server = serving(cli.path("shared"), |_, reply| reply);
    cli.run(&["cache", "pull", &server.url(""), "small.toml"])
        .expect_code(0);
    let asked = server.asked();
    let resumed = asked
        .iter()
        .filter(|asked| is_weights(asked) && asked.from == Some(500));
    assert!(resumed.count() > 0);
    cli.run(&["cache", "verify"]).expect_code(0);
    assert!(cli.files(".repro/arriving").is_empty());
}
