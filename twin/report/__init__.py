"""What a person reads: report.html, the terminal summary, and risk.json."""

from twin.report.files import InvalidRisk, validate_risk, write_risk_json
from twin.report.html import render, write_report
from twin.report.text import summary

__all__ = ["InvalidRisk", "render", "summary", "validate_risk", "write_report", "write_risk_json"]
