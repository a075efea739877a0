"""Bring the pages outside docs/ into the site, and turn links between files into links in it.

The pages are written for a code host, where `../CONTRIBUTING.md` is a link; in the site
docs/ is the root, and what lies outside keeps its path below it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
#: what the site holds beside docs/
OUTSIDE = (
    "*.md",
    "bench/results/*/*.md",
    "bench/results/*/*.png",
    "notebooks/*.ipynb",
    "src/lookbook/**/*.py",
    "constraints.txt",
    "LICENSE",
    "CITATION.cff",
)
#: what a page would fetch from elsewhere
LOADED = re.compile(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
#: the target of a Markdown link or image that names no address
TARGET = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what lies outside docs/; README.md becomes the first page."""
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001  # called by name
    """Rewrite each link from where the file lies to where the site has it."""
    source = page.file.src_uri
    folder = posixpath.dirname(_in_repository(source))

    def moved(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, found[1]))
        return posixpath.relpath(_in_site(target), posixpath.dirname(source) or ".")

    return TARGET.sub(moved, markdown)


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001  # called by name
    """Refuse a page that would fetch anything: the site is read without a network."""
    if found := LOADED.search(output):
        raise PluginError(f"{page.file.src_uri} fetches {found[0]}")
    return output


def _in_repository(uri: str) -> str:
    return uri if (ROOT / uri).exists() else f"docs/{uri}"


def _in_site(path: str) -> str:
    return path.removeprefix("docs/")
