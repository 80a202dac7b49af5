"""Writes the files of this folder. It needs numpy; README.md names the version."""

import pathlib

import numpy

FOLDER = pathlib.Path(__file__).parent
IMAGES = numpy.arange(3 * 4 * 5 * 3, dtype=numpy.uint8).reshape(3, 4, 5, 3)
LABELS = numpy.array([7, 0, 3], dtype=numpy.int64)

# As scripts/image_sample.py of guided-diffusion saves samples of classes.
numpy.savez(FOLDER / "samples.npz", IMAGES, LABELS)
# As published reference batches have moments beside the images; compressed.
moments = {"mu": numpy.zeros(2), "sigma": numpy.eye(2)}
numpy.savez_compressed(FOLDER / "compressed.npz", arr_0=IMAGES, arr_1=LABELS, **moments)
numpy.savez(FOLDER / "gray.npz", IMAGES[:2, :, :, 0])
numpy.savez(FOLDER / "fortran.npz", numpy.asfortranarray(IMAGES))
numpy.savez(FOLDER / "floats.npz", IMAGES / 255)
