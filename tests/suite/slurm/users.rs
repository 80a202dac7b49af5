//! Two users who submit the same experiment at the same time, each from a project of their own, with one cache that their group shares.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{executor, results, wait_until_done, whole};
use crate::fixture::{CliTest, finish, root, walk};
use crate::small::{SMALL, TEST, TRAIN, expect_same};

/// The program as it was built.
const PROGRAM: &str = env!("CARGO_BIN_EXE_repro");

/// Somebody who has an account, and makes files with a mask of their own.
struct User {
    name: &'static str,
    id: u32,
    group: u32,
    mask: &'static str,
}

/// Two accounts without any right that every Debian has, and a group for both.
const ACCOUNTS: [(&str, &str); 2] = [("daemon", "022"), ("nobody", "077")];
const GROUP: &str = "users";

/// The number behind a name in `/etc/passwd` or `/etc/group`.
fn number(file: &str, name: &str) -> Option<u32> {
    let text = fs::read_to_string(file).ok()?;
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let line = lines.find(|fields| fields[0] == name)?;
    line.get(2)?.parse().ok()
}

/// The two users; or why there are none on this machine.
fn users() -> Result<Vec<User>, String> {
    let group =
        number("/etc/group", GROUP).ok_or_else(|| format!("there is no group `{GROUP}`"))?;
    let mut users = Vec::new();
    for (name, mask) in ACCOUNTS {
        let id =
            number("/etc/passwd", name).ok_or_else(|| format!("there is no account `{name}`"))?;
        users.push(User {
            name,
            id,
            group,
            mask,
        });
    }
    for user in &users {
        let tried = user.command(Path::new("/"), &["--version"]).output();
        let output = finish(tried.map_err(|error| format!("`sh` as {}: {error}", user.name))?);
        if output.code != Some(0) {
            return Err(format!("{} cannot start {PROGRAM}: {output}", user.name));
        }
    }
    Ok(users)
}

impl User {
    /// The program, started by this user in a folder.
    fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "umask $0 && exec \"$@\"", self.mask, PROGRAM])
            .args(arguments)
            .current_dir(folder)
            .uid(self.id)
            .gid(self.group)
            .env("USER", self.name)
            .env("HOME", folder)
            .env("REPRO_SHARE", root())
            .env("OMP_NUM_THREADS", "1")
            .env_remove("REPRO_CACHE");
        command
    }

    /// Gives a folder to the user, with all that is in it.
    fn give(&self, folder: &Path) {
        for place in everything(folder) {
            chown(place, Some(self.id), Some(self.group)).unwrap();
        }
    }
}

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Everything in a folder, and itself.
fn everything(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(everything(&path));
        } else {
            all.push(path);
        }
    }
    all
}

/// What the records of all jobs say that they made; what was made twice stands there twice.
fn made(runs: &Path) -> Vec<String> {
    let mut made = Vec::new();
    for file in walk(runs) {
        for line in fs::read_to_string(file).unwrap().lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            let field = |name: &str| event[name].to_string();
            match event["event"].as_str() {
                Some("shard-committed") => {
                    made.push(format!("{} {}", field("job"), field("shard")));
                }
                Some("head-finished" | "metric-finished") => made.push(field("label")),
                _ => {}
            }
        }
    }
    made.sort();
    made
}

#[test]
#[ignore = "needs a Slurm, which `./test --slurm` starts; half a minute"]
fn needs_slurm_two_users_share_a_cache() {
    let users = match users() {
        Ok(users) => users,
        Err(why) => {
            // Not by `eprintln`, whose words are kept back where a test succeeds.
            let said = format!("\nSKIPPED: two users of one cache were not tested, since {why}\n");
            std::io::stderr().write_all(said.as_bytes()).unwrap();
            return;
        }
    };
    let cli = CliTest::with_fashion(TRAIN, TEST);
    cli.write("small.toml", SMALL);
    let (whole, report) = whole(&cli, "small.toml", Some("reports/small.md"));
    set(&cli.path("."), 0o755);

    // A cache of one of them, as their mask makes it: the other is told what to do.
    for user in &users {
        let folder = cli.path(user.name);
        cli.fashion(&format!("{}/fashion", user.name), TRAIN, TEST);
        cli.write(&format!("{}/small.toml", user.name), SMALL);
        // What each of them begins first is another pass, so that both have something to do.
        let first = if user.id == users[0].id { "02" } else { "01" };
        let settings = format!(
            "[cache]\npath = \"../shared\"\n\n{}setup = ['[[ ${{SLURM_JOB_NAME:-}} != *-{first}-pass ]] || sleep 10']\n",
            executor("n4 n5")
        );
        cli.write(&format!("{}/repro.toml", user.name), settings);
        user.give(&folder);
    }
    let [one, other] = users.as_slice() else {
        unreachable!()
    };
    let own = cli.path(one.name).join("own").display().to_string();
    let dry = ["submit", "small.toml", "--dry-run", "--cache", &own];
    let submit = |user: &User, arguments: &[&str]| {
        finish(
            user.command(&cli.path(user.name), arguments)
                .output()
                .unwrap(),
        )
    };
    submit(one, &dry).expect_code(0);
    submit(other, &dry)
        .expect_code(4)
        .expect_in_stderr(&["Permission denied", "have its owner share it with a group"]);

    // One that their group shares, as docs/shared-cache.md says.
    let shared = cli.path("shared");
    fs::create_dir(&shared).unwrap();
    chown(&shared, Some(0), Some(one.group)).unwrap();
    set(&shared, 0o2770);
    let begun: Vec<_> = users
        .iter()
        .map(|user| {
            let mut command = user.command(&cli.path(user.name), &["submit", "small.toml"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for child in begun {
        let output = finish(child.wait_with_output().unwrap()).expect_code(0);
        assert!(output.stdout.contains(", round 1: 7 tasks"), "{output}");
    }
    for id in ["1", "2"] {
        wait_until_done(&cli, &["--cache", "shared"], id, &|status, arguments| {
            let user = users.iter().find(|user| status["user"] == user.name);
            submit(user.unwrap(), arguments)
        });
    }

    let files = everything(&shared);
    let owners: BTreeSet<u32> = files
        .iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "arrow"))
        .map(|path| fs::metadata(path).unwrap().uid())
        .collect();
    assert_eq!(
        owners,
        users.iter().map(|user| user.id).collect(),
        "both have computed something"
    );
    // Whatever the mask of its maker; what Slurm itself writes into the folders of submissions is its user's.
    for path in files
        .iter()
        .filter(|path| !path.starts_with(shared.join("cluster")))
    {
        let found = fs::metadata(path).unwrap();
        let wanted = if found.is_dir() { 0o2070 } else { 0o060 };
        assert_eq!(
            (found.gid(), found.mode() & wanted),
            (one.group, wanted),
            "{}",
            path.display()
        );
    }
    let made = made(&shared.join("runs"));
    let once: BTreeSet<&String> = made.iter().collect();
    assert_eq!(made.len(), once.len(), "made twice: {made:#?}");
    // A shard of either pass, eight heads, and the metric.
    assert_eq!(made.len(), 11, "{made:#?}");

    expect_same(&cli, "shared", &whole);
    assert_eq!(results(&cli, "shared"), results(&cli, "whole"));
    for user in &users {
        assert_eq!(
            Some(cli.read(&format!("{}/reports/small.md", user.name))),
            report,
            "{}",
            user.name
        );
    }
    // Nothing is left for either, and each may look after what the other submitted.
    submit(other, &["submit", "small.toml"])
        .expect_code(0)
        .expect_in_stderr(&["nothing to submit: everything is in the cache"]);
}
