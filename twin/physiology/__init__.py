"""Pure JAX physics of mother, placenta and fetus. Arrays in, arrays out; the ensemble is the trailing axis."""
