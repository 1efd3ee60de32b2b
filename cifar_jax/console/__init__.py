"""The parts that command lines share: flags, endings, progress, tables."""
