"""Sends notices to one URL as JSON. Nothing is retried here."""

from collections.abc import Mapping
from typing import Final

import aiohttp

from reconcilers.contract import PermanentError, TransientError

_REFUSED: Final = range(400, 500)
_LATER: Final = frozenset({408, 425, 429})
_ACCEPTED: Final = range(200, 300)


class NoticeWebhook:
    """One URL. A call ends within ``deadline_s`` seconds."""

    def __init__(self, url: str, deadline_s: float = 10.0) -> None:
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=deadline_s)

    async def send(self, notice: Mapping[str, str | int], key: str) -> None:
        """Post *notice*; *key* lets the receiver recognise one that comes twice.

        Raises TransientError where it may work later, PermanentError where it was refused.
        """
        # One call now and then: a session of its own leaves nothing open.
        try:
            async with (
                aiohttp.ClientSession(timeout=self._timeout, trust_env=False) as session,
                session.post(
                    self._url, json=notice, headers={"Idempotency-Key": key}, allow_redirects=False
                ) as answer,
            ):
                status = answer.status
        except TimeoutError as exc:
            raise TransientError(f"the webhook did not answer within {self._timeout.total:g} s") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise TransientError(f"the webhook was not reached: {type(exc).__name__}") from exc
        if status in _REFUSED and status not in _LATER:
            raise PermanentError(f"the webhook answers {status}", reason="NoticeRefused")
        if status not in _ACCEPTED:
            raise TransientError(f"the webhook answers {status}")
