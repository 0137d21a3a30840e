"""The Files API: volumes, model versions (`/Models/..`) and the artefacts of runs.

As databricks-sdk 0.156 calls it; not verified against a real workspace. Files below the SDK's limit
for one upload (50 MB) are put and got in one request. The SDK requests a presigned address of every
download first and takes the file from here when it gets none, which is so here.
"""

from typing import Any

from support.workspace.server import ApiError, Reply, Request, Route

_DIRECTORY = "/api/2.0/fs/directories/{path:path}"
_FILE = "/api/2.0/fs/files/{path:path}"


class Files:
    """Contents by path; a folder is what a file is in."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def routes(self) -> list[Route]:
        return [
            ("PUT", _FILE, self.put),
            ("GET", _FILE, self.get),
            ("HEAD", _FILE, self.get),
            ("DELETE", _FILE, self.delete),
            ("PUT", _DIRECTORY, lambda _: Reply(b"", 204)),
            ("HEAD", _DIRECTORY, self.list),
            ("GET", _DIRECTORY, self.list),
        ]

    def put(self, request: Request) -> Reply:
        path = request.names["path"]
        if path in self.contents and request.query.get("overwrite") != "true":
            raise ApiError(409, "ALREADY_EXISTS", f"The file /{path} already exists.")
        self.contents[path] = request.body
        return Reply(b"", 204)

    def get(self, request: Request) -> Reply:
        path = request.names["path"]
        if path not in self.contents:
            raise ApiError(404, "NOT_FOUND", f"The file /{path} does not exist.")
        return Reply(
            self.contents[path],
            headers={
                "Content-Type": "application/octet-stream",
                "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
            },
        )

    def delete(self, request: Request) -> Reply:
        self.get(request)
        del self.contents[request.names["path"]]
        return Reply(b"", 204)

    def list(self, request: Request) -> dict[str, Any]:
        folder = request.names["path"].rstrip("/") + "/"
        entries: dict[str, dict[str, Any]] = {}
        for path, content in self.contents.items():
            if path.startswith(folder):
                name, slash, _ = path.removeprefix(folder).partition("/")
                entries[name] = {
                    "name": name,
                    "path": f"/{folder}{name}",
                    "is_directory": bool(slash),
                    **({} if slash else {"file_size": len(content)}),
                }
        if not entries:
            raise ApiError(404, "NOT_FOUND", f"The directory /{folder} does not exist.")
        return {"contents": list(entries.values())}
