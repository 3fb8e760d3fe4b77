"""A node's HTTP API as the verbs use it: calls, event streams, and what their failures mean to who asked."""

import json
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, urlsplit

import typer

from mpreg_core.cli.exits import NO, UNREACHABLE, fail
from mpreg_core.cli.sse import Frame, parse
from mpreg_core.cli.text import clean

if TYPE_CHECKING:
    import httpx2

Answer: TypeAlias = Any
"""JSON as the API sent it."""

CONNECT_S = 5.0
ANSWER_S = 15.0
QUIET_S = 45.0
"""A stream that sends nothing for so long is lost: the API sends a comment every 15 s."""

_REASON = re.compile(r"^\[[^]]*\] ?")


class Refused(Exception):
    """The node answered that it will not or cannot."""


class Unreachable(Exception):
    """No node answered at the URL. `quiet` when a stream that was open said nothing for the time it was given."""

    def __init__(self, text: str, *, quiet: bool = False) -> None:
        super().__init__(text)
        self.quiet = quiet


class NodeHttp:
    """One node's API at `url`. Raises `typer.BadParameter` when the URL or token cannot be one."""

    def __init__(self, url: str, token: str) -> None:
        import httpx2

        self.url = url.rstrip("/")
        host = _host(self.url)
        token = token.strip()
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise typer.BadParameter("expected printable ASCII without spaces", param_hint="--token")
        headers = {"accept": "application/json", "user-agent": "mpreg-cli"}
        self._client = httpx2.Client(
            headers=headers | ({"authorization": f"Bearer {token}"} if token else {}),
            timeout=ANSWER_S,
            trust_env=not _is_loopback(host),  # no proxy stands between this machine and itself
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, *, also: Sequence[int] = (), timeout_s: float = ANSWER_S, **query: object) -> Answer:
        """Read. `also` are statuses beside 2xx that carry a proper answer; a query of None is left out."""
        return self.call("GET", path, also=also, timeout_s=timeout_s, **query)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Answer = None,
        also: Sequence[int] = (),
        timeout_s: float = ANSWER_S,
        **query: object,
    ) -> Answer:
        """One call; gives the decoded answer. Raises `Refused` and `Unreachable`."""
        import httpx2

        content = None if body is None else json.dumps(body).encode()
        timeout = httpx2.Timeout(timeout_s, connect=CONNECT_S)
        with self._reaching(timeout_s):
            response = self._client.request(
                method, self.url + path, content=content, params=_params(query), timeout=timeout
            )
        return self._answer(response, also)

    def stream(
        self,
        path: str,
        query: Mapping[str, object],
        *,
        on_open: Callable[[], None] = lambda: None,
        last_id: str = "",
        quiet_s: float = QUIET_S,
    ) -> Generator[Frame, None, None]:
        """The events of a stream after the one called `last_id`. Raises `Refused`, and `Unreachable` however it ends.

        `on_open` is called once the node streams; `quiet_s` is how long it may send nothing.
        """
        import httpx2

        headers = {"accept": "text/event-stream"} | ({"last-event-id": last_id} if last_id else {})
        timeout = httpx2.Timeout(ANSWER_S, connect=CONNECT_S, read=quiet_s)
        opened = False
        try:
            with (
                self._reaching(quiet_s),
                self._client.stream(
                    "GET", self.url + path, params=_params(query), headers=headers, timeout=timeout
                ) as response,
            ):
                if not response.headers.get("content-type", "").startswith("text/event-stream"):
                    response.read()
                    raise self._odd(response) if response.is_success else self._refusal(response)
                opened = True
                on_open()
                for frame in parse(response.iter_lines()):
                    if frame.event == "error":
                        raise Refused(error_text(json.loads(frame.data)["error"]))
                    if frame.event == "drain":
                        break
                    yield frame
        except Unreachable as error:
            error.quiet = error.quiet and opened
            raise
        raise Unreachable(f"{self.url}: the node ended the stream")

    def _answer(self, response: "httpx2.Response", also: Sequence[int]) -> Answer:
        if not (response.is_success or response.status_code in also):
            raise self._refusal(response)
        try:
            return json.loads(response.content)
        except ValueError:
            raise self._odd(response) from None

    def _refusal(self, response: "httpx2.Response") -> Exception:
        try:
            return Refused(error_text(json.loads(response.content)["error"]))
        except (ValueError, KeyError, TypeError):
            return self._odd(response)

    def _odd(self, response: "httpx2.Response") -> Unreachable:
        kind = response.headers.get("content-type", "no content type")
        return Unreachable(
            f"{self.url}: expected the answer of an mpreg node, got status {response.status_code} with {kind}; "
            "name a node's listen_port with --api or MPREG_API"
        )

    @contextmanager
    def _reaching(self, timeout_s: float) -> Iterator[None]:
        """Map what goes wrong on the way to `Unreachable`."""
        import httpx2

        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            reason = _REASON.sub("", str(error)).lower() or f"no connection within {CONNECT_S:.0f} s"
            raise Unreachable(
                f"cannot reach {self.url}: {reason}; is the node running? name another with --api or MPREG_API"
            ) from None
        except httpx2.ReadTimeout:
            text = f"{self.url}: no answer within {timeout_s:g} s; what was asked for may have taken effect"
            raise Unreachable(text, quiet=True) from None
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            reason = _REASON.sub("", str(error)) or type(error).__name__
            raise Unreachable(
                f"{self.url}: the connection broke: {reason}; what was asked for may have taken effect"
            ) from None


def segment(text: str) -> str:
    """A text as one segment of a URL's path; dots alone would be taken for the folder above."""
    quoted = quote(text, safe="")
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E")


def error_text(error: Answer) -> str:
    """An API's error in words: code, message, where, and whether a retry makes sense."""
    where = f" ({error['where']})" if error.get("where") else ""
    retry = "a retry may succeed" if error.get("retryable") else "a retry will not help"
    effect = "" if error.get("definite", True) else ", and it may have taken effect"
    return f"{error['code']}: {error['message']}{where}; {retry}{effect}"


@contextmanager
def reaching(api: str, token: str) -> Iterator[NodeHttp]:
    """A node's API for a verb: what it refuses ends the program with 1, what it does not answer with 3."""
    node = NodeHttp(api, token)
    try:
        yield node
    except Refused as error:
        fail(clean(str(error)), NO)
    except Unreachable as error:
        fail(clean(str(error)), UNREACHABLE)
    finally:
        node.close()


def _params(query: Mapping[str, object]) -> dict[str, str]:
    words = {True: "true", False: "false"}
    return {
        name: words[value] if isinstance(value, bool) else str(value)
        for name, value in query.items()
        if value is not None
    }


def _host(url: str) -> str:
    """The host of an API's URL."""
    try:
        parts = urlsplit(url)
        host, user, _ = parts.hostname, parts.username, parts.port
    except ValueError:
        host = user = None
    if user is not None:  # not shown: a password may be in it
        raise typer.BadParameter("expected a URL without user and password; use --token", param_hint="--api")
    if host is None or parts.scheme not in ("http", "https"):
        raise typer.BadParameter(f"expected a URL such as http://HOST:8080, got {url!r}", param_hint="--api")
    return host


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
