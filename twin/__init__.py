"""One pregnancy: from health records to a risk report."""

__version__ = "0.1.0"
