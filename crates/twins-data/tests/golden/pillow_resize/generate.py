"""Makes sample images and what Pillow makes of them with torchvision's Resize and CenterCrop.

    pip install pillow==13.0.0 numpy==2.4.6
    python generate.py

writes input_*/ and expected_*/ beside this file. The images are drawn here; nothing is downloaded.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

HERE = Path(__file__).parent
SMALL, IMAGENET = (32, 28), (256, 224)


def draw(width: int, height: int, seed: int, noise: int) -> Image.Image:
    """Slopes, hard edges, thin lines and, in one corner, noise."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [255 * x / width, 255 * y / height, 255 * (x + y) / (width + height)]
    image = Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    pen.ellipse((width * 0.2, height * 0.2, width * 0.6, height * 0.8), fill=(250, 20, 60))
    for step in range(6):
        offset = width * (0.5 + step / 12)
        pen.line((offset, 0, offset + height * 0.2, height), fill=(0, 0, 0) if step % 2 else (255, 255, 255))
    side = min(width, height) // noise
    pixels = np.array(image)
    pixels[-side:, -side:] = np.random.default_rng(seed).integers(0, 256, (side, side, 3))
    return Image.fromarray(pixels)


def resize_and_crop(image: Image.Image, resize: int, crop: int) -> Image.Image:
    """torchvision.transforms.Resize(resize) and CenterCrop(crop) on a Pillow image."""
    width, height = image.size
    if width <= height:
        size = (resize, int(resize * height / width))
    else:
        size = (int(resize * width / height), resize)
    image = image.resize(size, Image.Resampling.BILINEAR)
    left = int(round((size[0] - crop) / 2.0))
    top = int(round((size[1] - crop) / 2.0))
    return image.crop((left, top, left + crop, top + crop))


def main() -> None:
    samples = {
        "landscape": (draw(97, 61, 0, 2), SMALL),
        "portrait": (draw(50, 83, 1, 2), SMALL),
        "square": (draw(64, 64, 2, 2), SMALL),
        "upscaled": (draw(19, 23, 3, 2), SMALL),
        "unscaled": (draw(32, 45, 4, 2), SMALL),
        "photo_size": (draw(500, 375, 5, 12), IMAGENET),
    }
    for name, (image, (resize, crop)) in samples.items():
        for folder, content in [("input", image), ("expected", resize_and_crop(image, resize, crop))]:
            path = HERE / f"{folder}_{resize}_{crop}" / "samples" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            content.save(path, optimize=True)


if __name__ == "__main__":
    main()
