"""Computes the references that the package keeps: `python -m references`, run in benchmarks/."""

# The modules by name, so that one is imported only when it is asked for: some need packages that others do not.
MODULES = {
    "pinnacle/burgers2d-c": "burgers_2d",
    "pinnacle/gs": "gray_scott",
    "pinnacle/heat2d-cg": "perforated_heat",
    "pinnacle/heat2d-lt": "bistable_heat",
    "pinnacle/heat2d-vc": "layered_heat",
    "pinnacle/ks": "dispersive",
    "pinnacle/ns2d-c": "steady_flows",
    "pinnacle/ns2d-cg": "steady_flows",
    "pinnacle/ns2d-lt": "breathing_flow",
    "pinnacle/poisson3d-cg": "perforated_cube",
    "pinnacle/poisson2d-ms": "blockwise_diffusion",
    "pinnacle/wave2d-cg": "layered_waves",
    "pinnacle/poisson2d-c": "multipoles",
    "pinnacle/poisson2d-cg": "multipoles",
    "dsgnar/cavity": "regular_cavity",
    "dsgnar/korteweg-de-vries": "dispersive",
}
