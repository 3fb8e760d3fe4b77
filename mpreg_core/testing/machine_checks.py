"""What every machine keeps, whatever its family."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mpreg_core.testing.extremes import hostile_messages, sizes
from mpreg_core.testing.report import NotApplicableError, NotConformingError
from mpreg_core.testing.subject import HUB, Pool, Subject
from mpreg_core.testing.watch import Watch, first_of
from mpreg_core.units import NS_PER_S, ns

FORBIDDEN = {
    "time", "datetime", "socket", "ssl", "select", "threading", "multiprocessing", "concurrent", "asyncio", "anyio",
    "trio", "logging", "secrets", "uuid", "os", "subprocess", "shutil", "tempfile", "pathlib", "io",
}  # fmt: skip
"""Modules that a machine's package may not import; of `random`, only the class `Random`."""

DIGEST_TIMEOUT_S = 120
GROWTH_BYTES = 24 * 1024
HOSTILE_GROWTH_BYTES = 12 * 1024
HOSTILE_ROUNDS = 3
CALLS_PER_S_MAX = 1_000


def purity(subject: Subject) -> None:
    """No clock, socket, thread, log, file or chance of its own."""
    for path in _sources(subject):
        for line, name in _imports(ast.parse(path.read_text())):
            if name.partition(".")[0] in FORBIDDEN or (name.startswith("random") and name != "random.Random"):
                raise NotConformingError("only what its context gives", f"{path.name}:{line} imports {name}")
    watch = Watch(subject.messages, subject.family, guarded=True)
    _busy(subject, watch, subject.seeds[0])
    _refuse(watch, "purity")


def _sources(subject: Subject) -> Iterator[Path]:
    """The files that the strategy's package consists of, as far as they are loaded."""
    module: str = subject.spec.create.__module__
    package = module.partition(".")[0]
    whole = package != "mpreg_core" and getattr(sys.modules.get(package), "__path__", None) is not None
    for name, loaded in sorted(sys.modules.items()):
        if (name == module or (whole and name.startswith(f"{package}."))) and getattr(loaded, "__file__", None):
            yield Path(str(loaded.__file__))


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def determinism(subject: Subject) -> None:
    """The same seed gives the same frames, whatever the hash seed."""
    seed = subject.seeds[0]
    first, second = digest_of(subject, seed), digest_of(subject, seed)
    if first != second:
        raise NotConformingError("the same frames from the same seed", "other frames in the same process", seed)
    if not subject.name:
        raise NotApplicableError("tried in one process only: the strategy has no importable name")
    options = msgspec.json.encode(subject.options).decode()
    for hash_seed in ("1", "4242"):
        command = [sys.executable, "-m", "mpreg_core.testing.digest", subject.name, options, str(seed)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=DIGEST_TIMEOUT_S,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(path for path in sys.path if path)},
        )
        if done.returncode != 0:
            raise NotConformingError("a run in a process of its own", done.stderr.strip().rpartition("\n")[2], seed)
        if done.stdout.strip() != first:
            raise NotConformingError(
                "the same frames whatever the hash seed", f"other frames with PYTHONHASHSEED={hash_seed}", seed
            )


def digest_of(subject: Subject, seed: int) -> str:
    """A hash over every frame of a busy run."""
    pool = _busy(subject, None, seed)
    return pool.world.digest()


def _busy(subject: Subject, watch: Watch | None, seed: int) -> Pool:
    """A small pool that has something to do: writes, proposals, a crash, a return, a cut, a pause, a departure."""
    pool = subject.pool(5, seed, watch=watch, loss=0.05)
    for number, node in enumerate(pool.ids):
        pool.put(node, f"k{number}", "x" * (number * 500))
    pool.propose("n01", "p", 1)
    pool.propose("n02", "p", 2)
    pool.world.run(3)
    pool.world.crash("n03")
    pool.world.run(12)
    pool.world.start("n03")
    pool.world.run(8)
    pool.world.network.partition(("n01", "n02"))
    pool.world.run(12)
    pool.world.network.heal()
    pool.world.pause("n02")
    pool.world.run(5)
    pool.world.resume("n02")
    pool.world.run(8)
    pool.world.leave("n04")
    pool.world.run(5)
    return pool


def no_errors(subject: Subject) -> None:
    """It raises nothing while it works."""
    _refuse(_watched(subject), "no errors")


def effects(subject: Subject) -> None:
    """It asks for effects of its family alone, with messages of its own that fit a frame."""
    _refuse(_watched(subject), "effects")


def wire(subject: Subject) -> None:
    """Its messages are tagged, compact, unchangeable, and come back as they went."""
    for kind in subject.messages:
        config = kind.__struct_config__
        if not (config.array_like and config.frozen and config.tag is not None):
            raise NotConformingError("messages with array_like, frozen and a tag", f"{kind.__name__} lacks one of them")
    tags = [kind.__struct_config__.tag for kind in subject.messages]
    if len(set(tags)) != len(tags):
        raise NotConformingError("a tag of its own for each message", f"the tags {tags}")
    _refuse(_watched(subject), "wire")


def deadlines(subject: Subject) -> None:
    """A deadline may come early, late or twice; afterwards the next one lies ahead, and it does not spin."""
    watch = Watch(subject.messages, subject.family)
    pool = _busy(subject, watch, subject.seeds[0])
    now_ns = pool.world.now_ns
    for machine in watch.machines:
        for at_ns in (now_ns, now_ns, now_ns + 1, now_ns + 3600 * NS_PER_S, now_ns + 3600 * NS_PER_S):
            watch.call(machine, "on_deadline", at_ns)
    _refuse(watch, "deadlines")
    machine, at_ns, calls = watch.machines[0], now_ns + 3601 * NS_PER_S, 0
    end_ns = at_ns + 10 * NS_PER_S
    while (due := machine.next_deadline()) is not None and due <= end_ns:
        watch.call(machine, "on_deadline", max(at_ns, due))
        at_ns, calls = max(at_ns, due), calls + 1
        if calls > 10 * CALLS_PER_S_MAX:
            raise NotConformingError(f"at most {CALLS_PER_S_MAX} deadlines a second at rest", "more")


def hostile_input(subject: Subject) -> None:
    """Whatever it is sent, by whomever: it does not raise, and it does not grow."""
    if not subject.messages:
        raise NotApplicableError("it has no messages")
    watch = Watch(subject.messages, subject.family)
    pool = subject.pool(4, subject.seeds[0], watch=watch)
    pool.world.run(2)
    machine, now_ns = watch.machines[0], pool.world.now_ns
    grown: list[int] = []
    for _ in range(HOSTILE_ROUNDS):
        for sender, message in hostile_messages(subject.messages, (HUB, "n01"), seed=len(grown)):
            now_ns += ns(0.001)
            try:
                watch.call(machine, "on_message", now_ns, sender, message)
            except Exception as error:
                raise NotConformingError(
                    "hostile messages to be dropped", f"{message!r:.200} from {sender} raised {error!r:.120}"
                ) from error
            if (due := machine.next_deadline()) is not None and due <= now_ns:
                watch.call(machine, "on_deadline", now_ns)
        grown.append(sizes(machine))
    if grown[-1] > grown[-2] * 1.1 + HOSTILE_GROWTH_BYTES:
        raise NotConformingError("bounded collections", f"the machine grows: {grown} bytes after each round")


def options(subject: Subject) -> None:
    """Its options are strict, have defaults and a meaning each, and no number makes it break."""
    kind = subject.spec.options
    config = kind.__struct_config__
    if not (config.frozen and config.forbid_unknown_fields):
        raise NotConformingError("options with frozen=True, kw_only=True, forbid_unknown_fields=True", kind.__name__)
    try:
        made = kind()
    except TypeError as error:
        raise NotConformingError("a default for every option", str(error)) from error
    text = kind.__doc__ if "__doc__" in kind.__dict__ else ""
    for name in kind.__struct_fields__:
        if f"`{name}`" not in (text or ""):
            raise NotConformingError(f"the docstring of {kind.__name__} to tell of `{name}`", "it does not")
        value = getattr(made, name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            for extreme in (-1, 0, 10**12, float("inf")):
                _try_option(subject, name, extreme)


def _try_option(subject: Subject, name: str, value: Any) -> None:
    try:
        chosen: Struct = msgspec.convert({name: value}, subject.spec.options, strict=False)
    except (msgspec.ValidationError, ValueError):
        return
    try:
        Subject(subject.spec, chosen).pool(3, 1).world.run(3)
    except NotConformingError:
        return  # it works, if to no purpose: the operator's choice
    except Exception as error:
        raise NotConformingError(f"{name}={value!r} to work or to be refused", f"{error!r:.200}") from error


def churn(subject: Subject) -> None:
    """Members that come and go leave nothing behind."""
    watch = Watch(subject.messages, subject.family)
    pool = subject.pool(3, subject.seeds[0], watch=watch)
    machine, grown = watch.machines[0], []
    for wave in range(3):
        for number in range(12):
            node = f"w{wave}-{number:02}"
            pool.add(node, "cluster", HUB)
            pool.world.run(0.3)
            pool.world.leave(node)
            pool.expect(lambda p=pool, n=node: not p.world.nodes[n].alive, 10, f"{node} to leave")  # type: ignore[misc]
            del pool.world.nodes[node]
            pool.ids.remove(node)
        pool.world.run(5)
        grown.append(sizes(machine))
    if grown[-1] > grown[0] * 1.5 + GROWTH_BYTES:
        raise NotConformingError("no trace of members that left", f"the machine grows: {grown} bytes after each wave")


def snapshot(subject: Subject) -> None:
    """Its snapshot is a Struct of bounded size that encodes, and taking it changes nothing."""
    watch = _watched(subject)
    for machine in watch.machines:
        before = machine.next_deadline()
        first, second = machine.snapshot(), machine.snapshot()
        watch.look_at_snapshot(first)
        if first != second or machine.next_deadline() != before:
            raise NotConformingError("a read-only snapshot", f"two in a row differ: {first!r:.100}, {second!r:.100}")
    _refuse(watch, "snapshot")


def _watched(subject: Subject) -> Watch:
    if not subject.watched:
        watch = Watch(subject.messages, subject.family)
        for seed in subject.seeds:
            _busy(subject, watch, seed)
        subject.watched.append(watch)
    return subject.watched[0]


def _refuse(watch: Watch, rule: str) -> None:
    breach = first_of(watch.breaches, rule)
    if breach is not None:
        raise NotConformingError(f"the rule {rule!r} to hold", breach)
