"""How an amount that moves is told in a sentence that must not be news at each look."""


def between(amount: int) -> str:
    """Return its order of magnitude: ``0``, ``1 to 9``, ``10 to 99``. It may not be negative."""
    if amount == 0:
        return "0"
    floor = 10 ** (len(str(amount)) - 1)
    return f"{floor} to {10 * floor - 1}"
