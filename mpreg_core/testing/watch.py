"""A machine under watch: every call is looked at, and what breaks the contract is written down.

It stands between the node and the machine, so the machine runs as it does anywhere else.
"""

import builtins
import os
import random
import secrets
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from mpreg_core.contracts.effects import Emit, Persist, Send
from mpreg_core.contracts.events import Event
from mpreg_core.contracts.router import Forward, Local, Refuse
from mpreg_core.ids import NodeId
from mpreg_core.limits import FRAME_BYTES_MAX
from mpreg_core.wire.codec import FrameError, MessageDecoder

EFFECTS_MAX = 10_000
SNAPSHOT_BYTES_MAX = 256 * 1024

_OUTSIDE: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (time, ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep")),
    (random, ("random", "randrange", "randint", "choice", "shuffle", "sample", "uniform", "getrandbits")),
    (os, ("urandom", "getenv", "listdir", "open")),
    (secrets, ("token_bytes", "token_hex", "randbelow")),
    (uuid, ("uuid1", "uuid4")),
    (socket, ("create_connection", "create_server", "getaddrinfo")),
    (builtins, ("open", "print", "input")),
)
"""What a machine may not use: its time and chance are given to it, and it does nothing by itself."""


class ImpureError(BaseException):
    """A machine reached outside. No `Exception`, so that the machine cannot swallow it by accident."""


@dataclass
class Watch:
    """What was seen of all machines of one run. `breaches` are (rule, what happened), `targets` whom they sent to."""

    messages: tuple[type[Struct], ...]
    family: str
    guarded: bool = False
    breaches: list[tuple[str, str]] = field(default_factory=list)
    machines: list[Any] = field(default_factory=list)
    targets: set[NodeId] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._decoder = MessageDecoder(self.messages)

    def wrap(self, create: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A `create` whose machines are watched."""

        def made(context: Any) -> Watched:
            with self._guard():
                machine = create(context)
            self.machines.append(machine)
            return Watched(machine, self)

        return made

    def say(self, rule: str, what: str) -> None:
        """Write a breach down, the first few of each rule."""
        if sum(1 for known, _ in self.breaches if known == rule) < 3:
            self.breaches.append((rule, what))

    def call(self, machine: Any, name: str, now_ns: int, *arguments: Any) -> Any:
        """Call a method that gives effects, and look at them."""
        before = machine.next_deadline()
        if machine.next_deadline() != before:
            self.say("deadlines", f"next_deadline changed from call to call: {before}, {machine.next_deadline()}")
        try:
            with self._guard():
                effects = getattr(machine, name)(now_ns, *arguments)
        except ImpureError as error:
            self.say("purity", f"{name} called {error}")
            raise RuntimeError(str(error)) from error
        except Exception as error:
            self.say("no errors", f"{name} raised {type(error).__name__}: {error}")
            raise
        self._look(name, effects)
        if name == "on_deadline":
            due = machine.next_deadline()
            if due is not None and due <= now_ns:
                self.say("deadlines", f"after on_deadline({now_ns}) next_deadline is {due}, not later")
        return effects

    def _look(self, name: str, effects: Any) -> None:
        if not isinstance(effects, list | tuple):
            self.say("effects", f"{name} gave {type(effects).__name__}, not a list or tuple")
            return
        if len(effects) > EFFECTS_MAX:
            self.say("effects", f"{name} gave {len(effects)} effects at once")
        for effect in effects:
            if isinstance(effect, Send):
                self._look_at_send(name, effect)
            elif isinstance(effect, Emit):
                if not isinstance(effect.event, Event):
                    self.say("effects", f"{name} emitted {type(effect.event).__name__}, which is no event")
            elif not isinstance(effect, Persist) or self.family != "consensus":
                self.say("effects", f"{name} gave {type(effect).__name__}, which this family may not")

    def _look_at_send(self, name: str, send: Send) -> None:
        kind = type(send.message)
        if kind not in self.messages:
            self.say("effects", f"{name} sent {kind.__name__}, which is not in spec.messages")
            return
        self.targets.update(send.to)
        if len(set(send.to)) != len(send.to):
            self.say("effects", f"{name} sent twice to one member: {send.to}")
        try:
            body = msgspec.msgpack.encode(send.message)
            back = self._decoder.decode(msgspec.Raw(body))
        except (FrameError, TypeError, msgspec.MsgspecError) as error:
            self.say("wire", f"{kind.__name__} as {name} sent it does not come back: {error}")
            return
        if back != send.message:
            self.say("wire", f"{kind.__name__} comes back as {back!r:.120}, it was {send.message!r:.120}")
        if len(body) > FRAME_BYTES_MAX - 1024:
            self.say("effects", f"{name} sent {kind.__name__} of {len(body)} bytes, over the frame's limit")

    def look_at_route(self, route: Any) -> Any:
        """Look at what a router answered."""
        if not isinstance(route, Local | Forward | Refuse):
            self.say("effects", f"route gave {type(route).__name__}, not Local, Forward or Refuse")
        return route

    def look_at_snapshot(self, snapshot: Any) -> None:
        """Look at a snapshot."""
        if not isinstance(snapshot, Struct):
            self.say("snapshot", f"expected a Struct, got {type(snapshot).__name__}")
            return
        try:
            size = len(msgspec.json.encode(snapshot))
        except (TypeError, msgspec.MsgspecError) as error:
            self.say("snapshot", f"it does not encode: {error}")
            return
        if size > SNAPSHOT_BYTES_MAX:
            self.say("snapshot", f"it has {size} bytes, more than {SNAPSHOT_BYTES_MAX}")

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """While a machine runs, what lies outside raises."""
        if not self.guarded:
            yield
            return
        held = [(module, name, getattr(module, name)) for module, names in _OUTSIDE for name in names]
        for module, name, real in held:
            setattr(module, name, partial(_refuse, f"{module.__name__}.{name}", real, threading.get_ident()))
        try:
            yield
        finally:
            for module, name, real in held:
                setattr(module, name, real)


def _refuse(name: str, real: Callable[..., Any], thread: int, *arguments: Any, **more: Any) -> Any:
    """Refuse what the machine asks for; other threads of the program go on."""
    if threading.get_ident() != thread:
        return real(*arguments, **more)
    raise ImpureError(name)


_READS = ("next_deadline", "snapshot", "proposals")


class Watched:
    """Stands for a machine: its calls go through the watch."""

    def __init__(self, machine: Any, watch: Watch) -> None:
        self._machine = machine
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._machine, name)
        if name == "route":
            return lambda *asked: self._watch.look_at_route(found(*asked))
        if name in _READS or not name.startswith("on_"):
            return found
        return partial(self._watch.call, self._machine, name)


def first_of(breaches: Sequence[tuple[str, str]], rule: str) -> str | None:
    """The first breach of a rule."""
    return next((what for known, what in breaches if known == rule), None)
