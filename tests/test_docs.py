"""The pages: their commands run, their links lead somewhere, their generated parts are fresh."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from conftest import lookbook, made_images
from lookbook import __all__ as public
from lookbook.inference.model import Model
from lookbook.runs.data_parts import load_part

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "bench" / "results").glob("*/*.md"),
]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[list[str]]:
    lines = "".join(blocks(page, "sh")).splitlines()
    return [
        line.split("#")[0].split()[1:]
        for line in lines
        if line.split()[0].rsplit("/", 1)[-1] == "lookbook"
    ]


#: what would take minutes in the commands of the pages → what is run in its place
SHORTER = {
    "--seed 0": "--seed 0 --epochs 1",
    "--budget 10s": "--budget 3s",
    "--budget 3m": "--budget 3s",
    "--recipe photo": "--recipe photo --epochs 0.1",
}


def write_backbone(path: Path) -> None:
    """Write a network that makes a vector of an image, and says how it takes pixels."""
    pixels, vector = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sides)
        for name, sides in (("pixel_values", ["N", 3, 32, 32]), ("features", ["N", 48]))
    )
    steps = [
        onnx.helper.make_node(
            "AveragePool", ["pixel_values"], ["map"], kernel_shape=[8, 8], strides=[8, 8]
        ),
        onnx.helper.make_node("Flatten", ["map"], ["features"]),
    ]
    written = onnx.helper.make_model(
        onnx.helper.make_graph(steps, "features", [pixels], [vector]),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.helper.set_model_props(written, {"mean": "[0.5, 0.5, 0.5]", "std": "[0.25]"})
    onnx.save(written, path)


def lay_out_mine(folder: Path) -> None:
    """Write what the pages call the reader's own: `mine/`, `mine.npz`, `photos/`, `photo.jpg`."""
    for k, name in enumerate(("cat", "dog")):
        (folder / "mine" / name).mkdir(parents=True)
        for i, image in enumerate(made_images(40, seed=k)[0]):
            shown = Image.merge("RGB", [Image.fromarray(image // n) for n in (1, 1 + k, 2 - k)])
            shown.resize((60, 72)).save(folder / "mine" / name / f"person-{i % 10}_{i}.jpg")
    images, labels = made_images(60, seed=2)
    np.savez(folder / "mine.npz", images=images, labels=labels, person=np.arange(60) % 10)
    write_backbone(folder / "features.onnx")
    (folder / "photos").mkdir()
    for path in ("photo.jpg", "photos/1.jpg", "photos/2.jpg"):
        Image.fromarray(np.zeros((50, 40), np.uint8)).save(folder / path)


def run_all(ran: list[list[str]], folder: Path) -> None:
    for command in ran:
        line = " ".join(command)
        for long, short in SHORTER.items():
            line = line.replace(long, short)
        ended = lookbook(*shlex.split(line), cwd=folder)
        assert ended.returncode == 0, (command, ended.stderr)


@pytest.mark.slow
def test_the_commands_of_the_readme_run_as_they_stand(tmp_path):
    """As a reader runs them, from an empty folder; installing is what the tests begin with."""
    assert blocks("README.md", "sh")[1].startswith("pip install .\nlookbook ")
    lay_out_mine(tmp_path)
    ran = commands("README.md")
    assert len(ran) == 4 + 2 + 2
    run_all(ran, tmp_path)
    assert (tmp_path / "seen.png").exists()
    assert (tmp_path / "runs" / "fashion-mnist-quick-1" / "report.html").exists()


def test_the_commands_of_the_tutorial_and_the_how_to_run_as_they_stand(demo, tmp_path):
    """As a reader runs them, after the demo, whose run they go on with."""
    for name in ("runs", "look"):
        shutil.copytree(demo / name, tmp_path / name)
    lay_out_mine(tmp_path)
    ran = [*commands("docs/tutorial.md"), *commands("docs/own-images.md")]
    assert len(ran) == 21
    run_all(ran, tmp_path)
    assert (tmp_path / "pair.png").exists()
    assert len((tmp_path / "predictions.csv").read_text("ascii").splitlines()) == 1 + 2


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_python_of_pages_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in blocks(page, "python"):
        fast = code.replace("random_state=0", "random_state=0, epochs=1")
        exec(compile(fast, page, "exec"), names)
    assert type(names["classifier"]).__name__ == "LookbookClassifier"
    assert ("run" in names) == (page == "docs/python.md")


def test_readmes_have_one_page_six_lines_of_python_and_five_rows():
    for page in ("README.md", "README.ko.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 120
        (code,) = blocks(page, "python")
        assert len([line for line in code.splitlines() if line]) == 6
        assert len(re.findall(r"^\| [^|]", text, flags=re.MULTILINE)) == 5


def test_the_reference_names_all_that_is_public():
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    named = re.findall(r"^::: lookbook\.(\w+)$", text, flags=re.MULTILINE)
    assert sorted(named) == sorted({*public} - {"__version__"})


def test_each_entry_of_the_log_is_in_its_index():
    text = (ROOT / "docs" / "log.md").read_text(encoding="utf-8")
    index, _, entries = text.partition("\n\n## ")
    listed = set(re.findall(r"\]\(#([^)]+)\)", index))
    assert listed == headings("## " + entries)


@pytest.mark.slow
def test_the_example_of_a_report_with_scikit_learn_runs(tmp_path, monkeypatch):
    code = blocks("docs/report.md", "python")[0]
    assert "LogisticRegression" in code
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "report.md", "exec"), {})
    assert "<title>Lookbook of Digits</title>" in (tmp_path / "digits.html").read_text("utf-8")


def test_the_lines_of_plain_onnx_runtime_say_what_the_program_says(
    run, tmp_path, monkeypatch, capsys
):
    (code,) = blocks("docs/model.md", "python")
    assert len(code.strip().splitlines()) <= 12
    monkeypatch.chdir(tmp_path)
    shutil.copy(run.model, "model.onnx")
    test = load_part(run, "test")
    Image.fromarray(test.images[3]).save("image.png")
    exec(compile(code, "model.md", "exec"), {})
    said = Model.open("model.onnx").predict(test.images[3:4])
    name, prob, novelty = capsys.readouterr().out.split()
    assert name == test.classes[said.probs[0].argmax()]
    assert [float(prob), float(novelty)] == pytest.approx([said.probs.max(), said.novelty[0]])


@pytest.mark.parametrize(
    "page",
    [
        "README",
        "docs/tutorial",
        "docs/own-images",
        "docs/serving",
        "docs/scale",
        "docs/benchmarks",
        "docs/python",
    ],
)
def test_both_languages_show_the_same_commands_and_code(page):
    english, korean = f"{page}.md", f"{page}.ko.md"
    assert commands(korean) == commands(english)
    python = [re.sub(r"#.*", "", "".join(blocks(each, "python"))) for each in (english, korean)]
    assert python[0] == python[1]


def headings(text: str) -> set[str]:
    """Return the names under which a code host, and the site, link the headings of a page."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^#+ (.*)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", text):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target
            to = page.parent / target if target else page
            assert not anchor or anchor in headings(to.read_text(encoding="utf-8")), anchor


def test_the_site_has_every_page_of_docs():
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert f": {page.name}\n" in listed


def test_the_images_of_pages_are_of_todays_pages():
    made = runpy.run_path(str(ROOT / "docs" / "outputs.py"))
    assert {*made["SCREENS"], *made["FIGURES"], *made["ANSWERS"]} == {
        path.name for path in (ROOT / "docs" / "images").iterdir()
    }
    for name in made["SCREENS"]:
        with Image.open(ROOT / "docs" / "images" / name) as image:
            assert image.info.get("Source") == made["source_of"](name), f"{name}: run make outputs"


@pytest.mark.slow
def test_the_answer_to_a_photograph_that_is_shown_is_todays(tmp_path):
    made = runpy.run_path(str(ROOT / "docs" / "outputs.py"))
    made["render_photograph"](tmp_path / "photo.jpg")
    for name, lang in made["ANSWERS"].items():
        with Image.open(ROOT / "docs" / "images" / name) as image:
            shown = image.info["Description"]
        assert made["answer"](tmp_path / "photo.jpg", lang) == shown, f"{name}: run make outputs"
        assert shown.startswith("photo.jpg: t-shirt, ")


def test_generated_parts_are_fresh():
    ended = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def test_demo_ends_in_ten_lines_and_is_immediate_the_second_time(demo, tmp_path):
    for name in ("runs", "look"):
        shutil.copytree(demo / name, tmp_path / name)
    first = (demo / "printed.txt").read_text(encoding="utf-8")
    second = lookbook("demo", cwd=tmp_path)
    summary = second.stdout.strip().splitlines()
    assert len(summary) <= 10
    assert first.strip().splitlines()[-len(summary) :] == summary
    assert "95 % interval" in summary[1]
    # the tutorial shows it, with numbers of another machine
    (shown,) = [
        block for block in blocks("docs/tutorial.md", "text") if block.startswith("Trained")
    ]
    words = [
        re.sub(r"\.venv/bin/|[\d.,]+", "", text).split("\n") for text in (shown, "\n".join(summary))
    ]
    for line, printed in zip(words[0], words[1], strict=False):
        assert line == printed or line.startswith("time ")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["fashion-mnist-tutorial-1"]
    assert "numpy" not in second.stderr
    # changed code or versions: it is done anew
    conditions = tmp_path / "runs" / "fashion-mnist-tutorial-1" / "conditions.json"
    conditions.write_text(
        conditions.read_text().replace('"source_sha256": "', '"source_sha256": "0')
    )
    with subprocess.Popen(
        [sys.executable, "-m", "lookbook", "demo"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as third:
        assert third.stdout
        assert "\n$ lookbook fetch\n" in third.stdout.readline() + third.stdout.readline()
        third.kill()
