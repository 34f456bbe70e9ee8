"""Where alerts come in: on the daemon's own address, or on one of their own; without settings nowhere."""

import asyncio

from aiohttp import web

from daemon.ports import Clock
from daemon.store.store import Store
from daemon.web.alert_access import Access
from daemon.web.alert_inbox import AlertInbox, Metrics
from daemon.web.alert_listener import AlertListener
from daemon.web.alert_route import AlertRoute
from daemon.web.liveness import listen_tcp


class AlertDoor:
    """Route, inbox and listener together; *access* None means that no alert is taken."""

    def __init__(self, store: Store, clock: Clock, metrics: Metrics, access: Access | None) -> None:
        """Make all parts and bind the address; raises OSError naming it."""
        self.routes: tuple[web.RouteDef, ...] = ()
        """Routes for the daemon's own address."""
        self._inbox: AlertInbox | None = None
        self._listener: AlertListener | None = None
        if access is None:
            return
        self._inbox = AlertInbox(store, clock, metrics)
        route = AlertRoute(self._inbox, access, clock, metrics).definition()
        if access.listen is None:
            self.routes = (route,)
        else:
            self._listener = AlertListener(listen_tcp(access.listen), route, access.context, clock)

    async def run(self) -> None:
        """Take alerts until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self._inbox is not None:
                group.create_task(self._inbox.run())
            if self._listener is not None:
                group.create_task(self._listener.run())
