"""Carries out one step on a cluster."""

from typing import assert_never

from reconcilers.elasticsearch.client import ElasticsearchClient
from reconcilers.elasticsearch.model import ChangeAliases, Delete, ElasticAction, Put


async def apply_action(client: ElasticsearchClient, action: ElasticAction) -> None:
    """Send one request. Any of them twice is the same as once."""
    match action:
        case Put(endpoint, thing, name, body):
            await client.put(endpoint, thing, name, body)
        case ChangeAliases(endpoint=endpoint, body=body):
            await client.change_aliases(endpoint, body)
        case Delete(endpoint, thing, name):
            await client.delete(endpoint, thing, name)
        case _:
            assert_never(action)
