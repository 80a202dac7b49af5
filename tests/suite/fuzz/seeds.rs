//! Sound files for each reader: what the mutations begin with.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::readers;
use crate::fixture::{arrays, gzip, root, tar, walk};

/// Where inputs are kept that broke a promise once, in a folder for each reader; `tests/fuzz_corpus/README.md` says which.
const KEPT: &str = "tests/fuzz_corpus";

/// Sound files for a reader, some of them hostile ones of before. `store` is a cache with artifacts.
pub fn of(name: &str, store: Option<&Path>) -> Vec<Vec<u8>> {
    let mut all = sound(name, store);
    let kept = walk(&root().join(KEPT).join(name));
    all.extend(kept.iter().map(|path| fs::read(path).unwrap()));
    all
}

fn sound(name: &str, store: Option<&Path>) -> Vec<Vec<u8>> {
    let png = || fs::read(root().join("tests/golden/decoding/palette.png")).unwrap();
    let photos = || {
        let members = [
            ("train/a/1.png", png()),
            ("train/b/2.png", png()),
            ("test/a/3.png", png()),
        ];
        tar(&members.map(|(name, bytes)| (name.to_owned(), bytes)))
    };
    match name {
        "experiment" => files("tests/suite/cases", &["toml"], 20_000),
        "includes" => INCLUDES.map(|files| files.join(readers::NEXT_FILE).into_bytes()).to_vec(),
        "image" => files("tests/golden/decoding", &["png", "jpg", "webp", "bmp", "tif", "gif"], 60_000),
        "idx" => vec![IDX.to_vec()],
        "idx-gz" => vec![gzip(IDX), gzip(&[0; 10_000])],
        "cifar-batch" => vec![cifar()],
        "cifar-archive" => {
            let folder = "cifar-10-batches-bin";
            let batches = (1..=5).map(|number| format!("data_batch_{number}.bin"));
            let mut members: Vec<(String, Vec<u8>)> = batches
                .chain(["test_batch.bin".to_owned()])
                .map(|name| (format!("{folder}/{name}"), cifar()))
                .collect();
            members.push((format!("{folder}/batches.meta.txt"), b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n".to_vec()));
            vec![gzip(&tar(&members))]
        }
        "matlab" => vec![matlab(false), matlab(true)],
        "tar" => vec![photos()],
        "tgz" => vec![gzip(&photos())],
        "parquet" => [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())]
            .map(|compression| parquet_file(&png(), compression))
            .to_vec(),
        "csv" => vec![b"path,label,split,id\na.png,cat,train,1\na.png,dog,test,2\n\"a.png\",\"x\"\"y\",test,3\n".to_vec()],
        "npz" => {
            let images = arrays::array("|u1", "(2, 3, 4, 3)", false, &[7; 72]);
            let labels = arrays::array("<i8", "(2,)", false, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            let moments = arrays::npy("(2,)", false, &[0.5, 1.5]);
            let members = [("arr_0.npy", images), ("arr_1.npy", labels), ("mu.npy", moments)];
            let mut all = vec![arrays::archive(&members)];
            all.extend(files("tests/golden/npz", &["npz"], 60_000));
            all
        }
        "list" => vec![b"1 001.a/1.jpg\n".to_vec(), b"1 1\n".to_vec(), b"1 001.a\n2 b c\n".to_vec()],
        "checkpoint" => {
            let mut all = files("tests/hostile_pickles", &["pt"], 60_000);
            all.extend(files("tests/golden/checkpoints", &["pt", "pth", "safetensors", "npz"], 60_000));
            all
        }
        "onnx" => files("tests/golden/onnx", &["onnx"], 60_000),
        "record" => vec![
            b"{\"file\":\"a.toml\",\"experiment\":\"a\",\"at\":\"2026-01-01T00:00:00Z\",\"artifacts\":[],\"earlier\":{}}".to_vec(),
            note(),
            blocks(),
        ],
        "features" => {
            let mut all = files(
                "tests/golden/imported",
                &["npy", "npz", "safetensors", "parquet", "arrow"],
                60_000,
            );
            all.extend(files("tests/golden/generative", &["npz"], 60_000));
            all
        }
        "template" => vec![
            b"{% extends \"report.md.jinja\" %}{% block head %}{{ title }}{% endblock %}".to_vec(),
            b"{% for row in rows %}{{ row | cell }} {{ count | thousands }}{% if loop.last %}{{ rows | listed }}{% endif %}{% endfor %}".to_vec(),
            b"{% macro m(a) %}{{ a ~ a }}{% endmacro %}{{ m(title) }}{{ none or title | code }}{{ range(3) | list }}".to_vec(),
        ],
        "results-csv" => files("reports", &["results.csv"], 20_000),
        "comparisons-csv" => files("reports", &["comparisons.csv"], 20_000),
        "provenance" => files("reports", &["provenance.json"], 60_000),
        "request" => REQUESTS
            .map(|text| text.replace('\n', "\r\n").into_bytes())
            .to_vec(),
        "fetched" => vec![
            b"format = 1\n[[file]]\nname = \"a\"\nurl = \"https://a.org/a\"\nbytes = 3\nsha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\nverified = true\nhow = \"fetched\"\nat = \"2026-01-01T00:00:00Z\"\n".to_vec(),
        ],
        "answer" => [
            "200 OK\r\nContent-Length: 10\r\nETag: \"v1\"\r\n\r\n0123456789",
            "200 OK\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n0123456789",
            "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n",
            "200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
            "206 Partial Content\r\nContent-Range: bytes 0-9/10\r\nContent-Length: 10\r\n\r\n0123456789",
            "416 Range Not Satisfiable\r\nContent-Range: bytes */10\r\n\r\n",
            "503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
        ]
        .map(|text| format!("HTTP/1.1 {text}").into_bytes())
        .to_vec(),
        "partial" => vec![
            b"url = \"http://127.0.0.1:1/a.bin\"\ntotal = 10\netag = '\"v1\"'\n".to_vec(),
            b"url = \"http://127.0.0.1:1/a.bin\"\nlast_modified = \"Thu, 01 Jan 2026 00:00:00 GMT\"\n".to_vec(),
        ],
        "manifest" | "part" | "results" | "predictions" => {
            let file = match name {
                "manifest" => "manifest.json",
                "part" => "part-00000.arrow",
                "results" => "results.parquet",
                _ => "predictions.parquet",
            };
            let mut found = Vec::new();
            if let Some(store) = store {
                readers::find(&store.join("artifacts"), file, &mut found);
            }
            found.iter().map(|path| fs::read(path).unwrap()).collect()
        }
        "sql" => [
            "SELECT value, metric FROM results WHERE dataset = 'd' ORDER BY value DESC LIMIT 3",
            "WITH a AS (SELECT id, predicted FROM predictions) SELECT COUNT(*) FROM a GROUP BY predicted HAVING COUNT(*) > 1",
            "SELECT a.kind FROM artifacts a JOIN artifacts b ON a.fingerprint = b.fingerprint UNION SELECT 'x'",
            "SELECT * FROM read_parquet('a.parquet')",
        ]
        .map(|sql| sql.as_bytes().to_vec())
        .to_vec(),
        other => panic!("no seeds for `{other}`"),
    }
}

/// A note of the memo.
fn note() -> Vec<u8> {
    sealed_text("repro note 1\n{\"about\":\"cats\",\"says\":[1,2]}\n")
}

/// A text with its digest behind it.
fn sealed_text(text: &str) -> Vec<u8> {
    format!("{text}{}", blake3::hash(text.as_bytes()).to_hex()).into_bytes()
}

/// The digests of the blocks of a file of four bytes.
fn blocks() -> Vec<u8> {
    let mut bytes = b"repro blocks 1\n".to_vec();
    bytes.extend(4_u64.to_le_bytes());
    bytes.extend((1_u64 << 18).to_le_bytes());
    bytes.extend(blake3::hash(b"1234").as_bytes());
    let digest = blake3::hash(&bytes);
    bytes.extend(digest.as_bytes());
    bytes
}

/// Experiments that include files, with these: whole ones, and some that are wrong.
const INCLUDES: [&[&str]; 4] = [
    &[
        "include = [\"1.toml\", \"parts/2.toml\"]\n[experiment]\nname = \"x\"\n[metric.a]\nkind = \"accuracy\"\nof = \"h\"\n",
        "[dataset.d]\nkind = \"fashion-mnist\"\nroot = \"fashion\"\n[model.m]\nkind = \"pixels\"\nimage_size = 28\n",
        "include = [\"../3.toml\"]\n[head.h]\nkind = \"linear\"\nfeatures = \"e\"\nepochs = 1\n[profile.smoke.head.h]\nepochs = 2\n",
        "[extraction.e]\nmodel = \"m\"\ndataset = \"d\"\nblock = 1\npool = [4, 7]\n# smoke",
    ],
    &[
        "include = [\"1.toml\"]\n[dataset.d]\nroot = \"elsewhere\"\n",
        "include = [\"0.toml\", \"9.toml\", 3, \"x.txt\"]\n[dataset.d]\nkind = \"cub\"\n",
    ],
    &[
        "include = [\"1.toml\", \"2.toml\"]\n[experiment]\nname = \"x\"\n",
        "[[report.table]]\nkind = \"grid\"\n[dataset.d]\nkind = \"cub\"\nroot = \"a\"\n",
        "[[report.table]]\nkind = \"grid\"\n[dataset.d]\nkind = \"cub\"\nroot = \"b\"\n# none",
    ],
    &["include = \"1.toml\"\n[profile]\na = 1\n[profile.b]\n# b"],
];

/// Requests of a browser and of others, to the server at [`readers::requests::PORT`].
const REQUESTS: [&str; 7] = [
    "GET / HTTP/1.1\nHost: 127.0.0.1:8765\nAccept: text/html\n\n",
    "GET /reports/a.md?state=now HTTP/1.1\nHost: localhost:8765\nSec-Fetch-Site: same-origin\nSec-Fetch-Mode: cors\n\n",
    "HEAD /reports/../secret.md HTTP/1.1\nHost: 127.0.0.1:8765\nConnection: keep-alive\n\n",
    "GET /reports/%2e%2e/secret.md HTTP/1.1\nHost: 127.0.0.1:8765\nSec-Fetch-Site: cross-site\n\n",
    "GET /query?sql=SELECT%201&sql=x+y HTTP/1.1\nHost: 127.0.0.1:8765\nCookie: a=b\n\n",
    "POST /query HTTP/1.1\nHost: 127.0.0.1:8765\nContent-Length: 5\n\nsql=1",
    "GET /docs/concepts/a.md HTTP/1.0\nHost: 127.0.0.1:8765\nHost: evil.example\n\n",
];

/// Files below a folder of the checkout that end so and are no longer than `most` bytes.
fn files(folder: &str, endings: &[&str], most: u64) -> Vec<Vec<u8>> {
    let mut paths = walk(&root().join(folder));
    paths.sort();
    paths.retain(|path| {
        let name = path.to_string_lossy();
        endings
            .iter()
            .any(|ending| name.ends_with(&format!(".{ending}")))
            && fs::metadata(path).is_ok_and(|about| about.len() <= most)
    });
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Two gray images of 2 × 2 pixels.
const IDX: &[u8] = &[
    0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8,
];

/// Two images of CIFAR-10, each behind its label.
fn cifar() -> Vec<u8> {
    (0..2 * 3073u32)
        .map(|at| {
            if at % 3073 == 0 {
                3
            } else {
                at.to_le_bytes()[0]
            }
        })
        .collect()
}

/// A MATLAB file with `labels`, `trnid`, `valid` and `tstid`.
fn matlab(packed: bool) -> Vec<u8> {
    let element = |kind: u32, bytes: &[u8]| {
        let mut all = [kind.to_le_bytes(), length(bytes).to_le_bytes()].concat();
        all.extend_from_slice(bytes);
        all.resize(all.len().next_multiple_of(8), 0);
        all
    };
    let mut file = vec![b' '; 124];
    file.extend([0, 1, b'I', b'M']);
    for (name, value) in [
        ("labels", 1.0f64),
        ("trnid", 1.0),
        ("valid", 1.0),
        ("tstid", 1.0),
    ] {
        let array = [
            element(6, &[6, 0, 0, 0, 0, 0, 0, 0]),
            element(5, &[1, 0, 0, 0, 1, 0, 0, 0]),
            element(1, name.as_bytes()),
            element(9, &value.to_le_bytes()),
        ];
        let matrix = element(14, &array.concat());
        if packed {
            let mut encoder =
                flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, &matrix).unwrap();
            let packed = encoder.finish().unwrap();
            file.extend(15u32.to_le_bytes());
            file.extend(length(&packed).to_le_bytes());
            file.extend(packed);
        } else {
            file.extend(matrix);
        }
    }
    file
}

fn length(bytes: &[u8]) -> u32 {
    bytes.len().try_into().unwrap()
}

fn parquet_file(image: &[u8], compression: Compression) -> Vec<u8> {
    let images: ArrayRef = Arc::new(BinaryArray::from_iter_values([image, image, image, b"x"]));
    let labels: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, 1, 0]));
    let splits: ArrayRef = Arc::new(StringArray::from(vec!["train", "test", "test", "train"]));
    let columns = [("image", images), ("label", labels), ("split", splits)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}
