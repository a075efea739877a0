"""Say what pictures show, with the files of this folder: python predict.py PICTURE PICTURE."""

import os
import sys
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before ONNX Runtime is loaded
import numpy as np
import onnxruntime
from picture import about, see

# where too few pictures could tell, nothing is doubted
none = {"sure": 0, "strange": float("inf")}
usual = (about["calibration"] or {}).get("thresholds", none)
photographs = about.get("photographs")  # what was cut out is harder: it has limits of its own


def verdict(confidence, novelty, note, limits):
    if novelty > limits["strange"] or note == "nothing stands out":
        return "not one of these? most likely "
    return "not sure; most likely " if confidence < limits["sure"] else ""


def harmless(text):  # names of files are anybody's: nothing in them steers the terminal
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


if len(sys.argv) == 1:
    print("usage: python predict.py PICTURE PICTURE", file=sys.stderr)
    sys.exit(2)
session = onnxruntime.InferenceSession(Path(__file__).with_name("model.onnx"))
failed = False
for path in sys.argv[1:]:
    try:
        image, note = see(path)
    except Exception as error:  # what Pillow raises on damage has no common class
        print(harmless(f"{path} cannot be read: {error}"), file=sys.stderr)
        failed = True
        continue
    (p,), (novelty,) = session.run(["probs", "novelty"], {"images": image[None]})
    limits = usual
    if photographs and note in ("cut out", "nothing stands out"):
        p = p.astype(float) ** photographs["power"]
        p, limits = (p / p.sum()).astype(np.float32), photographs["thresholds"]
    said = f"{verdict(float(p.max()), novelty, note, limits)}{about['classes'][p.argmax()]}"
    said += f", {100 * p.max():.1f} %"
    beside = f"novelty {novelty:.2f}{note and ', '}{note}"
    print(harmless(f"{path}: {said}  ({beside})"))
sys.exit(2 if failed else 0)
