"""Out-of-distribution detection: scores, how well they detect, results and figures."""
