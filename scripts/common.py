"""What the scripts share: the choice of devices, before JAX looks for any."""

import jax


def use_devices(devices: int | None, emulate: bool) -> int | None:
    """The number of devices for `tx.core`; with `emulate`, that many are made of this machine's CPU."""
    if emulate:
        if devices is None or devices < 1:
            raise SystemExit(
                f"--emulate with --devices {devices}: say how many devices to emulate, such as --devices 4"
            )
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", devices)
    return devices
