"""What the reports print beside the figure that each config names: authors, and the accuracy of each class."""

AUTHORS = {
    "000": "Mantovani and Palmieri",
    "001": "Lai",
    "002": "a notebook",
    "003": "Cao",
    "004": "Murgolo",
}

# Report 000, Table 2, in per cent: class -> model_1 to model_4. The table prints the dog as "log".
CLASSES = {
    "airplane": (83.3, 88.3, 73.3, 79.3),
    "automobile": (89.8, 92.3, 70.1, 82.9),
    "bird": (62.6, 49.8, 63.6, 72.8),
    "cat": (41.5, 52.9, 51.6, 67.5),
    "deer": (68.8, 74.6, 75.6, 67.0),
    "dog": (88.8, 72.9, 72.1, 76.6),
    "frog": (82.2, 78.0, 71.3, 84.6),
    "horse": (85.4, 87.7, 90.3, 78.0),
    "ship": (81.6, 69.8, 89.5, 88.4),
    "truck": (86.2, 90.2, 96.2, 91.2),
}
