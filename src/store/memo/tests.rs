//! Tests of the memo: what it believes, what it forgets, and how fast it is.

use std::sync::mpsc;
use std::time::Instant;

use rayon::prelude::*;

use super::*;

/// A memo that trusts files at once, so that the tests need not wait.
fn trusting(folder: &Path) -> Memo {
    let mut memo = Memo::new(folder);
    memo.racy = Duration::ZERO;
    memo
}

/// Writes a digest into the table of a file's folder, as if it had been taken of the file as it is.
fn lie_about(memo_folder: &Path, file: &Path, lie: Fingerprint) {
    let folder = file.parent().unwrap();
    let stored = trusting(memo_folder).file_of(folder);
    let table = MemoTable::load(&stored, folder.to_owned());
    let mark = mark(&Stamp::of(&fs::metadata(file).unwrap()));
    let name = file.file_name().unwrap().as_encoded_bytes();
    table.put(short(name), mark, lie.0);
    fs::create_dir_all(memo_folder).unwrap();
    fs::write(&stored, table.take_changed().unwrap()).unwrap();
}

/// Waits until the clock shows another second than the last modification.
fn let_a_second_pass() {
    std::thread::sleep(Duration::from_millis(1050));
}

#[test]
fn a_remembered_digest_is_used_and_a_changed_file_is_hashed_again() {
    let folder = tempfile::tempdir().unwrap();
    let (memo_folder, file) = (folder.path().join("memo"), folder.path().join("image.png"));
    fs::write(&file, "one").unwrap();
    let_a_second_pass();
    let memo = trusting(&memo_folder);
    assert_eq!(memo.digest_file(&file).unwrap(), Fingerprint::of(b"one").0);
    drop(memo);

    // What is remembered is believed: a lie in the memo comes back, which shows that it was read.
    let lie = Fingerprint::of(b"a lie");
    lie_about(&memo_folder, &file, lie);
    assert_eq!(trusting(&memo_folder).digest_file(&file).unwrap(), lie.0);

    // Same size, same inode, other content.
    fs::write(&file, "two").unwrap();
    assert_eq!(
        trusting(&memo_folder).digest_file(&file).unwrap(),
        Fingerprint::of(b"two").0
    );
}

#[test]
fn a_modification_time_set_back_does_not_deceive() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image.png");
    fs::write(&file, "one").unwrap();
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    let_a_second_pass();
    let memo = trusting(&folder.path().join("memo"));
    memo.digest_file(&file).unwrap();
    fs::write(&file, "two").unwrap();
    File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(time)
        .unwrap();
    assert_eq!(memo.digest_file(&file).unwrap(), Fingerprint::of(b"two").0);
}

#[test]
fn a_file_that_was_just_written_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let (memo_folder, file) = (folder.path().join("memo"), folder.path().join("image.png"));
    fs::write(&file, "one").unwrap();
    let memo = Memo::new(&memo_folder);
    memo.digest_file(&file).unwrap();
    memo.flush().unwrap();
    assert!(!memo_folder.exists());
}

#[test]
fn a_damaged_memo_and_an_unwritable_one_only_cost_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image.png");
    fs::write(&file, "one").unwrap();
    let_a_second_pass();
    let below_a_file = trusting(&file.join("memo"));
    assert_eq!(
        below_a_file.digest_file(&file).unwrap(),
        Fingerprint::of(b"one").0
    );
    assert!(below_a_file.flush().is_err());

    let memo_folder = folder.path().join("memo");
    trusting(&memo_folder).digest_file(&file).unwrap();
    let table = fs::read_dir(&memo_folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::write(&table, "repro memo 2\n").unwrap();
    assert_eq!(
        trusting(&memo_folder).digest_file(&file).unwrap(),
        Fingerprint::of(b"one").0
    );
}

#[test]
fn a_missing_file_is_named() {
    let message = Memo::new("none")
        .digest_file(Path::new("no/such/file"))
        .unwrap_err()
        .to_string();
    assert!(message.contains("no/such/file"), "{message}");
}

#[test]
fn what_is_remembered_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let (memo_folder, pipe) = (folder.path().join("memo"), folder.path().join("pipe"));
    // Whoever opens a pipe that nobody writes to waits for ever.
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let lie = Fingerprint::of(b"a lie");
    lie_about(&memo_folder, &pipe, lie);
    let (done, answer) = mpsc::channel();
    std::thread::spawn(move || done.send(trusting(&memo_folder).digest_file(&pipe).unwrap()));
    let answer = answer.recv_timeout(Duration::from_secs(20));
    assert_eq!(answer.expect("the file was opened"), lie.0);
}

#[test]
fn ranges_are_remembered_until_the_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (memo_folder, file) = (folder.path().join("memo"), folder.path().join("all.tar"));
    let content: Vec<u8> = (0..251).cycle().take(CHUNK + 100).collect();
    fs::write(&file, &content).unwrap();
    let_a_second_pass();
    let whole = 0..content.len() as u64;
    let memo = trusting(&memo_folder);
    for range in [0..0, 3..7, 5..content.len() as u64, whole.clone()] {
        let bytes =
            &content[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
        let digest = memo.digest_range(&file, range).unwrap();
        assert_eq!(digest, Fingerprint::of(bytes).0);
    }
    assert_eq!(
        memo.digest_file(&file).unwrap(),
        Fingerprint::of(&content).0
    );
    let past_the_end = memo.digest_range(&file, 7..whole.end + 1).unwrap_err();
    assert!(
        past_the_end.to_string().contains("all.tar"),
        "{past_the_end}"
    );
    let table = memo.table(&file).unwrap();
    let mark = mark(&Stamp::of(&fs::metadata(&file).unwrap()));
    drop(memo);

    // All four are on the disk, and none holds once the file is another.
    let again = MemoTable::load(
        &trusting(&memo_folder).file_of(table.subject()),
        file.clone(),
    );
    let key = short(b"range           \x03\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0");
    assert_eq!(
        again.get(&key, &mark),
        Some(Fingerprint::of(&content[3..7]).0)
    );
    fs::write(&file, vec![7; content.len()]).unwrap();
    let digest = trusting(&memo_folder).digest_range(&file, 3..7).unwrap();
    assert_eq!(digest, Fingerprint::of(&[7; 4]).0);
}

#[test]
fn parts_are_computed_once_for_each_state_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (memo_folder, file) = (
        folder.path().join("memo"),
        folder.path().join("rows.parquet"),
    );
    fs::write(&file, "rows").unwrap();
    let_a_second_pass();
    let ask = |question: &str, answer: Result<Vec<[u8; 32]>, &'static str>| {
        trusting(&memo_folder)
            .digest_parts(&file, question, 2, || answer)
            .unwrap()
    };
    let (one, two) = (vec![[1; 32], [2; 32]], vec![[3; 32], [4; 32]]);
    assert_eq!(ask("images", Err("cannot")), Err("cannot"));
    assert_eq!(ask("images", Ok(one.clone())), Ok(one.clone()));
    assert_eq!(ask("images", Err("computed again")), Ok(one));
    assert_eq!(ask("thumbnails", Ok(two.clone())), Ok(two.clone()));
    fs::write(&file, "others").unwrap();
    assert_eq!(ask("images", Ok(two.clone())), Ok(two));
}

/// Digests twenty thousand files, and as many ranges of one file, cold and warm, and prints how long that takes.
/// `REPRO_TEST_FOLDERS=1000` makes it a million, which takes 4 GB of disk.
#[test]
#[ignore = "makes twenty thousand files, which takes some seconds"]
fn very_many_files_and_ranges() {
    const FILES: usize = 1000;
    let folders = std::env::var("REPRO_TEST_FOLDERS").ok();
    let folders: usize = folders.map_or(20, |folders| folders.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let memo_folder = folder.path().join("memo");
    let paths: Vec<PathBuf> = (0..folders * FILES)
        .map(|number| {
            let (class, image) = (number / FILES, number % FILES);
            folder
                .path()
                .join(format!("n{class:08}/n{class:08}_{image:05}.JPEG"))
        })
        .collect();
    (0..folders).into_par_iter().for_each(|class| {
        let files = &paths[class * FILES..(class + 1) * FILES];
        fs::create_dir(files[0].parent().unwrap()).unwrap();
        for file in files {
            fs::write(file, file.as_os_str().as_encoded_bytes()).unwrap();
        }
    });
    let archive = folder.path().join("all.tar");
    fs::write(&archive, vec![1; 8 * folders * FILES]).unwrap();
    let_a_second_pass();
    let time = |what: &str| {
        let begun = Instant::now();
        let memo = trusting(&memo_folder);
        let digests: Vec<_> = paths
            .par_iter()
            .map(|path| memo.digest_file(path).unwrap())
            .collect();
        memo.flush().unwrap();
        let files = begun.elapsed();
        let begun = Instant::now();
        let ranges: Vec<_> = (0..(folders * FILES) as u64)
            .into_par_iter()
            .map(|place| {
                memo.digest_range(&archive, 8 * place..8 * place + 8)
                    .unwrap()
            })
            .collect();
        memo.flush().unwrap();
        let seconds = |time: Duration| time.as_secs_f64();
        println!(
            "{what}: files {:.2} s, ranges {:.2} s",
            seconds(files),
            seconds(begun.elapsed())
        );
        (digests, ranges)
    };
    let cold = time("cold");
    let warm = time("warm");
    assert_eq!(cold, warm);
}
