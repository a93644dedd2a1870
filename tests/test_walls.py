"""The walls between the rooms hold: who may import whom, told by the line that does it.

1. `launcher` imports of `job` only `contract/`, `storage/` and the pure modules of `FOR_LAUNCHER`,
   never TensorFlow, and the client of Kubernetes in `launcher/api` alone.
2. `job` imports neither `launcher` nor `k8s` nor `kubernetes`; `k8s` imports none of them.
3. Entries (`job/*.py`: what a person or a pod types) are imported by nobody.
4. A room of `job` imports only itself and rooms before it in `ROOMS`.
5. `launcher/manifests` and `launcher/diagnosis` are pure, and so is every module of the launcher
   that they import: no file, no process, no network, no clock.
6. Commands are the launcher's outermost room: only its parser (`launcher/cli.py`) imports them.
7. No module of `job` or `launcher` imports itself by way of others.

An import counts wherever it stands, within a function as well.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).parents[1]

ROOMS = (
    "contract", "storage", "process", "images", "dataset", "making", "run", "model", "distributed",
    "evaluation", "training", "serving", "prediction", "online", "downloads",
)  # fmt: skip
STRANGERS = {("run", "making")}
"""Rooms that do not depend on each other, though one stands after the other."""

FOR_LAUNCHER = (
    "job.contract", "job.storage",
    "job.model.shapes", "job.distributed.exchange_plan", "job.distributed.exchange_bundles",
    "job.distributed.machines", "job.distributed.plan_table",
    "job.training.schedule", "job.prediction.listing", "job.prediction.listing_sources",
    "job.prediction.parts", "job.process.cores", "job.process.children",
    "job.process.attempt_record",
)  # fmt: skip

PURE_ROOMS = ("launcher.manifests", "launcher.diagnosis")
NO_EFFECTS = (
    "collections", "dataclasses", "datetime", "enum", "functools", "hashlib", "itertools",
    "ipaddress", "json", "math", "operator", "re", "string", "textwrap", "typing", "urllib.parse",
    "yaml",
    "job.contract", "launcher",
    "k8s",  # Reads the skeletons that are installed with the program: they never change.
)  # fmt: skip
EFFECTS = ("open", "input", "print", "now", "utcnow", "today")
"""Names that pure modules do not call: files, terminals, and the clock of `datetime`."""


class Import(NamedTuple):
    """One import of one module."""

    importer: str
    imported: str
    where: str


def _modules(*packages: str) -> dict[str, Path]:
    paths = [path for package in packages for path in sorted((TOP / package).rglob("*.py"))]
    return {
        ".".join(path.relative_to(TOP).with_suffix("").parts).removesuffix(".__init__"): path
        for path in paths
    }


MODULES = _modules("job", "k8s", "launcher")
ENTRIES = {name for name, path in MODULES.items() if path.parent == TOP / "job"} - {"job"}


def _imports(module: str) -> Iterator[Import]:
    path = MODULES[module]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else str(node.module) for name in whole]
        else:
            continue
        for name in names:
            yield Import(module, name, f"{path.relative_to(TOP)}:{node.lineno} imports {name}")


IMPORTS = {module: list(_imports(module)) for module in MODULES}
ALL_IMPORTS = [one for imports in IMPORTS.values() for one in imports]


def _within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _say(broken: list[str], rule: str) -> None:
    assert not broken, "\n".join([rule, *broken])


def test_the_launcher_imports_of_the_job_what_is_named_only() -> None:
    """The launcher starts in a tenth of a second and runs without TensorFlow."""
    broken = [
        one.where
        for one in ALL_IMPORTS
        if _within(one.importer, "launcher")
        and (
            (_within(one.imported, "job") and not _within(one.imported, *FOR_LAUNCHER))
            or (_within(one.imported, "kubernetes") and not _within(one.importer, "launcher.api"))
            or _within(one.imported, "tensorflow")
        )
    ]
    _say(
        broken,
        "launcher may not import tensorflow, and kubernetes in launcher/api alone; of job: "
        + ", ".join(FOR_LAUNCHER),
    )


def test_the_job_knows_nothing_of_the_launcher() -> None:
    """What runs in a container runs without what started it."""
    broken = [
        one.where
        for one in ALL_IMPORTS
        if not _within(one.importer, "launcher")
        and _within(one.imported, "launcher", "k8s", "kubernetes")
    ]
    _say(broken, "job and k8s import neither launcher nor k8s nor kubernetes")


def test_entries_are_imported_by_nobody() -> None:
    """An entry parses and calls; what several need lives in a room."""
    broken = [one.where for one in ALL_IMPORTS if one.imported in ENTRIES]
    _say(broken, "entries (job/*.py) are imported by nobody: move what is needed into a room")


def test_rooms_depend_downwards() -> None:
    """A room is understood, and tested, with nothing but the rooms before it."""
    place = {room: number for number, room in enumerate(ROOMS)}
    broken = []
    for one in ALL_IMPORTS:
        room, of = (f"{name}.".split(".")[1] for name in (one.importer, one.imported))
        if not _within(one.importer, "job") or one.importer in (*ENTRIES, "job"):
            continue
        if not _within(one.imported, "job") or one.imported == "job":
            continue
        if place.get(of, len(ROOMS)) > place[room] or (room, of) in STRANGERS:
            broken.append(one.where)
    _say(broken, "rooms of job depend downwards: " + " < ".join(ROOMS))


def test_manifests_and_diagnosis_are_pure() -> None:
    """The same input gives the same manifest and the same advice, everywhere and at any time."""
    reached = [module for module in MODULES if _within(module, *PURE_ROOMS)]
    broken = []
    for module in reached:  # It grows on the way.
        for one in IMPORTS[module]:
            if not _within(one.imported, *NO_EFFECTS):
                broken.append(one.where)
            elif _within(one.imported, "launcher") and one.imported not in reached:
                reached.append(one.imported)
        for node in ast.walk(ast.parse(MODULES[module].read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            name = getattr(called, "id", getattr(called, "attr", ""))
            if name in EFFECTS:
                broken.append(f"{MODULES[module].relative_to(TOP)}:{node.lineno} calls {name}()")
    _say(broken, f"{' and '.join(PURE_ROOMS)} are pure; allowed are {', '.join(NO_EFFECTS)}")


def test_commands_are_imported_by_the_parser_alone() -> None:
    """A command holds words and flags; what two of them do lives in a room below them."""
    broken = [
        one.where
        for one in ALL_IMPORTS
        if _within(one.imported, "launcher.commands")
        and not _within(one.importer, "launcher.commands", "launcher.cli")
    ]
    _say(broken, "only launcher/cli.py imports launcher.commands: move what is needed into a room")


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Whatever is in a circle can only be understood, and loaded, as one."""
    broken = []
    done: set[str] = set()

    def follow(way: tuple[str, ...]) -> None:
        for one in IMPORTS[way[-1]]:
            if one.imported in way:
                circle = (*way[way.index(one.imported) :], one.imported)
                broken.append(f"{one.where}: {' -> '.join(circle)}")
            elif one.imported in MODULES and one.imported not in done:
                follow((*way, one.imported))
        done.add(way[-1])

    for module in MODULES:
        if module not in done:
            follow((module,))
    _say(broken, "no circles: move what both need into a module of its own")
