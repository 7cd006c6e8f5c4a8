"""The core stays pure: what makes a replay exact is checked in the source, not remembered by people."""

from pathlib import Path

import pytest

from tests.house.purity import declared_sets, violations

ROOT = Path(__file__).parents[2]
ENGINE = sorted((ROOT / "engine").rglob("*.py"))


def test_no_file_of_the_engine_breaks_purity() -> None:
    """Clocks, randomness, I/O, floats, async and the order of sets are kept out of the deterministic core."""
    sources = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in ENGINE}
    elsewhere = frozenset[str]().union(*map(declared_sets, sources.values()))
    found = [str(v) for name, source in sources.items() for v in violations(source, name, elsewhere)]
    assert found == []


BAD = {
    "async function": ("async def f(): pass", "async"),
    "await": ("async def f():\n    await g()", "async"),
    "async for": ("async def f():\n    async for x in y: pass", "async"),
    "async comprehension": ("f = lambda: [x async for x in y]", "async"),
    "import asyncio": ("import asyncio", "import"),
    "import time": ("import time", "import"),
    "from time": ("from time import monotonic", "import"),
    "import datetime": ("from datetime import datetime", "import"),
    "import random": ("import random", "import"),
    "import secrets": ("import secrets", "import"),
    "import uuid": ("import uuid", "import"),
    "import os": ("import os", "import"),
    "import os.path": ("import os.path as p", "import"),
    "import sys": ("import sys", "import"),
    "import pathlib": ("from pathlib import Path", "import"),
    "import socket": ("import socket", "import"),
    "import logging": ("import logging", "import"),
    "import structlog": ("import structlog", "import"),
    "import decimal": ("from decimal import Decimal", "import"),
    "import math": ("import math", "import"),
    "import msgspec": ("import msgspec", "import"),
    "import orjson": ("import orjson", "import"),
    "import consumers": ("from consumers.cli import main", "import"),
    "import threading": ("import threading", "import"),
    "import collections": ("from collections import Counter", "import"),
    "import plain collections": ("import collections", "import"),
    "import inside a function": ("def f():\n    import time", "import"),
    "a name that only starts like an allowed one": ("import enginex", "import"),
    "print": ("print(1)", "name"),
    "open": ("open('x')", "name"),
    "input": ("input()", "name"),
    "breakpoint": ("breakpoint()", "name"),
    "eval": ("eval('1')", "name"),
    "__import__": ("__import__('os')", "name"),
    "float call": ("x = float('1')", "name"),
    "float passed on": ("x = map(float, y)", "name"),
    "float annotation": ("def f(x: float): pass", "name"),
    "complex": ("complex(1)", "name"),
    "round": ("round(x)", "name"),
    "hash": ("hash('x')", "name"),
    "id": ("id(x)", "name"),
    "globals": ("globals()['x'] = 1", "name"),
    "float literal": ("x = 0.5", "float"),
    "float literal with an exponent": ("x = 1e6", "float"),
    "complex literal": ("x = 1j", "float"),
    "true division": ("x = a / b", "float"),
    "true division in place": ("x /= 2", "float"),
    "negative power": ("x = 10 ** -2", "float"),
    "float format": ("x = f'{y:.2f}'", "float"),
    "percent format": ("x = f'{y:%}'", "float"),
    "global": ("def f():\n    global x\n    x = 1", "global"),
    "loop over a set display": ("for x in {1, 2}: pass", "set order"),
    "loop over a set call": ("for x in set(y): pass", "set order"),
    "loop over a frozenset call": ("for x in frozenset(y): pass", "set order"),
    "loop over a set comprehension": ("for x in {y for y in z}: pass", "set order"),
    "loop over an annotated name": ("def f():\n    s: set[int] = g()\n    for x in s: pass", "set order"),
    "loop over an annotated argument": ("def f(s: frozenset[str]):\n    for x in s: pass", "set order"),
    "loop over an optional set": ("def f(s: set[str] | None):\n    for x in s: pass", "set order"),
    "loop over an assigned name": ("def f():\n    s = set()\n    for x in s: pass", "set order"),
    "loop over a name assigned twice removed": ("a = set()\nb = a\nfor x in b: pass", "set order"),
    "loop over a set of the module": ("S = frozenset('ab')\ndef f():\n    for x in S: pass", "set order"),
    "loop over a set of the function around": (
        "def f(s: set[int]):\n    def g():\n        for x in s: pass",
        "set order",
    ),
    "loop over an attribute": (
        "class A:\n    def __init__(self):\n        self.s: set[int] = f()\n"
        "    def g(self):\n        for x in self.s: pass",
        "set order",
    ),
    "loop over another object's attribute": (
        "class A:\n    def __init__(self):\n        self.s = set()\ndef g(a):\n    for x in a.s: pass",
        "set order",
    ),
    "loop over a field": ("class A:\n    s: set[int]\ndef g(a):\n    for x in a.s: pass", "set order"),
    "loop over what a function returns": ("def f() -> set[int]: ...\nfor x in f(): pass", "set order"),
    "loop over what a method returns": (
        "class A:\n    def m(self) -> set[int]: ...\ndef f(a):\n    for x in a.m(): pass",
        "set order",
    ),
    "loop over a set in a dict": ("def f(d: dict[str, set[int]]):\n    for x in d['a']: pass", "set order"),
    "loop over a set got from a dict": (
        "class A:\n    d: dict[str, set[int]]\ndef f(a):\n    for x in a.d.get('a', ()): pass",
        "set order",
    ),
    "loop over a union": ("def f(s: set[int], t):\n    for x in s | t: pass", "set order"),
    "loop over a difference": ("def f(s: set[int], t):\n    for x in s.difference(t): pass", "set order"),
    "loop over combined views": ("def f(a, b):\n    for x in a.keys() & b.keys(): pass", "set order"),
    "list of a set": ("x = list({1, 2})", "set order"),
    "tuple of a set": ("def f(s: set[int]): return tuple(s)", "set order"),
    "next of a set": ("def f(s: set[int]): return next(iter(s))", "set order"),
    "pop of a set": ("def f(s: set[int]): return s.pop()", "set order"),
    "join of a set": ("def f(s: set[str]): return ','.join(s)", "set order"),
    "star of a set": ("def f(s: set[str]): return g(*s)", "set order"),
    "unpacked set": ("def f(s: set[str]):\n    a, b = s", "set order"),
    "list comprehension over a set": ("def f(s: set[int]): return [x for x in s]", "set order"),
    "dict comprehension over a set": ("def f(s: set[int]): return {x: 1 for x in s}", "set order"),
    "sorted by a key that may tie": ("def f(s: set[int]): return sorted(s, key=g)", "set order"),
    "max by a key that may tie": ("def f(s: set[int]): return max(s, key=g)", "set order"),
    "lambda over a set": ("S = {1}\nf = lambda: [x for x in S]", "set order"),
}


@pytest.mark.parametrize(("source", "rule"), BAD.values(), ids=BAD.keys())
def test_each_impurity_is_found_by_its_rule(source: str, rule: str) -> None:
    """A check that cannot fail proves nothing: every kind of violation has a snippet that must be caught."""
    assert rule in {violation.rule for violation in violations(source, "bad.py")}


GOOD = {
    "allowed imports": (
        "from __future__ import annotations\nfrom bisect import insort\nimport heapq\nimport hashlib\n"
        "from functools import cache\nfrom typing import Final\nfrom collections.abc import Iterator\n"
        "from sortedcontainers import SortedList\nfrom schemas.events import Event\n"
        "from engine.book import Book\nfrom . import book"
    ),
    "integers": "x = -7 // 2 + 10 ** 6 - 5 % 3",
    "division in a text": "x = 'a / b, 0.5, float, time'",
    "division in a comment": "x = 1  # 0.5 / 2",
    "field called id": "class A:\n    id: str\ndef f(a): return a.id",
    "method called open": "book.open()",
    "integer format": "x = f'{y:>10} {z:d} {w!r}'",
    "loop over a list": "for x in [1, 2]: pass",
    "loop over a dict": "def f(d: dict[str, int]):\n    for k in d: pass",
    "loop over a sorted set": "def f(s: set[int]):\n    for x in sorted(s): pass",
    "membership": "def f(s: set[int]): return 3 in s",
    "length of a set": "def f(s: set[int]): return len(s)",
    "sum over a set": "def f(s: set[int]): return sum(x * x for x in s)",
    "any over a set": "def f(s: set[int]): return any(x > 1 for x in s)",
    "max of a set": "def f(s: set[int]): return max(s)",
    "set from a set": "def f(s: set[int]): return {x + 1 for x in s}",
    "set from stars": "def f(s: set[int], t: set[int]): return {*s, *t}",
    "pop of a list": "def f(s: list[int]): return s.pop()",
    "pop from a dict of sets": "def f(d: dict[str, set[int]]): d.pop('a', None)",
    "bitwise and of integers": "def f(a: int, b: int):\n    for x in range(a & b): pass",
    "a set's name used again as an argument": "s = {1}\ndef f(s: list[int]):\n    for x in s: pass",
    "dictionary of sets": "def f(d: dict[str, set[int]]):\n    for k in d: pass",
}


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD.keys())
def test_what_a_deterministic_core_needs_is_not_found_fault_with(source: str) -> None:
    """A check that cries wolf is switched off: these are allowed."""
    assert violations(source, "good.py") == []


def test_a_set_declared_in_one_file_is_known_in_another() -> None:
    """An attribute is looped over where its class is not defined: declarations of all files count."""
    declaring = "class Account:\n    def __init__(self) -> None:\n        self.markets: set[str] = set()"
    using = "def f(account):\n    for market in account.markets: pass"
    assert violations(using, "using.py") == []
    assert [v.rule for v in violations(using, "using.py", declared_sets(declaring))] == ["set order"]


def test_a_violation_says_where_it_stands() -> None:
    """A reader gets file, line, rule and what was found."""
    [violation] = violations("x = 1\ny = x / 2\n", "engine/margin.py")
    assert str(violation) == "engine/margin.py:2: float: true division; use // in a helper that names its rounding"
