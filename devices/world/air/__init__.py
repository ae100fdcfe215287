"""The air over the district: wind, turbulence, particles, chemistry; what a sensor would find in it.

One class is the door: `field.AirField(config, receptors, sources, seed)`, advanced minute by minute with the
rates of the traffic corridors. What goes in stands in `config` (what a scenario sets) and `places` (where is
measured, what emits); what comes out stands in `minute`. The first `advance` chooses the start and runs the
air before it in, so that no plume has to arrive first.

Emissions travel as particles of a three-dimensional Lagrangian stochastic model (`particles`), in a mean
wind (`weather`, `profile`), gusts that have a place (`gusts`), streets and wakes (`obstacles`) and turbulence
that depends on height (`turbulence`). Stacks rise by integrating a bent-over jet (`rise`). A concentration is
a count of particles near the receptor (`particles`), plus what the region brings in (`background`), after
`chemistry`.

Conventions: x east, y north, z above ground, metres; wind directions are compass degrees the wind comes
from, velocities point where the air goes; times are Unix seconds, UTC; rates in g/s.
"""
