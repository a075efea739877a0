"""JPEG photographs through /predict, beside decoding alone and the `Predictor` alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
from PIL import Image, ImageOps

from bench.harness import peer_process
from bench.harness.record import Record
from bench.serving import requests
from bench.serving.load import Clients
from bench.serving.servers import LOOKBOOK, running
from bench.serving.setting import Setting, as_client, figures
from lookbook.images.specification import Preprocessing
from lookbook.inference.model import Model

#: pixels of the longer side, and how many photographs are sent in turn
SIDE, FILES = 400, 64
CONNECTIONS = 8


def measure_photographs(setting: Setting, record: Record) -> None:
    """Send photographs to the model as it is, and to one that cuts nothing out of them."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        files = resize(setting.photographs[:FILES], place)
        plain = place / "plain.onnx"
        plain.write_bytes(without_segmentation(Model.open(setting.run.model)).content)
        models = {"with segmentation": setting.run.model, "without": plain}
        for number in range(setting.rounds):
            for name, model in models.items():
                found = {"part": "photographs", "round": number, "kind": name, "n": len(files)}
                record.measurements.append(found | _measure(setting, model, files))


def _measure(setting: Setting, model: Path, files: list[Path]) -> dict[str, object]:
    seconds = max(setting.seconds, 1.0)
    options = ["--seconds", str(seconds), "--files", *map(str, files)]
    command = setting.alone("photographs", str(model), *options)
    alone = peer_process.parse(peer_process.output_of(command), {"decode", "read", "predictor"})
    asked = [requests.image_file(path.read_bytes()) for path in files]
    with running(LOOKBOOK, model, setting.server_core) as server, as_client(setting):
        clients = Clients(server.address, asked, CONNECTIONS)
        clients.settle()
        load = clients.closed(seconds)
        clients.close()
    return {"alone": alone, **figures(load)}


def resize(paths: tuple[Path, ...], folder: Path) -> list[Path]:
    """Write photographs as JPEG files of quality 85, the longer side of 400 pixels."""
    written = []
    for number, path in enumerate(paths):
        with Image.open(path) as image:
            small = ImageOps.exif_transpose(image).convert("RGB")
        by = SIDE / max(small.size)
        sides = (round(by * small.width), round(by * small.height))
        written.append(folder / f"{number}.jpg")
        small.resize(sides, Image.Resampling.LANCZOS).save(written[-1], quality=85)
    return written


def without_segmentation(model: Model) -> Model:
    """Return the same network in a file that takes photographs as other images."""
    import onnx

    proto = onnx.load_from_string(model.content)
    del proto.metadata_props[:]
    steps = Preprocessing.of(model.input_shape, model.polarity)
    about = model.about | {"preprocessing": msgspec.to_builtins(steps)}
    about.pop("photographs", None)
    return Model.write(proto, about)  # type: ignore[arg-type]  # all that the file says, as it was
