"""Change the code a little, many times over, and see whether the tests notice.

    python bench/mutate.py pipeline/log --tests tests/log tests/verify

makes every mutant of every module in the folder, one at a time, and runs against each the tests that reach
the changed function: first those in files named after the module, then all others, the shortest first. A
mutant that no test notices survives; it is printed with its place and its change, and docs/mutation.md says
why it may live. Exit 1 below the goal.

The code on disk is never touched: a mutant lives in a forked process that imports it instead of the original.
"""

import argparse
import ast
import copy
import importlib.abc
import importlib.machinery
import importlib.util
import os
import resource
import signal
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import Pipe, get_context
from pathlib import Path
from types import FrameType, ModuleType
from typing import cast

import hypothesis
import pytest

# What fails need not be made small: shrinking would take most of the time.
hypothesis.settings.register_profile(
    "mutate",
    deadline=None,
    derandomize=True,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)

GOAL = 0.9
PRELOADED = ("cbor2", "nacl.bindings", "pydantic")  # Once here, so that no mutant has to.
MEMORY_MAX = 2 << 30
TIMEOUT_S = 300  # A mutant that loops is ended sooner, by its processor time.
COLLECTING_MAX_S = 20

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
JUNCTIONS: dict[type[ast.boolop], type[ast.boolop]] = {ast.And: ast.Or, ast.Or: ast.And}


Function = tuple[Path, str]  # Module and qualified name.


@dataclass(frozen=True)
class Mutant:
    """One changed module."""

    module: str
    path: Path
    function: Function | None  # None where every test may notice.
    line: int
    change: str
    tree: ast.Module

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.change}"


def mutants_of(path: Path) -> list[Mutant]:
    """Return every mutant of a module."""
    module = ".".join(path.with_suffix("").parts)
    source = ast.parse(path.read_text(encoding="utf-8"))
    functions = dict(_functions(source, ""))
    made = []
    for index, node in enumerate(_mutable(source)):
        for variant in range(len(list(_variants(node)))):
            tree = copy.deepcopy(source)
            target = list(_mutable(tree))[index]
            replacement = list(_variants(target))[variant]
            change = f"{_shown(node)}  ->  {_shown(replacement)}"
            _replace(tree, target, replacement)
            function = (path, functions[node]) if node in functions else None
            line = getattr(node, "lineno", 0)
            made.append(Mutant(module, path, function, line, change, ast.fix_missing_locations(tree)))
    return made


def _functions(tree: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[ast.AST, str]]:
    """Yield each node within a function, and the function's qualified name."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef) and "cache" not in "".join(
            map(ast.unparse, node.decorator_list)
        ):
            # What a cache answers, a test reaches without a call.
            yield from ((inner, prefix + node.name) for inner in ast.walk(node))


def _mutable(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the nodes that a mutation may change, in order: code, but no annotation, docstring or message."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        for child in _untested(node):
            skipped.update(id(inner) for inner in ast.walk(child))
    for node in ast.walk(tree):
        if id(node) not in skipped:
            yield node


def _untested(node: ast.AST) -> Iterator[ast.AST]:
    """Yield parts of a node that no test is asked to pin: types, decorators, docstrings, texts for people."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield from node.decorator_list
            if not isinstance(node, ast.ClassDef) and node.returns:
                yield node.returns
        case ast.arg(annotation=ast.AST() as annotation) | ast.AnnAssign(annotation=annotation):
            yield annotation
        case ast.Assert(msg=ast.AST() as message):
            yield message
        case ast.Call(func=ast.Name(id=name), args=[_, *details]) if name.endswith("Error"):
            yield from details
        case ast.Raise(exc=ast.Call(args=[ast.Constant(value=str()) | ast.JoinedStr() as problem])):
            yield problem  # Of a function that makes the error.
        case ast.Call(func=ast.Name(id="cast"), args=[target, *_]):
            yield target
        case ast.Call(func=ast.Name(id="TypeVar" | "NewType")):
            yield node
        case ast.Expr(value=ast.Constant(value=str())):
            yield node
        case ast.Import() | ast.ImportFrom():
            yield node
        case ast.Assign(targets=[ast.Name(id="__slots__" | "__all__")]):
            yield node


def _variants(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a node may be changed into."""
    if isinstance(node, ast.expr):
        yield from _constant_variants(node)
        yield from _expression_variants(node)
    else:
        yield from _statement_variants(node)


def _expression_variants(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            for at, op in enumerate(ops):
                yield ast.Compare(left, [*ops[:at], COMPARISONS[type(op)](), *ops[at + 1 :]], comparators)
        case ast.BinOp(left=left, op=op, right=right):
            yield ast.BinOp(left, OPERATORS[type(op)](), right)
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(JUNCTIONS[type(op)](), values)
            for at in range(len(values)):
                rest = [*values[:at], *values[at + 1 :]]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand):
            yield operand
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield ast.IfExp(test, orelse, body)
        case ast.Attribute(value=ast.Name(id="Reason"), attr=attr):
            other = "POINT_MISSING" if attr == "OVERSIZE" else "OVERSIZE"
            yield ast.Attribute(ast.Name("Reason", ast.Load()), other, ast.Load())


def _constant_variants(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() as number):
            yield ast.Constant(number + 1)
            if number > 1:
                yield ast.Constant(number - 1)
        case ast.Constant(value=bytes() as data):
            yield ast.Constant(data[:-1] + bytes([data[-1] ^ 1]) if data else b"x")
        case ast.Constant(value=str() as text):
            yield ast.Constant(text + "x")


def _statement_variants(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.AugAssign(target=target, op=op, value=value):
            yield ast.AugAssign(target, OPERATORS[type(op)](), value)
            yield ast.Pass()
        case ast.If(test=test, body=body, orelse=orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.Raise() | ast.Assert() | ast.Expr(value=ast.Call()) | ast.Delete():
            yield ast.Pass()
        case ast.Return(value=ast.AST() as value) if not _is_none(value):
            yield ast.Return(ast.Constant(None))
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()


def _is_none(value: ast.AST) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _replace(tree: ast.AST, target: ast.AST, replacement: ast.AST) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is target:
                setattr(parent, name, replacement)
                return
            if isinstance(value, list) and any(item is target for item in value):
                value[[item is target for item in value].index(True)] = replacement
                return


def _shown(node: ast.AST) -> str:
    text = " ".join(ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split())
    return text if len(text) <= 70 else text[:67] + "..."


class MutantLoader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Hands out the mutant in place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Answer for the mutated module only."""
        if fullname != self._mutant.module:
            return None
        return importlib.util.spec_from_file_location(fullname, self._mutant.path, loader=self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """Let Python make the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the mutant's code."""
        exec(compile(self._mutant.tree, str(self._mutant.path), "exec"), module.__dict__)


@dataclass(frozen=True)
class Test:
    """A test, and its processor time without any mutation."""

    __test__ = False
    name: str
    path: Path
    time_s: float


class Reach:
    """A pytest plugin: notes which functions each test reaches, and how long it takes.

    What is reached while tests are collected or shared fixtures made counts for every test.
    """

    def __init__(self, modules: Sequence[Path]) -> None:
        self._files = {str(path.resolve()): path for path in modules}
        self._everywhere: set[Function] = set()
        self._current = self._everywhere
        self._tests: list[tuple[Test, set[Function]]] = []

    def tests(self) -> dict[Function | None, list[Test]]:
        """Return the tests that reach each function, and under None all that there are."""
        by_function: dict[Function | None, list[Test]] = {None: []}
        for test, reached in self._tests:
            for function in reached | self._everywhere | {None}:
                by_function.setdefault(function, []).append(test)
        return by_function

    def trace(self, frame: FrameType, _event: str, _arg: object) -> None:
        """Note a call. Nothing inside the function is traced."""
        path = self._files.get(frame.f_code.co_filename)
        if path is not None:
            self._current.add((path, frame.f_code.co_qualname.split(".<locals>")[0]))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note a test's calls and its processor time."""
        self._current = reached = set[Function]()
        start = time.process_time()
        try:
            return (yield)
        finally:
            self._tests.append((Test(item.nodeid, item.path, time.process_time() - start), reached))
            self._current = self._everywhere

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        """Note what a shared fixture calls as reached by every test."""
        before = self._current
        if fixturedef.scope != "function":
            self._current = self._everywhere
        try:
            return (yield)
        finally:
            self._current = before


class Selection:
    """A pytest plugin: runs these tests, the shortest first, and ends a process that a mutant keeps busy."""

    def __init__(self, tests: Sequence[Test]) -> None:
        self._times = {test.name: test.time_s for test in tests}
        signal.setitimer(signal.ITIMER_PROF, COLLECTING_MAX_S)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Choose and order."""
        chosen = [item for item in items if item.nodeid in self._times]
        items[:] = sorted(chosen, key=lambda item: self._times[item.nodeid])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Give the test a multiple of its usual processor time; SIGPROF ends the process."""
        signal.setitimer(signal.ITIMER_PROF, 2 + 10 * self._times[nodeid])


def run_pytest(paths: Iterable[Path], plugin: object) -> int:
    """Run test files, silently; return pytest's status."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    options = ["-x", "-q", "-m", "not serial", "-p", "no:cacheprovider", "-p", "no:anyio"]
    options += ["--hypothesis-profile", "mutate"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # Of what is imported above.
    return int(pytest.main([*options, *sorted(map(str, set(paths)))], [plugin]))


def measure_tests(
    modules: Sequence[Path], folders: Sequence[Path]
) -> dict[Function | None, list[Test]] | None:
    """Run all tests without any mutation; return those that reach each function, or None where one fails."""
    receive, send = Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        try:
            reach = Reach(modules)
            sys.settrace(reach.trace)
            status = run_pytest(folders, reach)
            sys.settrace(None)
            send.send(reach.tests() if status == 0 else None)
        finally:
            os._exit(0)
    send.close()
    try:
        return cast("dict[Function | None, list[Test]] | None", receive.recv())
    finally:
        os.waitpid(child, 0)


def all_pass(mutant: Mutant, tests: Sequence[Test]) -> bool:
    """Run tests against a mutant in a forked process; tell whether all passed."""
    child = os.fork()
    if child == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
        status = 1
        try:
            sys.meta_path.insert(0, MutantLoader(mutant))
            status = run_pytest((test.path for test in tests), Selection(tests))
        finally:
            os._exit(status)
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)  # A mutant that waits for ever is noticed.
    os.waitpid(child, 0)
    return False


def survives(mutant: Mutant, tests: Sequence[Test]) -> bool:
    """Tell whether no test notices a mutant: first those in files named after the module, then all others."""
    near = [test for test in tests if mutant.path.stem in test.path.stem]
    far = [test for test in tests if mutant.path.stem not in test.path.stem]
    return all(all_pass(mutant, tier) for tier in (near, far) if tier)


def main() -> int:
    """Mutate, run, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("code", type=Path, nargs="+", help="module or folder of modules to mutate")
    parser.add_argument(
        "--tests", type=Path, nargs="+", required=True, help="folders of tests that must notice"
    )
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument("--match", default="", help="only mutants whose line contains this text")
    options = parser.parse_args()

    sys.path.insert(0, str(Path.cwd()))
    for name in PRELOADED:
        importlib.import_module(name)
    modules = [m for code in options.code for m in (sorted(code.glob("*.py")) if code.is_dir() else [code])]
    reach = measure_tests(modules, options.tests)
    if reach is None:
        print("The tests fail without any mutation; mend that first.")
        return 2
    total = survivors = 0
    for module in modules:
        mutants = [mutant for mutant in mutants_of(module) if options.match in str(mutant)]
        if not mutants:
            continue
        with ProcessPoolExecutor(options.jobs, get_context("fork")) as pool:
            lives = pool.map(survives, mutants, [reach.get(mutant.function, []) for mutant in mutants])
            alive = [mutant for mutant, lived in zip(mutants, lives, strict=True) if lived]
        print(f"{module}: {len(mutants) - len(alive)} of {len(mutants)} noticed", flush=True)
        for mutant in alive:
            print(f"  survived  {mutant}", flush=True)
        total, survivors = total + len(mutants), survivors + len(alive)
    if not total:
        print("No mutants: nothing matches.")
        return 2
    noticed = 1 - survivors / total
    print(f"{total - survivors} of {total} noticed: {noticed:.1%}, goal {GOAL:.0%}")
    return 0 if noticed >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
