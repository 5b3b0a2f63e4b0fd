"""Everything that judges a table of predictions against what happened. It never runs the twin."""
