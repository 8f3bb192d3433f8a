"""Makes small JPEG and WebP files and what Pillow decodes them to.

    pip install pillow==13.0.0 numpy==2.4.6
    python generate.py

writes encoded/class/*.jpg, decoded/class/*.png and lossy.webp beside this file. The images are drawn here.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent


def picture(width: int, height: int) -> Image.Image:
    """Smooth waves of different directions in the three channels, with one hard edge."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [np.sin(x / 5), np.sin(y / 4), np.sin((x + y) / 6)]
    pixels = np.stack([127 + 100 * plane for plane in planes], axis=-1)
    pixels[: height // 3, : width // 3] = (230, 40, 40)
    return Image.fromarray(pixels.astype(np.uint8))


def main() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn right by 90 degrees
    files = {
        "full_chroma.jpg": (picture(32, 32), {"quality": 92, "subsampling": 0}),
        "half_chroma.jpg": (picture(32, 32), {"quality": 90, "subsampling": 2}),
        "grey.jpg": (picture(32, 32).convert("L"), {"quality": 85}),
        "progressive_exif.jpg": (picture(32, 32), {"quality": 80, "progressive": True, "exif": exif}),
        "restarts.jpg": (picture(32, 32), {"quality": 90, "restart_marker_blocks": 1}),
    }
    for name, (image, options) in files.items():
        path = HERE / "encoded" / "class" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)
        decoded = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        target = HERE / "decoded" / "class" / Path(name).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        decoded.save(target, optimize=True)
    picture(40, 30).save(HERE / "lossy.webp", quality=70)


if __name__ == "__main__":
    main()
