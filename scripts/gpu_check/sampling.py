"""How many images a second come out of noise: the program, and the reference's own chain beside it where there is a checkout.

A few steps of a chain are timed, and the time of all of them is extrapolated from that: every step does the same.
"""

import json

from .check import Failed

# Steps of an image, as in the published evaluation of the network.
STEPS = 250


def cases(check):
    """The network, the timed steps, and dtypes with batch sizes; what matters most comes first."""
    if check.small:
        return "adm-nano", 3, [("f32", 2), ("bf16", 2), ("f32", 4)]
    sizes = (64, 32, 128, 16, 256)
    return "adm-256-uncond", 6, [*(("bf16", size) for size in sizes), ("f16", 64), ("f32", 32)]


def sampling(check):
    if not check.peaks:
        peaks(check)
    model, steps, chosen = cases(check)
    rates = {}
    for dtype, batch_size in chosen:
        fields = {"what": f"repro, {model} in {STEPS} steps, {steps} of them timed", "dtype": dtype, "batch_size": batch_size}
        found = check.attempt(fields, bench, check, model, steps, (dtype, batch_size))
        if found:
            rates[dtype, batch_size] = found["images_per_second"]
    if check.reference is not None:
        reference(check, model, steps, chosen, rates)


def peaks(check):
    """What the device can do at most, where no part before this one has measured it."""
    ended = check.expect(check.python("torch_peak.py", check.device, 8192 if check.is_cuda else 256))
    for line in ended.stdout.splitlines():
        found = json.loads(line)
        check.peaks[found["dtype"]] = found["teraflops"]


def bench(check, model, steps, case):
    dtype, batch_size = case
    words = ["bench", "sampling", "--model", model, "--steps", steps, "--of", STEPS, "--batch-size", batch_size]
    words += ["--precision", dtype, "--device", check.device, "--json"]
    ended = check.repro(*words)
    found = check.json_of(ended)
    if not found["seconds_per_step"] > 0:
        raise Failed("a step took no time")
    peak = check.peaks.get(dtype)
    return {
        "seconds_per_step": found["seconds_per_step"],
        "images_per_second": found["images_per_second"],
        "extrapolated": True,
        "teraflops_per_second": found["teraflops_per_second"],
        "share_of_peak": peak and found["teraflops_per_second"] / peak,
        "hours_for_50000_images": 50_000 / found["images_per_second"] / 3600,
        "peak_device_memory": ended.peak_device_memory,
        "peak_memory": found["peak_memory_bytes"],
    }


def reference(check, model, steps, chosen, rates):
    """The reference has f16 and f32 alone; its f16 stands beside our bf16 as well, which takes a GPU as long."""
    presets = check.root / "data/models/guided-diffusion.toml"
    sizes = dict.fromkeys(size for _, size in chosen)
    wanted = [("f16", size) for size in sizes] + [(dtype, size) for dtype, size in chosen if dtype == "f32"]
    if check.small:
        wanted = [("f32", size) for size in sizes]
    words = [check.reference, presets, model, check.device, steps, STEPS, *(f"{dtype}:{size}" for dtype, size in wanted)]
    ended = check.python("torch_sampling.py", *words)
    for line in ended.stdout.splitlines():
        found = json.loads(line)
        dtype, size = found["dtype"], found["batch_size"]
        fields = {"what": f"reference, {model} in {STEPS} steps, {steps} of them timed", "dtype": dtype, "batch_size": size}
        if "error" in found:
            check.record(**fields, error=found["error"])
            continue
        ours = rates.get((dtype, size))
        of_bf16 = rates.get(("bf16", size)) if dtype == "f16" else None
        images_per_second = found["images_per_second"]
        check.record(
            **fields,
            seconds_per_step=found["seconds_per_step"],
            images_per_second=images_per_second,
            extrapolated=True,
            images_per_second_of_repro=ours,
            repro_over_reference=ours and ours / images_per_second,
            repro_in_bf16_over_reference=of_bf16 and of_bf16 / images_per_second,
            peak_device_memory=found.get("peak_allocated"),
        )
    check.expect(ended)
