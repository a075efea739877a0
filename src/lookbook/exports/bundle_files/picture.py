"""Turn a picture file into what the model takes, by the same steps as before its training."""

import json
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

about = json.loads(Path(__file__).with_name("about.json").read_text(encoding="utf-8"))
height, width, *colour = about["input_shape"]
if (steps := about.get("preprocessing", about)).get("version", 1) == 2:
    from cutout import cut_out
elif steps.get("version", 1) != 1:
    raise SystemExit("about.json tells of steps that picture.py does not know: export both anew")


def border(p):
    return np.atleast_1d(np.median(np.concatenate([p[0], p[-1], p[1:-1, 0], p[1:-1, -1]]), 0))


def read(path):  # as the model takes it: padded with the colour of its border, then shrunk
    return see(path)[0]


def see(path):  # the same, and what was done to it
    warnings.simplefilter("error", Image.DecompressionBombWarning)  # 89 million pixels are too many
    image = Image.open(path, formats=["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
    if image.width * image.height > 40e6:  # a JPEG is decoded smaller: it would take 2 GB
        image.draft(None, (16 * max(height, width),) * 2)
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode[0] in "IF":  # 16-bit grey keeps its upper 8 bits
        if image.mode == "F" or ((levels := np.asarray(image)) >> 16).any():
            raise ValueError("32-bit pixels have no fixed range")
        layers = levels >> 8, np.where(levels == image.info.get("transparency"), 0, 255)
        image = Image.merge("LA", [Image.fromarray(layer.astype(np.uint8)) for layer in layers])
    if image.has_transparency_data:  # what is transparent goes on a ground that contrasts
        grey, alpha = (np.asarray(x, np.int32) for x in image.convert("RGBA").convert("LA").split())
        ground = "black" if (alpha * (grey - 191)).sum() > 0 else "white"
        image = Image.alpha_composite(Image.new("RGBA", image.size, ground), image.convert("RGBA"))
    if image.size != tuple(size := np.array([width, height])) and "segmentation" in steps:
        return cut_out(image, (height, width))
    image = image.convert("RGB" if colour else "L").reduce(max(1, int(max(image.size / size) / 16)))
    w, h = np.maximum(image.size, np.rint(size * max(image.size / size)).astype(int)).tolist()
    whole = Image.new(image.mode, (w, h), tuple(border(np.asarray(image)).astype(int).tolist()))
    whole.paste(image, ((w - image.width) // 2, (h - image.height) // 2))
    out = np.asarray(whole.resize((width, height), Image.Resampling.BILINEAR))
    odd = {"light on dark": border(out) > 191, "dark on light": border(out) < 64}
    return (255 - out, "seen inverted") if not colour and odd.get(steps["polarity"]) else (out, "")
