"""The recordings of a real Proxmox VE: what was asked, what came back, how tasks ended.

A file has lines ``>> [who] METHOD path {json}   # remark``, ``<< status 'reason' body`` and
``   task UPID -> stopped 'exit' (seconds) log: …``; everything else tells what people did in between.
"""

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.pve.message import Json, ParamValue

ASKED: Final = re.compile(r">> \[(?P<who>.*)\] (?P<method>[A-Z]+) (?P<path>/\S*) ?(?P<rest>.*)")
QUOTED: Final = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
ANSWERED: Final = re.compile(rf"<< (?P<status>\d+) (?P<reason>{QUOTED}) ?(?P<body>.*)")
TASK_ENDED: Final = re.compile(
    rf" +task (?P<upid>UPID:\S+) -> stopped (?P<exit>{QUOTED}) \((?P<took>[\d.]+)s\)"
)
UPID_TIMES: Final = re.compile(r"UPID:[\w-]+:[0-9A-F]{8}:(?P<ticks>[0-9A-F]{8}):(?P<seconds>[0-9A-F]{8}):")
TICKS_PER_S: Final = 100


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer; *line* is that of the request, *exit* is "" where no task was awaited."""

    line: int
    who: str
    method: str
    path: str
    params: dict[str, ParamValue]
    status: int
    reason: str
    body: Json
    exit: str = ""

    @property
    def recorded_at(self) -> float | None:
        """Seconds on the recording's own clock, known where a task was started."""
        data = self.body.get("data") if isinstance(self.body, dict) else None
        found = UPID_TIMES.match(data) if isinstance(data, str) else None
        return int(found["ticks"], 16) / TICKS_PER_S if found else None


def read(path: Path) -> list[Exchange]:
    lines = path.read_text().splitlines()
    exchanges: list[Exchange] = []
    for number, line in enumerate(lines, 1):
        asked, answered = ASKED.match(line), ANSWERED.match(lines[number]) if number < len(lines) else None
        if asked and answered:
            ended = TASK_ENDED.match(lines[number + 1]) if number + 1 < len(lines) else None
            exchanges.append(_exchange(number, asked, answered, ended))
    return exchanges


def _exchange(
    line: int, asked: re.Match[str], answered: re.Match[str], ended: re.Match[str] | None
) -> Exchange:
    params, _end = json.JSONDecoder().raw_decode(asked["rest"]) if asked["rest"].startswith("{") else ({}, 0)
    return Exchange(
        line=line,
        who=asked["who"],
        method=asked["method"],
        path=asked["path"],
        # the recorder sent forms, in which a Python bool is the text True
        params={name: str(value) if isinstance(value, bool) else value for name, value in params.items()},
        status=int(answered["status"]),
        reason=ast.literal_eval(answered["reason"]),
        body=json.loads(answered["body"]) if answered["body"] else None,
        exit=ast.literal_eval(ended["exit"]) if ended else "",
    )
