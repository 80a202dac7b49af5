"""A step of fine-tuning, and a step of the training of a network."""

from dataclasses import dataclass

from . import experiments
from .experiments import dataset, preset, quoted, table

CACHE = "cache-training"


def fine_tuning(check):
    """A batch norm and a linear layer on the map of a block, and the network below it: there, back, and a step of both."""
    if check.small:
        model, side, block, steps, runs = "adm-nano", 32, 3, 5, [("f32", True, 2), ("f32", False, 2), ("bf16", True, 2)]
    else:
        model, side, block, steps = "adm-256-uncond", 256, 24, 12
        runs = [("f32", True, 8), ("bf16", True, 8), ("f32", False, 8), ("f32", True, 2)]
    for dtype, recompute, batch_size in runs:
        fields = {"what": f"fine-tuning, {model} to b{block}", "dtype": dtype, "batch_size": batch_size, "recompute": recompute}
        check.attempt(fields, tune, check, (model, side, block, steps), dtype, recompute, batch_size)
        experiments.forget(check, CACHE)


def tune(check, network, dtype, recompute, batch_size):
    model, side, block, steps = network
    root = experiments.images(check, side, 3, max(steps * batch_size, experiments.CLASSES), experiments.CLASSES)
    extraction = table(
        "extraction.map",
        model=quoted("network"),
        dataset=quoted("images"),
        timestep=90,
        block=block,
        pool=2,
        precision=quoted(dtype),
        # All images of a step at once.
        batch_size=batch_size,
    )
    head = table(
        "head.tuned",
        kind=quoted("batchnorm-linear"),
        features=quoted("map"),
        epochs=1,
        batch_size=batch_size,
        fine_tune=f"{{ lr = 1e-5, recompute = {str(recompute).lower()} }}",
    )
    text = dataset(root) + preset(model, "{ synthetic = 1 }") + extraction + head
    ran = experiments.run(check, "fine-tuning", text, CACHE, words=("--checkpoint-every", 3600))
    seconds, count = ran.seconds_between("images-seen")
    return {
        "steps": count,
        "seconds_a_step": seconds,
        "images_per_second": seconds and batch_size / seconds,
        # Weights, predictions and writing included.
        "seconds_in_all": ran.last("heads-finished", "seconds"),
        "peak_device_memory": ran.ended.peak_device_memory,
        "peak_memory": ran.ended.peak_memory,
        "error": None if ran.is_whole else "it was not finished in the time of this part",
    }


@dataclass(frozen=True)
class Network:
    """A network to train."""

    name: str
    side: int
    channels: int
    # Its keys, where it is no preset.
    shape: dict | None = None


FASHION = Network("fashion-28", 28, 1)
CIFAR = Network("cifar-32", 32, 3)
# The published network for 64 pixels, without its classes.
LARGE = Network(
    "64 pixels, 192 channels",
    64,
    3,
    {
        "image_size": 64,
        "model_channels": 192,
        "num_res_blocks": 3,
        "channel_mult": [1, 2, 3, 4],
        "attention_resolutions": [32, 16, 8],
        "num_head_channels": 64,
        "noise_schedule": quoted("cosine"),
    },
)


def pretraining(check):
    """Loss, way back, optimizer and averages of a diffusion network."""
    if check.small:
        runs = [(FASHION, dtype, 2, 4) for dtype in ("f32", "bf16")]
    else:
        runs = [(network, dtype, 128, 60) for network in (CIFAR, FASHION) for dtype in ("f32", "bf16")]
        runs += [(LARGE, dtype, 32, 10) for dtype in ("bf16", "f32")]
    for network, dtype, batch_size, steps in runs:
        fields = {"what": f"pre-training, {network.name}", "dtype": dtype, "batch_size": batch_size}
        check.attempt(fields, pretrain, check, network, dtype, batch_size, steps)
        experiments.forget(check, CACHE)


def pretrain(check, network, dtype, batch_size, steps):
    root = experiments.images(check, network.side, network.channels, 16 * batch_size, experiments.CLASSES)
    training = table("pretrain.training", dataset=quoted("images"), steps=steps, batch_size=batch_size, precision=quoted(dtype))
    weights = '{ pretrain = "training" }'
    if network.shape is None:
        model = preset(network.name, weights)
    else:
        model = table("model.network", kind=quoted("guided-diffusion"), **network.shape, weights=weights)
    ran = experiments.run(check, "pretraining", dataset(root) + training + model, CACHE)
    # A step reads its loss from the device, so that its event comes when it is done.
    seconds, count = ran.seconds_between("pretrain-advanced")
    return {
        "steps": count,
        "seconds_a_step": seconds,
        "images_per_second": seconds and batch_size / seconds,
        "seconds_in_all": ran.last("pretrain-finished", "seconds"),
        "peak_device_memory": ran.ended.peak_device_memory,
        "peak_memory": ran.ended.peak_memory,
        "error": None if ran.is_whole else "it was not finished in the time of this part",
    }
