"""What follows from the configuration for each flow, resolved once.

Knows nothing of events. Flows that are not listed share one set of defaults, so a hundred thousand
of them cost nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from service.core.codec import CODEC_VERSION, Recipe, overhead_bytes
from service.core.drafts import Bounds
from service.core.hours import Span, parse_calling_hours
from service.core.intake import Intake, IntakeRules
from service.settings import Flow, Settings

ACCOUNT_DEFAULT = "default"
"""Name of the account that the provider section's security-id belongs to."""
ANY_FLOW = "00000000"
"""Stands for a flow that is not listed; a flow-id always has this many characters."""


@dataclass(frozen=True, slots=True)
class Hours:
    """When a flow may be called."""

    spans: tuple[Span, ...]
    zone: ZoneInfo


class Flows:
    """Per-flow values of one configuration."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        listed = {flow_id: settings.flow(flow_id) for flow_id in settings.flows}
        self._flows: dict[str, Flow] = listed
        self._default = settings.flow(ANY_FLOW)
        self._recipes = {flow_id: self._make_recipe(flow) for flow_id, flow in listed.items()}
        self._recipe_default = self._make_recipe(self._default)
        self._bounds = {flow_id: self._make_bounds(flow_id) for flow_id in listed}
        self._bounds_default = self._make_bounds(ANY_FLOW)
        zone = ZoneInfo(settings.provider.time_zone)
        self._hours = {
            flow_id: Hours(parse_calling_hours(flow.calling_hours), zone)
            for flow_id, flow in listed.items()
            if flow.calling_hours is not None
        }
        self._accounts = {flow_id: _account(flow) for flow_id, flow in listed.items()}
        self.accounts = {ACCOUNT_DEFAULT, *self._accounts.values()}
        """Names of all accounts there are."""

    def _make_recipe(self, flow: Flow) -> Recipe:
        provider = self._settings.provider
        return Recipe(
            codec_version=CODEC_VERSION,
            api_version=flow.api_version,
            fills_start_time=provider.profile == "dialer",
            number_format=provider.number_format,
            time_zone=provider.time_zone,
            correlation_key=provider.correlation_key,
            dummy_number=flow.dummy_number,
            fill_time=None,
        )

    def _make_bounds(self, flow_id: str) -> Bounds:
        batching, flow = self._settings.batching, self.flow(flow_id)
        overhead = overhead_bytes(self.recipe(flow_id), flow_id, flow.security_id)
        return Bounds(
            batching.calls_max,
            batching.body_bytes_max - overhead,
            flow.linger_seconds,
            flow.priority,
        )

    def flow(self, flow_id: str) -> Flow:
        """The flow's configuration, defaults filled in."""
        return self._flows.get(flow_id, self._default)

    def recipe(self, flow_id: str) -> Recipe:
        """What the bytes of a fresh batch of this flow depend on besides its events."""
        return self._recipes.get(flow_id, self._recipe_default)

    def bounds(self, flow_id: str) -> Bounds:
        """What one batch of this flow may hold."""
        return self._bounds.get(flow_id, self._bounds_default)

    def account(self, flow_id: str) -> str:
        """The account's name; two flows with one security-id are of one account."""
        return self._accounts.get(flow_id, ACCOUNT_DEFAULT)

    def hours(self, flow_id: str) -> Hours | None:
        """When the flow may be called; None: always."""
        return self._hours.get(flow_id)

    @property
    def any_hours(self) -> bool:
        """Whether any flow has calling hours."""
        return bool(self._hours)

    def security_ids(self, flow_id: str) -> tuple[str, ...]:
        """The secret of new bodies, then earlier ones that a recovered body may hold."""
        return (self.flow(flow_id).security_id, *self._settings.previous_security_ids)


def _account(flow: Flow) -> str:
    if not flow.own_security_id:
        return ACCOUNT_DEFAULT
    # 64 random characters: eight digits of their hash tell nothing about them.
    return hashlib.sha256(flow.security_id.encode()).hexdigest()[:8]


def make_intake(settings: Settings, flows: Flows) -> Intake:
    """The intake of this configuration; `publish` uses the same."""
    rules = IntakeRules(
        value_bytes_max=settings.events.value_bytes_max,
        meta_bytes_max=settings.events.meta_bytes_max,
        number_check=settings.provider.number_check,
        foreign_numbers=settings.provider.foreign_numbers,
        body_bytes_max=settings.batching.body_bytes_max,
    )

    def overhead(flow_id: str) -> int:
        return overhead_bytes(flows.recipe(flow_id), flow_id, flows.flow(flow_id).security_id)

    return Intake(rules, flows.recipe, overhead)
