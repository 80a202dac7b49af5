//! Which instructions libtorch's kernels for the CPU use. The last digits of a sum depend on how many numbers an instruction adds at a
//! time, so results name it.
//!
//! # Reference
//! PyTorch, `aten/src/ATen/native/DispatchStub.cpp`, `compute_cpu_capability`, with the conditions of cpuinfo that it asks for. What is
//! given here is the capability that `torch.backends.cpu.get_cpu_capability()` reports.
//!
//! # Deviations
//! On processors that are not x86-64 there is one name, `DEFAULT`. oneMKL and oneDNN choose their kernels on their own, by the
//! processor; variables that tell them otherwise are not looked at.

use super::texts;

/// The variable by which a user chooses.
#[cfg(target_arch = "x86_64")]
const CHOICE: &str = "ATEN_CPU_CAPABILITY";

/// `AVX512`, `AVX2` or `DEFAULT`.
pub fn of_libtorch() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        let chosen = std::env::var(CHOICE).unwrap_or_default();
        let has_avx2 =
            std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma");
        let has_avx512 = std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512dq")
            && std::is_x86_feature_detected!("fma");
        chosen_of(&chosen, has_avx2, has_avx512)
    }
    #[cfg(not(target_arch = "x86_64"))]
    "DEFAULT"
}

/// Whether the processor multiplies in bfloat16 by itself; without, libtorch converts each number, which takes about 20 times as long as
/// f32 (58.0 s for 256 images that take 2.95 s, on two cores with AVX-512).
pub fn has_bf16() -> bool {
    let facts = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    lists_bf16(&facts)
}

/// Whether the text of `/proc/cpuinfo` lists instructions for bfloat16.
fn lists_bf16(facts: &str) -> bool {
    let flags = texts::field(facts, "flags").or_else(|| texts::field(facts, "Features"));
    flags.is_some_and(|flags| {
        let mut flags = flags.split_whitespace();
        flags.any(|flag| matches!(flag, "amx_bf16" | "avx512_bf16" | "bf16"))
    })
}

#[cfg(target_arch = "x86_64")]
fn chosen_of(chosen: &str, has_avx2: bool, has_avx512: bool) -> &'static str {
    match chosen {
        "avx512" => "AVX512",
        "avx2" => "AVX2",
        "default" => "DEFAULT",
        _ if has_avx512 => "AVX512",
        _ if has_avx2 => "AVX2",
        _ => "DEFAULT",
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn instructions_for_bfloat16_are_found() {
        assert!(lists_bf16(
            "processor\t: 0\nflags\t\t: fpu avx512_bf16 sse\n"
        ));
        assert!(lists_bf16("Features\t: fp asimd bf16\n"));
        assert!(!lists_bf16("flags\t\t: fpu avx512f sse\nbugs\t: bf16\n"));
    }

    #[test]
    fn the_user_chooses_and_the_processor_otherwise() {
        for (chosen, has_avx2, has_avx512, expected) in [
            ("", true, true, "AVX512"),
            ("", true, false, "AVX2"),
            ("", false, false, "DEFAULT"),
            ("avx2", true, true, "AVX2"),
            ("default", true, true, "DEFAULT"),
            ("something else", true, false, "AVX2"),
        ] {
            assert_eq!(chosen_of(chosen, has_avx2, has_avx512), expected);
        }
    }
}
