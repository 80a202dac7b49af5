//! Readers of the small texts in which Linux and libtorch describe themselves. Pure: text in, facts out.

use std::path::{Path, PathBuf};

/// The value of the first `key : value` or `key: value` line, as in `/proc/cpuinfo`; `None` if no line has that key.
pub fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

/// A field of `/proc/meminfo` in bytes, though the file counts in units of 1,024 bytes that it calls kB.
pub fn memory_bytes(meminfo: &str, key: &str) -> Option<u64> {
    let kibibytes: u64 = field(meminfo, key)?
        .strip_suffix("kB")?
        .trim()
        .parse()
        .ok()?;
    kibibytes.checked_mul(1024)
}

/// The folder from which a loaded library comes, by the text of `/proc/self/maps`.
pub fn folder_of_library(maps: &str, file_name: &str) -> Option<PathBuf> {
    maps.lines().find_map(|line| {
        // Five columns without a slash, then the path, which may itself hold spaces.
        let path = Path::new(&line[line.find('/')?..]);
        (path.file_name()? == file_name).then(|| path.parent().map(Path::to_owned))?
    })
}

/// The version in PyTorch's `version.py`, as in `2.11.0+cu130`.
pub fn torch_version(version_py: &str) -> Option<&str> {
    let value = version_py
        .lines()
        .find_map(|line| line.strip_prefix("__version__ = "))?;
    Some(value.trim().trim_matches(['\'', '"']))
}

/// The version of a Python package in the lines `name version` or `name` that the doctor's query prints.
pub fn package_version(listing: &str, name: &str) -> Option<String> {
    listing.lines().find_map(|line| match line.split_once(' ') {
        Some((found, version)) if found == name => Some(version.trim().to_owned()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPUINFO: &str = "processor\t: 0\nmodel name\t: Some CPU @ 2.50GHz\nflags\t\t: fpu avx2 amx_bf16\n\nprocessor\t: 1\nmodel name\t: Another\n";

    #[test]
    fn a_field_is_the_first_with_that_very_key() {
        assert_eq!(field(CPUINFO, "model name"), Some("Some CPU @ 2.50GHz"));
        assert_eq!(field(CPUINFO, "flags"), Some("fpu avx2 amx_bf16"));
        assert_eq!(field(CPUINFO, "model"), None);
        assert_eq!(field("", "model"), None);
    }

    #[test]
    fn memory_is_counted_in_bytes() {
        let meminfo =
            "MemTotal:       24663040 kB\nMemAvailable:   2 kB\nHugePages_Total:       0\n";
        assert_eq!(memory_bytes(meminfo, "MemTotal"), Some(25_254_952_960));
        assert_eq!(memory_bytes(meminfo, "MemAvailable"), Some(2048));
        assert_eq!(memory_bytes(meminfo, "HugePages_Total"), None);
        assert_eq!(
            memory_bytes("MemTotal: 99999999999999999999 kB", "MemTotal"),
            None
        );
    }

    #[test]
    fn a_library_is_found_by_its_whole_file_name() {
        let maps = "\
7f73b38e7000-7f73b390d000 r--p 00000000 fe:00 326279   /usr/lib/libc.so.6
7f73b38e7000-7f73b390d000 r--p 00000000 fe:00 326280   /opt/a b/lib/libtorch_cpu.so
7f73b38e7000-7f73b390d000 rw-p 00000000 00:00 0        [heap]
";
        assert_eq!(
            folder_of_library(maps, "libtorch_cpu.so"),
            Some(PathBuf::from("/opt/a b/lib"))
        );
        assert_eq!(folder_of_library(maps, "libtorch.so"), None);
    }

    #[test]
    fn the_version_loses_its_quotes_only() {
        let text = "from typing import Optional\n\n__all__ = ['__version__']\n__version__ = '2.11.0+cu130'\ndebug = False\n";
        assert_eq!(torch_version(text), Some("2.11.0+cu130"));
        assert_eq!(torch_version("debug = False\n"), None);
    }

    #[test]
    fn a_package_without_a_version_is_not_there() {
        let listing = "python 3.12.1\npolars 2.1.0\npyarrow\n";
        assert_eq!(package_version(listing, "polars").as_deref(), Some("2.1.0"));
        assert_eq!(package_version(listing, "pyarrow"), None);
    }
}
