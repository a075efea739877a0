"""Read the source for what it says: samples of every error and note, and the texts of results."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lookbook
from lookbook import errors

SOURCE = Path(lookbook.__file__).parent
#: classes whose messages reach the user
SAID = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
#: errors that others of these give the reason of
REASONS = {"ValueError", "EOFError", "ObjectsError", "TooLargeError"}
#: the package whose modules print results
SPEAKERS = "cli/"
#: what stands for a value in a sample
VALUE = "V{}"
DEEPEST = 6


@dataclass(frozen=True)
class Place:
    """Where an expression stands: its module, and the functions around it, the innermost last."""

    module: str
    functions: tuple[ast.FunctionDef, ...] = ()


class Source:
    """All modules of the package, parsed."""

    def __init__(self) -> None:
        self.modules = {
            path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text("utf-8"))
            for path in sorted(SOURCE.rglob("*.py"))
            if "bundle_files" not in path.parts
        }
        self.functions = [
            (Place(module, functions), node)
            for module, tree in self.modules.items()
            for functions, node in walk(tree)
            if isinstance(node, ast.FunctionDef)
        ]
        self.calls = [
            (Place(module, functions), node)
            for module, tree in self.modules.items()
            for functions, node in walk(tree)
            if isinstance(node, ast.Call)
        ]
        #: samples of an expression at its place
        self.known: dict[tuple[ast.expr, Place, int], list[str]] = {}

    def sentences(self, kinds: set[str]) -> Iterator[tuple[str, str]]:
        """Yield where each error or note of some kinds is made, and samples of what it may say."""
        for place, call in self.calls:
            if called(call) in kinds and call.args:
                for sample in self.samples(call.args[0], place):
                    yield f"{place.module}:{call.lineno}", sample

    def texts(self) -> Iterator[tuple[str, str, set[str]]]:
        """Yield where `t` is called, its text, and the names of the values that it is given."""
        for place, call in self.calls:
            if called(call) == "t" and place.module.startswith(SPEAKERS):
                where = f"{place.module}:{call.lineno}"
                for sample in self.samples(call.args[0], place):
                    yield where, sample, {word.arg or "**" for word in call.keywords}

    def samples(self, node: ast.expr, place: Place, depth: int = 0) -> list[str]:
        """Return what an expression may give; a value that the source does not write is V{}."""
        key = node, place, depth
        if key not in self.known:  # many ways lead to the same names: a minute without this
            self.known[key] = self._samples(node, place, depth)
        return self.known[key]

    def _samples(self, node: ast.expr, place: Place, depth: int) -> list[str]:
        found: list[str] = []
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return [node.value]
        if isinstance(node, ast.JoinedStr):
            return joined([self.samples(part, place, depth) for part in node.values])
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return joined([self.samples(each, place, depth) for each in (node.left, node.right)])
        if depth <= DEEPEST and isinstance(node, ast.Name):
            found = self.named(node.id, place, depth)
        elif depth <= DEEPEST and isinstance(node, ast.Call):
            found = self.returned(called(node), place, depth)
        else:
            for each in choices(node):
                found += self.samples(each, place, depth)
        return found or [VALUE]

    def named(self, name: str, place: Place, depth: int) -> list[str]:
        """Return what a name may stand for: what it is assigned, or what callers pass."""
        for function in reversed(place.functions):
            inside = [node for _, node in walk(function)]
            values = assigned(inside, name)
            if values:
                return self.some(values, place, depth)
            arguments = [each.arg for each in (*function.args.args, *function.args.kwonlyargs)]
            if name in arguments:
                return self.passed(function, arguments, name, depth)
        for module in (place.module, *self.modules):
            if values := assigned(self.modules[module].body, name):
                return self.some(values, Place(module), depth)
        return []

    def passed(
        self, function: ast.FunctionDef, arguments: list[str], name: str, depth: int
    ) -> list[str]:
        """Return what callers pass as an argument, where they write it as text."""
        position = arguments.index(name) - (arguments[0] in ("self", "cls"))
        found = []
        for place, call in self.calls:
            if called(call) == function.name:
                given = [word.value for word in call.keywords if word.arg == name]
                given += call.args[position : position + 1] if position < len(call.args) else []
                found += self.some(given, place, depth)
        return found

    def returned(self, name: str, place: Place, depth: int) -> list[str]:
        """Return what a function of the package that gives a text may give."""
        named = [(where, each) for where, each in self.functions if each.name == name]
        here = [pair for pair in named if pair[0].module == place.module] or named
        found = []
        for where, function in here:
            if function.returns is not None and ast.unparse(function.returns) == "str":
                inner = Place(where.module, (*where.functions, function))
                returns = [
                    node.value
                    for _, node in walk(function)
                    if isinstance(node, ast.Return) and node.value
                ]
                found += self.some(returns, inner, depth)
        return found

    def some(self, values: list[ast.expr], place: Place, depth: int) -> list[str]:
        samples = [text for each in values for text in self.samples(each, place, depth + 1)]
        return list(dict.fromkeys(samples))


def walk(
    tree: ast.AST, functions: tuple[ast.FunctionDef, ...] = ()
) -> Iterator[tuple[tuple[ast.FunctionDef, ...], ast.AST]]:
    """Yield each node below, with the functions that it stands in."""
    for node in ast.iter_child_nodes(tree):
        yield functions, node
        inner = (*functions, node) if isinstance(node, ast.FunctionDef) else functions
        yield from walk(node, inner)


def called(call: ast.Call) -> str:
    """Return the name of what is called, without the module or object before it."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def assigned(nodes: list[ast.AST] | list[ast.stmt], name: str) -> list[ast.expr]:
    """Return what is assigned to a name in these nodes."""
    found = []
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                found.append(value)
            case ast.AnnAssign(target=ast.Name(id=target), value=value) if target == name and value:
                found.append(value)
            case ast.NamedExpr(target=ast.Name(id=target), value=value) if target == name:
                found.append(value)
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=value):
                for i, each in enumerate(targets):
                    if isinstance(each, ast.Name) and each.id == name:
                        found += picked(value, i)
    return found


def picked(value: ast.expr, i: int) -> list[ast.expr]:
    """Return the i-th of several values that are assigned at once."""
    match value:
        case ast.Tuple(elts=values):
            return [values[i]]
        case ast.IfExp(body=body, orelse=orelse):
            return picked(body, i) + picked(orelse, i)
    return [value]


def printed(call: ast.Call) -> list[str]:
    """Return the texts that a call prints, without those that it hands to a function."""
    found, rest = [], list(call.args)
    while rest:
        node = rest.pop()
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
        if not isinstance(node, ast.Call):
            rest += [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr)]
    return found


def choices(node: ast.expr) -> list[ast.expr]:
    """Return the expressions of which one gives the value of this."""
    match node:
        case ast.FormattedValue(value=value):
            return [value]
        case ast.IfExp(body=body, orelse=orelse):
            return [body, orelse]
        case ast.BoolOp(values=values):
            return values
        case ast.Subscript(value=ast.Dict(values=values)) | ast.Dict(values=values):
            return values
    return []


def joined(parts: list[list[str]]) -> list[str]:
    """Join one text of each part; each text of a part occurs, beside the first of all others."""
    first = [texts[0] for texts in parts]
    found = ["".join(first)]
    for i, texts in enumerate(parts):
        found += ["".join((*first[:i], text, *first[i + 1 :])) for text in texts[1:]]
    return list(dict.fromkeys(found))


def filled(sample: str) -> str:
    """Number the values of a sample."""
    numbers = itertools.count(1)
    parts = sample.split(VALUE)
    return parts[0] + "".join(f"{VALUE.format(next(numbers))}{part}" for part in parts[1:])
