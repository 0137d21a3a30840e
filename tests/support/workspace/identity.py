"""The current user. As databricks-sdk 0.156 calls it; not verified against a real workspace."""

from typing import Any

from support.workspace.server import WORKSPACE_ID, Request, Route

USER = "someone@example.org"


class Identity:
    """One user with the token of the workspace, and the first requests of a client."""

    def routes(self) -> list[Route]:
        return [
            ("GET", "/api/2.0/preview/scim/v2/Me", self.me),
            ("GET", "/.well-known/databricks-config", self.host),
        ]

    def me(self, _: Request) -> dict[str, Any]:
        return {"id": "1", "userName": USER, "active": True, "groups": [{"display": "users"}]}

    def host(self, _: Request) -> dict[str, Any]:
        return {"workspace_id": WORKSPACE_ID}
