//! A library that stands between a program and the C library, and makes the disk fail, kills, or misleads, at the operation that the
//! environment names. `tests/suite/faults/disk.rs` compiles it with `rustc` and loads it into the program by `LD_PRELOAD`; the program
//! itself has no such thing in it.
//!
//! Operations on paths that hold `REPRO_DISK_FOLDER`, and on files that were opened by such a path, are counted from 0, all threads
//! together; with `REPRO_DISK_KINDS`, only those kinds. `REPRO_DISK_PLAN` is what happens to one of them: `FAULT@NUMBER`.
//!
//! | fault | what happens |
//! | :--- | :--- |
//! | `kill` | the process is killed before the operation |
//! | `torn` | a write takes half of the bytes, then the process is killed; another operation: as `kill` |
//! | `errno=N` | the operation fails with this error number |
//! | `gone=N` | this one and all behind it fail |
//! | `half=N` | a write takes half of the bytes, and the next one fails |
//! | `short` | a read or a write takes one byte |
//! | `late` | the name is not there yet: as `ENOENT`; a listing leaves one name out |
//! | `vanish` | the folder `REPRO_DISK_ROOT` is moved away, as if somebody had removed it; the operation goes on |
//!
//! `REPRO_DISK_LOG` is a file to which the operation that was met is added, with its number and kind; with the plan `count`, all are.
//! `REPRO_DISK_LOCKS=none` makes locks fail as on a file system without them, `REPRO_DISK_NFS=silly` keeps files that are removed while
//! they are open, under names such as `.nfs0001`, and `REPRO_DISK_CLOCK=jumps` sets the clock back and forth by days and years.
//!
//! # Deviations
//! What makes system calls without the C library is not seen: of this program's files that is the rename that does not replace
//! (`renameat2`), which `src/store/tests/faults.rs` fails.

#![expect(unused_unsafe, reason = "`real!` stands within other unsafe blocks too")]

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::mem::transmute;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering::Relaxed};

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn getenv(name: *const c_char) -> *const c_char;
    fn getpid() -> c_int;
    fn kill(process: c_int, signal: c_int) -> c_int;
    fn dirfd(folder: *mut c_void) -> c_int;
    fn __errno_location() -> *mut c_int;
}

const NOT_THERE: c_int = 2;
const BUSY: c_int = 16;
const NO_LOCKS: c_int = 37;
const KILLED: c_int = 9;
const AT_CWD: c_int = -100;
const CREATE: c_int = 0o100;
const FOLDER_ONLY: c_int = 0o200_000;
const FILES: usize = 65_536;

/// What happens to an operation.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Count,
    Kill,
    Torn,
    Error(c_int),
    Gone(c_int),
    Half(c_int),
    Short,
    Late,
    Vanish,
}

struct Plan {
    folder: &'static str,
    kinds: Option<&'static str>,
    fault: Fault,
    at: usize,
    log: Option<&'static CStr>,
    root: Option<&'static CStr>,
    no_locks: bool,
    silly: bool,
    clock: bool,
}

static PLAN: OnceLock<Plan> = OnceLock::new();
static SEEN: AtomicUsize = AtomicUsize::new(0);
/// Whether half of a write was taken, so that the next one fails.
static HALVED: AtomicBool = AtomicBool::new(false);
/// The files that were opened below the folder.
static OURS: [AtomicBool; FILES] = [const { AtomicBool::new(false) }; FILES];
/// The numbers of files that were mapped, which stay open for a file server as long as they are.
static MAPPED: [AtomicU64; 4096] = [const { AtomicU64::new(0) }; 4096];
static MAPPINGS: AtomicUsize = AtomicUsize::new(0);
static TICKS: AtomicU64 = AtomicU64::new(0);

/// The function of this name behind this library.
macro_rules! real {
    ($name:literal, fn($($kind:ty),*) -> $back:ty) => {{
        static PLACE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
        let mut place = PLACE.load(Relaxed);
        if place.is_null() {
            // -1 is `RTLD_NEXT`.
            place = unsafe { dlsym(-1_isize as *mut c_void, concat!($name, "\0").as_ptr().cast()) };
            PLACE.store(place, Relaxed);
        }
        unsafe { transmute::<*mut c_void, unsafe extern "C" fn($($kind),*) -> $back>(place) }
    }};
}

fn variable(name: &'static CStr) -> Option<&'static CStr> {
    let value = unsafe { getenv(name.as_ptr()) };
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })
}

fn word(name: &'static CStr) -> &'static str {
    variable(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn plan() -> &'static Plan {
    PLAN.get_or_init(|| {
        let (fault, at) = word(c"REPRO_DISK_PLAN").split_once('@').unwrap_or((word(c"REPRO_DISK_PLAN"), "0"));
        let (name, number) = fault.split_once('=').unwrap_or((fault, "5"));
        let number = number.parse().unwrap_or(5);
        let kinds = word(c"REPRO_DISK_KINDS");
        Plan {
            folder: word(c"REPRO_DISK_FOLDER"),
            kinds: (!kinds.is_empty()).then_some(kinds),
            fault: match name {
                "count" => Fault::Count,
                "kill" => Fault::Kill,
                "torn" => Fault::Torn,
                "errno" => Fault::Error(number),
                "gone" => Fault::Gone(number),
                "half" => Fault::Half(number),
                "short" => Fault::Short,
                "late" => Fault::Late,
                "vanish" => Fault::Vanish,
                _ => Fault::None,
            },
            at: at.parse().unwrap_or(usize::MAX),
            log: variable(c"REPRO_DISK_LOG"),
            root: variable(c"REPRO_DISK_ROOT"),
            no_locks: word(c"REPRO_DISK_LOCKS") == "none",
            silly: word(c"REPRO_DISK_NFS") == "silly",
            clock: word(c"REPRO_DISK_CLOCK") == "jumps",
        }
    })
}

fn fail<T: From<i8>>(error: c_int) -> T {
    unsafe { *__errno_location() = error };
    T::from(-1)
}

fn is_ours(file: c_int) -> bool {
    usize::try_from(file).ok().and_then(|file| OURS.get(file)).is_some_and(|ours| ours.load(Relaxed))
}

fn mark(file: c_int, ours: bool) {
    if let Some(place) = usize::try_from(file).ok().and_then(|file| OURS.get(file)) {
        place.store(ours, Relaxed);
    }
}

fn text<'a>(path: *const c_char) -> &'a str {
    if path.is_null() {
        return "";
    }
    unsafe { CStr::from_ptr(path) }.to_str().unwrap_or_default()
}

/// Whether a path, from an open folder, is below the folder.
fn is_below(folder: c_int, path: *const c_char) -> bool {
    let (plan, path) = (plan(), text(path));
    if plan.folder.is_empty() {
        return false;
    }
    path.contains(plan.folder) || (folder != AT_CWD && !path.starts_with('/') && is_ours(folder))
}

/// Counts an operation; what is to happen to it.
fn met(kind: &str, name: &str) -> Fault {
    let plan = plan();
    if plan.fault == Fault::None || plan.kinds.is_some_and(|kinds| !kinds.split(',').any(|one| one == kind)) {
        return Fault::None;
    }
    let number = SEEN.fetch_add(1, Relaxed);
    let fault = match plan.fault {
        Fault::Gone(_) if number >= plan.at => plan.fault,
        Fault::Count => Fault::Count,
        fault if number == plan.at => fault,
        _ => return Fault::None,
    };
    if let Some(log) = plan.log
        && (number == plan.at || fault == Fault::Count)
    {
        let line = format!("{number} {kind} {name}\n");
        // Created, appended to.
        let file = real!("open64", fn(*const c_char, c_int, c_uint) -> c_int);
        let file = unsafe { file(log.as_ptr(), 0o2101, 0o644) };
        let write = real!("write", fn(c_int, *const c_void, usize) -> isize);
        unsafe { write(file, line.as_ptr().cast(), line.len()) };
        let close = real!("close", fn(c_int) -> c_int);
        unsafe { close(file) };
    }
    if fault == Fault::Kill || (fault == Fault::Torn && kind != "write") {
        die();
    }
    if let (Fault::Vanish, Some(root)) = (fault, plan.root) {
        let gone = format!("{}-gone\0", root.to_str().unwrap_or_default());
        let rename = real!("rename", fn(*const c_char, *const c_char) -> c_int);
        unsafe { rename(root.as_ptr(), gone.as_ptr().cast()) };
    }
    fault
}

fn die() -> ! {
    unsafe { kill(getpid(), KILLED) };
    loop {
        std::hint::spin_loop();
    }
}

/// The error of an operation that a fault happens to, where it takes no bytes.
fn error_of(fault: Fault) -> Option<c_int> {
    match fault {
        Fault::Error(error) | Fault::Gone(error) | Fault::Half(error) => Some(error),
        Fault::Late => Some(NOT_THERE),
        _ => None,
    }
}

macro_rules! met_or_fail {
    ($kind:expr, $name:expr) => {
        let before = unsafe { *__errno_location() };
        if let Some(error) = error_of(met($kind, $name)) {
            return fail(error);
        }
        unsafe { *__errno_location() = before };
    };
}

fn kind_of_opening(flags: c_int) -> &'static str {
    if flags & CREATE != 0 {
        "create"
    } else if flags & FOLDER_ONLY != 0 {
        "list"
    } else {
        "open"
    }
}

fn opened(ours: bool, file: c_int) -> c_int {
    if file >= 0 {
        mark(file, ours);
    }
    file
}

macro_rules! open {
    ($($name:ident = $text:literal),*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C" fn $name(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
            let ours = is_below(AT_CWD, path);
            if ours {
                met_or_fail!(kind_of_opening(flags), text(path));
            }
            let open = real!($text, fn(*const c_char, c_int, c_uint) -> c_int);
            opened(ours, unsafe { open(path, flags, mode) })
        }
    )*};
}
open!(open = "open", open64 = "open64");

macro_rules! openat {
    ($($name:ident = $text:literal),*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C" fn $name(folder: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
            let ours = is_below(folder, path);
            if ours {
                met_or_fail!(kind_of_opening(flags), text(path));
            }
            let open = real!($text, fn(c_int, *const c_char, c_int, c_uint) -> c_int);
            opened(ours, unsafe { open(folder, path, flags, mode) })
        }
    )*};
}
openat!(openat = "openat", openat64 = "openat64");

#[unsafe(no_mangle)]
pub extern "C" fn close(file: c_int) -> c_int {
    mark(file, false);
    unsafe { real!("close", fn(c_int) -> c_int)(file) }
}

#[unsafe(no_mangle)]
pub extern "C" fn opendir(path: *const c_char) -> *mut c_void {
    let ours = is_below(AT_CWD, path);
    if ours && let Some(error) = error_of(met("list", text(path))) {
        unsafe { *__errno_location() = error };
        return null_mut();
    }
    let folder = unsafe { real!("opendir", fn(*const c_char) -> *mut c_void)(path) };
    if !folder.is_null() {
        mark(unsafe { dirfd(folder) }, ours);
    }
    folder
}

#[unsafe(no_mangle)]
pub extern "C" fn closedir(folder: *mut c_void) -> c_int {
    mark(unsafe { dirfd(folder) }, false);
    unsafe { real!("closedir", fn(*mut c_void) -> c_int)(folder) }
}

#[unsafe(no_mangle)]
pub extern "C" fn readdir64(folder: *mut c_void) -> *mut c_void {
    let next = real!("readdir64", fn(*mut c_void) -> *mut c_void);
    if is_ours(unsafe { dirfd(folder) }) {
        match met("entry", "") {
            Fault::Late => {
                unsafe { next(folder) };
            }
            fault => {
                if let Some(error) = error_of(fault) {
                    unsafe { *__errno_location() = error };
                    return null_mut();
                }
                // The reader tells the end from an error by this.
                unsafe { *__errno_location() = 0 };
            }
        }
    }
    unsafe { next(folder) }
}

/// How many of so many bytes are taken, or that the operation fails.
fn taken(kind: &str, bytes: usize) -> Result<usize, c_int> {
    if kind == "write" && HALVED.swap(false, Relaxed) && let Fault::Half(error) = plan().fault {
        return Err(error);
    }
    match met(kind, "") {
        Fault::Short => Ok(bytes.min(1)),
        Fault::Half(_) if kind == "write" && bytes > 1 => {
            HALVED.store(true, Relaxed);
            Ok(bytes / 2)
        }
        Fault::Torn => Ok(bytes / 2),
        fault => error_of(fault).map_or(Ok(bytes), Err),
    }
}

fn done_writing(written: isize) -> isize {
    let plan = plan();
    if plan.fault == Fault::Torn && SEEN.load(Relaxed) > plan.at {
        die();
    }
    written
}

#[unsafe(no_mangle)]
pub extern "C" fn read(file: c_int, bytes: *mut c_void, length: usize) -> isize {
    let mut most = length;
    if is_ours(file) {
        match taken("read", length) {
            Ok(taken) => most = taken,
            Err(error) => return fail(error),
        }
    }
    unsafe { real!("read", fn(c_int, *mut c_void, usize) -> isize)(file, bytes, most) }
}

#[unsafe(no_mangle)]
pub extern "C" fn pread64(file: c_int, bytes: *mut c_void, length: usize, at: i64) -> isize {
    let mut most = length;
    if is_ours(file) {
        match taken("read", length) {
            Ok(taken) => most = taken,
            Err(error) => return fail(error),
        }
    }
    unsafe { real!("pread64", fn(c_int, *mut c_void, usize, i64) -> isize)(file, bytes, most, at) }
}

#[unsafe(no_mangle)]
pub extern "C" fn write(file: c_int, bytes: *const c_void, length: usize) -> isize {
    let real = real!("write", fn(c_int, *const c_void, usize) -> isize);
    if !is_ours(file) {
        return unsafe { real(file, bytes, length) };
    }
    match taken("write", length) {
        Ok(most) => done_writing(unsafe { real(file, bytes, most) }),
        Err(error) => fail(error),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn writev(file: c_int, pieces: *const c_void, count: c_int) -> isize {
    if is_ours(file) {
        met_or_fail!("write", "");
    }
    unsafe { real!("writev", fn(c_int, *const c_void, c_int) -> isize)(file, pieces, count) }
}

macro_rules! of_file {
    ($($name:ident($($argument:ident: $type:ty),*) = $text:literal, $kind:literal;)*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C" fn $name(file: c_int $(, $argument: $type)*) -> c_int {
            if is_ours(file) {
                met_or_fail!($kind, "");
            }
            unsafe { real!($text, fn(c_int $(, $type)*) -> c_int)(file $(, $argument)*) }
        }
    )*};
}
of_file! {
    fsync() = "fsync", "sync";
    fdatasync() = "fdatasync", "sync";
    ftruncate(length: i64) = "ftruncate", "write";
    ftruncate64(length: i64) = "ftruncate64", "write";
    fstat64(about: *mut c_void) = "fstat64", "stat";
}

macro_rules! of_path {
    ($($name:ident($($argument:ident: $type:ty),*) = $text:literal, $kind:literal;)*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C" fn $name(path: *const c_char $(, $argument: $type)*) -> c_int {
            if is_below(AT_CWD, path) {
                met_or_fail!($kind, text(path));
            }
            unsafe { real!($text, fn(*const c_char $(, $type)*) -> c_int)(path $(, $argument)*) }
        }
    )*};
}
of_path! {
    rename(to: *const c_char) = "rename", "rename";
    link(to: *const c_char) = "link", "rename";
    mkdir(mode: c_uint) = "mkdir", "folder";
    rmdir() = "rmdir", "remove";
    stat64(about: *mut c_void) = "stat64", "stat";
    lstat64(about: *mut c_void) = "lstat64", "stat";
}

#[unsafe(no_mangle)]
pub extern "C" fn linkat(from: c_int, path: *const c_char, to: c_int, name: *const c_char, flags: c_int) -> c_int {
    if is_below(from, path) {
        met_or_fail!("rename", text(path));
    }
    let link = real!("linkat", fn(c_int, *const c_char, c_int, *const c_char, c_int) -> c_int);
    unsafe { link(from, path, to, name, flags) }
}

#[unsafe(no_mangle)]
pub extern "C" fn statx(folder: c_int, path: *const c_char, flags: c_int, mask: c_uint, about: *mut c_void) -> c_int {
    let of_file = text(path).is_empty() && is_ours(folder);
    if of_file || is_below(folder, path) {
        met_or_fail!("stat", text(path));
    }
    unsafe { real!("statx", fn(c_int, *const c_char, c_int, c_uint, *mut c_void) -> c_int)(folder, path, flags, mask, about) }
}

/// The number of a file, which stands in the 8 bytes behind the device's.
fn inode(about: impl FnOnce(*mut c_void) -> c_int) -> Option<u64> {
    let mut bytes = [0_u64; 32];
    (about(bytes.as_mut_ptr().cast()) == 0).then_some(bytes[1])
}

/// Removes a file as a file server's client does: one that is open is renamed.
fn removed(folder: c_int, path: *const c_char, flags: c_int, remove: impl FnOnce() -> c_int) -> c_int {
    let name = text(path);
    if !plan().silly || flags != 0 {
        return remove();
    }
    if name.rsplit('/').next().unwrap_or_default().starts_with(".nfs") {
        return fail(BUSY);
    }
    let fstatat = real!("fstatat64", fn(c_int, *const c_char, *mut c_void, c_int) -> c_int);
    let fstat = real!("fstat64", fn(c_int, *mut c_void) -> c_int);
    // 0x100: links are not followed.
    let Some(number) = inode(|about| unsafe { fstatat(folder, path, about, 0x100) }) else {
        return remove();
    };
    let is_mapped = MAPPED.iter().take(MAPPINGS.load(Relaxed)).any(|one| one.load(Relaxed) == number);
    let mut open = (0..1024).filter(|file| is_ours(*file));
    if !is_mapped && !open.any(|file| inode(|about| unsafe { fstat(file, about) }) == Some(number)) {
        return remove();
    }
    let silly = match name.rsplit_once('/') {
        Some((above, _)) => format!("{above}/.nfs{number:016x}\0"),
        None => format!(".nfs{number:016x}\0"),
    };
    let rename = real!("renameat", fn(c_int, *const c_char, c_int, *const c_char) -> c_int);
    unsafe { rename(folder, path, folder, silly.as_ptr().cast()) }
}

#[unsafe(no_mangle)]
pub extern "C" fn unlink(path: *const c_char) -> c_int {
    if !is_below(AT_CWD, path) {
        return unsafe { real!("unlink", fn(*const c_char) -> c_int)(path) };
    }
    met_or_fail!("remove", text(path));
    removed(AT_CWD, path, 0, || unsafe { real!("unlink", fn(*const c_char) -> c_int)(path) })
}

#[unsafe(no_mangle)]
pub extern "C" fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    let real = real!("unlinkat", fn(c_int, *const c_char, c_int) -> c_int);
    if !is_below(folder, path) {
        return unsafe { real(folder, path, flags) };
    }
    met_or_fail!("remove", text(path));
    removed(folder, path, flags, || unsafe { real(folder, path, flags) })
}

macro_rules! mmap {
    ($($name:ident = $text:literal),*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C" fn $name(at: *mut c_void, length: usize, may: c_int, flags: c_int, file: c_int, from: i64) -> *mut c_void {
            if is_ours(file) {
                if let Some(error) = error_of(met("map", "")) {
                    unsafe { *__errno_location() = error };
                    return -1_isize as *mut c_void;
                }
                let fstat = real!("fstat64", fn(c_int, *mut c_void) -> c_int);
                if let Some(number) = inode(|about| unsafe { fstat(file, about) })
                    && let Some(place) = MAPPED.get(MAPPINGS.fetch_add(1, Relaxed))
                {
                    place.store(number, Relaxed);
                }
            }
            let mmap = real!($text, fn(*mut c_void, usize, c_int, c_int, c_int, i64) -> *mut c_void);
            unsafe { mmap(at, length, may, flags, file, from) }
        }
    )*};
}
mmap!(mmap = "mmap", mmap64 = "mmap64");

#[unsafe(no_mangle)]
pub extern "C" fn flock(file: c_int, how: c_int) -> c_int {
    if is_ours(file) {
        if plan().no_locks {
            return fail(NO_LOCKS);
        }
        met_or_fail!("lock", "");
    }
    unsafe { real!("flock", fn(c_int, c_int) -> c_int)(file, how) }
}

macro_rules! fcntl {
    ($($name:ident = $text:literal),*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C" fn $name(file: c_int, command: c_int, argument: c_long) -> c_int {
            // `F_DUPFD`, `F_DUPFD_CLOEXEC`; locks of processes and of open files.
            let (copies, locks) = (command == 0 || command == 1030, matches!(command, 5..=7 | 36..=38));
            if locks && is_ours(file) {
                if plan().no_locks {
                    return fail(NO_LOCKS);
                }
                met_or_fail!("lock", "");
            }
            let answer = unsafe { real!($text, fn(c_int, c_int, c_long) -> c_int)(file, command, argument) };
            if copies { opened(is_ours(file), answer) } else { answer }
        }
    )*};
}
fcntl!(fcntl = "fcntl", fcntl64 = "fcntl64");

#[unsafe(no_mangle)]
pub extern "C" fn clock_gettime(clock: c_int, time: *mut [i64; 2]) -> c_int {
    let answer = unsafe { real!("clock_gettime", fn(c_int, *mut [i64; 2]) -> c_int)(clock, time) };
    // 0 is the clock of the day; the one that only runs forward is left alone.
    if clock == 0 && answer == 0 && plan().clock {
        const JUMPS: [i64; 7] = [0, 86_400, -86_400, 400_000_000, -300_000_000, 3, -700_000_000];
        let tick = TICKS.fetch_add(1, Relaxed);
        unsafe { (*time)[0] += JUMPS[(tick % 7) as usize] };
    }
    answer
}
