"""What ``prefect.yaml`` cannot say: services, their supervisor, automations, the doctor.

Several modules here are entry points that import Prefect, which would report its use.
"""

from slipway.libraries import disable_telemetry, reach_loopback_directly

disable_telemetry()
reach_loopback_directly()
