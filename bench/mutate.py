"""Change the code a little, many times over, and see whether the tests notice.

    python bench/mutate.py pipeline/log --tests tests/log

makes every mutant of every module in the folder, one at a time, and runs against each the tests that reach
the changed function: first those in files that are named after the module or import from it, then the others,
each time from the shortest on. A mutant that no test notices survives; it is printed with its place and its
change. Exit 1 below the goal, or where docs/mutation.md does not say why a survivor may live.

The code on disk is never touched. A process that has collected the tests is forked for each mutant and
exchanges the code of the one function; a mutant outside of functions, or of one that is called while modules
are imported, lives in a process that imports it instead of the original.
"""

import argparse
import ast
import copy
import importlib.abc
import importlib.machinery
import importlib.util
import mmap
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from itertools import groupby
from multiprocessing import Pipe
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, Protocol, TypeAlias

import hypothesis
import psutil  # type: ignore[import-untyped]
import pytest

# What fails need not be made small: shrinking would take most of the time.
hypothesis.settings.register_profile(
    "mutate",
    deadline=None,
    derandomize=True,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)

GOAL = 0.9
LATELY = 30  # Mutants.
EXPLAINED = Path("docs/mutation.md")
PRELOADED = ("cbor2", "nacl.bindings", "pydantic")  # Once here, so that no mutant has to.
MEMORY_MAX = 2 << 30
IDLE_MAX_S = 60  # A mutant that waits for ever; one that loops is ended by its processor time.
COLLECTING_MAX_S = 20
RUNNING = mmap.mmap(-1, 4)  # Shared with forked processes: which of its tests one is running.
PLAIN_DECORATORS = {"property", "classmethod", "staticmethod"}  # Behind others the function is out of reach.

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


Function: TypeAlias = tuple[Path, str]  # Module and qualified name.


@dataclass(frozen=True)
class Mutant:
    """One change to a module: one variant of one of its nodes."""

    path: Path
    source: str
    node: int
    variant: int
    function: Function | None  # None outside of functions.
    line: int
    change: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.change}"

    @property
    def module(self) -> str:
        """Name under which the module is imported."""
        return ".".join(self.path.with_suffix("").parts)

    def code(self) -> CodeType:
        """Compile the changed module."""
        tree = ast.parse(self.source)
        target = list(_mutable(tree))[self.node]
        _replace(tree, target, list(_variants(target))[self.variant])
        return compile(ast.fix_missing_locations(tree), str(self.path.resolve()), "exec")


def mutants_of(path: Path) -> list[Mutant]:
    """Return every mutant of a module."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    functions = dict(_functions(tree, ""))
    made = []
    for index, node in enumerate(_mutable(tree)):
        for variant, replacement in enumerate(_variants(node)):
            function = (path, functions[node]) if node in functions else None
            place = f"{functions[node]}: " if node in functions else ""
            change = f"{place}{_shown(node)} -> {_shown(replacement)}"
            made.append(Mutant(path, source, index, variant, function, getattr(node, "lineno", 0), change))
    return made


def _functions(tree: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[ast.AST, str]]:
    """Yield each node in the body of a function whose code can be exchanged, and the function's name."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            inner = [part for statement in node.body for part in ast.walk(statement)]
            plain = all(ast.unparse(decorator) in PLAIN_DECORATORS for decorator in node.decorator_list)
            if plain and not any(isinstance(part, ast.Name) and part.id == "super" for part in inner):
                yield from ((part, prefix + node.name) for part in inner)


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
        case ast.ClassDef(name="Reason", body=members):  # A published code, and what it means.
            yield from (
                m.value.elts[1]
                for m in members
                if isinstance(m, ast.Assign) and isinstance(m.value, ast.Tuple)
            )
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield from node.decorator_list
            if not isinstance(node, ast.ClassDef) and node.returns:
                yield node.returns
        case ast.arg(annotation=ast.AST() as annotation) | ast.AnnAssign(annotation=annotation):
            yield annotation
        case ast.Assert(msg=ast.AST() as message):
            yield message
        case (
            ast.Call(func=ast.Name(id="UnavailableError" | "InputError"), args=details)
            | ast.Call(func=ast.Name(id="VerificationError"), args=[_, *details])
            | ast.Call(func=ast.Name(id="Finding"), args=[_, _, *details])
            | ast.Call(func=ast.Name(id="Report"), args=[_, _, _, *details])
            | ast.Call(func=ast.Name(id="Quantity"), args=[_, _, _, _, *details])
        ):
            yield from details
        case (
            ast.Raise(exc=ast.Call(args=[ast.Constant(value=str()) | ast.JoinedStr() as problem]))
            | ast.Assign(
                targets=[ast.Name(id="problem" | "detail" | "remedy")],
                value=ast.Constant() | ast.JoinedStr() as problem,
            )
        ):
            yield problem
        case ast.Call(func=ast.Name(id="cast"), args=[target, *_]):
            yield target
        case (
            ast.Call(func=ast.Name(id="TypeVar" | "NewType"))
            | ast.Expr(value=ast.Constant(value=str()))
            | ast.Import()
            | ast.ImportFrom()
            | ast.Assign(targets=[ast.Name(id="__slots__" | "__all__")])
        ):
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
    """Return a node's code on one line; of an `if` its head."""
    if isinstance(node, ast.If):
        return f"if {_shown(node.test)}:"
    text = " ".join(ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split())
    return text if len(text) <= 120 else text[:117] + "..."


@dataclass(frozen=True)
class Reach:
    """What the tests need and do without any mutation.

    Attributes:
        times_s: Processor time of each test, by its name.
        by_function: The tests that reach a function; under None all of them.
        early: Functions reached while tests are collected or shared fixtures made.
    """

    times_s: dict[str, float]
    by_function: dict[Function | None, set[str]]
    early: set[Function]

    def reaching(self, function: Function | None) -> list[str]:
        """Return the tests that reach a function, the shortest first."""
        return self._shortest_first(self.by_function.get(function, set()))

    def using(self, mutant: Mutant) -> list[str]:
        """Return the tests about a module or reaching any function of it, or all tests if it has none."""
        near = {name for name in self.times_s if _is_near(mutant, name)}
        users = [tests for place, tests in self.by_function.items() if place and place[0] == mutant.path]
        return self._shortest_first(near.union(*users) if users else self.by_function[None])

    def _shortest_first(self, names: set[str]) -> list[str]:
        return sorted(names, key=lambda name: self.times_s[name])


class Peer(Protocol):
    """The other end of a pipe."""

    def send(self, message: object, /) -> None:
        """Send anything that can be pickled."""

    def recv(self) -> Any:
        """Wait for what the other end sends."""


class Noticing:
    """Which tests have noticed a mutant lately: they are likely to notice the next one."""

    def __init__(self) -> None:
        self._turn = 0
        self._turns: dict[str, int] = {}

    def note(self, names: Sequence[str]) -> None:
        """Note that of these tests the one that was running last has noticed a mutant."""
        self._turn += 1
        running = int.from_bytes(RUNNING[:])
        if running < len(names):
            self._turns[names[running]] = self._turn

    def first(self, mutant: Mutant, names: Sequence[str]) -> list[str]:
        """Put tests that noticed the last mutants first, then those whose files are about the module."""
        return sorted(
            names,
            key=lambda name: (
                not self.is_likely(name),
                -self._turns.get(name, 0),
                not _is_near(mutant, name),
            ),
        )

    def is_likely(self, name: str) -> bool:
        """Tell whether a test has noticed one of the last mutants."""
        return self._turn - self._turns.get(name, -LATELY) < LATELY


class Session:
    """A pytest plugin, in a process of its own: collects once, then tries mutants on demand.

    For each it forks, exchanges the code of the one function and runs the tests that reach it.
    """

    def __init__(self, peer: Peer, mutants: Sequence[Mutant]) -> None:
        self._peer = peer
        self._mutants = mutants
        self._files = {str(mutant.path.resolve()): mutant.path for mutant in mutants}
        self._early: set[Function] = set()
        self._reached = self._early
        sys.settrace(self._trace)

    def _trace(self, frame: FrameType, _event: str, _arg: object) -> None:
        """Note a call; nothing inside the function is traced."""
        path = self._files.get(frame.f_code.co_filename)
        if path is not None:
            self._reached.add((path, frame.f_code.co_qualname.split(".<locals>")[0]))

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        """Note what a shared fixture calls as reached early."""
        before = self._reached
        if fixturedef.scope != "function":
            self._reached = self._early
        try:
            return (yield)
        finally:
            self._reached = before

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Measure the tests, then answer which mutants survive."""
        child = os.fork()
        if child == 0:
            self._peer.send("collecting them" if session.testsfailed else self._measure(session))
            os._exit(0)
        os.waitpid(child, 0)
        sys.settrace(None)
        items = {item.nodeid: item for item in session.items}
        reach: Reach = self._peer.recv()
        noticing = Noticing()
        while (at := self._peer.recv()) is not None:
            mutant = self._mutants[at]
            names = noticing.first(mutant, reach.reaching(mutant.function))
            chosen = [items[name] for name in names]
            passed = passes(partial(exchange_and_test, mutant, session, chosen, reach.times_s))
            if not passed:
                noticing.note(names)
            self._peer.send(passed)
        return True

    def _measure(self, session: pytest.Session) -> Reach | str:
        """Run every test once; return what they reach, or which one fails."""
        reach = Reach({}, {None: set()}, self._early)
        for item in session.items:
            self._reached = set()
            start = time.process_time()
            if run_items(session, [item], {}):
                return item.nodeid
            reach.times_s[item.nodeid] = time.process_time() - start
            for function in self._reached | {None}:
                reach.by_function.setdefault(function, set()).add(item.nodeid)
        return reach


class Selection:
    """A pytest plugin: runs some tests in a certain order, on a mutant that is imported."""

    def __init__(self, names: Sequence[str], times_s: Mapping[str, float]) -> None:
        self._names = names
        self._times_s = times_s

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run them unless collecting has failed, and any cases of the tests that only the mutant has."""
        order = {name: at for at, name in enumerate(self._names)}
        cases = {name.partition("[")[0] for name in self._times_s}
        items = [
            item
            for item in session.items
            if item.nodeid in order
            or (item.nodeid not in self._times_s and item.nodeid.partition("[")[0] in cases)
        ]
        if not session.testsfailed:
            items.sort(key=lambda item: order.get(item.nodeid, len(order)))
            run_items(session, items, self._times_s)
        return True


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
        exec(self._mutant.code(), module.__dict__)


def exchange_and_test(
    mutant: Mutant, session: pytest.Session, items: Sequence[pytest.Item], times_s: Mapping[str, float]
) -> int:
    """Give the mutated function, wherever it has been imported, the mutant's code, and run tests."""
    assert mutant.function is not None
    name = mutant.function[1]
    found: object = sys.modules[mutant.module]
    for part in name.split("."):
        found = vars(found)[part]
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, classmethod | staticmethod):
        found = found.__func__
    assert isinstance(found, FunctionType)
    found.__code__ = _code_of(mutant.code(), name)
    return run_items(session, items, times_s)


def _code_of(code: CodeType, name: str) -> CodeType:
    """Return a function's code out of that of its module."""
    while code.co_qualname != name:
        inner = [const for const in code.co_consts if isinstance(const, CodeType)]
        code = next(const for const in inner if f"{name}.".startswith(f"{const.co_qualname}."))
    return code


def run_items(session: pytest.Session, items: Sequence[pytest.Item], times_s: Mapping[str, float]) -> int:
    """Run tests until one fails; each may take a multiple of its usual processor time, if that is known."""
    for at, (item, following) in enumerate(zip(items, [*items[1:], None], strict=True)):
        RUNNING[:] = at.to_bytes(4)
        if item.nodeid in times_s:
            signal.setitimer(signal.ITIMER_PROF, 2 + 10 * times_s[item.nodeid])  # SIGPROF ends the process.
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            break
    return session.testsfailed


def run_pytest(paths: Iterable[Path | str], plugin: object) -> int:
    """Run pytest silently over files or folders; return its status."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    options = ["-q", "-s", "-m", "not serial", "-p", "no:cacheprovider", "-p", "no:anyio"]
    options += ["--hypothesis-profile", "mutate"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # Of what is imported above.
    return int(pytest.main([*options, *map(str, paths)], [plugin]))


def start_session(mutants: Sequence[Mutant], folders: Sequence[Path]) -> Peer:
    """Start the process that tries mutants of functions; return the way to it."""
    ours, theirs = Pipe()
    if os.fork() == 0:
        ours.close()
        try:
            run_pytest(folders, Session(theirs, mutants))
        finally:
            os._exit(0)
    theirs.close()
    return ours


def passes(attempt: Callable[[], int]) -> bool:
    """Tell whether a forked process returns 0 from an attempt, and in time."""
    child = os.fork()
    if child == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
        status = 1
        try:
            status = attempt()
        finally:
            os._exit(min(status, 1))
    used_s, idle_s = 0.0, 0
    while idle_s < IDLE_MAX_S:
        look_s = time.monotonic() + 1
        while time.monotonic() < look_s:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return status == 0
            time.sleep(0.002)
        before_s, used_s = used_s, _processor_time_s(child)
        idle_s = 0 if used_s > before_s else idle_s + 1
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _processor_time_s(pid: int) -> float:
    """Return what a process and those that it started have used: a busy machine only slows it."""
    used_s = 0.0
    for process in (main := psutil.Process(pid), *main.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            used_s += sum(process.cpu_times()[:4])  # In the program and the kernel, and so of ended children.
    return used_s


def import_and_test(mutant: Mutant, names: Sequence[str], times_s: Mapping[str, float]) -> int:
    """Run tests with a mutant in place of its module."""
    RUNNING[:] = b"\xff" * 4  # No test yet: the import itself may fail.
    sys.meta_path.insert(0, MutantLoader(mutant))
    signal.setitimer(signal.ITIMER_PROF, COLLECTING_MAX_S)
    return run_pytest(sorted({_file_of(name) for name in names}), Selection(names, times_s))


def survives(at: int, mutant: Mutant, reach: Reach, session: Peer, noticing: Noticing) -> bool:
    """Tell whether no test notices a mutant."""
    if mutant.function in reach.by_function and mutant.function is not None:
        session.send(at)
        if not session.recv():
            return False
    if mutant.function is not None and mutant.function not in reach.early:
        return True
    names = noticing.first(mutant, reach.using(mutant))
    near = [name for name in names if _is_near(mutant, name) or noticing.is_likely(name)]
    far = sorted(set(names) - set(near), key=names.index)
    for tier in filter(None, (near, far)):
        if not passes(partial(import_and_test, mutant, tier, reach.times_s)):
            noticing.note(tier)
            return False
    return True


def _is_near(mutant: Mutant, name: str) -> bool:
    """Tell whether a test's file is named after the module or imports from it."""
    path = Path(_file_of(name))
    return mutant.path.stem in path.stem or f"from {mutant.module} import" in _read(path)


@cache
def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _file_of(name: str) -> str:
    return name.partition("::")[0]


def section_about(path: Path, page: str) -> str:
    """Return what stands on the page under headings that name a module."""
    sections = re.split(r"\n##+ ", page)
    return "".join(section for section in sections if str(Path(*path.parts[-2:])) in section.split("\n")[0])


def main() -> int:
    """Mutate, run, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("code", type=Path, nargs="+", help="module or folder of modules to mutate")
    parser.add_argument(
        "--tests", type=Path, nargs="+", required=True, help="folders of tests that must notice"
    )
    parser.add_argument("--match", default="", help="only mutants whose line contains this text")
    options = parser.parse_args()

    sys.path.insert(0, str(Path.cwd()))
    for name in PRELOADED:
        importlib.import_module(name)
    modules = [m for code in options.code for m in (sorted(code.glob("*.py")) if code.is_dir() else [code])]
    mutants = [mutant for path in modules for mutant in mutants_of(path) if options.match in str(mutant)]
    session = start_session(mutants, options.tests)
    reach = session.recv()
    if isinstance(reach, str):
        print(f"The tests fail without any mutation; mend that first: {reach}")
        return 2
    session.send(reach)
    page = EXPLAINED.read_text(encoding="utf-8")
    total = survivors = unexplained = 0
    for path, numbered in groupby(enumerate(mutants), lambda pair: pair[1].path):
        noticing = Noticing()
        fates = [(mutant, survives(at, mutant, reach, session, noticing)) for at, mutant in numbered]
        alive = [mutant for mutant, survived in fates if survived]
        explained = section_about(path, page)
        print(f"{path}: {len(fates) - len(alive)} of {len(fates)} noticed", flush=True)
        for mutant in alive:
            known = f"`{mutant.change}`" in explained
            print(f"  survived{'' if known else ', unexplained'}  {mutant}", flush=True)
            unexplained += not known
        total, survivors = total + len(fates), survivors + len(alive)
    session.send(None)
    if not total:
        print("No mutants: nothing matches.")
        return 2
    noticed = 1 - survivors / total
    print(f"{total - survivors} of {total} noticed: {noticed:.1%}, goal {GOAL:.0%}")
    print(f"{survivors} survived, {unexplained} of them without an explanation in {EXPLAINED}")
    return 0 if noticed >= GOAL and not unexplained else 1


if __name__ == "__main__":
    sys.exit(main())
