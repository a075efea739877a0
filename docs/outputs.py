"""Make anew what the pages show of the program: python docs/outputs.py.

These are images, and what `evaluate` prints. Each image says in its metadata what it shows
(`Description`), or from which files its page was made (`Source`): the tests tell by these when it
is out of date. How long the parts of `make demo` take stays: it is measured on a quiet machine.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, PngImagePlugin

ROOT = Path(__file__).resolve().parent.parent
#: page → where its template and its texts are
WEB = {
    "report": ROOT / "src" / "lookbook" / "reports" / "web",
    "try": ROOT / "src" / "lookbook" / "exports" / "web",
}
IMAGES = ROOT / "docs" / "images"
#: image → its page, where in it, language, whether dark, height of the window
SCREENS = {
    "report.png": ("report.html", "", "en", False, 1000),
    "report.ko.png": ("report.ko.html", "#cell-6-0", "ko", True, 1000),
    "try.png": ("try.html", "", "en", False, 860),
    "try.ko.png": ("try.html", "", "ko", False, 860),
}
FIGURES = {"first-15.png": "en", "first-15.ko.png": "ko"}
#: a rendered photograph and what `predict` says of it, in a language
ANSWERS = {"answer.png": "en", "answer.ko.png": "ko"}
#: as a terminal shows it, beside the photograph; Hangul is as wide as two letters
ANSWER_PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; display: flex; background: #16191d; color: #e4e7ea }}
img {{ width: 480px; height: 480px }}
@font-face {{ font-family: Hangul; src: local("NanumGothicCoding"); size-adjust: 120.4%;
             unicode-range: U+AC00-D7A3 }}
pre {{ margin: auto 28px; font: 14.5px/1.45 Hangul, DejaVu Sans Mono, monospace }}
b {{ color: #7fc8ff; font-weight: normal }}
</style><img src="data:image/jpeg;base64,{photograph}"><pre><b>$ {command}</b>

{printed}</pre>"""
#: pages that show what `evaluate` prints, and the end of the demo
TUTORIALS = {"tutorial.md": "en", "tutorial.ko.md": "ko"}
#: the block of what `evaluate` prints
EVALUATED = re.compile(r"```text\n(?:test accuracy|테스트 정확도) .*?```", re.DOTALL)
#: what both that block and the end of the demo say of the accuracy, in their languages
SAID = {
    "en": (
        r"accuracy +(\S+ %)  \((95 % interval .+? %),",
        r"Right for \S+ % of (\S+) test images \(.*\)\.",
        r"Right for {} of \1 test images ({}).",
    ),
    "ko": (
        r"정확도 +(\S+%)  \((95% 신뢰구간 .+?%),",
        r"테스트 이미지 (\S+)장 가운데 \S+%를 맞혔습니다\(.*\)\.",
        r"테스트 이미지 \1장 가운데 {}를 맞혔습니다({}).",
    ),
}


def source_of(name: str) -> str:
    """Return the hash of what an image's page says: its template, and its texts."""
    kind, lang = name.partition(".")[0], SCREENS[name][2]
    contents = [(WEB[kind] / each).read_bytes() for each in (f"{kind}.html", f"{kind}.{lang}.json")]
    return hashlib.sha256(b"\0".join(contents)).hexdigest()


def run(*words: str) -> str:
    """Run a command of this program; return what it prints."""
    program = [sys.executable, "-m", "lookbook", *words, "--quiet"]
    done = subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603  # our own
    return done.stdout


def write_results(folder: Path) -> None:
    """Write what `evaluate` prints into the tutorial, and its accuracy into the demo's end."""
    for page, lang in TUTORIALS.items():
        shown = run("evaluate", str(folder), "--lang", lang).strip()
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        text = EVALUATED.sub(lambda _, shown=shown: f"```text\n{shown}\n```", text)  # type: ignore[misc]
        accuracy, before, after = SAID[lang]
        if found := re.search(accuracy, shown):
            text = re.sub(before, after.format(*found.groups()), text)
        (ROOT / "docs" / page).write_text(text, encoding="utf-8")


def draw_figures(folder: Path) -> None:
    """Draw the first fifteen test images with their probabilities, in both languages."""
    from lookbook import plots, predict, read_run  # noqa: PLC0415  # sizes and hashes need none

    found = predict(read_run(folder), [f"test:{i}" for i in range(15)])
    for name, lang in FIGURES.items():
        figure = plots.plot_predictions(found, columns=3, lang="ko" if lang == "ko" else "en")
        (IMAGES / name).write_bytes(figure._repr_png_())  # as a notebook shows it


def answer(photograph: Path, lang: str) -> str:
    """Return what `predict` prints of a photograph, without a run."""
    words = [sys.executable, "-m", "lookbook", "predict", photograph.name, "--lang", lang]
    folder = photograph.parent
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, cwd=folder)  # noqa: S603  # our own
    return done.stdout.strip()


def render_photograph(path: Path) -> None:
    """Render the photograph that is answered."""
    words = [sys.executable, "-m", "models.clothing.garment", str(path)]
    subprocess.run(words, check=True, cwd=ROOT)  # noqa: S603  # our own


def draw_answers(photograph: Path) -> None:
    """Show a photograph beside what is said of it."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1320, "height": 480})
        for name, lang in ANSWERS.items():
            printed = answer(photograph, lang)
            values = {
                "photograph": base64.b64encode(photograph.read_bytes()).decode(),
                "command": f"lookbook predict {photograph.name}",
                "printed": html.escape(printed),
            }
            page.set_content(ANSWER_PAGE.format(**values))
            save(page.screenshot(), name, Description=printed)
        browser.close()


def draw_screens(folder: Path) -> None:
    """Photograph the pages of a run in Chromium."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, (page, anchor, lang, dark, height) in SCREENS.items():
            context = browser.new_context(
                viewport={"width": 1280, "height": height},
                color_scheme="dark" if dark else "light",
                reduced_motion="reduce",
                locale="ko-KR" if lang == "ko" else "en-US",
                offline=True,
            )
            shown = context.new_page()
            shown.goto((folder / page).resolve().as_uri() + anchor)
            shown.wait_for_timeout(2000)  # the answer to the first sample
            if anchor:
                shown.evaluate("scrollBy(0, -320)")  # the matrix above the images of its cell
                shown.wait_for_timeout(200)
            save(shown.screenshot(), name, Source=source_of(name))
            context.close()
        browser.close()


def save(png: bytes, name: str, **about_it: str) -> None:
    """Write a screenshot, and what is to be known of it."""
    about = PngImagePlugin.PngInfo()
    for key, value in about_it.items():
        about.add_itxt(key, value)
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").save(IMAGES / name, "PNG", pnginfo=about, optimize=True)


def main() -> None:
    """Train what the pages show, write what it says, and draw all images."""
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        render_photograph(Path("photo.jpg").resolve())
        draw_answers(Path("photo.jpg").resolve())
        tutorial, standard = (f"runs/fashion-mnist-{name}-1" for name in ("tutorial", "standard"))
        run("train", "--recipe", "tutorial", "--seed", "0")
        write_results(Path(tutorial))
        draw_figures(Path(tutorial))
        run("train")
        run("report", standard)
        run("report", standard, "--lang", "ko")
        run("export", standard, "--to", "html")
        draw_screens(Path(standard))
        os.chdir(ROOT)


if __name__ == "__main__":
    main()
