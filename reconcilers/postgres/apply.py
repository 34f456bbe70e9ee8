"""Carries out one step of a cluster. Either twice is the same as once."""

from typing import assert_never

from reconcilers.contract import PermanentError
from reconcilers.postgres.actions import (
    Connect,
    DropDatabase,
    DropSlot,
    GiveDatabase,
    MakeDatabase,
    MakeExtension,
    MakeSlot,
    PostgresAction,
    PutRole,
    PutSchema,
    ResumeReplay,
    RunHook,
    SetPooler,
    SetSetting,
)
from reconcilers.postgres.client import Hooks, PoolerClient, PostgresClient


async def apply_action(
    client: PostgresClient, poolers: PoolerClient, hooks: Hooks | None, action: PostgresAction
) -> None:
    """Send what one action asks for."""
    match action:
        case SetPooler(target, name, value):
            await poolers.set(target.endpoint, name, value)
        case RunHook(_, run):
            if hooks is None:
                raise PermanentError(f"there is no hook {run.hook}", reason="UnknownHook")
            await hooks.start(run)
        case MakeDatabase() | GiveDatabase() | MakeExtension() | PutSchema():
            await _in_database(client, action)
        case DropSlot(target, name):
            await client.drop_slot(target, name)
        case DropDatabase(target, name):
            await client.drop_database(target, name)
        case _:
            await _on_member(client, action)


async def _on_member(
    client: PostgresClient, action: SetSetting | Connect | ResumeReplay | MakeSlot | PutRole
) -> None:
    match action:
        case SetSetting(target, name, value):
            await client.set_setting(target, name, value)
        case Connect(target, conninfo, slot):
            await client.connect(target, conninfo, slot)
        case ResumeReplay(target):
            await client.resume_replay(target)
        case MakeSlot(target, name, plugin, database):
            await client.make_slot(target, name, plugin, database)
        case PutRole():
            await client.put_role(action)
        case _:
            assert_never(action)


async def _in_database(
    client: PostgresClient, action: MakeDatabase | GiveDatabase | MakeExtension | PutSchema
) -> None:
    match action:
        case MakeDatabase(target, name, owner):
            await client.make_database(target, name, owner)
        case GiveDatabase(target, name, owner):
            await client.give_database(target, name, owner)
        case MakeExtension(target, database, name):
            await client.make_extension(target, database, name)
        case PutSchema():
            await client.put_schema(action)
        case _:
            assert_never(action)
