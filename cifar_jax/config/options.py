"""Options in a text, such as "b1=0.95,eps=1e-6": numbers and switches that have no field of their own."""

from cifar_jax.errors import ConfigError

GREATEST_FACTOR = 100


def parse(text):
    """Read "NAME=VALUE,NAME=VALUE": {name: int, float or bool}; {} of "".

    Raises:
        ConfigError: another form, or a name that stands twice.
    """
    return _read("optimizer.options", text, "NAME=VALUE", "b1=0.95,eps=1e-6", str.isidentifier)


def layer_factors(text):
    """Read "LAYER=FACTOR,LAYER=FACTOR": {layer: float}; {} of "".

    Raises:
        ConfigError: another form, a layer that stands twice, or a factor that is not 0 to GREATEST_FACTOR.
    """
    field = "optimizer.layer_factors"
    factors = _read(field, text, "LAYER=FACTOR", "stage1=0.1,fc=2", bool)
    for layer, factor in factors.items():
        if isinstance(factor, bool) or not 0 <= factor <= GREATEST_FACTOR:
            raise ConfigError(
                f"{field}={text!r}: the factor of {layer} must be a number of 0 to {GREATEST_FACTOR}"
            )
    return {layer: float(factor) for layer, factor in factors.items()}


def _read(field, text, form, example, is_name):
    values = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, value = map(str.strip, part.partition("="))
        if not equals or not is_name(name) or name in values:
            raise ConfigError(
                f"{field}={text!r}: {part!r} is no {form}, or stands twice; such as {example}"
            )
        values[name] = _value(field, text, value)
    return values


def _value(field, text, value):
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    for kind in (int, float):
        try:
            number = kind(value)
        except ValueError:
            continue
        if abs(number) < float("inf"):
            return number
    raise ConfigError(f"{field}={text!r}: {value!r} is no number, true or false")
