//! The `repro` program; everything is in the library.

#[cfg(unix)]
use std::io::Write as _;

fn main() {
    end(repro::cli::main());
}

/// Ends the process without the clean-up of its libraries. libtorch would take its tables of operators apart, a third of the time of a command
/// that computes nothing; what this program opened is closed and written by now.
#[cfg(unix)]
fn end(code: u8) -> ! {
    // As the standard library does it at the end.
    let _ = std::io::stdout().flush();
    #[expect(unsafe_code, reason = "there is no safe way to leave it out")]
    // SAFETY: may be called at any time; nothing of this process is used afterwards.
    unsafe {
        libc::_exit(code.into())
    }
}

#[cfg(not(unix))]
fn end(code: u8) -> ! {
    std::process::exit(code.into())
}

/// Called before the libraries that the program needs are set up. One of them, the MKL in libtorch, ends a process whose working
/// folder was removed with a message about a file of its own, before `main` is reached.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "the linker alone can have a function called before libraries are"
)]
#[used]
// SAFETY: the section holds functions of this type, and nothing else is put there.
#[unsafe(link_section = ".preinit_array")]
static BEFORE_LIBRARIES: extern "C" fn() = refuse_removed_folder;

/// Ends the process where its working folder was removed.
#[cfg(target_os = "linux")]
extern "C" fn refuse_removed_folder() {
    const WHAT: &str = "error: the working folder was removed\n";
    const HINT: &str = "  hint: change to a folder that exists, such as by `cd ~`\n";
    /// That of wrong arguments; what surrounds a command belongs to it.
    const CODE: libc::c_int = 2;
    let mut folder = [0_u8; 4096];
    #[expect(
        unsafe_code,
        reason = "nothing of the standard library may be used before its set-up"
    )]
    // SAFETY: the buffers are as long as is said, and all three functions may be called at any time.
    unsafe {
        let found = libc::getcwd(folder.as_mut_ptr().cast(), folder.len());
        if found.is_null() && *libc::__errno_location() == libc::ENOENT {
            for text in [WHAT, HINT] {
                libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len());
            }
            libc::_exit(CODE);
        }
    }
}
