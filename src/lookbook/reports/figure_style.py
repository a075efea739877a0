"""Style of figures: colours, texts in both languages, fonts, and names cut to their room."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.text import Text

from lookbook.errors import LookbookWarning

Lang = Literal["en", "ko"]

# blue and red that stay apart for all common kinds of colour blindness (Okabe and Ito, 2008)
RIGHT, WRONG, OTHER, INK = "#0072B2", "#D0312D", "#C3C7CC", "#22262B"
#: classes up to which the matrix shows its numbers
MOST_COUNTS = 30
#: classes up to which a figure grows with each and names each; of more, every n-th is named
MOST_NAMED = 50
#: letters up to which class names are written in full, where there is little room and where more
MOST_LETTERS, MOST_LETTERS_MATRIX = 16, 24
KOREAN_FONTS = ("NanumGothic", "Noto Sans CJK KR", "Noto Sans KR", "Malgun Gothic", "AppleGothic")
DPI = 300

TEXTS = {
    "en": {
        "true": "true: {}",
        "unsure": "not sure",
        "strange": "not one of these?",
        "nothing found": "nothing stands out",
        "seen": "what the model saw",
        "grey level": "grey level (0 to 255)",
        "epoch": "epoch",
        "loss": "loss",
        "accuracy": "accuracy",
        "training": "training",
        "validation": "validation",
        "predicted class": "predicted class",
        "true class": "true class",
        "pictures": "pictures",
        "confusion": "{n:,} test images: {right:,} right (on the diagonal), {wrong:,} wrong",
        "share": "share of the true class",
        "percent": " %",
    },
    "ko": {
        "true": "정답: {}",
        "unsure": "잘 모르겠음",
        "strange": "여기 없는 종류인 듯",
        "nothing found": "뚜렷이 구분되는 것 없음",
        "seen": "모델이 본 모습",
        "grey level": "밝기 (0~255)",
        "epoch": "에포크",
        "loss": "손실",
        "accuracy": "정확도",
        "training": "훈련",
        "validation": "검증",
        "predicted class": "예측한 클래스",
        "true class": "실제 클래스",
        "pictures": "이미지 수",
        "confusion": "테스트 이미지 {n:,}장: 맞음 {right:,}장(대각선), 틀림 {wrong:,}장",
        "share": "실제 클래스 중 비율",
        "percent": "%",
    },
}

STYLE: dict[str, str | float] = {
    "axes.edgecolor": "#8A9099",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called $x
    "xtick.color": INK,
    "ytick.color": INK,
}


class Figure(MatplotlibFigure):
    """A matplotlib figure that a notebook shows without any further set-up."""

    def _repr_png_(self) -> bytes:
        import io  # noqa: PLC0415  # for notebooks alone

        buffer = io.BytesIO()
        about = {"Description": self.words()}
        self.savefig(buffer, dpi=110, bbox_inches="tight", metadata=about)
        return buffer.getvalue()

    def words(self) -> str:
        """Return all that the figure says, for readers who cannot see it."""
        texts = [text for text in self.findobj(Text) if text.get_visible()]
        return " | ".join(text.get_text() for text in texts if text.get_text().strip())


P = ParamSpec("P")


def styled(
    draw: Callable[Concatenate[dict[str, str], P], Figure],
) -> Callable[P, Figure]:
    """Give a drawing function its texts in the language asked for, and the one style."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        lang = kwargs.get("lang", "en")
        if lang == "ko" and not _can_draw(TEXTS["ko"]["true class"]):
            lang = "en"
        # glyphs that the first font lacks come from the next
        style: Any = STYLE | {"font.family": _fonts()}
        with mpl.rc_context(style):
            return draw(TEXTS[str(lang)], *args, **kwargs)

    return drawn


@cache
def korean_fonts() -> tuple[str, ...]:
    """Return the Korean fonts that matplotlib can use here, best first."""
    # matplotlib's own list is older than a font that was installed since
    known = {font.fname for font in font_manager.fontManager.ttflist}
    for path in font_manager.findSystemFonts():
        stem = Path(path).stem.replace("-", "")
        wanted = ("NanumGothic", "NotoSansCJKRegular", "NotoSansKR", "malgun", "AppleGothic")
        if path not in known and stem in wanted:
            font_manager.fontManager.addfont(path)
    names = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(name for name in KOREAN_FONTS if name in names)


def _fonts() -> tuple[str, ...]:
    return ("DejaVu Sans", *korean_fonts())


@cache
def _letters_of(fonts: tuple[str, ...]) -> frozenset[int]:
    """Return the characters that these fonts can draw."""
    paths = [font_manager.findfont(font) for font in fonts]
    return frozenset().union(*(font_manager.get_font(path).get_charmap() for path in paths))


def _can_draw(text: str) -> bool:
    """Say whether figures can show a text; say so to the user, once, where they cannot."""
    if all(c.isascii() or c.isspace() or ord(c) in _letters_of(_fonts()) for c in text):
        return True
    note_missing_font(korean=any("HANGUL" in unicodedata.name(c, "") for c in text))
    return False


@cache
def note_missing_font(*, korean: bool) -> None:
    """Warn once of letters that no font of this machine has."""
    what, package = ("Korean", "fonts-nanum") if korean else ("some class names", "fonts-noto-cjk")
    warnings.warn(
        LookbookWarning(
            f"no font for {what} on this machine: figures are labelled in English, classes that "
            f"they cannot name by numbers; on Debian: apt-get install {package}"
        ),
        stacklevel=2,
    )


def drawable(text: str) -> str:
    """Write a question mark for what figures cannot show."""
    if _can_draw(text):
        return text
    return "".join(c if c.isascii() or ord(c) in _letters_of(_fonts()) else "?" for c in text)


def class_name(classes: tuple[str, ...], label: int, most: int = MOST_LETTERS) -> str:
    """Return the name of a class as a figure shows it, its number where no font has its letters."""
    name = shorten(classes[label], most)
    return name if _can_draw(name) else f"class {label}"


def shorten(name: str, most: int = MOST_LETTERS) -> str:
    """Cut a name that is too long for its place; wide letters count twice.

    >>> shorten("Ankle boot"), shorten("a very long class name", 12)
    ('Ankle boot', 'a very long…')
    """
    name = unicodedata.normalize("NFC", " ".join(name.split()))  # fonts draw whole syllables
    if _letters(name) <= most:
        return name
    while _letters(name) >= most:
        name = name[:-1]
    return f"{name.rstrip()}…"


def _letters(name: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in name)


def room_for(names: list[str], size: float) -> float:
    """Return the inches that names take beyond "T-shirt/top", for which the figures are made."""
    return max(0, max(map(_letters, names)) - 11) * 0.6 * size / 72


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches, whose layout matplotlib sees to."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
