"""Turn a picture file into what the model takes, by the same steps as before its training."""

import json
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

about = json.loads(Path(__file__).with_name("about.json").read_text(encoding="utf-8"))
height, width, *colour = about["input_shape"]
if (steps := about.get("preprocessing", about)).get("version", 1) != 1:
    raise SystemExit("about.json tells of steps that picture.py does not know: export both anew")


def border(pixels):
    return np.median(np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]]), 0)


def read(path):  # as the model takes it: padded with the colour of its border, then shrunk
    return see(path)[0]


def see(path):
    """Return a picture as the model takes it, and whether its light and dark were swapped."""
    warnings.simplefilter("error", Image.DecompressionBombWarning)  # 89 million pixels are too many
    opened = Image.open(path, formats=["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
    picture = ImageOps.exif_transpose(opened)
    if picture.mode[0] in "IF":  # 16-bit grey keeps its upper 8 bits
        levels = np.asarray(picture)
        if picture.mode == "F" or (levels >> 16).any():
            raise ValueError("32-bit pixels have no fixed range")
        layers = levels >> 8, np.where(levels == picture.info.get("transparency"), 0, 255)
        picture = Image.merge("LA", [Image.fromarray(layer.astype(np.uint8)) for layer in layers])
    picture = picture.convert("RGBA")  # what is transparent goes on a ground that contrasts
    grey, alpha = (np.asarray(x, np.int32) for x in (picture.convert("L"), picture.getchannel("A")))
    ground = "black" if (alpha * (grey - 191)).sum() > 0 else "white"
    layers = Image.new("RGBA", picture.size, ground), picture
    picture = Image.alpha_composite(*layers).convert("RGB" if colour else "L")
    picture = picture.reduce(max(1, int(max(picture.width / width, picture.height / height) / 16)))
    scale = max(picture.width / width, picture.height / height)
    w, h = max(picture.width, round(width * scale)), max(picture.height, round(height * scale))
    fill = np.atleast_1d(border(np.asarray(picture))).astype(int).tolist()
    whole = Image.new(picture.mode, (w, h), tuple(fill))
    whole.paste(picture, ((w - picture.width) // 2, (h - picture.height) // 2))
    image = np.asarray(whole.resize((width, height), Image.Resampling.BILINEAR))
    swap = {"light on dark": border(image) > 191, "dark on light": border(image) < 64}
    inverted = not colour and bool(swap.get(steps["polarity"]))
    return (255 - image if inverted else image), inverted
