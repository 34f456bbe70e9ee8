"""Whatever a release writes and whenever the file changes, a service keeps it and comes to rest."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from crds.balancer import Override, ServerShare, ServerState, TrafficSplitSpec
from crds.container import ContainerSpec
from crds.meta import Key
from crds.service import (
    Color,
    ServiceSpec,
    container_annotations,
    container_key,
    share_of,
    split_annotations,
    split_key,
)
from reconcilers.contract import Amend, Declare
from reconcilers.service.reconciler import ServiceReconciler
from tests.builders import START
from tests.builders_haproxy import NAME, Desk, a_backend, a_service, a_service_spec
from tests.fakes.haproxy import FakeHaproxy

KEY, SPLIT = Key("Service", NAME), split_key(NAME)
SHAPE = a_service_spec().model_dump(mode="json", by_alias=True, exclude_none=True)["container"]


@dataclass(frozen=True)
class Filled:
    """A release's container of one colour."""

    color: Color
    version: str
    incarnation: str | None
    replace: str | None
    restart: str | None
    live: bool | None


@dataclass(frozen=True)
class Moved:
    """A release's split."""

    shares: Mapping[Color, tuple[int, ServerState]]
    override: Override | None


@dataclass(frozen=True)
class Edited:
    """A person's edit of the service's file."""

    fields: Mapping[str, object]


@dataclass(frozen=True)
class Looked:
    """A pass of the service."""


SHARE = st.tuples(st.sampled_from([0, 1, 50, 100]), st.sampled_from(ServerState))
OVERRIDES = st.none() | st.builds(
    Override,
    blue=st.sampled_from([0, 100]),
    green=st.just(100),
    until=st.integers(-60, 60).map(lambda minutes: START + timedelta(minutes=minutes)),
    reason=st.just("a look"),
    actor=st.just("uid 1000"),
)
FILLED = st.builds(
    Filled,
    color=st.sampled_from(Color),
    version=st.sampled_from(["1.0.0", "1.2.3"]),
    incarnation=st.none() | st.sampled_from(["a1", "a2"]),
    replace=st.none() | st.just("psa-r-0123456789ab"),
    restart=st.none() | st.sampled_from(["r1", "r2"]),
    live=st.none() | st.booleans(),
)
MOVED = st.builds(Moved, shares=st.fixed_dictionaries(dict.fromkeys(Color, SHARE)), override=OVERRIDES)
EDITED = st.builds(
    Edited,
    st.fixed_dictionaries(
        {
            "initial": st.none()
            | st.fixed_dictionaries(
                {"color": st.sampled_from(["blue", "green"]), "version": st.sampled_from(["1.0.0", "3.0.0"])}
            ),
            "container": st.sampled_from(["4Gi", "6Gi"]).map(lambda memory: {**SHAPE, "memory": memory}),
            "adopt": st.booleans(),
            "mode": st.sampled_from(["Enforce", "Observe"]),
        }
    ),
)
HAPPENED = st.lists(FILLED | MOVED | EDITED | st.just(Looked()), max_size=8)


@dataclass
class Release:
    """Writes what a release writes, and remembers it."""

    desk: Desk
    filled: dict[Color, Filled] = field(default_factory=dict)
    moved: Moved | None = None

    @property
    def spec(self) -> ServiceSpec:
        spec = self.desk.state.objects[KEY].spec
        assert isinstance(spec, ServiceSpec)
        return spec

    def fill(self, slot: Filled) -> None:
        spec = self.spec.container_spec(
            NAME,
            slot.color,
            slot.version,
            incarnation=slot.incarnation,
            replace=slot.replace,
            restart=slot.restart,
        )
        annotations = container_annotations(NAME, slot.color, slot.version, live=slot.live)
        self.desk.amend(Amend(container_key(NAME, slot.color), spec, annotations, KEY))
        self.filled[slot.color] = slot

    def move(self, moved: Moved) -> None:
        blue, green = (
            ServerShare(server=self.spec.server_name(color), weight=weight, state=state)
            for color, (weight, state) in sorted(moved.shares.items(), key=lambda item: item[0].value)
        )
        spec = self.spec.split_spec(NAME, blue, green, moved.override)
        self.desk.amend(Amend(SPLIT, spec, split_annotations(NAME), KEY))
        self.moved = moved

    def finds_what_it_wrote(self) -> bool:
        return all(self._finds(slot) for slot in self.filled.values()) and self._finds_its_split()

    def _finds(self, slot: Filled) -> bool:
        found = self.desk.state.objects[container_key(NAME, slot.color)]
        assert isinstance(found.spec, ContainerSpec)
        annotations = container_annotations(NAME, slot.color, slot.version, live=slot.live)
        told = (found.spec.incarnation, found.spec.replace, found.spec.restart, found.annotations)
        is_template = f"_{slot.version}_" in found.spec.template
        return is_template and told == (slot.incarnation, slot.replace, slot.restart, annotations)

    def _finds_its_split(self) -> bool:
        if self.moved is None:
            return True
        found = self.desk.state.objects[SPLIT].spec
        assert isinstance(found, TrafficSplitSpec)
        shares = {color: share_of(found, color) for color in Color}
        told = {color: (share.weight, share.state) for color, share in shares.items()}
        return (told, found.override) == (self.moved.shares, self.moved.override)


def a_platform(*, is_entry: bool) -> Desk:
    backend = a_backend({"is_alive": False}, {"is_alive": False})
    desk = Desk({"Service": ServiceReconciler(FakeHaproxy(backend))})
    desk.put(a_service(**({} if is_entry else {"backend": None})))
    return desk


def edit(desk: Desk, edited: Edited, *, is_entry: bool) -> None:
    old = desk.state.objects[KEY]
    spec = a_service_spec(**edited.fields, **({} if is_entry else {"backend": None}))
    desk.put(replace(old, spec=spec, generation=old.generation + 1))


@given(happened=HAPPENED, is_entry=st.booleans())
async def test_what_a_release_wrote_stays_and_a_service_comes_to_rest(
    happened: list[Filled | Moved | Edited | Looked], *, is_entry: bool
) -> None:
    desk = a_platform(is_entry=is_entry)
    release = Release(desk)
    for each in happened:
        match each:
            case Filled():
                release.fill(each)
            case Moved() if is_entry:
                release.move(each)
            case Edited():
                edit(desk, each, is_entry=is_entry)
            case Moved() | Looked():
                plan = await desk.one_pass(KEY)
                assert plan.blocked is None
        assert release.finds_what_it_wrote()
    await desk.one_pass(KEY)
    assert release.finds_what_it_wrote()
    assert (await desk.one_pass(KEY)).writes == (), "a second pass finds nothing to do"


@given(slot=FILLED, moved=MOVED, color=st.none() | st.sampled_from(["blue", "green"]))
async def test_a_release_that_follows_the_file_is_not_followed_by_a_declaration(
    slot: Filled, moved: Moved, color: str | None
) -> None:
    desk = a_platform(is_entry=True)
    desk.put(a_service(initial={"color": color, "version": "1.0.0"} if color else None))
    await desk.one_pass(KEY)
    release = Release(desk)
    release.fill(slot)
    before = [write for write in (await desk.look(KEY)).writes if isinstance(write, Declare)]
    release.move(moved)
    after = [write for write in (await desk.look(KEY)).writes if isinstance(write, Declare)]
    assert before == after == []
