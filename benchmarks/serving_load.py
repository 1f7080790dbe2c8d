"""Load on a service, by programs made for it: wrk for as much as it takes, h2load for a steady rate.

wrk sends the next request of a connection when the last is answered, so what it finds is the highest throughput. h2load
sends at a rate, whether or not answers are late, and writes down every request, so its percentiles hide no queue.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TOOLS = {"wrk": "wrk", "h2load": "nghttp2-client"}
CONNECTIONS = 16
LUA = """
local paths, bodies, at = {}, {}, 0
for line in io.lines("%(file)s") do
  local path, body = line:match("^(%%S+)%%s?(.*)$")
  paths[#paths + 1] = path
  bodies[#bodies + 1] = body
end
request = function()
  at = at %% #paths + 1
  if bodies[at] == "" then return wrk.format("GET", paths[at]) end
  return wrk.format("POST", paths[at], {["Content-Type"] = "application/json"}, bodies[at])
end
done = function(summary, latency)
  io.write(string.format("found %%d %%d %%d %%d %%f %%f\\n", summary.requests, summary.duration, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Request:
    """One request; without a body it is a GET."""

    path: str
    body: Any = None


class LoadError(Exception):
    """A load program is missing, or failed."""


def check_tools() -> None:
    """Raise LoadError where one of the load programs is not installed."""
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise LoadError(f"{tool} is not here. Debian has it in {package}.")


def peak(port: int, requests: Sequence[Request], seconds: float, pinned: Sequence[str]) -> dict[str, float]:
    """The most that the service answers: requests a second, p50 and p99 in seconds, part of requests that failed."""
    with tempfile.TemporaryDirectory() as folder:
        lines, script = Path(folder) / "requests.txt", Path(folder) / "requests.lua"
        told = (f"{one.path} {'' if one.body is None else json.dumps(one.body)}".rstrip() for one in requests)
        lines.write_text("\n".join(told) + "\n", encoding="utf-8")
        script.write_text(LUA % {"file": lines}, encoding="utf-8")
        asked = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--timeout", "10s", "-s", str(script)]
        said = run([*pinned, "wrk", *asked, f"http://127.0.0.1:{port}"])
    found = re.search(r"^found (\d+) (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+)$", said, re.MULTILINE)
    if found is None:
        raise LoadError(f"wrk said: {said[-500:]}")
    n, duration, refused, broken, median, late = map(float, found.groups())
    return {
        "rate": n / duration * 1e6,
        "p50": median / 1e6,
        "p99": late / 1e6,
        "failed": (refused + broken) / max(n, 1),
    }


def steady(
    port: int, requests: Sequence[Request], rate: float, seconds: int, pinned: Sequence[str]
) -> dict[str, float]:
    """Answers at a steady rate: requests a second that came, p50, p99 in seconds, part of requests that failed."""
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        log, paths, body = (Path(folder) / name for name in ("log.tsv", "paths.txt", "body.json"))
        paths.write_text("".join(f"{address}{one.path}\n" for one in requests), encoding="utf-8")
        asked = ["--h1", f"-c{CONNECTIONS}", "-t1", "-D", str(seconds), "--warm-up-time", "1", f"--log-file={log}"]
        asked += [f"--rps={rate / CONNECTIONS:.6g}"]
        if requests[0].body is not None:  # one body for all: h2load takes no more
            body.write_text(json.dumps(requests[0].body), encoding="utf-8")
            asked += ["-d", str(body), "-H", "Content-Type: application/json", f"{address}{requests[0].path}"]
        else:
            asked += ["-i", str(paths)]
        run([*pinned, "h2load", *asked])
        rows = np.loadtxt(log, dtype=np.int64, ndmin=2)
    latencies, ok = rows[:, 2] / 1e6, rows[:, 1] == 200
    p50, p99 = np.quantile(latencies, (0.5, 0.99))
    return {"rate": len(rows) / seconds, "p50": float(p50), "p99": float(p99), "failed": float(1 - ok.mean())}


def run(command: Sequence[str]) -> str:
    """What a program says.

    Raises:
        LoadError: it failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise LoadError(f"{' '.join(command[:6])} … ended with status {done.returncode}: {done.stderr[-500:]}")
    return done.stdout
