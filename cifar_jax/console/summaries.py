"""A run's summary in Python."""

from cifar_jax.console.tables import percent


class Summary(dict):
    """summary.json as a dict, which shows itself in three lines."""

    def __repr__(self):
        config, checkpoint = self["config"], self["checkpoints"][self["selected"]]
        stopped = f"; stopped early: {self['stopped_early']}" if self["stopped_early"] else ""
        return (
            f"<{config['model']['name']} on {self['dataset']}: test accuracy {percent(self['test_accuracy'])} of "
            f"{self['test_images']:,} images, {self['selected']} checkpoint, step {checkpoint['step']:,}\n"
            f" {self['params']:,} parameters, {self['epochs']} epochs in {self['train_seconds']:.1f} s, "
            f"{self['images_per_second']:,.0f} images/s{stopped}\n keys: {', '.join(self)}>"
        )
