"""Who may import whom, read from the source with `ast`. A change of direction is made here first.

Imports inside functions and under ``TYPE_CHECKING`` count too: they are dependencies all the same.
"""

import ast
import functools
import graphlib
import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Folder that is on the import path -> our top-level packages and modules in it.
SOURCES = {
    "layers/pce/python": ("pce",),
    "layers/ven_protocol/python": ("ven_protocol",),
    "ven/src": ("ven",),
    "local": ("pce_local",),
    ".": ("functions", "infra", "app", "bench", "demo"),
}

#: They take facts and return decisions.
PURE = (
    "pce.errors",
    "pce.identifiers",
    "pce.timestamps",
    "pce.access",
    "pce.objects",
    "pce.policy",
    "pce.presence",
    "pce.flows",
    "pce.events",
    "pce.pairing",
    "pce.streaming",
    "ven_protocol",
    "ven.core",
)
AWS_CLIENTS = ("boto3", "botocore", "pynamodb")
#: Standard library modules through which clocks, loggers, the environment and I/O come in.
EFFECTS = (
    *("asyncio", "http", "logging", "multiprocessing", "os", "pathlib", "select", "selectors"),
    *("signal", "socket", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib"),
)
HOSTS = ("pce_local", "infra", "app", "bench", "demo", "tests")


class Rule(NamedTuple):
    """No module under ``importers`` imports one under ``imported``."""

    importers: tuple[str, ...]
    imported: tuple[str, ...]
    reason: str
    #: Pairs that are let through, each with its own reason beside it.
    except_for: frozenset[tuple[str, str]] = frozenset()


RULES = {
    "pure packages stay pure": Rule(
        PURE,
        ("pce.usecases", "pce.store", "pce.runtime", "functions", *AWS_CLIENTS, *EFFECTS),
        "pure code is tested in microseconds and runs anywhere; pass the fact in as an argument",
        # inet_pton and inet_ntop touch no network; ipaddress is too slow for 100,000 members.
        frozenset({("ven.core.address_sets", "socket")}),
    ),
    "ven_protocol stands alone": Rule(
        ("ven_protocol",),
        ("pce", "ven", "functions"),
        "it is all that VEN and PCE share; what it imported would reach every workload",
    ),
    "the VEN knows only the wire": Rule(
        ("ven",),
        ("pce", "functions"),
        "the VEN and the PCE are upgraded apart, so they may agree on nothing but ven_protocol",
    ),
    "the PCE does not know the VEN": Rule(
        ("pce", "functions"),
        ("ven",),
        "the PCE answers any VEN that speaks ven_protocol",
    ),
    "the VEN's core has no edge": Rule(
        ("ven.core",),
        ("ven.edge", "ven.cli", "ven.main"),
        "the core is fed with events and returns commands; the edge calls it",
    ),
    "use cases receive their world": Rule(
        ("pce.usecases",),
        ("pce.runtime", "functions", *AWS_CLIENTS, "os", "time", "logging"),
        "stores, clock and settings come as arguments, so that a test can pass others",
    ),
    "what policy means knows no faster way": Rule(
        (
            *("pce.policy.decide", "pce.policy.evaluate", "pce.policy.recompute"),
            *("pce.policy.parts", "pce.policy.resolve", "pce.policy.selectors"),
        ),
        ("pce.policy.incremental", "pce.policy.questions"),
        "the engine and the answers are compared with it, so it may lean on neither",
    ),
    "stores know storage only": Rule(
        ("pce.store",),
        ("pce.usecases", "pce.runtime", "functions", "os"),
        "a store translates; what to store is decided above it, where is said by runtime.wiring",
    ),
    "only the store knows AWS": Rule(
        ("pce.runtime", "functions"),
        AWS_CLIENTS,
        "pce.store turns AWS's errors into ours; nothing else would catch them",
    ),
    "functions use use cases": Rule(
        ("functions",),
        ("pce.store", "functions", "os"),
        "a handler parses, calls one use case and maps the result; runtime.wiring holds the stores",
        # The message that its queue delivers is defined where it is put into the queue.
        frozenset({("functions.bolts_fan_out.handler", "pce.store.queues")}),
    ),
    "runtime does not know the functions": Rule(
        ("pce.runtime",),
        ("functions",),
        "handlers call runtime, not the other way round",
    ),
    "infrastructure names folders": Rule(
        ("infra", "app"),
        ("pce", "ven_protocol", "functions", "ven", "pce_local"),
        "a synthesis must not need the product's dependencies, nor run its code",
    ),
    "the product does not know its hosts": Rule(
        ("pce", "ven_protocol", "ven", "functions"),
        (*HOSTS, "aws_cdk", "aiohttp"),
        "the same code runs in AWS, in the emulator, on the local host and in tests; it asks none",
    ),
    "nothing deployed imports tests": Rule(
        ("infra", "app", "pce_local"),
        ("tests", "bench", "demo"),
        "tests are not deployed",
    ),
}

#: Third-party packages of each room; the longest name that fits counts. They are what the Lambda
#: layer and the VEN package carry, so one more is more to download on every cold start or workload.
THIRD_PARTY = {
    "ven_protocol": {"msgspec", "zstandard"},  # zstandard where the PCE inflates, imported there
    "pce": {"msgspec"},
    "pce.flows": {"msgspec", "zstandard"},
    "pce.store": {"msgspec", "zstandard", "botocore", "pynamodb"},
    "pce.runtime": {"msgspec", "aws_lambda_powertools"},
    "functions": {"msgspec", "aws_lambda_powertools"},
    "ven": {"msgspec", "psutil", "websockets"},
    "ven.core": {"msgspec"},
    "infra": {"aws_cdk", "constructs", "cdk_nag"},
    "app": {"aws_cdk", "constructs", "cdk_nag"},
}

#: Lines; a handler that needs more decides something, and decisions belong into a use case.
MAX_HANDLER_LINES = 120
#: Lines; a module that needs more has two subjects.
MAX_MODULE_LINES = 600


class Import(NamedTuple):
    """``name`` is the module, or the name in it, that is imported."""

    name: str
    line: int


def imports_in(source: str) -> Iterator[Import]:
    """Every import of a module's source; `from a import b` gives `a.b`, which may be a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # ruff's TID252 keeps imports absolute, so `node.module` is whole.
            yield from (Import(f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def is_under(name: str, package: str) -> bool:
    """`pce.flows.query` is under `pce.flows` and `pce`, not under `pce.flow`."""
    return name == package or name.startswith(package + ".")


def under_any(name: str, packages: Iterable[str]) -> bool:
    """Whether the name is under one of the packages."""
    return any(is_under(name, package) for package in packages)


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    found = {}
    for folder, packages in SOURCES.items():
        base = ROOT / folder
        for package in packages:
            for path in [base / f"{package}.py", *sorted((base / package).rglob("*.py"))]:
                if path.exists():
                    parts = path.relative_to(base).with_suffix("").parts
                    found[".".join(parts).removesuffix(".__init__")] = path
    return found


@functools.cache
def imports_of(module: str) -> tuple[Import, ...]:
    """What a module of ours imports."""
    return tuple(imports_in(modules()[module].read_text()))


def breaches(rule: Rule, module: str, imports: Iterable[Import]) -> Iterator[Import]:
    """The imports that the rule does not let the module have."""
    for found in imports:
        excepted = any(
            importer == module and is_under(found.name, allowed)
            for importer, allowed in rule.except_for
        )
        if not excepted and under_any(found.name, rule.imported):
            yield found


def ring_in(edges: dict[str, set[str]]) -> list[str]:
    """One ring of imports, first name repeated at its end; empty if there is none."""
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def module_edges() -> dict[str, set[str]]:
    """Module of ours -> modules of ours that it imports."""
    known = modules()
    edges: dict[str, set[str]] = {}
    for module in known:
        named = {found.name for found in imports_of(module)}
        # `from a import b`: b is a module, or a name in module a.
        targets = {name if name in known else name.rpartition(".")[0] for name in named}
        edges[module] = (targets & known.keys()) - {module}
    return edges


def package_of(module: str) -> str:
    """The room of a module: `pce.policy` of `pce.policy.recompute`; a module at the top itself."""
    parts = module.split(".")
    return ".".join(parts[: max(2, len(parts) - 1)])


def place(module: str, found: Import) -> str:
    """How a finding names its line."""
    return f"{modules()[module].relative_to(ROOT)}:{found.line} imports {found.name}"


@pytest.mark.parametrize("title", RULES)
def test_imports_keep_their_direction(title: str) -> None:
    """No module imports what the table forbids to it."""
    rule = RULES[title]
    found = [
        place(module, breach)
        for module in modules()
        if under_any(module, rule.importers)
        for breach in breaches(rule, module, imports_of(module))
    ]
    assert not found, f"{title}, because {rule.reason}:\n" + "\n".join(found)


def test_rooms_use_only_their_third_party_packages() -> None:
    """A room imports the standard library, our own packages and what its row of the table lists."""
    ours = set(itertools.chain.from_iterable(SOURCES.values())) | {"tests"}
    found = []
    for module in modules():
        rooms = [room for room in THIRD_PARTY if is_under(module, room)]
        if not rooms:
            continue  # hosts, benchmarks: nothing of theirs is downloaded by anybody
        allowed = THIRD_PARTY[max(rooms, key=len)] | ours | sys.stdlib_module_names
        found += [
            place(module, each)
            for each in imports_of(module)
            if each.name.partition(".")[0] not in allowed
        ]
    assert not found, "add it to THIRD_PARTY with a good reason, or do without:\n" + "\n".join(
        found
    )


def test_pure_packages_do_not_read_the_clock() -> None:
    """`datetime` is allowed there, its `now`, `utcnow` and `today` are not."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} reads the clock; take the time as an argument"
        for module, path in modules().items()
        if under_any(module, PURE)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in {"now", "utcnow", "today"}
        and ast.unparse(node.value).rpartition(".")[2] in {"datetime", "date"}
    ]
    assert not found, "\n".join(found)


def test_no_modules_import_each_other_in_a_ring() -> None:
    """What is imported can be read, tested and moved without what imports it."""
    ring = ring_in(module_edges())
    assert not ring, " -> ".join(ring)


def test_no_packages_import_each_other_in_a_ring() -> None:
    """The same for packages: `pce.policy` and `pce.flows` cannot need each other."""
    edges: dict[str, set[str]] = {}
    for module, imported in module_edges().items():
        package = edges.setdefault(package_of(module), set())
        package |= {package_of(name) for name in imported} - {package_of(module)}
    ring = ring_in(edges)
    assert not ring, " -> ".join(ring)


def test_modules_stay_small() -> None:
    """Handlers hold no business, and a module has one subject."""
    found = []
    for module, path in modules().items():
        limit = MAX_HANDLER_LINES if path.name == "handler.py" else MAX_MODULE_LINES
        lines = len(path.read_text().splitlines())
        if lines > limit:
            found.append(f"{module} has {lines} lines, more than {limit}: split it by subject")
    assert not found, "\n".join(found)


def test_every_room_is_seen() -> None:
    """The rules read real modules: a moved folder must not make them pass by finding nothing."""
    for package in itertools.chain.from_iterable(SOURCES.values()):
        if package in {"functions", "app", "demo"}:
            continue  # folders without __init__.py, or not there in every checkout
        assert package in modules(), f"no source of {package}: is SOURCES out of date?"


@pytest.mark.parametrize(
    "source",
    [
        "import pce.store.objects",
        "from pce import store",
        "from pce.store import objects",
        "def late():\n    import pce.store",
        "if TYPE_CHECKING:\n    from pce.store.objects import ObjectStore",
        "import os.path",
        "from urllib.request import urlopen",
    ],
)
def test_a_breach_is_seen(source: str) -> None:
    """Each way to write an import is found by the rule for pure packages."""
    rule = RULES["pure packages stay pure"]
    assert [each.line for each in breaches(rule, "pce.policy.x", imports_in(source))]


def test_a_name_that_only_begins_alike_is_no_breach() -> None:
    """`pce.storeroom` is not in `pce.store`."""
    rule = RULES["pure packages stay pure"]
    assert not list(breaches(rule, "pce.policy.x", imports_in("import pce.storeroom, ostrich")))


def test_a_ring_is_seen() -> None:
    """Three modules in a ring are named in order; a diamond is no ring."""
    assert len(ring_in({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == 4
    assert not ring_in({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}})
