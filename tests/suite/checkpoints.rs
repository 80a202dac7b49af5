//! Checkpoint files: those that PyTorch wrote are read to the bit, hostile ones are refused, damaged ones never panic.
//!
//! Data: `tests/golden/checkpoints` and `tests/hostile_pickles`, each with a README.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use repro::models::checkpoint::stored_tensors::{Container, StoredTensors};
use repro::models::checkpoint::synthetic;
use repro::models::kinds::guided_diffusion::presets;
use serde_json::{Value, json};

use crate::fixture::{CliTest, nano_weights, root, walk, with_snapshots};
use crate::hollow::whole;

/// The files of a folder below `tests` that end in `.pt`, by their names.
fn checkpoints(folder: &str) -> BTreeMap<String, PathBuf> {
    let files = walk(&root().join("tests").join(folder)).into_iter();
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "pt"));
    files
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .collect()
}

/// All tensors of a file: type, shape and bytes in hexadecimal.
fn content(tensors: &StoredTensors) -> BTreeMap<String, Value> {
    let mut content = BTreeMap::new();
    for name in tensors.names() {
        let tensor = tensors.get(name).unwrap();
        let hexadecimal = tensor.bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        content.insert(
            name.to_owned(),
            json!({ "type": tensor.dtype.to_string(), "shape": tensor.shape, "bytes": hexadecimal }),
        );
        tensors.release(name);
    }
    content
}

/// What is reported of every file of a corpus, by the files' names without folders.
fn verdicts(folder: &str, is_refused: impl Fn(&str) -> bool) -> String {
    let mut verdicts = String::new();
    for (name, path) in checkpoints(folder) {
        let bytes = std::fs::read(&path).unwrap();
        let outcome = StoredTensors::from_bytes(Path::new(&name), bytes);
        assert_eq!(outcome.is_err(), is_refused(&name), "{name}: {outcome:?}");
        let verdict = match outcome {
            Err(error) => error.to_string(),
            Ok(tensors) => format!(
                "{name} holds {:?} and {:?}",
                content(&tensors),
                tensors.others()
            ),
        };
        verdicts.push_str(&verdict);
        verdicts.push_str("\n\n");
        // From the disk as from memory.
        let mapped = StoredTensors::open(&path).map_err(|error| error.fault.to_string());
        assert_eq!(mapped.is_err(), is_refused(&name));
        if let Err(fault) = mapped {
            assert_eq!(verdict, format!("{name} {fault}"));
        }
    }
    verdicts
}

#[test]
fn what_pytorch_wrote_is_read_to_the_bit() {
    let expected = std::fs::read(root().join("tests/golden/checkpoints/expected.json")).unwrap();
    let mut expected: BTreeMap<String, BTreeMap<String, Value>> =
        serde_json::from_slice(&expected).unwrap();
    for (name, path) in checkpoints("golden/checkpoints") {
        if !name.starts_with("read-") {
            continue;
        }
        let tensors = StoredTensors::open(&path).unwrap();
        let container = if name.contains("-legacy") {
            Container::Legacy
        } else {
            Container::Zip
        };
        assert_eq!(tensors.container(), container, "{name}");
        assert_eq!(content(&tensors), expected.remove(&name).unwrap(), "{name}");
    }
    assert!(expected.is_empty(), "{:?}", expected.keys());
}

#[test]
fn what_is_no_tensor_is_told() {
    let path = root().join("tests/golden/checkpoints/read-nested.pt");
    let tensors = StoredTensors::open(&path).unwrap();
    let others: Vec<String> = tensors
        .others()
        .iter()
        .map(|other| format!("{}: {}", other.name, other.what))
        .collect();
    assert_eq!(
        others,
        [
            "best: None",
            "done: True",
            "epoch: the integer 12",
            "huge: an integer of 11 bytes",
            "loss: the number 0.25",
            r"name: the text `net\u{1b}[2J`",
            "nothing: a dict of 0",
            "optimizer.param_groups: a list of 1",
            "size: a tuple of 2",
        ]
    );
}

/// `numpy.savez` and `numpy.savez_compressed` of a vision transformer of Flax.
#[test]
fn archives_of_arrays_are_read_packed_and_unpacked() {
    let folder = root().join("tests/golden/checkpoints");
    let open = |name: &str| StoredTensors::open(&folder.join(name)).unwrap();
    let (stored, packed) = (open("flax.npz"), open("flax-compressed.npz"));
    for file in [&stored, &packed] {
        assert_eq!(file.container(), Container::Npz);
        let on_disk = std::fs::metadata(file.path()).unwrap().len();
        assert_eq!(file.file_bytes(), on_disk);
    }
    assert!(packed.file_bytes() < stored.file_bytes());
    assert!(packed.descriptions().eq(stored.descriptions()));
    assert_eq!(
        stored.get("blocks.0.attn.qkv.weight").unwrap().shape,
        [12, 4]
    );
    for name in stored.names() {
        let (stored, packed) = (stored.get(name).unwrap(), packed.get(name).unwrap());
        assert_eq!(stored.bytes, packed.bytes, "{name}");
    }
    // Element [2, 1] of the transposed kernel of 4 x 2 x 2 is [1, 1, 0] there; the kernel begins at QUERY.
    let query = stored.get("blocks.0.attn.qkv.weight").unwrap();
    let number = |index: usize| {
        let bytes = query.bytes[4 * index..4 * (index + 1)].try_into().unwrap();
        f32::from_le_bytes(bytes)
    };
    assert!((number(2 * 4 + 1) - number(0) - 6.0).abs() < 1e-9);
}

#[test]
fn damage_to_compressed_arrays_is_noticed() {
    let path = root().join("tests/golden/checkpoints/flax-compressed.npz");
    let whole = std::fs::read(path).unwrap();
    let open = |bytes: Vec<u8>| StoredTensors::from_bytes(Path::new("x.npz"), bytes);
    assert!(open(whole.clone()).is_ok());
    // The first member is behind its header of 30 bytes, its name and an extra field.
    let name = u16::from_le_bytes([whole[26], whole[27]]);
    let extra = u16::from_le_bytes([whole[28], whole[29]]);
    let start = 30 + usize::from(name) + usize::from(extra);
    for place in start..start + 40 {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x10;
        let error = open(damaged).unwrap_err().to_string();
        assert!(error.starts_with("x.npz is damaged"), "{place}: {error}");
    }
}

#[test]
fn the_golden_checkpoints_hold_the_tensors_of_the_safetensors_file() {
    let expected = StoredTensors::open(nano_weights()).unwrap();
    assert_eq!(expected.container(), Container::Safetensors);
    for name in ["adm-nano.zip.pt", "adm-nano.legacy.pt"] {
        let tensors = StoredTensors::open(&whole("guided_diffusion", name)).unwrap();
        assert!(tensors.descriptions().eq(expected.descriptions()), "{name}");
        for tensor in expected.names() {
            let (found, expected) = (tensors.get(tensor).unwrap(), expected.get(tensor).unwrap());
            assert!(
                matches!(found.bytes, std::borrow::Cow::Borrowed(_)),
                "{tensor} is copied"
            );
            assert_eq!(found.bytes, expected.bytes, "{name}: {tensor}");
        }
        assert_eq!(presets::fitting(&tensors).unwrap(), ["adm-nano"]);
    }
}

/// A checkpoint of adm-tiny as guided-diffusion writes one, which is too large for the checkout.
#[test]
#[ignore = "needs adm-tiny.zip.pt in the folder of REPRO_TEST_CHECKPOINTS"]
fn a_larger_checkpoint_holds_the_synthetic_weights_needs_data() {
    let folder = PathBuf::from(std::env::var_os("REPRO_TEST_CHECKPOINTS").unwrap());
    let tensors = StoredTensors::open(&folder.join("adm-tiny.zip.pt")).unwrap();
    assert_eq!(presets::fitting(&tensors).unwrap(), ["adm-tiny"]);
    for (name, shape) in presets::find("adm-tiny").unwrap().network.state_dict() {
        let expected = synthetic::fill(&name, &shape, 1);
        let expected: Vec<u8> = expected
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        assert_eq!(*tensors.get(&name).unwrap().bytes, *expected, "{name}");
    }
}

#[test]
fn hostile_files_are_refused_with_these_words() {
    let cli = CliTest::new();
    let hostile = verdicts("hostile_pickles", |name| !name.starts_with("harmless-"));
    let objects = verdicts("golden/checkpoints", |name| name.starts_with("refused-"));
    let objects: Vec<&str> = objects
        .split_inclusive("\n\n")
        .filter(|said| said.starts_with("refused-"))
        .collect();
    with_snapshots(&cli, || {
        insta::assert_snapshot!("checkpoints-hostile", hostile);
        insta::assert_snapshot!("checkpoints-of-other-things", objects.concat());
    });
}

#[test]
fn every_hostile_file_is_described() {
    let page = std::fs::read_to_string(root().join("tests/hostile_pickles/README.md")).unwrap();
    let described: BTreeSet<String> = page
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned()))
        .collect();
    let names = checkpoints("hostile_pickles").into_keys();
    let names: BTreeSet<String> = names
        .map(|name| name.trim_end_matches(".pt").to_owned())
        .collect();
    assert_eq!(described, names);
}

#[test]
fn a_truncated_checkpoint_is_refused_at_every_length() {
    for name in ["read-views.pt", "read-views-legacy.pt"] {
        let whole = std::fs::read(root().join("tests/golden/checkpoints").join(name)).unwrap();
        for length in 0..whole.len() {
            let outcome = StoredTensors::from_bytes(Path::new(name), whole[..length].to_vec());
            assert!(outcome.is_err(), "{name} of {length} bytes");
        }
    }
}

/// Thousands of damaged files: a few bytes changed, cut off, or with a piece of another file in it.
#[test]
fn damaged_checkpoints_never_panic() {
    // A file that is read has more places where damage changes something, and most damage to it is only to its numbers.
    const CASES: [(&str, usize); 2] = [("hostile_pickles", 40), ("golden/checkpoints", 300)];
    let mut files = Vec::new();
    let mut originals = Vec::new();
    for (folder, count) in CASES {
        for path in checkpoints(folder).into_values() {
            originals.push((files.len(), count));
            files.push(std::fs::read(path).unwrap());
        }
    }
    // The generator of the synthetic weights, here for places and bytes.
    let mut state = 0_u64;
    let mut next = |below: usize| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        usize::try_from((mixed ^ (mixed >> 31)) % below.max(1) as u64).unwrap()
    };
    let (mut accepted, mut cases) = (0, 0);
    for (index, count) in originals {
        let file = &files[index];
        for _ in 0..count {
            let mut bytes = file.clone();
            for _ in 0..=next(4) {
                match next(8) {
                    0 => bytes.truncate(next(file.len())),
                    1 => {
                        let other = &files[next(files.len())];
                        let (from, at) = (next(other.len()), next(bytes.len()));
                        let piece = &other[from..(from + next(64)).min(other.len())];
                        bytes.splice(at..at, piece.iter().copied());
                    }
                    _ if bytes.is_empty() => {}
                    kind => {
                        let at = next(bytes.len());
                        bytes[at] = match kind {
                            2 => 0xff,
                            3 => 0,
                            4 => bytes[at].wrapping_add(1),
                            _ => u8::try_from(next(256)).unwrap(),
                        };
                    }
                }
            }
            cases += 1;
            let longest = bytes.len();
            if let Ok(tensors) = StoredTensors::from_bytes(Path::new("damaged.pt"), bytes) {
                accepted += 1;
                for name in tensors.names() {
                    assert!(tensors.get(name).unwrap().bytes.len() <= longest);
                }
            }
        }
    }
    assert!(
        cases > 10_000 && accepted > 200 && accepted < cases / 2,
        "{accepted} of {cases}"
    );
}
