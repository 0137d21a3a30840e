"""Who may ask, and how much."""

import hashlib
import hmac
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.serving.http.errors import Refusal

TOKENS = "MARVEL_TOKENS"
TOKENS_FILE = "MARVEL_TOKENS_FILE"

SMALL_BYTES = 64 * 1024
"""Of bodies up to this size no account is kept: as many as are let in fit into memory."""

Receive = Callable[[], Awaitable[Any]]
Headers = Iterable[tuple[bytes, bytes]]


class ClientGoneError(Exception):
    """The client went away before it had said what it wants."""


@dataclass(frozen=True)
class Tokens:
    """The bearer tokens that are taken; everybody may ask if there are none.

    Attributes:
        digests: By who has the token, its SHA-256: the tokens themselves are not kept.
    """

    digests: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Tokens":
        """Read `name:token` pairs from MARVEL_TOKENS, parted by commas, or from a file's lines.

        Raises:
            ProjectError: A pair is not one; the message does not show it.
        """
        pairs = token_pairs(environment)
        return cls({name: _digest(token.encode()) for name, token in pairs.items()})

    def requester(self, authorization: bytes | None) -> str | None:
        """Who has the token of a request; None if everybody may ask.

        Raises:
            Refusal: 401.
        """
        if not self.digests:
            return None
        scheme, _, token = (authorization or b"").partition(b" ")
        sent = _digest(token.strip())
        # All of them, and each in constant time: how long it takes tells nothing.
        found = [name for name, kept in self.digests.items() if hmac.compare_digest(kept, sent)]
        if scheme.lower() != b"bearer" or not found:
            raise Refusal(
                HTTPStatus.UNAUTHORIZED,
                "UNAUTHENTICATED",
                "Send the header Authorization: Bearer <token> with a token of this endpoint.",
                ((b"www-authenticate", b"Bearer"),),
            )
        return found[0]


def token_pairs(environment: Mapping[str, str]) -> dict[str, str]:
    """The tokens by who has them, as `Tokens.from_environment` reads them.

    Raises:
        ProjectError: A pair is not one, or there is none; the message does not show it.
    """
    text = environment.get(TOKENS, "").replace(",", "\n")
    if path := environment.get(TOKENS_FILE):
        try:
            text += "\n" + Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ProjectError(f"{TOKENS_FILE}: {path}: {said}.") from error
    pairs: dict[str, str] = {}
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), start=1):
        name, _, token = map(str.strip, line.partition(":"))
        if not name or not token or name in pairs:
            raise ProjectError(
                f"Token {number} of {TOKENS} or {TOKENS_FILE} is not name:token with a name "
                "of its own. Write one pair for everybody who may ask."
            )
        pairs[name] = token
    if not pairs and (environment.get(TOKENS) or path):
        raise ProjectError(
            f"{TOKENS} or {TOKENS_FILE} is set and holds no token: everybody could ask. Write "
            "name:token for everybody who may, or unset it."
        )
    return pairs


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def check_content_type(value: bytes | None) -> None:
    """Take JSON in UTF-8 only.

    Raises:
        Refusal: 415.
    """
    if value == b"application/json":  # nearly always
        return
    kind, *parameters = (value or b"").decode("latin-1").lower().split(";")
    words = dict(parameter.strip().partition("=")[::2] for parameter in parameters)
    charset = words.pop("charset", "utf-8").strip("\"'")
    if kind.strip() != "application/json" or charset not in ("utf-8", "utf8") or words:
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED_MEDIA_TYPE",
            "Send JSON in UTF-8, with the header Content-Type: application/json.",
        )


async def read_body(
    receive: Receive, said_length: bytes | None, most: int, hold: Callable[[int], None]
) -> bytes:
    """Read a body.

    Args:
        receive: Where it comes from.
        said_length: The header, if there is one.
        most: How many bytes are taken.
        hold: Told how many bytes a large body has, as soon as that is known; it may refuse them.

    Raises:
        Refusal: 413, as soon as it is known to be too long; what `hold` raises.
        ClientGoneError: It does not come to its end.
    """
    said = int(said_length[:20]) if said_length is not None and said_length.isdigit() else 0
    if said > most:
        raise too_long(most)
    if said > SMALL_BYTES:
        hold(said)
    message = await receive()
    if message["type"] != "http.disconnect" and not message.get("more_body"):  # nearly always
        body: bytes = message.get("body", b"")
        if len(body) > most:
            raise too_long(most)
        if len(body) > SMALL_BYTES:
            hold(len(body))
        return body
    parts, length = [], 0
    while message["type"] != "http.disconnect":
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if length > most:
            raise too_long(most)
        if length > SMALL_BYTES:
            hold(length)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
    raise ClientGoneError


def too_long(most: int) -> Refusal:
    """The body has more bytes than are taken."""
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "MAX_REQUEST_SIZE_EXCEEDED",
        f"The body has more than {most:,} bytes. Send fewer records at once.",
    )
