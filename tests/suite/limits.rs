//! Small files that ask for a machine: each is refused by name, or read in the memory that its kind is given.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch};
use flate2::{Compress, Compression, FlushCompress};
use parquet::arrow::ArrowWriter;
use parquet::basic::ZstdLevel;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::fixture::{CliTest, Output, finish};

/// Address space that the program has here, in KiB: what it needs by itself, and little more than the bounds of `docs/concepts/limits.md`.
const SPACE: u64 = 5 << 20;

/// Runs the program with bounded memory, so that a bomb ends it and not the machine.
fn bounded(cli: &CliTest, arguments: &[&str]) -> Output {
    let plain = cli.command(arguments);
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("ulimit -v {SPACE}; exec \"$0\" \"$@\""))
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(plain.get_current_dir().unwrap())
        .env("OMP_NUM_THREADS", "1")
        .env("COLUMNS", "100")
        .env_remove("REPRO_CACHE")
        .stdin(Stdio::null());
    finish(command.output().unwrap())
}

/// A black PNG, with a chunk of one's own behind its header.
fn png(width: u32, height: u32, more: Option<(&[u8; 4], &[u8])>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().unwrap();
    if let Some((name, content)) = more {
        writer
            .write_chunk(png::chunk::ChunkType(*name), content)
            .unwrap();
    }
    let mut stream = writer.stream_writer().unwrap();
    let mut left = u64::from(width) * u64::from(height);
    let zeros = vec![0; 1 << 20];
    while left > 0 {
        let part = left.min(zeros.len() as u64);
        stream
            .write_all(&zeros[..usize::try_from(part).unwrap()])
            .unwrap();
        left -= part;
    }
    stream.finish().unwrap();
    drop(writer);
    bytes
}

/// Zeros of so many MiB as a stream of DEFLATE: the first compressed MiB over and over, since to compress them all takes minutes. What checks
/// the whole at its end is left to whoever reads that far.
fn zeros(mib: usize) -> Vec<u8> {
    /// An empty block, the last of a stream (RFC 1951, 3.2.6).
    const END: [u8; 2] = [0x03, 0x00];
    let mut one = Vec::with_capacity(1 << 16);
    // It ends at a byte, and what follows does not refer to it.
    Compress::new(Compression::best(), false)
        .compress_vec(&vec![0; 1 << 20], &mut one, FlushCompress::Full)
        .unwrap();
    [&one.repeat(mib)[..], &END].concat()
}

/// A file of gzip (RFC 1952) with `beginning`, which is not compressed, and zeros behind it.
fn gz(beginning: &[u8], mib: usize) -> Vec<u8> {
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    // A stored block: RFC 1951, 3.2.4.
    let length = u16::try_from(beginning.len()).unwrap();
    let stored = [
        &[0][..],
        &length.to_le_bytes(),
        &(!length).to_le_bytes(),
        beginning,
    ]
    .concat();
    [&header[..], &stored, &zeros(mib), &[0; 8]].concat()
}

/// A folder of small images with an odd one among them, and an experiment on it.
fn with_image(name: &str, bytes: &[u8], keys: &str) -> CliTest {
    let cli = CliTest::new();
    cli.image_folder("photos", 3);
    cli.write(&format!("photos/train/light/{name}"), bytes);
    cli.write("x.toml", experiment(keys));
    cli
}

fn experiment(keys: &str) -> String {
    format!(
        "[experiment]\nname = \"x\"\n\n[dataset.d]\nkind = \"image-folder\"\nroot = \"photos\"\n\n[model.m]\nkind = \"pixels\"\nimage_size = 28\n\n[extraction.e]\nmodel = \"m\"\ndataset = \"d\"\ntimestep = 0\nblock = 1\npool = 4\n{keys}\n"
    )
}

/// Found by `data check`, ended by with `fail`, left out with `skip`.
fn is_a_bad_image(name: &str, bytes: &[u8], keys: &str, says: &[&str]) {
    let cli = with_image(name, bytes, keys);
    let checked = bounded(&cli, &["data", "check", "x.toml"]).expect_code(3);
    for text in says.iter().chain(&[name]) {
        assert!(checked.stdout.contains(text), "no `{text}` in\n{checked}");
    }
    if cfg!(feature = "torch") {
        let failed = bounded(&cli, &["run", "x.toml"]).expect_code(1);
        failed.expect_in_stderr(says).expect_in_stderr(&[name]);
        cli.write(
            "x.toml",
            experiment(&format!("{keys}\non_bad_image = \"skip\"")),
        );
        bounded(&cli, &["run", "x.toml"])
            .expect_code(0)
            .expect_in_stderr(&["skipped", name]);
    }
}

fn is_a_good_image(bytes: &[u8]) {
    let cli = with_image("odd.png", bytes, "");
    bounded(&cli, &["data", "check", "x.toml"]).expect_code(0);
    if cfg!(feature = "torch") {
        bounded(&cli, &["run", "x.toml"]).expect_code(0);
    }
}

#[test]
fn strips_of_images_are_cropped_without_their_length_in_memory() {
    is_a_good_image(&png(1, 1_000_000, None));
    is_a_good_image(&png(20_000_000, 1, None));
}

#[test]
fn strips_that_grow_are_bad_images() {
    let keys = "preprocess = [{ resize = 28 }, { random-flip = 0.5 }, { center-crop = 28 }]";
    is_a_bad_image(
        "odd.png",
        &png(1, 1_000_000, None),
        keys,
        &["28 × 28000000", "at most 2.0 GiB"],
    );
}

#[test]
fn images_of_too_many_pixels_are_bad_images() {
    is_a_bad_image(
        "odd.png",
        &png(178_956_971, 1, None),
        "",
        &["178956971 × 1", "at most 178956970 pixels"],
    );
}

#[test]
fn color_profiles_are_not_unpacked() {
    // A name, and zlib's stream (RFC 1950).
    let profile = [&b"name\0\0\x78\xda"[..], &zeros(6 << 10), &[0; 4]].concat();
    is_a_good_image(&png(28, 28, Some((b"iCCP", &profile))));
}

#[test]
fn links_that_lead_nowhere_are_bad_images_and_named() {
    let cli = CliTest::new();
    cli.image_folder("photos", 3);
    cli.write("x.toml", experiment("on_bad_image = \"skip\""));
    let link = |name: &str, to: &str| {
        std::os::unix::fs::symlink(to, cli.path(&format!("photos/train/light/{name}"))).unwrap();
    };
    link("lost.png", "/nowhere/lost.png");
    link("round.png", "round.png");
    link("notes.txt", "/nowhere/notes.txt");
    let checked = bounded(&cli, &["data", "check", "x.toml"]).expect_code(3);
    for text in [
        "2 of 14 do not decode",
        "photos/train/light/lost.png",
        "a link to `/nowhere/lost.png`, which is not there",
        "a link to `round.png`, which leads in a circle",
    ] {
        assert!(checked.stdout.contains(text), "no `{text}` in\n{checked}");
    }
    if cfg!(feature = "torch") {
        bounded(&cli, &["run", "x.toml"])
            .expect_code(0)
            .expect_in_stderr(&["skipped", "lost.png", "round.png"]);
        cli.write("x.toml", experiment(""));
        bounded(&cli, &["run", "x.toml", "--cache", "other"])
            .expect_code(1)
            .expect_in_stderr(&["light/", "it is a link to"]);
    }
    // In place of a folder of a class.
    let gone = cli.path("photos/train/gone");
    std::os::unix::fs::symlink("/nowhere/gone", &gone).unwrap();
    let output = bounded(&cli, &["data", "check", "x.toml"]).expect_code(3);
    assert!(
        output
            .stdout
            .contains("photos/train/gone is malformed: it is a link to `/nowhere/gone`"),
        "{output}"
    );
}

#[test]
fn packed_files_that_unpack_into_too_much_are_refused() {
    let cli = CliTest::with_fashion(10, 10);
    cli.write("fashion/train-images-idx3-ubyte.gz", gz(b"", 2 << 10));
    // Behind the header of a member, and not the end of an archive.
    let mut header = tar::Header::new_gnu();
    header.set_path("cifar-10-batches-bin/other.bin").unwrap();
    header.set_size(8 << 30);
    header.set_cksum();
    cli.write(
        "cifar/cifar-10-binary.tar.gz",
        gz(header.as_bytes(), 2 << 10),
    );
    cli.write("photos.tar.gz", gz(b"", 2 << 10));
    for (kind, root) in [
        ("fashion-mnist", "fashion"),
        ("cifar10", "cifar"),
        ("image-folder", "photos.tar.gz"),
    ] {
        let output =
            bounded(&cli, &["data", "check", "--kind", kind, "--root", root]).expect_code(3);
        // 64 MiB, and twenty times two MiB.
        assert!(
            output.stdout.contains("unpacks into more than 10"),
            "{output}"
        );
    }
}

/// A table of one column of images, `rows` of them, each the same.
fn table(path: &Path, image: &[u8], rows: usize, dictionary: bool) {
    let images: ArrayRef = Arc::new(BinaryArray::from_iter_values(vec![image; rows]));
    let labels: ArrayRef = Arc::new(Int64Array::from_iter_values(
        [0, 1].into_iter().cycle().take(rows),
    ));
    let batch = RecordBatch::try_from_iter([("image", images), ("label", labels)]).unwrap();
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(dictionary)
        .set_dictionary_page_size_limit(1 << 30)
        .set_compression(parquet::basic::Compression::ZSTD(ZstdLevel::default()))
        .set_data_page_size_limit(1 << 30)
        .set_write_batch_size(1 << 20)
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn pages_of_tables_unpack_into_what_they_may() {
    let cli = CliTest::new();
    cli.write(
        "x.toml",
        "[dataset.d]\nkind = \"table\"\nfiles = { train = \"a.parquet\" }\n",
    );
    table(&cli.path("a.parquet"), &vec![0; 40 << 20], 8, false);
    assert!(fs::metadata(cli.path("a.parquet")).unwrap().len() < 100_000);
    let output = bounded(&cli, &["data", "check", "x.toml"]).expect_code(3);
    for text in ["a page of `image`", "320.0 MiB", "at most 256.0 MiB"] {
        assert!(output.stdout.contains(text), "no `{text}` in\n{output}");
    }
    // One value of a dictionary in many rows: read a few at a time.
    table(&cli.path("a.parquet"), &vec![0; 20 << 20], 60, true);
    let output = bounded(&cli, &["data", "check", "x.toml"]).expect_code(3);
    assert!(output.stdout.contains("60 of 60 do not decode"), "{output}");
}

#[test]
fn sweeps_are_counted_over_all_tables_before_they_are_expanded() {
    let cli = CliTest::new();
    let numbers = |count: usize| {
        (0..count)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let head = |name: &str, keys: &str| {
        format!("[head.{name}]\nkind = \"linear\"\nfeatures = \"e\"\n{keys}\n")
    };
    let refused = |text: &str, says: &[&str]| {
        cli.write("x.toml", text);
        let since = std::time::Instant::now();
        let output = bounded(&cli, &["check", "x.toml"]).expect_code(2);
        assert!(since.elapsed().as_secs() < 20, "{:?}", since.elapsed());
        output
            .expect_in_stderr(&["sweep::too-large", "at most 100,000 nodes"])
            .expect_in_stderr(says);
    };
    let lists = format!(
        "epochs = [{0}]\nbatch_size = [{0}]\nseed = [{0}]\n",
        numbers(101).replacen("0, ", "", 1)
    );
    refused(
        &(experiment("") + &head("h", &lists)),
        &["head `h`", "1,000,000 nodes", "100 epochs × 100 batch_size"],
    );
    // Each table alone is small enough.
    let seeds = format!("seed = [{}]", numbers(60_000));
    refused(
        &(experiment("") + &head("a", &seeds) + &head("b", &seeds)),
        &["head `b`", "60,000 seed"],
    );
    // Blocks of a network, timesteps, heads and seeds of the experiment multiply.
    let blocks = format!(
        "[experiment]\nname = \"x\"\nseeds = [{}]\n[dataset.d]\nkind = \"fashion-mnist\"\nroot = \"f\"\n[model.m]\nkind = \"guided-diffusion\"\npreset = \"adm-256-uncond\"\nweights = \"w\"\n[extraction.e]\nmodel = \"m\"\ndataset = \"d\"\nblock = \"all\"\ntimestep = [{}]\n",
        numbers(100),
        numbers(50)
    );
    refused(
        &(blocks + &head("h", "epochs = [1, 2]")),
        &["head `h`", "sets of features", "100 seeds"],
    );
}

#[test]
fn errors_show_the_part_of_a_long_line_that_they_are_about() {
    let cli = CliTest::new();
    let long = format!(
        "{}\n[head.h]\nkind = \"linear\"\nfeatures = \"e\"\nseed = [{}\"x\", 1]\n",
        experiment(""),
        "1, ".repeat(90_000)
    );
    cli.write("x.toml", long);
    let output = bounded(&cli, &["check", "x.toml"]).expect_code(2);
    assert!(
        output.stderr.len() < 20_000,
        "{} bytes",
        output.stderr.len()
    );
    let long = output.stderr.lines().map(|line| line.chars().count()).max();
    assert!(long < Some(200), "{long:?} characters in a line");
    output.expect_in_stderr(&["…", "\"x\", 1]"]);
    // Many errors: the first of them.
    let head = |number| format!("[head.h{number}]\nkind = \"none\"\n");
    let many: Vec<String> = (0..20_000).map(head).collect();
    cli.write("x.toml", experiment("") + &many.concat());
    let output = bounded(&cli, &["check", "x.toml"]).expect_code(2);
    assert!(
        output.stderr.len() < 200_000,
        "{} bytes",
        output.stderr.len()
    );
    output.expect_in_stderr(&["… and 19900 more", "20,000 errors"]);
}

#[test]
fn files_without_end_are_not_read_to_it() {
    let cli = CliTest::new();
    bounded(&cli, &["check", "/dev/zero"])
        .expect_code(2)
        .expect_in_stderr(&["/dev/zero", "more than 16.0 MiB"]);
}

#[test]
fn checkpoints_of_too_many_axes_and_tensors_are_refused() {
    let cli = CliTest::new();
    let write = |header: String, data: usize| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        cli.write("x.safetensors", bytes);
    };
    let refused = |says: &str| {
        let output = bounded(&cli, &["models", "inspect", "x.safetensors"]).expect_code(3);
        output.expect_in_stderr(&[says]);
    };
    let axes = vec!["1"; 100_000].join(",");
    write(
        format!("{{\"a\":{{\"dtype\":\"U8\",\"shape\":[{axes}],\"data_offsets\":[0,1]}}}}"),
        1,
    );
    refused("100000 axes; at most 64");
    let tensors = |count: usize| {
        let one = |number: usize| {
            format!(
                "\"t{number}\":{{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[{number},{}]}}",
                number + 1
            )
        };
        format!("{{{}}}", (0..count).map(one).collect::<Vec<_>>().join(","))
    };
    write(tensors(600_000), 600_000);
    refused("more than 524288 tensors");
    write(tensors(20_000), 20_000);
    let output = bounded(&cli, &["models", "inspect", "x.safetensors"]).expect_code(0);
    assert!(
        output.stdout.contains("… and 10,000 more"),
        "{}",
        &output.stdout[output.stdout.len() - 500..]
    );
}

#[test]
fn queries_of_many_operators_are_carried_out_or_refused() {
    let cli = CliTest::new();
    let query = |sql: String| bounded(&cli, &["query", &sql, "--cache", "empty"]);
    repro::store::Store::open(cli.path("empty")).unwrap();
    let terms: Vec<String> = (0..400).map(|row| format!("rows = {row}")).collect();
    query(format!(
        "SELECT kind FROM artifacts WHERE {}",
        terms.join(" OR ")
    ))
    .expect_code(0);
    query(format!(
        "SELECT kind FROM artifacts WHERE rows > 0{}",
        "+1".repeat(1900)
    ))
    .expect_code(0);
    query(format!("SELECT 1{}", "+1".repeat(2500)))
        .expect_code(2)
        .expect_in_stderr(&[
            "operators and keywords, and may have 2000",
            "`x IN (1, 2, 3)`",
        ]);
    query(vec!["SELECT kind FROM artifacts"; 200].join(" UNION ALL "))
        .expect_code(2)
        .expect_in_stderr(&["199 of UNION", "in several queries"]);
    let nested = |levels| format!("{}1{}", "CAST(".repeat(levels), ")".repeat(levels));
    query(format!("SELECT {}", nested(40)))
        .expect_code(2)
        .expect_in_stderr(&["40 levels, one inside the other", "WITH part AS"]);
    query(format!("SELECT b{}", ".c".repeat(40)))
        .expect_code(2)
        .expect_in_stderr(&["40 levels"]);
}
