"""Makes the files of this folder: `python3 make.py` in it, with Pillow 13.0.0 and numpy. Rewrites NAME.rgb for every image."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

WIDTH, HEIGHT = 23, 17
y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
red, green, blue = x * 11 + 2, y * 15 + 4, 255 - (x + y) * 6
colours = np.stack([red, green, blue], -1).astype(np.uint8)
grey = (x * 6 + y * 7).astype(np.uint8)
alpha = (255 - x * 10).astype(np.uint8)
rgb = Image.fromarray(colours)


def png_of_16_bits(values, colour_type):
    """Pillow writes no colours of 16 bits."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def jpeg(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


def png(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, **options)
    return buffer.getvalue()


def other(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def ycck():
    """Luminance, chroma and black as four plain components, said to be YCCK in Adobe's segment."""
    inverted = Image.fromarray(255 - colours).convert("YCbCr")
    black = Image.fromarray(255 - grey // 2)
    data = bytearray(jpeg(Image.merge("CMYK", [*inverted.split(), black]), subsampling=0))
    place = data.index(b"Adobe")
    assert data[place + 11] == 0
    data[place + 11] = 2
    return bytes(data)


cmyk = Image.merge("CMYK", [*Image.fromarray(255 - colours).split(), Image.fromarray(grey // 2)])
transparent = rgb.quantize(16)
transparent.info["transparency"] = 3
orientation = Image.Exif()
orientation[0x0112] = 6
profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
wide = np.stack([red, green, blue], -1) * 257 - 100

files = {
    "baseline.jpg": jpeg(rgb, subsampling=0),
    "subsampled.jpg": jpeg(rgb, subsampling=2),
    "progressive.jpg": jpeg(rgb, subsampling=2, progressive=True),
    "restarts.jpg": jpeg(rgb, subsampling=1, restart_marker_blocks=1),
    "plain-rgb.jpg": jpeg(rgb, keep_rgb=True),
    "grey.jpg": jpeg(Image.fromarray(grey)),
    "cmyk.jpg": jpeg(cmyk),
    "ycck.jpg": ycck(),
    "orientation.jpg": jpeg(rgb, subsampling=0, exif=orientation),
    "profile.jpg": jpeg(rgb, subsampling=0, icc_profile=profile),
    "is-a-png.jpg": png(rgb),
    "is-a-jpeg.png": jpeg(rgb, subsampling=0),
    "grey.png": png(Image.fromarray(grey)),
    "two-greys.png": png(Image.fromarray(grey).convert("1")),
    "four-greys.png": png(Image.fromarray(grey // 64).convert("P"), bits=2),
    "grey-alpha.png": png(Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])),
    "alpha.png": png(Image.merge("RGBA", [*rgb.split(), Image.fromarray(alpha)])),
    "palette.png": png(rgb.quantize(16)),
    "transparent-palette.png": png(transparent),
    "transparent-colour.png": png(rgb, transparency=(2, 4, 255)),
    "profile.png": png(rgb, icc_profile=profile),
    "colours-16.png": png_of_16_bits(wide.reshape(HEIGHT, -1), 2),
    "alpha-16.png": png_of_16_bits(np.concatenate([wide, alpha[..., None].astype(int) * 257], -1).reshape(HEIGHT, -1), 6),
    "colours.bmp": other(rgb, "BMP"),
    "palette.bmp": other(rgb.quantize(16), "BMP"),
    "grey.bmp": other(Image.fromarray(grey), "BMP"),
    "two-greys.bmp": other(Image.fromarray(grey).convert("1"), "BMP"),
    "colours.tif": other(rgb, "TIFF"),
    "grey.tif": other(Image.fromarray(grey), "TIFF"),
    "two-greys.tif": other(Image.fromarray(grey).convert("1"), "TIFF"),
    "alpha.tif": other(Image.merge("RGBA", [*rgb.split(), Image.fromarray(alpha)]), "TIFF"),
    "lzw.tif": other(rgb, "TIFF", compression="tiff_lzw"),
    "deflate.tif": other(rgb, "TIFF", compression="tiff_adobe_deflate"),
    "cmyk.tif": other(cmyk, "TIFF"),
    "palette.gif": other(rgb.quantize(16), "GIF"),
    "transparent.gif": other(transparent, "GIF", transparency=3),
    "moving.gif": other(rgb.quantize(16), "GIF", save_all=True, append_images=[Image.fromarray(grey)]),
    "lossless.webp": other(rgb, "WEBP", lossless=True),
    "alpha.webp": other(Image.merge("RGBA", [*rgb.split(), Image.fromarray(alpha)]), "WEBP", lossless=True, exact=True),
    "lossy.webp": other(rgb, "WEBP", quality=80),
    "moving.webp": other(rgb, "WEBP", lossless=True, save_all=True, append_images=[Image.fromarray(grey).convert("RGB")]),
    "is-a-bmp.jpg": other(rgb, "BMP"),
    "greys-16.png": png_of_16_bits(grey.astype(int) * 257 - np.minimum(grey, 100), 0),
}
for name, data in files.items():
    Path(name).write_bytes(data)
    decoded = Image.open(io.BytesIO(data))
    Path(name + ".rgb").write_bytes(np.asarray(decoded.convert("RGB")).tobytes())
    print(name, len(data), decoded.mode)
