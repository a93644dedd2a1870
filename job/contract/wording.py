"""Words for people, for what the trainer and the launcher print alike."""


def many(count: int, noun: str, plural: str = "") -> str:
    """Write a count with its noun: 1 worker, 2 workers, 1,000 images."""
    return f"1 {noun}" if count == 1 else f"{count:,} {plural or noun + 's'}"
