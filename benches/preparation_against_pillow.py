"""Times the preparation of photographs against Pillow: same files, same core, one run.

    python3 benches/preparation_against_pillow.py PATH_OF_THE_BENCHMARK PHOTOGRAPH...

with Pillow 13.0.0 and numpy. PATH_OF_THE_BENCHMARK is what `cargo bench --bench preparation --no-run` names. Each photograph becomes
a JPEG of 500 × 375 pixels; both programs read all of them, decode, crop to 256 pixels as guided-diffusion does (`center_crop_arr`), and
make `[3, 256, 256]` 32-bit floats between -1 and 1. They take turns, one thread each, and never run at once. Times are seconds for one image, each
the median over the turns of the least of the rounds of a turn.
"""

import io
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, features

SIDE, ROUNDS, TURNS, COPIES = 256, 20, 5, 4
binary, photographs = sys.argv[1], sys.argv[2:]


def center_crop(image):
    while min(*image.size) >= 2 * SIDE:
        image = image.resize(tuple(x // 2 for x in image.size), resample=Image.BOX)
    scale = SIDE / min(*image.size)
    image = image.resize(tuple(round(x * scale) for x in image.size), resample=Image.BICUBIC)
    pixels = np.array(image)
    top, left = (pixels.shape[0] - SIDE) // 2, (pixels.shape[1] - SIDE) // 2
    return pixels[top : top + SIDE, left : left + SIDE]


def of_pillow(files):
    least = [float("inf")] * 2
    for _ in range(ROUNDS):
        spent = [0, 0]
        for data in files:
            since = time.perf_counter()
            image = Image.open(io.BytesIO(data)).convert("RGB")
            decoded = time.perf_counter()
            np.ascontiguousarray((center_crop(image).astype(np.float32) / 127.5 - 1).transpose(2, 0, 1))
            spent = [spent[0] + decoded - since, spent[1] + time.perf_counter() - decoded]
        least = [min(pair) for pair in zip(least, spent)]
    return [seconds / len(files) for seconds in least]


def of_repro(paths):
    command = [binary, str(SIDE), str(ROUNDS), *map(str, paths)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(word) for word in text.split()]


with tempfile.TemporaryDirectory() as folder:
    paths = []
    for index, photograph in enumerate(photographs * COPIES):
        paths.append(Path(folder) / f"{index}.jpg")
        Image.open(photograph).convert("RGB").resize((500, 375), Image.LANCZOS).save(paths[-1], quality=92)
    files = [path.read_bytes() for path in paths]
    turns = [(of_pillow(files), of_repro(paths)) for _ in range(TURNS)]

turbo = features.check_feature("libjpeg_turbo")
print(f"Pillow {Image.__version__}, libjpeg-turbo: {turbo}, {len(files)} files, {sum(map(len, files)) // len(files)} bytes each\n")
print("| what | Pillow | repro | ratio |\n| :--- | ---: | ---: | ---: |")
for name, pick in [("decode", lambda t: t[0]), ("crop and convert", lambda t: t[1]), ("both", sum)]:
    pillow, repro = (statistics.median(pick(turn[who]) for turn in turns) for who in (0, 1))
    print(f"| {name} | {pillow * 1e3:.2f} ms | {repro * 1e3:.2f} ms | {pillow / repro:.2f} |")
