//! Tells the linker where the program will find libtorch when it runs.
//!
//! The launcher `./repro` finds or installs libtorch and hands its folder to cargo; a plain `cargo build` takes
//! the folder from `.cargo/config.toml`. The build script of `torch-sys` reads that `LIBTORCH`, and fails with a
//! message of its own where it is missing: in that case this script is never reached, so that there is nothing
//! friendlier to say here. `./repro` checks before it starts cargo.
//!
//! # One binary for CPU and CUDA
//! There is deliberately no `-ltorch` and no `-ltorch_cuda`. So the binary needs `libtorch_cpu.so` and `libc10.so`
//! only, and starts on machines without CUDA. Where there is a driver, `machine::device::load_cuda_backend` loads
//! `libtorch_cuda.so` while the program runs, from the same folder.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");

    // Without the feature there is no libtorch to find.
    if env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }

    println!("cargo::rerun-if-env-changed=LIBTORCH");

    // Only a direct dependency's build script can pass values on, which is why Cargo.toml names `torch-sys`.
    match env::var("DEP_TCH_LIBTORCH_LIB") {
        Ok(folder) => println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}"),
        Err(_) => println!(
            "cargo::error=torch-sys did not say where libtorch lies (DEP_TCH_LIBTORCH_LIB); \
             start the build with ./repro, or set LIBTORCH to a folder with lib/ and include/"
        ),
    }
}
