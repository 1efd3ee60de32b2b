"""What a trained model does: figures, Grad-CAM, out-of-distribution, the report page.

This knows models and metrics, never the training.
"""
