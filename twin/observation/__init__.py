"""Error models: what a reading says about the state behind it."""

from twin.observation.blocks import BirthAge, Block, CgmError, NormalError, OgttError, ScanError, SpotError

__all__ = ["BirthAge", "Block", "CgmError", "NormalError", "OgttError", "ScanError", "SpotError"]
