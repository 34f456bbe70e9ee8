"""A crowd of requests and the rest of the loop take turns."""

import asyncio
from itertools import pairwise

from daemon.web.turns import Turns


async def test_one_request_begins_a_turn_of_the_loop_in_the_order_they_came() -> None:
    turns, begun = Turns(), list[int]()
    seen: list[int] = []

    async def request(number: int) -> None:
        await turns.wait()
        begun.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(9):
            tasks.create_task(request(number))
        while len(begun) < 9:
            await asyncio.sleep(0)
            seen.append(len(begun))

    assert begun == list(range(9))
    assert all(after - before <= 1 for before, after in pairwise(seen))


async def test_a_request_whose_sender_has_gone_holds_up_nobody() -> None:
    turns, begun = Turns(), list[int]()

    async def request(number: int) -> None:
        await turns.wait()
        begun.append(number)

    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(request(number)) for number in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[1].cancel()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(request(3))

    assert begun == [2, 3]
