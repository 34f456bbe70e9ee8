"""The demo's scenes on real data services: what lies in them is declared, and put right like all else."""

from pathlib import Path
from typing import Final

from lab.data_systems import PRIMARY, REPLICA, SLOT
from lab.platform import DATA_KINDS, EXAMPLE, read_example, texts
from lab.postgres_faults import ACTIONS, run
from lab.rabbitmq_faults import ACTIONS as BROKER_ACTIONS
from lab.rabbitmq_faults import control
from lab.stage import Stage, after, is_below, text
from lab.start import drop

_KEYS: Final = ("PostgresCluster/psa-db", "RabbitMQ/psa-rabbitmq")
_LIMIT_S: Final = 10.0
_BINDINGS: Final = 4
#: Through its slot: the backup that begins at the same time streams, too.
_STREAMS: Final = (
    "SELECT slot_name FROM pg_stat_replication JOIN pg_replication_slots ON active_pid = pid"
    " WHERE state = 'streaming' AND NOT temporary"
)


class DataScenes:
    """One showing, in a lab that has data services and a daemon that watches."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._lab = stage.lab
        self._story = stage.story

    def play(self) -> None:
        """Show all scenes; NotSeenError where it makes no sense to go on."""
        self.declare()
        self.break_replication()
        self.wipe_broker()

    def declare(self) -> None:
        """Drop the files of what lies in the data services."""
        story = self._story
        story.title("Files become settings, roles, queues and indices")
        files = [path for path in self._files() if not (self._lab.desired / path).exists()]
        for path in files:
            drop(self._lab, path)
        story.say(
            f"{len(files)} more files are dropped: PostgreSQL with its replica, Redis and RabbitMQ are real,"
            " Elasticsearch is a stand-in"
        )
        seconds = self._stage.needed("the data services to be Ready", self._is_whole, 40)
        story.say(f"all of it is Ready after {seconds:.1f} s:")
        story.quote(self._stage.psactl("get", *DATA_KINDS).stdout)
        story.claim("files become what data services hold", f"after {seconds:.1f} s", holds=True)

    def break_replication(self) -> None:
        """Drop the replica's slot and send it to nowhere; wait until it streams again."""
        story = self._story
        story.title("Somebody breaks the replication")
        before = len(self._stage.sight.events(_KEYS[0]))
        for action in ("conninfo-broken", "slot-dropped"):
            ACTIONS[action].do(self._lab)
        story.say("the replica's slot is dropped, and its connection leads to an address where nobody is")
        seconds = self._stage.within(self._streams)
        story.say(f"the replica streams again {after(seconds)}; the events say how:")
        story.quote("\n".join(self._stage.sight.events(_KEYS[0])[before:]))
        story.claim("broken replication streams again", text(seconds), holds=is_below(seconds, _LIMIT_S))

    def wipe_broker(self) -> None:
        """Take everything from the broker; wait until it is whole again."""
        story = self._story
        story.title("RabbitMQ loses everything")
        story.say("it is killed, and starts as a new broker: no virtual host, no queue, no user of before")
        BROKER_ACTIONS["wipe"].do(self._lab)
        seconds = self._stage.within(self._is_filled)
        story.say(f"its exchange, queues and bindings are back {after(seconds)}")
        story.claim("a wiped broker is whole again", text(seconds), holds=is_below(seconds, _LIMIT_S))

    def _files(self) -> list[Path]:
        wanted = [each for each in read_example(EXAMPLE) if each.kind in DATA_KINDS]
        needed = {key for each in wanted for key in each.depends_on}
        known = [each for each in read_example(EXAMPLE) if each.key in needed]
        return [*texts(EXAMPLE, [*known, *wanted])]

    def _is_whole(self) -> bool:
        sight = self._stage.sight
        return set(_KEYS) <= set(sight.objects()) and not sight.unready()

    def _streams(self) -> bool:
        paused = run(self._lab, REPLICA, "SELECT pg_is_wal_replay_paused()")
        return run(self._lab, PRIMARY, _STREAMS) == SLOT and paused == "f"

    def _is_filled(self) -> bool:
        if "psa" not in control(self._lab, "list_vhosts").split():
            return False
        found = control(self._lab, "list_bindings", "-p", "psa", "source_name")
        return found.split().count("psa.events") == _BINDINGS
