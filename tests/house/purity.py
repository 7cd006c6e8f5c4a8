"""What `engine/` may not contain, found in its syntax tree.

The core is a pure function of its config and its commands. So it has no clock, no environment, no randomness,
no I/O, nothing asynchronous, no floating point anywhere, and no result that depends on the order of a set or
on an address in memory. The analysis is syntactic: it follows names, attributes and functions that are
annotated as sets or assigned from set expressions, and does not guess at anything else.

In the collections of known sets, `x` says that x is a set and `x[]` that x holds sets.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

ALLOWED_IMPORTS: Final = frozenset(
    {
        "__future__",
        "bisect",
        "collections.abc",
        "engine",
        "functools",
        "hashlib",
        "heapq",
        "schemas",
        "sortedcontainers",
        "typing",
    }
)

FORBIDDEN_NAMES: Final = {
    "float": "floating point",
    "complex": "floating point",
    "round": "rounding outside the named helpers",
    "print": "I/O",
    "open": "I/O",
    "input": "I/O",
    "breakpoint": "I/O",
    "hash": "depends on PYTHONHASHSEED",
    "id": "depends on an address in memory",
    "eval": "code from text",
    "exec": "code from text",
    "compile": "code from text",
    "__import__": "an import that cannot be checked",
    "__builtins__": "an import that cannot be checked",
    "globals": "global state",
}

_SET_TYPES: Final = frozenset({"set", "frozenset", "Set", "AbstractSet", "MutableSet", "FrozenSet"})
_SET_METHODS: Final = frozenset({"union", "difference", "intersection", "symmetric_difference", "copy"})
_SET_OPERATORS: Final = (ast.BitOr, ast.BitAnd, ast.BitXor, ast.Sub)
_FORWARDS_ORDER: Final = frozenset(
    {"list", "tuple", "iter", "enumerate", "zip", "map", "filter", "reversed", "fromkeys", "join", "extend"}
)
_ORDER_BLIND: Final = frozenset({"any", "all", "sum", "set", "frozenset"})
_ORDER_BLIND_WITHOUT_KEY: Final = frozenset({"sorted", "min", "max"})
_FLOAT_FORMATS: Final = frozenset("eEfFgG%")

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class Violation:
    """One place that breaks a rule: `rule` is its short name, `detail` says what stands there."""

    filename: str
    line: int
    rule: str
    detail: str

    def __str__(self) -> str:
        return f"{self.filename}:{self.line}: {self.rule}: {self.detail}"


def violations(source: str, filename: str, elsewhere: frozenset[str] = frozenset()) -> list[Violation]:
    """Every violation in one file, by line. `elsewhere` is what other files declare as sets."""
    tree = ast.parse(source, filename)
    found = [
        *_syntax(tree),
        *_imports(tree),
        *_names(tree),
        *_set_orders(tree, frozenset(), elsewhere | declared_sets(source)),
    ]
    unique = {(line, rule, detail) for line, rule, detail in found}
    return [Violation(filename, *entry) for entry in sorted(unique)]


def declared_sets(source: str) -> frozenset[str]:
    """Attributes, fields of classes and functions that a file declares as sets or assigns sets to."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ClassDef():
                for field in node.body:
                    if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                        found.update(_declared(field.target.id, field.annotation))
            case ast.FunctionDef(name=name, returns=ast.expr() as annotation):
                found.update(_declared(name, annotation))
            case ast.AnnAssign(target=ast.Attribute(attr=name), annotation=annotation):
                found.update(_declared(name, annotation))
            case ast.Assign(targets=targets, value=value) if _is_set(value, frozenset(), frozenset()):
                found.update(target.attr for target in targets if isinstance(target, ast.Attribute))
    return frozenset(found)


_Found = Iterator[tuple[int, str, str]]


def _syntax(tree: ast.AST) -> _Found:
    for node in ast.walk(tree):
        match node:
            case ast.AsyncFunctionDef() | ast.AsyncFor() | ast.AsyncWith() | ast.Await():
                yield node.lineno, "async", "the core is synchronous"
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                if any(generator.is_async for generator in node.generators):
                    yield node.lineno, "async", "the core is synchronous"
            case ast.Constant(value=float() | complex() as value):
                yield node.lineno, "float", f"literal {value}"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield node.lineno, "float", "true division; use // in a helper that names its rounding"
            case ast.BinOp(op=ast.Pow(), right=ast.UnaryOp(op=ast.USub())):
                yield node.lineno, "float", "a negative power"
            case ast.FormattedValue(format_spec=ast.JoinedStr(values=[*_, ast.Constant(value=str() as spec)])):
                if spec[-1:] in _FLOAT_FORMATS:
                    yield node.lineno, "float", f"format {spec}"
            case ast.Global():
                yield node.lineno, "global", f"global {', '.join(node.names)}"


def _imports(tree: ast.AST) -> _Found:
    for line, module in imported_modules(tree):
        if not any(module == allowed or module.startswith(f"{allowed}.") for allowed in ALLOWED_IMPORTS):
            yield line, "import", module


def imported_modules(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every absolute import as line and module; `from collections import abc` gives `collections.abc`."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from ((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom(module=str() as module, level=0):
                if module == "collections":
                    yield from ((node.lineno, f"collections.{alias.name}") for alias in node.names)
                else:
                    yield node.lineno, module


def _names(tree: ast.AST) -> _Found:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in FORBIDDEN_NAMES:
            yield node.lineno, "name", f"{node.id}: {FORBIDDEN_NAMES[node.id]}"


def _set_orders(scope: ast.AST, outer: frozenset[str], elsewhere: frozenset[str]) -> _Found:
    """Places where the order of a set can reach a result, in a scope and the functions inside it."""
    names = _set_names(scope, outer, elsewhere)
    yield from _orders_in(scope, names, elsewhere)
    for node in _own_nodes(scope):
        if isinstance(node, _Function):
            yield from _set_orders(node, names, elsewhere)


def _orders_in(scope: ast.AST, names: frozenset[str], elsewhere: frozenset[str]) -> _Found:
    blind: set[int] = set()

    def is_set(node: ast.AST) -> bool:
        return _is_set(node, names, elsewhere)

    for node in _own_nodes(scope):
        match node:
            case ast.Set():
                blind.update(id(element) for element in node.elts)
            case ast.For(iter=iterated) | ast.YieldFrom(value=iterated) | ast.Starred(value=iterated):
                if id(node) not in blind and is_set(iterated):
                    yield node.lineno, "set order", f"iterates over {ast.unparse(iterated)}"
            case ast.ListComp() | ast.DictComp() | ast.GeneratorExp():
                for generator in node.generators:
                    if id(node) not in blind and is_set(generator.iter):
                        yield node.lineno, "set order", f"iterates over {ast.unparse(generator.iter)}"
            case ast.Assign(targets=[ast.Tuple() | ast.List()], value=value) if is_set(value):
                yield node.lineno, "set order", f"unpacks {ast.unparse(value)}"
            case ast.Call(func=ast.Attribute(value=value, attr="pop"), args=[]) if is_set(value):
                yield node.lineno, "set order", f"takes any element of {ast.unparse(value)}"
            case ast.Call():
                called = _called(node)
                keyed = any(keyword.arg == "key" for keyword in node.keywords)
                if called in _ORDER_BLIND or (called in _ORDER_BLIND_WITHOUT_KEY and not keyed):
                    blind.update(id(argument) for argument in node.args)
                elif called in _FORWARDS_ORDER or called in _ORDER_BLIND_WITHOUT_KEY:
                    for argument in node.args:
                        if is_set(argument):
                            yield node.lineno, "set order", f"{called}() of {ast.unparse(argument)}"


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope, outermost first, without those of the functions inside it."""
    level: list[ast.AST] = list(ast.iter_child_nodes(scope))
    while level:
        yield from level
        level = [child for node in level if not isinstance(node, _Function) for child in ast.iter_child_nodes(node)]


def _set_names(scope: ast.AST, outer: frozenset[str], elsewhere: frozenset[str]) -> frozenset[str]:
    """Names that are sets in a scope: annotated so, or assigned from a set expression."""
    names = set(outer)
    if isinstance(scope, _Function):
        arguments = scope.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            names -= {argument.arg, f"{argument.arg}[]"}
            if argument.annotation is not None:
                names.update(_declared(argument.arg, argument.annotation))
    before = -1
    while before != len(names):
        before = len(names)
        names.update(_assigned_sets(scope, frozenset(names), elsewhere))
    return frozenset(names)


def _assigned_sets(scope: ast.AST, names: frozenset[str], elsewhere: frozenset[str]) -> Iterator[str]:
    for node in _own_nodes(scope):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                yield from _declared(name, annotation)
            case ast.Assign(targets=targets, value=value) if _is_set(value, names, elsewhere):
                yield from (target.id for target in targets if isinstance(target, ast.Name))
            case ast.NamedExpr(target=ast.Name(id=name), value=value) if _is_set(value, names, elsewhere):
                yield name


def _declared(name: str, annotation: ast.expr) -> Iterator[str]:
    """What an annotation says about a name: `name` for a set, `name[]` for something that holds sets."""
    match annotation:
        case ast.Constant(value=str() as text):
            yield from _declared(name, ast.parse(text, mode="eval").body)
        case ast.Subscript(value=ast.Name(id="Final" | "ClassVar"), slice=inner):
            yield from _declared(name, inner)
        case ast.Subscript(value=value, slice=ast.Tuple(elts=[*_, held]) | held):
            yield from _declared(name, value)
            if name in _declared(name, held):
                yield f"{name}[]"
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            yield from _declared(name, left)
            yield from _declared(name, right)
        case ast.Name(id=word) | ast.Attribute(attr=word):
            if word in _SET_TYPES:
                yield name


def _is_set(node: ast.AST, names: frozenset[str], elsewhere: frozenset[str]) -> bool:
    """Whether an expression is known to be a set."""

    def is_set(part: ast.AST) -> bool:
        return _is_set(part, names, elsewhere)

    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Name(id=name):
            return name in names
        case ast.Attribute(attr=name):
            return name in elsewhere
        case ast.Subscript(value=ast.Name(id=name)):
            return f"{name}[]" in names
        case ast.Subscript(value=ast.Attribute(attr=name)):
            return f"{name}[]" in elsewhere
        case ast.Call(func=ast.Attribute(value=value, attr="get" | "setdefault" | "pop"), args=[_, *_]):
            return is_set(ast.Subscript(value=value, slice=ast.Constant(value=0)))
        case ast.Call(func=ast.Name(id=name)):
            return name in {"set", "frozenset"} or name in elsewhere
        case ast.Call(func=ast.Attribute(value=value, attr=name)):
            return name in elsewhere or (name in _SET_METHODS and is_set(value))
        case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, _SET_OPERATORS):
            return any(is_set(side) or _is_view(side) for side in (left, right))
        case ast.IfExp(body=body, orelse=orelse):
            return is_set(body) or is_set(orelse)
        case ast.BoolOp(values=values):
            return any(map(is_set, values))
        case ast.NamedExpr(value=value):
            return is_set(value)
    return False


def _is_view(node: ast.AST) -> bool:
    """`.keys()` or `.items()`: combined by an operator they become a set."""
    match node:
        case ast.Call(func=ast.Attribute(attr="keys" | "items"), args=[]):
            return True
    return False


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
