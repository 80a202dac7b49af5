"""Writes a checkpoint as Lightning 1 and NumPy 1 wrote that of Stable Diffusion v1: what stands beside its tensors, with two small tensors.

    python3 lightning.py LIGHTNING.ckpt

Needs torch and numpy (recorded with 2.11.0 and 2.4.6), and neither Lightning nor NumPy 1: their names are made up for the pickle.
"""

import sys
import types

import numpy as np
import torch


def module(name, **members):
    made = types.ModuleType(name)
    for member, value in members.items():
        value.__module__, value.__qualname__ = name, member
        setattr(made, member, value)
    sys.modules[name] = made


def scalar(*_):
    raise AssertionError("never called")


class ModelCheckpoint:
    pass


class Score:
    def __reduce__(self):
        return scalar, (np.dtype("f8"), np.float64(0.25).tobytes())


for parent in ("pytorch_lightning", "pytorch_lightning.callbacks", "numpy.core"):
    sys.modules[parent] = types.ModuleType(parent)
module("pytorch_lightning.callbacks.model_checkpoint", ModelCheckpoint=ModelCheckpoint)
module("numpy.core.multiarray", scalar=scalar)
checkpoint = {
    "epoch": 3,
    "global_step": 470000,
    "pytorch-lightning_version": "1.4.2",
    "state_dict": {
        "model.diffusion_model.time_embed.0.weight": torch.arange(6.0).view(2, 3),
        "cond_stage_model.transformer.text_model.final_layer_norm.weight": torch.ones(2),
    },
    "callbacks": {ModelCheckpoint: {"monitor": "val/loss", "best_model_score": torch.tensor(0.5), "current_score": Score()}},
    "lr_schedulers": [{"base_lrs": [1e-4], "lr_lambdas": [None], "last_lr": [Score()]}],
    "optimizer_states": [],
}
torch.save(checkpoint, sys.argv[1])
