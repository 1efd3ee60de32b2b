"""A report of runs as one HTML page that needs nothing else: `collect` reads, `page` writes."""
