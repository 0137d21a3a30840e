"""Answers of a workspace that is busy, broken or unwilling, for `Workspace.fail`.

The body of `REVOKED` is as published in databricks-sdk-go's issue 917; the others are as the
clients read them, not verified against a real workspace.
"""

from support.workspace.server import ApiError, Reply

BUSY = Reply(
    {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "Too many requests. Try again later."},
    429,
    {"Retry-After": "0"},
)
BROKEN = ApiError(500, "INTERNAL_ERROR", "An internal error occurred.").reply
DENIED = ApiError(
    403,
    "PERMISSION_DENIED",
    "User does not have CREATE MODEL on Schema 'mlops_dev.marvel_characters'.",
).reply
EXPIRED = ApiError(401, "UNAUTHENTICATED", "Access token has expired.").reply
REVOKED = ApiError(403, 403, "Invalid access token.").reply
HANG = None
CUT = Reply(status=0)
"""The connection ends before there is an answer."""
HALF = Reply({"predictions": []}, headers={"Content-Length": "9999", "Connection": "close"})
"""The connection ends within the answer."""
