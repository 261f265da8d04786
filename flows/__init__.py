"""The order of steps, and nothing else.

Every flow run imports this package before any library that would report its use.
"""

from slipway.settings import disable_telemetry

disable_telemetry()
