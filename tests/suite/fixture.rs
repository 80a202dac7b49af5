//! A folder of its own for each test, small data in it, and the real program.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, OnceLock};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use repro::models::checkpoint::stored_tensors::StoredTensors;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use tempfile::TempDir;

/// Archives of arrays, as the tests beside their reader make them.
#[path = "../../src/npy/archived/fixture.rs"]
pub mod arrays;

/// The bytes of one image of Fashion-MNIST.
const IMAGE: usize = 28 * 28;

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder in which the program runs, removed with the test.
pub struct CliTest {
    folder: TempDir,
}

/// What the program printed, and how it ended.
#[derive(Debug)]
pub struct Output {
    /// The exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Its data.
    pub stdout: String,
    /// Its talk.
    pub stderr: String,
}

impl Output {
    /// Fails the test unless the exit code is this one.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Fails the test unless stderr holds every one of these texts.
    #[track_caller]
    pub fn expect_in_stderr(self, texts: &[&str]) -> Self {
        // A long message is folded at the width of the page.
        let unfolded = self.stderr.replace("\n  │ ", " ");
        for text in texts {
            let is_there = self.stderr.contains(text) || unfolded.contains(text);
            assert!(is_there, "no `{text}` in\n{self}");
        }
        self
    }

    /// Its data as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self.code.map_or("none".to_owned(), |code| code.to_string());
        write!(
            formatter,
            "exit code: {code}\n--- stdout\n{}--- stderr\n{}",
            self.stdout, self.stderr
        )
    }
}

/// The weights of `adm-nano` as the library of the format writes them, from the golden checkpoint of PyTorch; the same file for all tests.
pub fn nano_weights() -> &'static Path {
    static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
        let golden = crate::hollow::whole("guided_diffusion", "adm-nano.zip.pt");
        let golden = StoredTensors::open(&golden).unwrap();
        let tensors = golden.descriptions().map(|(name, dtype, shape)| {
            let bytes = golden.get(name).unwrap().bytes.into_owned();
            (name.to_owned(), (dtype, shape.to_vec(), bytes))
        });
        let tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> = tensors.collect();
        let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let mut file = tempfile::NamedTempFile::new_in(folder).unwrap();
        let bytes = safetensors::serialize(views, None).unwrap();
        file.write_all(&bytes).unwrap();
        let path = folder.join("adm-nano.safetensors");
        file.persist(&path).unwrap();
        path
    });
    &FILE
}

impl CliTest {
    /// An empty folder.
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A folder with a small Fashion-MNIST in `fashion`.
    pub fn with_fashion(train: usize, test: usize) -> Self {
        let cli = Self::new();
        cli.fashion("fashion", train, test);
        cli
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, making its folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Reads a text.
    #[track_caller]
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The program, to be run in the folder: no terminal, no colors asked for, one thread, its cache in `.repro`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_repro"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            // The program may have been built into a folder outside of the checkout.
            .env("REPRO_SHARE", root())
            .env("OMP_NUM_THREADS", "1")
            .env("COLUMNS", "100")
            .env_remove("REPRO_CACHE")
            .env_remove("NO_COLOR")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        finish(self.command(arguments).output().unwrap())
    }

    /// Runs a query and gives its rows.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<Value> {
        let answer = self.run(&["query", "--json", sql]).expect_code(0).json();
        answer.as_array().unwrap().clone()
    }

    /// Cuts a Fashion-MNIST from the one in the checkout.
    pub fn fashion(&self, folder: &str, train: usize, test: usize) {
        for (stem, count) in [("train", train), ("t10k", test)] {
            let (images, labels) = first_images(stem, count);
            self.write(
                &format!("{folder}/{stem}-images-idx3-ubyte.gz"),
                gzip(&images),
            );
            self.write(
                &format!("{folder}/{stem}-labels-idx1-ubyte.gz"),
                gzip(&labels),
            );
        }
    }

    /// Makes a folder of PNG images, `count` in each of two classes and two splits: gray squares that differ a little.
    pub fn image_folder(&self, folder: &str, count: u8) {
        for split in ["train", "test"] {
            for (class, shade) in [("dark", 20), ("light", 200)] {
                for index in 0..count {
                    let path = self.path(&format!("{folder}/{split}/{class}/{index:02}.png"));
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    let pixel = |x: u32, y: u32| {
                        let texture =
                            u8::try_from((x * 7 + y * 3 + u32::from(index)) % 50).unwrap();
                        image::Rgb([shade + texture, shade, shade + index])
                    };
                    image::RgbImage::from_fn(40, 36, pixel).save(&path).unwrap();
                }
            }
        }
    }

    /// Every file under a folder, with its bytes, by its path from there. One that a run that is under way moves or
    /// deletes after it was listed is left out.
    pub fn files(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let root = self.path(folder);
        let paths = walk(&root).into_iter();
        paths
            .filter_map(|path| Some((relative(&path, &root), unless_gone(fs::read(&path))?)))
            .collect()
    }

    /// Every file under the working folder with its time of change, the locks' aside.
    pub fn times(&self) -> BTreeMap<String, std::time::SystemTime> {
        let root = self.folder.path();
        let times = walk(root).into_iter().filter_map(|path| {
            let time = unless_gone(fs::metadata(&path))?.modified().unwrap();
            Some((relative(&path, root), time))
        });
        times
            .filter(|(path, _)| !path.contains(".repro/locks/"))
            .collect()
    }
}

/// What a process that ended has printed.
pub fn finish(output: std::process::Output) -> Output {
    Output {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Packs bytes as `.gz`.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Packs members as a tar archive.
pub fn tar(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, name, content.as_slice())
            .unwrap();
    }
    archive.into_inner().unwrap()
}

/// All files under a folder, in the order of their paths; none where there is no folder.
pub fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return files;
    };
    for entry in entries.filter_map(unless_gone) {
        if entry.file_type().unwrap().is_dir() {
            files.extend(walk(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

/// What was found, or nothing where a run that is under way took it away first.
fn unless_gone<T>(found: std::io::Result<T>) -> Option<T> {
    match found {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        found => Some(found.unwrap()),
    }
}

/// A path from a folder, with `/`.
pub fn relative(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder)
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

/// Runs with the settings of all snapshots: folders, times and digests are not what a snapshot is about.
pub fn with_snapshots(cli: &CliTest, work: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root().join("tests/suite/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(&cli.folder.path().display().to_string(), "[folder]");
    settings.add_filter(r"\b[0-9a-f]{64}\b", "[digest]");
    settings.add_filter(r"\b[0-9a-f]{12}\b", "[digest]");
    settings.add_filter(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "[time]");
    // Matters of the machine.
    settings.add_filter(r"time: (about|under) [^\n]*", "time: [measured]");
    settings.add_filter(r"(?m)^warning: this processor has no [^\n]*\n[^\n]*\n", "");
    settings.add_filter(r"[ \t]+\n", "\n");
    settings.bind(work);
}

/// The IDX files of the first images of one split, and of their labels.
fn first_images(stem: &str, count: usize) -> (Vec<u8>, Vec<u8>) {
    static FILES: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let names = [
            "train-images-idx3",
            "train-labels-idx1",
            "t10k-images-idx3",
            "t10k-labels-idx1",
        ];
        let read = |name: &str| {
            let path = root().join(format!("data/fashion-mnist/{name}-ubyte.gz"));
            let mut bytes = Vec::new();
            GzDecoder::new(fs::File::open(path).unwrap())
                .read_to_end(&mut bytes)
                .unwrap();
            (name.to_owned(), bytes)
        };
        names.into_iter().map(read).collect()
    });
    let cut = |name: &str, header: usize, size: usize| {
        let bytes = &files[name];
        let mut cut = bytes[..4].to_vec();
        cut.extend_from_slice(&u32::try_from(count).unwrap().to_be_bytes());
        cut.extend_from_slice(&bytes[8..header + count * size]);
        cut
    };
    (
        cut(&format!("{stem}-images-idx3"), 16, IMAGE),
        cut(&format!("{stem}-labels-idx1"), 8, 1),
    )
}
