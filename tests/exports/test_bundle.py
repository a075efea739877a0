"""The folder that needs nothing of this program: its examples say what the model says."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import lookbook, made_images, with_data
from image_files import GOLDEN
from lookbook.cli import results
from lookbook.errors import LookbookWarning
from lookbook.evaluation.evaluate import evaluate
from lookbook.exports.bundle import write_bundle
from lookbook.images import segmentation
from lookbook.images.preprocessing import fit_image, match_polarity, read_image
from lookbook.inference.model import Model
from lookbook.inference.predictor import Predictor
from lookbook.inference.thresholds import Thresholds
from lookbook.recipes import TUTORIAL
from lookbook.runs.data_parts import load_part
from lookbook.runs.store import read_run
from lookbook.training.pipeline import train
from made_photographs import COLOURS, made

NODE_MODULES = Path(sys.prefix) / "web" / "node_modules"


@pytest.fixture(scope="module", params=["grey", "colour"])
def some_run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    images, labels = made_images(700, seed=3)
    if request.param == "colour":
        images = np.stack([images, 255 - images, images // 2], axis=-1)
    classes = np.array(["a|b", "c*d", "[e]"])
    np.savez(folder / "bars.npz", images=images, labels=labels, classes=classes)
    run = train(str(folder / "bars.npz"), TUTORIAL.with_epochs(3), out=folder / "run")
    evaluate(run)
    return run


@pytest.fixture(scope="module")
def kit(some_run):
    return write_bundle(some_run, some_run.folder.parent / "kit")


def run_alone(command: list[object], home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program as somebody with that home, in which it must leave nothing behind."""
    home.mkdir(exist_ok=True)
    own = {"XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY"}
    env = {name: value for name, value in os.environ.items() if name not in own}
    ended = subprocess.run(
        list(map(str, command)), env=env | {"HOME": str(home)} | more,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert list(home.rglob("*")) == []  # ONNX Runtime's telemetry keeps a database there
    return ended


def run_python(kit: Path, *paths: Path) -> subprocess.CompletedProcess[str]:
    return run_alone([sys.executable, kit / "predict.py", *paths], kit.parent / "home")


def run_node(kit: Path, *paths: Path) -> subprocess.CompletedProcess[str]:
    if not (NODE_MODULES / "onnxruntime-node").exists():
        pytest.fail("onnxruntime-node is not here; make test installs it")
    command = [shutil.which("node"), kit / "predict.mjs", *paths]
    return run_alone(command, kit.parent / "home", NODE_PATH=str(NODE_MODULES))


def shown(output: str) -> list[tuple[str, str, float, float, bool]]:
    """Read what an example printed: file, verdict and class, percentage, novelty, inverted."""
    pattern = r"^(.*): (.*), ([\d.]+) %  \(novelty ([\d.]+)(, seen inverted)?\)$"
    return [
        (Path(path).name, said, float(p), float(novelty), bool(inverted))
        for path, said, p, novelty, inverted in re.findall(pattern, output, re.MULTILINE)
    ]


# ---- Python ----


@pytest.mark.slow
def test_python_says_what_the_model_says(kit, tmp_path):
    """Sizes and kinds of images, too, are brought to the model's as this program does it."""
    photo = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(photo).resize((90, 60), Image.Resampling.BICUBIC).save(tmp_path / "photo.png")
    Image.new("L", (40, 44), 250).save(tmp_path / "light.png")
    large = np.random.default_rng(1).integers(0, 120, (23, 31, 3), dtype=np.uint8)
    Image.fromarray(large).resize((3000, 2001), Image.Resampling.BICUBIC).save(tmp_path / "l.jpg")
    sample = next(kit.glob("sample.*"))
    paths = [sample, *(tmp_path / name for name in ("photo.png", "light.png", "l.jpg"))]
    ended = run_python(kit, *paths)
    assert ended.returncode == 0, ended.stderr
    model = Model.open(kit / "model.onnx")
    height, width, *channels = model.input_shape
    for path, (name, said, percent, novelty, inverted) in zip(
        paths, shown(ended.stdout), strict=True
    ):
        image, swapped = fit_image(read_image(path), (height, width), colour=bool(channels)), 0
        if not channels:
            image, swapped = match_polarity(image, model.polarity)
        expected = model.predict(image[None])
        assert name == path.name
        assert said.split("most likely ")[-1] == model.classes[expected.probs[0].argmax()]
        assert percent == pytest.approx(100 * expected.probs[0].max(), abs=0.051)
        assert novelty == pytest.approx(float(expected.novelty[0]), abs=0.006)
        assert inverted == swapped == (not channels and name == "light.png")


@pytest.fixture
def example(kit):
    """The kit's `picture.py`, imported."""
    spec = importlib.util.spec_from_file_location("picture", kit / "picture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", GOLDEN)
def test_python_reads_each_kind_of_image_as_this_program_does(example, tmp_path, kind):
    name, save, _, _ = GOLDEN[kind]
    save(tmp_path / name)
    for size, polarity in product(
        [(20, 16), (9, 13), (28, 28)], ["light on dark", "dark on light", "mixed"]
    ):
        example.height, example.width = size
        example.steps["polarity"] = polarity
        expected = fit_image(read_image(tmp_path / name), size, colour=bool(example.colour))
        if not example.colour:
            expected, _ = match_polarity(expected, polarity)
        np.testing.assert_array_equal(example.read(tmp_path / name), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    "pixels",
    [
        np.full((9, 9), 0.5, np.float32),
        np.full((9, 9), 2**16, np.int32),
        np.full((9, 9), -1, np.int32),
    ],
)
def test_python_refuses_pixels_without_a_range(kit, tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "scan.tiff")
    ended = run_python(kit, tmp_path / "scan.tiff")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"{tmp_path / 'scan.tiff'} cannot be read: 32-bit pixels have no fixed range\n"
    )


@pytest.mark.slow
def test_python_says_in_one_line_what_is_wrong(kit, tmp_path):
    ended = run_python(kit)
    assert ended.returncode == 2
    assert ended.stderr == "usage: python predict.py PICTURE PICTURE\n"
    missing, song, cut = (tmp_path / name for name in ("missing.png", "song.png", "cut.jpg"))
    song.write_bytes(b"no picture")
    Image.new("RGB", (50, 50)).save(cut)
    cut.write_bytes(cut.read_bytes()[:-100])
    sample = next(kit.glob("sample.*"))
    ended = run_python(kit, missing, song, sample, cut)
    assert ended.returncode == 2
    for path, line in zip((missing, song, cut), ended.stderr.splitlines(), strict=True):
        assert line.startswith(f"{path} cannot be read: ")
    assert ended.stdout.startswith(f"{sample}: ")  # one bad file does not end the call


def test_python_needs_onnx_runtime_numpy_and_pillow_alone(kit):
    names = set()
    for path in kit.glob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) < 50
        names |= {
            (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
            for node in ast.walk(ast.parse(text))
            if isinstance(node, (ast.Import, ast.ImportFrom))
        }
    # `cutout` lies in folders of models that cut out photographs
    wanted = {"onnxruntime", "numpy", "PIL", "picture", "cutout"}
    assert names - set(sys.stdlib_module_names) == wanted
    assert not (kit / "cutout.py").exists()


# ---- JavaScript ----


@pytest.mark.browser
def test_javascript_says_what_the_model_says(kit, some_run, tmp_path):
    test = load_part(some_run, "test")
    sample, swapped, noted = next(kit.glob("sample.*")), tmp_path / "swapped", tmp_path / "noted"
    grey = test.channels == 1
    Image.fromarray(255 - test.images[0] if grey else test.images[0]).save(swapped, format="PPM")
    kind, size, most, pixels = sample.read_bytes().split(b"\n", 3)
    noted.write_bytes(b"%s\n# by hand: 1 2\n%s # and\n#\n%s\n%s" % (kind, size, most, pixels))
    ended = run_node(kit, sample, swapped, noted)
    assert ended.returncode == 0, ended.stderr
    (_, *first, whole), (_, *second, inverted), (_, *third, _) = shown(ended.stdout)
    assert first == second == third
    assert (whole, inverted) == (False, grey)
    said, percent, novelty = first
    expected = Model.open(kit / "model.onnx").predict(test.images[:1])
    assert said.split("most likely ")[-1] == test.classes[expected.probs[0].argmax()]
    assert percent == pytest.approx(100 * expected.probs[0].max(), abs=0.051)
    assert novelty == pytest.approx(expected.novelty[0], abs=0.006)


@pytest.mark.browser
def test_javascript_says_in_one_line_what_is_wrong(kit, tmp_path):
    ended = run_node(kit)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "usage: node predict.mjs PICTURE.pgm\n"
    sample, path = next(kit.glob("sample.*")), tmp_path / "other"
    content = sample.read_bytes()
    kind = "PPM" if sample.suffix == ".ppm" else "PGM"
    with Image.open(sample) as image:
        for size in ((28, 28), (12, 10)):
            image.resize(size).save(path, format="PPM")
            assert refusal(kit, path) == [wrong_pixels(path, kind)]
    for wrong in (content[:-1], b"no picture", content.replace(b"255", b"127", 1)):
        path.write_bytes(wrong)
        assert refusal(kit, path) == [wrong_pixels(path, kind)]
    (line,) = refusal(kit, tmp_path / "missing")
    assert "no such file" in line
    assert str(tmp_path / "missing") in line
    ended = run_node(kit, path, sample)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert ended.stdout.startswith(f"{sample}: ")  # one bad file does not end the call


def refusal(kit: Path, path: Path) -> list[str]:
    ended = run_node(kit, path)
    assert (ended.returncode, ended.stdout) == (2, "")
    return ended.stderr.splitlines()


def wrong_pixels(path: Path, kind: str) -> str:
    return f"{path} must be a {kind} of 10×12 pixels, 8 bits; README.md says how to make one"


@pytest.mark.browser
def test_javascript_takes_what_the_card_makes_of_a_photograph(kit, tmp_path):
    """The two commands that stand in the card, one after the other."""
    folder = shutil.copytree(kit, tmp_path / "kit")
    photo = np.random.default_rng(0).integers(0, 120, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(photo).resize((90, 60), Image.Resampling.BICUBIC).save(folder / "photo.jpg")
    card = (folder / "README.md").read_text(encoding="utf-8")
    make, use = (
        shlex.split(re.search(rf"^{start} .*", card, re.MULTILINE)[0])
        for start in ("python -c", "node predict.mjs")
    )
    subprocess.run([sys.executable, *make[1:]], cwd=folder, check=True)
    ended = run_node(folder, *(folder / name for name in use[2:]))
    assert ended.returncode == 0, ended.stderr
    same = run_python(folder, folder / "photo.jpg", *folder.glob("sample.*"))
    # what python inverts is inverted in the file that it makes
    ours, theirs = ([rest for _, *rest, _ in shown(each.stdout)] for each in (ended, same))
    assert ours == theirs


# ---- how images are prepared ----


def changed(kit: Path, folder: Path, change) -> Path:
    """Return a copy of a kit that says something else of its model."""
    copy = shutil.copytree(kit, folder)
    about = json.loads((copy / "about.json").read_text(encoding="utf-8"))
    change(about)
    (copy / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return copy


@pytest.mark.browser
def test_steps_that_the_examples_do_not_know_are_refused(kit, tmp_path):
    folder = changed(kit, tmp_path / "kit", lambda about: about["preprocessing"].update(version=3))
    for run, name in ((run_python, "picture.py"), (run_node, "predict.mjs")):
        ended = run(folder, next(folder.glob("sample.*")))
        assert ended.returncode != 0
        assert ended.stdout == ""
        assert ended.stderr == (
            f"about.json tells of steps that {name} does not know: export both anew\n"
        )


@pytest.mark.browser
def test_a_folder_that_does_not_say_how_images_are_prepared_means_version_1(kit, tmp_path):
    folder = changed(kit, tmp_path / "kit", lambda about: about.pop("preprocessing"))
    Image.new("L", (10, 12), 250).save(tmp_path / "light.ppm")
    paths = next(kit.glob("sample.*")), tmp_path / "light.ppm"
    for run in (run_python, run_node):
        found, expected = (shown(run(each, *paths).stdout) for each in (folder, kit))
        assert found == expected
        assert found


def test_a_folder_of_an_older_model_says_how_images_are_prepared(some_run, tmp_path, monkeypatch):
    about = Model.open(some_run.model).about
    steps = about["preprocessing"]
    older = {key: value for key, value in about.items() if key != "preprocessing"}
    monkeypatch.setattr(Model, "about", older)
    folder = write_bundle(some_run, tmp_path / "kit")
    written = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    assert written == older | {"preprocessing": steps}


# ---- photographs, where the model's steps say that they are cut out ----


@pytest.fixture(scope="module")
def cutting_kit(cutting_run):
    return write_bundle(cutting_run, cutting_run.folder.parent / "kit")


@pytest.mark.slow
def test_python_cuts_out_as_prediction_does(cutting_kit, cutting_run, tmp_path):
    paths = [tmp_path / f"{k}.png" for k in range(len(COLOURS) + 2)]
    for path, colours in zip(paths, COLOURS.values(), strict=False):
        Image.fromarray(made(*colours)[0]).resize((501, 700)).save(path)
    Image.new("RGB", (40, 30), "teal").save(paths[-2])  # nothing stands out
    Image.new("L", (28, 28), 250).save(paths[-1])  # of the model's size
    ended = run_python(cutting_kit, *paths)
    assert ended.returncode == 0, ended.stderr
    for line, expected in zip(
        ended.stdout.splitlines(), Predictor(cutting_run).predict(paths), strict=True
    ):
        answer, _, beside = line.removeprefix(f"{expected.source}: ").partition("  (")
        words = results.answer_line(expected).removeprefix(f"{expected.source}: ")
        assert answer == words.partition("  (")[0].replace("\u00a0", " ")
        cutout = expected.cutout
        note = "seen inverted" if cutout is None else (
            "nothing stands out" if cutout.is_whole else "cut out")  # fmt: skip
        assert beside == f"novelty {expected.novelty:.2f}, {note})"


def test_python_makes_the_same_pixels_of_a_photograph(cutting_kit, cutting_run, tmp_path):
    code = (
        "import sys, numpy as np\nfrom picture import see\n"
        "np.save(sys.argv[1], np.stack([see(path)[0] for path in sys.argv[2:]]))"
    )
    paths = []
    for seed, size in enumerate([(300, 400), (640, 427), (1501, 1001), (1, 10_000), (2, 3)]):
        paths.append(tmp_path / f"{seed}.{'jpg' if seed % 2 else 'png'}")
        image = Image.fromarray(made(*COLOURS["grey on wood"], seed=seed)[0])
        image.resize(size, Image.Resampling.BICUBIC).save(paths[-1])
    for name, save, _, _ in GOLDEN.values():  # palettes, 16 bits, transparency, CMYK
        paths.append(tmp_path / name)
        save(tmp_path / name)
    command = [sys.executable, "-c", code, tmp_path / "found.npy", *paths]
    subprocess.run(command, cwd=cutting_kit, check=True)
    expected = [one.image for one in Predictor(cutting_run).predict(paths)]
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), expected)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak of memory")
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("turned", [1, 6])
def test_python_takes_little_memory_for_the_largest_photograph(
    cutting_kit, cutting_run, tmp_path, progressive, turned
):
    """Of 85 million pixels: 2 GB, where it is decoded whole and laid on a ground."""
    code = (
        "import sys, numpy as np\nfrom picture import see\n"
        "np.save(sys.argv[1], see(sys.argv[2])[0])\n"
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    )
    image, exif = Image.fromarray(made(*COLOURS["dark on light"])[0]), Image.Exif()
    exif[0x0112] = turned
    image.resize((7980, 10640), Image.Resampling.BICUBIC).save(
        tmp_path / "large.jpg", progressive=progressive, exif=exif
    )
    command = [sys.executable, "-c", code, tmp_path / "found.npy", tmp_path / "large.jpg"]
    ended = subprocess.run(command, cwd=cutting_kit, check=True, capture_output=True, text=True)
    assert int(ended.stdout) < 600_000  # kB
    (expected,) = Predictor(cutting_run).predict([tmp_path / "large.jpg"])
    found = np.load(tmp_path / "found.npy").astype(int)
    assert np.abs(found - expected.image).mean() < 8


def test_cutting_out_needs_scipy_and_two_files_more(cutting_kit):
    copied = (cutting_kit / "segmentation.py").read_bytes()
    assert copied == Path(segmentation.__file__).read_bytes()
    assert len((cutting_kit / "cutout.py").read_text().splitlines()) < 50
    card = (cutting_kit / "README.md").read_text(encoding="utf-8")
    assert "`pip install onnxruntime numpy pillow scipy`" in card
    assert "what lies in its middle is cut out" in card


@pytest.mark.browser
def test_javascript_takes_what_was_cut_out(cutting_kit, tmp_path):
    folder = shutil.copytree(cutting_kit, tmp_path / "kit")
    Image.fromarray(made(*COLOURS["dark on light"])[0]).save(folder / "photo.jpg")
    card = (folder / "README.md").read_text(encoding="utf-8")
    (make,) = re.findall(r"^python -c .*", card, re.MULTILINE)
    subprocess.run([sys.executable, *shlex.split(make)[1:]], cwd=folder, check=True)
    assert "node predict.mjs --cut-out photo.pgm" in card
    ended = run_node(folder, "--cut-out", folder / "photo.pgm")
    assert ended.returncode == 0, ended.stderr
    same = run_python(folder, folder / "photo.jpg")
    alike = r": (.*)  \(novelty ([\d.]+)"
    assert re.findall(alike, ended.stdout) == re.findall(alike, same.stdout)


# ---- one verdict everywhere ----


@pytest.fixture
def doubted(kit, some_run, tmp_path):
    """A kit whose thresholds part its own test images, those images, and the verdicts."""
    folder = shutil.copytree(kit, tmp_path / "kit")
    model, test = Model.open(some_run.model), load_part(some_run, "test")
    said = model.predict(test.images[:12])
    order = np.argsort(said.probs.max(axis=1))
    low, high = said.probs.max(axis=1)[order[4]], np.sort(said.novelty)[8]
    limits = {"sure": float(low), "strange": float(high)}
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    about["calibration"]["thresholds"] |= limits
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
    predictor = Predictor(model)
    predictor.thresholds = Thresholds(sure=limits["sure"], strange=limits["strange"])
    paths, expected = [], []
    for i in range(12):
        paths.append(tmp_path / f"{i}.{'ppm' if test.channels == 3 else 'pgm'}")
        Image.fromarray(test.images[i]).save(paths[-1])
        (one,) = predictor.predict(paths[-1])
        expected.append(results.answer_line(one).partition(": ")[2].partition(",")[0])
    return folder, paths, expected


@pytest.mark.browser
def test_examples_and_program_make_the_same_of_every_answer(doubted):
    folder, paths, expected = doubted
    assert len({words.split(";")[0].split("?")[0] for words in expected}) >= 3
    for run in (run_python, run_node):
        ended = run(folder, *paths)
        assert ended.returncode == 0, ended.stderr
        assert [said for _, said, *_ in shown(ended.stdout)] == expected


@pytest.mark.browser
def test_a_name_cannot_steer_the_terminal(kit, tmp_path):
    path = tmp_path / "a\x1b[31m\x9b2J\u202eb\nc"
    shutil.copy(next(kit.glob("sample.*")), path)
    for run in (run_python, run_node):
        ended = run(kit, path, tmp_path / "none" / path.name)
        assert ended.returncode == 2
        for stream in (ended.stdout, ended.stderr):
            (line,) = stream.splitlines()
            assert line.isprintable()


# ---- the card ----


def test_the_card_tells_figures_with_their_conditions(kit, some_run):
    card = (kit / "README.md").read_text(encoding="utf-8")
    found = some_run.evaluation()
    validation = some_run.metrics["validation"]
    test = load_part(some_run, "test")
    for text in (
        f"right for {100 * found.accuracy:.2f} %",
        f"right for {100 * validation['accuracy']:.2f} %",
        f"{validation['n']:,} images held back",
        some_run.conditions["data"]["train_sha256"],
        some_run.conditions["versions"]["torch"],
        "Licence: not stated",
        "## Limits",
        "| a\\|b |",
        "in the order of `probs`: a\\|b, c\\*d, \\[e\\].",
        f"python predict.py sample.{'ppm' if test.channels == 3 else 'pgm'}     "
        f"# {test.classes[test.labels[0]]}\n",
    ):
        assert text in card
    assert "{{" not in card
    assert "None" not in card


def test_the_card_takes_no_html_from_names(some_run, tmp_path):
    run = read_run(some_run.folder)
    run = with_data(run, name=str(tmp_path / "<img src=x onerror=alert(1)>\n# &lt;b&gt;.npz"))
    with pytest.warns(LookbookWarning, match="^without sample images"):
        folder = write_bundle(run, tmp_path / "kit")
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.splitlines()[0] == (
        r"# \<img src=x onerror=alert\(1\)\> \# \&lt;b\&gt;: a small image classifier"
    )


@pytest.mark.slow
def test_a_folder_that_exists_is_left_alone(some_run, tmp_path):
    (tmp_path / "kit").mkdir()
    ended = lookbook("export", some_run.folder, "--to", "folder", "--out", "kit", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr == "error: kit exists and is not overwritten; choose another --out\n"
    assert list((tmp_path / "kit").iterdir()) == []


def test_a_run_whose_data_is_gone_gets_a_folder_without_a_sample(some_run, tmp_path):
    run = read_run(shutil.copytree(some_run.folder, tmp_path / "run"))
    run = with_data(run, name=str(tmp_path / "gone.npz"))
    with pytest.warns(LookbookWarning, match=r"^without sample images: .*gone\.npz"):
        folder = write_bundle(run, tmp_path / "kit")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "about.json", "model.onnx", "picture.py", "predict.mjs", "predict.py",
    ]  # fmt: skip
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "\npython predict.py photo.jpg\n" in card
    assert re.search(r"^node predict\.mjs photo\.p[gp]m$", card, re.MULTILINE)


@pytest.mark.slow
def test_python_opens_no_other_formats_and_no_huge_image(kit, tmp_path):
    eps, sky = tmp_path / "drawing.png", tmp_path / "sky.png"
    Image.new("L", (9, 9)).save(eps, format="EPS")
    Image.new("1", (10_000, 9_000)).save(sky)
    for path, reason in ((eps, "cannot identify"), (sky, "could be decompression bomb")):
        ended = run_python(kit, path)
        assert (ended.returncode, ended.stdout) == (2, "")
        (line,) = ended.stderr.splitlines()
        assert reason in line


@pytest.mark.slow
def test_the_command_names_the_next_one(some_run, tmp_path):
    ended = lookbook("export", some_run.folder, "--to", "folder", "--out", "k", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^next: python k/predict.py k/sample\.p[gp]m$", ended.stdout, re.MULTILINE)
