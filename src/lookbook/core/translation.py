"""Translation of messages from English into the user's language.

English stands in the source, beside the code. `messages.ko.json` holds the Korean:
`results` by the English text that `t` is called with; `sentences` by that of errors and notes, that
come as whole sentences with their values. Each `{name}` of a key stands for a value, which stays
as it is; each `{name:t}` for a sentence inside the sentence, or one of the `fragments`.
What typer and the system say, is `elsewhere`.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from string import Formatter
from typing import Literal, NamedTuple, Self, get_args

Lang = Literal["en", "ko"]
Kind = Literal["sentences", "fragments", "elsewhere"]
_lang: Lang = "en"


def set_language(lang: Lang) -> None:
    """Say everything in that language from now on."""
    global _lang  # noqa: PLW0603  # one terminal, one process
    _lang = lang


def language() -> Lang:
    """Return the language in which things are said."""
    return _lang


def t(text: str, /, **values: object) -> str:
    """Return a text with its values, in the user's language.

    >>> t("{n:,} images", n=60_000)
    '60,000 images'
    """
    if _lang == "en":
        return text.format(**values)
    return join_particles(_catalogue(_lang)["results"].get(text, text).format(**values))


def translate(sentence: str) -> str:
    """Return an error or a note in the user's language; as it is where nobody has translated it."""
    if _lang == "en":
        return sentence
    return join_particles(_translate(sentence, "sentences", "elsewhere"))


#: a Korean particle that depends on the syllable before it → after a consonant, after a vowel
_PARTICLES = {
    "은(는)": ("은", "는"),
    "이(가)": ("이", "가"),
    "을(를)": ("을", "를"),
    "(이)라": ("이라", "라"),
}
_BEFORE = re.compile(rf"([가-힣])([’'”\"]?)({'|'.join(map(re.escape, _PARTICLES))})")


def join_particles(text: str) -> str:
    """Choose Korean particles by the syllable before them; after other letters both stay.

    >>> join_particles("강아지(이)라고, 그릇(이)라고, dog(이)라고")
    '강아지라고, 그릇이라고, dog(이)라고'
    """

    def choose(found: re.Match[str]) -> str:
        syllable, quote, particle = found.groups()
        ends_in_vowel = (ord(syllable) - ord("가")) % 28 == 0
        return syllable + quote + _PARTICLES[particle][ends_in_vowel]

    return _BEFORE.sub(choose, text)


def _translate(text: str, *kinds: Kind) -> str:
    for form in _forms(_lang, kinds):
        if found := form.pattern.fullmatch(text):
            values = found.groupdict("")
            inner = {name: _translate(values[name], *get_args(Kind)) for name in form.inner}
            return form.translation.format(**values | inner)
    return text


@cache
def _catalogue(lang: Lang) -> dict[str, dict[str, str]]:
    text = files("lookbook.core").joinpath(f"messages.{lang}.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


class _Form(NamedTuple):
    """What sentences of one form look like, and what they are in another language."""

    pattern: re.Pattern[str]
    #: names of the values that are sentences themselves
    inner: list[str]
    translation: str

    @classmethod
    def of(cls, key: str, translation: str) -> Self:
        """Return the form that a key describes.

        >>> _Form.of("no file {path}; {remedy:t}", "").pattern.fullmatch("no file a b; go").groups()
        ('a b', 'go')
        """
        parts = list(Formatter().parse(key))
        pattern = [
            re.escape(text) + (f"(?P<{name}>.*?)" if name else "") for text, name, _, _ in parts
        ]
        inner = [name for _, name, kind, _ in parts if name and kind == "t"]
        return cls(re.compile("".join(pattern), re.DOTALL), inner, translation)


@cache
def _forms(lang: Lang, kinds: tuple[Kind, ...]) -> list[_Form]:
    """Return the forms of sentences and fragments, those that leave least open first."""
    texts = {key: text for kind in kinds for key, text in _catalogue(lang)[kind].items()}
    by_length = sorted(texts, key=lambda key: -len(re.sub(r"{.*?}", "", key)))
    return [_Form.of(key, texts[key]) for key in by_length]


#: the languages that there are
LANGS: tuple[Lang, ...] = get_args(Lang)
