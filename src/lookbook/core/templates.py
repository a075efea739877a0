"""HTML templates of pages: one file with its style, its script and its texts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Literal

import msgspec
from msgspec import Struct

Lang = Literal["en", "ko"]
LANGS: tuple[Lang, ...] = ("en", "ko")

#: in a text, a word that depends on a number
_CHOICE = re.compile(r"\{(\w+):([^|}]*)\|([^}]*)\}")


def fill(page: str, scripts: tuple[str, ...], **values: Any) -> str:
    """Return a page with its style and these scripts in it; no other script may run there.

    Parameters
    ----------
    page
        Name of the template and of its style: `"reports/report"` are the files `report.html` and
        `report.css` in the folder `web` of the package `lookbook.reports`.
    scripts
        Names of the scripts, in the order in which they stand in the page.
    values
        What else the template asks for.
    """
    script = "\n".join(map(_compact, scripts))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return render(
        f"{page}.html",
        version=version("lookbook"),
        style="".join(map(_compact, ("core/colours.css", "core/base.css", f"{page}.css"))),
        script=script,
        script_hash=f"sha256-{digest}",
        **values,
    )


def render(template: str, /, **values: Any) -> str:
    """Return a template, `"reports/report.body.html"`, with these values filled in.

    Raises
    ------
    jinja2.UndefinedError
        It asks for a value, or for an attribute of one, that is not there.
    """
    import jinja2  # noqa: PLC0415  # 0.1 s

    made = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return made.from_string(_asset(template)).render(**values)


def _compact(name: str) -> str:
    """Return a script or a style without indentation, comments and empty lines: a smaller page."""
    lines = r"^[ \t]*//.*\n|^[ \t]*/\*[\s\S]*?\*/[ \t]*\n|^[ \t]*\n"
    # behind code; with a quotation mark it might be a part of a text
    behind = r"(?<=[;{},(\[])[ \t]+//[^\n\"'`]*$"
    return re.sub(rf"{lines}|{behind}|^[ \t]+", "", _asset(name), flags=re.MULTILINE)


@cache
def texts(page: str, lang: Lang) -> dict[str, str]:
    """Return all texts of a page in one language; one of a section is called `section.name`.

    >>> texts("reports/report", "en")["word.class"], texts("exports/try", "ko")["clear"]
    ('class', '지우기')
    """
    found: dict[str, str] = {}
    for name, one in json.loads(_asset(f"{page}.{lang}.json")).items():
        of_section = isinstance(one, dict)
        found |= {f"{name}.{key}": one[key] for key in one} if of_section else {name: one}
    return found


def say(text: str, **values: object) -> str:
    """Fill values into a text, and choose the words that depend on whether a number is 1.

    >>> say("{n} {n:image|images}", n="1"), say("{n} {n:image|images}", n="1,000")
    ('1 image', '1,000 images')
    """
    chosen = _CHOICE.sub(lambda word: word[2] if str(values[word[1]]) == "1" else word[3], text)
    return chosen.format(**values)


@cache
def _asset(name: str) -> str:
    return asset(name).decode("utf-8")


def asset(name: str) -> bytes:
    """Return a web file: `"exports/engine.js"` lies in the folder `web` of `lookbook.exports`."""
    package, _, file = name.partition("/")
    return files(f"lookbook.{package}").joinpath("web", file).read_bytes()


def json_in_page(*parts: Struct) -> str:
    r"""Write one JSON object so that it can stand in a page: nothing in it ends the element.

    It holds the fields of all parts, in their order.

    >>> class Mark(Struct):
    ...     text: str
    >>> print(json_in_page(Mark("</script>")))
    {"text":"\u003c/script>"}
    """
    fields = {name: one for part in parts for name, one in msgspec.to_builtins(part).items()}
    text = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
