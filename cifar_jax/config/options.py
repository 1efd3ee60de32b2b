"""Options in a text, such as "b1=0.95,eps=1e-6": numbers and switches that have no field of their own."""

from cifar_jax.errors import ConfigError


def parse(text):
    """Read "NAME=VALUE,NAME=VALUE": {name: int, float or bool}; {} of "".

    Raises:
        ConfigError: another form, or a name that stands twice.
    """
    options = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, value = map(str.strip, part.partition("="))
        if not equals or not name.isidentifier() or name in options:
            raise ConfigError(
                f"optimizer.options={text!r}: {part!r} is no NAME=VALUE, or stands twice; such as b1=0.95,eps=1e-6"
            )
        options[name] = _value(text, value)
    return options


def _value(text, value):
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    for kind in (int, float):
        try:
            number = kind(value)
        except ValueError:
            continue
        if abs(number) < float("inf"):
            return number
    raise ConfigError(f"optimizer.options={text!r}: {value!r} is no number, true or false")
