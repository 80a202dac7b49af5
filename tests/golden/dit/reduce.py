"""Writes what is kept of the golden outputs of DiT: `python3 reduce.py FOLDER` with the folder of the recorded arrays.

Values are untouched: every ninth token (every thirteenth within a block), every fourth row of most outputs, and of the sampling the half that
has classes.
"""

import pathlib
import re
import sys

from safetensors.numpy import load_file, save_file

FOLDER = pathlib.Path(__file__).parent
RECORDED = pathlib.Path(sys.argv[1])

kept = {}
for name, array in load_file(RECORDED / "dit-tiny-features.safetensors").items():
    at_other_times = re.match(r"t(0|999)\.", name)
    if at_other_times and re.search(r"xt$|embed$|b0[23]$", name):
        continue
    if name.startswith("sample."):
        if name == "sample.noise":
            array = array[:4, :2]
        elif name.endswith("pred_xstart"):
            continue
        elif name != "sample.start":
            array = array[:2, :, ::4]
    elif name.startswith("cfg.") and name.endswith("out"):
        array = array[:, :, ::4]
    elif name.endswith(".out") and at_other_times:
        array = array[:, :, ::4]
    elif re.search(r"(attn|mlp)_(in|out)$", name):
        array = array[:, ::13]
    elif array.ndim == 3:
        array = array[:, ::9]
    kept[name] = array.copy()
save_file(kept, FOLDER / "dit-tiny.safetensors")

kept = {}
for name, array in load_file(RECORDED / "dit-xl2-features.safetensors").items():
    if name.endswith(".mean") and name[:3] not in ("b01", "b14", "b28"):
        continue
    if name == "xt":
        continue
    if name == "out":
        array = array[:, :, ::4]
    kept[name] = array.copy()
save_file(kept, FOLDER / "dit-xl2.safetensors")
