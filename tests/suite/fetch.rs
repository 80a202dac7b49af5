//! `repro models fetch` against a server on this machine that breaks off, changes its mind, lies, or says nothing.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{CliTest, Output, finish, with_snapshots};
use crate::http_server::{Asked, Reply, Server};

/// A preset whose digest nobody has stated, and its file.
const PRESET: &str = "adm-64-cond";
const FILE: &str = "data/weights/64x64_diffusion.pt";
const ONE: &str = "\"one\"";
const TWO: &str = "\"two\"";

/// A file of `size` bytes that repeats nowhere near.
pub fn file(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let bytes = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(state >> 56).unwrap()
    });
    bytes.take(size).collect()
}

/// A call of the program, twenty times as hasty as usual.
fn command(cli: &CliTest, url: &str, arguments: &[&str]) -> Command {
    let all = ["models", "fetch", PRESET, "--url", url, "--hurry", "20"];
    direct(cli, &[&all, arguments].concat())
}

/// A call of the program that asks no proxy.
pub fn direct(cli: &CliTest, arguments: &[&str]) -> Command {
    let mut command = cli.command(arguments);
    command.env("NO_PROXY", "*");
    command
}

fn fetch(cli: &CliTest, server: &Server, arguments: &[&str]) -> Output {
    let url = server.url("weights.pt");
    finish(command(cli, &url, arguments).output().unwrap())
}

/// The names in the folder of the weights, but for the list.
fn names(cli: &CliTest) -> Vec<String> {
    let names = cli.files("data/weights").into_keys();
    names.filter(|name| name != "fetched.toml").collect()
}

#[track_caller]
fn expect_whole(cli: &CliTest, content: &[u8]) {
    assert!(fs::read(cli.path(FILE)).unwrap() == content, "other bytes");
    assert_eq!(names(cli), ["64x64_diffusion.pt"]);
}

#[test]
fn a_file_is_brought_once_and_its_digest_is_recorded() {
    let content = file(300_000, 1);
    let served = content.clone();
    let server = Server::start(move |asked| Reply::file(&served, ONE, asked));
    let cli = CliTest::new();
    let output = fetch(&cli, &server, &[]).expect_code(0);
    assert_eq!(output.stdout, format!("./{FILE}\n"));
    output.expect_in_stderr(&["fetching http://127.0.0.1", "nobody has stated its SHA-256"]);
    expect_whole(&cli, &content);
    let list = cli.read("data/weights/fetched.toml");
    for text in [
        "name = \"64x64_diffusion.pt\"",
        "bytes = 300000",
        "verified = false",
        "how = \"fetched\"",
    ] {
        assert!(list.contains(text), "no `{text}` in {list}");
    }

    let again = fetch(&cli, &server, &["--json"]).expect_code(0);
    let record = again.json();
    assert_eq!(record["how"], "found");
    assert_eq!(record["proof"], "recorded");
    assert_eq!(record["bytes"], 300_000);
    let digest = record["sha256"].as_str().unwrap().to_owned();
    assert!(list.contains(&digest));
    again.expect_in_stderr(&["is there already", "is the one recorded on"]);
    assert_eq!(server.asked().len(), 1, "nothing is fetched twice");
    assert_eq!(cli.read("data/weights/fetched.toml"), list);

    fetch(&cli, &server, &["--force", "--sha256", &digest])
        .expect_code(0)
        .expect_in_stderr(&["is the stated one (as given with --sha256)"]);
    assert_eq!(server.asked().len(), 2);
    expect_whole(&cli, &content);
    let list = cli.read("data/weights/fetched.toml");
    assert!(list.contains("verified = true"), "{list}");

    let there = cli.path("there");
    let to = there.to_str().unwrap();
    let output = fetch(&cli, &server, &["--to", to]).expect_code(0);
    assert_eq!(output.stdout, format!("{to}/64x64_diffusion.pt\n"));
}

#[test]
fn what_breaks_off_goes_on_and_no_byte_is_sent_twice() {
    let content = file(1_000_000, 2);
    let served = content.clone();
    let server = Server::start(move |asked| Reply::file(&served, ONE, asked).cut(300_000));
    let cli = CliTest::new();
    let output = fetch(&cli, &server, &[]).expect_code(0);
    output.expect_in_stderr(&["broke off at 293.0 KiB", "(retry 1 of 5)", "again, from"]);
    expect_whole(&cli, &content);
    assert_eq!(
        server.from(),
        [None, Some(300_000), Some(600_000), Some(900_000)]
    );
    let named = server.asked()[1..]
        .iter()
        .all(|asked| asked.if_range.as_deref() == Some(ONE));
    assert!(named, "{:?}", server.asked());
    assert_eq!(server.sent(), content.len());
}

#[test]
fn a_server_that_always_breaks_at_the_same_byte_is_given_up_and_the_next_call_goes_on() {
    let content = file(500_000, 3);
    let served = content.clone();
    let server = Server::start(move |asked| match asked.number {
        0 => Reply::file(&served, ONE, asked).cut(200_000),
        1..6 => Reply::new(503, b"later"),
        _ => Reply::file(&served, ONE, asked),
    });
    let cli = CliTest::new();
    fetch(&cli, &server, &[]).expect_code(3).expect_in_stderr(&[
        "tried 6 times: the server answers 503 (out of order)",
        "195.3 KiB of 488.3 KiB are kept in ./data/weights/64x64_diffusion.pt.partial; the same command resumes",
    ]);
    assert_eq!(
        names(&cli),
        [
            "64x64_diffusion.pt.partial",
            "64x64_diffusion.pt.partial.toml"
        ]
    );
    fetch(&cli, &server, &[]).expect_code(0);
    expect_whole(&cli, &content);
    assert_eq!(server.sent(), content.len() + 5 * "later".len());
}

#[test]
fn a_server_without_ranges_begins_anew() {
    let content = file(400_000, 4);
    let served = content.clone();
    let server = Server::start(move |asked| {
        let whole = Reply::new(200, &served).with("ETag", ONE);
        whole.cut(if asked.number < 2 { 150_000 } else { 400_000 })
    });
    let cli = CliTest::new();
    fetch(&cli, &server, &[])
        .expect_code(0)
        .expect_in_stderr(&["starts over", "the server sends the whole file"]);
    expect_whole(&cli, &content);
    assert_eq!(server.from(), [None, Some(150_000), Some(150_000)]);
}

#[test]
fn another_version_in_between_begins_anew() {
    let (old, new) = (file(400_000, 5), file(400_000, 6));
    // A decent server looks at `If-Range`; the other one only shows another tag.
    for decent in [true, false] {
        let (old, fresh) = (old.clone(), new.clone());
        let server = Server::start(move |asked: &Asked| match (asked.number, asked.from) {
            (0, _) => Reply::file(&old, ONE, asked).cut(100_000),
            (_, Some(_)) if !decent => {
                let mut asked = asked.clone();
                asked.if_range = None;
                Reply::file(&fresh, TWO, &asked)
            }
            _ => Reply::file(&fresh, TWO, asked),
        });
        let cli = CliTest::new();
        fetch(&cli, &server, &[])
            .expect_code(0)
            .expect_in_stderr(&["starts over", "another version of the file by now"]);
        expect_whole(&cli, &new);
        let from = server.from();
        assert_eq!(from[..2], [None, Some(100_000)]);
        assert_eq!(from.len(), if decent { 2 } else { 3 }, "{from:?}");
    }
}

#[test]
fn ranges_that_were_not_asked_for_are_refused() {
    let content = file(300_000, 7);
    let server = Server::start(move |asked| {
        let reply = Reply::file(&content, ONE, asked).cut(100_000);
        match asked.from {
            None => reply,
            Some(_) => reply.with("Content-Range", "bytes 0-299999/300000"),
        }
    });
    let cli = CliTest::new();
    fetch(&cli, &server, &[]).expect_code(3).expect_in_stderr(&[
        "from 100000 on",
        "bytes 0-299999/300000",
        "hint: ",
    ]);
    let partial = fs::read(cli.path(&format!("{FILE}.partial"))).unwrap();
    assert_eq!(partial.len(), 100_000, "nothing of it was taken");
}

#[test]
fn beyond_the_end_is_the_end_or_another_file() {
    for (total, requests) in [(200_000, 1), (150_000, 2)] {
        let content = file(total, 8);
        let served = content.clone();
        let server = Server::start(move |asked| Reply::file(&served, ONE, asked));
        let cli = CliTest::new();
        // Left by a call to which the server had not reported how long the file is.
        cli.write(&format!("{FILE}.partial"), file(200_000, 8));
        let description = format!("url = '{}'\netag = '{ONE}'\n", server.url("weights.pt"));
        cli.write(&format!("{FILE}.partial.toml"), description);
        fetch(&cli, &server, &[]).expect_code(0);
        expect_whole(&cli, &content);
        assert_eq!(server.asked().len(), requests);
    }
}

#[test]
fn a_wrong_digest_is_set_aside_and_never_put_in_place() {
    let content = file(100_000, 9);
    let served = content.clone();
    let server = Server::start(move |asked| Reply::file(&served, ONE, asked));
    let cli = CliTest::new();
    let wrong = "0".repeat(64);
    for rejected in [
        "64x64_diffusion.pt.rejected",
        "64x64_diffusion.pt.rejected-2",
    ] {
        let output = fetch(&cli, &server, &["--sha256", &wrong]).expect_code(3);
        assert_eq!(output.stdout, "");
        output.expect_in_stderr(&[
            &format!("SHA-256 expected: {wrong} (as given with --sha256)"),
            "SHA-256 found:    ",
            &format!("set aside as ./data/weights/{rejected}"),
        ]);
        let kept = fs::read(cli.path(&format!("data/weights/{rejected}"))).unwrap();
        assert!(kept == content);
    }
    assert_eq!(
        names(&cli),
        [
            "64x64_diffusion.pt.rejected",
            "64x64_diffusion.pt.rejected-2"
        ]
    );
    assert!(!cli.path("data/weights/fetched.toml").exists());
}

#[test]
fn a_file_that_changed_since_it_was_recorded_is_set_aside() {
    let (old, new) = (file(100_000, 10), file(100_000, 11));
    let (first, second) = (old.clone(), new.clone());
    let server = Server::start(move |asked| match asked.number {
        0 => Reply::file(&first, ONE, asked),
        _ => Reply::file(&second, TWO, asked),
    });
    let cli = CliTest::new();
    fetch(&cli, &server, &[]).expect_code(0);
    let list = cli.read("data/weights/fetched.toml");
    fetch(&cli, &server, &["--force"])
        .expect_code(3)
        .expect_in_stderr(&[
            "is not what was fetched on 20",
            "SHA-256 recorded: ",
            "SHA-256 found:    ",
            "results made with",
            "take the entry of the old one out of ./data/weights/fetched.toml",
        ]);
    assert!(fs::read(cli.path(FILE)).unwrap() == old);
    assert!(fs::read(cli.path(&format!("{FILE}.rejected"))).unwrap() == new);
    assert_eq!(cli.read("data/weights/fetched.toml"), list);

    // The list alone is enough, as after a fresh checkout that has it.
    fs::remove_file(cli.path(FILE)).unwrap();
    fetch(&cli, &server, &[])
        .expect_code(3)
        .expect_in_stderr(&["is not what was fetched on 20"]);
    assert!(!cli.path(FILE).exists());

    // A file that was changed here.
    cli.write(FILE, &new);
    fetch(&cli, &server, &[])
        .expect_code(3)
        .expect_in_stderr(&["is there, but it is another file", "--force"]);
    // As the message says: without the entry the new file is taken.
    fs::remove_file(cli.path("data/weights/fetched.toml")).unwrap();
    fetch(&cli, &server, &[]).expect_code(0);
}

#[test]
fn a_file_of_another_size_is_refused_before_its_first_byte() {
    let server = Server::start(|asked| Reply::file(&file(1000, 12), ONE, asked));
    let cli = CliTest::new();
    let url = server.url("weights.pt");
    let arguments = ["models", "fetch", "adm-256-uncond", "--url", &url];
    let output = finish(direct(&cli, &arguments).output().unwrap()).expect_code(3);
    output.expect_in_stderr(&[
        "1,000 bytes",
        "2,211,383,297",
        "third parties",
        "look at the address",
    ]);
    assert_eq!(names(&cli), [""; 0]);
}

#[test]
fn what_is_not_the_file_is_refused_at_once_and_what_may_pass_is_tried_again() {
    let cli = CliTest::new();
    for (reply, says) in [
        (Reply::new(404, b"none"), "404 (there is no such file)"),
        (Reply::new(403, b"no"), "403 (forbidden)"),
        (
            Reply::new(200, b"<html>").with("Content-Type", "text/html"),
            "a web page",
        ),
        (
            Reply::new(200, b"xyz").with("Content-Encoding", "gzip"),
            "compressed",
        ),
    ] {
        let server = Server::start(move |_| reply.clone());
        fetch(&cli, &server, &[])
            .expect_code(3)
            .expect_in_stderr(&[says, "hint: "]);
        assert_eq!(server.asked().len(), 1, "{says}");
        assert_eq!(names(&cli), [""; 0], "{says}");
    }
    let content = file(1000, 13);
    let served = content.clone();
    let server = Server::start(move |asked| match asked.number {
        0 => Reply::new(500, b"oh"),
        _ => Reply::file(&served, ONE, asked),
    });
    fetch(&cli, &server, &[])
        .expect_code(0)
        .expect_in_stderr(&["the server answers 500", "(retry 1 of 5)"]);
    expect_whole(&cli, &content);
}

#[test]
fn redirections_are_followed_but_not_for_ever() {
    let content = file(1000, 14);
    let served = content.clone();
    let server = Server::start(move |asked| match asked.path.as_str() {
        "/weights.pt" => Reply::new(302, b"").with("Location", "/there.pt"),
        "/there.pt" => Reply::file(&served, ONE, asked),
        _ => Reply::new(301, b"").with("Location", "/round.pt"),
    });
    let cli = CliTest::new();
    fetch(&cli, &server, &[]).expect_code(0);
    expect_whole(&cli, &content);
    let cli = CliTest::new();
    finish(
        command(&cli, &server.url("round.pt"), &[])
            .output()
            .unwrap(),
    )
    .expect_code(2)
    .expect_in_stderr(&["it leads on and on"]);
}

#[test]
fn a_server_that_falls_silent_is_left_and_asked_again() {
    let content = file(300_000, 15);
    let served = content.clone();
    let server = Server::start(move |asked| match asked.number {
        0 => Reply::file(&served, ONE, asked).cut(100_000).then_silent(),
        _ => Reply::file(&served, ONE, asked),
    });
    let cli = CliTest::new();
    let url = server.url("weights.pt");
    let arguments = ["models", "fetch", PRESET, "--url", &url, "--hurry", "100"];
    finish(direct(&cli, &arguments).output().unwrap())
        .expect_code(0)
        .expect_in_stderr(&["nothing arrived for 0.6 s"]);
    expect_whole(&cli, &content);
    assert_eq!(server.sent(), content.len());
}

#[test]
fn a_server_that_is_not_there_is_a_clear_error() {
    let cli = CliTest::new();
    // Nobody listens at port 1.
    finish(
        command(&cli, "http://127.0.0.1:1/a.pt", &[])
            .output()
            .unwrap(),
    )
    .expect_code(3)
    .expect_in_stderr(&[
        "cannot reach 127.0.0.1:1, tried 3 times: ",
        "nothing has come so far",
        "HTTPS_PROXY",
        "./data/weights/64x64_diffusion.pt",
    ]);
    assert_eq!(names(&cli), [""; 0]);
}

/// Starts a fetch, and waits until so many bytes are there.
fn start_and_wait(cli: &CliTest, server: &Server, bytes: u64) -> Child {
    let mut child = command(cli, &server.url("weights.pt"), &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let partial = cli.path(&format!("{FILE}.partial"));
    let begun = Instant::now();
    while fs::metadata(&partial).map_or(0, |partial| partial.len()) < bytes {
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        assert!(begun.elapsed() < Duration::from_secs(30), "no bytes come");
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

/// A server that takes about two seconds for a megabyte on the first request.
fn slow_server(content: &[u8]) -> Server {
    let served = content.to_vec();
    Server::start(move |asked| {
        let reply = Reply::file(&served, ONE, asked);
        match asked.number {
            0 => reply.slowly(Duration::from_millis(30)),
            _ => reply,
        }
    })
}

#[test]
fn a_killed_and_a_stopped_fetch_go_on_where_they_were() {
    let content = file(1 << 20, 16);
    for name in ["KILL", "INT"] {
        let server = slow_server(&content);
        let cli = CliTest::new();
        let child = start_and_wait(&cli, &server, 100_000);
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", child.id())])
            .status();
        assert!(status.unwrap().success());
        let output = finish(child.wait_with_output().unwrap());
        if name == "INT" {
            output.expect_code(130).expect_in_stderr(&[
                "stopping at once; what came is kept",
                "are kept in ./data/weights/64x64_diffusion.pt.partial; the same command resumes from there",
            ]);
        } else {
            assert_eq!(output.code, None, "{output}");
        }
        let kept = fs::metadata(cli.path(&format!("{FILE}.partial"))).unwrap();
        assert!(kept.len() < content.len() as u64, "{name} came too late");
        assert!(!cli.path(FILE).exists());

        fetch(&cli, &server, &[]).expect_code(0);
        expect_whole(&cli, &content);
        assert_eq!(server.from(), [None, Some(kept.len())], "{name}");
    }
}

#[test]
fn two_at_once_bring_a_file_once() {
    let content = file(1 << 20, 17);
    let server = slow_server(&content);
    let cli = CliTest::new();
    let first = start_and_wait(&cli, &server, 1);
    let second = fetch(&cli, &server, &[]).expect_code(0);
    finish(first.wait_with_output().unwrap()).expect_code(0);
    second.expect_in_stderr(&["waiting for process ", "is there already"]);
    assert_eq!(server.asked().len(), 1);
    expect_whole(&cli, &content);
}

#[test]
fn folders_that_cannot_be_used_are_named() {
    let content = file(1000, 18);
    let server = Server::start(move |asked| Reply::file(&content, ONE, asked));
    let cli = CliTest::new();
    cli.write("plain", "no folder");
    fetch(&cli, &server, &["--to", "plain"])
        .expect_code(3)
        .expect_in_stderr(&["plain", "Not a directory"]);
    fetch(&cli, &server, &["--to", "/proc/none"])
        .expect_code(3)
        .expect_in_stderr(&["cannot make the folder /proc/none"]);
    cli.write("data/weights/fetched.toml", "format = 7\n");
    fetch(&cli, &server, &[])
        .expect_code(3)
        .expect_in_stderr(&["fetched.toml", "format 7"]);
    assert!(!cli.path(FILE).exists());
}

#[test]
fn a_disk_without_room_is_seen_beforehand() {
    let content = file(600_000, 19);
    let served = content.clone();
    // The second answer does not say how long the file is.
    let server = Server::start(move |asked| match asked.number {
        0 => Reply::file(&served, ONE, asked),
        1 => Reply::file(&served, ONE, asked).without("Content-Length"),
        _ => Reply::new(404, b""),
    });
    let cli = CliTest::new();
    fs::create_dir_all(cli.path("data/weights")).unwrap();
    let run = command(&cli, &server.url("weights.pt"), &[]);
    let words: Vec<_> = run.get_args().map(|word| word.to_str().unwrap()).collect();
    let program = format!("'{}' '{}'", run.get_program().display(), words.join("' '"));
    // A file system of 256 KiB in a user namespace of its own, which not every machine allows.
    let script = format!(
        "mount -t tmpfs -o size=256k tmpfs data/weights || exit 77
         {program}; test $? = 3 || exit 1; ls -s data/weights; {program}; code=$?
         test ! -e data/weights/64x64_diffusion.pt.partial || exit 2; exit $code"
    );
    let mut unshare = Command::new("unshare");
    unshare
        .args(["-rm", "sh", "-c", &script])
        .env("NO_PROXY", "*");
    let output = match unshare.current_dir(cli.path("")).output() {
        Ok(output) => finish(output),
        Err(error) => return println!("skipped: cannot run unshare: {error}"),
    };
    if output.code == Some(77) || output.stderr.contains("unshare: ") {
        return println!("skipped: a user may not mount a small file system here: {output}");
    }
    let output = output.expect_code(3).expect_in_stderr(&[
        "no room for ./data/weights/64x64_diffusion.pt.partial: 585.9 KiB are to come, ",
        "nobody says how long the file is",
        "hint: free some space",
    ]);
    assert_eq!(output.stderr.matches("no room for ").count(), 2, "{output}");
}

#[test]
fn what_can_be_fetched_is_listed() {
    let cli = CliTest::new();
    let list = cli.run(&["models", "fetch"]).expect_code(0);
    let help = cli.run(&["models", "fetch", "--help"]).expect_code(0);
    with_snapshots(&cli, || {
        insta::assert_snapshot!("models-fetch", list.stdout);
        insta::assert_snapshot!("help-models-fetch", help.stdout);
    });
    let records = cli
        .run(&["models", "fetch", "--json"])
        .expect_code(0)
        .json();
    let records = records.as_array().unwrap();
    assert_eq!(records.len(), 52);
    let stated = |record: &serde_json::Value| record["sha256"].is_string();
    assert_eq!(records.iter().filter(|record| stated(record)).count(), 11);
    for (arguments, says) in [
        (
            &["models", "fetch", "adm-nano"][..],
            "no weights are published",
        ),
        (
            &["models", "fetch", "adm-64-con"],
            "did you mean `adm-64-cond`?",
        ),
        (&["models", "fetch", "x"], "hint: one of `sd-vae`, "),
        (&["models", "fetch", "--force"], "NAME"),
        (&["models", "fetch", PRESET, "--url", "a.pt"], "a.pt"),
        (
            &["models", "fetch", PRESET, "--sha256", "12"],
            "64 hexadecimal",
        ),
        (
            &[
                "models",
                "fetch",
                "adm-256-uncond",
                "--sha256",
                &"0".repeat(64),
            ],
            "is known for this file",
        ),
    ] {
        cli.run(arguments).expect_code(2).expect_in_stderr(&[says]);
    }
    assert!(!cli.path("data").exists(), "nothing is made");
}
