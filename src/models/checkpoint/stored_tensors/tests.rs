//! Tests of all containers together.

use super::*;

fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (directory, path)
}

fn safetensors(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
    let views = tensors.iter().map(|&(name, dtype, shape, bytes)| {
        let view = ::safetensors::tensor::TensorView::new(dtype, shape.to_vec(), bytes);
        (name, view.unwrap())
    });
    ::safetensors::serialize(views, None).unwrap()
}

#[test]
fn tensors_are_found_by_name() {
    let bytes = safetensors(&[
        ("a", Dtype::F32, &[2], &[0, 1, 2, 3, 4, 5, 6, 7]),
        ("b", Dtype::F16, &[2, 1], &[8, 9, 10, 11]),
    ]);
    let (_directory, path) = written("net.safetensors", &bytes);
    let tensors = StoredTensors::open(&path).unwrap();
    assert_eq!(tensors.container(), Container::Safetensors);
    assert_eq!(tensors.names().collect::<Vec<_>>(), ["a", "b"]);
    let b = tensors.get("b").unwrap();
    assert_eq!(
        (b.dtype, b.shape, &*b.bytes),
        (Dtype::F16, &[2, 1][..], &[8, 9, 10, 11][..])
    );
    assert!(matches!(b.bytes, Cow::Borrowed(_)));
    assert!(tensors.get("__metadata__").is_none());
}

#[test]
fn files_that_hold_no_tensors_are_each_told_apart() {
    let fault = |bytes: &[u8]| {
        let (_directory, path) = written("net.pt", bytes);
        let error = StoredTensors::open(&path).unwrap_err();
        assert!(error.to_string().contains("net.pt "), "{error}");
        error.fault.to_string()
    };
    let mut tar = vec![b'x'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    for (bytes, expected) in [
        (&b""[..], "is empty"),
        (b"\n <!DOCTYPE html><p>404", "a web page"),
        (b"<HTML>", "a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "git lfs pull",
        ),
        (b"\x1f\x8b\x08 packed", "gzip"),
        (&tar, "tar archive"),
        (b"\x80\x02K\x01.", "none that PyTorch wrote"),
        (b"\x80\x02K", "truncated"),
        (b"\x80\x09K\x01. and more", "first eight bytes announce"),
        (b"PK\x03\x04 of a zip archive", "truncated"),
        (b"short", "truncated"),
    ] {
        let said = fault(bytes);
        assert!(said.contains(expected), "{said}");
    }
    let missing = StoredTensors::open(Path::new("no-such-folder/net.pt")).unwrap_err();
    assert!(
        missing
            .to_string()
            .starts_with("no-such-folder/net.pt cannot be read"),
        "{missing}"
    );
    assert!(StoredTensors::open(Path::new(".")).is_err());
}

#[test]
fn a_header_length_that_looks_like_a_pickle_is_no_pickle() {
    // 640 bytes of header: the file begins 80 02, as a pickle of protocol 2 does.
    let name = "x".repeat(640 - r#"{"":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#.len());
    let header = format!(r#"{{"{name}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}}}"#);
    let bytes = [&640_u64.to_le_bytes()[..], header.as_bytes()].concat();
    assert_eq!(bytes[..2], [0x80, 0x02]);
    let tensors = StoredTensors::from_bytes(Path::new("net"), bytes).unwrap();
    assert_eq!(tensors.container(), Container::Safetensors);
}

/// Resident bytes of the mapping of a file in this process.
#[cfg(target_os = "linux")]
fn resident(path: &Path) -> usize {
    let path = path.to_str().unwrap();
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = maps.lines().skip_while(|line| !line.ends_with(path));
    let line = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
    line.trim()
        .trim_end_matches("kB")
        .trim()
        .parse::<usize>()
        .unwrap()
        * 1024
}

#[cfg(target_os = "linux")]
#[test]
fn a_released_tensor_takes_no_memory_and_can_be_read_again() {
    const SIZE: usize = 8 << 20;
    let numbers: Vec<u8> = (0..SIZE)
        .map(|index| u8::try_from(index % 251).unwrap())
        .collect();
    let bytes = safetensors(&[
        ("a", Dtype::U8, &[SIZE], &numbers),
        ("b", Dtype::U8, &[1], &[7]),
    ]);
    let (_directory, path) = written("net.safetensors", &bytes);
    let tensors = StoredTensors::open(&path).unwrap();
    assert!(resident(&path) < SIZE / 8);
    let a = tensors.get("a").unwrap();
    assert_eq!(*a.bytes, *numbers);
    assert!(resident(&path) >= SIZE);
    tensors.release("a");
    assert!(resident(&path) < SIZE / 8);
    // Even what was handed out before.
    assert_eq!(*a.bytes, *numbers);
    assert_eq!(*tensors.get("b").unwrap().bytes, [7]);
}
