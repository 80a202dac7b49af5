"""The reference implementation in PyTorch beside the program: the same network, device, dtype and batch size."""

import json

from .check import Failed, OutOfTime, Skipped


def cases(check):
    """Dtype, block (0 is the whole network) and batch size; one dtype after the other, since each is built once."""
    if check.small:
        return "adm-nano", 0.5, [("f16", 3, 2), ("f32", 3, 2), ("f32", 0, 2)]
    sizes = [("f16", 24, 32), ("f16", 0, 32), ("f16", 24, 64), ("f16", 24, 8)]
    return "adm-256-uncond", 2.0, [*sizes, ("f32", 24, 32), ("f32", 0, 32)]


def reference(check):
    if check.reference is None:
        raise Skipped("no --reference was given")
    if not (check.reference / "guided_diffusion/unet.py").is_file():
        raise Failed("--reference is no checkout of openai/guided-diffusion: it has no guided_diffusion/unet.py")
    model, seconds, chosen = cases(check)
    presets = check.root / "data/models/guided-diffusion.toml"
    words = [check.reference, presets, model, check.device, seconds, *(":".join(map(str, case)) for case in chosen)]
    ended = check.python("torch_reference.py", *words)
    for line in ended.stdout.splitlines():
        record(check, model, json.loads(line))
    # What was measured before it ended counts.
    if ended.code is None:
        raise OutOfTime(f"{len(check.records())} of {len(chosen)} measurements were made")
    check.expect(ended)


def record(check, model, found):
    fields = {"what": f"reference, {model} {'in full' if not found['block'] else 'to b' + str(found['block'])}"}
    fields |= {"dtype": found["dtype"], "batch_size": found["batch_size"]}
    if "error" in found:
        check.record(**fields, error=found["error"])
        return
    # The blocks are the whole network but for its last layer, which is what the program's last block is compared with.
    last = max((block for name, block in check.operations if name == model), default=None)
    block = found["block"] or last
    operations, peak = check.operations.get((model, block)), check.peaks.get(found["dtype"])
    teraflops = operations and operations * found["images_per_second"] / 1e12
    ours = check.rates.get((model, block, found["dtype"], found["batch_size"]))
    check.record(
        **fields,
        batches=found["batches"],
        images_per_second=found["images_per_second"],
        teraflops_per_second=teraflops,
        share_of_peak=teraflops and peak and teraflops / peak,
        images_per_second_of_repro=ours,
        repro_over_reference=ours and ours / found["images_per_second"],
        # Of PyTorch's tensors, where the program's is all that is in use on the device.
        peak_device_memory=found.get("peak_allocated"),
    )
