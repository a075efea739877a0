"""Say what pictures show, with the files of this folder: python predict.py PICTURE PICTURE."""

import os
import sys
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before ONNX Runtime is loaded
import onnxruntime
from picture import about, read

if len(sys.argv) == 1:
    print("usage: python predict.py PICTURE PICTURE", file=sys.stderr)
    sys.exit(2)
session = onnxruntime.InferenceSession(Path(__file__).with_name("model.onnx"))
for path in sys.argv[1:]:
    try:
        images = read(path)[None]
    except Exception as error:  # what Pillow raises on damage has no common class
        print(f"{path} cannot be read: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    (p,), (novelty,) = session.run(["probs", "novelty"], {"images": images})
    print(f"{path}: {about['classes'][p.argmax()]}, {100 * p.max():.1f} %  (novelty {novelty:.2f})")
