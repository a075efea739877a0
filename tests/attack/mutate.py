"""Damage bytes and documents at random: flips, cuts, pieces of other files, numbers, texts."""

from __future__ import annotations

import copy
import json
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Rng = np.random.Generator

#: sizes, offsets and counts at which readers break
NUMBERS = (
    *(0, 1, 2, 3, 7, 8, 15, 16, 127, 128, 255, 256, 9400, 32767, 32768, 65500, 65535, 65536),
    *(100_000, 2**24, 2**28, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1),
)
#: values that no document holds
STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3, 1e308, -0.5, 10**30, 2**63, float("nan"), float("inf")),
    *("", "x", "nan", "\ud800", "\u202e\x1b[31m", "a" * 5000, "/dev/zero", "../../x", "runs/two"),
    *([], {}, [None], [[]], [[1, 2], [3]], [0.5], ["x"], {"x": 1}, [{}], [[[[[[[[1]]]]]]]]),
)


def choose(rng: Rng, choices: Sequence[Any]) -> Any:
    """Return one of several, as it is."""
    return choices[int(rng.integers(len(choices)))]


# ---- bytes ----


def flip(rng: Rng, content: bytes) -> bytes:
    """Flip one to eight bits."""
    changed = bytearray(content)
    for _ in range(int(choose(rng, (1, 1, 1, 2, 8)))):
        changed[_place(rng, content)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def cut(rng: Rng, content: bytes) -> bytes:
    """Leave out the end, or something in between."""
    start, end = sorted(int(n) for n in rng.integers(0, len(content) + 1, 2))
    return content[:start] + (content[end:] if rng.random() < 0.5 else b"")


def splice(rng: Rng, content: bytes, other: bytes) -> bytes:
    """Put a piece of a file into another: in between, or over what is there."""
    start, end = sorted(int(n) for n in rng.integers(0, len(other) + 1, 2))
    piece, place = other[start:end], _place(rng, content)
    return content[:place] + piece + content[place + int(rng.integers(2)) * len(piece) :]


def number(rng: Rng, content: bytes) -> bytes:
    """Write a number of one to eight bytes, most often near the beginning."""
    code = choose(rng, "<>") + choose(rng, "BHIQ")
    written = struct.pack(code, choose(rng, NUMBERS) % 2 ** (8 * struct.calcsize(code)))
    place = int(rng.integers(min(80, len(content)))) if rng.random() < 0.7 else _place(rng, content)
    return content[:place] + written + content[place + len(written) :]


def digits(rng: Rng, content: bytes) -> bytes:
    """Write another number over one that stands there in decimal digits, in a text header."""
    found = list(re.finditer(rb"\d+", content[:200]))
    if not found:
        return number(rng, content)
    start, end = choose(rng, found).span()
    return content[:start] + str(choose(rng, (*NUMBERS, -1, "9" * 400))).encode() + content[end:]


def damage(rng: Rng, content: bytes, others: Sequence[bytes]) -> bytes:
    """Do one to three kinds of damage."""
    for _ in range(int(choose(rng, (1, 1, 1, 2, 3)))):
        if not content:
            break
        kind = choose(rng, (flip, flip, cut, splice, number, number, digits))
        content = (
            splice(rng, content, choose(rng, others)) if kind is splice else kind(rng, content)
        )
    return content


def _place(rng: Rng, content: bytes) -> int:
    return int(rng.integers(len(content)))


# ---- what formats of images have of their own ----


def with_checksums(content: bytes) -> bytes:
    """Write the right checksums into the chunks of a PNG: damage that no checksum finds."""
    changed, at = bytearray(content), 8
    while at + 12 <= len(changed):
        (size,) = struct.unpack(">I", changed[at : at + 4])
        end = at + 8 + size
        if end + 4 > len(changed):
            break
        changed[end : end + 4] = struct.pack(">I", zlib.crc32(changed[at + 4 : end]))
        at = end + 4
    return bytes(changed)


def tag(rng: Rng, content: bytes) -> bytes:
    """Change a field of a TIFF's first directory: its tag, type, count or value."""
    order = "<" if content[:2] == b"II" else ">"
    if len(content) < 10:
        return content
    (start,) = struct.unpack(order + "I", content[4:8])
    if start + 2 > len(content):
        return content
    (n,) = struct.unpack(order + "H", content[start : start + 2])
    at = start + 2 + 12 * int(rng.integers(max(1, n)))
    offset, code = choose(rng, ((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "H")))
    value = choose(rng, (*NUMBERS, 258, 259, 273, 277, 278, 279, 284, 317, 322, 323, 324, 339, 347))
    written = struct.pack(order + code, value % 2 ** (8 * struct.calcsize(code)))
    return content[: at + offset] + written + content[at + offset + len(written) :]


def segment(rng: Rng, content: bytes) -> bytes:
    """Write a number behind a marker of a JPEG, or repeat what stands between two of them."""
    marks = [m.start() for m in re.finditer(rb"\xff[\xc0-\xfe]", content)]
    if len(marks) < 2:
        return flip(rng, content)
    at = choose(rng, marks)
    if rng.random() < 0.3:
        end = choose(rng, marks)
        return content[:end] + content[min(at, end) : max(at, end)] + content[end:]
    place = at + 2 + int(rng.integers(12))
    written = struct.pack(">H", choose(rng, NUMBERS) % 2**16)[: int(choose(rng, (1, 2)))]
    return content[:place] + written + content[place + len(written) :]


# ---- documents ----


def document(rng: Rng, value: Any) -> Any:
    """Change one place of a JSON document: another value, a key that lacks, or one too many."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places or rng.random() < 0.03:
        return choose(rng, STRANGE)
    holder, key = choose(rng, places)
    kind = rng.random()
    if kind < 0.65:
        holder[key] = _other(rng, holder[key])
    elif kind < 0.85:
        del holder[key]
    elif isinstance(holder, list):
        holder.insert(key, choose(rng, (*STRANGE, *holder)))
    else:
        holder[choose(rng, ("x", "name", f"{key} "))] = holder.pop(key)
    return value


def _other(rng: Rng, value: Any) -> Any:
    """Return another value, often of the same type."""
    if isinstance(value, bool) or rng.random() < 0.5:
        return choose(rng, STRANGE)
    if isinstance(value, int | float):
        return choose(rng, (-value, value + 1, value * 1000, float(value), str(value), *NUMBERS))
    if isinstance(value, str):
        return choose(rng, (value[:-1], value * 1000, value + "\n", value.upper(), [value]))
    if isinstance(value, list):
        return choose(
            rng, (value[:-1], value[::-1], value * 1000, value[:1], dict(enumerate(value)))
        )
    return list(value) if isinstance(value, dict) else choose(rng, STRANGE)


def _places(value: Any) -> Any:
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in list(inside):
        yield value, key
        if isinstance(each, dict | list):
            yield from _places(each)


def text_of(rng: Rng, content: bytes) -> bytes:
    """Return a JSON document with one kind of damage: as a text, or as what it says."""
    if rng.random() < 0.25:
        return damage(rng, content, [content])
    if rng.random() < 0.03:
        depth = int(choose(rng, (100, 5000, 100_000)))
        return b"[" * depth + b"]" * depth
    changed = document(rng, json.loads(content))
    if rng.random() < 0.2:
        changed = document(rng, changed) if isinstance(changed, dict | list) else changed
    return json.dumps(changed, ensure_ascii=bool(rng.random() < 0.9)).encode(errors="surrogatepass")


#: one way to damage bytes
Damage = Callable[[Rng, bytes], bytes]
