//! Text from outside: what a terminal or a browser would obey is shown, what would become a link stays text, and templates, addresses
//! and downloads take no more than they may.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use repro::visible::is_hidden;

use crate::fetch::{direct, file};
use crate::fixture::{CliTest, Output, finish, walk};
use crate::http_server::{Reply, Server};
use crate::small::{SMALL, run, small};

/// Clears the screen, turns the direction of writing around, and hides.
const HOSTILE: &str = "x\u{1b}[2J\u{202e}y\u{2066}\u{200f}";

/// Everything that was printed can be seen.
#[track_caller]
fn expect_visible(output: Output) -> Output {
    for text in [&output.stdout, &output.stderr] {
        let hidden: Vec<char> = text
            .chars()
            .filter(|&character| is_hidden(character) && !matches!(character, '\n' | '\t'))
            .collect();
        assert!(hidden.is_empty(), "{hidden:?} in {output:?}");
    }
    output
}

#[test]
fn errors_in_a_file_show_its_lines_as_they_are() {
    let cli = CliTest::new();
    let title = HOSTILE.replace('\u{1b}', "");
    for (text, line) in [
        // A control character in TOML is an error by itself.
        (format!("[experiment]\nname = \"{HOSTILE}\"\n"), 2),
        (
            format!("[experiment]\nname = \"small\"\ntitel = \"{title}\"\n"),
            3,
        ),
        (
            format!("[experiment]\nname = \"a\"\n[dataset.x]\nkind = \"{title}\"\n"),
            4,
        ),
        (
            format!("[experiment] # {title}\nname = \"a\"\n# {title}\nseeds = \"{title}\"\n"),
            4,
        ),
    ] {
        cli.write("bad.toml", &text);
        for arguments in [
            &["check", "bad.toml"][..],
            &["plan", "bad.toml"],
            &["run", "bad.toml"],
        ] {
            let output = expect_visible(cli.run(arguments).expect_code(2));
            output.expect_in_stderr(&[&format!("bad.toml:{line}:"), r"\u{202e}"]);
        }
        let records = expect_visible(cli.run(&["check", "--json", "bad.toml"]).expect_code(2));
        let records = records.json();
        assert!(records[0]["text"].as_str().is_some(), "{records}");
    }
    // The label stands below what it is about, although the line has become longer.
    cli.write(
        "bad.toml",
        format!("[experiment]\nname = \"a\" # é\n'{title}' = 1\n[dataset.{title}]\n"),
    );
    let output = expect_visible(cli.run(&["check", "bad.toml"]).expect_code(2));
    let lines: Vec<&str> = output.stderr.lines().collect();
    let at = lines.iter().position(|line| line.contains("3 │ ")).unwrap();
    let start = |line: &str, what: char| line.chars().position(|letter| letter == what).unwrap();
    assert_eq!(
        start(lines[at], '\''),
        start(lines[at + 1], '─'),
        "{output}"
    );
    let name = format!("{HOSTILE}.toml");
    cli.write(&name, "[experiment]\n");
    expect_visible(cli.run(&["check", &name]).expect_code(2));
    expect_visible(
        cli.run(&["check", &format!("no{HOSTILE}.toml")])
            .expect_code(2),
    );
}

#[test]
fn names_of_classes_and_files_are_shown_in_the_terminal_and_in_reports() {
    let cli = CliTest::new();
    cli.image_folder("photos", 6);
    for split in ["train", "test"] {
        fs::rename(
            cli.path(&format!("photos/{split}/dark")),
            cli.path(&format!("photos/{split}/{HOSTILE}")),
        )
        .unwrap();
    }
    cli.write(&format!("photos/test/light/{HOSTILE}.png"), "no image");
    let text = SMALL
        .replace("fashion-mnist", "image-folder")
        .replace("root = \"fashion\"", "root = \"photos\"")
        .replace("pool     = 2", "pool     = 2\non_bad_image = \"skip\"")
        .replace(
            "[[report.figure]]",
            "[metric.classes]\nkind = \"per-class\"\nof = \"probe\"\n\n[[report.table]]\nkind = \"per-class\"\nmetric = \"class_accuracy\"\nwhere = { timestep = 10, block = 1 }\n\n[[report.figure]]",
        )
        .replace(
            "name  = \"small\"",
            "name  = \"small\"\ntitle = \"https://evil.example, www.evil.example, @octocat, me@evil.example, #1, GH-2 \\u202e\\u001b[2J\"",
        );
    cli.write("photos.toml", text);
    expect_visible(cli.run(&["check", "photos.toml"]).expect_code(0));
    expect_visible(cli.run(&["plan", "photos.toml"]).expect_code(0));
    let checked = cli.run(&["data", "check", "photos.toml"]);
    expect_visible(checked).expect_in_stderr(&[]);
    expect_visible(cli.run(&["data", "stats", "photos.toml"]));
    let output = expect_visible(run(&cli, "photos.toml"));
    output.expect_in_stderr(&[r"\u{202e}", "does not decode"]);
    let answer = expect_visible(cli.run(&["query", "SELECT DISTINCT id FROM predictions"]));
    assert!(answer.stdout.contains(r"\u{202e}"), "{answer}");
    let answer =
        expect_visible(cli.run(&["query", "--json", "SELECT DISTINCT id FROM predictions"]));
    let ids = answer.json();
    let whole = ids
        .as_array()
        .unwrap()
        .iter()
        .any(|row| row["id"].as_str().unwrap().contains(HOSTILE));
    assert!(whole, "JSON means what is there: {ids}");

    let report = cli.read("reports/small.md");
    let hidden = report
        .chars()
        .filter(|&one| is_hidden(one) && one != '\n')
        .count();
    assert_eq!(hidden, 0, "{report}");
    let title = report.lines().find(|line| line.starts_with("# ")).unwrap();
    assert_eq!(
        title,
        r"# https:<span></span>//evil.example, www.<span></span>evil.example, @<span></span>octocat, me@<span></span>evil.example, #<span></span>1, GH-<span></span>2 \\u{202e}\\u{1b}\[2J"
    );
    for figure in walk(&cli.path("reports")) {
        if figure.extension().is_some_and(|ending| ending == "svg") {
            let svg = fs::read_to_string(&figure).unwrap();
            let hidden = svg
                .chars()
                .filter(|&one| is_hidden(one) && one != '\n')
                .count();
            assert_eq!(hidden, 0, "{}", figure.display());
        }
    }
}

#[test]
fn a_template_is_a_small_file_of_the_folder_and_ends() {
    let cli = small();
    cli.write(
        "loops.jinja",
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    );
    cli.write(
        "long.jinja",
        "{% for a in range(1000) %}{{ 'x' * 1000000 }}{% endfor %}",
    );
    cli.write("large.jinja", vec![b'x'; 2 << 20]);
    cli.write(
        "good.jinja",
        "---\ntitle: {{ name }}\n---\n{% for table in tables %}{{ table.body }}{% endfor %}",
    );
    symlink("/etc/passwd", cli.path("link.jinja")).unwrap();
    let with = |template: &str| {
        let output = "output = \"reports/small.md\"";
        let text = SMALL.replace(output, &format!("{output}\ntemplate = \"{template}\""));
        cli.write("small.toml", text);
    };
    for (template, says) in [
        ("/etc/passwd", "it lies outside of"),
        ("../../../../../../etc/passwd", "it lies outside of"),
        ("link.jinja", "it lies outside of"),
        ("/dev/zero", "it lies outside of"),
        ("fashion", "it is not a regular file"),
        ("large.jinja", "it has more than 1.0 MiB"),
        ("none.jinja", "No such file"),
    ] {
        with(template);
        let begun = Instant::now();
        let output = cli.run(&["run", "small.toml"]).expect_code(1);
        output.expect_in_stderr(&[&format!("cannot read the template `{template}`"), says]);
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert!(
            cli.files(".repro/artifacts").is_empty(),
            "it is found before anything is computed"
        );
    }
    with("good.jinja");
    run(&cli, "small.toml");
    let before = cli.read("reports/small.md");
    for (template, says) in [
        ("loops.jinja", "steps"),
        ("long.jinja", "longer than 64.0 MiB"),
    ] {
        with(template);
        let begun = Instant::now();
        let output = cli.run(&["report", "small.toml"]).expect_code(1);
        output.expect_in_stderr(&[&format!("{template}:1: "), says, "hint: shorten the loops"]);
        assert!(begun.elapsed() < Duration::from_mins(1));
        assert_eq!(cli.read("reports/small.md"), before);
    }
}

/// The option for the weights of a preset of which nobody has stated the size.
fn fetching<'a>(url: &'a str, to: &'a str) -> [&'a str; 9] {
    [
        "models",
        "fetch",
        "adm-64-cond",
        "--url",
        url,
        "--hurry",
        "20",
        "--to",
        to,
    ]
}

#[test]
fn a_password_in_an_address_is_used_and_neither_told_nor_kept() {
    let content = file(300_000, 3);
    let served = content.clone();
    let server = Server::start(move |asked| match asked.number {
        0 => Reply::file(&served, "\"one\"", asked).cut(100_000),
        1 => Reply::new(503, b""),
        _ => Reply::file(&served, "\"one\"", asked),
    });
    let cli = CliTest::new();
    let url = server
        .url("weights.pt")
        .replace("http://", "http://me:opensesame@");
    let told = server.url("weights.pt");
    let output = finish(direct(&cli, &fetching(&url, "weights")).output().unwrap()).expect_code(0);
    assert!(!format!("{output}").contains("sesame"), "{output}");
    output.expect_in_stderr(&[&told]);
    let json = [&fetching(&url, "weights")[..], &["--json"]].concat();
    let output = finish(direct(&cli, &json).output().unwrap()).expect_code(0);
    assert_eq!(output.json()["url"], told.as_str());
    assert!(cli.read("weights/fetched.toml").contains(&told));
    // Whatever goes wrong, and in what stays behind.
    let broken = Server::start(|asked| {
        Reply::file(&file(300_000, 4), "\"two\"", asked).cut(1000 * (1 - asked.number.min(1)) + 1)
    });
    let broken = broken
        .url("weights.pt")
        .replace("http://", "http://me:opensesame@");
    for url in [
        &broken,
        "http://me:opensesame@127.0.0.1:1/a.pt",
        "ftp://me:opensesame@a.b/c",
        "http://me:opensesame@",
    ] {
        let output = finish(direct(&cli, &fetching(url, "other")).output().unwrap());
        assert!(output.code.is_some_and(|code| code > 0), "{output}");
        assert!(!format!("{output}").contains("sesame"), "{output}");
    }
    for (name, bytes) in cli.files("weights").into_iter().chain(cli.files("other")) {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("sesame"), "{name}: {text}");
    }
}

#[test]
fn a_download_of_unknown_size_leaves_room_on_the_disk() {
    // 48 MiB more than are left free; the server would send 128.
    const SIZE: &str = "560m";
    let server = Server::start(|_| Reply::new(200, &vec![1; 128 << 20]).without("Content-Length"));
    let cli = CliTest::new();
    fs::create_dir(cli.path("disk")).unwrap();
    let script = r#"mount -t tmpfs -o size="$1" tmpfs disk || exit 77; shift; "$@"; code=$?; stat -c %s disk/*.partial; exit $code"#;
    let url = server.url("weights.pt");
    let program = direct(&cli, &fetching(&url, "disk"));
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", script, "sh", SIZE])
        .arg(program.get_program())
        .args(program.get_args())
        .env("NO_PROXY", "*")
        .current_dir(cli.path("."))
        .output();
    let output = match output {
        Ok(output) => finish(output),
        Err(error) => return println!("skipped: cannot run unshare: {error}"),
    };
    if output.code == Some(77) || output.stderr.contains("unshare: ") {
        return println!("skipped: this machine does not let a user mount a file system: {output}");
    }
    let output = output.expect_code(3);
    let kept: u64 = output.stdout.trim().parse().unwrap();
    assert!(
        (16 << 20..=48 << 20).contains(&kept),
        "{kept} bytes: {output}"
    );
    output.expect_in_stderr(&[
        "nobody says how long the file is",
        "512.0 MiB are left free",
        "hint: free some space, or name a folder on another disk",
    ]);
}
