"""Run-time checks of annotations: beartype, with a whole number accepted where a float is meant (PEP 484)."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
