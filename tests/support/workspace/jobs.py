"""Jobs and their runs. As databricks-sdk 0.156 calls it; not verified against a real workspace."""

from typing import Any

from support.workspace.server import ApiError, Request, Route

_ROOT = "/api/2.2/jobs"


class Jobs:
    """Jobs by id; a run ends at once, as `result` says."""

    def __init__(self) -> None:
        self.jobs: dict[int, dict[str, Any]] = {}
        self.runs: dict[int, dict[str, Any]] = {}
        self.result = "SUCCESS"

    def put(self, job_id: int, name: str) -> None:
        """Make a job."""
        self.jobs[job_id] = {"job_id": job_id, "settings": {"name": name}}

    def routes(self) -> list[Route]:
        return [
            ("GET", f"{_ROOT}/list", self.list),
            ("GET", f"{_ROOT}/get", self.get),
            ("POST", f"{_ROOT}/run-now", self.run_now),
            ("GET", f"{_ROOT}/runs/get", self.get_run),
        ]

    def list(self, request: Request) -> dict[str, Any]:
        name = request.query.get("name")
        found = [job for job in self.jobs.values() if name in {None, job["settings"]["name"]}]
        return {"jobs": found, "has_more": False}

    def get(self, request: Request) -> dict[str, Any]:
        return self._find(self.jobs, "Job", request.fields["job_id"])

    def run_now(self, request: Request) -> dict[str, Any]:
        job = self._find(self.jobs, "Job", request.fields["job_id"])
        run_id = len(self.runs) + 1
        self.runs[run_id] = {
            "run_id": run_id,
            "job_id": job["job_id"],
            "run_name": job["settings"]["name"],
            "job_parameters": [
                {"name": name, "value": value}
                for name, value in request.fields.get("job_parameters", {}).items()
            ],
            "state": {"life_cycle_state": "TERMINATED", "result_state": self.result},
        }
        return {"run_id": run_id, "number_in_job": run_id}

    def get_run(self, request: Request) -> dict[str, Any]:
        return self._find(self.runs, "Run", request.fields["run_id"])

    def _find(
        self, among: dict[int, dict[str, Any]], kind: str, number: str | int
    ) -> dict[str, Any]:
        try:
            return among[int(number)]
        except KeyError:
            message = f"{kind} {number} does not exist."
            raise ApiError(400, "INVALID_PARAMETER_VALUE", message) from None
