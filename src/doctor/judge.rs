//! Judges the facts: what is fine, what could be better, what will fail, and what to do about it. Pure.

use crate::machine::device::CudaBackend;

use super::Check;
use super::facts::{Facts, Memory, Processor, Python};
use super::folders::{cache, disk, gigabytes, leftovers};
use crate::machine::libtorch::Libtorch;

/// The PyTorch release that the bindings (tch 0.24) are made for; its patch releases share one interface.
const TORCH_RELEASE: &str = "2.11.";

/// Below this much available memory a warning: the 552,814,086 weights of the 256-pixel U-Net take 2.2 GB in float32.
const LOW_MEMORY: u64 = 4_000_000_000;

/// All verdicts, in the order in which they are printed.
pub fn judge(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![program(), libtorch(facts), processor(&facts.processor)];
    checks.extend(facts.memory.as_ref().map(memory));
    checks.extend(cuda(facts));
    checks.push(cache(&facts.cache));
    checks.extend(facts.leftovers.map(leftovers));
    checks.push(disk("cache disk", &facts.cache));
    checks.push(disk("working disk", &facts.working));
    checks.push(python(facts.python.as_ref()));
    checks
}

fn program() -> Check {
    let features = if cfg!(feature = "torch") {
        "with torch"
    } else {
        "without torch"
    };
    Check::ok(
        "program",
        format!("repro {}, {features}", env!("CARGO_PKG_VERSION")),
    )
}

fn libtorch(facts: &Facts) -> Check {
    const TOPIC: &str = "libtorch";
    let reinstall = "set LIBTORCH to the torch folder of a PyTorch 2.11.0, or unset it, and start the program with ./repro";
    match (&facts.libtorch, &facts.cuda) {
        (_, CudaBackend::NotBuiltIn) => Check::warning(
            TOPIC,
            "not built in: experiments can be checked and planned and reports rendered, but nothing can be computed",
            "build with ./repro, or with cargo's default features, to run experiments",
        ),
        (None, _) => Check::problem(TOPIC, "libtorch_cpu.so is not loaded", reinstall),
        (
            Some(Libtorch {
                folder,
                version: None,
            }),
            _,
        ) => Check::warning(
            TOPIC,
            format!("of unknown version in {}", folder.display()),
            "if computations fail, use a PyTorch 2.11.0: its version.py tells its version",
        ),
        (
            Some(Libtorch {
                folder,
                version: Some(version),
            }),
            _,
        ) => {
            let place = folder.display();
            if version.starts_with(TORCH_RELEASE) {
                Check::ok(TOPIC, format!("{version} in {place}"))
            } else {
                Check::problem(
                    TOPIC,
                    format!("{version} in {place}; 2.11.0 is needed"),
                    reinstall,
                )
            }
        }
    }
}

fn processor(processor: &Processor) -> Check {
    const TOPIC: &str = "CPU";
    /// Those that decide which of libtorch's kernels run.
    const TELLING: [&str; 4] = ["avx2", "avx512f", "avx512_bf16", "amx_bf16"];
    let Processor {
        model,
        threads,
        flags,
    } = processor;
    let found: Vec<&str> = TELLING
        .into_iter()
        .filter(|name| flags.iter().any(|flag| flag == name))
        .collect();
    let bf16 = if found.iter().any(|name| name.ends_with("bf16")) {
        "yes"
    } else {
        "no, so that `precision = \"bf16\"` is about 20 times as slow as f32"
    };
    let fact = format!(
        "{model}, {threads} threads, {}; bf16 in hardware: {bf16}",
        found.join(" ")
    );
    if cfg!(target_arch = "x86_64") && !found.contains(&"avx2") {
        let fact = format!("{model}, {threads} threads, without AVX2");
        return Check::warning(
            TOPIC,
            fact,
            "libtorch falls back to its slowest kernels; a machine with AVX2 is far faster",
        );
    }
    Check::ok(TOPIC, fact)
}

fn memory(memory: &Memory) -> Check {
    const TOPIC: &str = "memory";
    let (available, total) = (gigabytes(memory.available), gigabytes(memory.total));
    let group = memory.group.map(gigabytes);
    let group = group.map(|left| format!("; the control group leaves {left}"));
    let group = group.unwrap_or_default();
    let fact = format!("{available} of {total} available{group}");
    if memory.available < LOW_MEMORY {
        let remedy = "close other programs before running the 256-pixel U-Net, whose weights alone take 2.2 GB in float32";
        return Check::warning(TOPIC, fact, remedy);
    }
    Check::ok(TOPIC, fact)
}

fn cuda(facts: &Facts) -> Option<Check> {
    const TOPIC: &str = "CUDA";
    Some(match &facts.cuda {
        CudaBackend::NotBuiltIn => return None,
        CudaBackend::NoDriver => Check::ok(TOPIC, "no NVIDIA driver; everything runs on the CPU"),
        CudaBackend::MissingLibrary(message) => Check::warning(
            TOPIC,
            format!(
                "there is an NVIDIA driver, but libtorch's CUDA libraries do not load: {message}"
            ),
            "for a libtorch with CUDA: rm -r .libtorch in the checkout, then start ./repro again; until then all runs on the CPU",
        ),
        CudaBackend::Loaded => {
            // The CPU is always among the devices.
            let gpus = facts.devices.len().saturating_sub(1);
            let models = facts.gpu_models.join(", ");
            if gpus == 0 {
                Check::warning(
                    TOPIC,
                    "loaded, but no GPU is visible",
                    "check CUDA_VISIBLE_DEVICES, and with nvidia-smi whether the driver is new enough for CUDA 13",
                )
            } else {
                Check::ok(TOPIC, format!("{gpus} visible, by the driver: {models}"))
            }
        }
    })
}

fn python(python: Option<&Python>) -> Check {
    const TOPIC: &str = "Python";
    let Some(Python {
        version,
        polars,
        pyarrow,
    }) = python
    else {
        return Check::ok(
            TOPIC,
            "not found; only needed to read the cache from Python",
        );
    };
    let packages =
        [("polars", polars), ("pyarrow", pyarrow)].map(|(name, version)| match version {
            Some(version) => format!("{name} {version}"),
            None => format!("no {name}"),
        });
    Check::ok(
        TOPIC,
        format!(
            "{version} with {}; only needed to read the cache from Python",
            packages.join(" and ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::facts::Folder;
    use super::super::{Mark, is_healthy};
    use super::*;
    use crate::machine::device::{DeviceChoice, DeviceInfo};
    use crate::store::Leftovers;

    fn folder() -> Folder {
        Folder {
            path: PathBuf::from("/cache"),
            exists: true,
            free: Some(6_000_000_000),
            obstacle: None,
            has_locks: true,
        }
    }

    fn good() -> Facts {
        Facts {
            libtorch: Some(Libtorch {
                folder: PathBuf::from("/torch/lib"),
                version: Some("2.11.0+cu130".to_owned()),
            }),
            processor: Processor {
                model: "Some CPU".to_owned(),
                threads: 2,
                flags: ["avx2", "avx512_bf16"].map(str::to_owned).to_vec(),
            },
            memory: Some(Memory {
                total: 8_000_000_000,
                available: 7_900_000_000,
                group: None,
            }),
            cuda: CudaBackend::NoDriver,
            devices: vec![DeviceInfo {
                choice: DeviceChoice::Cpu,
            }],
            gpu_models: Vec::new(),
            cache: folder(),
            leftovers: Some(Leftovers::default()),
            working: folder(),
            python: None,
        }
    }

    fn check(facts: &Facts, topic: &str) -> Check {
        judge(facts)
            .into_iter()
            .find(|check| check.topic == topic)
            .unwrap()
    }

    #[test]
    fn a_good_machine_has_nothing_to_do() {
        let checks = judge(&good());
        assert!(
            checks.iter().all(|check| check.mark == Mark::Ok),
            "{checks:?}"
        );
        assert_eq!(
            check(&good(), "CPU").fact,
            "Some CPU, 2 threads, avx2 avx512_bf16; bf16 in hardware: yes"
        );
        assert_eq!(check(&good(), "memory").fact, "7.9 GB of 8.0 GB available");
    }

    #[test]
    fn whatever_is_not_ok_has_a_remedy() {
        let mut facts = good();
        facts.libtorch = None;
        facts.processor.flags.clear();
        facts.memory = Some(Memory {
            total: 2,
            available: 1,
            group: None,
        });
        facts.cuda = CudaBackend::Loaded;
        facts.cache.obstacle = Some("read-only".to_owned());
        facts.working.free = Some(0);
        let checks = judge(&facts);
        assert!(!is_healthy(&checks));
        assert!(
            checks
                .iter()
                .all(|check| (check.mark == Mark::Ok) == check.remedy.is_none()),
            "{checks:?}"
        );
    }

    #[test]
    fn only_release_2_11_of_libtorch_will_do() {
        let mut facts = good();
        for (version, mark) in [
            (Some("2.11.0"), Mark::Ok),
            (Some("2.11.1+cpu"), Mark::Ok),
            (Some("2.1.0"), Mark::Problem),
            (Some("2.12.0"), Mark::Problem),
            (None, Mark::Warning),
        ] {
            facts.libtorch = Some(Libtorch {
                folder: PathBuf::from("/lib"),
                version: version.map(str::to_owned),
            });
            assert_eq!(check(&facts, "libtorch").mark, mark, "{version:?}");
        }
    }

    #[test]
    fn without_torch_it_says_so_and_is_healthy() {
        let mut facts = good();
        (facts.libtorch, facts.cuda, facts.devices) = (None, CudaBackend::NotBuiltIn, Vec::new());
        assert!(check(&facts, "libtorch").fact.starts_with("not built in"));
        let checks = judge(&facts);
        assert!(is_healthy(&checks) && checks.iter().all(|check| check.topic != "CUDA"));
    }

    #[test]
    fn a_gpu_that_cannot_be_used_is_a_warning_that_names_the_library() {
        let mut facts = good();
        facts.cuda = CudaBackend::MissingLibrary("libcudnn.so.9: cannot open".to_owned());
        let found = check(&facts, "CUDA");
        assert!(
            found.mark == Mark::Warning && found.fact.contains("libcudnn.so.9"),
            "{found:?}"
        );
    }

    #[test]
    fn visible_gpus_are_counted_without_the_cpu() {
        let mut facts = good();
        facts.cuda = CudaBackend::Loaded;
        facts.devices.push(DeviceInfo {
            choice: DeviceChoice::Cuda(0),
        });
        facts.gpu_models.push("NVIDIA Something".to_owned());
        assert_eq!(
            check(&facts, "CUDA").fact,
            "1 visible, by the driver: NVIDIA Something"
        );
    }

    #[test]
    fn the_cache_decides_and_the_disk_warns() {
        let mut facts = good();
        facts.cache = Folder {
            exists: false,
            free: Some(4_900_000_000),
            ..folder()
        };
        let fact = |facts: &Facts, name| check(facts, name).fact;
        assert!(fact(&facts, "cache").ends_with("does not exist yet and can be made"));
        assert_eq!(check(&facts, "cache disk").mark, Mark::Warning);
        let (files, bytes) = (2, 5000);
        facts.leftovers = Some(Leftovers { files, bytes });
        assert_eq!(check(&facts, "leftovers").mark, Mark::Warning);
        assert!(fact(&facts, "leftovers").starts_with("2 files ("));
        facts.memory.as_mut().unwrap().group = Some(4_000_000_000);
        assert!(fact(&facts, "memory").ends_with("; the control group leaves 4.0 GB"));
        facts.cache.has_locks = false;
        assert_eq!(check(&facts, "cache").mark, Mark::Warning);
        facts.cache.obstacle = Some("Permission denied".to_owned());
        assert_eq!(check(&facts, "cache").mark, Mark::Problem);
    }
}
