"""Writes what is kept of the golden outputs of an autoencoder: `python3 reduce.py VAE-TINY-FEATURES.safetensors VAE-TINY.json`.

Values are untouched: of all arrays the first image, of large feature maps corners and 4 x 4 means as they were recorded, of others every
eighth channel, and of the decoded image every fourth row.
"""

import json
import pathlib
import sys

from safetensors.numpy import load_file, save_file

FOLDER = pathlib.Path(__file__).parent
WHOLE = {"input", "eps", "encoder_out", "moments", "mean", "logvar_clamped", "latent_mode", "latent_sample"}

kept = {}
for name, array in load_file(sys.argv[1]).items():
    array = array[:1]
    if name == "decoded":
        array = array[:, :, ::4]
    elif name not in WHOLE and not name.endswith("corner"):
        array = array[:, ::8]
    kept[name] = array.copy()
save_file(kept, FOLDER / "vae-tiny.safetensors")

about = json.loads(pathlib.Path(sys.argv[2]).read_text())
compvis = about["diffusers_to_compvis_names"]
earlier = about["diffusers_current_to_old_names"]
lines = ["# a layer by diffusers, by its earlier releases, by CompVis"]
for name, other in sorted(compvis.items()):
    if name.endswith(".weight"):
        names = [name, earlier.get(name, name), other]
        lines.append(" ".join(one.removesuffix(".weight") for one in names))
(FOLDER / "names.txt").write_text("\n".join(lines) + "\n")
