"""Exceptions with stable codes; a message says what arrived, what was expected, what happened, what to do."""


class TwinError(Exception):
    """Base of every error this package raises on purpose. `code` is stable and machine-readable."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class RowRejected(TwinError):
    """One row of a record could not be used; the caller turns it into a `RecordIssue` and goes on."""


class UnusableInput(TwinError):
    """Nothing usable arrived; command-line exit code 1."""


class OutOfScope(TwinError):
    """The pregnancy is outside what the model may forecast (scope gate); exit code 1, data still listed."""


class UnknownStandard(TwinError):
    """A growth standard or reference name is not known; the message lists the names available."""


class NotAvailable(TwinError):
    """A part that is listed in docs/limits.md as not built yet."""
