"""Out-of-distribution detection: scores, how well they detect, results and figures."""

COUNT = 2000  # images of each set that are judged, by default
