"""A local page to try a trained model in: `answering` knows pictures, `application` knows HTTP."""
