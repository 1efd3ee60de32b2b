"""Charts, each drawn once, with Altair (Vega-Lite): for the files that commands write and for the report page.

A function takes plain data and returns an altair.Chart. Colours are CSS variables, as `var(--ink)`: a page sets them,
`vega.save` puts the light ones in their place. With a `title` a chart is for a file: it has a size, a key, short names
and the numbers that a page tells on hover.
"""
