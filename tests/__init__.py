"""The tests of Slipway; ``guide`` reads like a tutorial."""
