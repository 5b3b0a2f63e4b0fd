"""What-if on one twin: interventions, comparison, the demo and run commands."""
