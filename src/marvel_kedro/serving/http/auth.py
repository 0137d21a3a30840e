"""Bearer tokens of clients."""

import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.serving.http.errors import RequestError

TOKENS = "MARVEL_TOKENS"
TOKENS_FILE = "MARVEL_TOKENS_FILE"


@dataclass(frozen=True)
class Tokens:
    """The accepted bearer tokens; without any, requests need no token.

    Attributes:
        digests: SHA-256 of the token by client name; the tokens themselves are not stored.
    """

    digests: Mapping[str, bytes]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Tokens":
        """Read the tokens as `token_pairs` does, with its errors."""
        pairs = token_pairs(environment)
        return cls({name: sha256(token.encode()).digest() for name, token in pairs.items()})

    def requester(self, authorization: bytes | None) -> str | None:
        """Return the client's name; None if requests need no token.

        Raises:
            RequestError: 401.
        """
        if not self.digests:
            return None
        scheme, _, token = (authorization or b"").partition(b" ")
        sent = sha256(token.strip()).digest()
        # All digests, each in constant time: the duration reveals nothing.
        found = [name for name, digest in self.digests.items() if hmac.compare_digest(digest, sent)]
        if scheme.lower() != b"bearer" or not found:
            raise RequestError(
                HTTPStatus.UNAUTHORIZED,
                "UNAUTHENTICATED",
                "Send the header Authorization: Bearer <token> with a token of this endpoint.",
                ((b"www-authenticate", b"Bearer"),),
            )
        return found[0]


def token_pairs(environment: Mapping[str, str]) -> dict[str, str]:
    """Read `name:token` pairs: MARVEL_TOKENS separates them by commas, MARVEL_TOKENS_FILE by lines.

    Raises:
        ProjectError: The file cannot be read, a pair is malformed, a name occurs twice, or a
            variable is set without any pair. The message shows no token.
    """
    text = environment.get(TOKENS, "").replace(",", "\n")
    if path := environment.get(TOKENS_FILE):
        try:
            text += "\n" + Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ProjectError(f"{TOKENS_FILE}: {path}: {cause}.") from error
    pairs: dict[str, str] = {}
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), start=1):
        name, _, token = map(str.strip, line.partition(":"))
        if not name or not token or name in pairs:
            raise ProjectError(
                f"Token {number} of {TOKENS} or {TOKENS_FILE} is not name:token with a unique "
                "name. Write one pair for each client."
            )
        pairs[name] = token
    if not pairs and (environment.get(TOKENS) or path):
        raise ProjectError(
            f"{TOKENS} or {TOKENS_FILE} is set and holds no token: requests would need none. "
            "Write name:token for each client, or unset the variable."
        )
    return pairs
