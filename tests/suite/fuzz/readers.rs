//! Every reader of bytes from outside, as a function of bytes: they are read or refused, and what is read keeps its promises.
//!
//! Shared by the mutations beside this file and by the targets of libFuzzer in `fuzz/`.

#[path = "downloads.rs"]
mod downloads;
#[path = "requests.rs"]
pub mod requests;

use std::fs;
use std::path::{Path, PathBuf};

use repro::checked_file::CheckedFile;
use repro::datasets::{Environment, NoScratch, PlainDigester};
use repro::imaging::Image;
use repro::imaging::preprocess::{Draw, Named, Preprocess};
use repro::message::Message;
use repro::models::TapShape;
use repro::models::checkpoint::stored_tensors::{Container, StoredTensors};
use repro::models::imported::{FeatureFile, Imported, ImportedFile, moments};
use repro::models::kinds::onnx::file::Description;
use repro::report::provenance::Provenance;
use repro::report::template::Template;
use repro::report::trace::{self, TraceId};
use repro::report::{ReportConfig, ReportInput};
use repro::spec::Source;
use repro::spec::include::IncludedFile;
use repro::store::{Known, Store};
use repro::{graph, report};
use tempfile::TempDir;

/// A reader, and what its input may cost.
pub struct Reader {
    /// Its name on the command line, and that of its target.
    pub name: &'static str,
    /// Reads some bytes in a folder of its own. Panics where a promise is broken.
    pub read: fn(&Stage, &[u8]),
    /// Memory that an input may take, in MiB.
    pub memory: u64,
}

/// A folder in which files are put for readers that want files.
pub struct Stage {
    folder: TempDir,
    /// A cache with artifacts, for readers of the store.
    pub store: Option<PathBuf>,
}

impl Stage {
    /// An empty folder.
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            store: std::env::var_os("REPRO_FUZZ_STORE").map(PathBuf::from),
        }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("a folder");
        }
        fs::write(&path, bytes).expect("a file");
        path
    }

    /// Opens a dataset of the folder, and reads its first images.
    fn dataset(&self, keys: &str) {
        let source = Source::new("fuzz", format!("[dataset.d]\n{keys}\n"));
        let nodes = graph::build_datasets(&source);
        let nodes = nodes.unwrap_or_else(|errors| panic!("{}", errors.render(false, 100)));
        let environment = Environment {
            base: self.folder.path(),
            digester: &PlainDigester,
            scratch: &NoScratch,
        };
        match nodes[0].0.dataset.open(&environment, None) {
            Ok(open) => {
                for row in 0..open.manifest.samples.len().min(3) {
                    match open.image(row) {
                        Ok(image) => square(&image),
                        Err(error) => assert!(!error.to_string().is_empty()),
                    }
                }
            }
            Err(error) => assert!(error.to_string().len() < 100_000, "a message without end"),
        }
    }
}

/// The readers, by their names.
pub const READERS: &[Reader] = &[
    Reader {
        name: "experiment",
        read: experiment,
        memory: 400,
    },
    Reader {
        name: "includes",
        read: includes,
        memory: 400,
    },
    Reader {
        name: "image",
        read: image,
        memory: 2600,
    },
    Reader {
        name: "idx",
        read: idx,
        memory: 300,
    },
    Reader {
        name: "idx-gz",
        read: idx_gz,
        memory: 300,
    },
    Reader {
        name: "cifar-batch",
        read: cifar_batch,
        memory: 300,
    },
    Reader {
        name: "cifar-archive",
        read: cifar_archive,
        memory: 300,
    },
    Reader {
        name: "matlab",
        read: matlab,
        memory: 500,
    },
    Reader {
        name: "tar",
        read: tar,
        memory: 300,
    },
    Reader {
        name: "tgz",
        read: tgz,
        memory: 300,
    },
    Reader {
        name: "parquet",
        read: parquet,
        memory: 1400,
    },
    Reader {
        name: "csv",
        read: csv,
        memory: 300,
    },
    Reader {
        name: "npz",
        read: npz,
        memory: 300,
    },
    Reader {
        name: "list",
        read: list,
        memory: 300,
    },
    Reader {
        name: "checkpoint",
        read: checkpoint,
        memory: 300,
    },
    Reader {
        name: "onnx",
        read: onnx,
        memory: 300,
    },
    Reader {
        name: "features",
        read: features,
        memory: 1400,
    },
    Reader {
        name: "template",
        read: template,
        memory: 700,
    },
    Reader {
        name: "results-csv",
        read: results_csv,
        memory: 300,
    },
    Reader {
        name: "comparisons-csv",
        read: comparisons_csv,
        memory: 300,
    },
    Reader {
        name: "provenance",
        read: provenance,
        memory: 300,
    },
    Reader {
        name: "request",
        read: |stage, bytes| requests::request(stage.folder.path(), bytes),
        memory: 300,
    },
    Reader {
        name: "fetched",
        read: fetched,
        memory: 300,
    },
    Reader {
        name: "answer",
        read: |stage, bytes| downloads::answer(stage.folder.path(), bytes),
        memory: 300,
    },
    Reader {
        name: "partial",
        read: |stage, bytes| downloads::partial(stage.folder.path(), bytes),
        memory: 300,
    },
    Reader {
        name: "manifest",
        read: manifest,
        memory: 300,
    },
    Reader {
        name: "record",
        read: record,
        memory: 300,
    },
    Reader {
        name: "part",
        read: part,
        memory: 300,
    },
    Reader {
        name: "results",
        read: results,
        memory: 600,
    },
    Reader {
        name: "predictions",
        read: predictions,
        memory: 600,
    },
    Reader {
        name: "sql",
        read: sql,
        memory: 600,
    },
];

/// The reader of a name.
pub fn reader(name: &str) -> &'static Reader {
    READERS
        .iter()
        .find(|reader| reader.name == name)
        .unwrap_or_else(|| panic!("no reader `{name}`"))
}

/// Reads some bytes with the reader of a name, in a folder that is kept from call to call.
pub fn once(name: &str, bytes: &[u8]) {
    thread_local! {
        static STAGE: Stage = Stage::new();
    }
    STAGE.with(|stage| (reader(name).read)(stage, bytes));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn experiment(_: &Stage, bytes: &[u8]) {
    checked(&Source::new("fuzz.toml", text(bytes)));
}

/// Stands between the files of an input of [`includes`].
pub const NEXT_FILE: &str = "\n# next file\n";

/// An experiment file, and behind it those that it may include: `1.toml`, `2.toml` and so on. The last line of all may name a profile.
fn includes(_: &Stage, bytes: &[u8]) {
    let all = text(bytes);
    let files: Vec<&str> = all.split(NEXT_FILE).collect();
    let mut read = |path: &Path| {
        // As a file system does that has no links: `a/../1.toml` is `1.toml`.
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_suffix(".toml")?.parse::<usize>().ok());
        let text = number.and_then(|number| files.get(number));
        let text = text.ok_or_else(|| Message::new("no such file"))?;
        Ok(IncludedFile {
            path: path.to_owned(),
            identity: format!("{}.toml", number.unwrap_or_default()).into(),
            text: (*text).to_owned(),
        })
    };
    let first = Path::new("0.toml");
    let source = Source::new("0.toml", files[0]).with_included(first, first, &mut read);
    let profile = all.lines().last().and_then(|line| line.strip_prefix("# "));
    checked(&source.with_profile(profile));
}

/// Checks an experiment: whatever is wrong with it has a place, and is told in a bounded text.
fn checked(source: &Source) {
    if let Err(errors) = graph::build(source) {
        assert!(!errors.is_empty());
        let shown = errors.render(false, 100);
        assert!(
            shown.len() < 100_000 + 10_000 * errors.len().min(100),
            "errors without end"
        );
        for record in errors.records() {
            assert!(record.line >= 1 && record.column >= 1);
        }
    }
}

fn square(image: &Image) {
    let draw = Draw {
        seed: 1,
        sample: "a",
        view: "center",
        draw: 0,
    };
    for (_, named) in Named::CHOICES.iter().copied() {
        match Preprocess::Named(named).apply(image, 32, draw) {
            Ok(square) => assert_eq!(square.size(), (32, 32)),
            Err(error) => assert!(error.bytes > repro::limits::IMAGE_MEMORY),
        }
    }
}

fn image(_: &Stage, bytes: &[u8]) {
    if let Ok(image) = Image::decode(bytes) {
        let (width, height) = image.size();
        assert_eq!(image.pixels().len(), 3 * width * height);
        square(&image);
    }
}

/// IDX files of one image of 2 × 2 pixels, and of its label.
const IDX_IMAGES: &[u8] = &[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4];
const IDX_LABELS: &[u8] = &[0, 0, 8, 1, 0, 0, 0, 1, 7];

fn idx_files(stage: &Stage, name: &str, bytes: &[u8]) {
    stage.put("t10k-images-idx3-ubyte", IDX_IMAGES);
    stage.put("t10k-labels-idx1-ubyte", IDX_LABELS);
    stage.put("train-labels-idx1-ubyte", IDX_LABELS);
    stage.put(name, bytes);
    stage.dataset("kind = \"fashion-mnist\"\nroot = \".\"");
}

fn idx(stage: &Stage, bytes: &[u8]) {
    idx_files(stage, "train-images-idx3-ubyte", bytes);
}

fn idx_gz(stage: &Stage, bytes: &[u8]) {
    idx_files(stage, "train-images-idx3-ubyte.gz", bytes);
}

fn cifar_batch(stage: &Stage, bytes: &[u8]) {
    let folder = "cifar-10-batches-bin";
    let names: Vec<String> = (0..10).map(|class| format!("class{class}\n")).collect();
    stage.put(
        &format!("{folder}/batches.meta.txt"),
        names.concat().as_bytes(),
    );
    for number in 1..=5 {
        stage.put(&format!("{folder}/data_batch_{number}.bin"), bytes);
    }
    stage.put(&format!("{folder}/test_batch.bin"), bytes);
    stage.dataset("kind = \"cifar10\"\nroot = \".\"");
}

fn cifar_archive(stage: &Stage, bytes: &[u8]) {
    stage.put("cifar-10-binary.tar.gz", bytes);
    stage.dataset("kind = \"cifar10\"\nroot = \".\"");
}

fn matlab(stage: &Stage, bytes: &[u8]) {
    stage.put("jpg/image_00001.jpg", b"none");
    stage.put("imagelabels.mat", bytes);
    stage.put("setid.mat", bytes);
    stage.dataset("kind = \"flowers\"\nroot = \".\"");
}

fn tar(stage: &Stage, bytes: &[u8]) {
    stage.put("a.tar", bytes);
    stage.dataset("kind = \"image-folder\"\nroot = \"a.tar\"");
}

fn tgz(stage: &Stage, bytes: &[u8]) {
    stage.put("a.tar.gz", bytes);
    stage.dataset("kind = \"image-folder\"\nroot = \"a.tar.gz\"");
}

fn parquet(stage: &Stage, bytes: &[u8]) {
    stage.put("a.parquet", bytes);
    stage.dataset("kind = \"table\"\nfiles = { train = \"a.parquet\" }");
}

fn csv(stage: &Stage, bytes: &[u8]) {
    stage.put("a.png", b"none");
    stage.put("a.csv", bytes);
    stage.dataset("kind = \"table\"\nfiles = \"a.csv\"\nimage = \"path\"\nid = \"id\"");
}

fn npz(stage: &Stage, bytes: &[u8]) {
    stage.put("a.npz", bytes);
    stage.dataset("kind = \"npz\"\nfile = \"a.npz\"");
}

fn list(stage: &Stage, bytes: &[u8]) {
    stage.put("images/001.a/1.jpg", b"none");
    for name in [
        "images",
        "image_class_labels",
        "train_test_split",
        "classes",
    ] {
        stage.put(&format!("{name}.txt"), bytes);
    }
    stage.dataset("kind = \"cub\"\nroot = \".\"");
}

fn checkpoint(_: &Stage, bytes: &[u8]) {
    match StoredTensors::from_bytes(Path::new("fuzzed"), bytes.to_vec()) {
        Ok(tensors) => {
            for name in tensors.names() {
                let tensor = tensors.get(name).expect("a name that it listed");
                // What is compressed in an archive of arrays is unpacked, up to a bound.
                let most = repro::limits::unpacked(bytes.len() as u64);
                let most = match tensors.container() {
                    Container::Npz => usize::try_from(most).unwrap_or(usize::MAX),
                    _ => bytes.len(),
                };
                assert!(tensor.bytes.len() <= most, "more bytes than the file has");
            }
        }
        Err(error) => assert!(error.to_string().starts_with("fuzzed ")),
    }
}

fn onnx(_: &Stage, bytes: &[u8]) {
    match Description::read(bytes) {
        Ok(description) => {
            assert!(!description.outputs.is_empty());
            // Names are no longer than the file, whatever it says of their lengths.
            let named = description.inputs.iter().chain(&description.outputs);
            let named = named.map(|port| port.name.as_str());
            for name in named.chain([description.producer.as_str()]) {
                assert!(name.len() <= 3 * bytes.len(), "a name longer than the file");
            }
        }
        Err(error) => assert!(error.to_string().len() < 10_000, "a message without end"),
    }
}

fn features(stage: &Stage, bytes: &[u8]) {
    let path = stage.put("a.features", bytes);
    let imported = Imported {
        files: Vec::new(),
        array: None,
        ids: None,
        skips_unknown_ids: false,
        shape: TapShape::Vector { width: 3 },
    };
    let file = ImportedFile {
        split: None,
        path: "a.features".into(),
    };
    let described = FeatureFile::describe(stage.folder.path(), &file, &imported);
    let checked = CheckedFile::open(&path, blake3::hash(bytes).as_bytes()).expect("a file");
    match FeatureFile::open(&checked, &imported) {
        Ok(file) => {
            let described = described.expect("what can be opened can be described");
            assert_eq!(file.described(None), described);
            let mut values = Vec::new();
            for row in 0..described.rows {
                file.read(row, &mut values).expect("a row that it has");
            }
            assert_eq!(values.len(), 3 * described.rows);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match moments::read(&path) {
        Ok(stored) => {
            let values = stored.arrays.values().flatten();
            assert!(values.into_iter().all(|value| value.is_finite()));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn template(stage: &Stage, bytes: &[u8]) {
    stage.put("a.jinja", text(bytes).as_bytes());
    let values = minijinja::context! {
        title => "a | b", count => 3, rows => vec!["x", "<y>"], none => (),
    };
    match Template::open(Some("a.jinja"), stage.folder.path())
        .and_then(|template| template.fill(values))
    {
        Ok(page) => assert!(page.len() <= repro::limits::REPORT + 1),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn results_csv(_: &Stage, bytes: &[u8]) {
    if let Ok(rows) = report::results_csv::read("fuzz", &text(bytes)) {
        let written = report::results_csv::write(&rows);
        let again = report::results_csv::read("fuzz", &written);
        assert_eq!(again.expect("what was written").len(), rows.len());
    }
}

fn comparisons_csv(_: &Stage, bytes: &[u8]) {
    let _ = report::comparison::file::read("fuzz", &text(bytes));
}

fn provenance(_: &Stage, bytes: &[u8]) {
    let text = text(bytes);
    if let Err(error) = trace::items("fuzz", &text) {
        assert!(!error.to_string().is_empty());
    }
    let _ = trace::results_file("fuzz", &text);
    for id in ["a:1", "a:1:r1c1", "a:f1", "a:99"] {
        let id = TraceId::parse(id).expect("an id");
        let _ = trace::resolve(&id, ("fuzz", &text), ("results", "metric,value\n"));
    }
    // What a report keeps of an earlier file is a file again.
    let (input, config) = (ReportInput::default(), ReportConfig::plain("x"));
    let plain = Provenance::of(&input, &config, &[], &[]).expect("of nothing");
    let kept = plain.with_run_of(&text).text();
    assert!(serde_json::from_str::<serde_json::Value>(&kept).is_ok());
}

fn fetched(stage: &Stage, bytes: &[u8]) {
    let path = stage.put("fetched.toml", bytes);
    let folder = path.parent().expect("a folder");
    if let Err(error) = repro::fetch::recorded(folder) {
        assert!(!error.to_string().is_empty());
    }
}

/// Puts a file into an artifact of the store, makes its manifest agree, and asks for all that is there.
fn in_store(stage: &Stage, name: &str, bytes: &[u8]) {
    let Some(store) = &stage.store else { return };
    let copy = stage.folder.path().join("store");
    if !copy.exists() {
        copy_folder(store, &copy);
    }
    let mut found = Vec::new();
    find(&copy.join("artifacts"), name, &mut found);
    let path = found.first().expect("an artifact with such a file");
    let original = fs::read(path).expect("a file");
    let manifest = path.with_file_name("manifest.json");
    let stated = fs::read(&manifest).expect("a manifest");
    fs::write(path, bytes).expect("a file");
    if path != &manifest {
        let mut about: serde_json::Value = serde_json::from_slice(&stated).expect("JSON");
        agree(&mut about, name, bytes);
        fs::write(&manifest, unsealed(about)).expect("a manifest");
    } else if let Ok(about) = serde_json::from_slice(bytes) {
        fs::write(path, unsealed(about)).expect("a manifest");
    }
    let store = Store::open_read_only(&copy).expect("a store");
    if let Ok(listing) = store.listing() {
        for fingerprint in listing.artifacts.keys() {
            let _ = store.features(fingerprint);
            for table in ["results.parquet", "predictions.parquet", "curves.parquet"] {
                let _ = store.table(fingerprint, table);
            }
        }
    }
    for table in ["artifacts", "results", "predictions", "features", "curves"] {
        let sql = format!("SELECT * FROM {table} LIMIT 5");
        let _ = store.query(&sql, nothing_known(), &mut |_| {});
    }
    drop(store);
    fs::write(path, original).expect("a file");
    fs::write(&manifest, stated).expect("a manifest");
}

/// A manifest without the digest of itself, as older releases wrote it, so that what it says is read.
fn unsealed(mut about: serde_json::Value) -> String {
    if let Some(fields) = about.as_object_mut() {
        fields.remove("digest");
    }
    about.to_string()
}

fn agree(value: &mut serde_json::Value, name: &str, bytes: &[u8]) {
    match value {
        serde_json::Value::Object(fields) => {
            if fields.get("name").and_then(|it| it.as_str()) == Some(name) {
                fields.insert("bytes".to_owned(), bytes.len().into());
                let digest = blake3::hash(bytes).to_hex().to_string();
                let key = ["blake3", "digest"]
                    .into_iter()
                    .find(|key| fields.contains_key(*key));
                fields.insert(key.expect("a digest").to_owned(), digest.into());
            }
            for (_, inner) in fields.iter_mut() {
                agree(inner, name, bytes);
            }
        }
        serde_json::Value::Array(items) => {
            for item in items {
                agree(item, name, bytes);
            }
        }
        _ => {}
    }
}

/// All files of a name below a folder, in order.
pub fn find(folder: &Path, name: &str, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            find(&path, name, found);
        } else if path.file_name().is_some_and(|own| own == name) {
            found.push(path);
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a copy");
        }
    }
}

fn manifest(stage: &Stage, bytes: &[u8]) {
    in_store(stage, "manifest.json", bytes);
}

/// What lies beside the artifacts of a cache: records of what is used, notes, digests of blocks.
fn record(stage: &Stage, bytes: &[u8]) {
    let root = stage.folder.path().join("records");
    for name in ["uses/a.json", "memo/a.note", "archives/a-1.tar.blocks"] {
        stage.put(&format!("records/{name}"), bytes);
    }
    stage.put("records/archives/a-1.tar", b"1234");
    let store = Store::open_read_only(root).expect("a store");
    let (uses, unreadable) = store.uses().expect("a folder that can be read");
    assert_eq!(uses.len() + unreadable.len(), 1);
    let _ = store.memo().notes::<serde_json::Value>("");
    match store.archives().find_blocks("a", "1.tar") {
        Ok(Some(blocks)) => assert_eq!(blocks.length(), 4),
        Ok(None) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let _ = store.archives().verify();
}

fn part(stage: &Stage, bytes: &[u8]) {
    in_store(stage, "part-00000.arrow", bytes);
}

fn results(stage: &Stage, bytes: &[u8]) {
    in_store(stage, "results.parquet", bytes);
}

fn predictions(stage: &Stage, bytes: &[u8]) {
    in_store(stage, "predictions.parquet", bytes);
}

/// What a query is answered with where nothing but the store is known.
fn nothing_known() -> Known<'static> {
    Known {
        columns: &[],
        classes: &Vec::new,
    }
}

fn sql(stage: &Stage, bytes: &[u8]) {
    let Some(store) = &stage.store else { return };
    let store = Store::open_read_only(store).expect("a store");
    match store.query(&text(bytes), nothing_known(), &mut |_| {}) {
        Ok(answer) => {
            for row in 0..answer.rows().min(100) {
                assert!(answer.row(row).is_ok());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
