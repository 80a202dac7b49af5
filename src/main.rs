//! The `repro` program; everything is in the library.

fn main() -> std::process::ExitCode {
    repro::cli::main()
}
