"""Forecast to risk: probabilities, their model range, what moved them."""

from twin.risk.estimate import estimate, header, provenance

__all__ = ["estimate", "header", "provenance"]
