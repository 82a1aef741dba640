"""Every error of this program, classed by who must act on it.

Knows nothing of Kafka, HTTP or the command line: adapters translate a client's error into one of
these and chain it, the command line turns one into a single line and an exit code.
"""

from __future__ import annotations


class DispatcherError(Exception):
    """Base of all errors. The text is one line, written for the person who must act."""


class ConfigurationError(DispatcherError):
    """The operator must change the configuration or the command line (exit code 2)."""


class OrderRefused(ConfigurationError):
    """A command to running lanes cannot be obeyed as it was given: the operator must change it."""


class TopicsError(DispatcherError):
    """The operator must create a topic, or change a setting that would break a promise."""


class BrokerUnavailable(DispatcherError):
    """Kafka did not answer in time; trying again later is all that is needed."""


class WindowUnavailable(DispatcherError):
    """The window that all lanes share did not answer in time; what was said may count or not."""


class LaneFenced(DispatcherError):
    """A successor started a producer with this lane's transactional id: drop everything."""


class CommitUnknown(DispatcherError):
    """A transaction's end was not answered: it may be committed or not, the log alone knows."""


class RecordsGone(DispatcherError):
    """The log no longer begins where a lane wants to read (retention), or ends before it."""


class CheckpointUnreadable(DispatcherError):
    """A checkpoint record is of a version or form that this program cannot read."""


class ControlUnreadable(DispatcherError):
    """A record of the control topic is no command that this program knows."""


class EventRefused(Exception):
    """One event cannot become a call. Upstream must act; the lane goes on.

    `reason` is a `dispatch.reason` of the contract, `field` the event's field (dotted, with
    indexes, e.g. `keys[2].name`), the text says what is wrong and the way out, and never holds
    a phone number or a key's value.
    """

    def __init__(self, reason: str, field: str | None, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field
