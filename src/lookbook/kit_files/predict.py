"""Say what pictures show, with model.onnx alone: python predict.py PICTURE PICTURE."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(Path(__file__).with_name("model.onnx"))
about = json.loads(session.get_modelmeta().custom_metadata_map["lookbook"])
height, width, *colour = about["input_shape"]


def border(pixels):
    return np.median(np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]]), 0)


def read(path):
    """Return a picture as the model takes it: padded with the colour of its border, then shrunk."""
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGBA")
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = picture.convert("RGB" if colour else "L")
    picture = picture.reduce(max(1, int(max(picture.width / width, picture.height / height) / 16)))
    scale = max(picture.width / width, picture.height / height)
    w, h = max(picture.width, round(width * scale)), max(picture.height, round(height * scale))
    fill = np.atleast_1d(border(np.asarray(picture))).astype(int).tolist()
    whole = Image.new(picture.mode, (w, h), tuple(fill) if colour else fill[0])
    whole.paste(picture, ((w - picture.width) // 2, (h - picture.height) // 2))
    image = np.asarray(whole.resize((width, height), Image.Resampling.BILINEAR))
    wrong = {"light on dark": lambda g: g > 191, "dark on light": lambda g: g < 64}
    swap = not colour and wrong.get(about["polarity"], lambda _: False)(border(image))
    return 255 - image if swap else image


images = np.stack([read(path) for path in sys.argv[1:]])
for path, p, n in zip(sys.argv[1:], *session.run(["probs", "novelty"], {"images": images})):
    print(f"{path}: {about['classes'][p.argmax()]}, {100 * p.max():.1f} %  (novelty {n:.2f})")
