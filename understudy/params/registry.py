from dataclasses import dataclass

from understudy.params.loader import require


@dataclass(frozen=True)
class Registry:
    """model: the name under which promoted students are registered."""

    model: str

    @property
    def champion(self) -> str:
        """The address of the version in production."""
        return f"models:/{self.model}@champion"

    def __post_init__(self) -> None:
        allowed = bool(self.model) and all(c.isalnum() or c in "-_." for c in self.model)
        require(allowed, "model", f"letters, digits, - _ and . only (it is part of an address), found {self.model!r}")
