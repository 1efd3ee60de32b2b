"""What command lines share: flags, endings, progress, tables."""
