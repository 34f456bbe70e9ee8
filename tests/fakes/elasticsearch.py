"""The lab's stand-in without HTTP: a wire straight to its core, which reads errors as the transport does."""

import json
from dataclasses import dataclass, field

from lab.es.answers import Asked
from lab.es.cluster import EsCluster
from reconcilers.elasticsearch.client import Reply, Request
from reconcilers.transports.elasticsearch_errors import of_answer

#: 24 November 2026, noon: tests' START in seconds since 1970.
NOON = 1795521600.0
DAY = 86400.0


@dataclass
class CoreWire:
    """Answers as the cluster does at ``now``; ``sent`` keeps every request."""

    cluster: EsCluster = field(default_factory=EsCluster)
    now: float = NOON
    sent: list[Request] = field(default_factory=list)

    async def ask(self, request: Request) -> Reply:
        self.sent.append(request)
        body = None if request.body is None else json.loads(request.body)
        path = "/" + "/".join(request.segments)
        answered = self.cluster.answer(Asked(request.method, path, dict(request.query), body), self.now)
        if answered.status < 300 or answered.status == 404:
            return Reply(answered.status, answered.body)
        raise of_answer(answered.status, answered.body, answered.headers, "es at core", "nobody")

    @property
    def changes(self) -> list[Request]:
        """The requests that change something."""
        return [each for each in self.sent if each.method != "GET"]
