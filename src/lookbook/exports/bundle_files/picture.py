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
    opened = Image.open(path, formats=["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
    picture = ImageOps.exif_transpose(opened)
    if picture.mode[0] in "IF":  # 16-bit grey keeps its upper 8 bits
        if picture.mode == "F" or ((levels := np.asarray(picture)) >> 16).any():
            raise ValueError("32-bit pixels have no fixed range")
        layers = levels >> 8, np.where(levels == picture.info.get("transparency"), 0, 255)
        picture = Image.merge("LA", [Image.fromarray(layer.astype(np.uint8)) for layer in layers])
    picture = picture.convert("RGBA")  # what is transparent goes on a ground that contrasts
    grey, alpha = (np.asarray(x, np.int32) for x in (picture.convert("L"), picture.getchannel("A")))
    ground = "black" if (alpha * (grey - 191)).sum() > 0 else "white"
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, ground), picture)
    if "segmentation" in steps and picture.size != (width, height):
        return cut_out(picture.convert("RGB"), (height, width))
    picture = picture.convert("RGB" if colour else "L")
    picture = picture.reduce(max(1, int(max(picture.width / width, picture.height / height) / 16)))
    scale = max(picture.width / width, picture.height / height)
    w, h = max(picture.width, round(width * scale)), max(picture.height, round(height * scale))
    whole = Image.new(picture.mode, (w, h), tuple(border(np.asarray(picture)).astype(int).tolist()))
    whole.paste(picture, ((w - picture.width) // 2, (h - picture.height) // 2))
    out = np.asarray(whole.resize((width, height), Image.Resampling.BILINEAR))
    odd = {"light on dark": border(out) > 191, "dark on light": border(out) < 64}
    return (255 - out, "seen inverted") if not colour and odd.get(steps["polarity"]) else (out, "")
