"""What can follow training: the names that `--then` takes."""

from job.contract.errors import ConfigError

STEPS = ("evaluate", "export")
"""In the order in which they make sense."""


def parse_names(text: str) -> tuple[str, ...]:
    """Read `--then=evaluate,export`.

    Raises:
        ConfigError: A step is not known, or given twice.
    """
    names = tuple(name.strip() for name in text.split(",")) if text.strip() else ()
    for name in names:
        if name not in STEPS:
            raise ConfigError(f"then must name {', '.join(STEPS)}, with commas, not {name!r}")
    if len(set(names)) < len(names):
        raise ConfigError(f"then names a step twice: {text!r}")
    return names
