"""Execute the lessons: tutorial.py → tutorial.ipynb, in each language.

Run it after a change to a lesson: python notebooks/build.py
"""

from __future__ import annotations

import base64
import io
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image, PngImagePlugin

HERE = Path(__file__).parent
SOURCES = (HERE / "tutorial.py", HERE / "tutorial.ko.py")
#: as many as a palette holds: half the bytes of full colour, and nobody sees the difference
COLOURS = 256


def execute(source: Path, folder: Path) -> nbformat.NotebookNode:
    """Return a lesson with its outputs; the same source on the same machine gives the same."""
    notebook = jupytext.read(source)
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02}"
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = smaller(output["data"]["image/png"])
    nbformat.validate(notebook)
    return notebook


def smaller(png: str) -> str:
    """Return a base64 PNG with a palette in place of full colour."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        about = PngImagePlugin.PngInfo()
        about.add_itxt("Description", picture.info["Description"])  # what the tests compare
        # k-means keeps colours that are rare, such as the red of a wrong answer
        few = picture.convert("RGB").quantize(COLOURS, kmeans=1, dither=Image.Dither.NONE)
        few.save(buffer, "PNG", optimize=True, pnginfo=about)
    return base64.b64encode(buffer.getvalue()).decode()


def main() -> None:
    """Write the notebooks beside their sources."""
    for source in SOURCES:
        with tempfile.TemporaryDirectory() as folder:
            notebook = execute(source, Path(folder))
        target = source.with_suffix(".ipynb")
        nbformat.write(notebook, target)
        print(f"{target.name}: {target.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
