//! The limits that a control group sets to this process: containers and job schedulers give memory and processors that way, and
//! `/proc/meminfo` does not know of it.
//!
//! A process is in one group of each hierarchy, and every group above it limits it as well. Both versions are read:
//! version 2 (`memory.max`, `memory.high`, `cpu.max`) and version 1 (`memory.limit_in_bytes`, `cpu.cfs_quota_us`).

use std::fs;
use std::path::{Path, PathBuf};

/// Where systems mount the hierarchies.
const MOUNT: &str = "/sys/fs/cgroup";

/// Limits of more than this are how version 1 says that there is none.
const NO_LIMIT: u64 = 1 << 60;

/// The least of the memory that the groups of this process leave it, in bytes; `None` where none of them has a limit.
pub fn memory() -> Option<u64> {
    memory_below(Path::new(MOUNT), &own_groups())
}

/// How many processors' time the groups of this process leave it, rounded up; `None` where none of them has a limit.
pub fn processors() -> Option<usize> {
    processors_below(Path::new(MOUNT), &own_groups())
}

fn own_groups() -> String {
    fs::read_to_string("/proc/self/cgroup").unwrap_or_default()
}

/// The folders of a controller's groups: the own one, and all above it. `groups` is the text of `/proc/self/cgroup`, with
/// lines as `4:memory:/jobs/7` of version 1 and `0::/jobs/7` of version 2.
fn folders(mount: &Path, groups: &str, controller: &str) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
            continue;
        };
        let top = if controllers.is_empty() {
            mount.to_owned()
        } else if controllers.split(',').any(|name| name == controller) {
            mount.join(controller)
        } else {
            continue;
        };
        // In a container the path may be that of the host; what is mounted is the container's own group then.
        let group = Path::new(group.trim_start_matches('/'));
        folders.extend(group.ancestors().map(|above| top.join(above)));
    }
    folders
}

fn number(folder: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(folder.join(file))
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn memory_below(mount: &Path, groups: &str) -> Option<u64> {
    let left = |folder: PathBuf| {
        let limits = ["memory.max", "memory.high", "memory.limit_in_bytes"];
        let limits = limits.iter().filter_map(|file| number(&folder, file));
        let limit = limits.filter(|limit| *limit < NO_LIMIT).min()?;
        let used = number(&folder, "memory.current")
            .or_else(|| number(&folder, "memory.usage_in_bytes"))
            .unwrap_or(0);
        // Pages of files are given up as soon as somebody needs them.
        let statistics = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let of = |key: &str| {
            let line = statistics.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|value| value.trim().parse::<u64>().ok())
        };
        let reclaimable = of("total_inactive_file ").or_else(|| of("inactive_file "));
        let held = used.saturating_sub(reclaimable.unwrap_or(0));
        Some(limit.saturating_sub(held))
    };
    folders(mount, groups, "memory")
        .into_iter()
        .filter_map(left)
        .min()
}

fn processors_below(mount: &Path, groups: &str) -> Option<usize> {
    let share = |folder: PathBuf| {
        let (quota, period) = match fs::read_to_string(folder.join("cpu.max")) {
            Ok(text) => {
                let (quota, period) = text.trim().split_once(' ')?;
                (quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?)
            }
            // -1, which does not parse, where there is no limit.
            Err(_) => (
                number(&folder, "cpu.cfs_quota_us")?,
                number(&folder, "cpu.cfs_period_us")?,
            ),
        };
        (period > 0).then(|| quota.div_ceil(period).max(1))
    };
    let least = folders(mount, groups, "cpu")
        .into_iter()
        .filter_map(share)
        .min()?;
    usize::try_from(least).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(mount: &Path, files: &[(&str, &str)]) {
        for (file, text) in files {
            let path = mount.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn the_tightest_group_above_counts_in_version_2() {
        let folder = tempfile::tempdir().unwrap();
        let mount = folder.path();
        let groups = "0::/jobs/7/step\n";
        assert_eq!(memory_below(mount, groups), None);
        let stat = "anon 5\ninactive_file 100\nactive_file 7\n";
        write(
            mount,
            &[
                ("jobs/7/step/memory.max", "max\n"),
                ("jobs/7/step/cpu.max", "max 100000\n"),
                ("jobs/7/memory.max", "1000\n"),
                ("jobs/7/memory.high", "900\n"),
                ("jobs/7/memory.current", "300\n"),
                ("jobs/7/memory.stat", stat),
                ("jobs/7/cpu.max", "150000 100000\n"),
                ("jobs/memory.max", "5000\n"),
                ("jobs/cpu.max", "400000 100000\n"),
            ],
        );
        assert_eq!(memory_below(mount, groups), Some(900 - 200));
        assert_eq!(processors_below(mount, groups), Some(2));
        // Of a host's path the container sees its own group only.
        write(mount, &[("memory.max", "50\n")]);
        assert_eq!(memory_below(mount, "0::/docker/abc\n"), Some(50));
    }

    #[test]
    fn version_1_has_a_hierarchy_for_each_controller() {
        let folder = tempfile::tempdir().unwrap();
        let mount = folder.path();
        let groups = "9:name=systemd:/\n4:memory:/a\n2:cpu,cpuacct:/b\n";
        write(
            mount,
            &[
                ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory/a/memory.limit_in_bytes", "4000\n"),
                ("memory/a/memory.usage_in_bytes", "1500\n"),
                (
                    "memory/a/memory.stat",
                    "inactive_file 1\ntotal_inactive_file 500\n",
                ),
                ("cpu/b/cpu.cfs_quota_us", "-1\n"),
                ("cpu/b/cpu.cfs_period_us", "100000\n"),
            ],
        );
        assert_eq!(memory_below(mount, groups), Some(3000));
        assert_eq!(processors_below(mount, groups), None);
        write(mount, &[("cpu/b/cpu.cfs_quota_us", "50000\n")]);
        assert_eq!(processors_below(mount, groups), Some(1));
    }
}
